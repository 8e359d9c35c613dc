"""What the router costs on this machine: `python -m tests.load.bench_router [latency|leader|recovery|idle]…`.

Every figure is measured here and now; read ratios and medians, this may be a busy machine. `docs/performance.md` has a
run with the machine it was made on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from services.router.engine.engine import Engine
from services.router.replica import Performed, Replica, ReplicaSettings
from shared.clock import SystemClock
from shared.contracts.commands import (
    AcceptOffer,
    Actor,
    AdoptPolicy,
    Command,
    CompleteContact,
    CreateWorkspace,
    Input,
    PutAgent,
    ReceiveMessage,
    SetPresence,
)
from shared.contracts.events import OfferMade
from shared.contracts.policy import Policy
from shared.ids import address_key, content_ref, message_command_id, thread_key
from shared.log.codec import encode_input
from shared.log.port import InputRecord, Log
from shared.log.sqlite import SqliteLog
from shared.vocabulary import AgentId, Role, Topic
from tests.faults.centre import Centre

WORKSPACE = "bench"
LIMITS = httpx.Limits(max_connections=200, max_keepalive_connections=200)
"""Connections are kept: opening them is not what is measured."""
OPERATOR = Actor(role=Role.OPERATOR, id="bench")
ADAPTER = Actor(role=Role.ADAPTER, id="bench")
POLICY = {
    "channels": [{"kind": "chat", "account": "web", "queue": "general"}],
    "queues": [{"name": "general", "offer_timeout_s": 86_400}],
}


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of all lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


# Latency: message accepted → offer on an open stream


async def latency() -> None:
    """From the answer to `POST /v1/messages` being asked for to the offer being on an open stream, the whole process
    and its client on the same machine."""
    with tempfile.TemporaryDirectory() as folder:
        centre = Centre(Path(folder) / "data")
        await centre.start()
        try:
            for rate, seconds in ((20, 15), (100, 15)):
                figures = await _latency_at(centre, rate, seconds)
                print(
                    f"message → offer on the stream, {rate}/s: n {len(figures)}, "
                    f"p50 {percentile(figures, 0.5) * 1000:.1f} ms, p99 {percentile(figures, 0.99) * 1000:.1f} ms"
                )
        finally:
            await centre.stop()


async def _latency_at(centre: Centre, rate: int, seconds: int) -> list[float]:
    facts = centre.facts
    agents = {f"bench-{number}": "" for number in range(4)}
    headers = {"Authorization": f"Bearer {facts['operator_key']}"}
    sent: dict[str, float] = {}
    figures: list[float] = []
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=centre.url, timeout=10, limits=LIMITS))
        current = (await client.get("/v1/policy", headers=headers)).raise_for_status().json()["policy"]
        for queue in current["queues"]:
            # Wrap-up would make contacts wait for people, and this is about the machine.
            queue["wrap_up_s"] = 0
        (await client.put("/v1/policy", json=current, headers=headers)).raise_for_status()
        for agent in agents:
            profile = {"languages": {"nl": 5}, "capacity": {"total": 1000}}
            (await client.put(f"/v1/agents/{agent}", json=profile, headers=headers)).raise_for_status()
            token = await client.post(f"/v1/agents/{agent}/token", json={}, headers=headers)
            agents[agent] = token.raise_for_status().json()["token"]
            mine = {"Authorization": f"Bearer {agents[agent]}"}
            await client.put(f"/v1/agents/{agent}/presence", json={"presence": "available"}, headers=mine)
        readers = [
            asyncio.create_task(_read_offers(centre.url, agent, token, sent, figures))
            for agent, token in agents.items()
        ]
        await asyncio.sleep(1)
        posts = [
            asyncio.create_task(_post(client, facts["adapter_key"], rate, number, number / rate, sent))
            for number in range(rate * seconds)
        ]
        await asyncio.gather(*posts)
        await asyncio.sleep(1)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
    return figures


async def _post(
    client: httpx.AsyncClient, key: str, rate: int, number: int, after: float, sent: dict[str, float]
) -> None:
    await asyncio.sleep(after)
    source_key = f"bench:{rate}:{time.time_ns()}:{number}"
    body = {
        "source_key": source_key,
        "channel": "messenger",
        "sender": {"id": source_key},
        "text": "Waar blijft mijn bestelling?",
        "language": "nl",
    }
    began = time.perf_counter()
    answer = await client.post("/v1/messages", json=body, headers={"Authorization": f"Bearer {key}"})
    sent[answer.raise_for_status().json()["contact_id"]] = began


async def _read_offers(base: str, agent: str, token: str, sent: dict[str, float], figures: list[float]) -> None:
    """Reads one desk's stream, notes when each offer is first seen, and takes the contact off the desk."""
    seen: dict[str, float] = {}
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx.AsyncClient(base_url=base, timeout=None, limits=LIMITS) as client,
        client.stream("GET", f"/v1/agents/{agent}/events", headers=headers) as stream,
        asyncio.TaskGroup() as group,
    ):
        async for line in stream.aiter_lines():
            if not line.startswith("data: "):
                continue
            at = time.perf_counter()
            for offer in json.loads(line[6:]).get("offers", ()):
                contact = offer["contact"]["id"]
                if contact not in seen:
                    seen[contact] = at
                    group.create_task(_finish(client, headers, offer["id"], contact, at, sent, figures))


