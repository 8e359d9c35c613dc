"""Builders with a default for everything, so that every argument a test shows matters; and a contact centre to play in.

`Centre` drives the production engine on a virtual clock, a command an entry. After every entry it holds the engine to
what must always be true: a rollback is exact, the same decision comes out again, a follower that folds the journaled
bytes has the same state, and the indexes equal what the facts give anew.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from services.router.engine.engine import Decided, Engine
from services.router.engine.records import Agent, Contact, Offer
from services.router.engine.state import DAY, Workspace
from services.router.snapshot import dump, state_hash
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.contracts.commands import Actor, Command, Input
from shared.contracts.policy import Policy
from shared.log.codec import decode_event, encode
from shared.vocabulary import (
    AddressKey,
    AgentId,
    AutoClass,
    ChannelHealth,
    ContactId,
    Delivery,
    MessageId,
    MessageKind,
    OfferId,
    Role,
    ThreadKey,
)
from tests.derived import derived, recomputed

START = 20_000 * DAY + 8 * 3_600_000
"""Eight in the morning of some day; the tests' clocks count seconds from here."""

WORKSPACE = "w"
OPERATOR = Actor(role=Role.OPERATOR, id="key-operator")
SUPERVISOR = Actor(role=Role.SUPERVISOR, id="sam")
ADAPTER = Actor(role=Role.ADAPTER, id="key-adapter")

E = TypeVar("E", bound=ev.Event)


def acting(agent_id: str) -> Actor:
    """The agent as caller."""
    return Actor(role=Role.AGENT, id=agent_id)


# Policies


def queue(name: str = "general", **fields: Any) -> dict[str, Any]:
    """A queue of a policy document: plainly ordered, and missed offers change no presence, unless the test says so."""
    return {"name": name, "on_miss": None, "contact_order": "priority", "strategy": "longest_idle", **fields}


def channel(kind: str = "chat", account: str = "", *, to: str = "general", **fields: Any) -> dict[str, Any]:
    """A channel of a policy document; each kind has a usual account."""
    return {"kind": kind, "account": account or account_of(kind), "queue": to, **fields}


def account_of(kind: str) -> str:
    return {"chat": "web", "email": "support@example.org"}.get(kind, f"{kind}-1")


def fallback(*kinds: str) -> list[dict[str, str]]:
    """A channel's fallbacks, by kind."""
    return [{"channel": kind, "account": account_of(kind)} for kind in kinds]


def policy(
    queues: Iterable[Mapping[str, Any]] | None = None, channels: Iterable[Mapping[str, Any]] | None = None, **rest: Any
) -> dict[str, Any]:
    """A policy document as the API would hand it in: validated, with every default filled in.

    One queue, `general`; chat and e-mail lead there.
    """
    queues = list(queues) if queues is not None else [queue()]
    first = queues[0]["name"]
    default = [channel("chat", to=first), channel("email", to=first)]
    document = {"queues": queues, "channels": list(channels) if channels is not None else default, **rest}
    return Policy.model_validate_json(json.dumps(document)).model_dump(mode="json")


# Commands


def agent(
    agent_id: str = "ana",
    *,
    languages: Mapping[str, int] | None = None,
    skills: Mapping[str, int] | None = None,
    queues: tuple[str, ...] = (),
    channels: tuple[str, ...] = (),
    capacity: float = 1,
    per_channel: Mapping[str, int] | None = None,
    weights: Mapping[str, float] | None = None,
    name: str = "",
) -> cmd.PutAgent:
    """An agent's profile; capacity and weights in units."""
    return cmd.PutAgent(
        agent=AgentId(agent_id),
        name=name,
        languages=languages or {},
        skills=skills or {},
        queues=queues,
        channels=channels,
        capacity_total=round(capacity * 1000),
        capacity_per_channel=per_channel or {},
        capacity_weights={kind: round(weight * 1000) for kind, weight in (weights or {}).items()},
    )


def presence(
    agent_id: str = "ana",
    is_now: str = "available",
    *,
    then: str | None = None,
    channels: Mapping[str, bool] | None = None,
) -> cmd.SetPresence:
    """A declared presence."""
    return cmd.SetPresence(agent=AgentId(agent_id), presence=is_now, next_presence=then, channels=channels or {})


