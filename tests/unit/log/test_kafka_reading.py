"""Many readers of one partition at any places, retention that took records away, large records, read-back."""

from __future__ import annotations

import asyncio

import pytest

from shared.log.kafka import KafkaLog, stream
from shared.log.kafka.reader import Page, Reader
from shared.log.port import InputRecord, LogCorrupt, LogUnavailable, Positions
from shared.vocabulary import Topic
from tests.eventually import eventually
from tests.unit.log.conftest import Open
from tests.unit.log.kafka_topics import Topics
from tests.unit.log.suite import START, fill


@pytest.fixture
async def log(open_log: Open) -> KafkaLog:
    return await open_log()


async def propose(log: KafkaLog, *entries: bytes) -> None:
    """Stored as they are: whether something is an entry does not matter here."""
    for data in entries:
        await log.journal.propose(0, data, seq=1, prev="", entry_hash="")


async def propose_many(log: KafkaLog, count: int, size: int = 100) -> None:
    bodies = [b"%d " % n + bytes(size) for n in range(count)]
    await asyncio.gather(*(log.journal.propose(0, body, seq=1, prev="", entry_hash="") for body in bodies))


async def read_all(log: KafkaLog, start: int, end: int, limit: int) -> list[int]:
    offsets: list[int] = []
    while start + len(offsets) < end:
        records = await log.journal.read(0, start + len(offsets), limit=limit, wait_s=5)
        offsets += [record.offset for record in records]
    return offsets


async def test_readers_at_different_places_do_not_disturb_each_other(log: KafkaLog) -> None:
    await propose_many(log, 3_000)
    readers = [
        asyncio.create_task(read_all(log, start, 3_100, limit))
        for start, limit in ((0, 500), (0, 7), (1_500, 100), (2_990, 1))
    ]
    latest = asyncio.create_task(read_all(log, 3_000, 3_100, 500))

    for n in range(100):
        await propose(log, b"%d" % n)

    assert [await reader for reader in readers] == [list(range(start, 3_100)) for start in (0, 0, 1_500, 2_990)]
    assert await latest == list(range(3_000, 3_100))


async def test_a_read_holds_what_was_acknowledged_before_it(log: KafkaLog) -> None:
    await propose(log, b"0")
    assert await read_all(log, 0, 1, 10) == [0]

    for n in range(1, 200):
        await propose(log, *(b"%d" % part for part in range(n % 4 + 1)))
        end = (await log.journal.bounds(0))[1]
        first = await log.journal.read(0, 0, limit=1_000, wait_s=5)
        assert len(first) == end


async def test_a_topic_that_waits_for_its_readers_is_not_taken_for_one_that_is_not_heard(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "AHEAD", 10)
    assert await log.inputs.read(0, START, limit=10, wait_s=0.1) == []
    await fill(log, inbound=50)
    await asyncio.sleep(stream.DEAF_S + 0.5)
    inbound = log.inputs._partition(0)[Topic.INBOUND]
    assert inbound._tail is not None
    assert inbound._is_ahead(inbound._tail), "it asks no more"
    assert log.inputs.deaf_s(0) == 0


async def test_a_limited_read_of_many_is_never_short(log: KafkaLog) -> None:
    await propose_many(log, 6_000, size=700)

    for offset, limit in ((0, 500), (500, 500), (5_400, 500), (1_000, 1_200), (5_700, 500)):
        records = await log.journal.read(0, offset, limit=limit, wait_s=0)
        assert [record.offset for record in records] == list(range(offset, min(offset + limit, 6_000)))


