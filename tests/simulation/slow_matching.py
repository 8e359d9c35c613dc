"""Who should get what, computed by trying every agent with every contact. Slow on purpose, to be obviously right."""

from __future__ import annotations

from tests.simulation.ledger import AgentBook, ContactBook, WorkspaceBook, base


def why_not(ws: WorkspaceBook, contact: ContactBook, agent: AgentBook) -> str | None:
    """The first reason why this agent may not be offered this contact now; None if they may."""
    if contact.state != "waiting":
        return f"the contact is {contact.state}"
    if contact.retry_at is not None:
        return "the contact pauses after a decline"
    if ws.is_down(contact.channel_name):
        return "the channel is down"
    if contact.channel_name not in ws.channels:
        return "the policy knows no such channel"
    if not agent.takes_offers:
        return f"the agent is {agent.presence}, or unreachable, or in wrap-up, or about to leave"
    if not agent.switch.get(contact.channel, True):
        return "the agent has switched the channel off"
    unable = why_unable(ws, contact, agent)
    if unable is not None:
        return unable
    full = agent.why_full(contact.channel)
    if full is not None:
        return full
    if ws.queues[contact.queue]["decline"]["policy"] == "never" and contact.declines.get(agent.id):
        return "declined it"
    return None


def why_unable(ws: WorkspaceBook, contact: ContactBook, agent: AgentBook) -> str | None:
    """The first thing that the agent lacks to serve the contact at any time; None if nothing."""
    if agent.channels and contact.channel not in agent.channels:
        return "not on this channel"
    if agent.queues and contact.queue not in agent.queues:
        return "not in this queue"
    language = base(contact.language)
    if language != "und" and agent.speaks(language) < ws.queues[contact.queue]["language_min"]:
        return "does not speak the language well enough"
    for skill, level in required(ws, contact).items():
        if agent.skills.get(skill, 0) < level:
            return f"lacks {skill}"
    return None


def required(ws: WorkspaceBook, contact: ContactBook) -> dict[str, int]:
    """Skill levels asked for by the contact and by its queue: the higher one counts."""
    levels = dict(contact.skills)
    for skill, level in ws.queues[contact.queue]["skills"].items():
        levels[skill] = max(level, levels.get(skill, 0))
    return levels


def bests(ws: WorkspaceBook) -> dict[str, ContactBook]:
    """Each agent's best contact: the lowest queue rank, then the contact's order."""
    waiting = [contact for contact in ws.contacts.values() if contact.state == "waiting"]
    found = {}
    for agent in ws.agents.values():
        if agent.takes_offers:
            mine = [contact for contact in waiting if why_not(ws, contact, agent) is None]
            if mine:
                found[agent.id] = min(mine, key=lambda contact: (ws.queues[contact.queue]["rank"], contact.order))
    return found


def next_pair(ws: WorkspaceBook) -> tuple[str, str] | None:
    """The (contact, agent) that the matching rule makes next: the best-ordered contact among the agents' bests goes to
    the best of the agents whose best it is."""
    best_of = bests(ws)
    if not best_of:
        return None
    contact = min(best_of.values(), key=lambda contact: contact.order)
    agents = [ws.agents[agent] for agent, best in best_of.items() if best is contact]
    return contact.id, min(agents, key=lambda agent: preference(ws, contact, agent)).id


def preference(ws: WorkspaceBook, contact: ContactBook, agent: AgentBook) -> tuple[int, float, int, int, str]:
    """Lower is better: fewer declines of this contact, then the queue's strategy, then idle longest, then the name."""
    strategy = ws.queues[contact.queue]["strategy"]
    skill = -proficiency(ws, contact, agent) if strategy == "best_skill" else 0.0
    load = agent.load if strategy == "least_active" else 0
    return (contact.declines.get(agent.id, 0), skill, load, agent.idle_since, agent.id)


def proficiency(ws: WorkspaceBook, contact: ContactBook, agent: AgentBook) -> float:
    """Mean level over the language and the skills asked for."""
    levels = [agent.skills[skill] for skill in required(ws, contact)]
    language = base(contact.language)
    if language != "und":
        levels.append(agent.speaks(language))
    return sum(levels) / len(levels) if levels else 0.0


def left_waiting(ws: WorkspaceBook) -> list[tuple[str, str]]:
    """Pairs of contact and agent that nothing keeps apart."""
    return [(contact.id, agent) for agent, contact in bests(ws).items()]
