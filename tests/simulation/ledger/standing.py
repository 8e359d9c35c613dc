"""What must go on being so as long as an offer stands."""

from __future__ import annotations

from tests.simulation.ledger.books import AgentBook, ContactBook, WorkspaceBook
from tests.simulation.ledger.gates import why_no_member


def why_not_kept(ws: WorkspaceBook, contact: ContactBook, agent: AgentBook) -> str | None:
    """Why an offer should have been taken back from an agent; None if it may stand."""
    if not ws.is_there(agent, contact.queue):
        return f"is {agent.presence_towards(contact.queue)} or unreachable"
    if not agent.switch.get(contact.channel, True):
        return f"has switched {contact.channel} off"
    return why_no_member(contact, agent)
