"""Events of outbound messages: one attempt at a time, each step once, nothing on a channel that is down or after the
end."""

from __future__ import annotations

from shared.contracts import events as ev
from shared.vocabulary import Delivery
from tests.simulation.ledger.books import AttemptBook, Booking, Instant, OutboundBook, WorkspaceBook
from tests.simulation.ledger.violation import require

LOST = ("failed", "rejected")


def _pending(ws: WorkspaceBook, outbound_id: str) -> OutboundBook:
    outbound = ws.outbounds.get(outbound_id)
    require(outbound is not None, "9", f"nobody knows outbound message {outbound_id}")
    assert outbound is not None
    require(outbound.ended_at is None, "9", f"{outbound_id} goes on after it {outbound.state}: {outbound.reason}")
    return outbound


def created(ws: WorkspaceBook, event: ev.OutboundCreated, now: Instant) -> None:
    require(event.outbound not in ws.outbounds, "9", f"outbound message {event.outbound} is created twice")
    sent = [each.id for each in ws.outbounds.values() if each.source_key == event.source_key]
    require(not sent, "1", f"{event.source_key} is sent as {sent} and as {event.outbound}")
    require(event.deadline > now.at, "time", f"{event.outbound} is created after its deadline")
    require(event.contact is None or event.contact in ws.contacts, "1", f"{event.outbound} is to {event.contact}")
    ws.outbounds[event.outbound] = OutboundBook(
        event.outbound, event.source_key, event.route, event.deadline, event.contact
    )


def attempted(ws: WorkspaceBook, event: ev.OutboundAttempted, now: Instant) -> None:
    outbound = _pending(ws, event.outbound)
    _check_turn(outbound, event.step, event.channel, event.account)
    require(now.at < outbound.deadline, "time", f"{outbound.id} is tried after its deadline")
    require(event.message not in ws.attempts, "9", f"attempt {event.message} is made twice")
    way = way_of(ws, outbound, event.step)
    require(way == (event.address, ""), "6", f"{outbound.id} goes to {event.address} by {event.channel}, not {way}")
    outbound.attempts.append(AttemptBook(event.message, event.step))
    outbound.steps = event.step + 1
    outbound.wait(now.at)
    ws.attempts[event.message] = outbound.id
    if event.contact is not None:
        ws.threads.setdefault(event.thread, set()).add(event.contact)
        # In the contact's transcript it outlives the outbound message.
        ws.replies[event.message] = event.contact


def skipped(ws: WorkspaceBook, event: ev.OutboundSkipped, now: Instant) -> None:
    outbound = _pending(ws, event.outbound)
    _check_turn(outbound, event.step, event.channel, event.account)
    _, why = way_of(ws, outbound, event.step)
    require(event.reason == why, "6", f"{outbound.id} passes over step {event.step}: {event.reason}, not {why!r}")
    outbound.steps = event.step + 1


def _check_turn(outbound: OutboundBook, step: int, channel: str, account: str) -> None:
    """One attempt at a time, and the steps in their order, none twice."""
    require(outbound.under_way is None, "9", f"{outbound.id} goes on to step {step} beside {outbound.under_way}")
    require(step == outbound.steps, "9", f"{outbound.id} goes on to step {step}, its next one is {outbound.steps}")
    there = (outbound.route[step].channel, outbound.route[step].account)
    require((channel, account) == there, "9", f"{outbound.id} goes to {channel}:{account}, its route says {there}")


def way_of(ws: WorkspaceBook, outbound: OutboundBook, number: int) -> tuple[str | None, str]:
    """The address that a step goes to, or why it cannot be tried (then the address is not said)."""
    step = outbound.route[number]
    name = f"{step.channel}:{step.account}"
    if name not in ws.channels:
        return None, "unknown_channel"
    contact = ws.contacts[outbound.contact] if outbound.contact is not None else None
    address: str | None = step.address
    if address is None and contact is not None and contact.channel_name == name and contact.has_sender:
        address = contact.sender
    if address is None:
        reach = contact.reach.get(step.channel) if contact is not None else None
        if reach is None:
            return None, "no_address"
        if not reach.verified or not reach.consent:
            return None, "no_consent" if reach.verified else "not_verified"
        address = reach.key
    return (None, "channel_down") if ws.is_down(name) else (address, "")


