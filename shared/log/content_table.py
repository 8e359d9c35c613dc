"""The content topic as a table: what an adapter needs to find texts by reference and by owner.

The topic is the truth and the table can be lost at any moment; it is then filled again from the topic's beginning.
Every change carries its offset as its version, so the order in which changes arrive does not matter: the writer of a
text applies it at once (`apply`), and whoever materialises the topic applies all of it once more, in order (`advance`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Change:
    """One record of the content topic. Without `data` it is a tombstone; its `owner` is then empty."""

    offset: int
    workspace: str
    ref: str
    owner: str
    data: bytes | None
    first: bool = False
    """A text that counts only where none is: what is there stays, whatever the offsets."""


class Progress(NamedTuple):
    """How much of a partition of the topic is in the table."""

    position: int
    """Every record below this offset is in."""
    complete: bool
    """Whether the end of the topic was reached once since the table was empty: before that, what is missing may exist,
    and what is there may have been erased."""


class ContentTable(Protocol):
    """Texts by (workspace, ref), with their owners. All of a workspace lies in one partition.

    Every method raises `LogUnavailable` when the table is away; what it should have done has then happened or not.
    """

    async def apply(self, partition: int, changes: Sequence[Change]) -> list[Change]:
        """Take changes in that were just written to the topic, in any order. Returns what stayed in place of a `first`
        text, with the owner and text that are there.

        Of two changes of one ref the one with the higher offset counts, tombstones included: an older text does not
        come back. Changes below the position are in already and are passed over; tombstones above it are remembered.
        (A table that keeps tombstones for at least ten minutes need not compare with the position.)
        """
        ...

    async def advance(
        self, partition: int, changes: Sequence[Change], *, since: int, position: int, complete: bool
    ) -> bool:
        """Take in what the topic holds from `since` up to, not including, `position`, and remember that.

        False, and the progress stays what it is, unless the table's position is `since`: then the table was lost or
        somebody else advanced it. `complete` is remembered too; a table that was complete stays so.
        """
        ...

    async def progress(self, partition: int) -> Progress | None:
        """None if the table was never filled or was lost."""
        ...

    async def reset(self, partition: int, position: int) -> None:
        """Forget everything of the partition and begin at `position`, not complete."""
        ...

    async def get_many(self, workspace: str, refs: Sequence[str]) -> dict[str, bytes]:
        """What there is of `refs`; missing and erased ones are left out."""
        ...

    async def refs_of(self, workspace: str, owner: str) -> list[str]:
        """The refs that belong to `owner`, in order. A ref belongs to whom its newest change names."""
        ...


@dataclass(slots=True)
class _Row:
    offset: int
    partition: int
    owner: str
    data: bytes | None


class MemoryContentTable:
    """A table for one process: whoever opens the log fills it."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], _Row] = {}
        self._owned: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._tombstones: defaultdict[int, set[tuple[str, str]]] = defaultdict(set)
        self._progress: dict[int, Progress] = {}

    def lose(self) -> None:
        """Forget everything, as a flushed Redis does."""
        for kept in (self._rows, self._owned, self._tombstones, self._progress):
            kept.clear()

    async def apply(self, partition: int, changes: Sequence[Change]) -> list[Change]:
        progress = self._progress.get(partition)
        stayed = []
        for change in changes:
            row = self._rows.get((change.workspace, change.ref))
            if change.first and row is not None and row.data is not None and row.offset != change.offset:
                stayed.append(Change(row.offset, change.workspace, change.ref, row.owner, row.data))
            elif progress is None or change.offset >= progress.position:
                self._take(partition, change)
        return stayed

    async def advance(
        self, partition: int, changes: Sequence[Change], *, since: int, position: int, complete: bool
    ) -> bool:
        progress = self._progress.get(partition)
        if progress is None or progress.position != since:
            return False
        for change in changes:
            self._take(partition, change)
        self._progress[partition] = Progress(position, complete or progress.complete)
        self._forget_tombstones(partition, position)
        return True

    async def progress(self, partition: int) -> Progress | None:
        return self._progress.get(partition)

    async def reset(self, partition: int, position: int) -> None:
        for key, row in list(self._rows.items()):
            if row.partition == partition:
                self._disown(key, row)
                del self._rows[key]
        self._tombstones.pop(partition, None)
        self._progress[partition] = Progress(position, complete=False)

    async def get_many(self, workspace: str, refs: Sequence[str]) -> dict[str, bytes]:
        found = {}
        for ref in refs:
            row = self._rows.get((workspace, ref))
            if row is not None and row.data is not None:
                found[ref] = row.data
        return found

    async def refs_of(self, workspace: str, owner: str) -> list[str]:
        return sorted(self._owned.get((workspace, owner), ()))

    def _take(self, partition: int, change: Change) -> None:
        key = (change.workspace, change.ref)
        row = self._rows.get(key)
        if row is not None:
            if row.offset >= change.offset or (change.first and row.data is not None):
                return
            self._disown(key, row)
        self._rows[key] = _Row(change.offset, partition, change.owner, change.data)
        if change.data is None:
            self._tombstones[partition].add(key)
        else:
            self._tombstones[partition].discard(key)
            self._owned[change.workspace, change.owner].add(change.ref)

    def _disown(self, key: tuple[str, str], row: _Row) -> None:
        workspace, ref = key
        refs = self._owned.get((workspace, row.owner))
        if row.data is not None and refs is not None:
            refs.discard(ref)
            if not refs:
                del self._owned[workspace, row.owner]

    def _forget_tombstones(self, partition: int, position: int) -> None:
        """Those that nobody needs: an older text would lie below the position too, and is passed over."""
        tombstones = self._tombstones[partition]
        for key in [key for key in tombstones if self._rows[key].offset < position]:
            tombstones.discard(key)
            del self._rows[key]
