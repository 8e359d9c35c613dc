"""Playing a scenario through the production engine, and what differs from what was expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from services.router.engine.demand import Order, lane_of, order_of
from services.router.engine.records import Contact
from services.router.scenarios.actions import act
from services.router.scenarios.beginning import begin
from services.router.scenarios.centre import NAME, OPEN, Centre
from services.router.scenarios.expectation import Expectation
from services.router.scenarios.file import Scenario
from services.router.scenarios.messages import message_facts, trail
from services.router.scenarios.vocabulary import UnreadableScenarios
from shared.vocabulary import AgentId, ContactState


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that did not hold, with the decision's own reasons."""

    at: float
    subject: str
    expected: dict[str, Any]
    got: dict[str, Any]
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one scenario."""

    id: str
    file: str
    failures: list[Failure]

    @property
    def passed(self) -> bool:
        return not self.failures

    def as_dict(self) -> dict[str, Any]:
        """`{id, file, passed, failures: [{at, subject, expected, got, reasons}]}`."""
        return {
            "id": self.id,
            "file": self.file,
            "passed": self.passed,
            "failures": [asdict(failure) for failure in self.failures],
        }


def play(scenario: Scenario, path: Path) -> Outcome:
    """Play one scenario. Raises `UnreadableScenarios` if it cannot be played at all."""
    try:
        return Outcome(scenario.id, str(path), list(_played(scenario)))
    except ValidationError as error:
        lines = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise UnreadableScenarios(f"{path}: {scenario.id}: setup: {lines}") from None
    except UnreadableScenarios as error:
        raise UnreadableScenarios(f"{path}: {scenario.id}: {error}") from None


def _played(scenario: Scenario) -> Iterator[Failure]:
    centre = Centre(scenario)
    begin(centre, scenario.setup)
    for at in sorted({each.at for each in (*scenario.expect, *scenario.timeline)}):
        centre.pass_to(at)
        for action in scenario.timeline:
            if action.at == at:
                act(centre, action)
        for expectation in scenario.expect:
            if expectation.at == at:
                yield from _check(centre, expectation)


def _check(centre: Centre, wanted: Expectation) -> Iterator[Failure]:
    expected = wanted.facts
    if wanted.op is not None:
        got: dict[str, Any] = {"refused": centre.refused.get(wanted.op)}
        reasons: list[str] = []
    elif wanted.agent is not None:
        got, reasons = _agent_facts(centre, wanted.agent), []
    elif wanted.message is not None:
        outbound = centre.outbound(wanted.message)
        got, reasons = message_facts(outbound), list(trail(outbound))
    else:
        contact = centre.workspace.contacts[centre.id_of(wanted.contact or "")]
        got, reasons = _contact_facts(centre, contact), list(_reasons(centre, contact))
    differing: dict[str, Any] = {}
    for name, value in expected.items():
        if name == "not_offered_to":
            offered = set(got["offered_to"]) & set(value)
            if offered:
                differing[name] = list(offered)
        elif name == "offered_to":
            if sorted(value) != got[name]:
                differing[name] = got[name]
        elif got.get(name) != value:
            differing[name] = got.get(name)
    if differing:
        yield Failure(wanted.at, wanted.subject, {name: expected[name] for name in differing}, differing, reasons)


def _agent_facts(centre: Centre, name: str) -> dict[str, Any]:
    agent = centre.workspace.agents[AgentId(name)]
    contacts = centre.workspace.contacts
    return {
        "presence": agent.presence,
        "open": sum(1 for held in agent.held if contacts[held].agent == agent.id),
        "consulting": [centre.name_of(contact) for contact in agent.consulting],
    }


HELD: Final = (ContactState.ASSIGNED, ContactState.PARKED)
_STATES = {
    ContactState.CANCELLED: "canceled",
    ContactState.ABANDONED: "canceled",
    ContactState.PARKED: "assigned",
}


def _contact_facts(centre: Centre, contact: Contact) -> dict[str, Any]:
    offers = centre.workspace.offers
    state = _STATES.get(contact.state, contact.state.value)
    if contact.state is ContactState.CANCELLED and contact.end_reason == "refused":
        state = "refused"
    return {
        "state": state,
        "queue": contact.queue,
        "channel": contact.channel,
        "flow_filter": centre.filters.get(contact.id),
        "offered_to": sorted(offers[offer].agent for offer in contact.offers),
        "assigned_to": contact.agent if contact.state in HELD else None,
        "consulted": list(contact.consulted),
        "position": _position(centre, contact),
        "exhausted": contact.exhausted,
        "notices": centre.notices.get(contact.id, []),
    }


def _position(centre: Centre, contact: Contact) -> int | None:
    """From 1, among those of the queue that wait or are offered."""
    if contact.state not in OPEN:
        return None
    queue = centre.workspace.policy.queues[contact.queue]

    def place(each: Contact) -> tuple[int, Order]:
        return lane_of(queue, each), order_of(queue, each)

    waiting = (each for each in centre.workspace.contacts.values() if each.queue == queue.name and each.state in OPEN)
    return 1 + sorted(map(place, waiting)).index(place(contact))


def _reasons(centre: Centre, contact: Contact) -> Iterator[str]:
    """What the engine says about the contact: why classes are out, or what the newest decision looked at."""
    if contact.state in OPEN:
        requirement = centre.engine.world.indexes[NAME].requirement_of(contact)
        yield f"asks for {_told(requirement.demand._asdict())}"
        if requirement.excluded:
            yield "agents out, by capability class: " + _told(requirement.excluded)
        if contact.declines:
            yield f"declined by {_told({str(agent): count for agent, count in contact.declines.items()})}"
    decision = centre.decisions.get(contact.id)
    if decision is not None:
        yield f"last decision: {decision.strategy}, considered {[list(each) for each in decision.considered]}"


def _told(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items() if value not in (None, (), "", False))