def reach(kind: str, customer: str = "", *, verified: bool = True, consent: bool = True) -> cmd.Reach:
    """One more way to reach a customer."""
    return cmd.Reach(
        channel=kind, account=account_of(kind), key=address(kind, customer), verified=verified, consent=consent
    )


def address(kind: str, customer: str) -> AddressKey:
    return AddressKey(f"{kind}/{customer}")


def message(
    name: str = "c1",
    *,
    channel: str = "chat",
    account: str | None = None,
    customer: str | None = None,
    thread: str | None = None,
    kind: MessageKind = MessageKind.MESSAGE,
    auto: AutoClass = AutoClass.NONE,
    refers_to: str | None = None,
    language: str | None = None,
    language_confidence: float | None = None,
    detected: Mapping[str, float] | None = None,
    queue: str | None = None,
    skills: Mapping[str, int] | None = None,
    priority: int = 0,
    attributes: Mapping[str, str] | None = None,
    reach: tuple[cmd.Reach, ...] = (),
) -> cmd.ReceiveMessage:
    """A customer's message; by default of a customer and on a thread of its own, in no language that is known.

    `name` is the source key, by which `Centre.contact` finds what became of it.
    """
    return cmd.ReceiveMessage(
        source_key=name,
        channel=channel,
        account=account or account_of(channel),
        thread=ThreadKey(thread or f"{channel}-thread-of-{name}"),
        sender=address(channel, customer or f"customer-of-{name}"),
        message_kind=kind,
        content_ref=f"m:{name}",
        auto=auto,
        refers_to=refers_to,
        language=language,
        language_confidence=language_confidence,
        candidates=tuple(
            cmd.LanguageCandidate(language=code, confidence=confidence) for code, confidence in (detected or {}).items()
        ),
        queue=queue,
        skills=skills or {},
        priority=priority,
        attributes=attributes or {},
        reach=reach,
    )


def contact(
    name: str = "c1",
    *,
    channel: str = "callback",
    customer: str | None = None,
    language: str | None = None,
    queue: str | None = None,
    skills: Mapping[str, int] | None = None,
    priority: int = 0,
    at_s: float | None = None,
) -> cmd.CreateContact:
    """Work without a message, now or `at_s` seconds after the start."""
    return cmd.CreateContact(
        source_key=name,
        channel=channel,
        account=account_of(channel),
        customer=address(channel, customer) if customer else None,
        language=language,
        queue=queue,
        skills=skills or {},
        priority=priority,
        scheduled_at=None if at_s is None else START + round(at_s * 1000),
    )


# The centre


@dataclass(frozen=True, slots=True)
class Played:
    """One entry: when, and what was decided in it."""

    seq: int
    at: int
    decided: tuple[Decided, ...]


