"""Switchdesk on Kafka and Redis beside a bare pipeline on the same broker and store, in interleaved rounds.

`python -m tests.load.bench_cluster [pipelines|leader|recovery|gaps]… [--brokers 3] [--rounds 5]`. Ours is one social
ingest, one
engine, one API; bare is one process for each of the same three places (`bare_pipeline.py`). Both get the same signed
webhooks from the same client and tell as many desks by streams. Read ratios: the client, the broker and both pipelines
share the machine, and its other work moves everything by a factor.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hmac
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.ingest_social.platforms.port import source_key
from shared.ids import message_command_id
from shared.log.kafka import KafkaLog
from shared.vocabulary import ChannelKind
from tests.eventually import eventually
from tests.faults.cluster import Cluster
from tests.faults.history import History
from tests.faults.nemesis import RHYTHMS
from tests.faults.process import REPOSITORY, Process
from tests.faults.run import GAPS, Plan, judge, run_on_cluster
from tests.load import bench_router
from tests.load.bench_router import cpu_s, percentile
from tests.load.desks import CAPACITY, DESKS, WORKSPACE, Desks
from tests.load.traffic import Streams, closed_loop, connections, open_loop, request
from tests.support.kafka import KafkaCluster
from tests.support.ports import free_port
from tests.support.redis import RedisServer

PAGE: Final = "page"
PEAK_MESSAGES: Final = 1500
LATENCY_S: Final = 6.0
WIDTH: Final = 48
COMMANDS: Final = 100
TEXT: Final = "My card was declined twice at the shop this morning. Can you tell me why, and what I should do now?"
POLICY: Final[dict[str, Any]] = {
    "channels": [{"kind": "messenger", "account": PAGE, "queue": "help", "language": "en"}],
    "queues": [{"name": "help", "offer_timeout_s": 86_400}],
    "lease": {"lease_s": 30, "grace_s": 600},
}


@dataclass(slots=True)
class Round:
    """When each message was sent, and when a desk first showed it."""

    sent: dict[str, float] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return len(self.seen) >= len(self.sent) > 0

    @property
    def took(self) -> list[float]:
        """Seconds from sending to being shown."""
        return [at - self.sent[mid] for mid, at in self.seen.items()]


@dataclass(slots=True)
class Pipeline:
    """One of the two: where messages go in, and what is running for it."""

    name: str
    processes: dict[str, Process]
    ingest_port: int
    secret: bytes
    known_as: Callable[[str], str]
    """What desks call a message."""
    clear: Callable[[], Awaitable[None]]
    """Takes everything off the desks after a round."""
    round: Round = field(default_factory=Round)

    def webhooks(self, mids: Sequence[str]) -> list[bytes]:
        """Signed requests, one message each, each from a sender of its own."""
        return [self._webhook(mid) for mid in mids]

    def _webhook(self, mid: str) -> bytes:
        at = int(time.time() * 1000)
        event = {"sender": {"id": f"p-{mid}"}, "recipient": {"id": "1"}, "timestamp": at}
        event["message"] = {"mid": mid, "text": TEXT}
        body = json.dumps({"object": "page", "entry": [{"id": "1", "time": at, "messaging": [event]}]}).encode()
        signature = "sha256=" + hmac.digest(self.secret, body, "sha256").hex()
        return request(
            "POST",
            f"/webhooks/messenger/{PAGE}",
            body,
            Content_Type="application/json",
            X_Hub_Signature_256=signature,
        )

    def shown(self, name: str, at: float) -> None:
        """A desk shows a message."""
        if name in self.round.sent:
            self.round.seen.setdefault(name, at)

    async def send(
        self, count: int, send: Callable[[Sequence[bytes], Callable[[int, float], None]], Awaitable[None]]
    ) -> Round:
        """Send `count` new messages and wait until desks have shown all of them."""
        mids = [secrets.token_hex(8) for _ in range(count)]
        names = [self.known_as(mid) for mid in mids]
        self.round = this = Round()

        def sent(number: int, at: float) -> None:
            this.sent[names[number]] = at

        await send(self.webhooks(mids), sent)
        await eventually(lambda: this.complete, within_s=120)
        return this

    def cpu_s(self) -> dict[str, float]:
        """CPU that each process has used so far."""
        return {name: cpu_s(process.pid) for name, process in self.processes.items()}


async def pipelines(brokers: int, rounds: int) -> None:
    """Throughput, latency and CPU of both, and the round trip of a command."""
    async with _both(brokers) as (bare, ours, desks):
        peaks: dict[str, list[float]] = {"bare": [], "ours": []}
        spent: dict[str, list[dict[str, float]]] = {"bare": [], "ours": []}
        for number in range(rounds + 1):
            for pipeline in (bare, ours) if number % 2 else (ours, bare):
                before = pipeline.cpu_s()
                peak = await _peak(pipeline)
                after = pipeline.cpu_s()
                # The first one warms up.
                if number:
                    peaks[pipeline.name].append(peak)
                    spent[pipeline.name].append({k: (after[k] - before[k]) / PEAK_MESSAGES * 1e6 for k in after})
                await pipeline.clear()
        bare_peak, our_peak = statistics.median(peaks["bare"]), statistics.median(peaks["ours"])
        ratios = [ours / bare for bare, ours in zip(peaks["bare"], peaks["ours"], strict=True)]
        print(
            f"throughput, webhook → desk, median of {rounds} rounds of {PEAK_MESSAGES}: bare {bare_peak:.0f}/s, "
            f"ours {our_peak:.0f}/s, ratio {statistics.median(ratios):.2f} "
            f"(rounds {min(ratios):.2f} to {max(ratios):.2f}; goal ≥ 0.7)"
        )
        for name, each in spent.items():
            parts = {part: statistics.median(one[part] for one in each) for part in each[0]}
            print(f"CPU a message, {name}: " + ", ".join(f"{part} {used:.0f} µs" for part, used in parts.items()))
        peak = min(bare_peak, our_peak)
        for share in (0.2, 0.5):
            await _latencies(bare, ours, share * peak, f"{share:.0%} of {_whose(bare_peak, our_peak)}", rounds)
        await _commands(ours, desks)


async def _peak(pipeline: Pipeline) -> float:
    """Messages a second, from the first one sent to the last one shown."""
    async with connections(pipeline.ingest_port, WIDTH) as to:
        done = await pipeline.send(PEAK_MESSAGES, lambda raws, sent: closed_loop(to, raws, WIDTH, sent))
        if to.repeats:
            print(f"  {pipeline.name}: {to.repeats} times 503, sent again")
    return PEAK_MESSAGES / (max(done.seen.values()) - min(done.sent.values()))


def _whose(bare_peak: float, our_peak: float) -> str:
    """A rate that one of the two cannot carry would show its queue, not its latency."""
    return "the bare peak" if bare_peak <= our_peak else "our own peak, the lower one"


async def _latencies(bare: Pipeline, ours: Pipeline, rate: float, words: str, rounds: int) -> None:
    took: dict[str, list[list[float]]] = {"bare": [], "ours": []}
    for number in range(rounds):
        for pipeline in (bare, ours) if number % 2 else (ours, bare):
            count = max(50, min(int(rate * LATENCY_S), DESKS * CAPACITY))
            done = await _at_rate(pipeline, rate, count)
            took[pipeline.name].append(done.took)
            await pipeline.clear()
    for quantile, goal in ((0.5, 1.5), (0.99, 2.0)):
        each = {name: [percentile(one, quantile) * 1000 for one in of] for name, of in took.items()}
        ratio = statistics.median(ours / bare for bare, ours in zip(each["bare"], each["ours"], strict=True))
        print(
            f"sent → shown at {words} ({rate:.0f}/s), p{quantile * 100:.0f}: "
            f"bare {statistics.median(each['bare']):.1f} ms, ours {statistics.median(each['ours']):.1f} ms, "
            f"ratio {ratio:.2f} (goal ≤ {goal})"
        )


async def _at_rate(pipeline: Pipeline, rate: float, count: int) -> Round:
    async with connections(pipeline.ingest_port, 4 * WIDTH) as to:
        return await pipeline.send(count, lambda raws, sent: open_loop(to, raws, rate, sent))


async def _commands(ours: Pipeline, desks: Desks) -> None:
    """Accepting offers one after the other: request to answer, with the journal in between."""
    async with connections(ours.ingest_port, WIDTH) as to:
        await ours.send(COMMANDS, lambda raws, sent: closed_loop(to, raws, WIDTH, sent))
    took = []
    async with connections(desks.port, 1) as to:
        for desk, offer in list(desks.offered.values()):
            took.append(await desks.accept(to, desk, offer))
    print(
        f"command round trip (accept), one after the other, n {len(took)}: "
        f"p50 {percentile(took, 0.5) * 1000:.1f} ms, p99 {percentile(took, 0.99) * 1000:.1f} ms"
    )


@contextlib.asynccontextmanager
async def _both(brokers: int) -> AsyncIterator[tuple[Pipeline, Pipeline, Desks]]:
    """Both pipelines running on one Kafka and one Redis, their desks' streams open."""
    with (
        KafkaCluster(nodes=brokers, java_options=()) as kafka,
        RedisServer() as redis,
        tempfile.TemporaryDirectory() as folder,
    ):
        redis.start()
        await asyncio.to_thread(kafka.start)
        async with contextlib.AsyncExitStack() as stack:
            bare = await _bare(kafka, redis, Path(folder), stack)
            ours, desks = await _ours(kafka, redis, Path(folder), stack)
            yield bare, ours, desks