async def _finish(
    client: httpx.AsyncClient,
    headers: dict[str, str],
    offer: str,
    contact: str,
    at: float,
    sent: dict[str, float],
    figures: list[float],
) -> None:
    await client.post(f"/v1/offers/{offer}/accept", headers=headers)
    await client.post(f"/v1/contacts/{contact}/complete", headers=headers)
    if contact in sent:
        figures.append(at - sent[contact])


# The leader alone


def _received(number: int) -> Input:
    source_key = f"chat:web:message:{number}"
    message = ReceiveMessage(
        source_key=source_key,
        channel="chat",
        account="web",
        thread=thread_key(WORKSPACE, "chat", "web", str(number)),
        sender=address_key(WORKSPACE, "chat", str(number)),
        content_ref=content_ref(WORKSPACE, source_key),
        language=("en", "id", "zh", "hi")[number % 4],
    )
    return _input(message, message_command_id(WORKSPACE, source_key), ADAPTER)


def _input(command: Command, id: str, actor: Actor = OPERATOR) -> Input:
    return Input(id=id, workspace=WORKSPACE, actor=actor, received_at=0, command=command)


def _setting_up(agents: int, *, available: bool) -> list[Input]:
    commands: list[Command] = [
        CreateWorkspace(name=WORKSPACE),
        AdoptPolicy(policy=Policy.model_validate(POLICY).model_dump(mode="json")),
    ]
    for number in range(agents):
        agent = AgentId(f"agent-{number}")
        languages = {("en", "id", "zh", "hi")[number % 4]: 5}
        commands.append(PutAgent(agent=agent, languages=languages, capacity_total=3000))
    inputs = [_input(command, f"setup-{number}") for number, command in enumerate(commands)]
    if available:
        for number in range(agents):
            agent = AgentId(f"agent-{number}")
            mine = Actor(role=Role.AGENT, id=agent)
            inputs.append(_input(SetPresence(agent=agent, presence="available"), f"here-{number}", mine))
    return inputs


OpenedLog = Callable[[], contextlib.AbstractAsyncContextManager[Log]]


@contextlib.asynccontextmanager
async def _log() -> AsyncIterator[SqliteLog]:
    folder = Path(tempfile.mkdtemp())
    log = SqliteLog(folder)
    await log.open()
    try:
        yield log
    finally:
        await log.close()
        shutil.rmtree(folder)


async def _append(log: Log, topic: Topic, inputs: Sequence[Input]) -> None:
    for start in range(0, len(inputs), 2000):
        await asyncio.gather(*(log.inputs.append(topic, 0, encode_input(one)) for one in inputs[start : start + 2000]))


