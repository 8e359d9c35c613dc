"""What the outside did, saw and was told during a run: one record a line, in the order in which things ended.

The checker reads nothing of a run but this and the public outputs. Times are seconds since the run began.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

import msgspec


class Outcome(StrEnum):
    """What a client knows of its operation in the end."""

    OK = "ok"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One intention of one client, tried under one key until somebody told what became of it.

    `kind`: `message`, `webhook`, `chat`, `mail`, `accept`, `steal` (of another agent's offer), `reject`, `reply`,
    `complete`, `requeue`, `transfer`, `abandon`, `presence`, `wrap_up`, `health`, and `again`: a call repeated under
    its key after its answer.
    `key`: the idempotency key or source key. `about`: the offer, contact, agent or channel.
    """

    kind: str
    who: str
    key: str
    about: str
    start: float
    end: float
    outcome: Outcome
    status: int
    told: Mapping[str, Any] = field(default_factory=dict)
    """Of the answer: `subject` (the contact, or a reply's message), `seq`, `state`, `reason`, `command`."""
    text: str | None = None
    """What was written to be read by somebody, of a message or a reply."""
    attempts: int = 1
    before: tuple[int, ...] = ()
    """What the attempts before the last one were told; 0 if nothing."""
    slowest: float = 0.0
    """The longest that a single attempt waited for an answer that came."""
    unfit: bool = False
    """It was sent such that it has to be refused for good, and must never be taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """An offer was on an agent's desk for the first time."""

    offer: str
    contact: str
    agent: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A contact read with `min_seq`, after an own change of it: whose `seq` it came with."""

    who: str
    contact: str
    min_seq: int
    seq: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSeen:
    """One line of `/v1/replicas`: where the replica is, and the newest entry after which it hashed its state."""

    replica: str
    partition: int
    leader: bool
    seq: int
    head: str
    state_seq: int | None
    state_hash: str | None
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """One event as a follower of the feed got it while the run went on. `digest` is of the whole event."""

    follower: str
    id: str
    digest: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What was done to the deployment; `until` when it was mended."""

    kind: str
    target: str
    at: float
    until: float
    led: bool = False
    """The target was the leader of the workspace's partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that must not happen at all: an answer 500, a process that ended by itself, one that would not stop."""

    what: str
    detail: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A request that its client had given up when it ended: answered after all, or with `status` 0 never."""

    who: str
    what: str
    status: int
    seconds: float
    """How long the client was kept waiting, without the time that it had asked to wait."""
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a process said of its own readiness from now on: `reason` is None while it is ready."""

    process: str
    reason: str | None
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """Nothing is broken any more since `at`: these processes must get ready, and so many replicas must agree on the
    state after an entry that is newer than `seq`, the newest that anybody had told of by then."""

    processes: tuple[str, ...]
    partition: int
    copies: int
    seq: int
    at: float


Record = Operation | Sighting | Reading | ReplicaSeen | Followed | Fault | Trouble | Late | Standing | Mended
_KINDS = {
    "operation": Operation,
    "sighting": Sighting,
    "reading": Reading,
    "replica": ReplicaSeen,
    "followed": Followed,
    "fault": Fault,
    "trouble": Trouble,
    "late": Late,
    "standing": Standing,
    "mended": Mended,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


WRITTEN: Final = ("message", "webhook", "chat", "mail")
"""The kinds by which customers' messages come in."""


class History:
    """All records of one run, or of one workspace in it; with a `file`, each is also written there as it comes."""

    def __init__(self, file: Path | None = None, *, beside: History | None = None) -> None:
        """`beside`: the history of the same run whose time this one shares."""
        self.operations: list[Operation] = []
        self.sightings: dict[str, Sighting] = {}
        self.readings: list[Reading] = []
        self.replicas: list[ReplicaSeen] = []
        self.followed: list[Followed] = []
        self.faults: list[Fault] = []
        self.troubles: list[Trouble] = []
        self.lates: list[Late] = []
        self.standings: list[Standing] = []
        self.mended: Mended | None = None
        self.attempts_failed = 0
        self._began: float = beside._began if beside is not None else time.monotonic()
        self._file = file.open("ab") if file is not None else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def add(self, record: Record) -> None:
        match record:
            case Operation():
                self.operations.append(record)
            case Sighting():
                if record.offer in self.sightings:
                    return
                self.sightings[record.offer] = record
            case Reading():
                self.readings.append(record)
            case ReplicaSeen():
                self.replicas.append(record)
            case Followed():
                self.followed.append(record)
            case Fault():
                self.faults.append(record)
            case Trouble():
                self.troubles.append(record)
            case Late():
                self.lates.append(record)
            case Standing():
                self.standings.append(record)
            case Mended():
                self.mended = record
        if self._file is not None:
            self._file.write(
                msgspec.json.encode({"record": _NAMES[type(record)], **msgspec.to_builtins(record)}) + b"\n"
            )

    def of(self, *kinds: str, outcome: Outcome | None = None) -> Iterator[Operation]:
        """Operations of these kinds (and this outcome)."""
        for operation in self.operations:
            if operation.kind in kinds and (outcome is None or operation.outcome is outcome):
                yield operation

    def count(self) -> Counter[str]:
        """Operations by kind and outcome: `accept ok`."""
        return Counter(f"{operation.kind} {operation.outcome}" for operation in self.operations)

    def take_surroundings(self, of: History, partition: int) -> None:
        """What was done to the deployment, from the history that has noted it; the workspace of this one lies on
        `partition`. Whose leader was hit, and who got ready, is judged there."""
        assert of.mended is not None
        for fault in of.faults:
            self.add(dataclasses.replace(fault, led=False))
        newest = max((seen.seq for seen in of.replicas if seen.partition == partition), default=0)
        self.add(dataclasses.replace(of.mended, processes=(), partition=partition, seq=newest))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def read_history(file: Path) -> History:
    """The history that a run left in a file."""
    history = History()
    with file.open("rb") as lines:
        for line in lines:
            fields = msgspec.json.decode(line)
            history.add(msgspec.convert(fields, _KINDS[fields.pop("record")]))
    return history
