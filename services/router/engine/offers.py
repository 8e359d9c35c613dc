"""Making, accepting, declining, expiring offers, and what follows an assignment."""

from __future__ import annotations

from services.router.engine.chains import draws_lots, lot_of
from services.router.engine.context import Context, Refused, withdraw_offers
from services.router.engine.matching import Match
from services.router.engine.presence import withdraw_unaccepted
from services.router.engine.records import Offer
from services.router.engine.rooms import is_asked_in, presence_towards
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import ContactId, ContactState, OfferId, Role


def make_offer(ctx: Context, match: Match) -> list[ev.Event]:
    """A match becomes an offer; capacity is taken from this moment on. Where the queue accepts for its agents, it is an
    assignment in the same instant."""
    queue = ctx.workspace.policy.queues[match.contact.queue]
    timeout = queue.offer_timeout_of(match.contact.channel)
    made = ev.OfferMade(
        offer=OfferId(ctx.new_id()),
        contact=match.contact.id,
        agent=match.agent,
        expires_at=ctx.now + timeout if timeout is not None else None,
        decision=match.record,
        lot=lot_of(ctx.workspace.agents[match.agent], queue.name) if draws_lots(queue) else None,
    )
    if not queue.auto_accept:
        return [made]
    others = withdraw_offers(match.contact, ctx.workspace, "accepted_by_another")
    return [*others, made, ev.OfferAccepted(offer=made.offer, contact=made.contact, agent=made.agent)]


_ENDED = {
    "accepted_by_another": "another agent was faster",
    "declined": "the offer was declined",
    "expired": "the offer has run out",
    "withdrawn": "the offer was taken back",
}


def _own_open_offer(ctx: Context, offer_id: OfferId) -> Offer:
    offer = ctx.workspace.offers.get(offer_id)
    if offer is None:
        raise Refused("unknown_offer", f"there is no offer {offer_id!r}", "offer")
    if ctx.actor.role is not Role.AGENT or ctx.actor.id != offer.agent:
        raise Refused("not_yours", "the offer was made to another agent")
    if offer.outcome and offer.outcome != "accepted":
        raise Refused(f"offer_{offer.outcome}", _ENDED[offer.outcome])
    return offer


def accept_offer(ctx: Context, command: cmd.AcceptOffer) -> list[ev.Event]:
    """The agent it was made to takes the contact; the first accept counts, a late one is refused with the reason."""
    offer = _own_open_offer(ctx, command.offer)
    contact = ctx.workspace.contacts[offer.contact]
    if offer.outcome:
        return [ev.CommandNoted(reason="already_accepted", subject=contact.id)]
    others = [event for event in withdraw_offers(contact, ctx.workspace, "accepted_by_another") if _other(event, offer)]
    return [*others, ev.OfferAccepted(offer=offer.id, contact=contact.id, agent=offer.agent)]


def _other(event: ev.Event, offer: Offer) -> bool:
    return isinstance(event, ev.OfferWithdrawn) and event.offer != offer.id


def reject_offer(ctx: Context, command: cmd.RejectOffer) -> list[ev.Event]:
    """The agent declines; the contact keeps its age and place."""
    offer = _own_open_offer(ctx, command.offer)
    if offer.outcome:
        raise Refused("wrong_state", "the offer has been accepted already")
    events: list[ev.Event] = [
        ev.OfferDeclined(
            offer=offer.id,
            contact=offer.contact,
            agent=offer.agent,
            reason=command.reason,
            retry_at=_retry_at(ctx, offer, command.retry_after or 0),
        )
    ]
    pause = ctx.workspace.agents[offer.agent].reject_pause
    if pause:
        events.append(ev.AgentPaused(agent=offer.agent, until=ctx.now + pause))
    return events


def offer_due(ctx: Context, offer: Offer) -> list[ev.Event]:
    """Nobody answered in time. Counts as a decline, and for an agent who keeps missing offers changes the presence:
    everywhere, or towards this queue."""
    agent = ctx.workspace.agents[offer.agent]
    queue = ctx.workspace.policy.queues[ctx.workspace.contacts[offer.contact].queue]
    rule = queue.on_miss
    here = rule is not None and rule.scope == "queue"
    missed = (agent.missed_in.get(queue.name, 0) if here else agent.missed) + 1
    events: list[ev.Event] = [
        ev.OfferExpired(
            offer=offer.id,
            contact=offer.contact,
            agent=offer.agent,
            missed=missed,
            retry_at=_retry_at(ctx, offer, 0),
        )
    ]
    contact = ctx.workspace.contacts[offer.contact]
    asked = is_asked_in(presence_towards(agent, queue.name), agent.id, queue, contact)
    if rule is not None and missed >= rule.after_misses and asked:
        events.append(
            ev.AgentPresenceChanged(
                agent=agent.id,
                presence=rule.set_presence,
                cause="missed_offers",
                queue=queue.name if here else None,
            )
        )
        others = withdraw_unaccepted(ctx, agent, rule.set_presence, {}, queue=queue.name if here else None)
        events += [event for event in others if _other(event, offer)]
    return events


