"""Logs for those who only look: beside running processes, changing nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from shared.log.content_table import MemoryContentTable
from shared.log.kafka import KafkaLog
from shared.log.port import Log
from shared.log.sqlite_reading import SqliteReadingLog
from shared.process import sqlite_directory


@asynccontextmanager
async def reading(address: str) -> AsyncIterator[Log]:
    """The log at an address (as in LOG, or a folder), for reading only."""
    log: Log
    if address.startswith("kafka:"):
        # With a table of its own the log would read all texts first; nobody asks for them here.
        log = KafkaLog(address, table=MemoryContentTable())
    else:
        log = SqliteReadingLog(sqlite_directory(address) if address.startswith("sqlite:") else Path(address))
    await log.open()
    try:
        yield log
    finally:
        await log.close()
