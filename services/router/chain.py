"""The rule of the journal: which stored record is the next entry, and which is void.

An entry names its predecessor (sequence number and hash); the first record that names the current head is the next
entry, any other is void. Nothing else makes an entry true: not an acknowledgement, not being leader. Every reader of a
journal goes through `Chain.fold`: the leader, standbys, recovery, the simulation and the tools.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from services.router.release import Release
from shared.contracts.events import Event
from shared.log.codec import decode_event, encode, event_pair
from shared.log.port import JournalRecord, LogCorrupt, Positions

FORMAT = 1
REMEMBERED_HASHES = 4096


class Diverged(Exception):
    """A record that no honest proposer can have written on this history: this reader or the log lost something.

    Stop, alarm, perform nothing. Raised by `Chain.fold`.
    """


class TooNew(LogCorrupt):
    """An entry that this release cannot read, of a journal that a newer one writes by its own word. Stop as well, but
    nothing contradicts itself: a router of that release goes on."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry: its sequence number (0 before the first) and the hash of its stored bytes (hex)."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Decision:
    """All events of one command (or of one tick), with what the answer needs.

    `sequence` is the workspace's gap-free public number of the first event; `actor` is `role:id`.
    """

    command_id: str
    workspace: str
    actor: str
    digest: str
    sequence: int
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the journal: the inputs read up to `positions` and all that they caused.

    `hello` is what its author is made of, in the first entry of each leader; older journals have none.
    """

    seq: int
    hash: str
    prev: str
    at: int
    by: str
    bye: bool
    positions: Positions
    decisions: tuple[Decision, ...]
    offset: int
    hello: Release | None = None


class _DecisionWire(msgspec.Struct, array_like=True):
    command_id: str
    workspace: str
    actor: str
    digest: str
    sequence: int
    events: list[tuple[str, msgspec.Raw]]


class _EntryWire(msgspec.Struct, forbid_unknown_fields=True):
    v: int
    n: int
    prev: str
    at: int
    by: str
    inputs: tuple[int, int]
    decisions: list[_DecisionWire]
    bye: bool = False
    hello: Release | None = None


class _HelloWire(msgspec.Struct):
    hello: Release | None = None


class _HeaderWire(msgspec.Struct):
    """Enough of a record to apply the rule; whatever else it holds is read only once it is an entry."""

    v: int
    n: int
    prev: str


_header = msgspec.json.Decoder(_HeaderWire)
_body = msgspec.json.Decoder(_EntryWire)
_hello = msgspec.json.Decoder(_HelloWire)


@dataclass(frozen=True, slots=True)
class Proposal:
    """The bytes of a would-be entry and what names it. Resent as they are, never rebuilt."""

    seq: int
    prev: str
    hash: str
    data: bytes


def hash_of(data: bytes) -> str:
    """SHA-256 over the stored bytes, never over a re-encoding."""
    return hashlib.sha256(data).hexdigest()


def genesis_hash(identity: str, partition: int) -> str:
    """What the first entry names: a record that lies in the wrong journal or partition is void."""
    return hash_of(f"switchdesk-journal-{FORMAT}|{identity}|{partition}".encode())


def encode_decision(decision: Decision) -> msgspec.Raw:
    """A decision as it lies in an entry: encoded once, when it is made, so that its size is known at once."""
    d = decision
    events = [event_pair(event) for event in d.events]
    return msgspec.Raw(encode((d.command_id, d.workspace, d.actor, d.digest, d.sequence, events)))


def build_proposal(
    head: Head,
    *,
    at: int,
    by: str,
    positions: Positions,
    decisions: Sequence[Decision | msgspec.Raw],
    bye: bool = False,
    hello: Release | None = None,
) -> Proposal:
    """The entry that would follow `head`; decisions that `encode_decision` has encoded are taken as they are."""
    entry: dict[str, object] = {
        "v": FORMAT,
        "n": head.seq + 1,
        "prev": head.hash,
        "at": at,
        "by": by,
        "inputs": positions,
        "decisions": [d if isinstance(d, msgspec.Raw) else encode_decision(d) for d in decisions],
        "bye": bye,
    }
    if hello is not None:
        entry["hello"] = hello
    data = encode(entry)
    return Proposal(seq=head.seq + 1, prev=head.hash, hash=hash_of(data), data=data)


def number_of(record: JournalRecord) -> int:
    """The number that a record claims, entry or void. Raises `LogCorrupt`."""
    try:
        return _header.decode(record.data).n
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LogCorrupt(f"journal record at offset {record.offset} cannot be read: {error}") from error


def hello_of(record: JournalRecord) -> Release | None:
    """What the author of an entry says of itself, also where the rest cannot be read."""
    try:
        return _hello.decode(record.data).hello
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def decode_entry(record: JournalRecord, entry_hash: str) -> Entry:
    """The whole entry behind a record. Raises `LogCorrupt`."""
    try:
        wire = _body.decode(record.data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LogCorrupt(f"journal record at offset {record.offset} cannot be read: {error}") from error
    return Entry(
        seq=wire.n,
        hash=entry_hash,
        prev=wire.prev,
        at=wire.at,
        by=wire.by,
        bye=wire.bye,
        positions=Positions(*wire.inputs),
        decisions=tuple(
            Decision(
                command_id=d.command_id,
                workspace=d.workspace,
                actor=d.actor,
                digest=d.digest,
                sequence=d.sequence,
                events=tuple(decode_event(name, raw) for name, raw in d.events),
            )
            for d in wire.decisions
        ),
        offset=record.offset,
        hello=wire.hello,
    )


class Chain:
    """Follows one journal partition from its genesis, or from a snapshot's head."""

    def __init__(self, identity: str, partition: int, *, head: Head | None = None, offset: int = 0) -> None:
        """`offset`: of the next record to read; with `head`, the one behind the snapshot's entry."""
        self.head = head or Head(0, genesis_hash(identity, partition))
        self.next_offset = offset
        self.void_records = 0
        self._hashes: OrderedDict[int, str] = OrderedDict({self.head.seq: self.head.hash})

    def fold(self, record: JournalRecord) -> str | None:
        """Apply the rule to the next record: its hash if it became the head's successor, None if it is void.

        Raises `Diverged` if no honest record can look like this here (a proposer builds n+1 only after reading n), and
        `LogCorrupt` for bytes or formats that cannot be read: an unknown format means stop, never void.
        """
        if record.offset < self.next_offset:
            raise LogCorrupt(f"journal went backwards: offset {record.offset}, expected {self.next_offset} or later")
        try:
            header = _header.decode(record.data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LogCorrupt(f"journal record at offset {record.offset} cannot be read: {error}") from error
        if header.v != FORMAT:
            raise LogCorrupt(f"journal record at offset {record.offset} has format {header.v}, this is {FORMAT}")
        if header.n == self.head.seq + 1 and header.prev == self.head.hash:
            self.next_offset = record.offset + 1
            entry_hash = hash_of(record.data)
            self._remember(Head(header.n, entry_hash))
            return entry_hash
        self._check_void(header, record.offset)
        self.next_offset = record.offset + 1
        self.void_records += 1
        return None

    def _check_void(self, header: _HeaderWire, offset: int) -> None:
        if header.n > self.head.seq + 1:
            raise Diverged(f"record at offset {offset} names entry {header.n}, the head here is {self.head.seq}")
        known = self._hashes.get(header.n - 1)
        if known is not None and known != header.prev:
            raise Diverged(f"record at offset {offset} names another entry {header.n - 1} than the one read here")

    def _remember(self, head: Head) -> None:
        self.head = head
        self._hashes[head.seq] = head.hash
        if len(self._hashes) > REMEMBERED_HASHES:
            self._hashes.popitem(last=False)
