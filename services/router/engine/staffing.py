"""Who is there for which queue, and the live numbers of queues. Derived from the facts."""

from __future__ import annotations

from typing import NamedTuple

from services.router.engine.ordered import OrderedSet
from services.router.engine.records import Agent
from services.router.engine.rooms import accepts
from services.router.engine.state import Workspace
from shared.vocabulary import AgentId, ContactId


class QueueCounts:
    """Live numbers of a queue. `staff` counts by tier who is in a presence that the queue accepts."""

    __slots__ = ("assigned", "available", "offered", "pending", "staff", "staffed", "waiting")

    def __init__(self) -> None:
        self.waiting = 0
        self.offered = 0
        self.assigned = 0
        self.staffed = 0
        self.available = 0
        self.staff: dict[int, int] = {}
        self.pending: OrderedSet[tuple[int, ContactId]] = OrderedSet()

    @property
    def somebody_there(self) -> bool:
        """Whether anybody is in a presence that the queue accepts, with room or without."""
        return any(self.staff.values())

    @property
    def lowest_tier(self) -> int | None:
        """The lowest tier that somebody is there of; None if nobody is."""
        return min((tier for tier, count in self.staff.items() if count), default=None)

    @property
    def there(self) -> int:
        """How many are."""
        return sum(self.staff.values())


Accepted = tuple[tuple[str, int], ...]
"""(queue, tier) for each queue that accepts an agent's presence."""


class _Staff(NamedTuple):
    queues: tuple[str, ...]
    here: bool
    available: bool
    accepted: Accepted


class Turned(NamedTuple):
    """What a change of staff means: the queues that have another lowest tier with somebody than before, and those
    where the first agent came or the last one went."""

    tiers: tuple[str, ...] = ()
    staffed: tuple[str, ...] = ()


NOTHING = Turned()


class Staffing:
    """One workspace's. `counts`: by queue, with what others count there."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.counts: dict[str, QueueCounts] = {name: QueueCounts() for name in workspace.policy.queues}
        self._staff: dict[AgentId, _Staff] = {}
        self._seen: dict[AgentId, tuple[object, ...]] = {}

    def sync(self, agent_id: AgentId, agent: Agent | None) -> Turned:
        """Bring the numbers in step with one agent's facts."""
        old = self._staff.get(agent_id)
        if agent is not None:
            seen = self._seen.get(agent_id)
            # Values of records are replaced, never changed inside: the same objects say the same.
            if (
                seen is not None
                and seen[0] is agent.queues
                and seen[1] is agent.memberships
                and seen[2] is agent.queue_presence
                and seen[3] == agent.presence
                and seen[4] is agent.reachable
                and seen[5] is agent.takes_offers
            ):
                return NOTHING
            self._seen[agent_id] = (
                agent.queues,
                agent.memberships,
                agent.queue_presence,
                agent.presence,
                agent.reachable,
                agent.takes_offers,
            )
        new = self._staff_of(agent) if agent is not None else None
        if old == new:
            return NOTHING
        queues = {name for staff in (old, new) if staff is not None for name, _ in staff.accepted}
        skipping = {name for name in queues if self._workspace.policy.queues[name].skip_empty_tiers}
        lowest = {name: self.counts[name].lowest_tier for name in skipping}
        there = {name: self.counts[name].somebody_there for name in queues}
        if old is not None:
            self._staff_by(old, -1)
        if new is None:
            del self._staff[agent_id]
        else:
            self._staff[agent_id] = new
            self._staff_by(new, 1)
        return Turned(
            tuple(name for name, before in lowest.items() if before != self.counts[name].lowest_tier),
            tuple(name for name, before in there.items() if before != self.counts[name].somebody_there),
        )

    def accepted(self, agent_id: AgentId) -> Accepted:
        """Where the agent is there; the same object as long as nothing changes."""
        staff = self._staff.get(agent_id)
        return staff.accepted if staff is not None else ()

    def _staff_of(self, agent: Agent) -> _Staff:
        policy = self._workspace.policy.queues
        queues = agent.queues or tuple(policy)
        tiers = {m.queue: m.tier for m in agent.memberships}
        here = agent.reachable and agent.presence != "offline"
        accepted = (
            tuple((name, tiers.get(name, 1)) for name in queues if name in policy and accepts(agent, policy[name]))
            if agent.reachable
            else ()
        )
        return _Staff(queues, here, agent.takes_offers, accepted)

    def _staff_by(self, staff: _Staff, by: int) -> None:
        for queue in staff.queues:
            counts = self.counts.get(queue)
            if counts is not None:
                counts.staffed += by * staff.here
                counts.available += by * staff.available
        for queue, tier in staff.accepted:
            counts = self.counts.get(queue)
            if counts is not None:
                counts.staff[tier] = counts.staff.get(tier, 0) + by
