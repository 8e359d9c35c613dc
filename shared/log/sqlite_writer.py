"""The one writer of the SQLite log: a thread that commits everything that waits in one transaction.

A commit costs an fsync, whether it holds one record or a thousand. While one is under way, whatever comes in gathers
and goes into the next: under load the number of commits stays the same and their size grows. Nobody is told that
something is durable before the commit returned.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from shared.log.port import LogCorrupt, LogUnavailable
from shared.log.sqlite_file import FileWatch, log_error
from shared.vocabulary import Topic

log = logging.getLogger(__name__)

DEADLINE_S: Final = 5.0
BATCH_WORKS: Final = 2_000
BATCH_BYTES: Final = 8 * 1024 * 1024
BACKLOG_WORKS: Final = 50_000
BACKLOG_BYTES: Final = 256 * 1024 * 1024

T = TypeVar("T")


class _LoopGone(Exception):
    """The event loop was closed before the log was."""


class Transaction:
    """What an operation writes with. Lives as long as its transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.wants_truncated_wal = False
        self._next: dict[tuple[Topic, int], int] = {}

    def next_offset(self, topic: Topic, partition: int) -> int:
        """The offset of the next input of a stream; each call takes one."""
        offset = self._next.get((topic, partition))
        if offset is None:
            row = self.connection.execute(
                "SELECT max(offset) FROM input WHERE topic = ? AND partition = ?", (topic, partition)
            ).fetchone()
            offset = 0 if row[0] is None else row[0] + 1
        self._next[topic, partition] = offset + 1
        return offset


class _Work(Generic[T]):
    """One operation that waits for its commit."""

    __slots__ = ("deadline", "done", "error", "future", "on_commit", "operation", "result", "size")

    def __init__(
        self,
        operation: Callable[[Transaction], T],
        on_commit: Callable[[T], None] | None,
        future: asyncio.Future[T],
        size: int,
        deadline: float,
    ) -> None:
        self.operation = operation
        self.on_commit = on_commit
        self.future = future
        self.size = size
        self.deadline = deadline
        self.done = False
        self.result: T | None = None
        self.error: Exception | None = None


