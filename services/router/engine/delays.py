"""Which delays the agents of a queue have: what waits there is looked at again whenever one of them is over."""

from __future__ import annotations

from collections.abc import Sequence

from services.router.engine.records import Agent
from shared.vocabulary import AgentId


class Delays:
    """One workspace's, in ms."""

    def __init__(self) -> None:
        self._count: dict[str, dict[int, int]] = {}
        """By queue the delays, and how many agents have each."""
        self._of_agent: dict[AgentId, tuple[tuple[str, int], ...]] = {}

    def __contains__(self, agent: AgentId) -> bool:
        """Whether the agent was ever noted here."""
        return agent in self._of_agent

    def of(self, queue: str) -> Sequence[int]:
        """Those of a queue's agents, in order."""
        count = self._count.get(queue)
        return sorted(count) if count else ()

    def sync(self, agent_id: AgentId, agent: Agent | None) -> list[str]:
        """Note the agent's delays as they are. Returns the queues that have one that nobody had there yet, or have one
        less."""
        old = self._of_agent.get(agent_id, ())
        new = _delays(agent) if agent is not None else ()
        if old == new:
            return []
        self._of_agent[agent_id] = new
        changed: set[str] = set()
        for pairs, by in ((old, -1), (new, 1)):
            for queue, delay in pairs:
                count = self._count.setdefault(queue, {})
                count[delay] = count.get(delay, 0) + by
                if count[delay] == max(by, 0):
                    changed.add(queue)
                if not count[delay]:
                    del count[delay]
        return sorted(changed)


def _delays(agent: Agent) -> tuple[tuple[str, int], ...]:
    """By queue, those of the queue as a whole and those of single kinds of channel. Which kind, is not looked at: that
    a delay is over changes nothing for a contact of another."""
    return tuple(
        (member.queue, delay)
        for member in agent.memberships
        for delay in (member.delay, *[terms.delay for terms in member.per_channel])
        if delay
    )
