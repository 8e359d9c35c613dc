"""Views under a leader: taken over where the last one stopped, written anew when they were lost, never waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from services.router import partition
from services.router.metrics import RouterMetrics
from services.router.partition import PartitionRouter
from services.router.projection import Projection
from services.router.replica import ReplicaSettings
from services.router.turns import Pace
from shared.clock import SystemClock
from shared.contracts import commands as cmd
from shared.log.memory import Call, Faults, MemoryLog, MemoryStore
from shared.views.memory import MemoryViews
from shared.views.port import Change, ViewsUnavailable
from shared.vocabulary import ChannelHealth
from tests.builders import ADAPTER, account_of, acting, address, message
from tests.eventually import eventually
from tests.unit.router.test_replica import HandClock, open_for_work, put

QUICK = ReplicaSettings(resend_s=0.02, idle_s=0.01, pace=Pace(beat_s=0.5, silence_s=1.5))


class Seat:
    """A router on one partition, turned by hand."""

    def __init__(
        self,
        store: MemoryStore,
        views: MemoryViews,
        clock: HandClock,
        name: str,
        faults: Faults | None = None,
        settings: ReplicaSettings = QUICK,
    ) -> None:
        self.metrics = RouterMetrics()
        self.views, self.clock = views, clock
        self.log = MemoryLog(store, faults)
        self.router = PartitionRouter(
            log=self.log, views=views, clock=clock, metrics=self.metrics, name=name, settings=settings
        )
        self.replica = self.router.replica
        self.publisher = self.router._publisher

    async def start(self) -> Seat:
        await self.replica.recover()
        self.publisher.epoch = "epoch"
        await self.replica.begin()
        return self

    async def turn(self, times: int = 1) -> None:
        for _ in range(times):
            await self.replica.turn()
            await self.publisher.tend(self.replica)

    async def lead(self) -> None:
        self.clock.pass_s(1.6)
        await self.work()
        assert self.replica.leading

    async def work(self) -> None:
        """Turn until everything is decided and told."""
        for _ in range(500):
            await self.turn()
            end = await self.replica.log.inputs.end(0)
            if end == self.replica.positions and self.publisher.caught_up and not self.replica.engine.unfinished:
                return
        raise AssertionError("it does not come to an end")

    def rebuilds(self) -> float:
        labels = {"partition": "0"}
        return self.metrics.registry.get_sample_value("switchdesk_views_rebuilds_total", labels) or 0

    async def documents(self) -> dict[tuple[str, str, str], Any]:
        """What the views hold of everything that there should be, without the numbers of entries."""
        projection, world = Projection(), self.replica.engine.world
        return {
            (workspace, kind, id): _plain(await self.views.get(workspace, kind, id))
            for kind, workspace, id in projection.all_keys(world)
        }

    def expected(self) -> dict[tuple[str, str, str], Any]:
        projection, world = Projection(), self.replica.engine.world
        changes: Sequence[Change] = projection.documents(world, list(projection.all_keys(world)), 0)
        return {(one.workspace, one.kind, one.id): _plain(one.data) for one in changes}


def _plain(document: Any) -> Any:
    """Without what counts up with every entry."""
    return {key: value for key, value in document.items() if key not in ("seq", "sequence")} if document else None


def centre(contacts: int) -> MemoryStore:
    store = MemoryStore()
    open_for_work(store, capacity=3)
    for number in range(contacts):
        put(store, message(f"c{number}"), by=ADAPTER)
    return store


async def test_the_first_leader_writes_everything_and_whoever_follows_writes_what_is_missing() -> None:
    store, views, clock = centre(20), MemoryViews(), HandClock()
    first, second = await Seat(store, views, clock, "one").start(), await Seat(store, views, clock, "two").start()
    await first.lead()
    assert await first.documents() == first.expected()
    assert await views.seq(0) == first.replica.head.seq
    assert first.rebuilds() == 1
    await second.turn()

    # The next entry is journaled, and its author dies before it can tell.
    put(store, cmd.AcceptOffer(offer=next(iter(first.replica.engine.state.workspaces["w"].offers))), by=acting("ana"))
    first.publisher._up = False
    await first.replica.step()
    assert await views.seq(0) == first.replica.head.seq - 1
    await second.turn(3)
    assert await views.seq(0) == first.replica.head.seq - 1, "a standby tells nothing"
    await second.lead()
    assert await second.documents() == second.expected()
    assert await views.seq(0) == second.replica.head.seq
    assert second.rebuilds() == 0, "what it remembered was enough"


async def test_a_leader_after_a_cold_start_finds_whole_views_and_leaves_them() -> None:
    store, views, clock = centre(5), MemoryViews(), HandClock()
    first = await Seat(store, views, clock, "one").start()
    await first.lead()
    second = await Seat(store, views, clock, "two").start()
    await second.lead()
    assert second.rebuilds() == 0
    assert await second.documents() == second.expected()


async def test_views_of_another_journal_are_not_trusted() -> None:
    store, clock = centre(5), HandClock()
    await (await Seat(store, MemoryViews(), clock, "zero").start()).lead()
    views = MemoryViews()
    await views.begin(0, "another")
    await views.publish(0, 3, [Change("w", "contact", "c0", 3, {"id": "c0", "of": "another journal"})])
    first = await Seat(store, views, clock, "one").start()
    await first.lead()
    assert first.rebuilds() == 1
    assert await views.get("w", "contact", "c0") is None
    assert await first.documents() == first.expected()


async def test_lost_views_are_written_anew_between_entries_while_work_goes_on() -> None:
    store, views, clock = centre(300), MemoryViews(), HandClock()
    first = await Seat(store, views, clock, "one").start()
    await first.lead()
    views.forget()
    assert views.lost(0)
    put(store, message("late"), by=ADAPTER)
    await first.turn()
    assert not first.publisher.caught_up
    assert await views.seq(0) == 0, "readers are told that the views are not whole"
    put(store, message("later"), by=ADAPTER)
    await first.work()
    assert first.rebuilds() == 2
    assert await views.seq(0) == first.replica.head.seq
    assert await first.documents() == first.expected()


async def test_a_store_that_is_away_holds_nothing_up() -> None:
    class Away(MemoryViews):
        away = True

        async def begin(self, partition: int, epoch: str) -> int:
            if self.away:
                await asyncio.sleep(0.05)
                raise ViewsUnavailable("away")
            return await super().begin(partition, epoch)

    store, views, clock = centre(5), Away(), HandClock()
    first = await Seat(store, views, clock, "one").start()
    clock.pass_s(1.6)
    await first.turn(5)
    assert first.replica.positions == await first.replica.log.inputs.end(0)
    assert not first.publisher.caught_up
    views.away = False

    async def told() -> bool:
        await first.turn()
        return first.publisher.caught_up

    await eventually(told, within_s=5)
    assert await first.documents() == first.expected()
    await first.publisher.close()


async def test_only_the_author_counts() -> None:
    store, views, clock = centre(4), MemoryViews(), HandClock()
    first, second = await Seat(store, views, clock, "one").start(), await Seat(store, views, clock, "two").start()
    await first.lead()
    await second.turn(3)
    received = [seat.metrics.registry.get_sample_value("switchdesk_events_total") or 0 for seat in (first, second)]
    assert received[0] > 0
    assert received[1] == 0


async def test_states_are_hashed_at_the_same_entries_everywhere() -> None:
    store, views, clock = centre(0), MemoryViews(), HandClock()
    first, second = await Seat(store, views, clock, "one").start(), await Seat(store, views, clock, "two").start()
    await first.lead()
    assert first.router.describe()["state_hash"] is None
    for number in range(120):
        put(store, message(f"c{number}"), by=ADAPTER)
        await first.turn()
    await second.turn(3)
    assert first.router.describe()["state_seq"] is None, "nobody waits for a hash while there is something to do"
    for _ in range(2):
        clock.pass_s(1)
        await first.turn()
    await second.turn(3)
    told, heard = first.router.describe(), second.router.describe()
    assert told["state_seq"] == heard["state_seq"] == told["seq"] - 1, "the first of two beats"
    assert told["state_hash"] == heard["state_hash"]
    assert (told["leader"], heard["leader"]) == (True, False)


async def test_states_are_hashed_in_time_where_it_is_never_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "BUSY", 1)
    store, views, clock = centre(0), MemoryViews(), HandClock()
    first = await Seat(store, views, clock, "one").start()
    await first.lead()
    for number in range(120):
        put(store, message(f"c{number}"), by=ADAPTER)
        await first.turn()
    assert first.router.describe()["state_seq"] == 100


async def test_what_runs_beside_a_leader_begins_again_when_it_failed_and_ends_with_the_leading() -> None:
    begun: list[int] = []

    async def fails_once(partition: int, stopping: asyncio.Event) -> None:
        begun.append(partition)
        if len(begun) == 1:
            raise RuntimeError("once")
        await stopping.wait()

    store, stopping = centre(0), asyncio.Event()
    router = PartitionRouter(
        log=MemoryLog(store),
        views=MemoryViews(),
        clock=SystemClock(),
        metrics=RouterMetrics(),
        settings=ReplicaSettings(resend_s=0.02, idle_s=0.01),
        beside=fails_once,
    )
    running = asyncio.create_task(router.run(stopping))
    await eventually(lambda: begun == [0, 0])
    stopping.set()
    await asyncio.wait_for(running, 5)
    assert router._besides is None


async def test_a_log_that_takes_nothing_any_more_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoSnapshot(Faults):
        async def before(self, call: Call) -> None:
            if call.name.startswith("snapshots."):
                await asyncio.Event().wait()

    monkeypatch.setattr(partition, "STOP_S", 0.05)
    store = MemoryStore()
    open_for_work(store)
    log = MemoryLog(store, NoSnapshot())
    # The snapshot is asked for when the router begins, too: there it is let through.
    monkeypatch.setattr(log.snapshots, "load_newest_valid", _no_snapshot)
    router = PartitionRouter(
        log=log,
        views=MemoryViews(),
        clock=HandClock(),
        metrics=RouterMetrics(),
        settings=ReplicaSettings(resend_s=0.02, idle_s=0.01),
    )
    stopping = asyncio.Event()
    running = asyncio.create_task(router.run(stopping))
    await router.ready.wait()
    stopping.set()

    async with asyncio.timeout(5):
        await running

    assert not router.replica.leading


async def _no_snapshot(partition: int, *, format: int, before: int | None = None) -> None:
    return None


async def test_an_attempt_that_was_given_up_is_taken_out_of_the_adapters_sight() -> None:
    store, views, clock = centre(1), MemoryViews(), HandClock()
    seat = await Seat(store, views, clock, "one").start()
    await seat.lead()
    route = tuple(
        cmd.DeliveryStep(channel=kind, account=account_of(kind), address=address(kind, "jane"))
        for kind in ("email", "chat")
    )
    put(store, cmd.SendOutbound(source_key="m1", content_ref="o:m1", route=route), by=ADAPTER, id="k")
    await seat.work()
    first = await views.get("w", "delivery", "k.1")
    assert first is not None
    assert first["channel"] == "email"

    down = cmd.ReportChannelHealth(channel="email", account=account_of("email"), state=ChannelHealth.DOWN)
    put(store, down)
    await seat.work()

    assert await views.get("w", "delivery", "k.1") is None
    outbound = await views.get("w", "outbound", "k.0")
    assert outbound is not None
    _, second = outbound["attempts"]
    assert await views.get("w", "delivery", second["id"]) is not None
    assert await seat.documents() == seat.expected()
    views.forget()
    await seat.work()
    assert await seat.documents() == seat.expected()
    assert await views.get("w", "delivery", second["id"]) is not None
