"""Queries of the SQLite log, on threads of their own: the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from shared.log.port import LogUnavailable
from shared.log.sqlite_file import log_error

# Two, so that a request for a text does not wait behind a recovery.
THREADS: Final = 2

T = TypeVar("T")


class Readers:
    """A few read-only connections."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._idle: queue.SimpleQueue[sqlite3.Connection | None] = queue.SimpleQueue()
        self._threads: ThreadPoolExecutor | None = None

    def start(self) -> None:
        for _ in range(THREADS):
            self._idle.put(None)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="log-reader")

    async def close(self) -> None:
        """Let queries under way end, then close the connections. Idempotent."""
        threads, self._threads = self._threads, None
        if threads is None:
            return
        # `shutdown` with waiting would hold up the loop; the last query ends before the threads do.
        closing = [asyncio.wrap_future(threads.submit(self._close_one)) for _ in range(THREADS)]
        threads.shutdown(wait=False)
        await asyncio.gather(*closing)

    async def run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """The result of `query`. Raises `LogUnavailable` or `LogCorrupt`."""
        if self._threads is None:
            raise LogUnavailable("the log is not open")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, query)

    async def work(self, function: Callable[[], T]) -> T:
        """The result of `function`, for computing that takes too long for the loop."""
        return await self.run(lambda _: function())

    def _run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._idle.get()
        try:
            if connection is None:
                connection = self._connect()
            return query(connection)
        except sqlite3.Error as error:
            raise log_error(error, "reading the log") from error
        finally:
            self._idle.put(connection)

    def _close_one(self) -> None:
        connection = self._idle.get()
        if connection is not None:
            connection.close()
