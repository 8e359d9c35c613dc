"""The data directory and the file of the SQLite log: who may open it, what lies in it, and how it is checked."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import sqlite3
import time
from pathlib import Path

from shared.log.port import LogCorrupt, LogLocked, LogUnavailable

log = logging.getLogger(__name__)

FILE_NAME = "log.db"
LOCK_NAME = "lock"
FORMAT = 1
APPLICATION_ID = 0x53574458
BUSY_S = 5.0

# Places start at 0 and rise by 1 per stream; nothing is ever updated but content. `entry` holds entries only, because
# here the head is known when a proposal comes; its row 0 carries the genesis hash that entry 1 names.
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE input (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (topic, partition, offset)
) WITHOUT ROWID;
CREATE TABLE entry (
    partition INTEGER NOT NULL, n INTEGER NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL, raw BLOB NOT NULL,
    PRIMARY KEY (partition, n)
) WITHOUT ROWID;
CREATE TABLE snapshot (
    id TEXT PRIMARY KEY, partition INTEGER NOT NULL, seq INTEGER NOT NULL, hash TEXT NOT NULL, offset INTEGER NOT NULL,
    format INTEGER NOT NULL, chunks INTEGER NOT NULL, size INTEGER NOT NULL, digest TEXT NOT NULL
);
CREATE TABLE snapshot_chunk (
    id TEXT NOT NULL, part INTEGER NOT NULL, partition INTEGER NOT NULL, seq INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (id, part)
);
CREATE TABLE content (
    workspace TEXT NOT NULL, ref TEXT NOT NULL, owner TEXT NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (workspace, ref)
);
CREATE INDEX content_by_owner ON content (workspace, owner);
"""


class DirectoryLock:
    """The right to use a data directory, held until `release` or the end of the process, however it ends."""

    def __init__(self, directory: Path, *, exclusive: bool) -> None:
        """Raises `LogLocked` if somebody else holds it."""
        self._file = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise LogLocked(
                f"another process is using the data directory {directory}: stop it, or choose another one (DATA_DIR)"
            ) from None
        except OSError:
            os.close(self._file)
            raise

    def release(self) -> None:
        os.close(self._file)


class FileWatch:
    """Whether the files that are written still lie where a start will look for them.

    A file that was removed or replaced can be written for as long as it is open, without an error, and is gone with the
    process: nothing in it is durable.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[Path, tuple[int, int]] = {}

    def remember(self) -> None:
        """From now on these files count: a connection has just opened them."""
        self._known = {path: place for path in self._paths if (place := _place(path)) is not None}

    def trouble(self) -> str | None:
        """Why what is written is not durable; None if it is, or nothing was written so far."""
        for path, place in self._known.items():
            if _place(path) != place:
                return f"{path} was removed or replaced while it was in use; only a restart opens what lies there now"
        return None

    @property
    def _paths(self) -> tuple[Path, Path]:
        return self._path, self._path.with_name(f"{self._path.name}-wal")


def _place(path: Path) -> tuple[int, int] | None:
    """What makes a file this one."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def prepare(directory: Path) -> str:
    """Make or check the file; returns its identity. Raises `LogCorrupt` if it cannot be trusted."""
    path = directory / FILE_NAME
    _create_privately(path)
    try:
        connection = connect(path)
        try:
            _check(connection, path)
            return _identity(connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise log_error(error, f"opening {path}") from error


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection that commits only when told to. Raises `sqlite3.Error`."""
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        # FULL: a commit returns after fsync. NORMAL would lose acknowledged records in a power cut.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=4000")
        connection.execute("PRAGMA journal_size_limit=67108864")
        # What is erased or replaced is overwritten with zeros, not merely forgotten.
        connection.execute("PRAGMA secure_delete=ON")
        if read_only:
            connection.execute("PRAGMA query_only=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def log_error(error: sqlite3.Error, doing: str) -> LogUnavailable | LogCorrupt:
    """Which of our two errors one of SQLite's means."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return LogCorrupt(f"{doing}: {error}")
    return LogUnavailable(f"{doing}: {error}")


def _create_privately(path: Path) -> None:
    """Nobody else on the machine may read customers' texts; SQLite gives its side files the mode of this one."""
    if path.exists():
        return
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    started = time.monotonic()
    findings = [row[0] for row in connection.execute("PRAGMA quick_check(10)")]
    if findings != ["ok"]:
        raise LogCorrupt(f"{path} is damaged: {'; '.join(map(str, findings))}")
    log.info("log file checked", extra={"seconds": round(time.monotonic() - started, 3)})


def _identity(connection: sqlite3.Connection) -> str:
    """The file's random name; makes the schema first if the file is new."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version == 0 and tables == 0:
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute("INSERT INTO meta VALUES ('identity', ?)", (secrets.token_hex(16),))
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={FORMAT}")
        elif version != FORMAT:
            raise LogCorrupt(f"the log file has format {version}, this release reads format {FORMAT}")
        row = connection.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone()
        if row is None:
            raise LogCorrupt("the log file has no identity")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return str(row[0])
