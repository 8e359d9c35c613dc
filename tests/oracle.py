"""The matching rule in its plainest form: every agent against every contact, again and again. Slow, and the judge.

Written from the rule's words alone, so that it shares no mistake with the engine's classes and ordered sets.
"""

from __future__ import annotations

from services.router.engine.records import Agent, Contact
from services.router.engine.state import Workspace
from shared.vocabulary import ChannelHealth, ContactState


def _base(code: str) -> str:
    return code.split("-")[0].lower()


def waits_for_an_offer(ws: Workspace, contact: Contact) -> bool:
    """Whether the contact may be offered to anybody at this moment."""
    if contact.state is not ContactState.WAITING or contact.retry_at is not None:
        return False
    return ws.channels[f"{contact.channel}:{contact.account}"].state is not ChannelHealth.DOWN


def may_serve(ws: Workspace, contact: Contact, agent: Agent) -> bool:
    """Whether the agent could ever serve the contact under the policy, whatever they hold."""
    queue = ws.policy.queues[contact.queue]
    if agent.queues and contact.queue not in agent.queues:
        return False
    if agent.channels and contact.channel not in agent.channels:
        return False
    if contact.language != "und":
        spoken = {_base(code): level for code, level in agent.languages.items()}
        if spoken.get(_base(contact.language), 0) < queue.language_min:
            return False
    needed = dict(contact.skills)
    for skill, level in queue.skills:
        needed[skill] = max(level, needed.get(skill, 0))
    if any(agent.skills.get(skill, 0) < level for skill, level in needed.items()):
        return False
    return not (queue.decline.policy == "never" and contact.declines.get(agent.id))


def has_room(agent: Agent, kind: str, taken: list[str]) -> bool:
    """Whether one more contact of this kind fits beside what is held and what the pass has given."""
    kinds = [*agent.held.values(), *taken]
    limit = agent.capacity_per_channel.get(kind)
    if limit is not None and kinds.count(kind) >= limit:
        return False
    total = agent.capacity_total
    return total is None or sum(agent.capacity_weights.get(held, 1000) for held in [*kinds, kind]) <= total


def takes_work(agent: Agent) -> bool:
    """Whether the agent takes offers at all."""
    return (
        agent.presence == "available"
        and agent.next_presence is None
        and agent.reachable
        and agent.wrap_up_until is None
    )


def pairs(ws: Workspace) -> list[tuple[str, str]]:
    """(contact, agent) as the rule makes them, in its order, until no pair is left."""
    waiting = [contact for contact in ws.contacts.values() if waits_for_an_offer(ws, contact)]
    agents = [agent for agent in ws.agents.values() if takes_work(agent)]
    taken: dict[str, list[str]] = {agent.id: [] for agent in agents}
    made: list[tuple[str, str]] = []
    while True:
        bests: dict[str, Contact] = {}
        for agent in agents:
            best = _best_for(ws, agent, waiting, taken)
            if best is not None:
                bests[agent.id] = best
        if not bests:
            return made
        contact = min(bests.values(), key=_order)
        candidates = [agent for agent in agents if bests.get(agent.id) is contact]
        chosen = min(candidates, key=lambda agent: _preference(ws, contact, agent, taken))
        made.append((contact.id, chosen.id))
        taken[chosen.id].append(contact.channel)
        waiting.remove(contact)


def _order(contact: Contact) -> tuple[int, int, str]:
    return (-contact.priority, contact.age_from, contact.id)


def _best_for(ws: Workspace, agent: Agent, waiting: list[Contact], taken: dict[str, list[str]]) -> Contact | None:
    eligible = [contact for contact in waiting if _could(ws, contact, agent, taken)]
    return min(eligible, key=lambda c: (ws.policy.queues[c.queue].rank, _order(c)), default=None)


def _could(ws: Workspace, contact: Contact, agent: Agent, taken: dict[str, list[str]]) -> bool:
    switched_on = agent.channel_switch.get(contact.channel, True)
    return switched_on and may_serve(ws, contact, agent) and has_room(agent, contact.channel, taken[agent.id])


def _preference(ws: Workspace, contact: Contact, agent: Agent, taken: dict[str, list[str]]) -> tuple[object, ...]:
    """Fewest declines of this contact (`others_first`), then the strategy, then idle longest, then the name."""
    queue = ws.policy.queues[contact.queue]
    score: float = 0
    if queue.strategy == "least_active":
        score = sum(agent.capacity_weights.get(kind, 1000) for kind in [*agent.held.values(), *taken[agent.id]])
    elif queue.strategy == "best_skill":
        needed = {skill for skill, _ in (*contact.skills, *queue.skills)}
        levels = [agent.skills[skill] for skill in needed]
        if contact.language != "und":
            levels.append({_base(code): level for code, level in agent.languages.items()}[_base(contact.language)])
        score = -sum(levels) / len(levels) if levels else 0
    return (contact.declines.get(agent.id, 0), score, agent.idle_since, agent.id)
