"""What must go on being so as long as an offer stands."""

from __future__ import annotations

from tests.simulation.ledger.books import AgentBook, ContactBook, WorkspaceBook
from tests.simulation.ledger.gates import is_away, why_no_member
from tests.simulation.ledger.room import bypasses


def why_not_kept(ws: WorkspaceBook, contact: ContactBook, agent: AgentBook) -> str | None:
    """Why an offer should have been taken back from an agent; None if it may stand."""
    away = is_away(ws, contact, agent, whatever=bypasses(ws, contact, agent, "presence"))
    if away is not None:
        return away
    if not agent.switch.get(contact.channel, True):
        return f"has switched {contact.channel} off"
    return why_no_member(contact, agent)
