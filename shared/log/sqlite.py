"""The log in one SQLite file: the embedded default, for one process on one machine.

A stream's newest records are kept in memory as they are committed, so the leader reads back its own entry without a
query. That is only right while nobody else writes; `exclusive=False` (tools and tests that open a directory twice)
reads from the file and looks again every 50 ms instead.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final, Generic, TypeVar

from shared.log.bell import Bell, first_found
from shared.log.port import (
    Content,
    InputRecord,
    Inputs,
    Journal,
    JournalRecord,
    LogCorrupt,
    LogUnavailable,
    Positions,
    Snapshots,
    check_trim,
)
from shared.log.sqlite_content import SqliteContent
from shared.log.sqlite_file import FILE_NAME, DirectoryLock, FileWatch, connect, prepare
from shared.log.sqlite_reader import Readers
from shared.log.sqlite_snapshots import SqliteSnapshots
from shared.log.sqlite_writer import DEADLINE_S, Transaction, Writer
from shared.log.tail import Stored, Tail
from shared.vocabulary import Topic

POLL_S: Final = 0.05
TRIMMED_AT_ONCE: Final = 1_000
"""Entries deleted in one commit: it must not take longer than a write may take."""
PROOF_BYTES: Final = 64 * 1024
"""Room for so much has to be there before a log that could not be written counts as one again."""

R = TypeVar("R", bound=Stored)


class SqliteLog:
    """All four ports on one data directory. Opened once, closed once."""

    def __init__(self, directory: Path, *, exclusive: bool = True, deadline_s: float = DEADLINE_S) -> None:
        self._directory = directory
        self._exclusive = exclusive
        self._lock: DirectoryLock | None = None
        path = directory / FILE_NAME
        self._files = FileWatch(path)
        self.writer = Writer(partial(connect, path), self._files, deadline_s=deadline_s)
        self._readers = Readers(partial(connect, path, read_only=True))
        self._inputs = SqliteInputs(self.writer, self._readers, exclusive=exclusive)
        self._journal = SqliteJournal(self.writer, self._readers, partial(connect, path), exclusive=exclusive)
        self.inputs: Inputs = self._inputs
        self.journal: Journal = self._journal
        self.snapshots: Snapshots = SqliteSnapshots(self.writer, self._readers)
        self.content: Content = SqliteContent(self.writer, self._readers)

    async def open(self) -> None:
        """Takes time with the size of the file, which is checked from end to end."""
        loop = asyncio.get_running_loop()
        self._lock, identity = await loop.run_in_executor(None, self._lock_and_prepare)
        self._journal.opened(identity)
        self._readers.start()
        self.writer.start()

    async def close(self) -> None:
        await self.writer.close()
        await self._readers.close()
        self._inputs.closed()
        self._journal.closed()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def healthy(self) -> bool | str:
        """True, or why the newest write came to nothing, or the next one will."""
        return self._files.trouble() or self.writer.trouble or True

    async def prove(self) -> None:
        """Write something that says nothing and leaves nothing behind but room. Raises `LogUnavailable`."""
        await self.writer.submit(_prove, size=PROOF_BYTES)

    def _lock_and_prepare(self) -> tuple[DirectoryLock, str]:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = DirectoryLock(self._directory, exclusive=self._exclusive)
        except OSError as error:
            raise LogUnavailable(f"the data directory {self._directory} cannot be used: {error}") from error
        try:
            return lock, prepare(self._directory)
        except BaseException:
            lock.release()
            raise


def _prove(transaction: Transaction) -> None:
    transaction.connection.execute("INSERT INTO meta VALUES ('proof', zeroblob(?))", (PROOF_BYTES,))
    transaction.connection.execute("DELETE FROM meta WHERE key = 'proof'")


class _Streams(Generic[R]):
    """The streams of one kind: their tails, where this process is the only writer, and what is only in the file."""

    def __init__(
        self,
        readers: Readers,
        *,
        exclusive: bool,
        end: Callable[[sqlite3.Connection, str, int], int],
        read: Callable[[sqlite3.Connection, str, int, int, int], list[R]],
    ) -> None:
        self._readers = readers
        self._end = end
        self._read = read
        self._tails: dict[tuple[str, int], Tail[R]] = {}
        self._exclusive = exclusive
        self._closed = False
        self.bells: defaultdict[int, Bell] = defaultdict(Bell)
        self.poll_s = None if exclusive else POLL_S

    def committed(self, name: str, partition: int, record: R) -> None:
        if self._exclusive:
            tail = self._tails.get((name, partition))
            if tail is None:
                tail = self._tails[name, partition] = Tail(record.offset)
            tail.add(record)
        self.bells[partition].ring()

    def trimmed(self, name: str, partition: int, before: int) -> None:
        tail = self._tails.get((name, partition))
        if tail is not None:
            tail.forget(before)

    async def end(self, name: str, partition: int) -> int:
        if not self._exclusive:
            return await self._readers.run(lambda connection: self._end(connection, name, partition))
        return (await self._tail(name, partition)).end

    async def read(self, name: str, partition: int, offset: int, limit: int) -> list[R]:
        """Raises `LogCorrupt` if `offset` is not between the first stored record and the end."""
        if self._closed:
            raise LogUnavailable("the log is not open")
        if self._exclusive:
            tail = await self._tail(name, partition)
            if offset > tail.end:
                raise _past_the_end(name, partition, offset, tail.end)
            if offset >= tail.start:
                # A reader that always finds something must not keep everybody else from running.
                await asyncio.sleep(0)
                return tail.read(offset, limit)
        return await self._readers.run(
            lambda connection: self._read_checked(connection, name, partition, offset, limit)
        )

    def _read_checked(
        self, connection: sqlite3.Connection, name: str, partition: int, offset: int, limit: int
    ) -> list[R]:
        records = self._read(connection, name, partition, offset, limit)
        if not records and limit > 0:
            end = self._end(connection, name, partition)
            if offset > end:
                raise _past_the_end(name, partition, offset, end)
        if offset < 0 or (records and records[0].offset != offset):
            raise LogCorrupt(f"{name}/{partition} does not hold offset {offset} any more")
        return records

    async def _tail(self, name: str, partition: int) -> Tail[R]:
        tail = self._tails.get((name, partition))
        if tail is None:
            end = await self._readers.run(lambda connection: self._end(connection, name, partition))
            # A commit may have made the tail meanwhile; if it is still to be told here, the tail knows its record.
            tail = self._tails.setdefault((name, partition), Tail(end))
        return tail

    def closed(self) -> None:
        """Wake those who wait: nothing comes any more."""
        self._closed = True
        for bell in self.bells.values():
            bell.ring()


class SqliteInputs:
    """The inputs port on one table."""

    def __init__(self, writer: Writer, readers: Readers, *, exclusive: bool) -> None:
        self._writer = writer
        self._streams: _Streams[InputRecord] = _Streams(readers, exclusive=exclusive, end=_input_end, read=_read_inputs)

    async def append(self, topic: Topic, partition: int, data: bytes) -> int:
        def insert(transaction: Transaction) -> int:
            offset = transaction.next_offset(topic, partition)
            transaction.connection.execute("INSERT INTO input VALUES (?, ?, ?, ?)", (topic, partition, offset, data))
            return offset

        def committed(offset: int) -> None:
            self._streams.committed(topic, partition, InputRecord(topic, offset, data))

        return await self._writer.submit(insert, size=len(data), on_commit=committed)

    async def read(
        self, partition: int, positions: Positions, *, limit: int, wait_s: float, inbound: bool = True
    ) -> list[InputRecord]:
        async def find() -> list[InputRecord]:
            records = await self._streams.read(Topic.COMMANDS, partition, positions.commands, limit)
            room = limit - len(records) if inbound else 0
            if room > 0:
                records = records + await self._streams.read(Topic.INBOUND, partition, positions.inbound, room)
            return records

        return await first_found(self._streams.bells[partition], find, wait_s=wait_s, poll_s=self._streams.poll_s)

    async def end(self, partition: int) -> Positions:
        return Positions(
            commands=await self._streams.end(Topic.COMMANDS, partition),
            inbound=await self._streams.end(Topic.INBOUND, partition),
        )

    def deaf_s(self, partition: int) -> float:
        """Both topics lie in one table."""
        return 0.0

    def closed(self) -> None:
        self._streams.closed()


class SqliteJournal:
    """The journal port on one table. The rule is one statement here, so void proposals are not even stored."""

    def __init__(
        self, writer: Writer, readers: Readers, connect: Callable[[], sqlite3.Connection], *, exclusive: bool
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._connect = connect
        self._identity: str | None = None
        self._streams: _Streams[JournalRecord] = _Streams(
            readers, exclusive=exclusive, end=_journal_end, read=_read_entries
        )

    def opened(self, identity: str) -> None:
        self._identity = identity

    async def identity(self, partition: int) -> str:
        """The same for all partitions: they lie in one file."""
        if self._identity is None:
            raise LogUnavailable("the log is not open")
        return self._identity

    async def propose(self, partition: int, data: bytes, *, seq: int, prev: str, entry_hash: str) -> None:
        if seq < 1:
            raise ValueError(f"entries are numbered from 1, not {seq}")

        def insert(transaction: Transaction) -> bool:
            return _insert_entry(transaction.connection, partition, data, seq, prev, entry_hash)

        def committed(accepted: bool) -> None:
            if accepted:
                self._streams.committed("journal", partition, JournalRecord(seq - 1, data))

        await self._writer.submit(insert, size=len(data), on_commit=committed)

    async def read(self, partition: int, offset: int, *, limit: int, wait_s: float) -> list[JournalRecord]:
        async def find() -> list[JournalRecord]:
            return await self._streams.read("journal", partition, offset, limit)

        return await first_found(self._streams.bells[partition], find, wait_s=wait_s, poll_s=self._streams.poll_s)

    async def bounds(self, partition: int) -> tuple[int, int]:
        return await self._readers.run(
            lambda connection: (_journal_start(connection, partition), _journal_end(connection, "journal", partition))
        )

    async def trim(self, partition: int, before: int) -> None:
        """The oldest first, some at a time, so that whatever interrupts it leaves a journal without a gap; then the
        file is written anew without them, which takes as much room as what is left."""
        start, end = await self.bounds(partition)
        check_trim(partition, before, end)
        if before <= start:
            return
        for offset in range(start, before, TRIMMED_AT_ONCE):
            upto = min(offset + TRIMMED_AT_ONCE, before)
            await self._writer.submit(partial(_delete_entries, partition=partition, before=upto))
            self._streams.trimmed("journal", partition, upto)
        await asyncio.to_thread(_vacuum, self._connect)

    def closed(self) -> None:
        self._streams.closed()


def _delete_entries(transaction: Transaction, *, partition: int, before: int) -> None:
    """Entry n lies at offset n-1. Row 0 goes too: it says what the first entry names, and that one is gone."""
    connection = transaction.connection
    # No texts and no addresses lie in a journal: overwriting its pages with zeros would be work for nothing.
    connection.execute("PRAGMA secure_delete=OFF")
    connection.execute("DELETE FROM entry WHERE partition = ? AND n <= ?", (partition, before))
    connection.execute("PRAGMA secure_delete=ON")


def _vacuum(connect: Callable[[], sqlite3.Connection]) -> None:
    """Give the disk what deleted rows took. Raises `LogUnavailable`."""
    try:
        with closing(connect()) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise LogUnavailable(f"the entries are deleted, but the file keeps its size: {error}") from error


def _insert_entry(
    connection: sqlite3.Connection, partition: int, data: bytes, seq: int, prev: str, entry_hash: str
) -> bool:
    """Whether the proposal named the head and so became the next entry."""
    if seq == 1:
        # The hash before the first entry is for the chain to know and to check; here it is what the first one names.
        # Where there are entries and no first one, the journal was trimmed, and nothing begins it anew.
        connection.execute(
            "INSERT INTO entry SELECT ?, 0, '', ?, x'' WHERE NOT EXISTS (SELECT 1 FROM entry WHERE partition = ?)",
            (partition, prev, partition),
        )
    accepted = connection.execute(
        "INSERT OR IGNORE INTO entry (partition, n, prev, hash, raw)"
        " SELECT :partition, :n, :prev, :hash, :raw"
        " WHERE EXISTS (SELECT 1 FROM entry WHERE partition = :partition AND n = :n - 1 AND hash = :prev)",
        {"partition": partition, "n": seq, "prev": prev, "hash": entry_hash, "raw": data},
    )
    return accepted.rowcount == 1


def _input_end(connection: sqlite3.Connection, name: str, partition: int) -> int:
    row = connection.execute("SELECT max(offset) FROM input WHERE topic = ? AND partition = ?", (name, partition))
    newest = row.fetchone()[0]
    return 0 if newest is None else int(newest) + 1


def _read_inputs(
    connection: sqlite3.Connection, name: str, partition: int, offset: int, limit: int
) -> list[InputRecord]:
    rows = connection.execute(
        "SELECT offset, data FROM input WHERE topic = ? AND partition = ? AND offset >= ? ORDER BY offset LIMIT ?",
        (name, partition, offset, limit),
    )
    topic = Topic(name)
    return [InputRecord(topic, *row) for row in rows]


def _journal_start(connection: sqlite3.Connection, partition: int) -> int:
    row = connection.execute("SELECT min(n) FROM entry WHERE partition = ? AND n > 0", (partition,))
    oldest = row.fetchone()[0]
    return 0 if oldest is None else int(oldest) - 1


def _journal_end(connection: sqlite3.Connection, name: str, partition: int) -> int:
    newest = connection.execute("SELECT max(n) FROM entry WHERE partition = ?", (partition,)).fetchone()[0]
    return int(newest or 0)


def _read_entries(
    connection: sqlite3.Connection, name: str, partition: int, offset: int, limit: int
) -> list[JournalRecord]:
    rows = connection.execute(
        "SELECT n - 1, raw FROM entry WHERE partition = ? AND n > 0 AND n > ? ORDER BY n LIMIT ?",
        (partition, offset, limit),
    )
    return [JournalRecord(*row) for row in rows]


def _past_the_end(name: str, partition: int, offset: int, end: int) -> LogCorrupt:
    return LogCorrupt(f"{name}/{partition} ends at offset {end}; offset {offset} was there once, or never")
