"""Snapshots in SQLite: a chunk to a commit, so that a large one never holds up an append."""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
from collections import defaultdict
from dataclasses import astuple

from shared.log.chunks import Manifest, join, split
from shared.log.port import LogCorrupt, Snapshot
from shared.log.sqlite_reader import Readers
from shared.log.sqlite_writer import Transaction, Writer

log = logging.getLogger(__name__)

KEPT = 2


class SqliteSnapshots:
    """The snapshots port: a table of chunks and one of manifests."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers
        self._saving: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def save(self, snapshot: Snapshot) -> None:
        # One at a time per partition: two would only compete for being dropped.
        async with self._saving[snapshot.partition]:
            manifest, chunks = await self._readers.work(lambda: split(snapshot))
            id = secrets.token_hex(8)
            for part, chunk in enumerate(chunks):
                await self._write_chunk(id, part, manifest, chunk)
            await self._write_manifest(id, manifest)
            await self._drop_older(snapshot.partition)

    async def load_newest_valid(self, partition: int, *, format: int, before: int | None = None) -> Snapshot | None:
        for id, manifest in await self._readers.run(lambda connection: _manifests(connection, partition)):
            if before is not None and manifest.seq >= before:
                continue
            if manifest.format != format:
                log.warning("a snapshot of another format is passed over", extra={"seq": manifest.seq})
                continue
            try:
                return await self._load(id, manifest)
            except LogCorrupt as error:
                log.error(
                    "a damaged snapshot is passed over",
                    extra={"partition": partition, "seq": manifest.seq, "reason": str(error)},
                )
        return None

    async def _load(self, id: str, manifest: Manifest) -> Snapshot:
        def read(connection: sqlite3.Connection) -> Snapshot:
            rows = connection.execute("SELECT data FROM snapshot_chunk WHERE id = ? ORDER BY part", (id,))
            return join(manifest, [row[0] for row in rows])

        return await self._readers.run(read)

    async def _write_chunk(self, id: str, part: int, manifest: Manifest, chunk: bytes) -> None:
        def write(transaction: Transaction) -> None:
            transaction.connection.execute(
                "INSERT INTO snapshot_chunk (id, part, partition, seq, data) VALUES (?, ?, ?, ?, ?)",
                (id, part, manifest.partition, manifest.seq, chunk),
            )

        await self._writer.submit(write, size=len(chunk))

    async def _write_manifest(self, id: str, manifest: Manifest) -> None:
        def write(transaction: Transaction) -> None:
            transaction.connection.execute(
                "INSERT INTO snapshot (id, partition, seq, hash, offset, format, chunks, size, digest)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (id, *astuple(manifest)),
            )

        await self._writer.submit(write)

    async def _drop_older(self, partition: int) -> None:
        manifests = await self._readers.run(lambda connection: _manifests(connection, partition))
        for id, _ in manifests[KEPT:]:
            await self._drop_manifest(id)
        kept = manifests[:KEPT]
        # Chunks without a manifest are what a crash left behind, or what another process is writing just now: only
        # those older than everything that is kept are certainly of no use.
        for id, part in await self._readers.run(
            lambda connection: _loose_chunks(connection, partition, min(manifest.seq for _, manifest in kept))
        ):
            await self._drop_chunk(id, part)

    async def _drop_manifest(self, id: str) -> None:
        def delete(transaction: Transaction) -> None:
            transaction.connection.execute("DELETE FROM snapshot WHERE id = ?", (id,))

        await self._writer.submit(delete)

    async def _drop_chunk(self, id: str, part: int) -> None:
        def delete(transaction: Transaction) -> None:
            # No texts and no addresses lie in a snapshot: overwriting its pages with zeros would be work for nothing.
            transaction.connection.execute("PRAGMA secure_delete=OFF")
            transaction.connection.execute("DELETE FROM snapshot_chunk WHERE id = ? AND part = ?", (id, part))
            transaction.connection.execute("PRAGMA secure_delete=ON")

        await self._writer.submit(delete)


def _manifests(connection: sqlite3.Connection, partition: int) -> list[tuple[str, Manifest]]:
    """Newest first; of two of the same entry, the one that was saved later."""
    rows = connection.execute(
        "SELECT id, partition, seq, hash, offset, format, chunks, size, digest FROM snapshot"
        " WHERE partition = ? ORDER BY seq DESC, rowid DESC",
        (partition,),
    )
    return [(id, Manifest(*fields)) for id, *fields in rows]


def _loose_chunks(connection: sqlite3.Connection, partition: int, before_seq: int) -> list[tuple[str, int]]:
    return connection.execute(
        "SELECT id, part FROM snapshot_chunk"
        " WHERE partition = ? AND seq < ? AND id NOT IN (SELECT id FROM snapshot) ORDER BY id, part",
        (partition, before_seq),
    ).fetchall()
