"""A second, slow and obvious account of a contact centre, kept from the events alone.

It shares no code with the engine: plain records, no indexes, no undo. Every event is checked against what the ledger
knows before it is booked, so that an event which cannot be true here is found at once, and by its invariant. Which pair
the rule makes is not its business: that is asked of `tests/oracle`.

- `books.py`: what is known of contacts, agents, offers and the workspace.
- `room.py`: the bounds that no offer may exceed.
- `gates.py`: what a queue, a contact and an agent must be like for an offer to be allowed.
- `standing.py`: what must go on being so as long as an offer stands.
- `due.py`: what is due when.
- `arrivals.py`, `waiting.py`, `endings.py`, `offers.py`, `consults.py`, `outbound.py`, `desks.py`, `centre.py`: the
  events, by what they are about.
- `ledger.py`: all of them together.
"""

from tests.simulation.ledger.books import OPEN, AgentBook, ContactBook, WorkspaceBook
from tests.simulation.ledger.ledger import Ledger
from tests.simulation.ledger.violation import Violation, require

DAY = 86_400_000

__all__ = ["DAY", "OPEN", "AgentBook", "ContactBook", "Ledger", "Violation", "WorkspaceBook", "require"]
