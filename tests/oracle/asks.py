"""What a contact asks for at a moment, as its queue, the steps it took and its customer's wishes leave it."""

from __future__ import annotations

from services.router.engine.policy import FlowStep, QueueStep
from services.router.engine.records import Agent, Contact
from tests.oracle.moment import Moment, is_member, membership

ANY = "any"
"""Among languages: whatever the agent speaks."""


def steps_taken(moment: Moment, contact: Contact) -> tuple[QueueStep, ...]:
    """The steps of the queue that hold for the contact."""
    return moment.queue_of(contact).steps[: contact.steps]


def required_skills(moment: Moment, contact: Contact) -> dict[str, int]:
    """The contact's skills, or the queue's default ones if it names none; the queue's own on top; as the steps left
    them."""
    queue = moment.queue_of(contact)
    levels = dict(contact.skills) or dict(queue.default_skills)
    for skill, level in queue.skills:
        levels[skill] = max(level, levels.get(skill, level))
    for step in steps_taken(moment, contact):
        levels = {skill: step.set_min.get(skill, level) for skill, level in levels.items()}
        levels = {skill: level for skill, level in levels.items() if skill not in step.drop_skills}
    return levels


def languages(moment: Moment, contact: Contact) -> list[str]:
    """The languages that will do, the contact's own first; empty if none is asked for."""
    language = base(contact.language)
    if language == "und":
        language = moment.queue_of(contact).default_language or ""
    if not language or any(step.drop_language for step in steps_taken(moment, contact)):
        return []
    waited = moment.now - contact.queue_since
    chain = list(moment.policy.language_fallback.get(language, ()))
    wish = moment.queue_of(contact).any_language
    if wish is not None:
        chain = [(code, after) for code, after in chain if after <= wish] + [(ANY, wish)]
    # What was opened under an earlier policy stays open.
    return [language, *(code for n, (code, after) in enumerate(chain) if waited >= after or n < contact.widened)]


def speaks(agent: Agent, language: str, least: int) -> bool:
    """Whether the agent will do in this language, which may be any."""
    return language == ANY or level_in(agent, language) >= least


def least_level(moment: Moment, contact: Contact) -> int:
    """How well the language has to be spoken."""
    return contact.language_min or moment.queue_of(contact).language_min


def asks_for_abilities(moment: Moment, contact: Contact) -> bool:
    """Whether skills and language are looked at."""
    dropped = any(step.any_agent for step in steps_taken(moment, contact))
    return not dropped and moment.queue_of(contact).skill_match == "all"


def level_in(agent: Agent, language: str) -> int:
    """The agent's best level in any region's form of the language."""
    return max((level for code, level in agent.languages.items() if base(code) == language), default=0)


def base(code: str) -> str:
    """The language without its region."""
    return code.split("-")[0].lower()


# Tiers


def tier(agent: Agent, queue: str) -> int:
    return membership(agent, queue).tier


def open_tier(moment: Moment, contact: Contact) -> int | None:
    """The highest tier that is open to the contact; None for all. Where the queue says so, tiers without anybody of an
    accepted presence do not count."""
    queue = moment.queue_of(contact)
    if queue.initial_tier is None:
        return None
    top = queue.initial_tier
    for step in steps_taken(moment, contact):
        top = max(top, step.open_tier or top)
    if queue.skip_empty_tiers:
        staff = [agent for agent in moment.agents.values() if is_member(agent, queue.name)]
        tiers = [tier(agent, queue.name) for agent in staff if is_present(moment, agent, queue.name)]
        if tiers and min(tiers) > top:
            top = min(tiers)
    return top


def raised_tier(moment: Moment, contact: Contact, agent: Agent) -> int:
    """The tier that the agent counts as for this contact."""
    own = tier(agent, contact.queue)
    return max([own, *(step.raise_tiers_to or own for step in steps_taken(moment, contact))])


def is_reached(agent: Agent, queue: str) -> bool:
    """Whether the agent's desk answers and they are not offline: all that counts where presence is bypassed."""
    return agent.reachable and agent.queue_presence.get(queue, agent.presence) != "offline"


def is_present(moment: Moment, agent: Agent, queue: str) -> bool:
    """Whether the agent's desk answers and their presence, towards this queue, is one that it accepts."""
    presence = agent.queue_presence.get(queue, agent.presence)
    return agent.reachable and presence in moment.policy.queues[queue].accepts_presence


def lane(moment: Moment, contact: Contact) -> int:
    """0: always first, by priority; 1: so old that it comes before the rest; 2: the rest."""
    queue = moment.queue_of(contact)
    if queue.strict_priority is not None and contact.priority >= queue.strict_priority:
        return 0
    return 1 if queue.starvation is not None and moment.now - contact.age_from >= queue.starvation else 2


# Named agents


def only_agents(moment: Moment, contact: Contact) -> tuple[str, ...] | None:
    """The agents that the newest such step restricts the contact to."""
    only = None
    for step in steps_taken(moment, contact):
        only = step.only_agents if step.only_agents is not None else only
    return only


def station(moment: Moment, contact: Contact) -> FlowStep | None:
    """Where the contact is in its flow, if that is where it waits."""
    flow = moment.policy.flows.get(contact.flow) if contact.flow else None
    stations = flow.route(contact.attributes) if flow else ()
    at = stations[contact.flow_step] if contact.flow_step < len(stations) else None
    return at if at is not None and at.queue == contact.queue else None


def waits_for_preferred(moment: Moment, contact: Contact) -> bool:
    """Whether the contact still is for its preferred agents alone, before it is asked whether any of them could."""
    rule = moment.queue_of(contact).preferred
    if not contact.preferred or not rule.enabled or contact.preference_over:
        return False
    if contact.wish_met:
        return rule.hold
    return rule.hold or moment.now - contact.queue_since < rule.waits.get(contact.channel, rule.wait)


def preferred_members(moment: Moment, contact: Contact) -> list[str]:
    """Of the preferred agents those who are members of the queue, in the contact's order."""
    agents = moment.agents
    return [name for name in contact.preferred if name in agents and is_member(agents[name], contact.queue)]
