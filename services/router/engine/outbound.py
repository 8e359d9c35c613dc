"""Outbound messages: a customer is to be reached by the first way of a route that works.

One attempt at a time. A step that cannot be tried is passed over, an attempt that comes to nothing is followed by the
next step, and nobody goes back to an earlier one. Adapters deliver attempts exactly as they deliver replies.
"""

from __future__ import annotations

from collections.abc import Iterable

from services.router.engine.context import Context, Refused
from services.router.engine.fallback import why_unreachable
from services.router.engine.outbound_records import Attempt, Outbound, is_met, outbound_of, source_of
from services.router.engine.outbound_timers import down_since
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import (
    AddressKey,
    ChannelHealth,
    ContactId,
    Delivery,
    MessageId,
    OutboundId,
    OutboundState,
    ThreadKey,
    channel_name,
)

LONGEST = 7 * 86_400_000
"""Where no deadline is given: nothing waits for ever. Source keys are remembered for longer (ms)."""
MOST_STEPS = 16
"""One decision may pass over a whole route, and an entry of the journal has to stay small."""
_PROGRESS = {
    Delivery.QUEUED.value: 0,
    Delivery.ACCEPTED.value: 1,
    Delivery.FAILED.value: 2,
    Delivery.REJECTED.value: 2,
    Delivery.DELIVERED.value: 3,
    Delivery.READ.value: 4,
}
_LOST = (Delivery.FAILED, Delivery.REJECTED)


def send_outbound(ctx: Context, command: cmd.SendOutbound) -> list[ev.Event]:
    """A message sets out: the first step that can be tried is tried now. The same source key is the same message."""
    known = ctx.world.state.contact_of_source(ctx.workspace.name, source_of(command.source_key))
    if known is not None:
        return [ev.CommandNoted(reason="duplicate", subject=known)]
    _refuse_faults(ctx, command)
    created = ev.OutboundCreated(
        outbound=OutboundId(ctx.new_id()),
        source_key=command.source_key,
        content_ref=command.content_ref,
        route=command.route,
        deadline=ctx.now + (command.deadline if command.deadline is not None else LONGEST),
        contact=command.contact,
    )
    return [created, *_go_on(ctx, outbound_of(created, ctx.now), 0)]


def _refuse_faults(ctx: Context, command: cmd.SendOutbound) -> None:
    if command.contact is not None and command.contact not in ctx.workspace.contacts:
        raise Refused("unknown_contact", f"there is no contact {command.contact!r}", "contact_id")
    if not 0 < len(command.route) <= MOST_STEPS:
        raise Refused("invalid_route", f"a route has from 1 to {MOST_STEPS} steps", "route")
    if command.deadline is not None and not 0 < command.deadline <= LONGEST:
        raise Refused("invalid_route", f"a deadline lies from 1 to {LONGEST // 1000} s ahead", "deadline_s")
    names: set[str] = set()
    for number, step in enumerate(command.route):
        name = channel_name(step.channel, step.account)
        if name not in ctx.workspace.channels:
            raise Refused("unknown_channel", f"there is no channel {name!r}", f"route.{number}.channel")
        if name in names:
            raise Refused("invalid_route", f"channel {name!r} is in the route already", f"route.{number}.channel")
        names.add(name)
        if step.until not in (Delivery.DELIVERED, Delivery.READ):
            raise Refused("invalid_route", "wait until delivered or read", f"route.{number}.until")
        if step.within is not None and step.within < 0:
            raise Refused("invalid_route", "no time before the attempt", f"route.{number}.within_s")


def _go_on(ctx: Context, outbound: Outbound, at: int) -> list[ev.Event]:
    """The first step from `at` on that can be tried, and why those before it cannot; behind the last one it is over."""
    events: list[ev.Event] = []
    for number, step in enumerate(outbound.route[at:], start=at):
        way = _way(ctx, outbound, number)
        if not isinstance(way, str):
            address, thread = way
            return [*events, _attempted(ctx, outbound, number, address, thread)]
        events.append(
            ev.OutboundSkipped(
                outbound=outbound.id,
                step=number,
                channel=step.channel,
                account=step.account,
                reason=way,
                contact=outbound.contact,
            )
        )
    return [*events, _ended(outbound, OutboundState.FAILED, "exhausted")]


def _way(ctx: Context, outbound: Outbound, number: int) -> tuple[AddressKey, ThreadKey] | str:
    """Address and conversation of a step, or why it cannot be tried. Where the contact is now, it is answered in its
    own conversation; anywhere else a conversation begins."""
    step = outbound.route[number]
    channel = ctx.workspace.channels.get(channel_name(step.channel, step.account))
    if channel is None:
        return "unknown_channel"
    contact = ctx.workspace.contacts[outbound.contact] if outbound.contact is not None else None
    here = contact if contact is not None and contact.channel_name == channel.name else None
    new_thread = ThreadKey(f"o{outbound.id}.{number}")
    # Work that was made for nobody in particular has a sender that stands for no address.
    if here is not None and step.address in (None, here.sender) and here.sender != f"x{here.id}":
        way = here.sender, here.thread
    elif step.address is not None:
        way = step.address, new_thread
    elif contact is None:
        return "no_address"
    else:
        reason = why_unreachable(contact, step.channel)
        if reason is not None:
            return reason
        way = contact.reach[step.channel].key, new_thread
    return "channel_down" if channel.state is ChannelHealth.DOWN else way


