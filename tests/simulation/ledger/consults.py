"""Events of consults: who is asked about whose contact, and that nobody is when the assignment is over."""

from __future__ import annotations

from shared.contracts import events as ev
from tests.simulation.ledger.books import AgentBook, Booking, ContactBook, Instant, WorkspaceBook
from tests.simulation.ledger.violation import require

MOST = 5


def _is_gone(agent: AgentBook) -> bool:
    """Offline, or silent past the grace."""
    return agent.presence == "offline" or (not agent.reachable and agent.grace_until is None)


def started(ws: WorkspaceBook, event: ev.ConsultStarted, now: Instant) -> None:
    contact = ws.contact_in(event.contact, "assigned")
    asks = now.role != "agent" or now.actor == f"agent:{contact.agent}"
    require(asks, "2", f"{now.actor} asks about the contact of {contact.agent}")
    require(now.actor.partition(":")[2] == event.by, "9", f"{event.by} is said to ask, it was {now.actor}")
    require(event.agent in ws.agents, "4", f"{event.agent} is asked about {contact.id}, whom nobody knows")
    agent = ws.agents[event.agent]
    require(agent.id != contact.agent, "2", f"{agent.id} is asked about a contact of their own")
    there = agent.reachable and agent.presence != "offline"
    require(there, "4", f"{agent.id} is asked about {contact.id}, and is not there")
    require(agent.id not in contact.consulted, "2", f"{agent.id} is asked about {contact.id} twice")
    require(len(contact.consulted) < MOST, "3", f"{agent.id} is asked about {contact.id} beside {contact.consulted}")
    assert contact.agent is not None
    contact.consulted[agent.id] = contact.agent
    if event.note_ref is not None:
        contact.consult_notes[agent.id] = event.note_ref
    agent.consulting.append(contact.id)


def ended(ws: WorkspaceBook, event: ev.ConsultEnded, now: Instant) -> None:
    contact = ws.contacts[event.contact]
    require(event.agent in contact.consulted, "2", f"{event.agent} is not asked about {contact.id}")
    why_not = _why_not(ws, contact, event, now)
    require(why_not is None, "2", f"{event.agent} is asked no more about {contact.id} ({event.reason}): {why_not}")
    del contact.consulted[event.agent]
    contact.consult_notes.pop(event.agent, None)
    ws.agents[event.agent].consulting.remove(contact.id)


def _why_not(ws: WorkspaceBook, contact: ContactBook, event: ev.ConsultEnded, now: Instant) -> str | None:
    """What is wrong with the reason; None if it is the true one."""
    goes_on = contact.state == "assigned" and contact.agent == contact.consulted[event.agent]
    if event.reason == "left":
        return None if goes_on and now.actor == f"agent:{event.agent}" else f"it was {now.actor}"
    if event.reason == "lost":
        return None if _is_gone(ws.agents[event.agent]) else "they are there"
    if event.reason == "transferred":
        return None if not goes_on and contact.state in ("assigned", "waiting") else f"it is {contact.state}"
    by_holder = now.role != "agent" or now.actor == f"agent:{contact.agent}"
    over = contact.state != "assigned"
    return None if event.reason == "ended" and (over or (goes_on and by_holder)) else f"it was {now.actor}"


def decided(ws: WorkspaceBook) -> None:
    """At the end of a decision: a consult is of this assignment, and of somebody who may still come back to it."""
    for contact in ws.contacts.values():
        for name, holder in contact.consulted.items():
            right = contact.state == "assigned" and contact.agent == holder
            require(right, "2", f"{name} is still asked about {contact.id}, by {holder}; it is with {contact.agent}")
            require(not _is_gone(ws.agents[name]), "4", f"{name} is still asked about {contact.id}, and is gone")


BOOK: Booking = {
    ev.ConsultStarted: started,
    ev.ConsultEnded: ended,
}