async def test_reading_on_costs_no_request_for_each_step(log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> None:
    await propose_many(log, 2_000)
    pages: list[int] = []
    fetch = Reader.page

    async def counted(reader: Reader, offset: int, *, wait_ms: int = 0, max_bytes: int = 0) -> Page:
        pages.append(offset)
        return await fetch(reader, offset, wait_ms=wait_ms, max_bytes=max_bytes)

    monkeypatch.setattr(Reader, "page", counted)

    for offset in range(0, 2_000, 50):
        assert len(await log.journal.read(0, offset, limit=50, wait_s=0)) == 50
    for offset in (1_000, 0, 1_950):
        assert (await log.journal.read(0, offset, limit=50, wait_s=5))[0].offset == offset

    assert len(pages) <= 3


async def test_what_comes_faster_than_it_is_read_stays_in_kafka(log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "AHEAD", 100)
    await fill(log, inbound=1)
    first = await log.inputs.read(0, START, limit=10, wait_s=5)
    assert await log.inputs.read(0, Positions(0, 1), limit=10, wait_s=0.05) == []

    await asyncio.gather(*(log.inputs.append(Topic.INBOUND, 0, bytes(1_000)) for _ in range(5_000)))
    inbound = log.inputs._streams[0][Topic.INBOUND]
    await eventually(lambda: inbound._tail is not None and inbound._tail.end > 100)
    held = inbound._tail.end if inbound._tail else 0
    position = 1
    while position < 5_001:
        records = await log.inputs.read(0, Positions(0, position), limit=200, wait_s=5)
        assert [record.offset for record in records] == list(range(position, position + len(records)))
        position += len(records)

    assert first == [InputRecord(Topic.INBOUND, 0, b"inbound 0")]
    # One answer of the broker may go over; all 5,000 in memory would not be waiting.
    assert held < 5_001
    assert await log.inputs.append(Topic.COMMANDS, 0, b"go") == 0
    assert await log.inputs.read(0, Positions(0, 5_001), limit=5, wait_s=5) == [InputRecord(Topic.COMMANDS, 0, b"go")]


async def test_a_follower_that_nobody_reads_ends_and_begins_again(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "UNREAD_S", 0.1)
    await propose(log, b"0")
    assert await log.journal.read(0, 1, limit=10, wait_s=0.05) == []
    partition = log.journal._streams[0]
    await eventually(lambda: partition._follower is None)

    waiting = asyncio.create_task(log.journal.read(0, 1, limit=10, wait_s=20))
    await asyncio.sleep(1.2)
    await propose(log, b"1")

    assert [record.data for record in await waiting] == [b"1"]


async def test_what_retention_took_away_is_an_error_with_words(open_log: Open, topics: Topics) -> None:
    log, other = await open_log(), await open_log()
    await propose(log, *(b"%d" % n for n in range(10)))
    stalled = await log.journal.read(0, 0, limit=4, wait_s=0)

    await topics.trim("journal", 0, before=7)

    assert len(stalled) == 4
    assert await other.journal.bounds(0) == (7, 10)
    for wait_s in (0, 5):
        with pytest.raises(LogCorrupt, match=r"journal/0 holds offsets 7 to 10, not 4"):
            await other.journal.read(0, 4, limit=4, wait_s=wait_s)
    assert [record.offset for record in await other.journal.read(0, 7, limit=10, wait_s=0)] == [7, 8, 9]


async def test_a_follower_that_was_cut_off_is_an_error_too(
    open_log: Open, log: KafkaLog, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await open_log()
    await propose(log, b"0")
    waiting = asyncio.create_task(log.journal.read(0, 1, limit=10, wait_s=30))
    await eventually(lambda: 0 in log.journal._streams and log.journal._streams[0]._tail is not None)
    page = Reader.page
    held = asyncio.Event()

    async def late(reader: Reader, offset: int, *, wait_ms: int = 0, max_bytes: int = 0) -> Page:
        if wait_ms:
            await held.wait()
        return await page(reader, offset, wait_ms=wait_ms, max_bytes=max_bytes)

    # The request that waits in the broker now is still answered, so it must not be the one that brings the records.
    monkeypatch.setattr(Reader, "page", late)
    await asyncio.sleep(0.7)
    await propose(other, *(b"%d" % n for n in range(1, 6)))
    await topics.trim("journal", 0, before=4)
    held.set()

    with pytest.raises(LogCorrupt, match=r"holds offsets 4 to 6, not 1"):
        await waiting


async def test_a_position_behind_the_end_says_where_the_end_is(log: KafkaLog) -> None:
    await fill(log, commands=2)

    with pytest.raises(LogCorrupt, match=r"commands/0 holds offsets 0 to 2, not 3"):
        await log.inputs.read(0, Positions(3, 0), limit=10, wait_s=0)
    with pytest.raises(LogCorrupt, match=r"has no offset -1"):
        await log.inputs.read(0, Positions(-1, 0), limit=10, wait_s=0)


async def test_entries_of_several_megabytes(log: KafkaLog) -> None:
    await propose(log, bytes(4_000_000), b"small", bytes(7_900_000), b"last")

    found = [await log.journal.read(0, offset, limit=10, wait_s=5) for offset in range(4)]

    assert [len(records[0].data) for records in found] == [4_000_000, 5, 7_900_000, 4]
    with pytest.raises(ValueError, match=r"9000\d\d\d bytes is too large for .*journal, which takes 8388608"):
        await propose(log, bytes(9_000_000))
    assert log.healthy() is True


async def test_an_input_of_a_megabyte_is_stored_and_a_larger_one_refused(log: KafkaLog) -> None:
    assert await log.inputs.append(Topic.INBOUND, 0, bytes(1_000_000)) == 0

    with pytest.raises(ValueError, match=r"too large for .*inbound, which takes 1048588"):
        await log.inputs.append(Topic.INBOUND, 0, bytes(1_100_000))

    assert await log.inputs.end(0) == Positions(0, 1)


async def test_a_topic_that_takes_less_than_it_says_refuses_with_words(log: KafkaLog, topics: Topics) -> None:
    await topics.change("inbound", {"max.message.bytes": "1000"})

    async def refused() -> bool:
        try:
            await log.inputs.append(Topic.INBOUND, 0, bytes(5_000))
        except ValueError as error:
            return "too large for" in str(error)
        return False

    await eventually(refused)
    assert log.healthy() is True


async def test_a_closed_log_answers_nobody_and_keeps_nobody_waiting(log: KafkaLog) -> None:
    waiting = [
        asyncio.create_task(log.journal.read(0, 0, limit=1, wait_s=60)),
        asyncio.create_task(log.inputs.read(0, START, limit=1, wait_s=60)),
    ]
    await asyncio.sleep(0.1)

    await log.close()
    await log.close()

    async with asyncio.timeout(5):
        for read in waiting:
            with pytest.raises(LogUnavailable):
                await read
    with pytest.raises(LogUnavailable):
        await log.inputs.append(Topic.INBOUND, 0, b"x")
    with pytest.raises(LogUnavailable):
        await log.snapshots.load_newest_valid(0, format=1)


async def test_a_loop_that_reads_much_is_not_kept(log: KafkaLog) -> None:
    await propose_many(log, 20_000, size=300)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(0)
            longest = max(longest, loop.time() - began)

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        offsets = await read_all(log, 0, 20_000, 500)
        watching.cancel()

    assert offsets == list(range(20_000))
    # Milliseconds where nobody else computes; the machine may take its turn in between.
    assert longest < 0.25
