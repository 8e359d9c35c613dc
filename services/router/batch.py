"""An entry in the making: the decisions of one turn with their bytes, so that it is closed before it gets too long."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from services.router.chain import Decision, encode_decision
from services.router.engine.engine import Decided
from shared.log.port import InputRecord, Positions


@dataclass(slots=True)
class Batch:
    """What one entry will hold. `positions` are the next inputs after it."""

    positions: Positions
    max_events: int
    max_bytes: int
    decisions: list[Decision] = field(default_factory=list)
    encoded: list[msgspec.Raw] = field(default_factory=list)
    poisoned: list[tuple[InputRecord, str]] = field(default_factory=list)
    """Inputs that cannot be read, and why."""
    rejected: list[tuple[InputRecord, str]] = field(default_factory=list)
    """Those that the engine could not decide, and where."""
    decided_s: list[float] = field(default_factory=list)
    count: int = 0
    """Decisions so far, those without events (repeats) included: numbers the ticks of the entry."""
    _events: int = 0
    _bytes: int = 0

    def add(self, decided: Decided) -> None:
        """Take a decision in; one without events changed nothing and is not recorded."""
        self.count += 1
        if not decided.events:
            return
        decision = Decision(
            command_id=decided.command_id,
            workspace=decided.workspace,
            actor=decided.actor,
            digest=decided.digest,
            sequence=decided.sequence,
            events=decided.events,
        )
        encoded = encode_decision(decision)
        self.decisions.append(decision)
        self.encoded.append(encoded)
        self._events += len(decided.events)
        self._bytes += len(memoryview(encoded))

    def passed(self, record: InputRecord) -> None:
        """This input is dealt with by this entry."""
        self.positions = self.positions._replace(**{record.topic.value: record.offset + 1})

    @property
    def full(self) -> bool:
        """Whether the entry is long enough: closed by the first decision that fills it, never split inside one."""
        return self._events >= self.max_events or self._bytes >= self.max_bytes
