"""A log on Kafka for the tests of this folder: on topics of its own, gone with the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from shared.log.content_table import MemoryContentTable
from shared.log.kafka import KafkaLog
from tests.unit.log.kafka_topics import Topics

PARTITIONS = 9
"""As many as the suites name."""

Open = Callable[[], Awaitable[KafkaLog]]


@pytest.fixture
def log_url(kafka: str, prefix: str) -> str:
    return f"kafka://{kafka}?prefix={prefix}&partitions={PARTITIONS}&replication=1&min_isr=1"


@pytest.fixture
def content_table() -> MemoryContentTable:
    """One for all logs of a test, as Redis is one for all processes; nobody fills it unless the test does."""
    return MemoryContentTable()


@pytest.fixture
async def open_log(log_url: str, content_table: MemoryContentTable, topics: Topics) -> AsyncIterator[Open]:
    """Opens a log as one more process would."""
    async with AsyncExitStack() as stack:

        async def open_log() -> KafkaLog:
            log = KafkaLog(log_url, table=content_table)
            await log.open()
            stack.push_async_callback(log.close)
            return log

        yield open_log


@pytest.fixture
async def topics(kafka: str, prefix: str) -> AsyncIterator[Topics]:
    """The topics of the test's prefix, behind the log's back."""
    async with Topics(kafka, prefix) as topics:
        yield topics
