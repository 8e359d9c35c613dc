"""How late the event loop runs: asked ten times a second, and told as the worst of the last seconds.

A value of one moment would be overwritten before anybody looks: a block is over long before the next scrape.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from prometheus_client import Gauge

from shared.clock import Clock
from shared.service import run_until

ASK_S: Final = 0.1
WINDOW_S: Final = 15.0
"""Three scrapes, so that one that is lost hides nothing."""


class LoopLag:
    """The only writer of a process's gauge of it."""

    def __init__(self, clock: Clock, gauge: Gauge) -> None:
        self._clock = clock
        self._lags: deque[tuple[float, float]] = deque()
        """`(when, lag in s)`, later ones smaller: whatever a later and larger one covers is forgotten."""
        gauge.set_function(self.worst)

    async def run(self, stopping: asyncio.Event) -> None:
        """Ask until `stopping`."""
        await run_until(stopping, self._run())

    def worst(self) -> float:
        """The largest lag within `WINDOW_S`, in seconds."""
        since = self._clock.monotonic() - WINDOW_S
        while self._lags and self._lags[0][0] < since:
            self._lags.popleft()
        return self._lags[0][1] if self._lags else 0.0

    async def _run(self) -> None:
        while True:
            asked = self._clock.monotonic()
            await asyncio.sleep(ASK_S)
            now = self._clock.monotonic()
            self._note(now, max(0.0, now - asked - ASK_S))

    def _note(self, now: float, lag: float) -> None:
        while self._lags and self._lags[-1][1] <= lag:
            self._lags.pop()
        self._lags.append((now, lag))
        self.worst()
