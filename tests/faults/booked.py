"""The feed, event by event: booked into the simulation's ledger, and its offers held against the matching rule.

The ledger shares no code with the engine. The rule (`tests/oracle`) reads the records of the engine, so these are made
from the same public events; where they cannot be, the feed tells of something impossible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from services.router.engine.evolve import evolve
from services.router.engine.world import World
from shared.contracts import events as ev
from shared.times import from_datetime
from shared.vocabulary import ChannelHealth, channel_name
from tests.oracle.eligible import eligible
from tests.oracle.moment import Moment
from tests.oracle.rule import first_wrong, left_apart
from tests.simulation.ledger import Ledger, Violation, WorkspaceBook
from tests.simulation.ledger.due import timers
from tests.simulation.ledger.standing import why_not_kept

WORKSPACE: Final = "w"
LATE_MS: Final = 3_000
Find = Callable[[str, str], None]
"""Takes a finding: invariant, sentence."""
_BY_AGENT = (ev.AgentPresenceChanged, ev.OfferAccepted, ev.OfferDeclined, ev.ContactCompleted)


class Booked:
    """One feed's book. `every`: that a pair is the rule's is asked of every so many-th offer only, and that an entry
    leaves nobody apart of every so many-th entry, because that is slow: it tries everybody with everything."""

    def __init__(self, find: Find, *, every: int) -> None:
        self._find = find
        self._every = every
        self._ledger = Ledger()
        self.book = self._ledger.workspaces[WORKSPACE] = WorkspaceBook(WORKSPACE)
        self._facts: World | None = World()
        self._offers = 0
        self._entries = 0
        self._at = 0

    def all_of(self, events: Iterable[Mapping[str, Any]]) -> WorkspaceBook:
        """Book everything; what is wrong is told to `find`."""
        entry = -1
        for event in events:
            kind = getattr(ev, event["type"].removeprefix("switchdesk."), None)
            if kind is None:
                self._find("feed", f"event {event['id']} is of an unknown type {event['type']}")
                continue
            if kind in (ev.WorkspaceCreated, ev.KeyCreated, ev.KeyRevoked):
                continue
            seq = int(event["id"].split(":")[1])
            if seq != entry:
                self._between_entries()
                entry = seq
            self._at = from_datetime(datetime.fromisoformat(event["time"]))
            self._one(event["id"], msgspec.convert(event["data"], kind), seq)
        self._between_entries()
        self._check_undone()
        return self.book

    def _one(self, event_id: str, event: Any, seq: int) -> None:
        if isinstance(event, ev.ContactCreated):
            # A decision opens one contact at most.
            self._ledger.decided(WORKSPACE)
        if isinstance(event, ev.OfferMade):
            self._offers += 1
            self._hold_against_the_rule(event)
        try:
            self._ledger.book(WORKSPACE, event, self._actor(event), self._at)
        except Violation as violation:
            self._find(violation.invariant, f"event {event_id}: {violation}")
        except (KeyError, ValueError, IndexError) as error:
            self._find("1", f"event {event_id}, {type(event).__name__}, speaks of something unknown: {error!r}")
        self._make_true(event_id, event, seq)

    def _make_true(self, event_id: str, event: ev.Event, seq: int) -> None:
        """Make the engine's records follow. After an event that these cannot follow, the rule judges nothing more."""
        if self._facts is None:
            return
        if not self._facts.state.workspaces:
            evolve(self._facts, "", [ev.DayTurned(day=self._at // 86_400_000)], self._at, seq)
            evolve(self._facts, WORKSPACE, [ev.WorkspaceCreated(name=WORKSPACE)], self._at, seq)
        try:
            evolve(self._facts, WORKSPACE, [event], self._at, seq)
        except (AssertionError, KeyError, ValueError) as error:
            self._find("1", f"event {event_id}, {type(event).__name__}, cannot be made true: {error!r}")
            self._facts = None
            return
        self._facts.settle()

    @property
    def _is_settled(self) -> bool:
        """Whether facts and time agree: nothing is due that has not been told."""
        if self._facts is None or not self._facts.state.workspaces:
            return False
        return not any(due <= self._at for due, _, _ in timers(self.book))

    def _hold_against_the_rule(self, offer: ev.OfferMade) -> None:
        if self._offers % self._every or not self._is_settled:
            return
        assert self._facts is not None
        moment = Moment.of(self._facts.state.workspaces[WORKSPACE], self._at)
        contact, agent = moment.contacts.get(offer.contact), moment.agents.get(offer.agent)
        if contact is None or agent is None:
            return  # The ledger says so.
        moment.patient = True
        if not eligible(moment, contact, agent):
            self._find("4", f"{contact.id} is offered to {agent.id}, who may not get it")
        moment.patient = False
        wrong = first_wrong(moment, [(str(offer.contact), str(offer.agent))])
        if wrong is not None:
            self._find("5", wrong)

    def _check_undone(self) -> None:
        """When all is quiet, nothing is left that should have happened long ago."""
        for due, kind, about in sorted(timers(self.book)):
            if due < self._at - LATE_MS:
                self._find("time", f"{kind} of {about} was due {self._at - due} ms ago and never came")

    def _between_entries(self) -> None:
        """Nobody who is away has offers; nobody waits whom somebody could serve."""
        self._ledger.decided(WORKSPACE)
        for agent in self.book.agents.values():
            for offer in agent.offers:
                contact = self.book.contacts[self.book.offers[offer].contact]
                reason = why_not_kept(self.book, contact, agent)
                if reason is not None:
                    self._find("4", f"{agent.id} still has offer {offer}, but {reason}")
        self._entries += 1
        if self._entries % self._every == 0 and self._is_settled:
            assert self._facts is not None
            pairs = left_apart(self._facts.state.workspaces[WORKSPACE], self._at)
            if pairs:
                self._find("8", f"after {self._offers} offers an entry leaves {pairs[:3]} apart")

    def _actor(self, event: Any) -> str:
        """Who may have asked: the feed does not say it. That answers and events belong together, the checker sees."""
        if isinstance(event, ev.ChannelHealthChanged):
            # Adapters alone report in a run. What is due comes by itself, but a report of down may be before it.
            name = channel_name(event.channel, event.account)
            known = self.book.health.get(name)
            up = known.up_at(self.book.channels[name]["health"]) if known is not None else None
            is_due = up is not None and up <= self._at
            by_itself = is_due and event.reported is None and event.state is not ChannelHealth.DOWN
            return "" if by_itself else "adapter:?"
        return f"agent:{event.agent}" if isinstance(event, _BY_AGENT) else "supervisor:?"
