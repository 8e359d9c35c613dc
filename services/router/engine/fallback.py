"""A channel is down: where its contacts go, and that none goes in circles."""

from __future__ import annotations

from services.router.engine.context import Context, withdraw_offers
from services.router.engine.records import Contact
from shared.contracts import events as ev
from shared.vocabulary import ChannelHealth, ThreadKey, channel_name

RULE = "channel_fallback"


def redirect_due(ctx: Context, contact: Contact) -> list[ev.Event]:
    """When a channel is down, its waiting contacts go on by the first healthy channel of its fallbacks that the
    customer can be reached on, with their age and place; else they stay and are announced."""
    events = withdraw_offers(contact, ctx.workspace, "channel_down")
    step, refused = next_channel(ctx, contact)
    channel = ctx.workspace.channels[contact.channel_name]
    if step is None:
        return [*events, ev.RedirectRefused(contact=contact.id, rule=RULE, refused=refused)]
    return [*events, redirected(contact, *step, rule=RULE, evidence=channel.evidence, refused=refused)]


def redirected(
    contact: Contact, kind: str, account: str, *, rule: str, evidence: str, refused: tuple[tuple[str, str], ...] = ()
) -> ev.ContactRedirected:
    """The contact goes on by another channel, where its customer can be reached, in a conversation of its own."""
    return ev.ContactRedirected(
        contact=contact.id,
        from_channel=contact.channel,
        from_account=contact.account,
        channel=kind,
        account=account,
        thread=ThreadKey(f"r{contact.id}.{len(contact.redirects)}"),
        address=contact.reach[kind].key,
        rule=rule,
        evidence=evidence,
        refused=refused,
    )


def next_channel(ctx: Context, contact: Contact) -> tuple[tuple[str, str] | None, tuple[tuple[str, str], ...]]:
    """The first usable step of the channel's fallbacks, and why those before it are not."""
    policy = ctx.workspace.policy.channels.get(contact.channel_name)
    visited = {hop.from_channel for hop in contact.redirects}
    refused: list[tuple[str, str]] = []
    for kind, account in policy.fallback if policy else ():
        name = channel_name(kind, account)
        reason = _why_not(ctx, contact, kind, name, visited)
        if reason is None:
            return (kind, account), tuple(refused)
        refused.append((name, reason))
    return None, tuple(refused)


def _why_not(ctx: Context, contact: Contact, kind: str, name: str, visited: set[str]) -> str | None:
    if name in visited:
        return "visited"
    if ctx.workspace.channels[name].state is ChannelHealth.DOWN:
        return "channel_down"
    return why_unreachable(contact, kind)


def why_unreachable(contact: Contact, kind: str) -> str | None:
    """Why the customer must not be written to on another kind of channel: only a verified address with consent will
    do. None if they may."""
    reach = contact.reach.get(kind)
    if reach is None:
        return "no_address"
    if not reach.verified:
        return "not_verified"
    if not reach.consent:
        return "no_consent"
    return None
