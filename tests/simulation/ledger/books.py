"""What the ledger knows of contacts, agents, offers and their workspace. Times in ms, policies as they were adopted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shared.contracts.commands import DeliveryStep, Membership, Reach
from tests.simulation.ledger.violation import require

OPEN = ("scheduled", "waiting", "offered", "assigned")
WAITS = ("waiting", "offered")
Document = Mapping[str, Any]


class Instant(NamedTuple):
    """When an event happened, and who asked for it (`role:id`; empty for what happens by itself)."""

    at: int
    actor: str

    @property
    def role(self) -> str:
        return self.actor.partition(":")[0]


Booking = dict[type, Callable[["WorkspaceBook", Any, Instant], None]]
"""By event: what checks and believes it."""


@dataclass(slots=True)
class ContactBook:
    id: str
    source_key: str
    channel: str
    account: str
    thread: str
    customer: str
    sender: str
    queue: str
    language: str
    priority: int
    reach: dict[str, Reach]
    attributes: Mapping[str, str]
    preferred: tuple[str, ...]
    profiles: tuple[str, ...]
    flow: str | None
    flow_step: int
    created_at: int
    age_from: int
    queue_since: int
    state: str
    scheduled_at: int | None = None
    scheduled_priority: int | None = None
    agent: str | None = None
    offers: tuple[str, ...] = ()
    declines: dict[str, int] = field(default_factory=dict)
    declined_at: dict[str, int] = field(default_factory=dict)
    retry_at: int | None = None
    ended_at: int | None = None
    steps: int = 0
    stepped: dict[str, int] = field(default_factory=dict)
    delay: int = 0
    widened: int = 0
    preference_over: bool = False
    wish_met: bool = False
    past_age: int = 0
    """The greatest age (ms) at which a queue had it aged out."""
    deadline_near: bool = False
    starved: int = 0
    """The age (ms) from which on a queue let it go before others."""
    exhausted: bool = False
    """Whether it was told that everybody has declined it, and nobody else was asked since."""
    asked: bool = False
    """Whether anybody was offered it since it entered its queue."""
    excluded: str | None = None
    overflowed: tuple[str, ...] = ()
    consulted: dict[str, str] = field(default_factory=dict)
    """Whom its holder asked about it, and who held it then."""
    consult_notes: dict[str, str] = field(default_factory=dict)
    hops: list[tuple[str, str]] = field(default_factory=list)
    episode: list[str] = field(default_factory=list)
    """The channels that the contact was moved away from or to since the customer last chose one."""

    @property
    def channel_name(self) -> str:
        return f"{self.channel}:{self.account}"

    @property
    def has_sender(self) -> bool:
        """Whether the sender is somebody's address: work that was made for nobody in particular has none."""
        return self.sender != f"x{self.id}"

    @property
    def came_in(self) -> int:
        """When it began to be work: of one that was booked, when it is due."""
        return self.created_at if self.scheduled_at is None else self.scheduled_at

    def wishes(self, rule: Document) -> bool:
        """Whether it still waits for whom it names, in a queue whose `preferred` says this."""
        if not self.preferred or not rule["enabled"]:
            return False
        return not self.preference_over and (rule["fallback"] == "hold" or not self.wish_met)

    def enter(self, queue: str, at: int) -> None:
        """What counts from entering a queue begins anew, but each step comes once."""
        self.stepped[self.queue] = self.steps
        self.steps = self.stepped.get(queue, 0)
        self.queue = queue
        self.queue_since = at
        self.delay = 0
        self.widened = 0
        self.preference_over = False
        self.past_age = 0
        self.deadline_near = False
        self.starved = 0
        self.exhausted = False
        self.asked = False

    def wait(self, retry_at: int | None = None) -> None:
        self.state = "waiting"
        self.agent = None
        self.retry_at = retry_at

    def count_decline(self, agent: str, at: int) -> None:
        self.declines[agent] = self.declines.get(agent, 0) + 1
        self.declined_at[agent] = at


