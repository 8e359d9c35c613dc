"""Which policies a workspace has had, out of the journal: every `PolicyAdopted`, as far back as the journal goes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from services.router.chain import Entry, decode_entry, hash_of, number_of
from shared.contracts.events import PolicyAdopted
from shared.log.port import Journal, LogCorrupt

BATCH = 500


@dataclass(frozen=True, slots=True)
class Adoption:
    """One policy's coming into force. `at` in ms; `by` is `role:id`; `offset`: where its record lies."""

    version: int
    at: int
    by: str
    seq: int
    offset: int


class Adoptions:
    """The adoptions in one partition. What was read once is not read again: each question reads on from there."""

    def __init__(self, journal: Journal, partition: int) -> None:
        self._journal = journal
        self._partition = partition
        self._reading = asyncio.Lock()
        self._next: int | None = None
        self._newest = 0
        self._found: dict[str, dict[int, Adoption]] = {}

    async def of(self, workspace: str) -> list[Adoption]:
        """All that the journal knows of, the newest first. Raises `LogCorrupt`, `LogUnavailable`."""
        async with self._reading:
            start = await self._read_on()
        kept = (each for each in self._found.get(workspace, {}).values() if each.offset >= start)
        return sorted(kept, key=lambda each: -each.version)

    async def begins(self) -> int:
        """The number of the first entry that the journal holds: more than 1 if it was trimmed. Raises as `of`."""
        start, _ = await self._journal.bounds(self._partition)
        first = await self._journal.read(self._partition, start, limit=1, wait_s=0.0) if start else []
        return number_of(first[0]) if first else 1

    async def policy(self, workspace: str, version: int) -> Mapping[str, Any] | None:
        """The document of a version as it was adopted, opening intervals included; None if the journal does not know
        it. Raises as `of`."""
        adoption = next((each for each in await self.of(workspace) if each.version == version), None)
        if adoption is None:
            return None
        records = await self._journal.read(self._partition, adoption.offset, limit=1, wait_s=0.0)
        for name, _, event in _adopted(decode_entry(records[0], hash_of(records[0].data))):
            if (name, event.version) == (workspace, version):
                return event.policy
        raise LogCorrupt(f"record {adoption.offset} is not what it was")

    async def _read_on(self) -> int:
        """Returns the offset at which the journal begins."""
        # The first record with a number is that entry, as in `feed.py`; most are passed over without being decoded.
        start, _ = await self._journal.bounds(self._partition)
        offset = max(start, self._next or 0)
        while records := await self._journal.read(self._partition, offset, limit=BATCH, wait_s=0.0):
            for record in records:
                number = number_of(record)
                if number > self._newest:
                    self._newest = number
                    if b"PolicyAdopted" in record.data:
                        self._note(decode_entry(record, hash_of(record.data)))
            offset = self._next = records[-1].offset + 1
            await asyncio.sleep(0)
        return start

    def _note(self, entry: Entry) -> None:
        for workspace, actor, event in _adopted(entry):
            made = Adoption(event.version, entry.at, actor, entry.seq, entry.offset)
            self._found.setdefault(workspace, {})[event.version] = made


def _adopted(entry: Entry) -> Iterator[tuple[str, str, PolicyAdopted]]:
    for decision in entry.decisions:
        for event in decision.events:
            if isinstance(event, PolicyAdopted):
                yield decision.workspace, decision.actor, event
