"""What the services need of a log, in four small ports. SQLite, memory and Kafka stand behind them.

Every adapter inherits the contract suites in `tests/unit/log/`. Errors have two bases, because they mean two things:
`LogUnavailable` says that nothing is known (it may have happened; retry with the same id), `LogCorrupt` says that
going on would do harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from shared.vocabulary import Topic


class LogUnavailable(Exception):
    """The log did not confirm in time. The outcome is *unknown*: what was sent may still become durable."""


class LogCorrupt(Exception):
    """The log or a snapshot contradicts itself, or was written by another format. Stop; never guess."""


class LogLocked(Exception):
    """Another process owns this data directory."""


class LogMisconfigured(Exception):
    """The log's settings contradict what safety rests on. Says which setting, what was found and what is wanted."""


class UnknownWorkspace(KeyError):
    """No partition is recorded for this workspace."""


@dataclass(frozen=True, slots=True)
class InputRecord:
    """One stored input: its place in its topic and its bytes (`shared.log.codec` decodes them)."""

    topic: Topic
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One stored proposal. Whether it is an entry is for `services.router.chain` to say."""

    offset: int
    data: bytes


class Positions(NamedTuple):
    """The next offset to read, per input topic."""

    commands: int
    inbound: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A folded state without own pending entries, and where in the log it was taken.

    `seq` and `hash` are the head at that moment, `offset` the journal offset of that entry, `data` the bytes of the
    state (`services.router.engine.snapshot` makes and reads them), `format` their version.
    """

    partition: int
    seq: int
    hash: str
    offset: int
    format: int
    data: bytes


class Inputs(Protocol):
    """The two input topics of every partition."""

    async def append(self, topic: Topic, partition: int, data: bytes) -> int:
        """Store a record; durable when it returns. Returns its offset (from 0, rising by 1).

        Raises `LogUnavailable` when durability is not known, within 5 s.
        """
        ...

    async def read(
        self, partition: int, positions: Positions, *, limit: int, wait_s: float, inbound: bool = True
    ) -> list[InputRecord]:
        """Up to `limit` records at and after `positions`: all commands first, inbound with the room that is left.

        Contiguous per topic and always from `positions` (the adapter remembers none). Waits up to `wait_s` for the
        first record; an empty list means that none came. Without `inbound` that topic is left alone. Raises
        `LogCorrupt` for a position past a topic's end: records that were read once are gone.
        """
        ...

    async def end(self, partition: int) -> Positions:
        """The offsets that the next records will get (for lag)."""
        ...

    def deaf_s(self, partition: int) -> float:
        """For how long one of the two topics could not be read by somebody who reads them all the time, in seconds; 0
        if both can. What the other one holds is read meanwhile, without an error."""
        ...


class Journal(Protocol):
    """The truth, as an append-only sequence of proposals per partition."""

    async def identity(self, partition: int) -> str:
        """What makes this journal this one (for SQLite a random id made with the file): part of the genesis hash."""
        ...

    async def propose(self, partition: int, data: bytes, *, seq: int, prev: str, entry_hash: str) -> None:
        """Send a proposal that names head (`seq` - 1, `prev`). Returning or raising says nothing of its fate: read.

        An adapter that can tell the head (SQLite) may drop a void proposal. Raises `LogUnavailable` when the send
        failed or timed out: it may still win; resend the same bytes.
        """
        ...

    async def read(self, partition: int, offset: int, *, limit: int, wait_s: float) -> list[JournalRecord]:
        """Up to `limit` records at and after `offset`, in order; waits up to `wait_s` for the first.

        Raises `LogCorrupt` if `offset` lies before the log's start or past its end.
        """
        ...

    async def bounds(self, partition: int) -> tuple[int, int]:
        """(first stored offset, offset that the next record will get)."""
        ...

    async def trim(self, partition: int, before: int) -> None:
        """Delete the records before offset `before`, for ever; those that are gone already are no error. At least the
        newest record stays. Raises ValueError for an offset past it, `LogUnavailable` if not all of them may be gone.
        """
        ...


def check_trim(partition: int, before: int, end: int) -> None:
    """What every adapter asks of `Journal.trim`: an empty journal would begin a second history. Raises ValueError."""
    if before >= end:
        raise ValueError(f"journal/{partition} ends at offset {end}: it cannot be trimmed up to {before}")


class Snapshots(Protocol):
    """Snapshots of folded states: chunked, manifest last, checked by SHA-256."""

    async def save(self, snapshot: Snapshot) -> None:
        """Store a snapshot and drop all but the newest two of its partition. Torn writes are never visible."""
        ...

    async def load_newest_valid(self, partition: int, *, format: int, before: int | None = None) -> Snapshot | None:
        """The newest snapshot of this format whose checks hold; a damaged one is passed over, loudly. `before`: of an
        older entry than this one."""
        ...


class Text(NamedTuple):
    """Something to store: under which ref, the bytes, and the address key whose erasure takes it with it."""

    ref: str
    data: bytes
    owner: str
    first: bool = False
    """What is stored under the ref already stays; this one counts only if there is nothing."""


class Content(Protocol):
    """Texts, addresses and attachments' metadata: everything that may have to be erased.

    Refs derive from source keys, so that writing twice is writing once.
    """

    async def put(self, workspace: str, ref: str, data: bytes, *, owner: str) -> None:
        """Store `data`; durable when it returns. `owner` is the address key whose erasure takes this with it."""
        ...

    async def put_all(self, workspace: str, texts: Sequence[Text]) -> None:
        """Store several at once, each ref once; all are durable when it returns. If it raises, some may be."""
        ...

    async def get(self, workspace: str, ref: str) -> bytes | None: ...

    async def get_many(self, workspace: str, refs: Sequence[str]) -> dict[str, bytes]:
        """What there is of `refs`; missing ones are left out."""
        ...

    async def refs(self, workspace: str, owner: str) -> list[str]:
        """The refs that belong to `owner`, in order: each to whom it was last put for."""
        ...

    async def erase(self, workspace: str, owner: str) -> int:
        """Delete everything of `owner`; returns how many refs. The journal stays true."""
        ...


class Log(Protocol):
    """All four ports of one backend, opened and closed together."""

    @property
    def inputs(self) -> Inputs: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def snapshots(self) -> Snapshots: ...

    @property
    def content(self) -> Content: ...

    async def open(self) -> None:
        """Take the data into use.

        Raises `LogLocked` if another process owns it, `LogCorrupt` if it cannot be trusted, `LogUnavailable` if it
        cannot be used.
        """
        ...

    async def close(self) -> None:
        """Waits for what is under way; idempotent."""
        ...
