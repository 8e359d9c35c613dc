"""Reading the journal for people and adapters: one contact's history, and a workspace's public feed.

Both are projections of the journal. The feed's ids are `partition:seq:index`, its `sequence` is gap-free per
workspace. The embedded journal stores no void records, so the record at offset `seq - 1` is entry `seq`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from services.router.chain import Decision, Entry, decode_entry, hash_of
from services.router.engine.evolve import PUBLIC_SILENT
from shared.contracts.events import Event
from shared.log.port import Journal, LogCorrupt

BATCH = 200
POLL_S = 15.0


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
        """Every event of a contact out of the entries `seqs`, in order: `{seq, index, at, type, data}`, `at` in ms."""
        history = []
        for seq in seqs:
            entry = await self._entry(seq)
            for index, (decision, event) in enumerate(_flat(entry)):
                if decision.workspace == workspace and getattr(event, "contact", None) == contact_id:
                    history.append(
                        {
                            "seq": seq,
                            "index": index,
                            "at": entry.at,
                            "type": type(event).__name__,
                            "data": event_fields(event),
                        }
                    )
        return history

    async def feed(self, workspace: str, after: str | None) -> AsyncIterator[dict[str, Any]]:
        """The workspace's public events behind the id `after` (None: from now on), for ever:
        `{id, type, at, sequence, subject, data}`.

        Raises LookupError on the first step for an id that this partition does not know.
        """
        seq, skip = await self._start(after)
        while True:
            records = await self._journal.read(self._partition, seq - 1, limit=BATCH, wait_s=POLL_S)
            for record in records:
                entry = decode_entry(record, hash_of(record.data))
                for index, event in self._public(workspace, entry):
                    if index > skip:
                        yield event
                seq, skip = entry.seq + 1, -1

    async def _start(self, after: str | None) -> tuple[int, int]:
        start, end = await self._journal.bounds(self._partition)
        if after is None:
            return end + 1, -1
        partition, seq, index = (int(part) for part in after.split(":"))
        if partition != self._partition or not start < seq <= end:
            raise LookupError(f"{after!r} is no event of this partition")
        return seq, index

    def _public(self, workspace: str, entry: Entry) -> list[tuple[int, dict[str, Any]]]:
        public = []
        index = -1
        for decision in entry.decisions:
            sequence = decision.sequence
            for event in decision.events:
                index += 1
                if decision.workspace != workspace or isinstance(event, PUBLIC_SILENT):
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

    async def _entry(self, seq: int) -> Entry:
        records = await self._journal.read(self._partition, seq - 1, limit=1, wait_s=0.0)
        if not records:
            raise LogCorrupt(f"entry {seq} is not in the journal")
        entry = decode_entry(records[0], hash_of(records[0].data))
        if entry.seq != seq:
            raise LogCorrupt(f"entry {entry.seq} lies where {seq} should be")
        return entry


def _flat(entry: Entry) -> list[tuple[Decision, Event]]:
    return [(decision, event) for decision in entry.decisions for event in decision.events]
