"""All workspaces of one partition, booked event by event."""

from __future__ import annotations

from shared.contracts import events as ev
from tests.simulation.ledger import arrivals, centre, consults, desks, endings, offers, outbound, waiting
from tests.simulation.ledger.books import Booking, Instant, WorkspaceBook
from tests.simulation.ledger.violation import Violation, require

SILENT = (ev.CommandRefused, ev.CommandRejected, ev.CommandNoted, ev.Resumed, ev.DayTurned)
_BOOK: Booking = {
    **centre.BOOK,
    **desks.BOOK,
    **arrivals.BOOK,
    **waiting.BOOK,
    **offers.BOOK,
    **endings.BOOK,
    **outbound.BOOK,
    **consults.BOOK,
}


class Ledger:
    """What is true by the events so far."""

    def __init__(self) -> None:
        self.workspaces: dict[str, WorkspaceBook] = {}
        self.at = 0
        self.counts: dict[str, int] = {}

    def book(self, workspace: str, event: ev.Event, actor: str, at: int) -> None:
        """Check an event against all that is known, then believe it. Raises `Violation`."""
        self.at = at
        name = type(event).__name__
        self.counts[name] = self.counts.get(name, 0) + 1
        if isinstance(event, ev.WorkspaceCreated):
            require(workspace not in self.workspaces, "1", f"workspace {workspace} is created twice")
            self.workspaces[workspace] = WorkspaceBook(workspace)
        elif isinstance(event, ev.Resumed):
            self._resumed(event)
        elif isinstance(event, ev.CommandRejected):
            raise Violation("decide", f"the engine could not decide: {event.reason}")
        elif not isinstance(event, SILENT):
            _BOOK[type(event)](self.workspaces[workspace], event, Instant(at, actor))
        if workspace and not isinstance(event, (*SILENT, ev.HoursExtended)):
            self.workspaces[workspace].sequence += 1

    def decided(self, workspace: str) -> None:
        """A decision is booked whole."""
        ws = self.workspaces.get(workspace)
        if ws is not None:
            arrivals.arrived(ws)
            waiting.stepped_on(ws)
            outbound.decided(ws)
            consults.decided(ws)

    def _resumed(self, event: ev.Resumed) -> None:
        require(event.gap > 0, "time", f"resumed after {event.gap} ms")
        for ws in self.workspaces.values():
            for offer in ws.offers.values():
                if not offer.outcome and offer.expires_at is not None:
                    offer.expires_at += event.gap
            for agent in ws.agents.values():
                if agent.grace_until is not None:
                    agent.grace_until += event.gap
            for channel in ws.health.values():
                if channel.well_since is not None:
                    channel.well_since += event.gap
            for message in ws.outbounds.values():
                if message.due is not None:
                    message.due += event.gap
