"""Events of offers and of who holds what: one agent at a time, and nobody gets more than they may."""

from __future__ import annotations

from shared.contracts import events as ev
from tests.simulation.ledger.books import WAITS, AgentBook, Booking, ContactBook, Instant, OfferBook, WorkspaceBook
from tests.simulation.ledger.due import wish_s
from tests.simulation.ledger.gates import why_away, why_barred, why_held_back, why_no_member
from tests.simulation.ledger.room import why_full, why_not_back
from tests.simulation.ledger.violation import require


def offer_made(ws: WorkspaceBook, event: ev.OfferMade, now: Instant) -> None:
    contact = ws.contact_in(event.contact, *WAITS)
    require(event.agent in ws.agents, "4", f"{event.contact} is offered to {event.agent}, whom nobody knows")
    agent = ws.agents[event.agent]
    require(event.offer not in ws.offers, "9", f"offer {event.offer} is made twice")
    require(contact.agent is None, "2", f"{contact.id} is with {contact.agent} already")
    ends = _ends_at(ws, contact, now.at)
    require(event.expires_at == ends, "time", f"offer {event.offer} runs out at {event.expires_at}, not at {ends}")
    held_back = why_held_back(ws, contact, now.at)
    require(held_back is None, "4", f"{contact.id} is offered, but {held_back}")
    away = why_away(ws, contact, agent, now.at) or why_no_member(contact, agent)
    away = away or why_barred(ws, contact, agent, now.at)
    require(away is None, "4", f"{contact.id} is offered to {agent.id}, who {away}")
    full = why_full(ws, contact, agent, now.at)
    require(full is None, "3", f"{contact.id} is offered to {agent.id}, who has {full}")
    ws.offers[event.offer] = OfferBook(event.offer, event.contact, event.agent, now.at, event.expires_at)
    contact.state = "offered"
    contact.offers = (*contact.offers, event.offer)
    contact.asked = True
    if agent.id not in contact.declines:
        contact.exhausted = False
    agent.offers.append(event.offer)
    agent.held[contact.id] = contact.channel


def _ends_at(ws: WorkspaceBook, contact: ContactBook, at: int) -> int | None:
    """When an offer made now runs out: by the kind of channel, else as the queue says of all."""
    rule = ws.queues[contact.queue]
    after_s: int | None = rule["channel_offer_timeout_s"].get(contact.channel, rule["offer_timeout_s"])
    return at + after_s * 1000 if after_s is not None else None


def _end_offer(ws: WorkspaceBook, offer_id: str, outcome: str) -> tuple[ContactBook, AgentBook]:
    offer = ws.offers[offer_id]
    require(not offer.outcome, "2", f"offer {offer_id} is {outcome} after it was {offer.outcome}")
    offer.outcome = outcome
    contact = ws.contact_in(offer.contact, "offered")
    agent = ws.agents[offer.agent]
    contact.offers = tuple(each for each in contact.offers if each != offer_id)
    agent.offers.remove(offer_id)
    return contact, agent


def _give_back(contact: ContactBook, agent: AgentBook, retry_at: int | None = None) -> None:
    """The contact waits again only when all its offers have ended."""
    del agent.held[contact.id]
    if retry_at is not None:
        contact.retry_at = max(retry_at, contact.retry_at or 0)
    if not contact.offers:
        contact.wait(contact.retry_at)


def accepted(ws: WorkspaceBook, event: ev.OfferAccepted, now: Instant) -> None:
    made_at = ws.offers[event.offer].made_at
    contact, agent = _end_offer(ws, event.offer, "accepted")
    require(agent.id == event.agent, "2", f"{event.agent} gets the offer of {agent.id}")
    require(not contact.offers, "2", f"{contact.id} goes to {agent.id} while others are asked: {contact.offers}")
    by_itself = ws.queues[contact.queue]["auto_accept"] and made_at == now.at
    require(now.actor == f"agent:{agent.id}" or by_itself, "2", f"{now.actor} accepts the offer of {agent.id}")
    contact.state = "assigned"
    contact.agent = agent.id
    contact.exhausted, contact.excluded = False, None
    contact.retry_at = None
    agent.missed = 0
    agent.missed_in = {}
    _note_assignment(ws, contact, agent, now.at)


def _note_assignment(ws: WorkspaceBook, contact: ContactBook, agent: AgentBook, at: int) -> None:
    agent.assigned.setdefault(contact.queue, []).append(at)
    if contact.queue in ws.queues and ws.queues[contact.queue]["rate_limit"] is not None:
        agent.recent.setdefault(contact.queue, []).append(at)


def declined(ws: WorkspaceBook, event: ev.OfferDeclined, now: Instant) -> None:
    contact, agent = _end_offer(ws, event.offer, "declined")
    require(now.actor == f"agent:{agent.id}", "2", f"{now.actor} declines the offer of {agent.id}")
    contact.count_decline(agent.id, now.at)
    _give_back(contact, agent, event.retry_at)


