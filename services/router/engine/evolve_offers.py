"""Making events about offers true."""

from __future__ import annotations

from services.router.engine.evolve_waiting import count_decline, draw_anew, note_assignment, wait
from services.router.engine.records import Agent, Contact, Offer
from services.router.engine.state import Workspace
from services.router.engine.truth import Evolve
from services.router.engine.world import World
from shared.contracts import events as ev
from shared.vocabulary import (
    ContactState,
    OfferId,
)


def _offer_made(world: World, ws: Workspace, event: ev.OfferMade, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    waits = contact.state in (ContactState.WAITING, ContactState.OFFERED)
    assert waits, f"{event.contact} is {contact.state}, not waiting"
    agent = world.change_agent(ws, event.agent)
    assert event.contact not in agent.held, f"{event.agent} already holds {event.contact}"
    offer = Offer(id=event.offer, contact=event.contact, agent=event.agent, made_at=at, expires_at=event.expires_at)
    world.state.undo.create(ws.offers, event.offer, offer)
    world.state.undo.append(contact.all_offers, event.offer)
    world.touched.append(("offer", ws.name, event.offer))
    if contact.state is not ContactState.OFFERED:
        contact.state = ContactState.OFFERED
        contact.state_since = at
    agent.assigned_last = {**agent.assigned_last, contact.queue: at}
    if event.lot is not None:
        world.state.undo.put(ws.races, contact.queue, max(event.lot, ws.races.get(contact.queue, 0)))
        _, drawn = agent.lots.get(contact.queue, (0, 0))
        agent.lots = {**agent.lots, contact.queue: (ws.races[contact.queue], drawn + 1)}
    contact.offers = (*contact.offers, event.offer)
    contact.asked = True
    if event.agent not in contact.declines:
        contact.exhausted = False
    agent.offers = (*agent.offers, event.offer)
    agent.held = {**agent.held, event.contact: contact.channel}


def _end_offer(world: World, ws: Workspace, offer_id: OfferId, outcome: str) -> tuple[Contact, Agent]:
    offer = ws.offers[offer_id]
    assert not offer.outcome, f"offer {offer_id} has already ended: {offer.outcome}"
    world.state.undo.save(offer)
    offer.outcome = outcome
    world.touched.append(("offer", ws.name, offer_id))
    contact = world.change_contact(ws, offer.contact)
    contact.offers = tuple([o for o in contact.offers if o != offer_id])
    agent = world.change_agent(ws, offer.agent)
    agent.offers = tuple([o for o in agent.offers if o != offer_id])
    return contact, agent


def _offer_accepted(world: World, ws: Workspace, event: ev.OfferAccepted, at: int) -> None:
    contact, agent = _end_offer(world, ws, event.offer, "accepted")
    assert contact.agent is None, f"{contact.id} is already held by {contact.agent}"
    contact.state = ContactState.ASSIGNED
    contact.state_since = at
    contact.agent = agent.id
    contact.excluded = None
    contact.exhausted = False
    contact.retry_at = None
    if contact.answered_at is None:
        contact.answered_at = at
    agent.missed = 0
    if agent.missed_in:
        agent.missed_in = {}
    note_assignment(ws, agent, contact.queue, at)
    world.touched.append(("thread", ws.name, contact.thread))


def _back_to_waiting(ws: Workspace, contact: Contact, agent: Agent, at: int, retry_at: int | None = None) -> None:
    """A pause that a decline began goes on whatever becomes of the contact's other offers."""
    agent.held = {held: kind for held, kind in agent.held.items() if held != contact.id}
    draw_anew(ws, agent)
    if retry_at is not None:
        contact.retry_at = max(retry_at, contact.retry_at or 0)
    if not contact.offers:
        wait(contact, at, contact.retry_at)


def _offer_declined(world: World, ws: Workspace, event: ev.OfferDeclined, at: int) -> None:
    contact, agent = _end_offer(world, ws, event.offer, "declined")
    count_decline(contact, agent.id, at)
    _back_to_waiting(ws, contact, agent, at, event.retry_at)


def _offer_expired(world: World, ws: Workspace, event: ev.OfferExpired, at: int) -> None:
    contact, agent = _end_offer(world, ws, event.offer, "expired")
    queue = ws.policy.queues.get(contact.queue)
    if queue is not None and queue.on_miss is not None and queue.on_miss.scope == "queue":
        agent.missed_in = {**agent.missed_in, contact.queue: event.missed}
    else:
        agent.missed = event.missed
    count_decline(contact, agent.id, at)
    _back_to_waiting(ws, contact, agent, at, event.retry_at)


def _offer_withdrawn(world: World, ws: Workspace, event: ev.OfferWithdrawn, at: int) -> None:
    outcome = event.reason if event.reason == "accepted_by_another" else "withdrawn"
    contact, agent = _end_offer(world, ws, event.offer, outcome)
    _back_to_waiting(ws, contact, agent, at)


def _retry_due(world: World, ws: Workspace, event: ev.RetryDue, at: int) -> None:
    world.change_contact(ws, event.contact).retry_at = None


EVOLVE: dict[type, Evolve] = {
    ev.OfferMade: _offer_made,
    ev.OfferAccepted: _offer_accepted,
    ev.OfferDeclined: _offer_declined,
    ev.OfferExpired: _offer_expired,
    ev.OfferWithdrawn: _offer_withdrawn,
    ev.RetryDue: _retry_due,
}
"""By event: what makes it true."""
