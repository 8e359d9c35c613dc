"""The log on Kafka keeps what every log keeps, on one broker and on three."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.log.kafka import KafkaLog
from shared.log.kafka.topics import SNAPSHOTS
from shared.log.port import Log
from tests.support.kafka import KafkaCluster
from tests.unit.log.conftest import PARTITIONS, Open
from tests.unit.log.kafka_topics import Topics
from tests.unit.log.suite import ContentSuite, InputsSuite, JournalSuite, Reopen, SnapshotsSuite


class KafkaSuite:
    """The fixtures of the suites."""

    @pytest.fixture
    async def log(self, open_log: Open) -> KafkaLog:
        return await open_log()

    @pytest.fixture
    async def other(self, open_log: Open) -> KafkaLog:
        return await open_log()

    @pytest.fixture
    def reopen(self, open_log: Open) -> Reopen:
        async def reopen(log: Log) -> Log:
            await log.close()
            return await open_log()

        return reopen


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
    @pytest.fixture
    async def log(self, open_log: Open) -> AsyncIterator[KafkaLog]:
        log = await open_log()
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for partition in range(PARTITIONS):
                group.create_task(log.content.materialise(partition, stopping))
            await log.content.until_complete()
            yield log
            stopping.set()


class OfThree:
    """The same on three brokers: three copies, of which two acknowledge."""

    @pytest.fixture
    def kafka(self, three_brokers: KafkaCluster) -> str:
        return three_brokers.bootstrap

    @pytest.fixture
    def log_url(self, kafka: str, prefix: str) -> str:
        return f"kafka://{kafka}?prefix={prefix}&partitions={PARTITIONS}&replication=3&min_isr=2"


class TestInputsOfThree(OfThree, TestInputs):
    pass


class TestJournalOfThree(OfThree, TestJournal):
    pass


class TestSnapshotsOfThree(OfThree, TestSnapshots):
    pass


class TestContentOfThree(OfThree, TestContent):
    pass


def _chunk_of_newest(records: dict[bytes, bytes | None]) -> bytes:
    manifests = [key for key, value in records.items() if key.endswith(b"/manifest") and value is not None]
    newest = max(manifests, key=lambda key: int(key.split(b"/")[1]))
    return newest.removesuffix(b"manifest") + b"1"
