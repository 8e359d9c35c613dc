"""Content on Kafka: the topic is the truth, and the table comes back whenever it was lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from shared.log.content_table import Change, MemoryContentTable, Progress
from shared.log.kafka import KafkaLog, content
from shared.log.port import LogUnavailable
from tests.eventually import eventually
from tests.unit.log.conftest import PARTITIONS, Open
from tests.unit.log.kafka_topics import Topics


@asynccontextmanager
async def materialising(log: KafkaLog, *workspaces: str) -> AsyncIterator[None]:
    """Somebody materialises the partitions of these workspaces meanwhile."""
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for partition in {log.content.partition_of(workspace) for workspace in workspaces}:
            group.create_task(log.content.materialise(partition, stopping))
        try:
            yield
        finally:
            stopping.set()


async def found(log: KafkaLog, *refs: str, workspace: str = "w1") -> dict[str, bytes] | None:
    """None while the table cannot say."""
    try:
        return await log.content.get_many(workspace, refs)
    except LogUnavailable:
        return None


async def known(log: KafkaLog) -> bool:
    return await found(log, "m:0") is not None


class TableThatGoesAway(MemoryContentTable):
    """Away while told to be."""

    away = False

    async def apply(self, partition: int, changes: Sequence[Change]) -> list[Change]:
        if self.away:
            raise LogUnavailable("the table is away")
        return await super().apply(partition, changes)

    async def progress(self, partition: int) -> Progress | None:
        if self.away:
            raise LogUnavailable("the table is away")
        return await super().progress(partition)


async def test_a_log_without_a_table_has_one_of_its_own(log_url: str, topics: Topics) -> None:
    first, second = KafkaLog(log_url), KafkaLog(log_url)
    await first.open()
    await first.content.put("w1", "m:1", b"text", owner="ana")
    await first.content.put("w2", "m:1", b"other", owner="ben")

    await second.open()

    assert await second.content.get("w1", "m:1") == b"text"
    assert await second.content.erase("w2", "ben") == 1
    assert await eventually(lambda: _gone(first, "w2", "m:1"))
    await first.close()
    await second.close()


async def _gone(log: KafkaLog, workspace: str, ref: str) -> bool:
    return await log.content.get(workspace, ref) is None


async def test_nobody_knows_before_the_table_is_complete(open_log: Open) -> None:
    log = await open_log()
    await log.content.put("w1", "m:1", b"text", owner="ana")

    with pytest.raises(LogUnavailable, match="not complete"):
        await log.content.get("w1", "m:1")
    with pytest.raises(LogUnavailable, match="not complete"):
        await log.content.erase("w1", "ana")
    assert await log.content.get_many("w1", []) == {}

    async with materialising(log, "w1"):
        assert await eventually(lambda: found(log, "m:1", "m:2")) == {"m:1": b"text"}


async def test_a_lost_table_is_filled_again(
    open_log: Open, content_table: MemoryContentTable, caplog: pytest.LogCaptureFixture
) -> None:
    log = await open_log()
    async with materialising(log, "w1"):
        for n in range(300):
            await log.content.put("w1", f"m:{n}", b"%d" % n, owner="ana" if n % 3 else "ben")
        await eventually(lambda: found(log, "m:1"))
        assert await log.content.erase("w1", "ben") == 100

        content_table.lose()

        assert await found(log, "m:1") is None
        restored = await eventually(lambda: found(log, *(f"m:{n}" for n in range(300))))
        assert restored == {f"m:{n}": b"%d" % n for n in range(300) if n % 3}
        assert await log.content.erase("w1", "ana") == 200
    assert log.content.rebuilds == 2
    assert [record.levelname for record in caplog.records if "filled from the beginning" in record.message] == [
        "WARNING"
    ] * 2


async def test_a_table_that_stands_still_goes_on_where_it_was(open_log: Open) -> None:
    log, other = await open_log(), await open_log()
    async with materialising(log, "w1"):
        await log.content.put("w1", "m:1", b"text", owner="ana")
        await eventually(lambda: found(log, "m:1"))
    await log.close()
    await other.content.put("w1", "m:2", b"later", owner="ana")

    async with materialising(other, "w1"):
        assert await other.content.erase("w1", "ana") == 2

    assert other.content.rebuilds == 0


async def test_two_who_materialise_one_partition_fill_one_table(
    open_log: Open, content_table: MemoryContentTable
) -> None:
    log, other = await open_log(), await open_log()
    async with materialising(log, "w1"), materialising(other, "w1"):
        for n in range(100):
            await (log, other)[n % 2].content.put("w1", f"m:{n}", b"%d" % n, owner="ana")
            if n == 50:
                content_table.lose()
        everything = {f"m:{n}": b"%d" % n for n in range(100)}

        async def all_there() -> bool:
            return await found(log, *everything) == everything

        await eventually(all_there)
        assert await log.content.erase("w1", "ana") == 100


async def test_a_table_that_is_away_fails_no_put_and_is_told_later(log_url: str, topics: Topics) -> None:
    table = TableThatGoesAway()
    log = KafkaLog(log_url, table=table)
    await log.open()
    async with materialising(log, "w1"):
        await eventually(lambda: known(log))
        table.away = True
        await log.content.put("w1", "m:1", b"text", owner="ana")
        with pytest.raises(LogUnavailable):
            await log.content.get("w1", "m:1")
        table.away = False

        async def there() -> bool:
            return await found(log, "m:1") == {"m:1": b"text"}

        await eventually(there)
        assert await log.content.erase("w1", "ana") == 1
    await log.close()


async def test_an_erasure_waits_for_what_the_topic_holds(
    open_log: Open, content_table: MemoryContentTable, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await open_log()
    async with materialising(log, "w1"):
        await eventually(lambda: known(log))
    # Written by a process that could not reach the table.
    partition = log.content.partition_of("w1")
    await topics.write("content", partition, b"w1\0m:1", b'{"owner":"ana"}\nunseen')
    monkeypatch.setattr(content, "ERASE_WAIT_S", 0.2)

    with pytest.raises(LogUnavailable, match="has not come to offset 1"):
        await log.content.erase("w1", "ana")

    monkeypatch.undo()
    async with materialising(log, "w1"):
        assert await log.content.erase("w1", "ana") == 1
    assert await topics.records("content", partition) == {b"w1\0m:1": None}


async def test_what_cannot_be_read_is_passed_over_loudly(
    open_log: Open, topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    log = await open_log()
    partition = log.content.partition_of("w1")
    for key, value in (
        (b"no separator", b"x"),
        (b"w1\0m:1", b"not a head\nx"),
        (b"w1\0m:2", b"no line"),
        (b"\xff\0m", b"x"),
    ):
        await topics.write("content", partition, key, value)
    await log.content.put("w1", "m:3", b"lines\nand\n\nlines", owner="ana")

    async with materialising(log, "w1"):
        assert await eventually(lambda: found(log, "m:1", "m:2", "m:3")) == {"m:3": b"lines\nand\n\nlines"}

    assert len([record for record in caplog.records if "cannot be read" in record.message]) == 4


async def test_a_table_that_tombstones_may_have_passed_begins_anew(
    open_log: Open, content_table: MemoryContentTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await open_log()
    async with materialising(log, "w1"):
        await log.content.put("w1", "m:1", b"text", owner="ana")
        await eventually(lambda: found(log, "m:1"))
    await log.content.put("w1", "m:2", b"text", owner="ana")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 20 * 86_400)

    async with materialising(log, "w1"):
        await eventually(lambda: log.content.rebuilds == 2)

        async def both() -> bool:
            return await found(log, "m:1", "m:2") == {"m:1": b"text", "m:2": b"text"}

        await eventually(both)


async def test_a_table_of_another_topic_begins_anew(open_log: Open, content_table: MemoryContentTable) -> None:
    log = await open_log()
    partition = log.content.partition_of("w1")
    await content_table.reset(partition, 500)
    await content_table.advance(partition, [], since=500, position=700, complete=True)
    await log.content.put("w1", "m:1", b"text", owner="ana")

    async with materialising(log, "w1"):
        await eventually(lambda: log.content.rebuilds == 1)

        async def there() -> bool:
            return await found(log, "m:1") == {"m:1": b"text"}

        await eventually(there)


async def test_a_workspace_lies_in_one_partition_for_ever(open_log: Open) -> None:
    log = await open_log()

    assert [log.content.partition_of(name) for name in ("w1", "w2", "acme", "büro")] == [1, 1, 5, 8]
    assert {log.content.partition_of(f"w{n}") for n in range(200)} == set(range(PARTITIONS))
    with pytest.raises(ValueError, match="NUL"):
        await log.content.put("w\0", "m:1", b"", owner="ana")
