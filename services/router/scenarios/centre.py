"""The contact centre of one scenario: the production engine on a virtual clock, and what the scenario calls things."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from services.router.engine.engine import Decided, Engine
from services.router.engine.outbound_records import Outbound
from services.router.engine.state import Workspace
from services.router.scenarios.file import Scenario
from services.router.scenarios.rules import policy_of
from services.router.scenarios.setup import Setup
from services.router.scenarios.vocabulary import UnreadableScenarios
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import ContactId, ContactState, OutboundId, Role, channel_name

NAME: Final = "scenario"
START: Final = int(datetime(2026, 1, 5, tzinfo=ZoneInfo("UTC")).timestamp() * 1000)
"""A Monday, where the scenario names no time."""
OPERATOR: Final = cmd.Actor(role=Role.OPERATOR, id="scenario")
ADAPTER: Final = cmd.Actor(role=Role.ADAPTER, id="scenario")
LONG_AGO_MS: Final = 400 * 86_400_000
OPEN: Final = (ContactState.WAITING, ContactState.OFFERED)


class Centre:
    """The contact centre of one scenario, on a clock of its own, in the production engine; empty until `begin`."""

    def __init__(self, scenario: Scenario) -> None:
        self.start = _start_of(scenario.setup)
        self.now = self.start - LONG_AGO_MS
        self.engine = Engine()
        self.contacts: dict[str, ContactId] = {}
        self.messages: dict[str, OutboundId] = {}
        self.refused: dict[str, bool] = {}
        self.decisions: dict[ContactId, ev.DecisionRecord] = {}
        """Of each contact the newest decision to offer it."""
        self.notices: dict[ContactId, list[str]] = {}
        """Of each contact what its steps told, in order."""
        self.filters: dict[ContactId, str | None] = {}
        """Of each contact the filter of its flow that led it to where it is."""
        self.entries = 0
        """How many the journal would have."""
        self.policy = policy_of(scenario)

    @property
    def workspace(self) -> Workspace:
        return self.engine.state.workspaces[NAME]

    # Time

    def pass_to(self, at_s: float) -> None:
        """Fire every timer that is due up to and at this moment."""
        self.pass_to_ms(self.start + round(at_s * 1000))

    def pass_to_ms(self, until: int) -> None:
        """The same by the engine's clock."""
        while (due := self.engine.next_due()) is not None and due <= until:
            self.now = max(self.now, due)
            self.tick()
        self.now = max(self.now, until)
        self.tick()

    def tick(self) -> None:
        """Fire every timer that is due now."""
        number = 0
        while self.engine.due(self.now):
            self.entries += 1
            decided = self.engine.tick(self.now, self.entries, number)
            if decided is not None:
                self._note(decided)
            number += 1
            self.engine.settle(self.now, (0, 0))

    # Commands

    def do(self, command: cmd.Command, actor: cmd.Actor = OPERATOR) -> Decided:
        """Decide a command now."""
        self.entries += 1
        record = cmd.Input(id=f"x{self.entries}", workspace=NAME, actor=actor, received_at=self.now, command=command)
        decided = self.engine.apply(record, self.now, self.entries)
        self._note(decided)
        self.engine.settle(self.now, (0, 0))
        while self.engine.unfinished:
            self.tick()
        return decided

    def _note(self, decided: Decided) -> None:
        for event in decided.events:
            if isinstance(event, ev.OfferMade):
                self.decisions[event.contact] = event.decision
            elif isinstance(event, ev.ContactStepped) and event.notify is not None:
                self.notices.setdefault(event.contact, []).append(event.notify)
            elif isinstance(event, (ev.ContactCreated, ev.ContactMoved)):
                self.filters[event.contact] = event.flow_filter

    def outbound(self, name: str) -> Outbound:
        """The outbound message of this name. Raises `UnreadableScenarios`."""
        try:
            return self.workspace.outbounds[self.messages[name]]
        except KeyError:
            raise UnreadableScenarios(f"there is no message {name!r} yet") from None

    def account(self, kind: str, named: str | None = None) -> str:
        """The account named, or else the first of that kind in the policy. There has to be one."""
        accounts = [channel.account for channel in self.policy.channels if channel.kind == kind]
        if not accounts or (named is not None and named not in accounts):
            raise UnreadableScenarios(f"there is no channel {channel_name(kind, named or 'of any account')!r}")
        return named or accounts[0]

    def name_of(self, contact: ContactId) -> str:
        """What the scenario calls a contact."""
        return next((name for name, known in self.contacts.items() if known == contact), contact)

    def id_of(self, name: str) -> ContactId:
        """The contact of this name. Raises `UnreadableScenarios`."""
        try:
            return self.contacts[name]
        except KeyError:
            raise UnreadableScenarios(f"there is no contact {name!r} yet") from None


def _start_of(setup: Setup) -> int:
    if setup.clock is None:
        return START
    local = datetime.fromisoformat(setup.clock.start)
    return round(local.replace(tzinfo=ZoneInfo(setup.clock.tz)).timestamp() * 1000)
