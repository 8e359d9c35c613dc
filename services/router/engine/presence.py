"""Presence, leases and wrap-up: whether an agent takes work, and what happens to what they hold."""

from __future__ import annotations

from services.router.engine.context import Context, Refused, withdraw_offers
from services.router.engine.records import Agent
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import Presence


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
    if command.presence != Presence.AVAILABLE:
        events += withdraw_offers(agent, ctx.workspace, "presence")
    elif command.channels:
        offers = ctx.workspace.offers
        events += [
            event
            for event in withdraw_offers(agent, ctx.workspace, "presence")
            if isinstance(event, ev.OfferWithdrawn)
            and not command.channels.get(ctx.workspace.contacts[offers[event.offer].contact].channel, True)
        ]
    return events


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
        ev.ContactRequeued(contact=contact_id, agent=agent.id, reason="agent_lost")
        for contact_id, kind in agent.held.items()
        if kind not in workspace.policy.keep_on_loss and workspace.contacts[contact_id].agent == agent.id
    ]
    return [ev.AgentGraceEnded(agent=agent.id), *requeued]


def extend_wrap_up(ctx: Context, command: cmd.ExtendWrapUp) -> list[ev.Event]:
    """More time after a contact."""
    agent = ctx.own_agent(command.agent)
    if agent.wrap_up_until is None:
        raise Refused("no_wrap_up", "the agent is not in wrap-up")
    return [ev.WrapUpExtended(agent=agent.id, until=agent.wrap_up_until + command.extend)]


def finish_wrap_up(ctx: Context, command: cmd.FinishWrapUp) -> list[ev.Event]:
    """Done early."""
    agent = ctx.own_agent(command.agent)
    if agent.wrap_up_until is None:
        raise Refused("no_wrap_up", "the agent is not in wrap-up")
    return [ev.WrapUpEnded(agent=agent.id, cause="agent", code=command.code)]


def follow_next_presence(agent: Agent) -> list[ev.Event]:
    """An agent who asked for a next presence gets it as soon as nothing is held and no wrap-up runs."""
    if agent.next_presence is None or agent.held or agent.wrap_up_until is not None:
        return []
    return [ev.AgentPresenceChanged(agent=agent.id, presence=agent.next_presence, cause="next_presence")]
