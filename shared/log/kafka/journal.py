"""The journal port on Kafka. Every proposal is stored, void or not; which of them are entries, the rule says."""

from __future__ import annotations

from shared.log.bell import first_found
from shared.log.kafka.cluster import Cluster
from shared.log.kafka.producer import SafeProducer
from shared.log.kafka.reader import Record
from shared.log.kafka.stream import Stream
from shared.log.kafka.topics import LARGE_BYTES
from shared.log.port import JournalRecord, LogUnavailable, check_trim


class KafkaJournal:
    """One topic, with a producer of its own: a proposal never waits behind an input."""

    def __init__(self, cluster: Cluster, producer: SafeProducer, topic: str) -> None:
        self._cluster = cluster
        self._producer = producer
        self._topic = topic
        self._identity: str | None = None
        self._streams: dict[int, Stream] = {}

    def opened(self, identity: str) -> None:
        self._identity = identity

    async def identity(self, partition: int) -> str:
        """Cluster and topic by their ids: a topic that was made anew under the same name is another journal."""
        if self._identity is None:
            raise LogUnavailable("the log is not open")
        return self._identity

    async def propose(self, partition: int, data: bytes, *, seq: int, prev: str, entry_hash: str) -> None:
        """Raises ValueError for more than 8 MiB."""
        if seq < 1:
            raise ValueError(f"entries are numbered from 1, not {seq}")
        offset = await self._producer.send(self._topic, partition, None, data, max_bytes=LARGE_BYTES)
        self._stream(partition).acknowledged(offset)

    async def read(self, partition: int, offset: int, *, limit: int, wait_s: float) -> list[JournalRecord]:
        """What there is without waiting is asked of the broker; a read that waits takes what the follower brings."""
        stream = self._stream(partition)
        if wait_s <= 0:
            return _records(await stream.all_there_is(offset, limit))

        async def find() -> list[Record]:
            return await stream.at_hand(offset, limit)

        found = await first_found(stream.bell, find, wait_s=wait_s)
        if not found:
            stream.check_heard()
        return _records(found)

    async def bounds(self, partition: int) -> tuple[int, int]:
        stream = self._stream(partition)
        return await stream.start(), await stream.end()

    async def trim(self, partition: int, before: int) -> None:
        """The broker frees its disk in whole segments, so with a topic's settings as they are nothing is smaller before
        there is more than one of them."""
        _, end = await self.bounds(partition)
        check_trim(partition, before, end)
        await self._stream(partition).delete_before(before)

    async def close(self) -> None:
        for stream in self._streams.values():
            await stream.close()

    def _stream(self, partition: int) -> Stream:
        stream = self._streams.get(partition)
        if stream is None:
            if self._identity is None:
                raise LogUnavailable("the log is not open")
            stream = self._streams[partition] = Stream(self._cluster, self._topic, partition)
        return stream


def _records(found: list[Record]) -> list[JournalRecord]:
    return [JournalRecord(record.offset, record.data) for record in found]
