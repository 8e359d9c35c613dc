"""Leases: the log hears of changes only, and of every change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from services.router.api.leases import Leases
from shared.contracts.commands import Input, LoseLease, RegainLease
from shared.leases.port import LeaseBook
from shared.log.memory import MemoryLog
from shared.log.port import Log, LogUnavailable
from shared.views.memory import MemoryViews
from shared.views.port import ViewsUnavailable
from shared.vocabulary import Topic
from tests.eventually import eventually
from tests.unit.api.conftest import WORKSPACE, World, work_doc
from tests.unit.api.standin import Outcome, StandIn


class ManualClock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now_ms(self) -> int:
        return int(self.at * 1000)

    def monotonic(self) -> float:
        return self.at


@dataclass
class Desk:
    leases: Leases
    clock: ManualClock
    views: MemoryViews
    router: StandIn
    log: Log
    said: list[str] = field(default_factory=list)

    def told(self) -> list[str]:
        """What the log was told, in order: `lost ana`, `regained ana`."""
        names = {LoseLease: "lost", RegainLease: "regained"}
        commands = [record.command for record in self.router.seen]
        return [f"{names[type(one)]} {one.agent}" for one in commands if isinstance(one, LoseLease | RegainLease)]


def reachable(value: bool) -> object:
    def script(record: Input) -> Outcome:
        command = record.command
        assert isinstance(command, LoseLease | RegainLease)
        return Outcome(docs=[("agent", command.agent, {"id": command.agent, "reachable": value})])

    return script


@asynccontextmanager
async def desk(lease_s: float = 30, *, book: LeaseBook | None = None, **agents: bool) -> AsyncIterator[Desk]:
    log, views, clock = cast(Log, MemoryLog()), MemoryViews(), ManualClock()
    await log.open()
    router = StandIn(log, views)
    router.scripts[LoseLease] = reachable(False)  # type: ignore[assignment]
    router.scripts[RegainLease] = reachable(True)  # type: ignore[assignment]
    await router.publish(WORKSPACE, [("policy", "current", {"policy": {"lease": {"lease_s": lease_s}}})])
    for agent, is_reachable in agents.items():
        await router.publish(WORKSPACE, [("agent", agent, {"id": agent, "reachable": is_reachable})])

    async def workspaces() -> list[str]:
        return [WORKSPACE]

    leases = Leases(
        views=views,
        inputs=log.inputs,
        partition_of=lambda _: 0,
        clock=clock,
        workspaces=workspaces,
        book=book,
        check_s=0.01,
        reconcile_s=5,
    )
    stopping = asyncio.Event()
    tasks = [asyncio.ensure_future(router.run()), asyncio.ensure_future(leases.run(stopping))]
    made = Desk(leases, clock, views, router, log)
    try:
        yield made
        stopping.set()
        await asyncio.wait_for(tasks[1], 2)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def passed(checks: int = 5) -> None:
    """Let the watch look a few times more."""
    await asyncio.sleep(0.01 * checks)


async def test_after_a_start_everybody_reachable_has_a_fresh_lease() -> None:
    async with desk(ana=True, ben=False) as made:
        await passed()
        made.clock.at += 29
        await passed()
        assert made.told() == []
        made.clock.at += 2
        await eventually(lambda: made.told() == ["lost ana"])
        await passed()
        assert made.told() == ["lost ana"]


async def test_calls_renew_and_are_not_told() -> None:
    async with desk(ana=True) as made:
        for _ in range(10):
            made.clock.at += 20
            made.leases.touch(WORKSPACE, "ana")
            await passed(2)
        assert made.told() == []


async def test_a_desk_that_speaks_again_is_told_once() -> None:
    async with desk(ana=False) as made:
        await passed()
        made.leases.touch(WORKSPACE, "ana")
        await eventually(lambda: made.told() == ["regained ana"])
        for _ in range(5):
            made.leases.touch(WORKSPACE, "ana")
        await passed()
        assert made.told() == ["regained ana"]
        made.clock.at += 31
        await eventually(lambda: made.told() == ["regained ana", "lost ana"])
        made.leases.touch(WORKSPACE, "ana")
        await eventually(lambda: made.told() == ["regained ana", "lost ana", "regained ana"])


async def test_an_open_stream_holds_the_lease_and_its_end_starts_the_count() -> None:
    async with desk(ana=True) as made:
        with made.leases.hold(WORKSPACE, "ana"), made.leases.hold(WORKSPACE, "ana"):
            made.clock.at += 10_000
            await passed()
            assert made.told() == []
        made.clock.at += 29
        await passed()
        assert made.told() == []
        made.clock.at += 2
        await eventually(lambda: made.told() == ["lost ana"])


async def test_the_policy_says_how_long() -> None:
    async with desk(lease_s=60, ana=True) as made:
        await passed()
        made.clock.at += 59
        await passed()
        assert made.told() == []
        made.clock.at += 2
        await eventually(lambda: made.told() == ["lost ana"])


async def test_a_token_for_nobody_says_nothing() -> None:
    async with desk() as made:
        made.leases.touch(WORKSPACE, "zoe")
        made.clock.at += 100
        await passed()
        assert made.told() == []


async def test_what_the_log_did_not_take_is_told_again() -> None:
    async with desk(ana=True) as made:
        await passed()
        append, failures = made.log.inputs.append, 3

        async def flaky(topic: Topic, partition: int, data: bytes) -> int:
            nonlocal failures
            failures -= 1
            if failures >= 0:
                raise LogUnavailable("down")
            return await append(topic, partition, data)

        made.log.inputs.append = flaky  # type: ignore[method-assign]
        made.clock.at += 31
        await eventually(lambda: made.told() == ["lost ana"])


async def test_what_did_not_come_true_is_told_again() -> None:
    async with desk(ana=False) as made:
        await passed()
        made.router.scripts[RegainLease] = lambda record: Outcome()
        with made.leases.hold(WORKSPACE, "ana"):
            await eventually(lambda: made.told() == ["regained ana"])
            await passed()
            made.clock.at += 6
            await eventually(lambda: len(made.told()) == 2)


async def test_an_agents_calls_and_streams_hold_the_lease(api: World) -> None:
    await api.router.publish(WORKSPACE, [("agent", "ana", {"id": "ana", "name": "Ana", "reachable": False})])
    api.router.scripts[RegainLease] = reachable(True)  # type: ignore[assignment]
    stopping = asyncio.Event()
    running = asyncio.ensure_future(api.deps.leases.run(stopping))

    await api.client.get("/v1/contacts", headers=api.as_("supervisor"))
    await passed()
    assert api.router.commands(RegainLease) == []
    await api.client.get("/v1/agents/ana", headers=api.as_("ana"))
    await eventually(lambda: len(api.router.commands(RegainLease)) == 1)
    (record,) = [record for record in api.router.seen if isinstance(record.command, RegainLease)]
    assert (record.actor.role, record.actor.id) == ("agent", "ana")
    lease = api.deps.leases._leases[WORKSPACE, "ana"]
    async with api.client.stream("GET", "/v1/agents/ana/events", headers=api.as_("ana")):
        await eventually(lambda: lease.open == 1)
    await eventually(lambda: lease.open == 0)
    await api.router.publish(WORKSPACE, [("work", "ana", work_doc())])
    stopping.set()
    await asyncio.wait_for(running, 2)


# Several processes


class Book:
    """What other processes know of the desks."""

    def __init__(self) -> None:
        self.elsewhere: set[str] = set()
        self.over: set[str] = set()
        self.renewed: list[str] = []
        self.away = False

    async def renew(self, leases: Sequence[tuple[str, str, float]]) -> None:
        self._reach()
        assert all(workspace == WORKSPACE and 0 < length <= 30 for workspace, _, length in leases)
        self.renewed += [agent for _, agent, _ in leases]

    async def lapsed(self, workspace: str) -> list[str]:
        self._reach()
        return sorted(self.over)

    async def held(self, workspace: str, agent: str) -> bool:
        self._reach()
        return agent in self.elsewhere

    async def forget(self, workspace: str, agent: str) -> None:
        self.over.discard(agent)

    def _reach(self) -> None:
        if self.away:
            raise ViewsUnavailable("away")


async def test_what_is_heard_here_is_booked_now_and_then() -> None:
    book = Book()
    async with desk(book=book, ana=True) as made:
        await eventually(lambda: book.renewed == ["ana"])
        with made.leases.hold(WORKSPACE, "ana"):
            await passed()
            assert book.renewed == ["ana"], "not at every look"
            made.clock.at += 8
            await eventually(lambda: book.renewed == ["ana"] * 2)


async def test_nobody_is_lost_whom_another_process_hears() -> None:
    book = Book()
    book.elsewhere.add("ana")
    async with desk(book=book, ana=True) as made:
        await passed()
        made.clock.at += 31
        await passed(10)
        assert made.told() == []


async def test_a_desk_whose_process_is_gone_is_found_in_the_book() -> None:
    book = Book()
    async with desk(book=book) as made:
        await passed()
        await made.router.publish(WORKSPACE, [("agent", "ben", {"id": "ben", "reachable": True})])
        book.over.add("ben")
        made.clock.at += 3
        await eventually(lambda: made.told() == ["lost ben"])
        await passed()
        assert made.told() == ["lost ben"]


async def test_a_book_that_is_away_makes_nobody_silent() -> None:
    book = Book()
    async with desk(book=book, ana=True) as made:
        await passed()
        book.away = True
        made.clock.at += 31
        await passed(10)
        assert made.told() == []
        book.away = False
        await eventually(lambda: made.told() == ["lost ana"])
