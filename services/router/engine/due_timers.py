"""When something is due for agents, for offers and for channels. Derived from the facts."""

from __future__ import annotations

from collections.abc import Iterator

from services.router.engine.ordered import OrderedSet
from services.router.engine.records import Agent
from services.router.engine.rooms import ramp_turns_at
from services.router.engine.state import Workspace
from services.router.engine.waiting import Timer, health_timer, timer
from shared.vocabulary import AgentId, OfferId

_NOTHING: dict[str, Timer] = {}


class DueTimers:
    """One workspace's, in the set that it shares with all others: of an agent one for each kind of thing, of an offer
    that is out the moment when it runs out, of a channel that is well again the moment when it counts as up."""

    def __init__(self, workspace: Workspace, timers: OrderedSet[Timer]) -> None:
        self._workspace = workspace
        self._timers = timers
        self.of_agents: dict[AgentId, dict[str, Timer]] = {}
        """By agent and kind, of those who have any."""
        self.of_offers: dict[OfferId, Timer] = {}
        self.of_channels: dict[str, Timer] = {}
        for name in workspace.channels:
            self.sync_channel(name)

    def drop(self) -> None:
        """Take them out of the shared set."""
        for each in self.of_agents.values():
            for due in each.values():
                self._timers.remove(due)
        for due in (*self.of_offers.values(), *self.of_channels.values()):
            self._timers.remove(due)

    def sync_agent(self, agent_id: AgentId, agent: Agent | None) -> None:
        """Bring the timers of one agent in step with their facts."""
        old = self.of_agents.get(agent_id, _NOTHING)
        new = self._dues(agent) if agent is not None else _NOTHING
        if old == new:
            return
        for kind, due in old.items():
            if new.get(kind) != due:
                self._timers.remove(due)
        for kind, due in new.items():
            if old.get(kind) != due:
                self._timers.add(due)
        if new:
            self.of_agents[agent_id] = new
        else:
            del self.of_agents[agent_id]

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

    def sync_channel(self, name: str) -> None:
        """Bring the timer of one channel in step with its facts."""
        channel = self._workspace.channels.get(name)
        old = self.of_channels.pop(name, None)
        if old is not None:
            self._timers.remove(old)
        new = health_timer(self._workspace, channel) if channel is not None else None
        if new is not None:
            self.of_channels[name] = new
            self._timers.add(new)

    def _dues(self, agent: Agent) -> dict[str, Timer]:
        """The timers of an agent by kind."""
        dues: dict[str, int] = {}
        if agent.grace_until is not None:
            dues["grace"] = agent.grace_until
        if agent.wrap_up_until is not None:
            dues["wrap_up"] = agent.wrap_up_until
        if agent.paused_until is not None:
            dues["pause"] = agent.paused_until
        if agent.queue_wrap_up:
            dues["queue_wrap_up"] = min(until for _, until in agent.queue_wrap_up.values())
        if agent.wrap_up_slots:
            dues["slot_wrap_up"] = min(until for _, until in agent.wrap_up_slots.values())
        if agent.assigned_times and (window := min(self._windows(agent), default=None)) is not None:
            dues["rate"] = window
        if self._workspace.policy.ramp and (turns := ramp_turns_at(agent, self._workspace.policy)) is not None:
            dues["ramp"] = turns
        if not dues:
            return _NOTHING
        return {kind: timer(self._workspace, due, kind, agent.id) for kind, due in dues.items()}

    def _windows(self, agent: Agent) -> Iterator[int]:
        """When the oldest assignment leaves the window of a rate, for each queue that has one."""
        for name, times in agent.assigned_times.items():
            queue = self._workspace.policy.queues.get(name)
            if queue is not None and queue.rate_limit is not None and times:
                yield times[0] + queue.rate_limit[1]
