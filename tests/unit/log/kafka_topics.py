"""What a test does to a log's topics behind the log's back: look, write, change settings, delete."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.eventually import eventually

TIMEOUT_MS = 10_000


class Topics:
    """The topics of one prefix; they are deleted when the context ends."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix

    async def __aenter__(self) -> Self:
        self._admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap, request_timeout_ms=TIMEOUT_MS)
        await self._admin.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        mine = await self._mine()
        if mine:
            await self._admin.delete_topics(mine)
        await self._admin.close()

    def name(self, short: str) -> str:
        return f"{self._prefix}.{short}"

    async def records(self, short: str, partition: int) -> dict[bytes, bytes | None]:
        """The newest value of every key, None for a tombstone."""
        place = TopicPartition(self.name(short), partition)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, enable_auto_commit=False, auto_offset_reset="none"
        )
        consumer.assign([place])
        await consumer.start()
        try:
            start = (await consumer.beginning_offsets([place]))[place]
            end = (await consumer.end_offsets([place]))[place]
            consumer.seek(place, start)
            found: dict[bytes, bytes | None] = {}
            while await consumer.position(place) < end:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        found[record.key] = record.value
            return found
        finally:
            await consumer.stop()

    async def write(self, short: str, partition: int, key: bytes | None, value: bytes | None) -> int:
        producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, acks="all", max_request_size=9 * 1024 * 1024)
        await producer.start()
        try:
            stored = await producer.send_and_wait(self.name(short), value, key, partition)
            return int(stored.offset)
        finally:
            await producer.stop()

    async def make(self, short: str, partitions: int, settings: dict[str, str], *, replication: int = 1) -> None:
        made = await self._admin.create_topics(
            [NewTopic(self.name(short), partitions, replication, topic_configs=settings)]
        )
        assert all(error[1] == 0 for error in made.topic_errors), made

    async def sizes(self) -> dict[str, int]:
        """Number of partitions by short name."""
        facts = await self._admin.describe_topics(await self._mine())
        return {topic["topic"].removeprefix(f"{self._prefix}."): len(topic["partitions"]) for topic in facts}

    async def settings(self, short: str) -> dict[str, str]:
        (answer,) = await self._admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, self.name(short))])
        return {name: value for name, value, *_ in answer.resources[0][4]}

    async def change(self, short: str, settings: dict[str, str]) -> None:
        """Set these; all others of the topic's go back to the broker's."""
        await self._admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, self.name(short), configs=settings)])

    async def delete(self, short: str) -> None:
        """Returns when brokers do not know of it any more."""
        await self._admin.delete_topics([self.name(short)])

        async def gone() -> bool:
            return self.name(short) not in await self._mine()

        await eventually(gone)

    async def trim(self, short: str, partition: int, before: int) -> None:
        """Delete the records below offset `before`."""
        await self._admin.delete_records({TopicPartition(self.name(short), partition): RecordsToDelete(before)})

    async def _mine(self) -> list[str]:
        return [topic for topic in await self._admin.list_topics() if topic.startswith(f"{self._prefix}.")]