async def _started(processes: dict[str, Process], stack: contextlib.AsyncExitStack) -> None:
    for process in processes.values():
        stack.push_async_callback(process.kill)
        await process.start()
    for process in processes.values():
        await process.until_ready()


async def _bare(kafka: KafkaCluster, redis: RedisServer, folder: Path, stack: contextlib.AsyncExitStack) -> Pipeline:
    nodes = len(kafka.numbers)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic("bare", num_partitions=1, replication_factor=nodes)])
    finally:
        await admin.close()
    secret = secrets.token_hex(16)
    env = {"BOOTSTRAP": kafka.bootstrap, "TOPIC": "bare", "REDIS": redis.url, "SECRET": secret, "DESKS": str(DESKS)}
    ports = {role: free_port() for role in ("ingest", "relay", "desks")}
    processes = {
        role: Process(f"bare-{role}", ["tests.load.bare_pipeline", role], env, port, folder)
        for role, port in ports.items()
    }
    await _started(processes, stack)

    async def clear() -> None:
        """Bare desks are never full."""

    pipeline = Pipeline("bare", processes, ports["ingest"], secret.encode(), lambda mid: mid, clear)
    streams = Streams(lambda desk, data, at: pipeline.shown(json.loads(data)["message"]["mid"], at))
    stack.push_async_callback(streams.close)
    for desk in range(DESKS):
        await streams.open(desk, ports["desks"], request("GET", f"/desks/{desk}/events"))
    return pipeline


