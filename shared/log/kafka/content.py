"""The content port on Kafka: a compacted topic is the truth, a table makes it searchable.

Key `workspace NUL ref`, value a line of JSON (the owner, and whether it counts only as the first) and then the bytes as
they are; a tombstone is an erasure.
All of a workspace lies in the partition that its name hashes to, wherever its journal lies.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

from shared.log.content_table import Change, ContentTable, Progress
from shared.log.kafka.cluster import BACKOFF_S, Cluster
from shared.log.kafka.producer import SafeProducer
from shared.log.kafka.reader import PAGE_BYTES, Page, Reader, Record
from shared.log.kafka.topics import LARGE_BYTES, TOMBSTONES_KEPT_MS
from shared.log.port import LogCorrupt, LogUnavailable, Text

log = logging.getLogger(__name__)

FOLLOW_WAIT_MS: Final = 500
ERASE_WAIT_S: Final = 5.0
FILL_WAIT_S: Final = 30.0
TRY_AGAIN_S: Final = 0.5
BEHIND_S: Final = 0.2
SEPARATOR: Final = b"\0"


class KafkaContent:
    """The content port. `materialise` has to run somewhere for each partition, with this table behind it."""

    def __init__(
        self, cluster: Cluster, producer: SafeProducer, topic: str, partitions: int, table: ContentTable
    ) -> None:
        self._cluster = cluster
        self._producer = producer
        self._topic = topic
        self._partitions = partitions
        self._table = table
        self._ends: dict[int, Reader] = {}
        self._telling: dict[int, tuple[list[Change], asyncio.Task[list[Change]]]] = {}
        self.rebuilds = 0
        """How often this process had to fill a partition of the table from the beginning."""

    def partition_of(self, workspace: str) -> int:
        """Where a workspace's content lies: for ever, because the number of partitions is fixed."""
        return stable_partition(workspace, self._partitions)

    async def put(self, workspace: str, ref: str, data: bytes, *, owner: str) -> None:
        """Raises ValueError for more than 8 MiB. A table that is away does not fail it: the topic has it."""
        await self.put_all(workspace, [Text(ref, data, owner)])

    async def put_all(self, workspace: str, texts: Sequence[Text]) -> None:
        """As `put`. That a `first` text is in place already is known only after it was written: then what stayed is
        written once more, so that it is also the newest of its ref on the topic. While the table is away nobody knows,
        and the newest stays."""
        if "\0" in workspace:
            raise ValueError("a workspace's name must not contain NUL")
        partition = self.partition_of(workspace)
        stayed = await self._write(partition, workspace, texts)
        if stayed:
            again = [Text(one.ref, one.data, one.owner) for one in stayed if one.data is not None]
            await self._write(partition, workspace, again)

    async def _write(self, partition: int, workspace: str, texts: Sequence[Text]) -> list[Change]:
        """Write to the topic, then tell the table; what stayed there in place of these."""
        records = [(f"{workspace}\0{text.ref}".encode(), _value(text)) for text in texts]
        offsets = await self._producer.send_all(self._topic, partition, records, max_bytes=LARGE_BYTES)
        changes = [
            Change(offset, workspace, text.ref, text.owner, text.data, text.first)
            for offset, text in zip(offsets, texts, strict=True)
        ]
        mine = {(change.workspace, change.ref): change.offset for change in changes if change.first}
        stayed = await self._apply(partition, changes)
        return [one for one in stayed if mine.get((one.workspace, one.ref), one.offset) != one.offset]

    async def get(self, workspace: str, ref: str) -> bytes | None:
        return (await self.get_many(workspace, [ref])).get(ref)

    async def get_many(self, workspace: str, refs: Sequence[str]) -> dict[str, bytes]:
        """Raises `LogUnavailable` while the table is away or not complete."""
        if not refs:
            return {}
        found = await self._table.get_many(workspace, refs)
        # Asked afterwards, so that a table that was lost meanwhile is not taken for an empty one; and even if all was
        # found, because a table that is being filled may not have come to an erasure yet.
        await self._complete(self.partition_of(workspace))
        return found

    async def refs(self, workspace: str, owner: str) -> list[str]:
        """Raises `LogUnavailable` while the table is away or not complete."""
        found = await self._table.refs_of(workspace, owner)
        await self._complete(self.partition_of(workspace))
        return found

    async def erase(self, workspace: str, owner: str) -> int:
        """Raises `LogUnavailable` while the table does not hold everything that the topic held at this moment: what it
        does not know could not be erased. What was erased until then stays so; erase again."""
        partition = self.partition_of(workspace)
        await self._until_in(partition, await self._end(partition))
        refs = await self._table.refs_of(workspace, owner)
        keys = [f"{workspace}\0{ref}".encode() for ref in refs]
        offsets = await self._producer.send_all(self._topic, partition, [(key, None) for key in keys])
        await self._apply(
            partition,
            [Change(offset, workspace, ref, "", None) for ref, offset in zip(refs, offsets, strict=True)],
        )
        return len(refs)

    async def materialise(self, partition: int, stopping: asyncio.Event) -> None:
        """Keep the table filled from the topic until `stopping`. Ends within about a second of being told.

        Begins where the table is, or from the beginning when it was lost; looks at every turn whether it was. Several
        may do this for one partition at once, only one of them gets ahead at a time.
        """
        reader = Reader(self._cluster, self._topic, partition)
        try:
            while not stopping.is_set():
                try:
                    if await self._turn(reader, partition):
                        # Whoever wrote a text has told the table already. This only makes certain of it, and costs
                        # four calls whether it takes in one record or thousands.
                        await _pause(stopping, BEHIND_S)
                except LogUnavailable as error:
                    log.warning("content is not materialised now", extra={"reason": str(error), "partition": partition})
                    await _pause(stopping, TRY_AGAIN_S)
                except LogCorrupt as error:
                    # The table was filled from another topic, or what it had still to read is gone.
                    log.error("the content table does not fit", extra={"reason": str(error), "partition": partition})
                    await self._begin(reader, partition)
                    await _pause(stopping, TRY_AGAIN_S)
        finally:
            await reader.close()

    async def lag(self, partition: int) -> int:
        """How many records of the topic the table does not hold yet, at the most. Raises `LogUnavailable`."""
        progress = await self._table.progress(partition)
        return max(0, await self._end(partition) - (progress.position if progress is not None else 0))

    async def until_complete(self, within_s: float = FILL_WAIT_S) -> None:
        """Returns when the whole table is complete. Raises `LogUnavailable` if that takes too long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        for partition in range(self._partitions):
            while True:
                try:
                    await self._complete(partition)
                    break
                except LogUnavailable:
                    if loop.time() > deadline:
                        raise
                    await asyncio.sleep(0.01)

    async def close(self) -> None:
        for reader in self._ends.values():
            await reader.close()

    async def _turn(self, reader: Reader, partition: int) -> bool:
        """Take in what the topic has next; whether the table is up to date with that."""
        progress = await self._table.progress(partition)
        if progress is None:
            progress = await self._begin(reader, partition)
        page = await reader.page(progress.position, wait_ms=FOLLOW_WAIT_MS, max_bytes=PAGE_BYTES)
        if page.records and progress.complete and _tombstones_may_be_gone(page):
            log.warning("the content table is too old to be brought up to date", extra={"partition": partition})
            await self._begin(reader, partition)
            return False
        complete = page.next >= page.end
        if page.next == progress.position and (progress.complete or not complete):
            return False
        changes = [change for record in page.records if (change := _change(record)) is not None]
        await self._table.advance(partition, changes, since=progress.position, position=page.next, complete=complete)
        return complete

    async def _begin(self, reader: Reader, partition: int) -> Progress:
        start = await reader.start()
        self.rebuilds += 1
        log.warning("the content table is filled from the beginning", extra={"partition": partition, "start": start})
        await self._table.reset(partition, start)
        return Progress(start, complete=False)

    async def _apply(self, partition: int, changes: Sequence[Change]) -> list[Change]:
        """Tell the table, in one call with what others want to tell at the same moment: acknowledgements come in
        batches, and a call costs more than what it tells. Returns what stayed, of the others too."""
        told = self._telling.get(partition)
        if told is None:
            told = self._telling[partition] = ([], asyncio.create_task(self._tell(partition), name="content table"))
        told[0].extend(changes)
        return await asyncio.shield(told[1])

    async def _tell(self, partition: int) -> list[Change]:
        await asyncio.sleep(0)
        changes, _ = self._telling.pop(partition)
        try:
            return await self._table.apply(partition, changes)
        except LogUnavailable as error:
            log.warning("the content table is away, it will be told later", extra={"reason": str(error)})
            return []

    async def _complete(self, partition: int) -> Progress:
        progress = await self._table.progress(partition)
        if progress is None or not progress.complete:
            raise LogUnavailable(f"the content table of partition {partition} is not complete")
        return progress

    async def _until_in(self, partition: int, end: int) -> None:
        """Wait a little for the table to hold everything below `end`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ERASE_WAIT_S
        while (await self._complete(partition)).position < end:
            if loop.time() > deadline:
                raise LogUnavailable(f"the content table of partition {partition} has not come to offset {end} in time")
            await asyncio.sleep(BACKOFF_S / 2)

    async def _end(self, partition: int) -> int:
        reader = self._ends.get(partition)
        if reader is None:
            reader = self._ends[partition] = Reader(self._cluster, self._topic, partition)
        return await reader.end()


