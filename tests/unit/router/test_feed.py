"""Histories and the public feed, read from a journal that holds void records as Kafka's does."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from typing import Any

import pytest

from services.router.chain import Decision, Head, build_proposal, genesis_hash
from services.router.feed import JournalReader
from services.router.journals import Journals
from shared.contracts import events as ev
from shared.log.memory import MemoryLog, MemoryStore
from shared.log.port import LogCorrupt, Positions
from shared.vocabulary import AgentId

WORKSPACE = "w"


class Written:
    """A journal with as many void records between the entries as the dice want."""

    def __init__(self, entries: int, *, voids: float, seed: int = 1) -> None:
        self.store = MemoryStore()
        self.places: dict[int, int] = {}
        dice = random.Random(seed)
        head = Head(0, genesis_hash(self.store.identity, 0))
        stale = [(head, 0)]
        for seq in range(1, entries + 1):
            entry = self._proposal(head, seq, "true")
            self.places[seq] = len(self.store.journal[0])
            self.store.add_proposal(0, entry.data)
            while dice.random() < voids:
                # A loser on the same head, a repeat of the winner, or somebody who slept for a long time.
                base, at = dice.choice([stale[-1], dice.choice(stale)])
                late = entry if dice.random() < 0.3 else self._proposal(base, at + 1, "void")
                self.store.add_proposal(0, late.data)
            head = Head(seq, entry.hash)
            stale.append((head, seq))
        self.reader = JournalReader(MemoryLog(self.store).journal, 0)

    @staticmethod
    def _proposal(head: Head, seq: int, name: str):  # type: ignore[no-untyped-def]
        # Two events of every third entry are public, none of the others'.
        event: ev.Event
        event = ev.AgentRegained(agent=AgentId(f"{name}-{seq}")) if seq % 3 == 0 else ev.Resumed(gap=seq)
        events = (event, event)
        decision = Decision(f"c{seq}-{name}", WORKSPACE, "operator:o", "", 2 * ((seq - 1) // 3), events)
        return build_proposal(head, at=seq, by=name, positions=Positions(seq, 0), decisions=[decision])

    async def feed(self, after: str, count: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async with aclosing(self.reader.feed(WORKSPACE, after)) as events:  # type: ignore[type-var]
            async for event in events:
                found.append(event)
                if len(found) == count:
                    return found
        raise AssertionError("the feed ended")


@pytest.mark.parametrize("voids", [0.0, 0.3, 0.7])
async def test_the_feed_tells_every_public_event_once_whatever_lies_between(voids: float) -> None:
    written = Written(900, voids=voids)
    events = await written.feed("0:1:0", 600)
    assert [event["id"] for event in events] == [f"0:{seq}:{n}" for seq in range(3, 901, 3) for n in (0, 1)]
    assert [event["sequence"] for event in events] == list(range(1, 601))
    assert {event["data"]["agent"] for event in events} == {f"true-{seq}" for seq in range(3, 901, 3)}


@pytest.mark.parametrize("seed", range(5))
async def test_the_feed_goes_on_from_anywhere(seed: int) -> None:
    written = Written(1_500, voids=0.6, seed=seed)
    for seq in (2, 3, 255, 700, 1_203, 1_497):
        first = (await written.feed(f"0:{seq}:0", 1))[0]
        assert first["id"] == (f"0:{seq}:1" if seq % 3 == 0 else f"0:{seq + 3 - seq % 3}:0")


async def test_what_the_journal_does_not_hold_is_no_place_to_go_on_from() -> None:
    written = Written(300, voids=0.5)
    for after in ("0:301:0", "0:0:0", "1:5:0"):
        with pytest.raises(LookupError):
            await written.feed(after, 1)
    first = written.places[100]
    written.store.journal_start[0] = first
    written.store.journal[0][:first] = [b"gone"] * first
    with pytest.raises(LookupError):
        await written.feed("0:50:0", 1)
    assert (await written.feed("0:150:1", 1))[0]["id"] == "0:153:0"


async def test_a_feed_without_a_place_begins_with_what_comes() -> None:
    written, later = Written(300, voids=0.5), Written(303, voids=0.5)
    news = later.store.journal[0][len(written.store.journal[0]) :]
    async with aclosing(written.reader.feed(WORKSPACE, None)) as events:  # type: ignore[type-var]
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        for data in news:
            written.store.add_proposal(0, data)
        assert (await asyncio.wait_for(waiting, 5))["id"] == "0:303:0"


async def test_a_history_finds_its_entries_among_void_records() -> None:
    written = Written(800, voids=0.7)
    journals = Journals(MemoryLog(written.store).journal, lambda workspace: 0)
    assert await journals.history(WORKSPACE, "nobody", [1, 400, 800]) == []
    for seq in (1, 2, 37, 400, 799, 800):
        entry = await written.reader._entry(seq)
        assert entry is not None
        assert (entry.seq, entry.by, entry.offset) == (seq, "true", written.places[seq])
    with pytest.raises(LogCorrupt):
        await journals.history(WORKSPACE, "nobody", [801])