class _Desks:
    """Performs entries by accepting and completing whatever was offered: the leader's other half of every contact."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.completed = 0
        self.events = 0

    async def perform(self, replica: Replica, entry: Performed) -> None:
        inputs: list[Input] = []
        for decision in entry.decisions:
            self.events += len(decision.events)
            for event in decision.events:
                if isinstance(event, OfferMade):
                    actor = Actor(role=Role.AGENT, id=event.agent)
                    inputs.append(_input(AcceptOffer(offer=event.offer), f"a{event.offer}", actor))
                    inputs.append(_input(CompleteContact(contact=event.contact), f"c{event.contact}", actor))
                    self.completed += 1
        if inputs:
            await _append(self._log, Topic.COMMANDS, inputs)

    async def bury(self, replica: Replica, aside: Sequence[tuple[InputRecord, str]]) -> None:
        raise AssertionError(f"{len(aside)} inputs of the bench are put aside")


async def leader(contacts: int = 10_000, agents: int = 200, *, opened: OpenedLog | None = None) -> None:
    """A prefilled log of messages; desks accept and complete at once. Journal on SQLite unless told, no views."""
    async with (opened or _log)() as log:
        await _append(log, Topic.COMMANDS, _setting_up(agents, available=True))
        await _append(log, Topic.INBOUND, [_received(number) for number in range(contacts)])
        desks = _Desks(log)
        replica = Replica(partition=0, name="bench", log=log, clock=SystemClock(), performer=desks)
        await replica.recover()
        await replica.lead()
        began, cpu = time.perf_counter(), time.process_time()
        first = replica.head.seq
        total = 0
        while total < contacts:
            await replica.step()
            total = (
                sum(1 for c in replica.engine.state.workspaces[WORKSPACE].contacts.values() if c.ended_at)
                if (desks.completed >= contacts)
                else 0
            )
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        entries = replica.head.seq - first
        print(
            f"leader, whole life of {contacts} contacts from a prefilled log, {agents} agents: "
            f"{contacts / took:.0f} contacts/s, {desks.events / took:.0f} events/s, {entries / took:.0f} entries/s, "
            f"{cpu / contacts * 1e6:.0f} µs CPU a contact (writer thread included)"
        )


async def recovery(contacts: int = 100_000, *, opened: OpenedLog | None = None) -> None:
    """100,000 open contacts: from the journal alone, and from a snapshot. On SQLite unless told."""
    async with (opened or _log)() as log:
        await _append(log, Topic.COMMANDS, _setting_up(100, available=False))
        await _append(log, Topic.INBOUND, [_received(number) for number in range(contacts)])
        replica = Replica(
            partition=0,
            name="bench",
            log=log,
            clock=SystemClock(),
            performer=_Desks(log),
            settings=ReplicaSettings(max_inputs=500),
        )
        await replica.recover()
        await replica.lead()
        while sum(replica.positions) < (await _ends(log)):
            await replica.step()
        for name in ("journal alone", "snapshot"):
            replica.engine = Engine()
            fresh = Replica(partition=0, name="fresh", log=log, clock=SystemClock(), performer=_Desks(log))
            began = time.perf_counter()
            await fresh.recover()
            took = time.perf_counter() - began
            known = len(fresh.engine.state.workspaces[WORKSPACE].contacts)
            print(f"recovery with {known} open contacts from {name}: {took:.1f} s ({fresh.head.seq} entries)")
            if name == "journal alone":
                began = time.perf_counter()
                await fresh.save_snapshot()
                print(f"snapshot of it: {time.perf_counter() - began:.1f} s")
        print(f"memory of this process: {_rss_mib(os.getpid()):.0f} MiB")


async def _ends(log: Log) -> int:
    return sum(await log.inputs.end(0))


async def idle() -> None:
    """The embedded default with its demo centre, nobody there."""
    with tempfile.TemporaryDirectory() as folder:
        centre = Centre(Path(folder) / "data")
        began = time.perf_counter()
        await centre.start()
        print(f"warm start until ready: {time.perf_counter() - began:.1f} s")
        try:
            assert centre.process is not None
            await asyncio.sleep(3)
            before = cpu_s(centre.process.pid)
            await asyncio.sleep(10)
            share = (cpu_s(centre.process.pid) - before) / 10
            print(f"idle: {_rss_mib(centre.process.pid):.0f} MiB RSS, {share * 100:.1f} % of a core")
        finally:
            await centre.stop()


def _rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


BENCHES: dict[str, Any] = {"latency": latency, "leader": leader, "recovery": recovery, "idle": idle}


def main(names: Sequence[str]) -> None:
    """Run the named benches, or all."""
    for name in names or BENCHES:
        asyncio.run(BENCHES[name]())


if __name__ == "__main__":
    main(sys.argv[1:])
