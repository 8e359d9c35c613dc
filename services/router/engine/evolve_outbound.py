"""Making events about outbound messages true, and reports about whatever goes out to customers."""

from __future__ import annotations

from services.router.engine.evolve_contacts import join_thread, report_line, write_line
from services.router.engine.outbound_records import Attempt, Outbound, outbound_of, source_of
from services.router.engine.state import Workspace
from services.router.engine.truth import Evolve, remember_source
from services.router.engine.world import World
from shared.contracts import events as ev
from shared.vocabulary import Delivery, MessageId, OutboundId

DOWN = "channel_down"


def _change(world: World, ws: Workspace, outbound_id: OutboundId) -> Outbound:
    """The outbound message, remembered as it was and noted as touched; and its attempt under way, which an adapter may
    no longer have to send."""
    outbound = ws.outbounds[outbound_id]
    world.state.undo.save(outbound)
    world.touched.append(("outbound", ws.name, outbound_id))
    if outbound.under_way is not None and outbound.under_way.id is not None:
        world.touched.append(("message", ws.name, outbound.under_way.id))
    return outbound


def _outbound_created(world: World, ws: Workspace, event: ev.OutboundCreated, at: int) -> None:
    world.state.undo.put(ws.outbounds, event.outbound, outbound_of(event, at))
    world.touched.append(("outbound", ws.name, event.outbound))
    if event.contact is not None:
        contact = world.change_contact(ws, event.contact)
        contact.outbounds = (*contact.outbounds, event.outbound)
    remember_source(world, ws, source_of(event.source_key), event.outbound)


def _outbound_attempted(world: World, ws: Workspace, event: ev.OutboundAttempted, at: int) -> None:
    outbound = _change(world, ws, event.outbound)
    attempt = Attempt(
        id=event.message,
        step=event.step,
        channel=event.channel,
        account=event.account,
        at=at,
        status=Delivery.QUEUED.value,
        status_at=at,
        thread=event.thread,
        address=event.address,
    )
    world.state.undo.append(outbound.attempts, attempt)
    world.state.undo.put(ws.attempts, event.message, event.outbound)
    world.touched.append(("message", ws.name, event.message))
    _wait(outbound, attempt, at)
    if event.contact is not None:
        join_thread(world, ws, event.thread, event.contact)
        write_line(world, ws, event.contact, event, "", at)


def _wait(outbound: Outbound, attempt: Attempt, at: int) -> None:
    within = outbound.route[attempt.step].within
    outbound.due = at + within if within is not None else None


def _outbound_skipped(world: World, ws: Workspace, event: ev.OutboundSkipped, at: int) -> None:
    outbound = _change(world, ws, event.outbound)
    if event.reason != DOWN:
        outbound.skipped = (*outbound.skipped, (event.step, event.reason))
        return
    failed = Attempt(
        id=None,
        step=event.step,
        channel=event.channel,
        account=event.account,
        at=at,
        status=Delivery.FAILED.value,
        status_at=at,
        given_up=DOWN,
    )
    world.state.undo.append(outbound.attempts, failed)


def _outbound_advanced(world: World, ws: Workspace, event: ev.OutboundAdvanced, at: int) -> None:
    outbound = _change(world, ws, event.outbound)
    outbound.due = None
    attempt = outbound.attempt(event.message)
    world.state.undo.save(attempt)
    attempt.given_up = event.reason


def _outbound_ended(world: World, ws: Workspace, event: ev.OutboundEnded, at: int) -> None:
    outbound = _change(world, ws, event.outbound)
    outbound.state = event.state
    outbound.reason = event.reason
    outbound.ended_at = at
    outbound.due = None
    if outbound.contact is not None:
        contact = world.change_contact(ws, outbound.contact)
        contact.outbounds = tuple(each for each in contact.outbounds if each != event.outbound)


def _outbound_forgotten(world: World, ws: Workspace, event: ev.OutboundForgotten, at: int) -> None:
    outbound = ws.outbounds[event.outbound]
    for attempt in outbound.attempts:
        if attempt.id is not None:
            world.state.undo.delete(ws.attempts, attempt.id)
            world.touched.append(("message", ws.name, attempt.id))
    world.state.undo.delete(ws.outbounds, event.outbound)
    world.touched.append(("outbound", ws.name, event.outbound))


def _delivery_reported(world: World, ws: Workspace, event: ev.DeliveryReported, at: int) -> None:
    if event.message in ws.messages:
        report_line(world, ws, event)
    if event.outbound is not None:
        outbound = _change(world, ws, event.outbound)
        _report_attempt(world, ws, outbound, event.message, event, at)


def _report_attempt(
    world: World, ws: Workspace, outbound: Outbound, message: MessageId, event: ev.DeliveryReported, at: int
) -> None:
    attempt = outbound.attempt(message)
    if event.status is Delivery.ACCEPTED and attempt is outbound.under_way:
        # Only now does the channel have it: the wait for what comes of it begins anew.
        _wait(outbound, attempt, at)
    world.state.undo.save(attempt)
    attempt.status = event.status.value
    attempt.status_at = at
    attempt.duplicate_delivered = attempt.duplicate_delivered or event.duplicate_delivered
    world.touched.append(("message", ws.name, message))


def shift_waits(world: World, ws: Workspace, gap: int) -> None:
    """Nobody led for `gap` ms, so nobody read what was reported meanwhile: waits go on where they stood. Deadlines are
    the sender's promise and stay."""
    for outbound in ws.outbounds.values():
        if outbound.due is not None:
            _change(world, ws, outbound.id).due = outbound.due + gap


EVOLVE: dict[type, Evolve] = {
    ev.DeliveryReported: _delivery_reported,
    ev.OutboundCreated: _outbound_created,
    ev.OutboundAttempted: _outbound_attempted,
    ev.OutboundSkipped: _outbound_skipped,
    ev.OutboundAdvanced: _outbound_advanced,
    ev.OutboundEnded: _outbound_ended,
    ev.OutboundForgotten: _outbound_forgotten,
}
"""By event: what makes it true."""
