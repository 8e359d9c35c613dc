"""The log on plain lists, for the simulation and for unit tests: no thread, no file, the same run every time.

A `MemoryStore` is what survives; a `MemoryLog` is one process's view of it, so several processes and their crashes are
several logs on one store. The journal keeps every proposal that arrives, in the order of arrival, as Kafka does:
whether one is an entry is left to the rule. `Faults` says what goes wrong between a process and the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.log.bell import Bell, first_found
from shared.log.chunks import CHUNK_BYTES, Manifest, join, split
from shared.log.port import (
    Content,
    InputRecord,
    Inputs,
    Journal,
    JournalRecord,
    LogCorrupt,
    LogUnavailable,
    Positions,
    Snapshot,
    Snapshots,
    Text,
    check_trim,
)
from shared.vocabulary import Topic

log = logging.getLogger(__name__)

KEPT_SNAPSHOTS = 2


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a port, as its faults see it: `inputs.append`, `journal.propose`, `content.put`, …"""

    name: str
    partition: int = 0
    topic: Topic | None = None
    data: bytes = b""


class Faults:
    """What goes wrong. This one: nothing, but every call gives others a turn, as a real log's would.

    A subclass may wait in either method (delays reorder what several tasks send) or raise: in `before`, what was sent
    is lost, or arrives late if the subclass hands `call.data` to the store itself later on; in `after` it has happened
    and only the acknowledgement is lost.
    """

    async def before(self, call: Call) -> None:
        await asyncio.sleep(0)

    async def after(self, call: Call) -> None:
        return None

    def copies(self, call: Call) -> int:
        """How often an append or a proposal arrives."""
        return 1

    def limit(self, call: Call, limit: int) -> int:
        """How many records a read returns at most: a real log may return fewer than it was asked for."""
        return limit


@dataclass(slots=True)
class StoredSnapshot:
    """One snapshot as it lies there: torn as long as it has no manifest."""

    partition: int
    seq: int
    chunks: list[bytes] = field(default_factory=list)
    manifest: Manifest | None = None


class MemoryStore:
    """What survives the processes. Everything in it may be looked at, and spoilt, by a test."""

    def __init__(self, identity: str = "memory") -> None:
        self.identity = identity
        self.inputs: defaultdict[tuple[Topic, int], list[bytes]] = defaultdict(list)
        self.journal: defaultdict[int, list[bytes]] = defaultdict(list)
        self.journal_start: defaultdict[int, int] = defaultdict(int)
        """Offset of the first record that is still there, per partition."""
        self.snapshots: list[StoredSnapshot] = []
        self.content: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.bells: defaultdict[int, Bell] = defaultdict(Bell)

    def add_input(self, topic: Topic, partition: int, data: bytes) -> int:
        stream = self.inputs[topic, partition]
        stream.append(data)
        self.bells[partition].ring()
        return len(stream) - 1

    def add_proposal(self, partition: int, data: bytes) -> None:
        self.journal[partition].append(data)
        self.bells[partition].ring()


class MemoryLog:
    """All four ports of one process."""

    def __init__(self, store: MemoryStore | None = None, faults: Faults | None = None) -> None:
        self.store = store or MemoryStore()
        faults = faults or Faults()
        self.inputs: Inputs = MemoryInputs(self.store, faults)
        self.journal: Journal = MemoryJournal(self.store, faults)
        self.snapshots: Snapshots = MemorySnapshots(self.store, faults)
        self.content: Content = MemoryContent(self.store, faults)

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        return None


