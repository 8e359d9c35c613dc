"""Reading a log that another process owns: no lock, no writer, nothing changes. For tools and the snapshot worker."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from shared.log.port import LogCorrupt, LogUnavailable
from shared.log.sqlite import SqliteLog
from shared.log.sqlite_file import FILE_NAME, connect, log_error


class SqliteReadingLog(SqliteLog):
    """The ports of a data directory, to read only: writing raises `LogUnavailable`."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, exclusive=False)

    async def open(self) -> None:
        """Raises `LogUnavailable` if there is no log here, `LogCorrupt` if it is none of ours."""
        self._journal.opened(await asyncio.to_thread(self._read_identity))
        self._readers.start()

    async def close(self) -> None:
        await self._readers.close()
        self._inputs.closed()
        self._journal.closed()

    def _read_identity(self) -> str:
        path = self._directory / FILE_NAME
        if not path.exists():
            raise LogUnavailable(f"there is no log in {self._directory}")
        try:
            with closing(connect(path, read_only=True)) as connection:
                row = connection.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone()
        except sqlite3.Error as error:
            raise log_error(error, f"{path} cannot be read") from error
        if row is None:
            raise LogCorrupt(f"{path} has no identity")
        return str(row[0])
