"""The memory log keeps what every log keeps, stores void proposals, and lets a test decide what goes wrong."""

from __future__ import annotations

import asyncio

import pytest

from shared.log.memory import Call, Faults, MemoryLog, MemoryStore
from shared.log.port import Log, LogCorrupt, LogUnavailable, Positions
from shared.vocabulary import Topic
from tests.unit.log.replica import Replica
from tests.unit.log.suite import START, ContentSuite, InputsSuite, JournalSuite, Reopen, SnapshotsSuite, snapshot


class TestMemoryLog(InputsSuite, JournalSuite, SnapshotsSuite, ContentSuite):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    def log(self, store: MemoryStore) -> Log:
        return MemoryLog(store)

    @pytest.fixture
    def other(self, store: MemoryStore) -> Log:
        return MemoryLog(store)

    @pytest.fixture
    def reopen(self, store: MemoryStore) -> Reopen:
        async def reopen(log: Log) -> Log:
            await log.close()
            return MemoryLog(store)

        return reopen

    async def damage_newest(self, log: Log) -> None:
        chunks = stored(log).snapshots[-1].chunks
        chunks[1] = chunks[1][:100] + bytes([chunks[1][100] ^ 1]) + chunks[1][101:]

    async def lose_a_chunk_of_newest(self, log: Log) -> None:
        stored(log).snapshots[-1].chunks.pop()

    async def kept(self, log: Log, partition: int) -> list[int]:
        return sorted({one.seq for one in stored(log).snapshots if one.partition == partition})


def stored(log: Log) -> MemoryStore:
    assert isinstance(log, MemoryLog)
    return log.store


class Scripted(Faults):
    """Raises where it is told to."""

    def __init__(self, *, before: str = "", after: str = "", copies: int = 1, limit: int = 1_000) -> None:
        self.calls: list[Call] = []
        self._before = before
        self._after = after
        self._copies = copies
        self._limit = limit

    async def before(self, call: Call) -> None:
        self.calls.append(call)
        if call.name == self._before:
            raise LogUnavailable("as scripted")

    async def after(self, call: Call) -> None:
        if call.name == self._after:
            raise LogUnavailable("as scripted")

    def copies(self, call: Call) -> int:
        return self._copies

    def limit(self, call: Call, limit: int) -> int:
        return min(limit, self._limit)


async def test_void_proposals_are_stored_in_the_order_of_their_arrival() -> None:
    store = MemoryStore()
    one, two = await Replica.start(MemoryLog(store), "one"), await Replica.start(MemoryLog(store), "two")
    won, lost = await one.propose(), await two.propose()

    records = await one.log.journal.read(0, 0, limit=10, wait_s=0)

    assert [record.data for record in records] == [won.data, lost.data]
    await two.catch_up()
    assert (two.head.hash, two.chain.void_records) == (won.hash, 1)


async def test_what_fails_before_is_lost_and_what_fails_after_has_happened() -> None:
    store = MemoryStore()
    for faults, left in ((Scripted(before="inputs.append"), 0), (Scripted(after="inputs.append"), 1)):
        with pytest.raises(LogUnavailable):
            await MemoryLog(store, faults).inputs.append(Topic.COMMANDS, 0, b"x")
        assert await MemoryLog(store).inputs.end(0) == Positions(commands=left, inbound=0)


async def test_a_failed_proposal_may_still_win_later() -> None:
    store = MemoryStore()
    faults = Scripted(before="journal.propose")
    replica = await Replica.start(MemoryLog(store, faults))
    with pytest.raises(LogUnavailable):
        await replica.propose()
    assert (await replica.catch_up()).seq == 0

    late = next(call for call in faults.calls if call.name == "journal.propose")
    store.add_proposal(late.partition, late.data)

    assert (await replica.catch_up()).seq == 1


async def test_copies_arrive_as_often_as_the_faults_say() -> None:
    log = MemoryLog(faults=Scripted(copies=2))
    replica = await Replica.start(log)

    await log.inputs.append(Topic.INBOUND, 0, b"x")
    await replica.propose()

    assert await log.inputs.end(0) == Positions(commands=0, inbound=2)
    assert (await replica.catch_up()).seq == 1
    assert replica.chain.void_records == 1


async def test_an_append_that_never_arrives_is_not_acknowledged() -> None:
    with pytest.raises(LogUnavailable):
        await MemoryLog(faults=Scripted(copies=0)).inputs.append(Topic.INBOUND, 0, b"x")


async def test_a_read_may_be_shorter_than_asked_for() -> None:
    log = MemoryLog(faults=Scripted(limit=2))
    for n in range(5):
        await log.inputs.append(Topic.COMMANDS, 0, b"%d" % n)

    assert [r.offset for r in await log.inputs.read(0, START, limit=100, wait_s=0)] == [0, 1]


async def test_a_save_that_dies_in_the_middle_leaves_the_older_snapshot() -> None:
    store = MemoryStore()
    await MemoryLog(store).snapshots.save(snapshot(1))
    with pytest.raises(LogUnavailable):
        await MemoryLog(store, Scripted(before="snapshots.manifest")).snapshots.save(snapshot(2))

    assert await MemoryLog(store).snapshots.load_newest_valid(0, format=1) == snapshot(1)


async def test_a_trimmed_journal_says_so() -> None:
    log = MemoryLog()
    replica = await Replica.start(log)
    for _ in range(3):
        await replica.propose()
        await replica.catch_up()
    log.store.journal_start[0] = 2

    assert await log.journal.bounds(0) == (2, 3)
    with pytest.raises(LogCorrupt):
        await log.journal.read(0, 1, limit=10, wait_s=0)


async def test_the_same_run_twice_takes_the_same_turns() -> None:
    async def run() -> list[str]:
        log = MemoryLog()
        order: list[str] = []

        async def reader(name: str) -> None:
            records = await log.inputs.read(0, START, limit=1, wait_s=5)
            order.append(f"{name}:{records[0].data.decode()}")

        async def writer(name: str) -> None:
            await log.inputs.append(Topic.COMMANDS, 0, name.encode())
            order.append(name)

        await asyncio.gather(*(reader(f"r{n}") for n in range(20)), *(writer(f"w{n}") for n in range(5)))
        return order

    assert await run() == await run()
