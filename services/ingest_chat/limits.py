"""How many sockets one address may have open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


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
