"""Where a replica begins: at the newest snapshot that the journal still reaches, or at the journal's first record."""

from __future__ import annotations

from dataclasses import dataclass

from services.router import snapshot
from services.router.chain import Chain, Head
from services.router.engine.engine import Engine
from shared.log.port import Log, LogCorrupt


@dataclass(frozen=True, slots=True)
class Beginning:
    """A state and where the journal goes on behind it. `end`: the offset up to which the journal is to be folded."""

    engine: Engine
    chain: Chain
    snapshot_seq: int
    end: int


async def beginning_of(log: Log, partition: int) -> Beginning:
    """Raises `LogCorrupt` if the journal's beginning is gone and no snapshot reaches it, or if it ends before its
    snapshot: then records were lost, or this is another journal, and a second history must not begin here."""
    identity = await log.journal.identity(partition)
    saved = await log.snapshots.load_newest_valid(partition, format=snapshot.FORMAT)
    start, end = await log.journal.bounds(partition)
    if saved is not None and start <= saved.offset + 1 <= end:
        chain = Chain(identity, partition, head=Head(saved.seq, saved.hash), offset=saved.offset + 1)
        return Beginning(Engine(snapshot.load(saved.data)), chain, saved.seq, end)
    if saved is not None and saved.offset >= end:
        raise LogCorrupt(f"the journal ends at offset {end}, its snapshot is of offset {saved.offset}")
    if start == 0:
        return Beginning(Engine(), Chain(identity, partition), 0, end)
    raise LogCorrupt(f"the journal begins at offset {start} and no snapshot reaches it")
