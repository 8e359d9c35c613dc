"""The facts of a workspace: contacts, agents, offers and what belongs to them.

Every record is written by `evolve` alone, after `Undo.save`. Values in mutable fields are replaced, never changed
inside, so that a saved record is really saved; the two lists that only grow say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from services.router.engine.waits import Promise
from shared.contracts.commands import Membership, Reach
from shared.vocabulary import (
    AddressKey,
    AgentId,
    ChannelHealth,
    ContactId,
    ContactState,
    CustomerId,
    Delivery,
    MessageId,
    OfferId,
    OutboundId,
    QueueName,
    Role,
    ThreadKey,
    channel_name,
)

UNIT = 1000
"""Capacity counts in thousandths, so that fractions stay whole numbers."""


class Record:
    """A fact that the snapshot keeps as it stands: what its undo needs lies beside its fields, and is not stored."""

    __slots__ = ("saved_in",)
    MUTABLE: ClassVar[tuple[str, ...]] = ()
    saved_in: object


@dataclass(slots=True, kw_only=True)
class Message(Record):
    """One line of a conversation. `thread_seq` counts from 1 in its thread; the text lies under `ref`."""

    MUTABLE: ClassVar[tuple[str, ...]] = ("ref", "status")

    id: MessageId
    direction: str
    kind: str
    ref: str
    at: int
    channel: str
    account: str
    thread: ThreadKey
    thread_seq: int
    author: str
    source_key: str = ""
    refers_to: str | None = None
    status: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """One hop a rule made."""

    from_channel: str
    channel: str
    rule: str
    at: int


@dataclass(slots=True, kw_only=True)
class Contact(Record):
    """One request for help. `age_from` is where waiting counts from and survives every requeue; `number`, that of the
    event that made it in its workspace, tells who came first of those who wait from the same moment. `queue_since` is
    when it entered its queue, or was given back to it, from where steps, delays and limits of the queue count. `flow`:
    the one that it is in; none once it was answered, ended or sent elsewhere by anything but the flow.

    `steps`: how many steps of the queue hold; `stepped`: of the queues it was in before. `delay`: what it has waited
    out of agents' delays (ms). `widened`: how many languages of its fallback will do.
    `asked`: it was offered to somebody since it entered its queue.
    `excluded`: who handed it on and does not get it back. `active` False: its customer is silent, it takes no room but
    its share. `outbounds`: messages to its customer that are still under way; it is kept for them.
    `promise`: the bounds that were given for its wait, while it waits. `starved`: an age (ms) that it is known to have,
    at which its queue then let it go before others. `exhausted`: all who were there had declined it, and nobody else
    was asked since. `consulted`: whom its holder asked about it.
    """

    MUTABLE: ClassVar[tuple[str, ...]] = (
        "channel",
        "account",
        "thread",
        "sender",
        "queue",
        "queue_since",
        "flow",
        "preferred",
        "priority",
        "age_from",
        "steps",
        "stepped",
        "delay",
        "widened",
        "preference_over",
        "wish_met",
        "scheduled_priority",
        "past_age",
        "deadline_near",
        "starved",
        "exhausted",
        "asked",
        "excluded",
        "flow_step",
        "overflowed",
        "active",
        "declined_at",
        "language",
        "language_confidence",
        "reach",
        "state",
        "state_since",
        "retry_at",
        "considered",
        "offers",
        "agent",
        "declines",
        "redirects",
        "ended_at",
        "end_reason",
        "wrap_up_code",
        "answered_at",
        "last_message_at",
        "threads",
        "outbounds",
        "consulted",
        "consult_notes",
        "promise",
    )

    id: ContactId
    source_key: str
    channel: str
    account: str
    thread: ThreadKey
    customer: CustomerId
    sender: AddressKey
    queue: QueueName
    language: str
    language_confidence: float | None
    skills: tuple[tuple[str, int], ...]
    priority: int
    attributes: Mapping[str, str]
    reach: Mapping[str, Reach]
    created_at: int
    number: int
    age_from: int
    state: ContactState
    state_since: int
    scheduled_at: int | None = None
    scheduled_priority: int | None = None
    previous: ContactId | None = None
    language_min: int | None = None
    flow: str | None = None
    preferred: tuple[AgentId, ...] = ()
    profiles: tuple[str, ...] = ()
    queue_since: int = 0
    steps: int = 0
    stepped: Mapping[str, int] = field(default_factory=dict)
    delay: int = 0
    widened: int = 0
    preference_over: bool = False
    wish_met: bool = False
    """Its wish for somebody had an answer, theirs or anybody's: only where contacts are held for whom they name it
    counts on."""
    past_age: int = 0
    """An age (ms) that it is known to be past: the longest that its queue allowed then."""
    deadline_near: bool = False
    starved: int = 0
    exhausted: bool = False
    asked: bool = False
    excluded: AgentId | None = None
    flow_step: int = 0
    overflowed: tuple[str, ...] = ()
    active: bool = True
    declined_at: Mapping[AgentId, int] = field(default_factory=dict)
    retry_at: int | None = None
    considered: int = -1
    offers: tuple[OfferId, ...] = ()
    agent: AgentId | None = None
    declines: Mapping[AgentId, int] = field(default_factory=dict)
    redirects: tuple[Redirect, ...] = ()
    ended_at: int | None = None
    end_reason: str | None = None
    wrap_up_code: str | None = None
    answered_at: int | None = None
    last_message_at: int | None = None
    threads: tuple[ThreadKey, ...] = ()
    outbounds: tuple[OutboundId, ...] = ()
    consulted: tuple[AgentId, ...] = ()
    consult_notes: Mapping[AgentId, str] = field(default_factory=dict)
    """Of those who are consulted: where what they were told lies."""
    promise: Promise | None = None
    all_offers: list[OfferId] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)

    @property
    def channel_name(self) -> str:
        return channel_name(self.channel, self.account)


class WrapUpBeside(NamedTuple):
    """A wrap-up that leaves an agent to other work. `queue`: towards which alone it holds; None if it keeps the room of
    its contact. `until` in ms."""

    until: int
    contact: ContactId
    queue: str | None


@dataclass(slots=True, kw_only=True)
class Agent(Record):
    """Who handles contacts. `held`: the contacts on offer or assigned and their channel kind; both take capacity, but
    for those in `parked`, which take `capacity_parked` of the total and no other room. `queue_…` hold towards single
    queues only. `assigned_last`: when a contact of a queue was last offered or given to them; `assigned_times`: those
    that a queue's rate limit looks at. `signed_in_at`: when they became available for the first time since they were
    offline; `ramped`: how long after that the last step of the ramp ended
    that is behind them. Times in ms."""

    PROFILE: ClassVar[tuple[str, ...]] = (
        "name",
        "languages",
        "skills",
        "queues",
        "channels",
        "capacity_total",
        "capacity_per_channel",
        "capacity_weights",
        "capacity_parked",
        "memberships",
        "position",
        "max_contacts",
        "profiles",
        "while_on",
        "wrap_up",
        "reject_pause",
        "attributes",
    )
    """What `PutAgent` sets, by the command's own names."""
    MUTABLE: ClassVar[tuple[str, ...]] = (
        *PROFILE,
        "paused_until",
        "queue_presence",
        "queue_wrap_up",
        "wrap_up_slots",
        "assigned_last",
        "lots",
        "assigned_times",
        "completed",
        "talk_time",
        "missed_in",
        "parked",
        "presence",
        "next_presence",
        "channel_switch",
        "reachable",
        "grace_until",
        "wrap_up_until",
        "wrap_up_contact",
        "idle_since",
        "held",
        "consulting",
        "offers",
        "missed",
        "presence_since",
        "signed_in_at",
        "ramped",
    )

    id: AgentId
    name: str = ""
    languages: Mapping[str, int] = field(default_factory=dict)
    skills: Mapping[str, int] = field(default_factory=dict)
    queues: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    capacity_total: int | None = 1000
    capacity_per_channel: Mapping[str, int] = field(default_factory=dict)
    capacity_weights: Mapping[str, int] = field(default_factory=dict)
    capacity_parked: int = 0
    memberships: tuple[Membership, ...] = ()
    position: int = 0
    max_contacts: int | None = None
    profiles: Mapping[str, int] = field(default_factory=dict)
    while_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    wrap_up: int | None = None
    reject_pause: int = 0
    attributes: Mapping[str, int] = field(default_factory=dict)
    paused_until: int | None = None
    queue_presence: Mapping[str, str] = field(default_factory=dict)
    queue_wrap_up: Mapping[str, tuple[ContactId, int]] = field(default_factory=dict)
    """By queue, towards which alone it holds: after which contact, and when it is over."""
    wrap_up_slots: Mapping[ContactId, tuple[str, int]] = field(default_factory=dict)
    """Completed contacts whose wrap-up keeps their room: the kind of channel and when it is over."""
    assigned_last: Mapping[str, int] = field(default_factory=dict)
    lots: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By queue that draws lots, once they had an offer of it: from where their lot is drawn, and its number."""
    assigned_times: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    completed: int = 0
    talk_time: int = 0
    missed_in: Mapping[str, int] = field(default_factory=dict)
    parked: tuple[ContactId, ...] = ()
    presence: str = "offline"
    next_presence: str | None = None
    channel_switch: Mapping[str, bool] = field(default_factory=dict)
    reachable: bool = False
    grace_until: int | None = None
    wrap_up_until: int | None = None
    wrap_up_contact: ContactId | None = None
    idle_since: int = 0
    held: Mapping[ContactId, str] = field(default_factory=dict)
    consulting: tuple[ContactId, ...] = ()
    """Contacts of others about which they were asked; they take no room."""
    offers: tuple[OfferId, ...] = ()
    missed: int = 0
    presence_since: int = 0
    signed_in_at: int | None = None
    ramped: int = 0

    def weight(self, kind: str) -> int:
        """What one contact of this kind takes, in thousandths of a unit."""
        return self.capacity_weights.get(kind, UNIT)

    @property
    def kinds_in_use(self) -> list[str]:
        """The channel kinds of what takes capacity, wrap-up slots included."""
        slots = [kind for kind, _ in self.wrap_up_slots.values()] if self.wrap_up_slots else []
        if not self.parked:
            return [*self.held.values(), *slots]
        return [*(kind for contact, kind in self.held.items() if contact not in self.parked), *slots]

    @property
    def wrap_up_beside(self) -> WrapUpBeside | None:
        """Of the wrap-ups beside which other work may come, those that keep room and those towards one queue, the one
        that is over last; None if none runs."""
        slots = [WrapUpBeside(until, contact, None) for contact, (_, until) in self.wrap_up_slots.items()]
        queues = [WrapUpBeside(until, contact, queue) for queue, (contact, until) in self.queue_wrap_up.items()]
        return max([*slots, *queues], key=lambda each: (each.until, each.contact, each.queue or ""), default=None)

    @property
    def used(self) -> int:
        """Capacity in use, pending offers and the share of parked contacts included, in thousandths of a unit."""
        aside = self.capacity_parked * len(self.parked) if self.parked else 0
        kinds = self.kinds_in_use
        weights = self.capacity_weights
        if not weights:
            return UNIT * len(kinds) + aside
        return sum([weights.get(kind, UNIT) for kind in kinds]) + aside

    @property
    def takes_part(self) -> bool:
        """Heard of, with no other presence to follow, neither in wrap-up nor in a pause after a rejection."""
        return (
            self.reachable and self.next_presence is None and self.wrap_up_until is None and self.paused_until is None
        )

    @property
    def takes_offers(self) -> bool:
        """Takes part and has declared to be available, as most queues want it."""
        return self.presence == "available" and self.takes_part


@dataclass(slots=True, kw_only=True)
class Offer(Record):
    """A contact shown to one agent for a limited time. `outcome` is empty while it is open.

    Ended offers stay as long as their contact, so that a late answer is refused with the true reason.
    """

    MUTABLE: ClassVar[tuple[str, ...]] = ("expires_at", "outcome")

    id: OfferId
    contact: ContactId
    agent: AgentId
    made_at: int
    expires_at: int | None
    outcome: str = ""


@dataclass(slots=True, kw_only=True)
class Thread(Record):
    """A conversation on one channel: its contacts (oldest first) and the number of the next line."""

    MUTABLE: ClassVar[tuple[str, ...]] = ("contacts", "next_seq")

    key: ThreadKey
    contacts: tuple[ContactId, ...] = ()
    next_seq: int = 1


@dataclass(slots=True, kw_only=True)
class Customer(Record):
    """What routing remembers of a customer while one of their contacts is in the state."""

    MUTABLE: ClassVar[tuple[str, ...]] = ("language", "contacts", "keys")

    id: CustomerId
    language: str | None = None
    contacts: tuple[ContactId, ...] = ()
    keys: tuple[AddressKey, ...] = ()


@dataclass(slots=True, kw_only=True)
class ChannelState(Record):
    """What is known of one channel's health."""

    MUTABLE: ClassVar[tuple[str, ...]] = (
        "state",
        "since",
        "evidence",
        "reported",
        "failures",
        "failing_since",
        "well_since",
    )

    name: str
    kind: str
    account: str
    state: ChannelHealth = ChannelHealth.HEALTHY
    since: int = 0
    evidence: str = ""
    reported: ChannelHealth | None = None
    """What was reported last, if it does not count yet."""
    failures: int = 0
    """Reports of `down` in a row, the first of them at `failing_since`."""
    failing_since: int = 0
    well_since: int | None = None
    """Since when nobody has reported it down, while it still counts as down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Who may call, by the hash of their key."""

    key_id: str
    key_hash: str
    role: Role
    agent: AgentId | None
    label: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command was told: kept for a day or two, so that a lost answer costs one more question.

    `refused` is (reason, detail, field) or None; `subject` the id of what the command made or changed; `actor` is
    `role:id` of who asked.
    """

    seq: int
    digest: str
    refused: tuple[str, str, str | None] | None
    subject: str | None
    workspace: str
    note: str = ""
    actor: str = ""


FINAL_DELIVERIES = frozenset(
    {Delivery.DELIVERED.value, Delivery.READ.value, Delivery.FAILED.value, Delivery.REJECTED.value}
)