@dataclass(slots=True)
class AgentBook:
    id: str
    queues: tuple[str, ...] = ()
    memberships: dict[str, Membership] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    total: int | None = 1000
    per_channel: dict[str, int] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)
    parked_credit: int = 0
    profiles: dict[str, int] = field(default_factory=dict)
    while_on: dict[str, tuple[str, ...]] = field(default_factory=dict)
    max_contacts: int | None = None
    wrap_up: int | None = None
    reject_pause: int = 0
    presence: str = "offline"
    queue_presence: dict[str, str] = field(default_factory=dict)
    next_presence: str | None = None
    switch: dict[str, bool] = field(default_factory=dict)
    reachable: bool = False
    grace_until: int | None = None
    wrap_up_until: int | None = None
    queue_wrap_up: dict[str, tuple[str, int]] = field(default_factory=dict)
    wrap_up_slots: dict[str, tuple[str, int]] = field(default_factory=dict)
    paused_until: int | None = None
    idle_since: int = 0
    signed_in_at: int | None = None
    ramped: int = 0
    """How long after signing in (ms) the last step of the ramp ended that was said to be over."""
    missed: int = 0
    missed_in: dict[str, int] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    parked: list[str] = field(default_factory=list)
    consulting: list[str] = field(default_factory=list)
    offers: list[str] = field(default_factory=list)
    assigned: dict[str, list[int]] = field(default_factory=dict)
    """By queue, when the agent got a contact of it: all of them, whatever the engine has let go."""
    recent: dict[str, list[int]] = field(default_factory=dict)
    """Those of a queue with a rate limit that were not told to have left its window."""

    @property
    def working(self) -> dict[str, str]:
        """What takes capacity: held or offered, but not parked, with its kind of channel."""
        return {contact: kind for contact, kind in self.held.items() if contact not in self.parked}

    @property
    def places(self) -> list[str]:
        """The kinds of channel of what takes capacity, wrap-ups that keep their contact's room included."""
        return [*self.working.values(), *(kind for kind, _ in self.wrap_up_slots.values())]

    @property
    def is_done(self) -> bool:
        """Nothing is held and no wrap-up runs."""
        return not self.held and self.wrap_up_until is None

    def is_member(self, queue: str) -> bool:
        return not self.queues or queue in self.queues

    def presence_towards(self, queue: str) -> str:
        return self.queue_presence.get(queue, self.presence)

    def release(self, contact: str, at: int) -> None:
        require(contact in self.held, "2", f"{self.id} does not hold {contact}")
        del self.held[contact]
        if contact in self.parked:
            self.parked.remove(contact)
        self.idle_since = at


@dataclass(slots=True)
class OfferBook:
    id: str
    contact: str
    agent: str
    made_at: int
    expires_at: int | None
    outcome: str = ""


@dataclass(slots=True)
class AttemptBook:
    id: str
    step: int
    status: str = "queued"
    given_up: str = ""


@dataclass(slots=True)
class OutboundBook:
    id: str
    source_key: str
    route: tuple[DeliveryStep, ...]
    deadline: int
    contact: str | None
    state: str = "pending"
    reason: str = ""
    ended_at: int | None = None
    due: int | None = None
    """When the attempt under way is given up if nothing more is heard of it."""
    steps: int = 0
    """How many of the route had their turn."""
    attempts: list[AttemptBook] = field(default_factory=list)

    @property
    def under_way(self) -> AttemptBook | None:
        waits = self.ended_at is None and self.attempts and not self.attempts[-1].given_up
        return self.attempts[-1] if waits else None

    def channel_of(self, attempt: AttemptBook) -> str:
        step = self.route[attempt.step]
        return f"{step.channel}:{step.account}"

    def wait(self, at: int) -> None:
        within = self.route[self.attempts[-1].step].within
        self.due = at + within if within is not None else None


