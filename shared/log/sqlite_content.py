"""Texts and addresses in SQLite: a table that forgets for good when it is told to."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from shared.log.port import Text
from shared.log.sqlite_reader import Readers
from shared.log.sqlite_writer import Transaction, Writer

_INSERT = "INSERT INTO content (workspace, ref, owner, data) VALUES (?, ?, ?, ?) ON CONFLICT (workspace, ref) DO "
_FIRST = _INSERT + "NOTHING"
# What is there already is not written again: a provider's retry costs no page.
_NEWEST = _INSERT + (
    "UPDATE SET owner = excluded.owner, data = excluded.data WHERE data <> excluded.data OR owner <> excluded.owner"
)


class SqliteContent:
    """The content port on one table."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def put(self, workspace: str, ref: str, data: bytes, *, owner: str) -> None:
        await self.put_all(workspace, [Text(ref, data, owner)])

    async def put_all(self, workspace: str, texts: Sequence[Text]) -> None:
        def write(transaction: Transaction) -> None:
            for text in texts:
                statement = _FIRST if text.first else _NEWEST
                transaction.connection.execute(statement, (workspace, text.ref, text.owner, text.data))

        if texts:
            await self._writer.submit(write, size=sum(len(text.data) for text in texts))

    async def get(self, workspace: str, ref: str) -> bytes | None:
        return (await self.get_many(workspace, [ref])).get(ref)

    async def get_many(self, workspace: str, refs: Sequence[str]) -> dict[str, bytes]:
        def read(connection: sqlite3.Connection) -> dict[str, bytes]:
            found = {}
            for ref in refs:
                row = connection.execute(
                    "SELECT data FROM content WHERE workspace = ? AND ref = ?", (workspace, ref)
                ).fetchone()
                if row is not None:
                    found[ref] = row[0]
            return found

        return await self._readers.run(read) if refs else {}

    async def refs(self, workspace: str, owner: str) -> list[str]:
        def read(connection: sqlite3.Connection) -> list[str]:
            found = connection.execute("SELECT ref FROM content WHERE workspace = ? AND owner = ?", (workspace, owner))
            return sorted(ref for (ref,) in found)

        return await self._readers.run(read)

    async def erase(self, workspace: str, owner: str) -> int:
        def delete(transaction: Transaction) -> int:
            # The bytes lie in the write-ahead log too, until it is emptied.
            transaction.wants_truncated_wal = True
            return transaction.connection.execute(
                "DELETE FROM content WHERE workspace = ? AND owner = ?", (workspace, owner)
            ).rowcount

        return await self._writer.submit(delete)
