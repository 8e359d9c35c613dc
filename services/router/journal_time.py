"""The time of a journal's entries, as one replica tells it.

Deadlines are compared with this time, so a machine whose clock is wrong must not end everybody's offers and leases. A
steady clock, which never steps, tells how much time has passed since an entry was read; the wall clock is believed as
far as it agrees with that.
"""

from __future__ import annotations

import logging
from typing import Final

from shared.clock import Clock

logger = logging.getLogger(__name__)

GAIN: Final = 0.1
"""How much faster than a steady clock the journal's time follows a clock that is further ahead than it is believed: in
one second by a tenth of one. An hour's step is taken in within ten hours, and no offer loses more than a tenth."""


class JournalTime:
    """Of one partition. Times of entries are ms since the epoch; `slack_ms` is how far a clock is believed at once."""

    def __init__(self, clock: Clock, slack_ms: int) -> None:
        self._clock = clock
        self._slack_ms = slack_ms
        self._ahead_ms: float | None = None
        """How far the journal's time is ahead of the steady clock; None until an entry was read as it came."""
        self._stepped = False
        self.marked_at = 0.0
        """When an entry became true here last, in seconds of the steady clock."""
        self.steps = 0
        """How often the wall clock was found to have stepped ahead."""

    def now(self, newest: int) -> int:
        """The time of an entry made now, after one of the time `newest`.

        Never behind that one, and else never more than the slack ahead of the steady clock. Behind a journal that is
        ahead of this machine's clock it goes on at the steady clock's pace: otherwise no timer would fire until the
        clock has caught up.
        """
        wall = self._clock.now_ms()
        if self._ahead_ms is None:
            return max(newest, wall)
        steady = round(self._clock.monotonic() * 1000 + self._ahead_ms)
        ceiling = steady + self._slack_ms
        if wall <= ceiling:
            self._stepped = False
            return max(newest, wall if wall > newest else steady)
        if not self._stepped:
            self._stepped = True
            self.steps += 1
            logger.error("the clock stepped", extra={"step_ms": wall - steady})
        return max(newest, ceiling)

    def read(self, at: int) -> None:
        """Another's entry of the time `at` was read. One that is read late shows less than there is, so the most
        counts."""
        mono = self._clock.monotonic()
        ahead_ms = at - mono * 1000
        self._ahead_ms = ahead_ms if self._ahead_ms is None else max(self._ahead_ms, ahead_ms)
        self.marked_at = mono

    def wrote(self, at: int) -> None:
        """An own entry of the time `at` has become true. It says no more than this machine's clock, so it counts only
        little by little, and only as far as that clock still says so."""
        mono = self._clock.monotonic()
        if self._ahead_ms is None:
            self._ahead_ms = at - mono * 1000
        else:
            ahead_ms = min(at, self._clock.now_ms()) - mono * 1000
            gained_ms = GAIN * (mono - self.marked_at) * 1000
            self._ahead_ms = max(self._ahead_ms, min(ahead_ms, self._ahead_ms + gained_ms))
        self.marked_at = mono

    def forget(self) -> None:
        """After a recovery: how long ago the newest entry was written is for the wall clock to say, because this
        process was not there."""
        self._ahead_ms = None
