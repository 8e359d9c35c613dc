"""What happens next: `decide` for a command, `decide_due` for a timer. Both only read.

A refusal is an answer, not an exception; any other exception is a bug, which the caller turns into a rejection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.router.engine import (
    channel_health,
    consult,
    conversations,
    fallback,
    hours,
    offers,
    outbound,
    presence,
    queueing,
    setup,
    supervision,
)
from services.router.engine.context import Context, Refused
from services.router.engine.records import Agent, Contact
from services.router.engine.waiting import Timer
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import AgentId, ContactId, OfferId, OutboundId

_DECIDE: dict[type, Callable[[Context, Any], list[ev.Event]]] = {
    cmd.CreateKey: setup.create_key,
    cmd.RevokeKey: setup.revoke_key,
    cmd.AdoptPolicy: setup.adopt_policy,
    cmd.ExtendHours: hours.extend_hours,
    cmd.PutAgent: setup.put_agent,
    cmd.SetPresence: presence.set_presence,
    cmd.LoseLease: presence.lose_lease,
    cmd.RegainLease: presence.regain_lease,
    cmd.ExtendWrapUp: presence.extend_wrap_up,
    cmd.FinishWrapUp: presence.finish_wrap_up,
    cmd.ReceiveMessage: conversations.receive_message,
    cmd.CreateContact: conversations.create_contact,
    cmd.SendReply: conversations.send_reply,
    cmd.SendOutbound: outbound.send_outbound,
    cmd.ReportDelivery: outbound.report_delivery,
    cmd.AcceptOffer: offers.accept_offer,
    cmd.RejectOffer: offers.reject_offer,
    cmd.CompleteContact: offers.complete_contact,
    cmd.RequeueContact: offers.requeue_contact,
    cmd.AssignContact: supervision.assign_contact,
    cmd.TransferContact: supervision.transfer_contact,
    cmd.StartConsult: consult.start_consult,
    cmd.EndConsult: consult.end_consult,
    cmd.PrioritiseContact: supervision.prioritise_contact,
    cmd.AdjustAge: supervision.adjust_age,
    cmd.SetLimit: supervision.set_limit,
    cmd.FreezeQueue: supervision.freeze_queue,
    cmd.ReopenContact: supervision.reopen_contact,
    cmd.SetContactActive: supervision.set_contact_active,
    cmd.CancelContact: offers.cancel_contact,
    cmd.AbandonContact: offers.abandon_contact,
    cmd.LeaveThread: offers.leave_thread,
    cmd.ReportChannelHealth: channel_health.report_channel_health,
}


def decide(ctx: Context, command: cmd.Command) -> list[ev.Event]:
    """The events that a command causes, in order; at least one."""
    try:
        return consult.with_ends(ctx, _DECIDE[type(command)](ctx, command))
    except Refused as refused:
        return [refused.event]


def decide_due(ctx: Context, timer: Timer) -> list[ev.Event]:
    """The events of a timer that is due."""
    return consult.with_ends(ctx, _decide_due(ctx, timer))


def _decide_due(ctx: Context, timer: Timer) -> list[ev.Event]:
    _, _, _, kind, id = timer
    workspace = ctx.workspace
    if kind in _CONTACT_DUE:
        contact = workspace.contacts[ContactId(id)]
        beside = ctx.index.due_beside(contact) if kind == "exhausted" else None
        if beside is not None and beside[0] <= ctx.now:
            # What is due as well may let somebody else be asked, or nobody at all.
            kind = beside[3]
        return _CONTACT_DUE[kind](ctx, contact)
    if kind in _AGENT_DUE:
        return _AGENT_DUE[kind](ctx, workspace.agents[AgentId(id)])
    if kind == "offer":
        return offers.offer_due(ctx, workspace.offers[OfferId(id)])
    if kind == "reserve":
        return queueing.reserve_due(ctx)
    if kind == "hours":
        return queueing.hours_due(ctx, id)
    if kind == "health":
        return channel_health.health_due(ctx, id)
    if kind == "outbound":
        return outbound.outbound_due(ctx, workspace.outbounds[OutboundId(id)])
    raise AssertionError(f"a timer of unknown kind {kind!r}")


_AGENT_DUE: dict[str, Callable[[Context, Agent], list[ev.Event]]] = {
    "wrap_up": lambda ctx, agent: [ev.WrapUpEnded(agent=agent.id, cause="timer")],
    "queue_wrap_up": queueing.queue_wrap_up_due,
    "slot_wrap_up": queueing.slot_wrap_up_due,
    "pause": lambda ctx, agent: [ev.AgentPauseEnded(agent=agent.id)],
    "grace": presence.grace_ended,
    "rate": queueing.rate_due,
    "ramp": presence.ramp_due,
}

_CONTACT_DUE: dict[str, Callable[[Context, Contact], list[ev.Event]]] = {
    "retry": lambda ctx, contact: [ev.RetryDue(contact=contact.id)],
    "scheduled": queueing.scheduled_due,
    "redirect": fallback.redirect_due,
    "forget": lambda ctx, contact: [ev.ContactForgotten(contact=contact.id)],
    "decline": queueing.decline_due,
    "delay": queueing.delay_due,
    "language": queueing.language_due,
    "preference": queueing.preference_due,
    "step": queueing.step_due,
    "age": queueing.age_due,
    "deadline": queueing.deadline_due,
    "starving": queueing.starving_due,
    "exhausted": queueing.exhausted_due,
    "flow": queueing.flow_due,
    "unstaffed": queueing.unstaffed_due,
    "overflow": queueing.overflow_due,
    "max_wait": queueing.max_wait_due,
}
