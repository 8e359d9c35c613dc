"""When something is due for agents and for offers. Derived from the facts."""

from __future__ import annotations

from collections.abc import Iterator

from services.router.engine.ordered import OrderedSet
from services.router.engine.records import Agent
from services.router.engine.rooms import ramp_turns_at
from services.router.engine.state import Workspace
from services.router.engine.waiting import Timer, timer
from shared.vocabulary import AgentId, OfferId


class DueTimers:
    """One workspace's, in the set that it shares with all others: of an agent one for each kind of thing, of an offer
    that is out the moment when it runs out."""

    def __init__(self, workspace: Workspace, timers: OrderedSet[Timer]) -> None:
        self._workspace = workspace
        self._timers = timers
        self.of_agents: dict[tuple[str, str], Timer] = {}
        self.of_offers: dict[OfferId, Timer] = {}

    def drop(self) -> None:
        """Take them out of the shared set."""
        for due in (*self.of_agents.values(), *self.of_offers.values()):
            self._timers.remove(due)

    def sync_agent(self, agent_id: AgentId, agent: Agent | None) -> None:
        """Bring the timers of one agent in step with their facts."""
        self._sync_one("grace", agent_id, agent.grace_until if agent else None)
        self._sync_one("wrap_up", agent_id, agent.wrap_up_until if agent else None)
        self._sync_one("pause", agent_id, agent.paused_until if agent else None)
        wrap_up = min(agent.queue_wrap_up.values(), default=None) if agent else None
        self._sync_one("queue_wrap_up", agent_id, wrap_up)
        slot = min((until for _, until in agent.wrap_up_slots.values()), default=None) if agent else None
        self._sync_one("slot_wrap_up", agent_id, slot)
        self._sync_one("rate", agent_id, min(self._windows(agent), default=None) if agent else None)
        self._sync_one("ramp", agent_id, ramp_turns_at(agent, self._workspace.policy) if agent else None)

    def sync_offer(self, offer_id: OfferId) -> None:
        """Bring the timer of one offer in step with its facts."""
        offer = self._workspace.offers.get(offer_id)
        old = self.of_offers.get(offer_id)
        new = None
        if offer is not None and not offer.outcome and offer.expires_at is not None:
            new = timer(self._workspace, offer.expires_at, "offer", offer_id)
        if old == new:
            return
        if old is not None:
            self._timers.remove(old)
            del self.of_offers[offer_id]
        if new is not None:
            self._timers.add(new)
            self.of_offers[offer_id] = new

    def _sync_one(self, kind: str, agent_id: str, due: int | None) -> None:
        old = self.of_agents.get((kind, agent_id))
        if old is None and due is None:
            return
        new = timer(self._workspace, due, kind, agent_id) if due is not None else None
        if old == new:
            return
        if old is not None:
            self._timers.remove(old)
            del self.of_agents[kind, agent_id]
        if new is not None:
            self._timers.add(new)
            self.of_agents[kind, agent_id] = new

    def _windows(self, agent: Agent) -> Iterator[int]:
        """When the oldest assignment leaves the window of a rate, for each queue that has one."""
        for name, times in agent.assigned_times.items():
            queue = self._workspace.policy.queues.get(name)
            if queue is not None and queue.rate_limit is not None and times:
                yield times[0] + queue.rate_limit[1]
