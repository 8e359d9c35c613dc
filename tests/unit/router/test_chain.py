"""The rule of the journal: which stored record is the next entry, which is void, and what no honest one can be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.chain import (
    REMEMBERED_HASHES,
    Chain,
    Decision,
    Diverged,
    Head,
    Proposal,
    build_proposal,
    decode_entry,
    genesis_hash,
    hash_of,
)
from shared.contracts import events as ev
from shared.log.port import JournalRecord, LogCorrupt, Positions
from shared.vocabulary import ContactId

GENESIS = Head(0, genesis_hash("log", 0))
DECISION = Decision("k1", "w", "operator:o", "d", 7, (ev.RetryDue(contact=ContactId("c")),))


def proposal(after: Head, *, by: str = "one", at: int = 1, decisions: tuple[Decision, ...] = ()) -> Proposal:
    return build_proposal(after, at=at, by=by, positions=Positions(after.seq, 0), decisions=decisions)


def head_of(made: Proposal) -> Head:
    return Head(made.seq, made.hash)


class Journal:
    """A journal that is only a list, and a chain that reads it."""

    def __init__(self, chain: Chain | None = None) -> None:
        self.chain = chain or Chain("log", 0)
        self.offset = self.chain.next_offset

    def take(self, data: bytes) -> str | None:
        self.offset += 1
        return self.chain.fold(JournalRecord(self.offset - 1, data))


def test_first_record_that_names_the_head_is_the_next_entry() -> None:
    journal = Journal()
    first, rival = proposal(GENESIS, by="one"), proposal(GENESIS, by="two")
    assert journal.take(first.data) == first.hash
    assert journal.take(rival.data) is None
    assert (journal.chain.head, journal.chain.void_records) == (head_of(first), 1)
    second = proposal(head_of(first))
    assert journal.take(second.data) == second.hash


def test_same_bytes_again_are_void() -> None:
    journal = Journal()
    first = proposal(GENESIS)
    assert [journal.take(first.data) for _ in range(3)] == [first.hash, None, None]


def test_late_proposal_of_a_zombie_is_void_however_old() -> None:
    journal = Journal()
    zombie = proposal(GENESIS, by="zombie")
    head = GENESIS
    for n in range(5):
        made = proposal(head, at=n)
        journal.take(made.data)
        head = head_of(made)
    assert journal.take(zombie.data) is None
    assert journal.chain.head == head


def test_record_of_another_partition_or_log_is_no_honest_record_here() -> None:
    for identity, partition in (("log", 1), ("other", 0)):
        elsewhere = proposal(Head(0, genesis_hash(identity, partition)))
        with pytest.raises(Diverged, match="another entry 0"):
            Journal().take(elsewhere.data)


def test_record_that_skips_an_entry_means_that_somebody_lost_something() -> None:
    journal = Journal()
    first = proposal(GENESIS)
    second = proposal(head_of(first))
    with pytest.raises(Diverged, match="names entry 2, the head here is 0"):
        journal.take(second.data)


def test_record_that_names_another_history_means_that_somebody_lost_something() -> None:
    journal = Journal()
    first, rival = proposal(GENESIS, by="one"), proposal(GENESIS, by="two")
    journal.take(first.data)
    with pytest.raises(Diverged, match="another entry 1"):
        journal.take(proposal(head_of(rival)).data)


def test_hash_is_over_the_stored_bytes() -> None:
    made = proposal(GENESIS, decisions=(DECISION,))
    assert made.hash == hash_of(made.data)
    reordered = json.dumps(json.loads(made.data)).encode()
    assert hash_of(reordered) != made.hash
    journal = Journal()
    assert journal.take(reordered) == hash_of(reordered), "other bytes that say the same are an entry of their own"


def test_entry_comes_back_from_its_bytes() -> None:
    made = build_proposal(GENESIS, at=5, by="one", positions=Positions(3, 4), decisions=[DECISION], bye=True)
    entry = decode_entry(JournalRecord(9, made.data), made.hash)
    assert (entry.seq, entry.prev, entry.at, entry.by, entry.bye) == (1, GENESIS.hash, 5, "one", True)
    assert (entry.positions, entry.decisions, entry.offset) == (Positions(3, 4), (DECISION,), 9)


def altered(**fields: Any) -> bytes:
    return json.dumps({**json.loads(proposal(GENESIS, decisions=(DECISION,)).data), **fields}).encode()


def test_unknown_format_means_stop_never_void() -> None:
    with pytest.raises(LogCorrupt, match="format 2"):
        Journal().take(altered(v=2))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", altered(n="1"), altered(prev=None)])
def test_record_that_cannot_be_read_means_stop(data: bytes) -> None:
    journal = Journal()
    with pytest.raises(LogCorrupt, match="offset 0"):
        journal.take(data)
    assert journal.chain.head == GENESIS


@pytest.mark.parametrize(
    "data",
    [
        altered(decisions=[["k", "w", "", "", 0, [["Typo", {}]]]]),
        altered(decisions=[["k", "w", "", "", 0, [["RetryDue", {}]]]]),
        altered(decisions=[["k"]]),
        altered(inputs=[1]),
        altered(more=1),
    ],
)
def test_entry_whose_body_cannot_be_read_means_stop(data: bytes) -> None:
    with pytest.raises(LogCorrupt):
        decode_entry(JournalRecord(0, data), hash_of(data))


def test_body_of_a_void_record_is_never_looked_at() -> None:
    journal = Journal()
    journal.take(proposal(GENESIS).data)
    assert journal.take(altered(decisions="nonsense")) is None


def test_journal_never_goes_backwards() -> None:
    chain = Chain("log", 0, offset=5)
    with pytest.raises(LogCorrupt, match="backwards"):
        chain.fold(JournalRecord(4, proposal(GENESIS).data))


def test_offsets_may_have_gaps() -> None:
    chain = Chain("log", 0)
    made = proposal(GENESIS)
    assert chain.fold(JournalRecord(100, made.data)) == made.hash
    assert chain.next_offset == 101


def test_chain_goes_on_from_a_snapshots_head() -> None:
    first = proposal(GENESIS)
    chain = Chain("log", 0, head=head_of(first), offset=1)
    second = proposal(head_of(first))
    assert chain.fold(JournalRecord(1, second.data)) == second.hash
    assert Journal(Chain("log", 0, head=head_of(first), offset=1)).take(first.data) is None, (
        "what was before the snapshot cannot be judged and is only passed over"
    )


def test_remembered_hashes_are_bounded_and_old_records_stay_void() -> None:
    journal = Journal()
    old = proposal(GENESIS)
    head = GENESIS
    for n in range(REMEMBERED_HASHES + 10):
        made = proposal(head, at=n)
        journal.take(made.data)
        head = head_of(made)
    assert len(journal.chain._hashes) == REMEMBERED_HASHES
    assert journal.take(old.data) is None


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_all_readers_of_one_journal_see_one_history(data: st.DataObject) -> None:
    """Honest proposers: each builds on the head it has read, late or not, and may send twice or never arrive."""
    records: list[bytes] = []
    readers = [Journal() for _ in range(3)]
    pending: list[bytes] = []
    for turn in range(data.draw(st.integers(1, 30))):
        who = data.draw(st.integers(0, 2))
        reader = readers[who]
        for record in records[reader.offset : reader.offset + data.draw(st.integers(0, 5))]:
            reader.take(record)
        pending.append(proposal(reader.chain.head, by=f"r{who}", at=turn).data)
        for _ in range(data.draw(st.integers(0, 2))):
            records.append(data.draw(st.sampled_from(pending)))
    for reader in readers:
        for record in records[reader.offset :]:
            reader.take(record)
    assert len({reader.chain.head for reader in readers}) == 1
    judge = Journal()
    entries = [record for record in records if judge.take(record) is not None]
    assert judge.chain.head.seq == len(entries)
    assert judge.chain.head == readers[0].chain.head
