"""Logs for commands: to look at beside running processes, or to change where no other process has them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from shared.log.content_table import MemoryContentTable
from shared.log.kafka import KafkaLog
from shared.log.port import Log, LogUnavailable
from shared.log.sqlite import SqliteLog
from shared.log.sqlite_file import FILE_NAME
from shared.log.sqlite_reading import SqliteReadingLog
from shared.process import sqlite_directory


@asynccontextmanager
async def reading(address: str) -> AsyncIterator[Log]:
    """The log at an address (as in LOG, or a folder), for reading only."""
    async with _opened(address, SqliteReadingLog) as log:
        yield log


@asynccontextmanager
async def owning(address: str) -> AsyncIterator[Log]:
    """The same, to change it. Raises `LogUnavailable` where there is none, `LogLocked` where another process has it."""
    async with _opened(address, _there) as log:
        yield log


def _there(directory: Path) -> Log:
    if not (directory / FILE_NAME).exists():
        raise LogUnavailable(f"there is no log in {directory}")
    return SqliteLog(directory)


@asynccontextmanager
async def _opened(address: str, sqlite: Callable[[Path], Log]) -> AsyncIterator[Log]:
    log: Log
    if address.startswith("kafka:"):
        # With a table of its own the log would read all texts first; nobody asks for them here.
        log = KafkaLog(address, table=MemoryContentTable())
    else:
        log = sqlite(sqlite_directory(address) if address.startswith("sqlite:") else Path(address))
    await log.open()
    try:
        yield log
    finally:
        await log.close()
