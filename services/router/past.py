"""States of the past: a partition folded up to a moment, as it was just before an event was made true.

What was decided is never decided again: the journal's events are folded by the production engine, and the last entry
event by event, because one entry may hold a contact's arrival and the offer of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from services.router import snapshot
from services.router.chain import Chain, Entry, Head, decode_entry
from services.router.engine.engine import Engine
from services.router.engine.evolve import evolve
from services.router.recovery import beginning_of, engine_of, readable
from shared.log.port import Log, LogCorrupt

BATCH = 500

Place = tuple[int, int]
"""(entry, index of the event in it)."""


class PastGone(Exception):
    """The journal does not reach back to that moment any more, or has not come to it."""


async def states_before(log: Log, partition: int, places: Sequence[Place]) -> AsyncIterator[tuple[Place, Engine]]:
    """For each place, in the order of the journal, the state in which its event was decided.

    The engine is the same one each time and moves on: look before asking for the next. Raises `PastGone`,
    `LogCorrupt`, `LogUnavailable`, `Diverged`.
    """
    wanted = sorted(set(places))
    if not wanted:
        return
    engine, chain = await _beginning_before(log, partition, wanted[0][0])
    async for entry in _entries(log, partition, chain):
        here = [place for place in wanted if place[0] == entry.seq]
        if not here:
            fold(engine, entry)
            continue
        number = 0
        for decision in entry.decisions:
            for event in decision.events:
                if (entry.seq, number) in here:
                    yield (entry.seq, number), engine
                evolve(engine.world, decision.workspace, [event], entry.at, entry.seq)
                number += 1
        _settle(engine, entry)
        wanted = [place for place in wanted if place[0] > entry.seq]
        if not wanted:
            return
    raise PastGone(f"the journal has not come to entry {wanted[0][0]}")


async def state_now(log: Log, partition: int) -> tuple[int, Engine]:
    """The newest entry and the state after it. Raises `LogCorrupt`, `LogUnavailable`, `Diverged`."""
    begin = await beginning_of(log, partition)
    async for entry in _entries(log, partition, begin.chain):
        fold(begin.engine, entry)
    return begin.chain.head.seq, begin.engine


def fold(engine: Engine, entry: Entry) -> None:
    """Make a whole entry true."""
    for d in entry.decisions:
        engine.fold(d.command_id, d.workspace, d.actor, d.digest, d.events, entry.at, entry.seq)
    _settle(engine, entry)


def _settle(engine: Engine, entry: Entry) -> None:
    if entry.hello is not None:
        engine.hear(entry.hello.contracts, entry.hello.switchdesk)
    engine.settle(entry.at, entry.positions)


async def _entries(log: Log, partition: int, chain: Chain) -> AsyncIterator[Entry]:
    """The entries from the chain's head to the journal's end."""
    while records := await log.journal.read(partition, chain.next_offset, limit=BATCH, wait_s=0.0):
        for record in records:
            entry_hash = chain.fold(record)
            if entry_hash is not None:
                yield decode_entry(record, entry_hash)
        await asyncio.sleep(0)


async def _beginning_before(log: Log, partition: int, seq: int) -> tuple[Engine, Chain]:
    """The nearest state that is kept of a time before entry `seq`."""
    saved = await log.snapshots.load_newest_valid(partition, format=snapshot.FORMAT)
    identity = await log.journal.identity(partition)
    start, end = await log.journal.bounds(partition)
    if saved is not None and saved.seq < seq and start <= saved.offset + 1 <= end:
        engine = await readable(saved, engine_of)
        if engine is not None:
            head = Head(saved.seq, saved.hash)
            return engine, Chain(identity, partition, head=head, offset=saved.offset + 1)
    if start > 0:
        raise PastGone(f"the journal begins at offset {start} and no snapshot is kept of a time before entry {seq}")
    if saved is not None and saved.offset >= end:
        raise LogCorrupt(f"the journal ends at offset {end}, its snapshot is of offset {saved.offset}")
    return Engine(), Chain(identity, partition)