async def _ours(
    kafka: KafkaCluster, redis: RedisServer, folder: Path, stack: contextlib.AsyncExitStack
) -> tuple[Pipeline, Desks]:
    secret, jwt_secret = secrets.token_hex(16), secrets.token_hex(32)
    account = {"workspace": WORKSPACE, "app_secret": secret, "verify_token": secrets.token_hex(8)}
    ingest_port, api_port = free_port(), free_port()
    common = {
        "LOG": _log_url(kafka, "switchdesk"),
        "VIEWS": f"{redis.url}?prefix=switchdesk",
        "LOG_LEVEL": "warning",
        "ROUTER_JWT_SECRET": jwt_secret,
    }
    commands: dict[str, tuple[list[str], dict[str, str]]] = {
        "ingest": (
            ["services.ingest_social"],
            {
                "PORT": str(ingest_port),
                "SOCIAL_MESSENGER": json.dumps({PAGE: account}),
                "SOCIAL_DATA_DIR": str(folder / "social"),
            },
        ),
        "engine": (["services.router", "--role", "engine"], {}),
        "api": (["services.router", "--role", "api"], {"PORT": str(api_port)}),
    }
    processes = {
        name: Process(f"our-{name}", command, {**common, **own}, free_port(), folder)
        for name, (command, own) in commands.items()
    }
    await _started(processes, stack)
    made = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.router", "workspace", WORKSPACE],
        cwd=REPOSITORY,
        env={**os.environ, **common},
        capture_output=True,
        text=True,
        check=True,
    )

    def known_as(mid: str) -> str:
        return message_command_id(WORKSPACE, source_key(ChannelKind.MESSENGER, PAGE, "message", mid))

    async def clear() -> None:
        await desks.clear()

    pipeline = Pipeline("ours", processes, ingest_port, secret.encode(), known_as, clear)
    desks = Desks(api_port, jwt_secret, pipeline.shown)
    stack.push_async_callback(desks.streams.close)
    await desks.set_up(json.loads(made.stdout)["operator_key"], POLICY)
    return pipeline, desks


