"""How much one session or one address may do: token buckets, and a count of open sockets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_MOST_BUCKETS = 10_000


class RateLimit:
    """A token bucket per key: `burst` at once, then `per_minute`."""

    def __init__(self, per_minute: int, burst: int, monotonic: Callable[[], float]) -> None:
        self._per_second = per_minute / 60
        self._burst = float(burst)
        self._monotonic = monotonic
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: str) -> float:
        """Take one: 0.0 if there was one, else the seconds until there will be."""
        now = self._monotonic()
        tokens, since = self._buckets.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._per_second)
        allowed = tokens >= 1.0
        self._buckets[key] = (tokens - 1.0 if allowed else tokens, now)
        # The least recently used goes first; by then its bucket is most likely full again.
        while len(self._buckets) > _MOST_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        return 0.0 if allowed else (1.0 - tokens) / self._per_second


class TooMany(Exception):
    """One address has as many sockets open as it may."""


class OpenSockets:
    """Open sockets by address."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    @contextmanager
    def one(self, address: str) -> Iterator[None]:
        """Counts one for as long as the block runs. Raises `TooMany`."""
        if self._open[address] >= self._most:
            raise TooMany
        self._open[address] += 1
        try:
            yield
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]
