"""Transfers to another channel: the agent keeps the contact and goes on where the customer can be reached."""

from __future__ import annotations

from typing import Final

from services.router.engine.context import Context, Refused
from services.router.engine.fallback import redirected, why_unreachable
from services.router.engine.records import Agent, Contact
from shared.contracts import events as ev
from shared.vocabulary import ChannelHealth, channel_name

RULE: Final = "transfer"


def go_on_by(ctx: Context, contact: Contact, holder: Agent, kind: str, account: str, reason: str) -> list[ev.Event]:
    """A hop like one of a fallback's, but by hand: channels that the contact was moved from before are open to it. The
    customer must have a verified address with consent there, and the holder room for a contact of that kind."""
    name = channel_name(kind, account)
    channel = ctx.workspace.channels.get(name)
    if channel is None:
        raise Refused("unknown_channel", f"there is no channel {name!r}", "channel")
    if name == contact.channel_name:
        raise Refused("invalid", f"the contact is on {name} already", "channel")
    if channel.state is ChannelHealth.DOWN:
        raise Refused("channel_down", f"{name} is down", "channel")
    unreachable = why_unreachable(contact, kind)
    if unreachable is not None:
        raise Refused("unreachable", f"the customer must not be written to by {kind}: {unreachable}", "channel")
    if not ctx.index.rooms.takes_by(holder, contact, kind):
        raise Refused("no_room", f"{holder.id} has no room for a contact by {kind}, or does not handle it", "channel")
    return [redirected(contact, kind, account, rule=RULE, evidence=reason)]
