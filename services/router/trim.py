"""Deleting the oldest part of a partition's journal, at an operator's word and never by itself.

What is deleted is gone for histories, `explain` and `twin replay`, and nobody can fold the journal from its first entry
any more: then snapshots are all there is to begin from. So it goes no further than the older of the two that are kept,
and only after both were found to be what the journal folds to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.router import snapshot
from services.router.chain import Chain, Head, TooNew, decode_entry, hash_of
from services.router.engine.engine import Engine
from services.router.past import fold
from services.router.reading import owning, reading
from services.router.recovery import engine_of
from services.router.release import this_release
from shared.log.kafka import KafkaLog
from shared.log.port import JournalRecord, Log, LogCorrupt, Snapshot, UnknownWorkspace

BATCH = 500
NAMED = 5


class CannotTrim(ValueError):
    """Nothing may be deleted, and why."""


@dataclass(frozen=True, slots=True)
class Trim:
    """What would be deleted: the records before offset `before`, where entry `older` lies. `newest` is the entry of the
    newest snapshot; `workspaces` are those that lie in the partition."""

    partition: int
    workspaces: tuple[str, ...]
    before: int
    older: int
    newest: int
    records: int
    size: int

    def words(self) -> str:
        """For an operator."""
        return (
            f"partition {self.partition} ({_named(self.workspaces)}): {self.records:,} records with {self.size:,} "
            f"bytes lie before entry {self.older:,} (offset {self.before}), which the older of two snapshots is of; "
            f"the newest is of entry {self.newest:,}, and both are what the journal folds to"
        )


async def trim(address: str, target: str, *, dry_run: bool) -> list[str]:
    """Delete what two snapshots can do without of the journal of `target`, a partition's number or a workspace;
    sentences about it. With `dry_run` nothing changes, and another process may have the log.

    Raises `CannotTrim` and other ValueErrors, `LogCorrupt`, `LogLocked`, `LogUnavailable`, `Diverged`.
    """
    async with reading(address) if dry_run else owning(address) as log:
        found = await examined(log, _partition(log, target))
        if not target.isdecimal() and target not in found.workspaces:
            raise CannotTrim(f"partition {found.partition} knows no workspace {target!r}")
        if dry_run:
            return [found.words(), "nothing is deleted (--dry-run)"]
        await log.journal.trim(found.partition, found.before)
        start, _ = await log.journal.bounds(found.partition)
        said = [found.words(), f"deleted; the journal begins at offset {start}"]
        if isinstance(log, KafkaLog):
            said.append("a broker frees its disk in whole segments of the topic, within minutes")
        return said


async def examined(log: Log, partition: int) -> Trim:
    """What may be deleted, after the journal was folded over both snapshots. Raises as `trim`."""
    older, newest = await _two(log, partition)
    start, end = await log.journal.bounds(partition)
    if start > older.offset:
        raise CannotTrim(
            f"the journal begins at offset {start}, behind the older snapshot (offset {older.offset}): it must not "
            "lose more, or nobody can start where the newest one cannot be read"
        )
    if start == older.offset:
        raise CannotTrim(f"there is nothing to delete: the journal begins at offset {start}, at the older snapshot")
    identity = await log.journal.identity(partition)
    if start == 0:
        engine, chain = Engine(), Chain(identity, partition)
    else:
        # What the older one is made from was deleted when the journal was trimmed before.
        engine = engine_of(older.data)
        chain = Chain(identity, partition, head=Head(older.seq, older.hash), offset=older.offset + 1)
    records = size = seen = 0
    async for record in _records(log, partition, start, end):
        if record.offset < older.offset:
            records, size = records + 1, size + len(record.data)
        elif record.offset == older.offset and hash_of(record.data) != older.hash:
            raise _contradicted(older)
        if record.offset >= chain.next_offset and (entry_hash := chain.fold(record)) is not None:
            fold(engine, decode_entry(record, entry_hash))
        if record.offset in (older.offset, newest.offset):
            seen += 1
            _check(older if record.offset == older.offset else newest, chain, engine)
    if seen != 2:
        raise LogCorrupt(f"the journal ends at offset {end}, its newest snapshot is of offset {newest.offset}")
    too_new = this_release().outdated_by(engine.state.contracts, engine.state.contracts_of)
    if too_new is not None:
        raise TooNew(f"partition {partition}: {too_new}: it trims nothing")
    workspaces = tuple(sorted(engine.state.workspaces))
    return Trim(partition, workspaces, older.offset, older.seq, newest.seq, records, size)


def _named(workspaces: tuple[str, ...]) -> str:
    named, others = workspaces[:NAMED], len(workspaces) - NAMED
    return ", ".join(named) + (f" and {others} others" if others > 0 else "") if named else "no workspace"


async def _two(log: Log, partition: int) -> tuple[Snapshot, Snapshot]:
    newest = await log.snapshots.load_newest_valid(partition, format=snapshot.FORMAT)
    if newest is None:
        raise CannotTrim(f"partition {partition} has no snapshot that this release can read: nothing may be deleted")
    older = await log.snapshots.load_newest_valid(partition, format=snapshot.FORMAT, before=newest.seq)
    if older is None:
        raise CannotTrim(
            f"partition {partition} has one snapshot that this release can read (of entry {newest.seq}) and needs two: "
            "nothing may be deleted"
        )
    return older, newest


def _check(saved: Snapshot, chain: Chain, engine: Engine) -> None:
    folded = snapshot.state_hash(engine.state)
    if chain.head != Head(saved.seq, saved.hash) or folded != snapshot.state_hash(snapshot.load(saved.data)):
        raise _contradicted(saved)


def _contradicted(saved: Snapshot) -> CannotTrim:
    return CannotTrim(
        f"the snapshot of entry {saved.seq} is not what the journal folds to: nothing is deleted. Keep everything, and "
        "report it"
    )


async def _records(log: Log, partition: int, offset: int, end: int) -> AsyncIterator[JournalRecord]:
    """Those from `offset` up to `end`."""
    while offset < end and (found := await log.journal.read(partition, offset, limit=BATCH, wait_s=0.0)):
        for record in found:
            if record.offset < end:
                yield record
        offset = found[-1].offset + 1
        await asyncio.sleep(0)


def _partition(log: Log, target: str) -> int:
    """Of the partition's number or the workspace's name; a number is a partition's. Raises `CannotTrim`."""
    count = log.url.partitions if isinstance(log, KafkaLog) else 1
    if target.isdecimal():
        if int(target) >= count:
            raise CannotTrim(f"there is no partition {target}: they are numbered from 0 to {count - 1}")
        return int(target)
    try:
        return log.placement.partition_of(target) if isinstance(log, KafkaLog) else 0
    except UnknownWorkspace:
        raise CannotTrim(f"there is no workspace {target!r}") from None
