"""Reading a partition from any offset, without a position that could be wrong; and deleting its oldest part.

Kafka's fetch request names the offset itself; the consumers that libraries build around it add a position, a group and
a policy for what happens when the position is lost, none of which is wanted here: a record that is gone is an error
with words, never a jump.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from aiokafka import errors
from aiokafka.protocol.admin import DeleteRecordsRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.record.memory_records import MemoryRecords

from shared.log.kafka.cluster import BACKOFF_S, Cluster, Lane
from shared.log.port import LogCorrupt, LogUnavailable

STREAM_BYTES: Final = 4 * 1024 * 1024
PAGE_BYTES: Final = 1024 * 1024
START_UP_S: Final = 5.0
ELECTION_S: Final = 1.0
DEADLINE_S: Final = 4.5
DELETE_TIMEOUT_MS: Final = 3_000
# Unpacking records must not keep the loop: it looks at the clock after so many, and lets others run after so long.
UNPACKED_AT_ONCE: Final = 64
BUSY_S: Final = 0.003

_EARLIEST: Final = -2
_LATEST: Final = -1
_READ_UNCOMMITTED: Final = 0


class Record(NamedTuple):
    """One stored record. A tombstone has no value, so its `data` is empty. `at` is the broker's time in ms."""

    offset: int
    key: bytes | None
    data: bytes
    tombstone: bool
    at: int


@dataclass(frozen=True, slots=True)
class Page:
    """What one request brought: records from `start` on, where to go on, and where the partition ended then."""

    start: int
    records: list[Record]
    next: int
    end: int


class Reader:
    """Requests about one partition, on a connection of its own."""

    def __init__(self, cluster: Cluster, topic: str, partition: int) -> None:
        self._cluster = cluster
        self._lane = Lane(cluster)
        self.topic = topic
        self.partition = partition

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"

    async def page(self, offset: int, *, wait_ms: int = 0, max_bytes: int = PAGE_BYTES) -> Page:
        """Records at and after `offset`: about `max_bytes` of them, but at least one if there is one.

        Waits in the broker up to `wait_ms` for the first. Raises `LogCorrupt` if the offset is not there any more or
        not yet there, `LogUnavailable` for any other trouble.
        """
        if offset < 0:
            raise LogCorrupt(f"{self} has no offset {offset}")
        topics = [(self.topic, [(self.partition, offset, max_bytes)])]
        answer = await self._ask(FetchRequest(wait_ms, 1, max_bytes, _READ_UNCOMMITTED, topics))
        ((_, ((_, code, end, *rest),)),) = answer.topics
        error = errors.for_code(code)
        if error is errors.OffsetOutOfRangeError:
            raise LogCorrupt(await self._out_of_range(offset))
        self._check(code)
        records, following = await self._unpack(rest[-1] or b"", offset)
        return Page(start=offset, records=records, next=following, end=end)

    async def start(self) -> int:
        """The first offset that is still stored. Raises `LogUnavailable` after a few seconds of trouble."""
        return await self._offset(_EARLIEST)

    async def end(self) -> int:
        """The offset that the next record will get. Raises `LogUnavailable` after a few seconds of trouble."""
        return await self._offset(_LATEST)

    async def delete_before(self, offset: int) -> None:
        """Have the leader delete the records before `offset`. Raises `LogUnavailable`: then they may be gone or not."""
        request = DeleteRecordsRequest([(self.topic, [(self.partition, offset)])], DELETE_TIMEOUT_MS)
        code = _code_of_deletion(await self._ask(request, _code_of_deletion))
        if code:
            raise LogUnavailable(f"{self} cannot be trimmed now: {errors.for_code(code).__name__} ({code})")

    async def close(self) -> None:
        await self._lane.close()

    async def _offset(self, which: int, within_s: float = START_UP_S) -> int:
        # Right after a change of leaders a broker says that it does not know yet, and a broker that hangs says nothing.
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        request = OffsetRequest(-1, _READ_UNCOMMITTED, [(self.topic, [(self.partition, which)])])
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    answer = await self._ask(request)
                ((_, ((_, code, _, offset),)),) = answer.topics
                self._check(code)
                return int(offset)
            except TimeoutError:
                raise LogUnavailable(f"{self}: no broker tells where it ends") from None
            except LogUnavailable:
                if loop.time() + BACKOFF_S >= deadline:
                    raise
                await asyncio.sleep(BACKOFF_S)

    async def _ask(
        self, request: FetchRequest | OffsetRequest | DeleteRecordsRequest, code_of: Callable[[Any], int] | None = None
    ) -> Any:
        """The leader's answer. For a moment after an election or a topic's making nobody may want to be it."""
        loop = asyncio.get_running_loop()
        elected_by = loop.time() + ELECTION_S
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    leader = await self._cluster.leader(self.topic, self.partition)
                    if leader is not None:
                        answer = await self._lane.ask(leader, request)
                        if (code_of or _code)(answer) not in _WRONG_LEADER or loop.time() > elected_by:
                            return answer
                    elif loop.time() > elected_by:
                        raise LogUnavailable(f"{self} has no leader")
                    await asyncio.sleep(BACKOFF_S / 4)
                    with suppress(LogUnavailable):
                        await self._cluster.refresh()
        except TimeoutError:
            raise LogUnavailable(f"{self}: no answer within {DEADLINE_S:g} s") from None
        except LogUnavailable:
            # Whoever tries again should know by then who leads now; this one has waited long enough.
            self._cluster.refresh_soon()
            raise

    def _check(self, code: int) -> None:
        if code:
            raise LogUnavailable(f"{self} cannot be read now: {errors.for_code(code).__name__} ({code})")

    async def _out_of_range(self, offset: int) -> str:
        try:
            return f"{self} holds offsets {await self.start()} to {await self.end()}, not {offset}"
        except LogUnavailable:
            return f"{self} does not hold offset {offset}"

    async def _unpack(self, data: bytes, offset: int) -> tuple[list[Record], int]:
        """The records at and after `offset`, and where to go on: compaction may have left a gap behind the last."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        records: list[Record] = []
        following = offset
        batches = MemoryRecords(data)
        while batches.has_next():
            batch: Any = batches.next_batch()
            if not batch.validate_crc():
                raise LogCorrupt(f"{self} has a record batch with a wrong checksum at offset {following} or behind it")
            for stored in batch:
                # A batch is stored whole: what lies before the offset comes along.
                if stored.offset >= offset:
                    records.append(_record(stored))
                    if len(records) % UNPACKED_AT_ONCE == 0 and loop.time() - since > BUSY_S:
                        await asyncio.sleep(0)
                        since = loop.time()
            following = max(following, batch.next_offset)
        return records, following


_WRONG_LEADER: Final = frozenset(
    error.errno
    for error in (
        errors.NotLeaderForPartitionError,
        errors.LeaderNotAvailableError,
        errors.UnknownTopicOrPartitionError,
        errors.ReplicaNotAvailableError,
        errors.KafkaStorageError,
    )
)


def _code(answer: Any) -> int:
    ((_, ((_, code, *_),)),) = answer.topics
    return int(code)


def _code_of_deletion(answer: Any) -> int:
    ((_, ((_, _, code, *_),), *_),) = answer.topics
    return int(code)


def _record(stored: Any) -> Record:
    value = stored.value
    return Record(
        offset=stored.offset,
        key=None if stored.key is None else bytes(stored.key),
        data=b"" if value is None else bytes(value),
        tombstone=value is None,
        at=stored.timestamp,
    )
