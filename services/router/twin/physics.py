"""How an agent gets work done: several contacts at once, each of them slower.

A contact's remaining work falls by proficiency / slowdown[k] every second, with k contacts in hand. Whenever k changes,
what was done until then is taken off and the rest goes on at the new pace.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


class Desk:
    """One agent's desk. Times in ms, work in seconds at proficiency 1 with nothing else in hand.

    `busy`: time on shift with something in hand; `loaded`: the same times the capacity in use.
    """

    __slots__ = ("_held", "_load", "_since", "_slowdown", "busy", "loaded", "on_shift", "stamp")

    def __init__(self, slowdown: Sequence[float]) -> None:
        """`slowdown`: for one at a time, for two, …"""
        self._slowdown = slowdown
        self._held: dict[int, list[float]] = {}
        self._load = 0.0
        self._since = 0
        self.on_shift = False
        self.busy = 0
        self.loaded = 0.0
        self.stamp = 0
        """Changes whenever a time told by `next_done` stops being true."""

    def pass_to(self, now: int) -> None:
        """Take off what was done since the last change."""
        elapsed = now - self._since
        self._since = now
        if not self._held or elapsed == 0:
            return
        done = elapsed / 1000 / self._slowdown[len(self._held) - 1]
        for work in self._held.values():
            work[0] -= done * work[1]
        if self.on_shift:
            self.busy += elapsed
            self.loaded += elapsed * self._load

    def take(self, contact: int, work: float, proficiency: float, weight: float, now: int) -> None:
        """Begin with a contact."""
        self.pass_to(now)
        self._held[contact] = [work, proficiency, weight]
        self._load += weight
        self.stamp += 1

    def put_away(self, contact: int, now: int) -> float:
        """Let go of a contact; the work that remains of it, in seconds (0 or a rounding below it when it is done)."""
        self.pass_to(now)
        work, _, weight = self._held.pop(contact)
        self._load -= weight
        self.stamp += 1
        return work

    def holds(self, contact: int) -> bool:
        """Whether the contact is in hand."""
        return contact in self._held

    def next_done(self) -> tuple[int, int] | None:
        """When which contact will be done if nothing changes, (ms, contact); None with nothing in hand."""
        if not self._held:
            return None
        seconds, contact = min((work[0] / work[1], contact) for contact, work in self._held.items())
        whole = math.ceil(seconds * self._slowdown[len(self._held) - 1] * 1000 - 1e-6)
        return self._since + max(0, whole), contact