def expired(ws: WorkspaceBook, event: ev.OfferExpired, now: Instant) -> None:
    due = ws.offers[event.offer].expires_at
    require(due is not None and due <= now.at, "time", f"offer {event.offer} expires early, due at {due}")
    contact, agent = _end_offer(ws, event.offer, "expired")
    rule = ws.queues[contact.queue]["on_miss"]
    if rule is not None and rule["scope"] == "queue":
        agent.missed_in[contact.queue] = agent.missed_in.get(contact.queue, 0) + 1
    else:
        agent.missed += 1
    contact.count_decline(agent.id, now.at)
    _give_back(contact, agent, event.retry_at)


def withdrawn(ws: WorkspaceBook, event: ev.OfferWithdrawn, now: Instant) -> None:
    by_another = event.reason == "accepted_by_another"
    contact, agent = _end_offer(ws, event.offer, event.reason if by_another else "withdrawn")
    _give_back(contact, agent)


def assigned(ws: WorkspaceBook, event: ev.ContactAssigned, now: Instant) -> None:
    contact = ws.contact_in(event.contact, "scheduled", "assigned", *WAITS)
    require(not contact.offers, "2", f"{contact.id} is given to {event.agent} while it is on offer")
    require(event.from_agent == contact.agent, "2", f"{event.from_agent} hands on the contact of {contact.agent}")
    agent = ws.agents[event.agent]
    if event.reason == "transfer":
        mine = now.role != "agent" or now.actor == f"agent:{contact.agent}"
        require(mine, "2", f"{now.actor} hands on the contact of {contact.agent}")
        why = why_away(ws, contact, agent, now.at) or why_full(ws, contact, agent, now.at)
        require(why is None, "3", f"{contact.id} is handed to {agent.id}, who {why}")
    else:
        require(now.role in ("supervisor", "operator"), "2", f"{now.actor} gives {contact.id} to {agent.id}")
    if contact.agent is not None:
        ws.agents[contact.agent].release(contact.id, now.at)
    agent.held[contact.id] = contact.channel
    contact.state = "assigned"
    contact.agent = agent.id
    contact.exhausted, contact.excluded = False, None
    contact.retry_at = None
    _note_assignment(ws, contact, agent, now.at)


def activity(ws: WorkspaceBook, event: ev.ContactActivity, now: Instant) -> None:
    contact = ws.contact_in(event.contact, "assigned")
    require(contact.agent == event.agent, "2", f"{event.agent} parks the contact of {contact.agent}")
    agent = ws.agents[event.agent]
    require((contact.id in agent.parked) == event.active, "3", f"{contact.id} is parked or fetched twice")
    if event.active:
        by_customer = now.role == "adapter" and ws.queues[contact.queue]["parked_when_full"] == "requeue"
        full = why_not_back(ws, contact, agent, now.at) if by_customer else None
        require(full is None, "3", f"{contact.id} comes back to {agent.id}, who {full}")
        agent.parked.remove(contact.id)
    else:
        agent.parked.append(contact.id)


def requeued(ws: WorkspaceBook, event: ev.ContactRequeued, now: Instant) -> None:
    contact = ws.contact_in(event.contact, "assigned")
    require(contact.agent == event.agent, "2", f"{event.contact} is requeued from {event.agent}, not {contact.agent}")
    if event.reason == "full":
        _check_full(ws, contact, ws.agents[event.agent], now.at)
    ws.agents[event.agent].release(event.contact, now.at)
    if event.reason == "agent":
        contact.count_decline(event.agent, now.at)
    rule = ws.queues[contact.queue]["preferred"]
    returns = (
        event.reason in ("agent_lost", "full")
        and rule["enabled"]
        and rule["fallback"] != "hold"
        and wish_s(rule, contact) > 0
    )
    first = (event.agent, *(name for name in contact.preferred if name != event.agent)) if returns else ()
    require(event.preferred == first, "5", f"{contact.id} waits for {event.preferred} first, not for {first}")
    contact.preferred = first or contact.preferred
    contact.preference_over = False
    contact.wish_met = not first
    contact.queue_since = now.at
    contact.flow = None
    contact.wait()


def _check_full(ws: WorkspaceBook, contact: ContactBook, agent: AgentBook, at: int) -> None:
    """A parked contact leaves its agent only where the queue wants that, and only if there is no room."""
    leaves = ws.queues[contact.queue]["parked_when_full"] == "requeue" and contact.id in agent.parked
    full = why_not_back(ws, contact, agent, at)
    require(leaves and full is not None, "2", f"{contact.id} leaves {agent.id}, who had room")


BOOK: Booking = {
    ev.OfferMade: offer_made,
    ev.OfferAccepted: accepted,
    ev.OfferDeclined: declined,
    ev.OfferExpired: expired,
    ev.OfferWithdrawn: withdrawn,
    ev.ContactAssigned: assigned,
    ev.ContactActivity: activity,
    ev.ContactRequeued: requeued,
}
