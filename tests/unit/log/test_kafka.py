"""The log on Kafka keeps what every log keeps, on one broker and on three."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from shared.log.content_table import MemoryContentTable
from shared.log.kafka import KafkaLog
from shared.log.kafka.topics import SNAPSHOTS
from shared.log.port import Log
from tests.support.kafka import KafkaCluster
from tests.unit.log.kafka_topics import Topics
from tests.unit.log.suite import ContentSuite, InputsSuite, JournalSuite, Reopen, SnapshotsSuite

PARTITIONS = 9

Open = Callable[[], Awaitable[KafkaLog]]


class KafkaSuite:
    """Fixtures of a log on topics of its own. Every log of a test shares one table, as with Redis."""

    materialised = False

    @pytest.fixture
    def url(self, kafka: str, prefix: str) -> str:
        return f"kafka://{kafka}?prefix={prefix}&partitions={PARTITIONS}&replication=1&min_isr=1"

    @pytest.fixture
    async def opening(self, url: str) -> AsyncIterator[Open]:
        table = MemoryContentTable()
        async with AsyncExitStack() as stack:

            async def opening() -> KafkaLog:
                log = KafkaLog(url, table=table)
                await log.open()
                stack.push_async_callback(log.close)
                return log

            yield opening

    @pytest.fixture
    async def log(self, opening: Open, topics: Topics) -> AsyncIterator[KafkaLog]:
        log = await opening()
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            if self.materialised:
                for partition in range(PARTITIONS):
                    group.create_task(log.content.materialise(partition, stopping))
                await log.content.until_complete()
            yield log
            stopping.set()

    @pytest.fixture
    async def other(self, opening: Open) -> KafkaLog:
        return await opening()

    @pytest.fixture
    def reopen(self, opening: Open) -> Reopen:
        async def reopen(log: Log) -> Log:
            await log.close()
            return await opening()

        return reopen

    @pytest.fixture
    async def topics(self, kafka: str, prefix: str) -> AsyncIterator[Topics]:
        async with Topics(kafka, prefix) as topics:
            yield topics


class TestInputs(KafkaSuite, InputsSuite):
    pass


class TestJournal(KafkaSuite, JournalSuite):
    pass


class TestSnapshots(KafkaSuite, SnapshotsSuite):
    behind: Topics

    @pytest.fixture(autouse=True)
    def _behind(self, topics: Topics) -> None:
        self.behind = topics

    async def damage_newest(self, log: Log) -> None:
        records = await self.behind.records(SNAPSHOTS, 0)
        key = _chunk_of_newest(records)
        data = bytearray(records[key] or b"")
        data[100] ^= 1
        await self.behind.write(SNAPSHOTS, 0, key, bytes(data))

    async def lose_a_chunk_of_newest(self, log: Log) -> None:
        await self.behind.write(SNAPSHOTS, 0, _chunk_of_newest(await self.behind.records(SNAPSHOTS, 0)), None)

    async def kept(self, log: Log, partition: int) -> list[int]:
        records = await self.behind.records(SNAPSHOTS, partition)
        return sorted({int(key.split(b"/")[1]) for key, value in records.items() if value is not None})


class TestContent(KafkaSuite, ContentSuite):
    materialised = True


class ThreeBrokers:
    @pytest.fixture
    def kafka(self, three_brokers: KafkaCluster) -> str:
        return three_brokers.bootstrap

    @pytest.fixture
    def url(self, kafka: str, prefix: str) -> str:
        return f"kafka://{kafka}?prefix={prefix}&partitions={PARTITIONS}&replication=3&min_isr=2"


class TestInputsOfThree(ThreeBrokers, TestInputs):
    pass


class TestJournalOfThree(ThreeBrokers, TestJournal):
    pass


class TestSnapshotsOfThree(ThreeBrokers, TestSnapshots):
    pass


class TestContentOfThree(ThreeBrokers, TestContent):
    pass


def _chunk_of_newest(records: dict[bytes, bytes | None]) -> bytes:
    manifests = [key for key, value in records.items() if key.endswith(b"/manifest") and value is not None]
    newest = max(manifests, key=lambda key: int(key.split(b"/")[1]))
    return newest.removesuffix(b"manifest") + b"1"
