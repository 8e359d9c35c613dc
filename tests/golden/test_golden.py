"""A journal that was recorded once folds to the same state ever after; how and when it is renewed says `record.py`."""

from __future__ import annotations

import json
import logging
import zlib
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from services.router import snapshot
from services.router.chain import decode_entry, hash_of
from services.router.recovery import engine_of
from services.router.snapshot import FORMAT, state_hash
from shared.log.memory import MemoryLog, MemoryStore
from shared.log.port import JournalRecord, Snapshot
from tests.golden.record import FOLDED, folded, kept, recorded

TOLD: dict[str, Any] = json.loads(FOLDED.read_text())


async def with_snapshot(saved: Snapshot) -> MemoryStore:
    store = recorded()
    await MemoryLog(store).snapshots.save(saved)
    return store


def facts(data: bytes) -> Any:
    return msgspec.json.decode(zlib.decompress(data))


async def test_the_recorded_journal_folds_to_the_recorded_state() -> None:
    replica = await folded(recorded())
    assert (replica.head.seq, replica.head.hash) == (TOLD["seq"], TOLD["head"])
    assert replica.void_records == 0
    if TOLD["format"] == FORMAT:
        # Before the hashes, because it says where the two differ.
        assert facts(replica.snapshot().data) == facts(kept(FOLDED).data)
        assert state_hash(replica.engine.state) == TOLD["state_hash"]


async def test_the_recorded_snapshot_is_read_or_passed_over_with_words(caplog: pytest.LogCaptureFixture) -> None:
    whole = await folded(recorded())
    quick = await folded(await with_snapshot(kept(FOLDED)))
    assert state_hash(quick.engine.state) == state_hash(whole.engine.state)
    if TOLD["format"] == FORMAT:
        assert quick.snapshot_seq == TOLD["seq"]
        assert state_hash(engine_of(kept(FOLDED).data).state) == TOLD["state_hash"]
    else:
        assert quick.snapshot_seq == 0
        assert "a snapshot of another format is passed over" in caplog.messages


async def test_a_snapshot_of_another_format_is_passed_over_with_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    replica = await folded(await with_snapshot(replace(kept(FOLDED), format=FORMAT + 1)))
    assert (replica.head.seq, replica.snapshot_seq) == (TOLD["seq"], 0)
    assert "a snapshot of another format is passed over" in caplog.messages


def test_the_recording_tells_enough_to_be_worth_keeping() -> None:
    records = [JournalRecord(offset, data) for offset, data in enumerate(recorded().journal[0])]
    entries = [decode_entry(record, hash_of(record.data)) for record in records]
    kinds = {type(event).__name__ for entry in entries for made in entry.decisions for event in made.events}
    assert len(kinds) >= 45
    state = snapshot.load(kept(FOLDED).data) if TOLD["format"] == FORMAT else None
    assert state is None or len(state.workspaces["w"].contacts) >= 5
