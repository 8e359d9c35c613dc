"""What happens next: `decide` for a command, `decide_due` for a timer. Both only read.

A refusal is an answer, not an exception; any other exception is a bug, which the caller turns into a rejection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.router.engine import conversations, fallback, offers, presence, setup
from services.router.engine.context import Context, Refused
from services.router.engine.index import Timer
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import AgentId, ContactId, OfferId

_DECIDE: dict[type, Callable[[Context, Any], list[ev.Event]]] = {
    cmd.CreateKey: setup.create_key,
    cmd.RevokeKey: setup.revoke_key,
    cmd.AdoptPolicy: setup.adopt_policy,
    cmd.PutAgent: setup.put_agent,
    cmd.SetPresence: presence.set_presence,
    cmd.LoseLease: presence.lose_lease,
    cmd.RegainLease: presence.regain_lease,
    cmd.ExtendWrapUp: presence.extend_wrap_up,
    cmd.FinishWrapUp: presence.finish_wrap_up,
    cmd.ReceiveMessage: conversations.receive_message,
    cmd.CreateContact: conversations.create_contact,
    cmd.SendReply: conversations.send_reply,
    cmd.ReportDelivery: conversations.report_delivery,
    cmd.AcceptOffer: offers.accept_offer,
    cmd.RejectOffer: offers.reject_offer,
    cmd.CompleteContact: offers.complete_contact,
    cmd.RequeueContact: offers.requeue_contact,
    cmd.CancelContact: offers.cancel_contact,
    cmd.AbandonContact: offers.abandon_contact,
    cmd.LeaveThread: offers.leave_thread,
    cmd.ReportChannelHealth: fallback.report_channel_health,
}


def decide(ctx: Context, command: cmd.Command) -> list[ev.Event]:
    """The events that a command causes, in order; at least one."""
    try:
        return _DECIDE[type(command)](ctx, command)
    except Refused as refused:
        return [refused.event]


def decide_due(ctx: Context, timer: Timer) -> list[ev.Event]:
    """The events of a timer that is due."""
    _, _, _, kind, id = timer
    workspace = ctx.workspace
    if kind == "wrap_up":
        return [ev.WrapUpEnded(agent=AgentId(id), cause="timer")]
    if kind == "grace":
        return presence.grace_ended(ctx, workspace.agents[AgentId(id)])
    if kind == "offer":
        return offers.offer_due(ctx, workspace.offers[OfferId(id)])
    contact = workspace.contacts[ContactId(id)]
    if kind == "retry":
        return [ev.RetryDue(contact=contact.id)]
    if kind == "scheduled":
        return [ev.ContactQueued(contact=contact.id, queue=contact.queue, reason="due")]
    if kind == "redirect":
        return fallback.redirect_due(ctx, contact)
    if kind == "forget":
        return [ev.ContactForgotten(contact=contact.id)]
    raise AssertionError(f"a timer of unknown kind {kind!r}")