class Writer:
    """Takes operations on the event loop, runs them on its thread, answers on the loop after the commit."""

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], files: FileWatch, *, deadline_s: float = DEADLINE_S
    ) -> None:
        self.commits = 0
        """Transactions committed so far."""
        self.trouble: str | None = None
        """Why the newest write came to nothing, or is not known to be durable; None once one was committed."""
        self._connect = connect
        self._files = files
        self._deadline_s = deadline_s
        self._connection: sqlite3.Connection | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ended: asyncio.Future[None] | None = None
        self._closing = False
        self._gathered: list[_Work[Any]] = []
        self._queue: queue.SimpleQueue[list[_Work[Any]] | None] = queue.SimpleQueue()
        # In the order of submission, which is also the order of settling and of deadlines.
        self._waiting: deque[_Work[Any]] = deque()
        self._waiting_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start the thread; the running event loop is the one that is answered."""
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Commit what was submitted, then end the thread. Idempotent."""
        if self._loop is None or self._ended is None or self._thread is None:
            return
        if not self._closing:
            self._closing = True
            self._hand_over()
            self._queue.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()

    def submit(
        self, operation: Callable[[Transaction], T], *, size: int = 0, on_commit: Callable[[T], None] | None = None
    ) -> asyncio.Future[T]:
        """The result of `operation` once it is committed.

        The future raises `LogUnavailable` if the commit failed or was not confirmed in time, `LogCorrupt` if the file
        is damaged. `on_commit` runs on the loop before anybody is answered, also if nobody waits for the answer now.
        """
        if self._loop is None or self._closing:
            raise LogUnavailable("the log is not open")
        if len(self._waiting) >= BACKLOG_WORKS or self._waiting_bytes >= BACKLOG_BYTES:
            raise LogUnavailable(f"the log is {len(self._waiting)} writes behind")
        work = _Work(operation, on_commit, self._loop.create_future(), size, self._loop.time() + self._deadline_s)
        self._waiting.append(work)
        self._waiting_bytes += size
        if not self._gathered:
            # Handed over once per turn of the loop: a burst costs one hand-over and lies in one commit.
            self._loop.call_soon(self._hand_over)
        self._gathered.append(work)
        if self._timer is None:
            self._timer = self._loop.call_at(work.deadline, self._expire)
        return work.future

    # On the loop.

    def _hand_over(self) -> None:
        if self._gathered:
            self._queue.put(self._gathered)
            self._gathered = []

    def _expire(self) -> None:
        assert self._loop is not None
        self._timer = None
        now = self._loop.time()
        for work in self._waiting:
            if work.deadline > now:
                self._timer = self._loop.call_at(work.deadline, self._expire)
                return
            if not work.future.done():
                error = LogUnavailable(f"not confirmed within {self._deadline_s:g} s; it may still become durable")
                self.trouble = str(error)
                work.future.set_exception(error)

    def _settle(self, batch: Sequence[_Work[Any]]) -> None:
        for work in batch:
            head = self._waiting.popleft()
            assert head is work, "works are settled in the order in which they were submitted"
            self._waiting_bytes -= work.size
            if work.done:
                self.trouble = None
            elif isinstance(work.error, LogUnavailable | LogCorrupt):
                self.trouble = str(work.error)
            if work.done and work.on_commit is not None:
                work.on_commit(work.result)
            if work.future.done():
                continue
            if work.done:
                work.future.set_result(work.result)
            else:
                work.future.set_exception(work.error or LogUnavailable("nothing is known of this write"))
        if not self._waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    # On the thread.

    def _run(self) -> None:
        pending: deque[_Work[Any]] = deque()
        open_ = True
        try:
            while open_ or pending:
                if not pending or not self._queue.empty():
                    handed = self._queue.get()
                    if handed is None:
                        open_ = False
                    else:
                        pending.extend(handed)
                    continue
                batch = _take(pending)
                # Those whose caller has given up are left out: they were told that nothing is known, and room is short.
                self._write([work for work in batch if not work.future.done()])
                self._loop_call(self._settle, batch)
            if self._connection is not None:
                self._connection.close()
            self._loop_call(self._end)
        except _LoopGone:
            # With it went everybody who could be answered. What was not committed was not promised.
            log.warning("the log's writer ends without a loop to answer")

    def _loop_call(self, callback: Callable[..., None], *arguments: Any) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError as error:
            raise _LoopGone from error

    def _write(self, works: Sequence[_Work[Any]]) -> None:
        if not works:
            return
        try:
            self._commit(works)
        except Exception as error:
            if len(works) > 1 and not isinstance(error, sqlite3.OperationalError | LogUnavailable):
                # One operation is at fault, not the file: the others must not suffer for it.
                for work in works:
                    self._write([work])
                return
            log.error("a commit failed and was rolled back", extra={"works": len(works), "reason": str(error)})
            for work in works:
                work.error = log_error(error, "writing to the log") if isinstance(error, sqlite3.Error) else error

    def _commit(self, live: Sequence[_Work[Any]]) -> None:
        """Run the operations in one transaction. Either all of them are done, or none is and the reason is raised."""
        if self._connection is None:
            self._connection = self._connect()
            self._files.remember()
        connection = self._connection
        transaction = Transaction(connection)
        results = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for work in live:
                results.append(work.operation(transaction))
            if (trouble := self._files.trouble()) is not None:
                raise LogUnavailable(trouble)
            connection.execute("COMMIT")
        except BaseException:
            self._roll_back(connection)
            raise
        self.commits += 1
        for work, result in zip(live, results, strict=True):
            work.result = result
            work.done = True
        if transaction.wants_truncated_wal:
            _truncate_wal(connection)

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            # Nobody knows what state this connection is in: the next commit gets a new one.
            log.exception("a roll-back failed")
            self._connection = None
            connection.close()


def _take(pending: deque[_Work[Any]]) -> list[_Work[Any]]:
    batch: list[_Work[Any]] = []
    size = 0
    while pending and len(batch) < BATCH_WORKS and (not batch or size + pending[0].size <= BATCH_BYTES):
        work = pending.popleft()
        size += work.size
        batch.append(work)
    return batch


def _truncate_wal(connection: sqlite3.Connection) -> None:
    """Empty the write-ahead log, which still holds what the last commits replaced."""
    try:
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.Error as error:
        log.error("the write-ahead log could not be emptied", extra={"reason": str(error)})
        return
    if busy:
        log.warning("the write-ahead log is in use and will be emptied later")
