"""Where a replica begins: at the newest snapshot that the journal still reaches, or at the journal's first record."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from services.router import snapshot
from services.router.chain import Chain, Head
from services.router.engine.engine import Engine
from shared.log.port import Log, LogCorrupt, Snapshot

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Beginning:
    """A state and where the journal goes on behind it. `end`: the offset up to which the journal is to be folded."""

    engine: Engine
    chain: Chain
    snapshot_seq: int
    end: int


async def beginning_of(log: Log, partition: int) -> Beginning:
    """Raises `LogCorrupt` if the journal's beginning is gone and no snapshot reaches it, or if it ends before its
    snapshot: then records were lost, or this is another journal, and a second history must not begin here.

    A snapshot that arrived whole and cannot be read all the same only costs time: the one before it is taken, or the
    journal from its start.
    """
    identity = await log.journal.identity(partition)
    saved = await log.snapshots.load_newest_valid(partition, format=snapshot.FORMAT)
    start, end = await log.journal.bounds(partition)
    if saved is not None and saved.offset >= end:
        raise LogCorrupt(f"the journal ends at offset {end}, its snapshot is of offset {saved.offset}")
    while saved is not None and start <= saved.offset + 1:
        engine = await readable(saved, engine_of)
        if engine is not None:
            chain = Chain(identity, partition, head=Head(saved.seq, saved.hash), offset=saved.offset + 1)
            return Beginning(engine, chain, saved.seq, end)
        saved = await log.snapshots.load_newest_valid(partition, format=snapshot.FORMAT, before=saved.seq)
    if start == 0:
        return Beginning(Engine(), Chain(identity, partition), 0, end)
    raise LogCorrupt(f"the journal begins at offset {start} and no snapshot reaches it")


def engine_of(data: bytes) -> Engine:
    """The engine on the state behind a snapshot's bytes. Raises `LogCorrupt`."""
    state = snapshot.load(data)
    try:
        return Engine(state)
    except snapshot.UNREADABLE as error:
        raise LogCorrupt(f"the snapshot contradicts itself: {error!r}") from error


async def readable(saved: Snapshot, read: Callable[[bytes], T]) -> T | None:
    """What `read` makes of a snapshot; None, loudly, if it cannot be read.

    In a thread, because nobody else has that state yet: building the indexes lets the loop run in between. Decoding
    does not, it is one call that holds the interpreter.
    """
    try:
        return await asyncio.to_thread(read, saved.data)
    except LogCorrupt as error:
        logger.error(
            "a snapshot that cannot be read is passed over",
            extra={"partition": saved.partition, "seq": saved.seq, "reason": str(error)},
        )
        return None