def stable_partition(name: str, partitions: int) -> int:
    """The same in every process and every release."""
    return zlib.crc32(name.encode()) % partitions


class _Head(msgspec.Struct, omit_defaults=True):
    """The line before the bytes."""

    owner: str
    first: bool = False


_head = msgspec.json.Decoder(_Head)


def _value(text: Text) -> bytes:
    return msgspec.json.encode(_Head(text.owner, text.first)) + b"\n" + text.data


def _change(record: Record) -> Change | None:
    try:
        workspace, ref = (part.decode() for part in (record.key or b"").split(SEPARATOR, 1))
        if record.tombstone:
            return Change(record.offset, workspace, ref, "", None)
        head, newline, data = record.data.partition(b"\n")
        if not newline:
            raise ValueError("no line with the owner")
        known = _head.decode(head)
        return Change(record.offset, workspace, ref, known.owner, data, known.first)
    except (ValueError, msgspec.DecodeError) as error:
        log.error("a record of the content cannot be read", extra={"at": record.offset, "reason": type(error).__name__})
        return None


def _tombstones_may_be_gone(page: Page) -> bool:
    """Whether compaction may have taken tombstones away that a table at this place has never seen."""
    return page.records[0].at < time.time() * 1000 - TOMBSTONES_KEPT_MS / 2


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return
