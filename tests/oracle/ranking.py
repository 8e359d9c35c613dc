"""Which of several agents gets a contact: fewest declines, the customer's own order, tier, language, strategies."""

from __future__ import annotations

from services.router.engine.records import Agent, Contact
from tests.oracle import asks
from tests.oracle.deadline import cost
from tests.oracle.eligible import preferred_now
from tests.oracle.moment import Moment, membership, used

ENDLESS = 10**15
"""The total of who has none."""


def best(moment: Moment, contact: Contact, agents: list[Agent]) -> list[Agent]:
    """The best of the agents; several only where a lot decides between them."""
    wanted = preferred_now(moment, contact)
    station = asks.station(moment, contact)
    if wanted is None and station is not None and station.preferred_only:
        wanted = list(contact.preferred)

    def declines(agent: Agent) -> int:
        counts = moment.queue_of(contact).decline.policy == "others_first"
        return contact.declines.get(agent.id, 0) if counts else 0

    def place(agent: Agent) -> tuple[object, ...]:
        listed = wanted.index(agent.id) if wanted is not None else 0
        tier = asks.raised_tier(moment, contact, agent)
        return (declines(agent), listed, tier, _tongue(moment, contact, agent))

    chain = list(moment.queue_of(contact).chain)
    by_lot = "weighted_random" in chain
    if by_lot:
        chain = chain[: chain.index("weighted_random")]
    keys = {agent.id: (place(agent), [_measure(name, moment, contact, agent) for name in chain]) for agent in agents}
    least = min(keys.values())
    chosen = [agent for agent in agents if keys[agent.id] == least]
    return chosen if by_lot else [min(chosen, key=lambda agent: agent.id)]


def _tongue(moment: Moment, contact: Contact, agent: Agent) -> int:
    """Which of the languages that will do the agent speaks well enough, where there are several."""
    languages = asks.languages(moment, contact)
    if len(languages) < 2:
        return 0
    return _first_spoken(moment, contact, agent, languages) or 0


def _first_spoken(moment: Moment, contact: Contact, agent: Agent, languages: list[str]) -> int | None:
    least = asks.least_level(moment, contact)
    return next((place for place, code in enumerate(languages) if asks.speaks(agent, code, least)), None)


def _measure(strategy: str, moment: Moment, contact: Contact, agent: Agent) -> tuple[float, ...]:
    """What the strategy looks at; lower is better."""
    total = ENDLESS if agent.capacity_total is None else agent.capacity_total
    load = used(moment, agent)
    match strategy:
        case "longest_idle":
            return (agent.idle_since,)
        case "slo":
            return (cost(moment, contact, agent),)
        case "round_robin":
            return (agent.assigned_last.get(contact.queue, -1),)
        case "fixed_order":
            return (membership(agent, contact.queue).position or agent.position,)
        case "least_active":
            return (load,)
        case "most_available":
            return (load - total,)
        case "lowest_utilisation":
            return (load / max(total, 1),)
        case "fewest_completed":
            return (agent.completed,)
        case "least_talk_time":
            return (agent.talk_time,)
        case "best_skill":
            return (-_mean(moment, contact, agent),)
        case "best_language":
            return (-_spoken_level(moment, contact, agent),)
        case "nearest_skill":
            gaps = [level - agent.skills.get(skill, 0) for skill, level in _required(moment, contact)]
            return (sum(gap for gap in gaps if gap > 0), -sum(gap for gap in gaps if gap < 0))
        case "most_skills":
            return (-sum(1 for skill, _ in _required(moment, contact) if skill in agent.skills),)
    if strategy.startswith("prefers:"):
        wishes = [wish.split("=") for wish in strategy.removeprefix("prefers:").split(",")]
        return (-len([skill for skill, least in wishes if agent.skills.get(skill, 0) >= int(least)]),)
    what, name, direction = strategy.split(":")
    if what == "language":
        level = asks.level_in(agent, name) or None
    else:
        level = (agent.skills if what == "skill" else agent.attributes).get(name)
    if level is None:
        return (1, 0)
    return (0, level if direction == "asc" else -level)


def _required(moment: Moment, contact: Contact) -> list[tuple[str, int]]:
    return list(asks.required_skills(moment, contact).items())


def _mean(moment: Moment, contact: Contact, agent: Agent) -> float:
    """Mean level over the required skills."""
    levels = [agent.skills.get(skill, 0) for skill, _ in _required(moment, contact)]
    return sum(levels) / len(levels) if levels else 0.0


def _spoken_level(moment: Moment, contact: Contact, agent: Agent) -> int:
    """Level of the language in which the agent would answer; 0 where none is asked for."""
    languages = asks.languages(moment, contact)
    if not languages:
        return 0
    return asks.level_in(agent, languages[_first_spoken(moment, contact, agent, languages) or 0])
