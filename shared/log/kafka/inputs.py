"""The inputs port on Kafka: two topics, read as one."""

from __future__ import annotations

from collections.abc import Mapping

from shared.log.bell import Bell, first_found
from shared.log.kafka.cluster import Cluster
from shared.log.kafka.producer import SafeProducer
from shared.log.kafka.stream import Stream
from shared.log.kafka.topics import INPUT_BYTES
from shared.log.port import InputRecord, LogUnavailable, Positions
from shared.vocabulary import Topic


class KafkaInputs:
    """Commands first. What comes in faster than it is read stays in Kafka: each follower waits for its readers."""

    def __init__(self, cluster: Cluster, producer: SafeProducer, topics: Mapping[Topic, str]) -> None:
        self._cluster = cluster
        self._producer = producer
        self._topics = topics
        self._streams: dict[int, dict[Topic, Stream]] = {}
        self._closed = False

    async def append(self, topic: Topic, partition: int, data: bytes) -> int:
        """Raises ValueError for more than 1 MiB."""
        offset = await self._producer.send(self._topics[topic], partition, None, data, max_bytes=INPUT_BYTES)
        # Where nobody reads, nobody needs to know; a router reads the partitions that it has.
        streams = self._streams.get(partition)
        if streams is not None:
            streams[topic].acknowledged(offset)
        return offset

    async def read(
        self, partition: int, positions: Positions, *, limit: int, wait_s: float, inbound: bool = True
    ) -> list[InputRecord]:
        streams = self._partition(partition)
        commands, messages = streams[Topic.COMMANDS], streams[Topic.INBOUND]
        complete = wait_s <= 0

        async def one(topic: Topic, stream: Stream, offset: int, room: int) -> list[InputRecord]:
            if room <= 0:
                return []
            found = await (stream.all_there_is(offset, room) if complete else stream.at_hand(offset, room))
            return [InputRecord(topic, record.offset, record.data) for record in found]

        async def find() -> list[InputRecord]:
            records = await one(Topic.COMMANDS, commands, positions.commands, limit)
            room = limit - len(records) if inbound else 0
            return records + await one(Topic.INBOUND, messages, positions.inbound, room)

        if complete:
            return await find()
        found = await first_found(commands.bell, find, wait_s=wait_s)
        if not found:
            commands.check_heard()
            if inbound:
                messages.check_heard()
        return found

    async def end(self, partition: int) -> Positions:
        streams = self._partition(partition)
        return Positions(await streams[Topic.COMMANDS].end(), await streams[Topic.INBOUND].end())

    def deaf_s(self, partition: int) -> float:
        """The topics may be led by different brokers, and one of these may be out of reach."""
        return max((stream.deaf_s for stream in self._streams.get(partition, {}).values()), default=0.0)

    async def close(self) -> None:
        self._closed = True
        for streams in self._streams.values():
            for stream in streams.values():
                await stream.close()

    def _partition(self, partition: int) -> dict[Topic, Stream]:
        streams = self._streams.get(partition)
        if streams is None:
            if self._closed:
                raise LogUnavailable("the log is not open")
            # One bell for both: who waits for either waits for the first of them.
            bell = Bell()
            streams = {topic: Stream(self._cluster, name, partition, bell) for topic, name in self._topics.items()}
            self._streams[partition] = streams
        return streams
