"""Which queues are closed, and of which nothing is offered now; each queue with opening hours has a timer."""

from __future__ import annotations

from services.router.engine.ordered import OrderedSet
from services.router.engine.state import Workspace
from services.router.engine.waiting import Timer, hours_timer


class Opening:
    """One workspace's queues, with timers in the set that it shares with all others."""

    def __init__(self, workspace: Workspace, timers: OrderedSet[Timer]) -> None:
        queues = workspace.policy.queues
        self._workspace = workspace
        self._timers = timers
        self._due: dict[str, Timer] = {}
        self.closed = {name for name, queue in queues.items() if queue.hours is not None and not self._is_open(name)}
        self.held_back = self.closed | workspace.frozen.intersection(queues)
        """Queues of which nothing is offered now: closed ones and frozen ones."""

    def sync(self, name: str) -> bool:
        """A queue opened or closed, by the hour or by hand. Whether contacts of it may be offered that could not be."""
        queue = self._workspace.policy.queues.get(name)
        old = self._due.pop(name, None)
        if old is not None:
            self._timers.remove(old)
        if queue is None:
            return False
        new = hours_timer(self._workspace, queue)
        if new is not None:
            self._timers.add(new)
            self._due[name] = new
        if queue.hours is not None and not self._is_open(name):
            self.closed.add(name)
        else:
            self.closed.discard(name)
        if name in self.closed or name in self._workspace.frozen:
            self.held_back.add(name)
            return False
        was_held_back = name in self.held_back
        self.held_back.discard(name)
        return was_held_back

    def drop(self) -> None:
        """Take its timers out of the shared set."""
        for due in self._due.values():
            self._timers.remove(due)

    def _is_open(self, name: str) -> bool:
        """Whether it was open when that was decided last."""
        return self._workspace.queue_hours.get(name, (True, 0))[0]
