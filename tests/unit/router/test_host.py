"""The partitions of one engine: which it takes, and what becomes of one that contradicts itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from services.router import host, membership, partition
from services.router.chain import Head, build_proposal
from services.router.host import Host, ready_replicas
from services.router.membership import Roster, replicas_of
from services.router.metrics import RouterMetrics
from services.router.partition import PartitionRouter
from services.router.replica import Replica, ReplicaSettings
from services.router.turns import Pace
from shared.clock import SystemClock
from shared.log.memory import MemoryLog, MemoryStore
from shared.log.port import Positions
from shared.views.memory import MemoryViews
from tests.eventually import eventually
from tests.unit.router.test_membership import Wire
from tests.unit.router.test_replica import open_for_work

QUICK = ReplicaSettings(resend_s=0.02, idle_s=0.01, pace=Pace(beat_s=0.02, silence_s=0.05))


@dataclass
class House:
    """One engine on a log and a roster that others may share."""

    name: str = "one"
    count: int = 2
    store: MemoryStore = field(default_factory=MemoryStore)
    wire: Wire = field(default_factory=Wire)

    def __post_init__(self) -> None:
        self.metrics = RouterMetrics()
        self.beside: set[int] = set()
        self.roster = Roster(self.wire, SystemClock())
        self.host = Host(self.name, self.count, self.roster, self.metrics, self._make)

    def _make(self, number: int) -> PartitionRouter:
        return PartitionRouter(
            log=MemoryLog(self.store),
            views=MemoryViews(),
            clock=SystemClock(),
            metrics=self.metrics,
            partition=number,
            name=self.name,
            settings=QUICK,
            beside=self._beside,
        )

    async def _beside(self, number: int, stop: asyncio.Event) -> None:
        self.beside.add(number)
        try:
            await stop.wait()
        finally:
            self.beside.discard(number)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[House]:
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.roster.listen(stopping))
            group.create_task(self.host.run(stopping))
            try:
                yield self
            finally:
                stopping.set()

    def value(self, name: str, number: int) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"partition": str(number)})

    def leads(self) -> set[int]:
        return {each.replica.partition for each in self.host.partitions if each.replica.leading}


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "LISTEN_S", 0.05)
    monkeypatch.setattr(host, "BEAT_S", 0.02)
    monkeypatch.setattr(partition, "AGAIN_S", 0.01)


def contradict(store: MemoryStore, number: int) -> None:
    """A record that no honest proposer can have written: it names an entry that nobody has read."""
    record = build_proposal(Head(10_000, "f" * 64), at=0, by="a stranger", positions=Positions(0, 0), decisions=())
    store.add_proposal(number, record.data)


async def test_a_partition_that_contradicts_itself_leaves_nothing_of_a_leader_behind() -> None:
    house = House()
    open_for_work(house.store)
    async with house.running():
        await eventually(lambda: house.leads() == {0, 1} == house.beside)
        assert [house.value("switchdesk_partition_stopped", number) for number in (0, 1)] == [0, 0]
        house.metrics.set_leading(0, True)  # As the look at the gauges does every five seconds.
        contradict(house.store, 0)
        await eventually(lambda: [each.replica.partition for each in house.host.partitions] == [1])

        assert house.value("switchdesk_leading", 0) == 0
        assert house.value("switchdesk_partition_stopped", 0) == 1
        assert house.value("switchdesk_partition_stopped", 1) == 0
        assert house.beside == {1}
        assert house.leads() == {1}
        assert str(house.host.why_not_ready()).startswith("partition 0 is stopped: record at offset")
        records = len(house.store.journal[0])
        await asyncio.sleep(0.1)
        assert house.leads() == {1}, "it is not begun again"

    assert len(house.store.journal[0]) == records, "no goodbye on a journal that it does not understand"
    assert not [json.loads(data) for data in house.store.journal[0] if json.loads(data)["bye"]]
    assert {saved.partition for saved in house.store.snapshots} == {1}, "no snapshot of a state that contradicts it"


async def test_a_stalled_roster_moves_no_partition_and_one_alone_takes_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(membership, "ALIVE_S", 0.6)
    monkeypatch.setattr(membership, "DEAF_S", 0.2)
    store, wire = MemoryStore(), Wire()
    houses = [House(name, 6, store, wire) for name in ("one", "two", "ana")]

    def taken() -> list[set[int]]:
        return [{each.replica.partition for each in house.host.partitions} for house in houses]

    def shares(*names: str) -> list[set[int]]:
        return [{n for n in range(6) if name in replicas_of(n, names)} for name in names]

    async with contextlib.AsyncExitStack() as first:
        await first.enter_async_context(houses[0].running())
        await eventually(lambda: taken()[0] == set(range(6)), within_s=3)
        async with contextlib.AsyncExitStack() as others:
            for house in houses[1:]:
                await others.enter_async_context(house.running())
            monkeypatch.setattr(host, "LINGER_S", 0.2)
            expected = shares("one", "two", "ana")
            assert all(len(share) < 6 for share in expected)
            await eventually(lambda: taken() == expected)
            wire.away = True
            await asyncio.sleep(1.0)
            assert taken() == expected
            wire.away = False
            await asyncio.sleep(0.3)
            assert taken() == expected
            # They go without a word.
            wire.away = True
        wire.away = False
        await eventually(lambda: taken()[0] == set(range(6)), within_s=3)


async def test_one_that_hears_nothing_at_its_start_waits_and_then_takes_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host, "DEAF_LISTEN_S", 0.5)
    house = House()
    house.wire.away = True
    async with house.running():
        await asyncio.sleep(0.2)
        assert list(house.host.partitions) == []
        await eventually(lambda: house.leads() == {0, 1})


async def test_only_replicas_that_have_recovered_and_follow_closely_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "LINGER_S", 0.2)
    store, wire = MemoryStore(), Wire()
    one, two = House("one", 1, store, wire), House("two", 1, store, wire)

    def counted(house: House) -> float | None:
        return house.value("switchdesk_replicas", 0)

    async with one.running():
        await eventually(lambda: one.leads() == {0} and counted(one) == 1)
        waits = asyncio.Event()

        async def held_up(self: Replica) -> None:
            await waits.wait()
            await recover(self)

        recover = Replica.recover
        monkeypatch.setattr(Replica, "recover", held_up)
        async with two.running():
            await eventually(lambda: len(two.host.partitions) == 1 and one.roster.alive() == ["one", "two"])
            await asyncio.sleep(0.1)
            assert counted(one) == 1, "the second one is there and still recovers"
            waits.set()
            await eventually(lambda: counted(one) == counted(two) == 2)
        await eventually(lambda: counted(one) == 1)


def test_a_replica_far_behind_the_head_does_not_count() -> None:
    told = [
        {"partition": 0, "seq": 5_000},
        {"partition": 0, "seq": 4_200},
        {"partition": 0, "seq": 3_900},
        {"partition": 1, "seq": 7},
    ]
    assert ready_replicas(told) == {0: 2, 1: 1}
    assert ready_replicas([]) == {}


async def test_a_bug_ends_one_partition_for_a_while_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "AGAIN_S", 0.3)
    house = House()
    open_for_work(house.store)
    turn, bugs = Replica.turn, [KeyError("the words of a customer")]

    async def broken(replica: Replica) -> None:
        if replica.partition == 0 and replica.leading and bugs:
            raise bugs.pop()
        await turn(replica)

    monkeypatch.setattr(Replica, "turn", broken)
    async with house.running():
        await eventually(lambda: house.value("switchdesk_partition_stopped", 0) == 1)
        assert house.value("switchdesk_partition_stopped", 1) == 0
        assert str(house.host.why_not_ready()).startswith("partition 0 is stopped: KeyError at test_host.py:")
        await eventually(lambda: house.leads() == {0, 1})
        assert house.value("switchdesk_partition_stopped", 0) == 0
        assert house.host.why_not_ready() is True


async def test_a_log_that_does_not_answer_does_not_hold_up_the_stop() -> None:
    house = House()
    open_for_work(house.store)
    async with asyncio.timeout(10):
        async with house.running():
            await eventually(lambda: house.leads() == {0, 1})
            house.wire.stuck = True
            await asyncio.sleep(0.1)
    assert not house.leads()
