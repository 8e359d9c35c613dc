"""What must be so for an offer to be allowed at all, of the queue, the contact and the agent."""

from __future__ import annotations

import math

from tests.simulation.ledger.books import AgentBook, ContactBook, WorkspaceBook, fits, is_open
from tests.simulation.ledger.room import bypasses


def why_held_back(ws: WorkspaceBook, contact: ContactBook, at: int) -> str | None:
    """Why nobody may be offered the contact at this time; None if nothing forbids it."""
    queue = ws.queues[contact.queue]
    most = max(_number(each["max_offers"] or 0) for each in (queue, *queue["steps"][: contact.steps]))
    if len(contact.offers) >= most:
        return f"{most} agents look at it already"
    if contact.retry_at is not None and contact.retry_at > at:
        return "it pauses after a decline"
    if contact.queue in ws.frozen:
        return f"{contact.queue} is frozen"
    if _is_closed(ws, contact.queue, at):
        return f"{contact.queue} is closed"
    if not queue["auto_assign"]:
        return f"{contact.queue} offers nothing by itself"
    if _is_too_old(ws, contact, at):
        return "it is too old"
    if any(fits(contact.attributes, match) for match in queue["exclude"]):
        return "its attributes exclude it"
    if ws.is_down(contact.channel_name):
        return f"{contact.channel_name} is down"
    return None


def _number(offers: int | str) -> float:
    return math.inf if isinstance(offers, str) else offers


def _is_closed(ws: WorkspaceBook, queue: str, at: int) -> bool:
    return not is_open(ws.queues[queue], at)


def _is_too_old(ws: WorkspaceBook, contact: ContactBook, at: int) -> bool:
    most: int | None = ws.queues[contact.queue]["max_age_s"]
    return most is not None and at - contact.age_from > most * 1000


def why_away(ws: WorkspaceBook, contact: ContactBook, agent: AgentBook, at: int) -> str | None:
    """Why the agent is offered nothing of this queue and channel now; None if they take it."""
    queue, kind = contact.queue, contact.channel
    away = is_away(ws, contact, agent, whatever=bypasses(ws, contact, agent, "presence"))
    if away is not None:
        return away
    if agent.next_presence is not None:
        return f"is about to be {agent.next_presence}"
    if max(agent.wrap_up_until or 0, agent.queue_wrap_up.get(queue, ("", 0))[1]) > at:
        return "is in wrap-up"
    if (agent.paused_until or 0) > at:
        return "pauses after a rejection"
    if not agent.switch.get(kind, True):
        return f"has switched {kind} off"
    beside = agent.held if ws.policy["while_on_counts_parked"] else agent.working
    if any(kind not in agent.while_on.get(held, (kind,)) for held in beside.values()):
        return f"gets no {kind} beside {sorted(beside.values())}"
    return None


def is_away(ws: WorkspaceBook, contact: ContactBook, agent: AgentBook, *, whatever: bool) -> str | None:
    """Why the agent is not there for the contact; `whatever`: any presence but offline will do."""
    presence = agent.presence_towards(contact.queue)
    here = ws.is_there(agent, contact.queue) or (whatever and agent.reachable and presence != "offline")
    return None if here else f"is {presence} or unreachable"


def why_no_member(contact: ContactBook, agent: AgentBook) -> str | None:
    """What keeps the agent out of the contact's queue and channel at any time."""
    if not agent.is_member(contact.queue):
        return f"is not in {contact.queue}"
    member = agent.memberships.get(contact.queue)
    if agent.channels and contact.channel not in agent.channels:
        return f"does not handle {contact.channel}"
    if member is not None and member.channels and contact.channel not in member.channels:
        return f"does not handle {contact.channel} in {contact.queue}"
    return None


def why_barred(ws: WorkspaceBook, contact: ContactBook, agent: AgentBook, at: int) -> str | None:
    """Why this one agent is out for this one contact: delay, hand-over, declines."""
    delay = _delay(contact, agent)
    if max(at - contact.queue_since, contact.delay) < delay:
        return f"waits {delay} ms before contacts of {contact.queue}"
    if contact.id in agent.held:
        return "has it already"
    if agent.id == contact.excluded:
        return "handed it on"
    return _why_declined(ws, contact, agent.id, at)


def _delay(contact: ContactBook, agent: AgentBook) -> int:
    """How long a contact of this kind has to be in its queue before the agent gets it (ms)."""
    member = agent.memberships.get(contact.queue)
    if member is None:
        return 0
    own = next((each.delay for each in member.per_channel if each.channel == contact.channel), None)
    return member.delay if own is None else own


def _why_declined(ws: WorkspaceBook, contact: ContactBook, agent: str, at: int) -> str | None:
    rule, declines = ws.queues[contact.queue]["decline"], contact.declines.get(agent, 0)
    if not declines:
        return None
    if rule["policy"] == "never" or (rule["max"] is not None and declines >= rule["max"]):
        return f"declined it {declines} times, for good"
    declined_at = contact.declined_at.get(agent)
    if rule["policy"] == "after_s" and declined_at is not None and at < declined_at + rule["after_s"] * 1000:
        return "declined it a moment ago"
    return None