@dataclass
class Centre:
    """A contact centre on a virtual clock: the production engine, one command an entry, timers when they are due."""

    document: Mapping[str, Any] | None = field(default_factory=policy)
    checked: bool = True
    workspace: str = WORKSPACE
    now: int = START
    seq: int = 0
    engine: Engine = field(default_factory=Engine)
    follower: Engine = field(default_factory=Engine)
    history: list[Played] = field(default_factory=list)
    _commands: int = 0

    def __post_init__(self) -> None:
        self.move_to(self.workspace)

    def move_to(self, workspace: str) -> None:
        """From now on everything happens in this workspace, which begins with the centre's policy if it is new."""
        self.workspace = workspace
        if workspace not in self.engine.state.workspaces:
            self.do(cmd.CreateWorkspace(name=workspace))
            if self.document is not None:
                self.do(cmd.AdoptPolicy(policy=self.document))

    # Playing

    def do(self, command: Command, *, by: Actor = OPERATOR, id: str | None = None, digest: str = "") -> Decided:
        """Play a command as an entry of its own; whatever is due before and at once after it fires too."""
        self._commands += 1
        command_id = id if id is not None else f"k{self._commands}"
        record = Input(
            id=command_id, workspace=self.workspace, actor=by, received_at=self.now, command=command, digest=digest
        )
        decided = self._entry(record)[-1]
        self._fire()
        return decided

    def wait(self, seconds: float) -> list[ev.Event]:
        """Let time pass, an entry for every moment when something is due; what happened meanwhile."""
        return self.wait_until(self.now + round(seconds * 1000))

    def wait_until(self, until: int) -> list[ev.Event]:
        """As `wait`, up to a moment in ms."""
        before = len(self.history)
        self._fire()
        while (due := self.engine.next_due()) is not None and due <= until:
            self.now = max(self.now, due)
            self._entry(None)
        self.now = until
        self._fire()
        return [event for played in self.history[before:] for d in played.decided for event in d.events]

    def leave_unled(self, seconds: float) -> list[ev.Event]:
        """Nobody leads for so long; then a leader begins as `Replica.lead` does."""
        gap = round(seconds * 1000)
        self.now += gap
        seq = self.seq + 1
        turned = self.engine.turn_day(self.now, seq)
        decided = [turned] if turned is not None else []
        decided.append(self.engine.resume(gap, self.now, seq))
        decided += self.engine.rematch(self.now, seq)
        self._journal(decided)
        return [event for d in decided for event in d.events]

    def _fire(self) -> None:
        while self.engine.due(self.now):
            self._entry(None)

    def _entry(self, record: Input | None) -> list[Decided]:
        if not self.checked:
            return self._journal(self._decide(record))
        world = self.engine.world
        mark, before = world.mark(), state_hash(self.engine.state)
        first = self._decide(record)
        world.rollback(mark)
        assert state_hash(self.engine.state) == before, "a rollback brings every fact back"
        assert derived(world) == recomputed(self.engine.state), "a rollback brings the indexes back"
        again = self._decide(record)
        assert again == first, "the same state and command give the same events"
        return self._journal(again)

    def _decide(self, record: Input | None) -> list[Decided]:
        seq = self.seq + 1
        decided: list[Decided] = []
        while self.engine.due(self.now):
            tick = self.engine.tick(self.now, seq, len(decided))
            if tick is None:
                break
            decided.append(tick)
        if record is not None:
            decided.append(self.engine.apply(record, self.now, seq))
        return decided

    def _journal(self, decided: list[Decided]) -> list[Decided]:
        self.seq += 1
        self.engine.settle(self.now, (self.seq, 0))
        self.history.append(Played(self.seq, self.now, tuple(decided)))
        if self.checked:
            self._follow(decided)
        return decided

    def _follow(self, decided: list[Decided]) -> None:
        for d in decided:
            if d.events:
                events = [decode_event(type(event).__name__, encode(event)) for event in d.events]
                assert events == list(d.events), "an event comes back from its bytes as it was"
                self.follower.fold(d.command_id, d.workspace, d.actor, d.digest, events, self.now, self.seq)
        self.follower.settle(self.now, (self.seq, 0))
        assert state_hash(self.follower.state) == state_hash(self.engine.state), "folding equals deciding"
        fresh = recomputed(self.engine.state)
        assert derived(self.engine.world) == fresh, "indexes equal what the facts give anew"
        assert derived(self.follower.world) == fresh, "a follower's indexes do too"

    # What people do

    def staff(self, *profiles: cmd.PutAgent) -> None:
        """Agents who are at their desks and available, in this order (the first is the longest idle)."""
        for profile in profiles:
            self.do(profile)
            self.do(presence(profile.agent), by=acting(profile.agent))

    def write(self, name: str = "c1", **fields: Any) -> Contact:
        """A customer writes; the contact that it became part of."""
        self.do(message(name, **fields), by=ADAPTER)
        return self.contact(name)

    def write_again(self, name: str, to: str, **fields: Any) -> Contact:
        """The customer of `to` writes once more, on the same thread of the same channel."""
        first = self.contact(to)
        fields = {"thread": first.thread, "channel": first.channel, "account": first.account, **fields}
        customer = first.sender.partition("/")[2]
        return self.write(name, customer=customer, **fields)

    def accept(self, agent_id: str, name: str = "c1") -> Decided:
        """The agent accepts the offer of a contact that they have, or had last."""
        return self.do(cmd.AcceptOffer(offer=self.offer(name, agent_id).id), by=acting(agent_id))

    def decline(self, agent_id: str, name: str = "c1", *, retry_after_s: float | None = None) -> Decided:
        """The agent declines the offer of a contact."""
        retry = None if retry_after_s is None else round(retry_after_s * 1000)
        offer = self.offer(name, agent_id).id
        return self.do(cmd.RejectOffer(offer=offer, reason="busy", retry_after=retry), by=acting(agent_id))

    def complete(self, agent_id: str, name: str = "c1", *, code: str | None = None) -> Decided:
        """The agent ends the interaction."""
        return self.do(cmd.CompleteContact(contact=self.id_of(name), wrap_up_code=code), by=acting(agent_id))

    def reply(self, agent_id: str, name: str = "c1") -> Decided:
        """The agent answers the customer."""
        return self.do(cmd.SendReply(contact=self.id_of(name), content_ref=f"r:{self.seq}"), by=acting(agent_id))

    def handle(self, agent_id: str, name: str) -> None:
        """Accept and complete at once."""
        self.accept(agent_id, name)
        self.complete(agent_id, name)

    def health(self, kind: str, state: ChannelHealth, *, evidence: str = "probe", by: cmd.Actor = OPERATOR) -> Decided:
        """A channel's health is reported: by an operator it counts at once."""
        report = cmd.ReportChannelHealth(channel=kind, account=account_of(kind), state=state, evidence=evidence)
        return self.do(report, by=by)

    def down(self, kind: str) -> Decided:
        return self.health(kind, ChannelHealth.DOWN)

    def up(self, kind: str) -> Decided:
        return self.health(kind, ChannelHealth.HEALTHY)

    def delivered(self, message_id: str, status: Delivery = Delivery.DELIVERED) -> Decided:
        """An adapter reports on a reply."""
        return self.do(cmd.ReportDelivery(message=MessageId(message_id), status=status), by=ADAPTER)

    # Looking

    @property
    def ws(self) -> Workspace:
        return self.engine.state.workspaces[self.workspace]

    @property
    def elapsed_s(self) -> float:
        return (self.now - START) / 1000

    def id_of(self, name: str) -> ContactId:
        """The contact that a source key became part of."""
        found = self.engine.state.contact_of_source(self.workspace, name)
        assert found, f"{name!r} became no contact"
        return ContactId(found)

    def contact(self, name: str = "c1") -> Contact:
        return self.ws.contacts[self.id_of(name)]

    def agent(self, agent_id: str = "ana") -> Agent:
        return self.ws.agents[AgentId(agent_id)]

    def offer(self, name: str, agent_id: str) -> Offer:
        """The newest offer of the contact to the agent."""
        offers = [self.ws.offers[offer_id] for offer_id in self.contact(name).all_offers]
        return [offer for offer in offers if offer.agent == agent_id][-1]

    def offered_to(self, name: str = "c1") -> list[str]:
        """The agents who are looking at an offer of the contact now."""
        return [self.ws.offers[offer_id].agent for offer_id in self.contact(name).offers]

    def holds(self, agent_id: str) -> list[str]:
        """Source keys of the contacts that the agent is offered or assigned, by name."""
        return sorted(self.ws.contacts[contact_id].source_key for contact_id in self.agent(agent_id).held)

    def last(self, kind: type[E]) -> E:
        """The newest event of a kind."""
        for played in reversed(self.history):
            for d in reversed(played.decided):
                for event in reversed(d.events):
                    if isinstance(event, kind):
                        return event
        raise AssertionError(f"no {kind.__name__} so far")

    def all(self, kind: type[E]) -> list[E]:
        """Every event of a kind, in order."""
        events = (event for played in self.history for d in played.decided for event in d.events)
        return [event for event in events if isinstance(event, kind)]

    def facts(self) -> Any:
        """All facts of all workspaces, as plain values: what a refused command must leave as it was."""
        return msgspec.json.decode(zlib.decompress(dump(self.engine.state)))["workspaces"]

    def refused(self, command: Command, *, by: Actor = OPERATOR, id: str | None = None) -> tuple[str, str | None]:
        """Play a command that must be refused and change nothing; the reason and the field that it names."""
        before = self.facts()
        decided = self.do(command, by=by, id=id)
        assert decided.answer is not None
        assert decided.answer.refused is not None, f"{command} was not refused: {decided.events}"
        assert self.facts() == before, "a refused command changes nothing"
        reason, _, name = decided.answer.refused
        return reason, name


def offer_of(decided: Decided) -> OfferId:
    """The first offer that a decision made."""
    return next(event.offer for event in decided.events if isinstance(event, ev.OfferMade))


def kinds(events: Iterable[ev.Event]) -> list[str]:
    """The names of events, in order."""
    return [type(event).__name__ for event in events]