def _retry_at(ctx: Context, offer: Offer, asked: int) -> int | None:
    queue = ctx.workspace.policy.queues[ctx.workspace.contacts[offer.contact].queue]
    delay = max(queue.retry_delay, asked)
    return ctx.now + delay if delay else None


def complete_contact(ctx: Context, command: cmd.CompleteContact) -> list[ev.Event]:
    """The interaction is over; wrap-up is a state of the agent."""
    contact, agent = ctx.held_contact(command.contact)
    queue = ctx.workspace.policy.queues[contact.queue]
    wrap_up = agent.wrap_up if agent.wrap_up is not None else queue.wrap_up
    here = queue.wrap_up_scope == "queue"
    slot = queue.wrap_up_holds == "capacity"
    _, towards_queue = agent.queue_wrap_up.get(queue.name, ("", 0))
    runs_until = 0 if slot else (towards_queue if here else agent.wrap_up_until) or 0
    return [
        ev.ContactCompleted(
            contact=contact.id,
            agent=agent.id,
            wrap_up_until=max(ctx.now + wrap_up, runs_until) if wrap_up else None,
            wrap_up_code=command.wrap_up_code,
            note_ref=command.note_ref,
            wrap_up_queue=queue.name if here and wrap_up else None,
            wrap_up_slot=bool(slot and wrap_up),
        )
    ]


def requeue_contact(ctx: Context, command: cmd.RequeueContact) -> list[ev.Event]:
    """Back to the queue with the original age. An agent who gives a contact back is not its first choice again."""
    contact, agent = ctx.held_contact(command.contact)
    reason = "agent" if ctx.actor.role is Role.AGENT else "supervisor"
    return [ev.ContactRequeued(contact=contact.id, agent=agent.id, reason=reason)]


def cancel_contact(ctx: Context, command: cmd.CancelContact) -> list[ev.Event]:
    """An open contact ends without an answer; an agent may end only what they hold."""
    contact = ctx.contact(command.contact)
    if ctx.actor.role is Role.AGENT and contact.agent != ctx.actor.id:
        raise Refused("not_yours", "the contact is not assigned to you")
    if not contact.state.is_open:
        raise Refused("wrong_state", f"the contact is {contact.state.value} already")
    withdrawn = withdraw_offers(contact, ctx.workspace, "cancelled")
    return [*withdrawn, ev.ContactCancelled(contact=contact.id, reason=command.reason)]


def abandon_contact(ctx: Context, command: cmd.AbandonContact) -> list[ev.Event]:
    """The customer left before an agent came."""
    contact = ctx.contact(command.contact)
    if contact.state not in (ContactState.WAITING, ContactState.OFFERED, ContactState.SCHEDULED):
        raise Refused("wrong_state", f"the contact is {contact.state.value}; only one that waits can be abandoned")
    return _abandon(ctx, contact.id)


def leave_thread(ctx: Context, command: cmd.LeaveThread) -> list[ev.Event]:
    """A chat customer stayed away: what still waits on the thread is abandoned; an agent ends what is assigned."""
    thread = ctx.workspace.threads.get(command.thread)
    for contact_id in thread.contacts if thread else ():
        contact = ctx.workspace.contacts[contact_id]
        if contact.state in (ContactState.WAITING, ContactState.OFFERED) and contact.thread == command.thread:
            return _abandon(ctx, contact.id)
    return [ev.CommandNoted(reason="nothing_waits")]


def _abandon(ctx: Context, contact_id: ContactId) -> list[ev.Event]:
    contact = ctx.workspace.contacts[contact_id]
    waited = max(0, ctx.now - contact.age_from)
    withdrawn = withdraw_offers(contact, ctx.workspace, "abandoned")
    return [*withdrawn, ev.ContactAbandoned(contact=contact.id, waited=waited)]
