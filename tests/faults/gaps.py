"""How long offers stopped, as desks saw it: the longest silence between two new offers around a fault, and silences
that no fault explains.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.faults.history import Fault, History

LOOK_S: Final = 15.0
BEGINS_S: Final = 1.0
"""A silence that begins later has another cause, for example that whoever was killed is starting again."""


BOUNDS_S: Final[Mapping[str, float]] = {
    "router-kill": 20.0,
    "router-pause": 20.0,
    "router-term": 5.0,
    "broker-kill": 60.0,
}
"""Ten times the goal of each kind (2 s, 2 s, 0.5 s, 6 s). On a busy machine gaps are several times as long as on one
that is not; only where nobody takes over they are like this."""
SILENCE_S: Final = 20.0
"""Whatever was done last, and to whom: so long afterwards there are offers again. Ten times the goal of a take-over."""
_TAKEN_OVER: Final = ("router-kill", "router-term", "router-pause")
"""Faults that are over for the outside as soon as they begin: there is a standby."""


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
    # A silence that goes on behind the time of looking has its end there.
    around += [moment for moment in seen if moment > at + LOOK_S][:1]
    if len(around) == 1:
        return LOOK_S
    return max(later - earlier for earlier, later in itertools.pairwise(around) if earlier <= at + BEGINS_S)


def _shadowed(fault: Fault, faults: Iterable[Fault]) -> bool:
    end = fault.at + LOOK_S
    return any(other is not fault and other.at < end and other.until > fault.at - LOOK_S / 3 for other in faults)


def silences(history: History, until: float) -> list[tuple[float, float]]:
    """Times without a new offer, from the first offer to `until`, in which nothing was done to the deployment and
    nothing was broken but what has a standby."""
    moments = sorted({sighting.at for sighting in history.sightings.values() if sighting.at < until})
    if not moments:
        return []
    pieces = list(itertools.pairwise([*moments, until]))
    for fault in history.faults:
        cuts = ((fault.at, fault.at), (fault.until, fault.until)) if fault.kind in _TAKEN_OVER else ()
        for begin, end in cuts or ((fault.at, fault.until),):
            pieces = [
                part
                for first, last in pieces
                for part in ((first, min(last, begin)), (max(first, end), last))
                if part[0] < part[1]
            ]
    return pieces
