"""What waits for room that can be spared, and when it is looked at whether there is some."""

from __future__ import annotations

from collections.abc import Iterable

from services.router.engine.classes import Requirement
from services.router.engine.ordered import OrderedSet
from services.router.engine.state import Workspace
from services.router.engine.waiting import Timer, timer

REVIEW = 15_000
"""So often (ms) it is looked at whether room can be spared that could not when its contact arrived."""


class Review:
    """One workspace's, with a timer in the set that it shares with all others as long as somebody waits for it."""

    def __init__(self, workspace: Workspace, timers: OrderedSet[Timer]) -> None:
        self._workspace = workspace
        self._timers = timers
        self._can_wait: dict[int, Requirement] = {}
        """Requirements, by number, that wait for room to spare, with contacts."""
        self._due: Timer | None = None

    def __len__(self) -> int:
        return len(self._can_wait)

    def requirements(self) -> Iterable[Requirement]:
        """Those that wait for room to spare."""
        return self._can_wait.values()

    def note(self, requirement: Requirement) -> None:
        """Somebody waits under a requirement."""
        if requirement.demand.spare and requirement.number not in self._can_wait:
            self._can_wait[requirement.number] = requirement
            self.sync()

    def left(self, requirement: Requirement) -> None:
        """Somebody does not any more."""
        if requirement.demand.spare and not requirement.waiting:
            del self._can_wait[requirement.number]
            self.sync()

    def sync(self) -> None:
        """Bring the timer in step: with the last review, and with whether anybody waits for one."""
        new = None
        if self._can_wait:
            new = timer(self._workspace, self._workspace.reserve_reviewed + REVIEW, "reserve", "")
        if new == self._due:
            return
        self.drop()
        if new is not None:
            self._timers.add(new)
        self._due = new

    def drop(self) -> None:
        """Take the timer out of the shared set."""
        if self._due is not None:
            self._timers.remove(self._due)
            self._due = None
