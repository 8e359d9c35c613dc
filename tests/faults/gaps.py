"""How long offers stopped, as desks saw it: the longest silence between two new offers around a fault."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.faults.history import Fault, History

LOOK_S: Final = 15.0
BEGINS_S: Final = 1.0
"""A silence that begins later has another cause, for example that whoever was killed is starting again."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The silence around one fault, in seconds; `shadowed` if another fault was in force at the same time."""

    kind: str
    target: str
    at: float
    seconds: float
    shadowed: bool


def gaps(history: History, kinds: Iterable[str]) -> list[Gap]:
    """Gaps of the faults of these kinds that hit the leader."""
    wanted = set(kinds)
    seen = sorted(sighting.at for sighting in history.sightings.values())
    return [
        Gap(fault.kind, fault.target, fault.at, _silence(seen, fault.at), _shadowed(fault, history.faults))
        for fault in history.faults
        if fault.kind in wanted and fault.led
    ]


def _silence(seen: Sequence[float], at: float) -> float:
    """The longest time without a new offer that goes on at `at` or begins soon after."""
    before = max((moment for moment in seen if moment <= at), default=at)
    around = [before, *(moment for moment in seen if at < moment <= at + LOOK_S)]
    if len(around) == 1:
        return LOOK_S
    return max(later - earlier for earlier, later in itertools.pairwise(around) if earlier <= at + BEGINS_S)


def _shadowed(fault: Fault, faults: Iterable[Fault]) -> bool:
    end = fault.at + LOOK_S
    return any(other is not fault and other.at < end and other.until > fault.at - LOOK_S / 3 for other in faults)
