"""Whether one agent may get one contact at a moment: every filter of the rule, one after the other."""

from __future__ import annotations

from services.router.engine.policy import QueuePolicy, matches
from services.router.engine.records import Agent, Contact
from shared.vocabulary import ContactState
from tests.oracle import asks
from tests.oracle.deadline import can_wait, has_room_to_spare
from tests.oracle.moment import Moment, is_member, membership, places, terms, used, working


def waits_for_an_offer(moment: Moment, contact: Contact) -> bool:
    """Whether the contact may be offered to anybody at this moment."""
    if contact.state not in (ContactState.WAITING, ContactState.OFFERED):
        return False
    queue = moment.queue_of(contact)
    most = max([queue.max_offers, *(step.max_offers for step in asks.steps_taken(moment, contact))])
    if len(moment.offered[contact.id]) >= most:
        return False
    if contact.retry_at is not None and contact.retry_at > moment.now:
        return False
    if not queue.open_at(moment.now) or queue.name in moment.frozen or not queue.auto_assign:
        return False
    if queue.max_age is not None and moment.now - contact.age_from > queue.max_age:
        return False
    if any(matches(contact.attributes, match) for match in queue.exclude):
        return False
    return f"{contact.channel}:{contact.account}" not in moment.down


def eligible(moment: Moment, contact: Contact, agent: Agent) -> bool:
    """Whether the agent may be offered the contact now."""
    if not waits_for_an_offer(moment, contact):
        return False
    if can_wait(moment, contact) and not (moment.patient and has_room_to_spare(moment, contact, agent)):
        return False
    wanted = preferred_now(moment, contact)
    if wanted is None:
        return could(moment, contact, agent, frozenset())
    return agent.id in wanted and could(moment, contact, agent, moment.queue_of(contact).preferred.bypass)


def preferred_now(moment: Moment, contact: Contact) -> list[str] | None:
    """The preferred agents that the contact waits for, in their order; None if it waits for nobody in particular."""
    if not asks.waits_for_preferred(moment, contact):
        return None
    rule = moment.queue_of(contact).preferred
    members = asks.preferred_members(moment, contact)
    if rule.skip_if_unavailable:
        looks = set(members) & set(moment.offered[contact.id])
        if not looks and not any(could(moment, contact, moment.agents[name], rule.bypass) for name in members):
            return None
    return members


def could(moment: Moment, contact: Contact, agent: Agent, bypass: frozenset[str]) -> bool:
    """Whether nothing keeps the two apart but, perhaps, other agents that the contact waits for."""
    queue = moment.queue_of(contact)
    return (
        is_member(agent, queue.name)
        and takes_work(moment, agent, queue, whatever_presence="presence" in bypass)
        and handles(moment, contact, agent)
        and is_named(moment, contact, agent)
        and not is_barred(moment, contact, agent)
        and waited(moment, contact) >= terms(agent, contact)[1]
        and is_open_to_tier(moment, contact, agent)
        and not has_excluded_skill(moment, contact, agent)
        and ("skills" in bypass or is_able(moment, contact, agent))
        and ("capacity" in bypass or has_capacity(moment, contact, agent))
        and is_within_queue_limits(moment, agent, queue)
    )


def waited(moment: Moment, contact: Contact) -> int:
    """How long it has waited in its queue this time, or did before it was answered there and given back."""
    return max(moment.now - contact.queue_since, contact.delay)


def takes_work(moment: Moment, agent: Agent, queue: QueuePolicy, *, whatever_presence: bool) -> bool:
    """Present for the queue, with nothing to finish and nowhere else to go."""
    now = moment.now
    return (
        (asks.is_present(moment, agent, queue.name) or (whatever_presence and asks.is_reached(agent, queue.name)))
        and agent.next_presence is None
        and (agent.wrap_up_until or 0) <= now
        and agent.queue_wrap_up.get(queue.name, ("", 0))[1] <= now
        and (agent.paused_until or 0) <= now
    )


