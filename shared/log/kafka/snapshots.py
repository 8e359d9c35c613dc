"""Snapshots on Kafka: chunks on a compacted topic, a manifest behind them, tombstones for what is not needed any more.

A key is `partition/seq/save/part`, where `save` names one call of `save`: two snapshots of the same entry do not mix.
Who saves or loads keeps an index of the topic, offsets without data, and reads on from where it was the last time; so
loading holds one snapshot in memory and not the topic.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass, field
from typing import Final

import msgspec

from shared.log.chunks import Manifest, join, split
from shared.log.codec import encode
from shared.log.kafka.cluster import Cluster
from shared.log.kafka.producer import SafeProducer
from shared.log.kafka.reader import STREAM_BYTES, Reader, Record
from shared.log.port import LogCorrupt, LogUnavailable, Snapshot

log = logging.getLogger(__name__)

KEPT: Final = 2
MANIFEST: Final = "manifest"


@dataclass(slots=True)
class _Saved:
    """One snapshot as the topic holds it: where its chunks are, and its manifest if it was finished."""

    seq: int
    chunks: dict[int, int] = field(default_factory=dict)
    manifest: Manifest | None = None
    manifest_offset: int = -1


class _Index:
    """What lies in one partition of the topic, as far as it was read."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.lock = asyncio.Lock()
        self.saved: dict[tuple[int, str], _Saved] = {}
        self._next: int | None = None

    async def read_on(self) -> None:
        """Up to the end as it is now."""
        end = await self.reader.end()
        position = await self.reader.start() if self._next is None else self._next
        while position < end:
            page = await self.reader.page(position, max_bytes=STREAM_BYTES)
            for record in page.records:
                self._take(record)
            if page.next == position:
                # Compaction left nothing up to the end.
                break
            position = page.next
        self._next = max(position, end)

    def finished(self) -> list[tuple[tuple[int, str], _Saved]]:
        """Newest first; of two of the same entry, the one that was saved later."""
        finished = [(name, saved) for name, saved in self.saved.items() if saved.manifest is not None]
        return sorted(finished, key=lambda one: (one[1].seq, one[1].manifest_offset), reverse=True)

    def _take(self, record: Record) -> None:
        try:
            _, seq, save, part = (record.key or b"").decode().split("/")
            name = (int(seq), save)
            manifest = None
            if part == MANIFEST and not record.tombstone:
                manifest = msgspec.json.decode(record.data, type=Manifest)
            number = 0 if part == MANIFEST else int(part)
        except (ValueError, msgspec.DecodeError) as error:
            log.error("a record of a snapshot cannot be read", extra={"at": record.offset, "reason": str(error)})
            return
        saved = self.saved.setdefault(name, _Saved(name[0]))
        if record.tombstone:
            if part == MANIFEST:
                saved.manifest = None
            else:
                saved.chunks.pop(number, None)
            if saved.manifest is None and not saved.chunks:
                del self.saved[name]
        elif manifest is not None:
            saved.manifest, saved.manifest_offset = manifest, record.offset
        else:
            saved.chunks[number] = record.offset


class KafkaSnapshots:
    """The snapshots port. Its producer is its own and starts with the first save: a chunk holds up no proposal."""

    def __init__(self, cluster: Cluster, producer: SafeProducer, topic: str) -> None:
        self._cluster = cluster
        self._producer = producer
        self._topic = topic
        self._indexes: dict[int, _Index] = {}
        self._closed = False

    async def save(self, snapshot: Snapshot) -> None:
        index = self._index(snapshot.partition)
        # One at a time per partition: two would only compete for being dropped.
        async with index.lock:
            manifest, chunks = await asyncio.to_thread(split, snapshot)
            save = secrets.token_hex(8)
            for part, chunk in enumerate(chunks):
                await self._write(snapshot.partition, snapshot.seq, save, str(part), chunk)
            await self._write(snapshot.partition, snapshot.seq, save, MANIFEST, encode(manifest))
            await self._drop_older(snapshot.partition, index)

    async def load_newest_valid(self, partition: int, *, format: int, before: int | None = None) -> Snapshot | None:
        """Reads the topic's partition once to see what there is, then the chunks of what it returns."""
        index = self._index(partition)
        async with index.lock:
            await index.read_on()
            for _, saved in index.finished():
                assert saved.manifest is not None
                if before is not None and saved.seq >= before:
                    continue
                if saved.manifest.format != format:
                    log.warning("a snapshot of another format is passed over", extra={"seq": saved.seq})
                    continue
                try:
                    return await self._load(index.reader, saved, saved.manifest)
                except LogCorrupt as error:
                    log.error(
                        "a damaged snapshot is passed over",
                        extra={"partition": partition, "seq": saved.seq, "reason": str(error)},
                    )
        return None

    async def close(self) -> None:
        self._closed = True
        for index in self._indexes.values():
            await index.reader.close()

    async def _load(self, reader: Reader, saved: _Saved, manifest: Manifest) -> Snapshot:
        wanted = {saved.chunks[part]: part for part in range(manifest.chunks) if part in saved.chunks}
        chunks: dict[int, bytes] = {}
        for offset in sorted(wanted):
            if wanted[offset] in chunks:
                continue
            page = await reader.page(offset, max_bytes=STREAM_BYTES)
            for record in page.records:
                if record.offset in wanted:
                    chunks[wanted[record.offset]] = record.data
        ordered = [chunks[part] for part in sorted(chunks)]
        return await asyncio.to_thread(join, manifest, ordered)

    async def _drop_older(self, partition: int, index: _Index) -> None:
        await index.read_on()
        finished = index.finished()
        kept = [name for name, _ in finished[:KEPT]]
        oldest_kept = min(seq for seq, _ in kept)
        for name, saved in list(index.saved.items()):
            # Chunks without a manifest are what a crash left behind, or what another process is writing just now: only
            # those older than everything that is kept are certainly of no use.
            if name in kept or (saved.manifest is None and saved.seq >= oldest_kept):
                continue
            seq, save = name
            # The manifest first: without it the snapshot does not exist, however far this comes.
            if saved.manifest is not None:
                await self._write(partition, seq, save, MANIFEST, None)
            for part in sorted(saved.chunks):
                await self._write(partition, seq, save, str(part), None)

    async def _write(self, partition: int, seq: int, save: str, part: str, data: bytes | None) -> None:
        key = f"{partition}/{seq}/{save}/{part}".encode()
        await self._producer.send(self._topic, partition, key, data)

    def _index(self, partition: int) -> _Index:
        if self._closed:
            raise LogUnavailable("the log is not open")
        index = self._indexes.get(partition)
        if index is None:
            index = self._indexes[partition] = _Index(Reader(self._cluster, self._topic, partition))
        return index