class MemoryInputs:
    """The inputs port."""

    def __init__(self, store: MemoryStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    async def append(self, topic: Topic, partition: int, data: bytes) -> int:
        call = Call("inputs.append", partition, topic, data)
        await self._faults.before(call)
        offsets = [self._store.add_input(topic, partition, data) for _ in range(self._faults.copies(call))]
        await self._faults.after(call)
        if not offsets:
            raise LogUnavailable("the append did not arrive")
        return offsets[0]

    async def read(
        self, partition: int, positions: Positions, *, limit: int, wait_s: float, inbound: bool = True
    ) -> list[InputRecord]:
        call = Call("inputs.read", partition)

        async def find() -> list[InputRecord]:
            await self._faults.before(call)
            room = self._faults.limit(call, limit)
            records = self._slice(Topic.COMMANDS, partition, positions.commands, room)
            if inbound:
                records += self._slice(Topic.INBOUND, partition, positions.inbound, room - len(records))
            await self._faults.after(call)
            return records

        return await first_found(self._store.bells[partition], find, wait_s=wait_s)

    def deaf_s(self, partition: int) -> float:
        """Both topics lie in one place."""
        return 0.0

    async def end(self, partition: int) -> Positions:
        await self._faults.before(Call("inputs.end", partition))
        return Positions(
            commands=len(self._store.inputs[Topic.COMMANDS, partition]),
            inbound=len(self._store.inputs[Topic.INBOUND, partition]),
        )

    def _slice(self, topic: Topic, partition: int, offset: int, limit: int) -> list[InputRecord]:
        stream = self._store.inputs[topic, partition]
        if not 0 <= offset <= len(stream):
            raise LogCorrupt(f"{topic}/{partition} ends at offset {len(stream)}, it does not hold {offset}")
        return [InputRecord(topic, offset + n, data) for n, data in enumerate(stream[offset : offset + limit])]


class MemoryJournal:
    """The journal port: every proposal that arrives is stored, void or not."""

    def __init__(self, store: MemoryStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    async def identity(self, partition: int) -> str:
        return self._store.identity

    async def propose(self, partition: int, data: bytes, *, seq: int, prev: str, entry_hash: str) -> None:
        call = Call("journal.propose", partition, data=data)
        await self._faults.before(call)
        for _ in range(self._faults.copies(call)):
            self._store.add_proposal(partition, data)
        await self._faults.after(call)

    async def read(self, partition: int, offset: int, *, limit: int, wait_s: float) -> list[JournalRecord]:
        call = Call("journal.read", partition)

        async def find() -> list[JournalRecord]:
            await self._faults.before(call)
            records = self._slice(partition, offset, self._faults.limit(call, limit))
            await self._faults.after(call)
            return records

        return await first_found(self._store.bells[partition], find, wait_s=wait_s)

    async def bounds(self, partition: int) -> tuple[int, int]:
        await self._faults.before(Call("journal.bounds", partition))
        return self._bounds(partition)

    async def trim(self, partition: int, before: int) -> None:
        call = Call("journal.trim", partition)
        await self._faults.before(call)
        start, end = self._bounds(partition)
        check_trim(partition, before, end)
        self._store.journal_start[partition] = max(start, before)
        await self._faults.after(call)

    def _bounds(self, partition: int) -> tuple[int, int]:
        return self._store.journal_start[partition], len(self._store.journal[partition])

    def _slice(self, partition: int, offset: int, limit: int) -> list[JournalRecord]:
        start, end = self._bounds(partition)
        if not start <= offset <= end:
            raise LogCorrupt(f"journal/{partition} holds offsets {start} to {end}, not {offset}")
        stream = self._store.journal[partition]
        return [JournalRecord(offset + n, data) for n, data in enumerate(stream[offset : offset + limit])]


class MemorySnapshots:
    """The snapshots port: chunk by chunk, with a call of the faults between any two."""

    def __init__(self, store: MemoryStore, faults: Faults, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._store = store
        self._faults = faults
        self._chunk_bytes = chunk_bytes

    async def save(self, snapshot: Snapshot) -> None:
        manifest, chunks = split(snapshot, self._chunk_bytes)
        stored = StoredSnapshot(snapshot.partition, snapshot.seq)
        self._store.snapshots.append(stored)
        for chunk in chunks:
            await self._faults.before(Call("snapshots.chunk", snapshot.partition, data=chunk))
            stored.chunks.append(chunk)
        await self._faults.before(Call("snapshots.manifest", snapshot.partition))
        stored.manifest = manifest
        self._drop_older(snapshot.partition)
        await self._faults.after(Call("snapshots.manifest", snapshot.partition))

    async def load_newest_valid(self, partition: int, *, format: int, before: int | None = None) -> Snapshot | None:
        await self._faults.before(Call("snapshots.load", partition))
        for stored in self._complete(partition):
            if stored.manifest is None:
                continue
            if stored.manifest.format != format:
                log.warning("a snapshot of another format is passed over", extra={"seq": stored.seq})
                continue
            if before is not None and stored.seq >= before:
                continue
            try:
                return join(stored.manifest, stored.chunks)
            except LogCorrupt as error:
                log.error("a damaged snapshot is passed over", extra={"seq": stored.seq, "reason": str(error)})
        return None

    def _complete(self, partition: int) -> list[StoredSnapshot]:
        """Newest first; of two of the same entry, the one that was saved later."""
        mine = [stored for stored in self._store.snapshots if stored.partition == partition and stored.manifest]
        return sorted(reversed(mine), key=lambda stored: stored.seq, reverse=True)

    def _drop_older(self, partition: int) -> None:
        complete = self._complete(partition)
        kept = complete[:KEPT_SNAPSHOTS]
        for stored in list(self._store.snapshots):
            if stored.partition != partition or any(stored is one for one in kept):
                continue
            if stored.manifest is not None or stored.seq < kept[-1].seq:
                self._store.snapshots.remove(stored)


class MemoryContent:
    """The content port."""

    def __init__(self, store: MemoryStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    async def put(self, workspace: str, ref: str, data: bytes, *, owner: str) -> None:
        await self.put_all(workspace, [Text(ref, data, owner)])

    async def put_all(self, workspace: str, texts: Sequence[Text]) -> None:
        for text in texts:
            call = Call("content.put", data=text.data)
            await self._faults.before(call)
            if not text.first or (workspace, text.ref) not in self._store.content:
                self._store.content[workspace, text.ref] = (text.owner, text.data)
            await self._faults.after(call)

    async def get(self, workspace: str, ref: str) -> bytes | None:
        return (await self.get_many(workspace, [ref])).get(ref)

    async def get_many(self, workspace: str, refs: Sequence[str]) -> dict[str, bytes]:
        await self._faults.before(Call("content.get"))
        content = self._store.content
        return {ref: content[workspace, ref][1] for ref in refs if (workspace, ref) in content}

    async def refs(self, workspace: str, owner: str) -> list[str]:
        await self._faults.before(Call("content.get"))
        return sorted(
            ref for (of, ref), (whose, _) in self._store.content.items() if of == workspace and whose == owner
        )

    async def erase(self, workspace: str, owner: str) -> int:
        call = Call("content.erase")
        await self._faults.before(call)
        erased = [key for key, (of, _) in self._store.content.items() if key[0] == workspace and of == owner]
        for key in erased:
            del self._store.content[key]
        await self._faults.after(call)
        return len(erased)
