"""Making events about consults true."""

from __future__ import annotations

from services.router.engine.state import Workspace
from services.router.engine.truth import Evolve
from services.router.engine.world import World
from shared.contracts import events as ev
from shared.vocabulary import ContactState


def _consult_started(world: World, ws: Workspace, event: ev.ConsultStarted, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    assert contact.state is ContactState.ASSIGNED, f"{event.contact} is {contact.state}, nobody can be asked about it"
    assert event.agent not in contact.consulted, f"{event.agent} is consulted about {event.contact} already"
    agent = world.change_agent(ws, event.agent)
    contact.consulted = (*contact.consulted, event.agent)
    if event.note_ref is not None:
        contact.consult_notes = {**contact.consult_notes, event.agent: event.note_ref}
    agent.consulting = (*agent.consulting, event.contact)


def _consult_ended(world: World, ws: Workspace, event: ev.ConsultEnded, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    assert event.agent in contact.consulted, f"{event.agent} is not consulted about {event.contact}"
    agent = world.change_agent(ws, event.agent)
    contact.consulted = tuple(each for each in contact.consulted if each != event.agent)
    if event.agent in contact.consult_notes:
        contact.consult_notes = {of: ref for of, ref in contact.consult_notes.items() if of != event.agent}
    agent.consulting = tuple(each for each in agent.consulting if each != event.contact)


EVOLVE: dict[type, Evolve] = {
    ev.ConsultStarted: _consult_started,
    ev.ConsultEnded: _consult_ended,
}
"""By event: what makes it true."""