def handles(moment: Moment, contact: Contact, agent: Agent) -> bool:
    """The channel: in the profile, in the queue, by the agent's switch, and beside what they have in hand."""
    kind = contact.channel
    aside = () if moment.policy.while_on_counts_parked else agent.parked
    beside = [agent.while_on[held] for id, held in agent.held.items() if held in agent.while_on and id not in aside]
    return (
        (not agent.channels or kind in agent.channels)
        and kind in (membership(agent, contact.queue).channels or (kind,))
        and agent.channel_switch.get(kind, True)
        and all(kind in allowed for allowed in beside)
    )


def is_named(moment: Moment, contact: Contact, agent: Agent) -> bool:
    """Whether neither a step nor a flow keeps the contact for others."""
    only = asks.only_agents(moment, contact)
    if only is not None and agent.id not in only:
        return False
    station = asks.station(moment, contact)
    if station is None:
        return True
    if station.preferred_only and agent.id not in contact.preferred:
        return False
    return station.only_agents is None or agent.id in station.only_agents


def is_barred(moment: Moment, contact: Contact, agent: Agent) -> bool:
    """Whether the agent is out for this one contact: has it on offer, handed it on, or declined it."""
    if agent.id in moment.offered[contact.id] or agent.id == contact.excluded:
        return True
    declines = contact.declines.get(agent.id, 0)
    if not declines:
        return False
    rule = moment.queue_of(contact).decline
    if rule.most is not None and declines >= rule.most:
        return True
    if rule.policy == "after_s":
        return contact.declined_at.get(agent.id, moment.now - rule.after) + rule.after > moment.now
    return rule.policy == "never"


def is_open_to_tier(moment: Moment, contact: Contact, agent: Agent) -> bool:
    top = asks.open_tier(moment, contact)
    return top is None or asks.tier(agent, contact.queue) <= top


def has_excluded_skill(moment: Moment, contact: Contact, agent: Agent) -> bool:
    """Whether the queue takes nobody who has what the agent has."""
    return any(skill in agent.skills for skill in moment.queue_of(contact).excluded_skills)


def is_able(moment: Moment, contact: Contact, agent: Agent) -> bool:
    """Every required skill at its level, and one of the languages."""
    if not asks.asks_for_abilities(moment, contact):
        return True
    languages = asks.languages(moment, contact)
    least = asks.least_level(moment, contact)
    if languages and not any(asks.speaks(agent, language, least) for language in languages):
        return False
    needed = asks.required_skills(moment, contact)
    return all(agent.skills.get(skill, 0) >= level for skill, level in needed.items())


def has_capacity(moment: Moment, contact: Contact, agent: Agent) -> bool:
    """Room in total by weight, in the channel, in every profile of the contact, and below the agent's limit."""
    kind = contact.channel
    work = working(moment, agent)
    weight = agent.capacity_weights.get(kind, 1000)
    if agent.capacity_total is not None and used(moment, agent) + weight > agent.capacity_total:
        return False
    of_kind = places(moment, agent).count(kind)
    if of_kind >= agent.capacity_per_channel.get(kind, of_kind + 1):
        return False
    for profile in contact.profiles:
        if sum(1 for _, held in work if profile in held.profiles) >= agent.profiles.get(profile, 0):
            return False
    limit = moment.agent_limit if agent.max_contacts is None else agent.max_contacts
    return (limit is None or len(work) < limit) and is_within_ramp(moment, agent, len(work))


def is_within_ramp(moment: Moment, agent: Agent, work: int) -> bool:
    """Whoever signed in a moment ago holds only so many."""
    if agent.signed_in_at is None:
        return True
    since = moment.now - agent.signed_in_at
    return work < next((most for until, most in moment.policy.ramp if since < until), work + 1)


def is_within_queue_limits(moment: Moment, agent: Agent, queue: QueuePolicy) -> bool:
    """Open contacts of this queue, and its assignments within the sliding window, with those that an acceptance would
    make."""
    limit = moment.queue_limits.get(queue.name, queue.max_per_agent)
    if limit is not None and sum(1 for _, held in working(moment, agent) if held.queue == queue.name) >= limit:
        return False
    if queue.rate_limit is None:
        return True
    most, window = queue.rate_limit
    recent = [time for time in agent.assigned_times.get(queue.name, ()) if time > moment.now - window]
    asked = [
        id for id, names in moment.offered.items() if agent.id in names and moment.contacts[id].queue == queue.name
    ]
    return len(recent) + len(asked) < most
