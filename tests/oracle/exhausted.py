"""Whether everybody has declined a contact, from the words: of all who are there and able, with room or without."""

from __future__ import annotations

from services.router.engine.policy import matches
from services.router.engine.records import Agent, Contact
from shared.vocabulary import ContactState
from tests.oracle import asks
from tests.oracle.eligible import has_excluded_skill, is_able, is_named, is_open_to_tier, preferred_now, waited
from tests.oracle.moment import Moment, is_member, membership, terms


def everybody_declined(moment: Moment, contact: Contact) -> bool:
    """Whether that is so now: at least one has, and whoever else is there handed it on. Not where nobody is there, nor
    of contacts that are offered to nobody for other reasons, nor while the preferred agents have their time and others
    will have theirs."""
    if contact.state is not ContactState.WAITING or not contact.declines or not _could_be_offered(moment, contact):
        return False
    rule = moment.queue_of(contact).preferred
    if asks.waits_for_preferred(moment, contact) and not rule.hold:
        return False
    wanted = preferred_now(moment, contact)
    asked = [agent for agent in moment.agents.values() if _is_asked(moment, contact, agent, wanted)]
    return bool(asked) and all(agent.id in contact.declines or agent.id == contact.excluded for agent in asked)


def _could_be_offered(moment: Moment, contact: Contact) -> bool:
    queue = moment.queue_of(contact)
    too_old = queue.max_age is not None and moment.now - contact.age_from > queue.max_age
    barred = any(matches(contact.attributes, match) for match in queue.exclude)
    return (
        queue.auto_assign and not too_old and not barred and f"{contact.channel}:{contact.account}" not in moment.down
    )


def _is_asked(moment: Moment, contact: Contact, agent: Agent, wanted: list[str] | None) -> bool:
    """Whether the agent is there for the contact's queue and nothing that they are keeps them from it. `wanted`: for
    whom alone it waits, if it does; a wish that is skipped while it cannot be had keeps nobody away."""
    queue = contact.queue
    bypass = moment.queue_of(contact).preferred.bypass if wanted is not None else frozenset()
    here = asks.is_present(moment, agent, queue) or ("presence" in bypass and asks.is_reached(agent, queue))
    if not is_member(agent, queue) or not here:
        return False
    member, kind = membership(agent, queue), contact.channel
    if (agent.channels and kind not in agent.channels) or (member.channels and kind not in member.channels):
        return False
    if wanted is not None and agent.id not in wanted:
        return False
    return (
        terms(agent, contact)[1] <= waited(moment, contact)
        and is_named(moment, contact, agent)
        and is_open_to_tier(moment, contact, agent)
        and not has_excluded_skill(moment, contact, agent)
        and ("skills" in bypass or is_able(moment, contact, agent))
    )
