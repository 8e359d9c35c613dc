"""Deadlines, from their words: what a contact is worth to an agent, what an agent costs it, and what is kept free."""

from __future__ import annotations

import math

from services.router.engine.records import Agent, Contact
from services.router.engine.slo import SloRule
from tests.oracle import asks
from tests.oracle.moment import Moment, places, used, working


def rule_of(moment: Moment) -> SloRule:
    return moment.policy.slo


def target(moment: Moment, contact: Contact) -> float:
    """The queue's for the channel, else the policy's; by priority a half, a third …, or twice, three times …"""
    rule, queue = rule_of(moment), moment.queue_of(contact)
    whole = queue.target.get(contact.channel) or rule.targets.get(contact.channel, rule.targets[""])
    if not rule.priority_shortens:
        return whole
    if contact.priority > 0:
        return math.floor(whole / (1 + contact.priority))
    return whole * (1 - contact.priority)


def proficiency(moment: Moment, contact: Contact, agent: Agent) -> float:
    """The least value over the language in which the agent would answer and the skills asked for."""
    rule = rule_of(moment)
    levels = [agent.skills.get(skill, 0) for skill in asks.required_skills(moment, contact)]
    languages = asks.languages(moment, contact)
    if languages:
        least = asks.least_level(moment, contact)
        spoken = [asks.level_in(agent, language) for language in languages]
        levels.append(next((level for level in spoken if level >= least), 0))
    lowest = min(rule.values.values())
    return min((rule.values.get(level, lowest) for level in levels), default=1.0)


def worth(moment: Moment, contact: Contact, agent: Agent) -> float:
    """g(x) p^m: rises to the deadline, less past it, everything past the cap."""
    rule = rule_of(moment)
    x = (moment.now - contact.age_from) / target(moment, contact)
    if x >= rule.caps.get(contact.channel, rule.caps[""]):
        return 2.0
    if x < 1:
        g = x + 0.05
    elif rule.strict:
        g = 1.05 * (1 + 0.02 * (x - 1))
    else:
        g = rule.overdue_weight * 1.05 * (1 + 0.02 * (x - 1))
    return g * float(proficiency(moment, contact, agent) ** rule.exponent)


def cost(moment: Moment, contact: Contact, agent: Agent) -> float:
    """3 (1/p - 1) + the slowing that one more contact brings."""
    table = rule_of(moment).slowdown
    busy = len(working(moment, agent))

    def work(count: int) -> float:
        if count == 0:
            return 0.0
        if count <= len(table):
            return count * table[count - 1]
        last = table[-1] - table[-2] if len(table) > 1 else 0.0
        return count * (table[-1] + last * (count - len(table)))

    slowing = work(busy + 1) - work(busy)
    return slowing + 3 * (1 / proficiency(moment, contact, agent) - 1)


def can_wait(moment: Moment, contact: Contact) -> bool:
    """Whether room is kept free for others before this contact."""
    rule, queue = rule_of(moment), moment.queue_of(contact)
    if rule.reserve is None or queue.contact_order != "slo" or contact.channel not in rule.reserve.kinds:
        return False
    if asks.lane(moment, contact) < 2:
        return False
    near = contact.deadline_near or moment.now - contact.age_from >= target(moment, contact) * rule.reserve.until
    return not near


def has_room_to_spare(moment: Moment, contact: Contact, agent: Agent) -> bool:
    """Whether every language of the agent has more free slots than customers with short deadlines may need."""
    reserve = rule_of(moment).reserve
    assert reserve is not None
    weight = agent.capacity_weights.get(contact.channel, 1000) / 1000
    return all(
        _free(moment, language) - weight >= reserve.factor * math.sqrt(_offered(moment, language))
        for language in {asks.base(code) for code in agent.languages}
    )


def _free(moment: Moment, language: str) -> float:
    """Free slots of all who take offers and speak it."""
    return sum(
        _room(moment, agent)
        for agent in moment.agents.values()
        if agent.takes_offers and asks.level_in(agent, language) > 0
    )


def _room(moment: Moment, agent: Agent) -> float:
    if agent.capacity_total is not None:
        return max(0.0, (agent.capacity_total - used(moment, agent)) / 1000)
    own = agent.max_contacts
    most = own if own is not None else sum(agent.capacity_per_channel.values()) or 1
    return max(0, most - len(places(moment, agent)))


def _offered(moment: Moment, language: str) -> float:
    """Arrivals a second, forgotten by e in fifteen minutes, times the seconds of one."""
    load = moment.loads.get(language)
    if load is None:
        return 0.0
    return load.rate * math.exp((load.at - moment.now) / 900_000) * load.seconds