def advanced(ws: WorkspaceBook, event: ev.OutboundAdvanced, now: Instant) -> None:
    outbound = _pending(ws, event.outbound)
    attempt = outbound.under_way
    require(attempt is not None and attempt.id == event.message, "9", f"{event.message} is given up, not {attempt}")
    assert attempt is not None
    right = {
        "failed": attempt.status == "failed",
        "rejected": attempt.status == "rejected",
        "channel_down": ws.cannot_deliver(outbound.channel_of(attempt)),
        "no_status": outbound.due is not None and outbound.due <= now.at,
    }
    require(right[event.reason], "time", f"{attempt.id} is given up: {event.reason}, it is {attempt.status}")
    attempt.given_up = event.reason
    outbound.due = None


def reported(ws: WorkspaceBook, event: ev.DeliveryReported, now: Instant) -> None:
    """How far an attempt got; a channel that has accepted it has its whole time anew."""
    assert event.outbound is not None
    require(ws.attempts.get(event.message) == event.outbound, "9", f"{event.message} is no attempt of {event.outbound}")
    outbound = ws.outbounds[event.outbound]
    attempt = next(each for each in outbound.attempts if each.id == event.message)
    if event.status is Delivery.ACCEPTED and attempt is outbound.under_way:
        outbound.wait(now.at)
    attempt.status = event.status.value


def ended(ws: WorkspaceBook, event: ev.OutboundEnded, now: Instant) -> None:
    outbound = _pending(ws, event.outbound)
    right = {
        "delivered": _arrived(outbound, event.message, "delivered"),
        "read": _arrived(outbound, event.message, "read"),
        "answered": outbound.contact in ws.wrote,
        "exhausted": outbound.steps == len(outbound.route) and outbound.under_way is None,
        "deadline": outbound.deadline <= now.at,
    }
    require(right[event.reason], "9", f"{outbound.id} ends: {event.reason}, but it is {outbound}")
    succeeded = event.reason not in ("exhausted", "deadline")
    require(event.state.value == ("succeeded" if succeeded else "failed"), "9", f"{outbound.id} {event.state}")
    outbound.state = event.state.value
    outbound.reason = event.reason
    outbound.ended_at = now.at
    outbound.due = None


def _arrived(outbound: OutboundBook, message: str | None, status: str) -> bool:
    """Whether this attempt got as far as its step asks for."""
    attempt = next((each for each in outbound.attempts if each.id == message), None)
    return attempt is not None and attempt.status == status and is_enough(outbound, attempt)


def is_enough(outbound: OutboundBook, attempt: AttemptBook) -> bool:
    return attempt.status in ("read", outbound.route[attempt.step].until.value)


def forgotten(ws: WorkspaceBook, event: ev.OutboundForgotten, now: Instant) -> None:
    outbound = ws.outbounds.pop(event.outbound)
    require(outbound.ended_at is not None, "9", f"{outbound.id} is forgotten before its end")
    keep = ws.policy["keep_ended_s"] * 1000
    require((outbound.ended_at or 0) + keep <= now.at, "time", f"{outbound.id} is forgotten too early")
    ws.attempts = {message: owner for message, owner in ws.attempts.items() if owner != outbound.id}


def decided(ws: WorkspaceBook) -> None:
    """At the end of a decision: what goes on waits for an attempt, and what had its effect has ended."""
    wrote, ws.wrote = ws.wrote, {}
    for outbound in ws.outbounds.values():
        if outbound.ended_at is not None:
            continue
        require(outbound.under_way is not None, "9", f"{outbound.id} waits for nothing")
        answered = outbound.contact is not None and wrote.get(outbound.contact, False)
        require(not answered, "9", f"{outbound.id} goes on though its customer wrote")
        arrived = [attempt.id for attempt in outbound.attempts if is_enough(outbound, attempt)]
        require(not arrived, "9", f"{outbound.id} goes on though {arrived} arrived")
        lost = outbound.under_way is not None and outbound.under_way.status in LOST
        require(not lost, "9", f"{outbound.id} waits for an attempt that failed")


BOOK: Booking = {
    ev.OutboundCreated: created,
    ev.OutboundAttempted: attempted,
    ev.OutboundSkipped: skipped,
    ev.OutboundAdvanced: advanced,
    ev.OutboundEnded: ended,
    ev.OutboundForgotten: forgotten,
}