@dataclass(slots=True)
class Arrival:
    """A contact that comes in with this decision: how many waited before it, and whether its queue was staffed."""

    contact: str
    queue: str
    waiting: int
    staffed: bool
    station: str | None = None
    """Where its flow begins, if it has one."""
    moved: bool = False


@dataclass(slots=True, kw_only=True)
class HealthBook:
    """What a channel counts as, and what has to hold for longer before it counts."""

    state: str = "healthy"
    word: str = "healthy"
    """What was reported last."""
    row: list[int] = field(default_factory=list)
    """When it was reported down, report by report."""
    well_since: int | None = None

    def up_at(self, rules: Document) -> int | None:
        """When a channel that counts as down counts as up again."""
        return None if self.well_since is None else self.well_since + rules["up_after_s"] * 1000


@dataclass(slots=True)
class WorkspaceBook:
    name: str
    policy_version: int = 0
    queues: dict[str, Document] = field(default_factory=dict)
    channels: dict[str, Document] = field(default_factory=dict)
    flows: dict[str, Document] = field(default_factory=dict)
    policy: Document = field(default_factory=dict)
    health: dict[str, HealthBook] = field(default_factory=dict)
    hours: dict[str, tuple[bool, int]] = field(default_factory=dict)
    """Of queues with opening hours: whether they were said to be open, and when."""
    frozen: set[str] = field(default_factory=set)
    queue_limits: dict[str, int | None] = field(default_factory=dict)
    agent_limit: tuple[int | None] | None = None
    reserve_reviewed: int = 0
    agents: dict[str, AgentBook] = field(default_factory=dict)
    contacts: dict[str, ContactBook] = field(default_factory=dict)
    offers: dict[str, OfferBook] = field(default_factory=dict)
    replies: dict[str, str] = field(default_factory=dict)
    outbounds: dict[str, OutboundBook] = field(default_factory=dict)
    attempts: dict[str, str] = field(default_factory=dict)
    """By the id of an attempt: whose it is."""
    wrote: dict[str, bool] = field(default_factory=dict)
    """Contacts whose customers wrote in this decision, and whether they did so for sure: what joins a contact may be an
    automatic answer."""
    keys: dict[str, str] = field(default_factory=dict)
    sources: dict[str, tuple[str, int]] = field(default_factory=dict)
    threads: dict[str, set[str]] = field(default_factory=dict)
    arrival: Arrival | None = None
    hurried: str | None = None
    """The contact of which this decision told that everybody has declined it, where its queue then steps on at once."""
    passing: str | None = None
    """The booked contact that is due in this decision, where the first station of its flow is one to pass by."""
    sequence: int = 0
    received: int = 0
    ended: int = 0
    forgotten: int = 0

    def is_down(self, channel: str) -> bool:
        book = self.health.get(channel)
        return book is not None and book.state == "down"

    def cannot_deliver(self, channel: str) -> bool:
        """Whether nothing that was given to a channel arrives: it is down, or a policy took it away."""
        return channel not in self.channels or self.is_down(channel)

    def contact_in(self, contact_id: str, *states: str) -> ContactBook:
        """The contact, which must be in one of the states."""
        contact = self.contacts.get(contact_id)
        require(contact is not None, "1", f"contact {contact_id} does not exist (any more)")
        assert contact is not None
        require(contact.state in states, "1", f"contact {contact_id} is {contact.state}, not {' or '.join(states)}")
        return contact

    def waiting_in(self, queue: str) -> int:
        return sum(1 for contact in self.contacts.values() if contact.queue == queue and contact.state in WAITS)

    def is_there(self, agent: AgentBook, queue: str) -> bool:
        """Whether the desk answers and the presence, towards this queue, is one that it accepts."""
        return agent.reachable and agent.presence_towards(queue) in self.queues[queue]["accepts_presence"]

    def is_work(self, presence: str) -> bool:
        """Whether any queue offers something in this presence."""
        return presence == "available" or any(presence in queue["accepts_presence"] for queue in self.queues.values())

    def is_staffed(self, queue: str) -> bool:
        return any(agent.is_member(queue) and self.is_there(agent, queue) for agent in self.agents.values())

    def filter_of(self, contact: ContactBook) -> tuple[str, Document] | None:
        """The first filter of the contact's flow that matches, after what it is called; None without one."""
        flow = self.flows.get(contact.flow) if contact.flow else None
        for number, each in enumerate(flow["filters"] if flow is not None else (), start=1):
            if fits(contact.attributes, each["match"]):
                return each["id"] or f"#{number}", each
        return None

    def route(self, contact: ContactBook) -> list[Document]:
        """The stations of the contact's flow; none without a flow, and none for its default queue."""
        flow = self.flows.get(contact.flow) if contact.flow else None
        if flow is None:
            return []
        chosen = self.filter_of(contact)
        if chosen is not None:
            *before, last = chosen[1]["steps"]
            stays = (
                {"until_age_s": None, "skip_if_none_available": False, "skip_if": None} if flow["end"] == "stay" else {}
            )
            return [*before, {**last, **stays}]
        return [{"queue": flow["default_queue"], "until_age_s": None, "skip_if_none_available": False}]

    def station(self, contact: ContactBook) -> Document | None:
        """The station of its flow that the contact is at; None if it has none."""
        route = self.route(contact)
        return route[contact.flow_step] if contact.flow_step < len(route) else None

    def is_passed_over(self, station: Document) -> bool:
        """Whether nobody begins to wait at a station, because it says so and nobody is there."""
        return bool(station["skip_if_none_available"]) and not self.is_staffed(station["queue"])

    def is_passed_by(self, station: Document, contact: ContactBook) -> bool:
        """Whether a contact that comes to a station goes on at once: because nobody is there, too few are, too many
        others wait, or a kind of channel is down."""
        skip, queue = station.get("skip_if") or {}, station["queue"]
        ahead = self.waiting_in(queue) - (contact.queue == queue and contact.state in WAITS)
        there = sum(1 for agent in self.agents.values() if agent.is_member(queue) and self.is_there(agent, queue))
        kind = skip.get("channel_down")
        return (
            self.is_passed_over(station)
            or ahead >= (skip.get("waiting_at_least") or ahead + 1)
            or there < (skip.get("staffed_below") or 0)
            or (kind is not None and all(map(self.is_down, self._channels_of(kind))))
        )

    def _channels_of(self, kind: str) -> list[str]:
        return [name for name, channel in self.channels.items() if channel["kind"] == kind]

    def leaves_unstaffed(self, contact: ContactBook) -> bool:
        """Whether a waiting contact goes on at once: nobody was asked at its station, and nobody is left to be."""
        station = self.station(contact)
        if station is None or contact.asked or station["queue"] != contact.queue:
            return False
        return self.is_passed_over(station)

    def way_out(self, contact: ContactBook) -> str | None:
        """The first channel that a contact on a channel that is down could be moved to."""
        fallback = self.channels[contact.channel_name]["fallback"] if contact.channel_name in self.channels else ()
        left = {hop[0] for hop in contact.hops}
        for step in fallback:
            name = f"{step['channel']}:{step['account']}"
            reach = contact.reach.get(step["channel"])
            if name not in left and not self.is_down(name) and reach is not None and reach.verified and reach.consent:
                return name
        return None


def fits(attributes: Mapping[str, str], match: Mapping[str, str]) -> bool:
    return all(attributes.get(name) == value for name, value in match.items())


def is_open(queue: Document, at: int) -> bool:
    """Whether the time lies in the opening hours, which are written down with the policy."""
    if queue["business_hours"] is None:
        return True
    return any(begin <= at < end for begin, end in queue["open_ms"])