def _attempted(
    ctx: Context, outbound: Outbound, number: int, address: AddressKey, thread: ThreadKey
) -> ev.OutboundAttempted:
    step = outbound.route[number]
    return ev.OutboundAttempted(
        outbound=outbound.id,
        message=MessageId(ctx.new_id()),
        step=number,
        channel=step.channel,
        account=step.account,
        thread=thread,
        address=address,
        content_ref=outbound.content_ref,
        contact=outbound.contact,
    )


def _ended(outbound: Outbound, state: OutboundState, reason: str, attempt: Attempt | None = None) -> ev.OutboundEnded:
    return ev.OutboundEnded(
        outbound=outbound.id,
        state=state,
        reason=reason,
        channel=attempt.channel if attempt else None,
        message=attempt.id if attempt else None,
        contact=outbound.contact,
    )


def _advance(ctx: Context, outbound: Outbound, attempt: Attempt, reason: str) -> list[ev.Event]:
    """The attempt under way is given up, and the next step has its turn."""
    assert attempt.id is not None, "an attempt that failed at once is never under way"
    given_up = ev.OutboundAdvanced(
        outbound=outbound.id,
        message=attempt.id,
        step=attempt.step,
        channel=attempt.channel,
        account=attempt.account,
        reason=reason,
        contact=outbound.contact,
    )
    return [given_up, *_go_on(ctx, outbound, attempt.step + 1)]


def report_delivery(ctx: Context, command: cmd.ReportDelivery) -> list[ev.Event]:
    """How far a reply or an attempt got; a report that tells nothing new is noted and no more."""
    outbound_id = ctx.workspace.attempts.get(command.message)
    if outbound_id is not None:
        outbound = ctx.workspace.outbounds[outbound_id]
        return _report_attempt(ctx, outbound, outbound.attempt(command.message), command)
    known = ctx.workspace.messages.get(command.message)
    if known is None:
        raise Refused("unknown_message", f"there is no reply or attempt {command.message!r}", "message")
    contact_id, message = known
    if _PROGRESS[command.status.value] <= _PROGRESS[message.status]:
        return [ev.CommandNoted(reason="nothing_new", subject=message.id)]
    return [ev.DeliveryReported(message=message.id, contact=contact_id, status=command.status, detail=command.detail)]


def _report_attempt(ctx: Context, outbound: Outbound, attempt: Attempt, command: cmd.ReportDelivery) -> list[ev.Event]:
    """What a report means for the whole: as much as was asked for ends it, also from an attempt that was given up, so
    that the customer gets it no third time; what was sent meanwhile is not called back."""
    if _PROGRESS[command.status.value] <= _PROGRESS[attempt.status]:
        return [ev.CommandNoted(reason="nothing_new", subject=command.message)]
    met = is_met(outbound.route[attempt.step].until, command.status)
    contact = outbound.contact if outbound.contact in ctx.workspace.contacts else None
    reported = ev.DeliveryReported(
        message=command.message,
        contact=contact,
        status=command.status,
        detail=command.detail,
        outbound=outbound.id,
        duplicate_delivered=met and not attempt.duplicate_delivered and _was_sent_again(outbound, attempt),
    )
    if outbound.state is not OutboundState.PENDING:
        return [reported]
    if met:
        return [reported, _ended(outbound, OutboundState.SUCCEEDED, command.status.value, attempt)]
    if command.status in _LOST and attempt is outbound.under_way:
        return [reported, *_advance(ctx, outbound, attempt, command.status.value)]
    return [reported]


def _was_sent_again(outbound: Outbound, attempt: Attempt) -> bool:
    return any(later.id is not None and later.step > attempt.step for later in outbound.attempts)


def answered(ctx: Context, contacts: Iterable[ContactId]) -> list[ev.Event]:
    """The customer of these contacts wrote: whatever is under way to them has had its effect."""
    return [
        _ended(ctx.workspace.outbounds[outbound], OutboundState.SUCCEEDED, "answered")
        for contact in contacts
        for outbound in ctx.workspace.contacts[contact].outbounds
    ]


def outbound_due(ctx: Context, outbound: Outbound) -> list[ev.Event]:
    """The deadline, a wait that is over, a channel that went down; or it ended long enough ago."""
    if outbound.ended_at is not None:
        contact = outbound.contact if outbound.contact in ctx.workspace.contacts else None
        return [ev.OutboundForgotten(outbound=outbound.id, contact=contact)]
    attempt = outbound.under_way
    if attempt is None or ctx.now >= outbound.deadline:
        return [_ended(outbound, OutboundState.FAILED, "deadline")]
    is_down = down_since(ctx.workspace, attempt) is not None
    return _advance(ctx, outbound, attempt, "channel_down" if is_down else "no_status")
