"""Consults: the holder of a contact asks a colleague, who may read it and hand it over to nobody.

A consult takes no room, needs no membership and keeps nobody from being offered anything. It belongs to the assignment
and ends with it, for all who were asked; for one of them alone when they are gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.router.engine.context import Context, Refused
from services.router.engine.state import Workspace
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import AgentId, ContactId, Presence, Role

MOST_CONSULTED: Final = 5
"""Colleagues at once about one contact."""


def start_consult(ctx: Context, command: cmd.StartConsult) -> list[ev.Event]:
    """Ask a colleague who is there, whatever they hold."""
    contact, holder = ctx.held_contact(command.contact)
    agent = ctx.agent(command.agent)
    if agent.id == holder.id:
        raise Refused("invalid", "the agent holds the contact", "agent")
    if agent.id in contact.consulted:
        return [ev.CommandNoted(reason="unchanged", subject=contact.id)]
    if not agent.reachable or agent.presence == Presence.OFFLINE:
        raise Refused("not_there", f"{agent.id} is not there", "agent")
    if len(contact.consulted) >= MOST_CONSULTED:
        raise Refused("too_many", f"{MOST_CONSULTED} agents are consulted already", "agent")
    return [ev.ConsultStarted(contact=contact.id, agent=agent.id, by=ctx.actor.id, note_ref=command.note_ref)]


def end_consult(ctx: Context, command: cmd.EndConsult) -> list[ev.Event]:
    """The colleague leaves, or whoever holds the contact thanks them."""
    contact = ctx.contact(command.contact)
    leaves = ctx.actor.role is Role.AGENT and ctx.actor.id == command.agent
    if ctx.actor.role is Role.AGENT and not leaves and contact.agent != ctx.actor.id:
        raise Refused("not_yours", "the contact is not assigned to you")
    if command.agent not in contact.consulted:
        return [ev.CommandNoted(reason="unchanged", subject=contact.id)]
    return [ev.ConsultEnded(contact=contact.id, agent=command.agent, reason="left" if leaves else "ended")]


def with_ends(ctx: Context, events: list[ev.Event]) -> list[ev.Event]:
    """A decision with the consults that it ends, each right behind the event that ends it. In one place, so that no way
    of ending an assignment, or of losing an agent, can forget it."""
    if not any(type(event) in _ENDING for event in events):
        return events
    told: list[ev.Event] = []
    for event in events:
        told.append(event)
        told += [ended for ended in _ended_by(ctx.workspace, event) if ended not in told]
    return told


_ENDING: Final = frozenset(
    {
        ev.ContactCompleted,
        ev.ContactCancelled,
        ev.ContactRequeued,
        ev.ContactMoved,
        ev.ContactAssigned,
        ev.AgentPresenceChanged,
        ev.AgentGraceEnded,
    }
)


def _ended_by(workspace: Workspace, event: ev.Event) -> Sequence[ev.ConsultEnded]:
    match event:
        case ev.ContactCompleted() | ev.ContactCancelled() | ev.ContactRequeued():
            return _of_contact(workspace, event.contact, "ended")
        case ev.ContactMoved() | ev.ContactAssigned():
            return _of_contact(workspace, event.contact, "transferred")
        case ev.AgentPresenceChanged(presence=Presence.OFFLINE, queue=None) | ev.AgentGraceEnded():
            return _of_agent(workspace, event.agent)
    return ()


def _of_contact(workspace: Workspace, contact_id: ContactId, reason: str) -> list[ev.ConsultEnded]:
    contact = workspace.contacts.get(contact_id)
    # Who comes in with this decision is not there yet, and nobody can have been asked about them.
    consulted = contact.consulted if contact is not None else ()
    return [ev.ConsultEnded(contact=contact_id, agent=agent, reason=reason) for agent in consulted]


def _of_agent(workspace: Workspace, agent_id: AgentId) -> list[ev.ConsultEnded]:
    agent = workspace.agents[agent_id]
    return [ev.ConsultEnded(contact=contact, agent=agent_id, reason="lost") for contact in agent.consulting]
