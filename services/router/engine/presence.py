"""Presence, leases and wrap-up: whether an agent takes work, and what happens to what they hold."""

from __future__ import annotations

from collections.abc import Mapping

from services.router.engine.context import Context, Refused, withdraw_offers
from services.router.engine.records import Agent
from services.router.engine.rooms import is_asked_in
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import AgentId, ContactId, Presence


def set_presence(ctx: Context, command: cmd.SetPresence) -> list[ev.Event]:
    """An agent declares a presence. Leaving availability takes pending offers back (not a decline) and keeps
    assigned work; `next_presence` follows as soon as nothing is held."""
    agent = ctx.own_agent(command.agent)
    for name, presence in (("presence", command.presence), ("next", command.next_presence)):
        if presence is not None and presence not in ctx.workspace.policy.presences:
            raise Refused("unknown_presence", f"there is no presence {presence!r}", name)
    events: list[ev.Event] = []
    cause = "agent" if ctx.actor.id == command.agent else "supervisor"
    if cause == "agent" and not agent.reachable:
        events.append(ev.AgentRegained(agent=agent.id))
    events.append(
        ev.AgentPresenceChanged(
            agent=agent.id,
            presence=command.presence,
            cause=cause,
            next_presence=command.next_presence,
            channels=command.channels,
        )
    )
    events += withdraw_unaccepted(ctx, agent, command.presence, command.channels)
    if agent.presence == Presence.OFFLINE and command.presence != Presence.OFFLINE:
        events += _declines_forgotten(ctx, agent)
    return events


def withdraw_unaccepted(
    ctx: Context, agent: Agent, presence: str, channels: Mapping[str, bool], *, queue: str | None = None
) -> list[ev.Event]:
    """Pending offers whose queue does not accept the agent's new presence, or whose channel they switch off, go back;
    with `queue`, only those of that queue. Not those for which the queue looks at no presence of theirs."""
    ws = ctx.workspace
    events: list[ev.Event] = []
    for offer_id in agent.offers:
        offer = ws.offers[offer_id]
        contact = ws.contacts[offer.contact]
        if queue is not None and contact.queue != queue:
            continue
        accepted = is_asked_in(presence, agent.id, ws.policy.queues[contact.queue], contact)
        if not accepted or not channels.get(contact.channel, True):
            events.append(ev.OfferWithdrawn(offer=offer_id, contact=contact.id, agent=agent.id, reason="presence"))
    return events


def _declines_forgotten(ctx: Context, agent: Agent) -> list[ev.Event]:
    """Who signs in anew is asked again, in queues that want it so."""
    return [ev.DeclineForgotten(contact=contact_id, agent=agent.id) for contact_id in ctx.index.declined_by(agent.id)]


def lose_lease(ctx: Context, command: cmd.LoseLease) -> list[ev.Event]:
    """The desk fell silent: offers go back at once, assigned work waits for the grace."""
    agent = ctx.agent(command.agent)
    if not agent.reachable:
        return [ev.CommandNoted(reason="already_lost", subject=agent.id)]
    lost = ev.AgentLost(agent=agent.id, grace_until=ctx.now + ctx.workspace.policy.grace)
    return [lost, *withdraw_offers(agent, ctx.workspace, "agent_lost")]


def regain_lease(ctx: Context, command: cmd.RegainLease) -> list[ev.Event]:
    """The desk speaks again: the declared presence counts again."""
    agent = ctx.agent(command.agent)
    if agent.reachable:
        return [ev.CommandNoted(reason="already_reachable", subject=agent.id)]
    return [ev.AgentRegained(agent=agent.id)]


def grace_ended(ctx: Context, agent: Agent) -> list[ev.Event]:
    """Nobody came back: what the agent held waits again with its age, but for channels whose policy says keep."""
    workspace = ctx.workspace
    requeued = [
        ev.ContactRequeued(
            contact=contact_id, agent=agent.id, reason="agent_lost", preferred=first_choice(ctx, agent, contact_id)
        )
        for contact_id, kind in agent.held.items()
        if kind not in workspace.policy.keep_on_loss and workspace.contacts[contact_id].agent == agent.id
    ]
    return [ev.AgentGraceEnded(agent=agent.id), *requeued]


def first_choice(ctx: Context, agent: Agent, contact_id: ContactId) -> tuple[AgentId, ...]:
    """Whom a contact waits for whose agent was lost or has no room for it: for them first, as long as its queue lets
    contacts wait for those whom they name. Not where that would be for ever: nobody knows whether they come back."""
    contact = ctx.workspace.contacts[contact_id]
    rule = ctx.workspace.policy.queues[contact.queue].preferred
    if not rule.enabled or rule.hold or not rule.wait_of(contact.channel):
        return ()
    return (agent.id, *(name for name in contact.preferred if name != agent.id))


def ramp_due(ctx: Context, agent: Agent) -> list[ev.Event]:
    """A step of the ramp after signing in is over, or several where the ramp is a new one."""
    assert agent.signed_in_at is not None, f"{agent.id} has not signed in"
    steps = sum(agent.signed_in_at + until <= ctx.now for until, _ in ctx.workspace.policy.ramp)
    return [ev.AgentRamped(agent=agent.id, steps=steps)]


def extend_wrap_up(ctx: Context, command: cmd.ExtendWrapUp) -> list[ev.Event]:
    """More time after a contact: where other work may come beside it, the wrap-up that is over last."""
    agent = ctx.own_agent(command.agent)
    if agent.wrap_up_until is not None:
        return [ev.WrapUpExtended(agent=agent.id, until=agent.wrap_up_until + command.extend)]
    beside = agent.wrap_up_beside
    if beside is None:
        raise Refused("no_wrap_up", "the agent is not in wrap-up")
    return [
        ev.WrapUpExtended(
            agent=agent.id,
            until=beside.until + command.extend,
            slot_of=beside.contact if beside.queue is None else None,
            queue=beside.queue,
        )
    ]


def finish_wrap_up(ctx: Context, command: cmd.FinishWrapUp) -> list[ev.Event]:
    """Done early, with every wrap-up that runs. The code is of the contact that keeps the agent from others, else of
    the one whose wrap-up is over last."""
    agent = ctx.own_agent(command.agent)
    coded = agent.wrap_up_beside if agent.wrap_up_until is None else None
    of_queue = coded.queue if coded is not None else None
    of_slot = coded.contact if coded is not None and coded.queue is None else None
    ended: list[ev.Event] = [
        ev.WrapUpEnded(agent=agent.id, cause="agent", code=command.code if name == of_queue else None, queue=name)
        for name in sorted(agent.queue_wrap_up)
    ]
    ended += [
        ev.WrapUpEnded(
            agent=agent.id, cause="agent", code=command.code if contact == of_slot else None, slot_of=contact
        )
        for contact in sorted(agent.wrap_up_slots)
    ]
    if agent.wrap_up_until is not None:
        ended.append(ev.WrapUpEnded(agent=agent.id, cause="agent", code=command.code))
    if not ended:
        raise Refused("no_wrap_up", "the agent is not in wrap-up")
    return ended


def follow_next_presence(agent: Agent) -> list[ev.Event]:
    """An agent who asked for a next presence gets it as soon as nothing is held and no wrap-up runs."""
    if agent.next_presence is None or agent.held or agent.wrap_up_until is not None:
        return []
    return [ev.AgentPresenceChanged(agent=agent.id, presence=agent.next_presence, cause="next_presence")]
