"""Snapshots of every format since the first that a journal could be trimmed behind are read for ever.

A trimmed journal cannot be folded from its first entry, so a release that passes such a snapshot over could not run on
it at all. A folder `snapshot-N` holds a journal and a snapshot of format N at its end, as they were recorded. They are
never recorded anew: where `snapshot.FORMAT` goes up, `recovery.beginning_of` learns to begin at the format before as
well, and a folder for the new one is added.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from services.router.snapshot import FORMAT, state_hash
from shared.log.memory import MemoryLog, MemoryStore
from tests.golden.record import folded, kept

FOLDERS = sorted(Path(__file__).parent.glob("snapshot-*"))


def store_of(folder: Path) -> MemoryStore:
    """A log with the recorded journal."""
    store = MemoryStore()
    for line in (folder / "journal.jsonl").read_bytes().splitlines():
        store.add_proposal(0, line)
    return store


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
async def test_a_trimmed_journal_begins_at_its_snapshot_in_every_later_release(folder: Path) -> None:
    whole, store, saved = await folded(store_of(folder)), store_of(folder), kept(folder / "folded.json")
    await MemoryLog(store).snapshots.save(saved)
    await MemoryLog(store).journal.trim(0, saved.offset)
    quick = await folded(store)
    assert (quick.snapshot_seq, quick.head) == (saved.seq, whole.head)
    assert state_hash(quick.engine.state) == state_hash(whole.engine.state)


def test_every_format_is_recorded() -> None:
    assert [folder.name for folder in FOLDERS] == [f"snapshot-{number}" for number in range(11, FORMAT + 1)]
