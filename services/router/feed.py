"""Reading the journal for people and adapters: one contact's history, and a workspace's public feed.

Both are projections of the journal. The feed's ids are `partition:seq:index`, its `sequence` is gap-free per
workspace.

A journal may hold void records, so an entry's offset is not told by its number. But on an honest journal the first
record with a given number is that entry, and numbers of entries only rise: a record numbered n+1 that came before the
entry would have been written by somebody who had not read entry n, which `Chain.fold` takes for a diverged history.
So entry n is found by halving, and whoever reads on from there keeps what counts up by one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from services.router.chain import Decision, Entry, decode_entry, hash_of, number_of
from services.router.engine.evolve import PUBLIC_SILENT
from shared.contracts.events import Event
from shared.log.port import Journal, JournalRecord, LogCorrupt

BATCH = 200
POLL_S = 15.0
PROBE = 64
"""Records looked at in one place while searching: their highest number is the head's at that place. Only so many stale
records in a row, without one entry among them, would mislead the search; a router that wakes up sends one and reads."""
NEAR = 256


class EntriesGone(Exception):
    """Entries that are asked for lay before the journal's beginning: it was trimmed. Says where it begins."""


def event_fields(event: Event) -> dict[str, Any]:
    """An event's fields as JSON knows them."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    return fields


class JournalReader:
    """Entries by number, for one partition."""

    def __init__(self, journal: Journal, partition: int) -> None:
        self._journal = journal
        self._partition = partition

    async def history(self, workspace: str, contact_id: str, seqs: Sequence[int]) -> list[dict[str, Any]]:
        """Every event of a contact out of the entries `seqs`, in order: `{seq, index, at, type, data}`, `at` in ms.

        Raises `EntriesGone`, `LogCorrupt`, `LogUnavailable`.
        """
        history = []
        for seq in seqs:
            entry = await self._entry(seq)
            if entry is None:
                await self._raise_gone(seq)
                raise LogCorrupt(f"entry {seq} is not in the journal")
            history += history_in(entry, workspace, contact_id)
        return history

    async def _raise_gone(self, seq: int) -> None:
        """Raises `EntriesGone` if entry `seq` lay before the journal's beginning."""
        start, _ = await self._journal.bounds(self._partition)
        first = await self._read(start, limit=1, wait_s=0.0) if start else []
        if first and seq < number_of(first[0]):
            raise EntriesGone(f"entry {seq} was deleted: the journal begins at entry {number_of(first[0])}")

    async def feed(self, workspace: str, after: str | None) -> AsyncIterator[dict[str, Any]]:
        """The workspace's public events behind the id `after` (None: from now on), for ever:
        `{id, type, at, sequence, subject, data}`.

        Raises LookupError on the first step for an id that this partition does not know.
        """
        seq, skip = await self._start(after)
        offset = await self._locate(seq)
        while True:
            records = await self._read(offset, limit=BATCH, wait_s=POLL_S)
            for record in records:
                offset = record.offset + 1
                if number_of(record) != seq:
                    continue
                entry = decode_entry(record, hash_of(record.data))
                for index, event in self._public(workspace, entry):
                    if index > skip:
                        yield event
                seq, skip = seq + 1, -1

    async def _start(self, after: str | None) -> tuple[int, int]:
        """The first entry to tell of, and the index of its last event that is known already."""
        if after is None:
            return await self._newest() + 1, -1
        partition, seq, index = (int(part) for part in after.split(":"))
        if partition != self._partition or seq < 1 or seq > await self._newest():
            raise LookupError(f"{after!r} is no event of this partition")
        if await self._entry(seq) is None:
            raise LookupError(f"{after!r} is not in the journal any more")
        return seq, index

    async def _newest(self) -> int:
        """The number of the newest entry."""
        start, end = await self._journal.bounds(self._partition)
        newest, back = 0, NEAR
        while end > start and newest == 0:
            newest = await self._highest(max(start, end - back), back)
            back *= 4
        return newest

    async def _locate(self, seq: int) -> int:
        """An offset at or before entry `seq`, near it. The end, if there is no such entry yet."""
        start, end = await self._journal.bounds(self._partition)
        # Every entry has a record of its own, so entry n lies at offset n-1 or later.
        low = max(start, seq - 1)
        high = max(low, end)
        while high - low > NEAR:
            middle = (low + high) // 2
            if await self._highest(middle, PROBE) < seq:
                low = middle
            else:
                high = middle
        return low

    async def _highest(self, offset: int, limit: int) -> int:
        records = await self._read(offset, limit=limit, wait_s=0.0)
        return max((number_of(record) for record in records), default=0)

    async def _read(self, offset: int, *, limit: int, wait_s: float) -> list[JournalRecord]:
        return await self._journal.read(self._partition, offset, limit=limit, wait_s=wait_s)

    def _public(self, workspace: str, entry: Entry) -> list[tuple[int, dict[str, Any]]]:
        public = []
        index = -1
        for decision in entry.decisions:
            sequence = decision.sequence
            for event in decision.events:
                index += 1
                if decision.workspace != workspace or type(event) in PUBLIC_SILENT:
                    continue
                sequence += 1
                fields = {
                    "id": f"{self._partition}:{entry.seq}:{index}",
                    "type": f"switchdesk.{type(event).__name__}",
                    "at": entry.at,
                    "sequence": sequence,
                    "subject": getattr(event, "contact", None) or getattr(event, "agent", None),
                    "data": event_fields(event),
                }
                public.append((index, fields))
        return public

    async def _entry(self, seq: int) -> Entry | None:
        """Entry `seq`, or None if the journal does not hold it."""
        offset = await self._locate(seq)
        while records := await self._read(offset, limit=BATCH, wait_s=0.0):
            for record in records:
                number = number_of(record)
                if number == seq:
                    return decode_entry(record, hash_of(record.data))
                if number > seq:
                    return None
            offset = records[-1].offset + 1
        return None


def history_in(entry: Entry, workspace: str, contact_id: str) -> list[dict[str, Any]]:
    """The events of a contact in one entry, as `JournalReader.history` gives them."""
    return [
        {"seq": entry.seq, "index": index, "at": entry.at, "type": type(event).__name__, "data": event_fields(event)}
        for index, (decision, event) in enumerate(_flat(entry))
        if decision.workspace == workspace and getattr(event, "contact", None) == contact_id
    ]


def _flat(entry: Entry) -> list[tuple[Decision, Event]]:
    return [(decision, event) for decision in entry.decisions for event in decision.events]