async def leader(brokers: int) -> None:
    """One replica in this process, whole lives of contacts from a prefilled topic, no views."""
    await _on_kafka(brokers, lambda opened: bench_router.leader(opened=opened))


async def recovery(brokers: int) -> None:
    """A replica in this process takes 100,000 open contacts in."""
    await _on_kafka(brokers, lambda opened: bench_router.recovery(opened=opened))


async def _on_kafka(brokers: int, measure: Callable[[bench_router.OpenedLog], Awaitable[None]]) -> None:
    with KafkaCluster(nodes=brokers, java_options=()) as kafka:
        await asyncio.to_thread(kafka.start)

        @contextlib.asynccontextmanager
        async def opened() -> AsyncIterator[KafkaLog]:
            log = KafkaLog(_log_url(kafka, "bench"))
            await log.open()
            try:
                yield log
            finally:
                await log.close()

        print(f"Kafka, {brokers} broker(s): ", end="")
        await measure(opened)


async def gaps() -> None:
    """How long offers stop, as desks see it, when the leader or a broker is hit: the fault suite's cluster under a
    steady load, each fault with its time for itself."""
    with tempfile.TemporaryDirectory() as folder, History(Path(folder) / "history.jsonl") as history:
        async with Cluster(Path(folder)) as cluster:
            await cluster.start()
            plan = Plan(seed=1, seconds=0, rhythm=RHYTHMS["alone"], steps=[kind for kind in GAPS for _ in range(3)])
            outputs = await run_on_cluster(cluster, history, plan)
        report = judge(history, outputs, plan)
    print(f"three brokers, two engines, gaps in offers: {report.gap_words()}; {len(report.findings)} violations")


def _log_url(kafka: KafkaCluster, prefix: str) -> str:
    nodes = len(kafka.numbers)
    return f"kafka://{kafka.bootstrap}?prefix={prefix}&partitions=1&replication={nodes}&min_isr={nodes // 2 + 1}"


BENCHES: Final[dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, None]]]] = {
    "pipelines": lambda chosen: pipelines(chosen.brokers, chosen.rounds),
    "leader": lambda chosen: leader(chosen.brokers),
    "recovery": lambda chosen: recovery(chosen.brokers),
    "gaps": lambda _: gaps(),
}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.bench_cluster", description=__doc__)
    parser.add_argument("what", nargs="*", help=f"{', '.join(BENCHES)}; all if none is named")
    parser.add_argument("--brokers", type=int, choices=[1, 3], default=1)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.what) - set(BENCHES):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}")
    try:
        for name in chosen.what or BENCHES:
            asyncio.run(BENCHES[name](chosen))
    except pytest.skip.Exception as missing:
        print(f"Kafka and Redis, left out: {missing}")


if __name__ == "__main__":
    main(sys.argv[1:])
