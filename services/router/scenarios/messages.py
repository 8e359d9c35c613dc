"""Outbound messages of a scenario: its words as commands, and what became of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from services.router.engine.outbound_records import Outbound
from services.router.scenarios import timeline
from shared.contracts import commands as cmd
from shared.vocabulary import AddressKey, ContactId, Delivery


def sending(action: timeline.Send, contact: ContactId | None, account_of: Callable[[str], str]) -> cmd.SendOutbound:
    """To a contact by the addresses that are known of it; to nobody in particular by addresses that are there.
    `account_of`: our account for a kind of channel."""
    address = AddressKey(f"a-{action.id}") if contact is None else None
    return cmd.SendOutbound(
        source_key=action.id,
        content_ref=f"o:{action.id}",
        contact=contact,
        route=tuple(
            cmd.DeliveryStep(
                channel=step.channel,
                account=account_of(step.channel),
                address=address,
                until=Delivery(step.until),
                within=round(step.within_s * 1000) if step.within_s is not None else None,
            )
            for step in action.route
        ),
        deadline=round(action.deadline_s * 1000) if action.deadline_s is not None else None,
    )


def report(action: timeline.Deliver, outbound: Outbound) -> cmd.ReportDelivery | None:
    """About the attempt on this channel; None if nothing was sent there."""
    for attempt in outbound.attempts:
        if attempt.channel == action.channel and attempt.id is not None:
            return cmd.ReportDelivery(message=attempt.id, status=Delivery(action.status))
    return None


def message_facts(outbound: Outbound) -> dict[str, Any]:
    """What `expect` may ask about."""
    return {"state": outbound.state.value, "attempts": [attempt.channel for attempt in outbound.attempts]}


def trail(outbound: Outbound) -> Iterator[str]:
    """What became of each step so far, for whoever expected something else."""
    for step, reason in outbound.skipped:
        yield f"{outbound.route[step].channel}: passed over, {reason}"
    for attempt in outbound.attempts:
        yield f"{attempt.channel}: {attempt.status}" + (f", given up: {attempt.given_up}" if attempt.given_up else "")
    if outbound.reason:
        yield f"ended: {outbound.reason}"
