"""Whose turn it is to propose: standbys take over when the journal has been silent for too long.

Nothing rests on this but time. Two who both think that it is their turn only write void records, because the rule of
the journal (`services/router/chain.py`) says which entry counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

RESOLUTION_S: Final = 0.001
"""What is left of a wait counts as nothing below this: a clock may not be able to tell it from now."""


class Change(StrEnum):
    """How a replica came to lead, or ceased to."""

    STARTED = "started"
    TIMED_OUT = "timed_out"
    BYE = "bye"
    DEPOSED = "deposed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Pace:
    """Times of the turn-taking in seconds, by measurement. Several beats of a leader must fit into `silence_s`."""

    beat_s: float = 0.5
    silence_s: float = 1.5
    rank_share: float = 0.2
    after_bye_s: float = 0.05


class Turns:
    """One replica's ear on the journal. Times are of a steady clock, in seconds."""

    def __init__(self, pace: Pace, now: float) -> None:
        self.pace = pace
        self.rank = 0
        """0 for the one who should take over first; higher ranks wait longer."""
        self._heard_at = now
        self._bye = False
        self._fresh = True

    def heard(self, now: float, *, bye: bool) -> None:
        """An entry of somebody else was read; with `bye`, its author has stopped."""
        self._heard_at, self._bye, self._fresh = now, bye, False

    def deaf(self, now: float) -> None:
        """The journal could not be read, or not to its end: its silence says nothing yet."""
        self._heard_at = max(self._heard_at, now)

    def wait_s(self, now: float) -> float:
        """How long the silence has to last from now on until it is this replica's turn; 0 if it is."""
        pace = self.pace
        share = 1 + pace.rank_share * self.rank
        needed = pace.after_bye_s * (1 + self.rank) if self._bye else pace.silence_s * share
        left_s = self._heard_at + needed - now
        return left_s if left_s > RESOLUTION_S else 0.0

    def beat_in_s(self, spoke_at: float, now: float) -> float:
        """How long a leader that spoke at `spoke_at` may go on saying nothing; 0 if it is time for a beat."""
        left_s = spoke_at + self.pace.beat_s - now
        return left_s if left_s > RESOLUTION_S else 0.0

    @property
    def why(self) -> Change:
        """What made it this replica's turn."""
        if self._fresh:
            return Change.STARTED
        return Change.BYE if self._bye else Change.TIMED_OUT
