"""In which queues something holds for some of the agents, so that a queue is derived otherwise than without them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from services.router.engine.records import Agent
from shared.vocabulary import AgentId


class NotedQueues:
    """Agents with the queues that are noted for each, and by queue how many they are."""

    def __init__(self, of_agents: Mapping[AgentId, tuple[str, ...]]) -> None:
        self._of_agents = {agent: queues for agent, queues in of_agents.items() if queues}
        self._count = Counter(queue for queues in self._of_agents.values() for queue in queues)

    def __contains__(self, queue: str) -> bool:
        return queue in self._count

    def of(self, agent: AgentId) -> tuple[str, ...]:
        """The queues noted for an agent."""
        return self._of_agents.get(agent, ())

    def sync(self, agent: AgentId, queues: tuple[str, ...]) -> bool:
        """These are noted for an agent now. Whether a queue has its first such agent by that, or lost its last one."""
        old = self.of(agent)
        if old == queues:
            return False
        before = set(self._count)
        self._of_agents[agent] = queues
        self._count.subtract(old)
        self._count.update(queues)
        self._count += Counter()
        return set(self._count) != before


def positioned(agent: Agent) -> tuple[str, ...]:
    """The queues in which the agent has a position of their own."""
    return tuple(member.queue for member in agent.memberships if member.position)
