"""Commands: what customers, agents, operators and channels ask for, imperative.

Plain records of the standard library, so that the engine can take them as they are. Everything hostile has been
refused at the border before a record exists; `shared.log.codec` turns records into bytes and back.
Times are integer milliseconds since the epoch (UTC), durations integer milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from shared.contracts.record import record
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


@record
class Reach:
    """One more way to reach a customer: facts only, the address lies in the content store under `a:{key}`."""

    channel: str
    account: str
    key: AddressKey
    verified: bool
    consent: bool


@record
class LanguageCandidate:
    """What the detector thought: a code without region, and a calibrated confidence between 0 and 1."""

    language: str
    confidence: float


@record
class CreateWorkspace:
    """Begin a workspace: the unit of isolation, order and partitioning."""

    name: str


@record
class CreateKey:
    """Let a caller in. Only the SHA-256 of the key is ever recorded; the key is shown once, by whoever made it."""

    key_id: str
    key_hash: str
    role: Role
    agent: AgentId | None = None
    label: str = ""


@record
class RevokeKey:
    """Shut a key out, at once."""

    key_id: str


@record
class AdoptPolicy:
    """Put a validated policy in force. `policy` is the document as `shared.contracts.policy` dumps it."""

    policy: Mapping[str, Any]


@record
class ExtendHours:
    """Continue the opening intervals of a policy, by queue: `(begin, end)` in ms. Made by the router long before they
    come to their end; void if another version is in force by then. `until`: up to when these are all."""

    policy_version: int
    until: int
    hours: Mapping[str, tuple[tuple[int, int], ...]]


@record
class ChannelTerms:
    """What holds for one agent in one queue for contacts of one kind of channel; None: as for all others there."""

    channel: str
    priority: int | None = None
    delay: int | None = None


@record
class Membership:
    """What holds for one agent in one queue. `priority` and `tier`: lower first; `delay` in ms: how long a contact must
    have been in the queue before this agent may get it, even if idle; no `channels` means all. `per_channel`: another
    priority or delay for some kinds, none twice."""

    queue: str
    priority: int = 1
    delay: int = 0
    tier: int = 1
    position: int = 0
    channels: tuple[str, ...] = ()
    per_channel: tuple[ChannelTerms, ...] = ()


@record
class PutAgent:
    """Create an agent or replace the whole profile. Levels are 1–5; capacity counts in thousandths of a unit.

    `memberships` tell more of some of the `queues`. `capacity_total` None: no total. `max_contacts` None: the
    workspace's limit counts. `capacity_parked`: what a parked contact takes of the total. `while_on`:
    with a contact of the key's kind, only these kinds may be offered. `attributes`: numbers that `order_by` may look
    at.
    """

    agent: AgentId
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


@record
class SetPresence:
    """An agent says whether they take work. `next_presence` applies when the agent has nothing left to do."""

    agent: AgentId
    presence: str
    next_presence: str | None = None
    channels: Mapping[str, bool] = field(default_factory=dict)


@record
class LoseLease:
    """The agent's desk fell silent (no open stream or poll, no call for the lease's length)."""

    agent: AgentId


@record
class RegainLease:
    """The agent's desk speaks again."""

    agent: AgentId


@record
class ReceiveMessage:
    """A customer wrote. Facts only: text, names and addresses lie in the content store under `content_ref`."""

    source_key: str
    channel: str
    account: str
    thread: ThreadKey
    sender: AddressKey
    message_kind: MessageKind = MessageKind.MESSAGE
    content_ref: str
    has_text: bool = True
    verified: bool = False
    auto: AutoClass = AutoClass.NONE
    refers_to: str | None = None
    language: str | None = None
    language_confidence: float | None = None
    candidates: tuple[LanguageCandidate, ...] = ()
    queue: str | None = None
    skills: Mapping[str, int] = field(default_factory=dict)
    priority: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)
    reach: tuple[Reach, ...] = ()
    provider_at: int | None = None
    language_min: int | None = None
    flow: str | None = None
    queues: tuple[str, ...] = ()
    preferred: tuple[AgentId, ...] = ()
    profiles: tuple[str, ...] = ()


@record
class CreateContact:
    """Work without a message: a call-back now or later, or something of the operator's own."""

    source_key: str
    channel: str
    account: str
    customer: AddressKey | None = None
    language: str | None = None
    queue: str | None = None
    skills: Mapping[str, int] = field(default_factory=dict)
    priority: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)
    scheduled_at: int | None = None
    scheduled_priority: int | None = None
    content_ref: str | None = None
    language_min: int | None = None
    flow: str | None = None
    queues: tuple[str, ...] = ()
    preferred: tuple[AgentId, ...] = ()
    profiles: tuple[str, ...] = ()
    waited: int = 0


@record
class AcceptOffer:
    """The agent takes the contact. Who asks is the envelope's actor, never the body."""

    offer: OfferId


@record
class RejectOffer:
    """The agent declines; the contact keeps its age and place."""

    offer: OfferId
    reason: str = ""
    retry_after: int | None = None


@record
class CompleteContact:
    """The interaction is over; the agent goes into wrap-up where the queue has one."""

    contact: ContactId
    wrap_up_code: str | None = None
    note_ref: str | None = None


@record
class RequeueContact:
    """Give an assigned contact back to its queue, with its original age."""

    contact: ContactId
    reason: str = ""


@record
class AssignContact:
    """A supervisor gives a contact to an agent, whatever limits say. `reason` is recorded."""

    contact: ContactId
    agent: AgentId
    reason: str = ""


@record
class TransferContact:
    """Hand an assigned contact on: to a queue, to an agent who has room for it, or to another channel, by which its
    holder goes on with it. Exactly one of the three; `channel` and `account` belong together.

    To a queue: `keep_age` False: waiting counts anew from now; `exclude_self`: it is not offered to who hands it on.
    """

    contact: ContactId
    queue: str | None = None
    agent: AgentId | None = None
    channel: str | None = None
    account: str | None = None
    exclude_self: bool = True
    keep_age: bool = True
    reason: str = ""


@record
class StartConsult:
    """Ask a colleague about an assigned contact, which stays with its holder. What the holder tells them lies under
    `note_ref`."""

    contact: ContactId
    agent: AgentId
    note_ref: str | None = None


@record
class EndConsult:
    """The colleague leaves the consult, or is let go by the holder."""

    contact: ContactId
    agent: AgentId


@record
class PrioritiseContact:
    """Another priority for an open contact, at once."""

    contact: ContactId
    priority: int


@record
class AdjustAge:
    """Count a contact as `add` ms older (or younger) than it is."""

    contact: ContactId
    add: int


@record
class SetLimit:
    """A limit of open contacts, changed at run time: of an agent, of a queue (each agent), or of every agent without
    one of their own. 0: nothing new; None: no limit."""

    most: int | None
    agent: AgentId | None = None
    queue: str | None = None


@record
class FreezeQueue:
    """Offer nothing of a queue until it is unfrozen; what is offered and assigned stays."""

    queue: str
    frozen: bool


@record
class ReopenContact:
    """An ended contact goes on: it waits in its queue again, with its age counted from now."""

    contact: ContactId


@record
class SetContactActive:
    """An assigned contact whose customer is silent takes its share of the total alone, until it is active again."""

    contact: ContactId
    active: bool


@record
class CancelContact:
    """End an open contact without an answer, with a reason."""

    contact: ContactId
    reason: str = ""


@record
class AbandonContact:
    """The customer left before an agent came. An assigned contact is not abandoned by this: its agent ends it."""

    contact: ContactId


@record
class LeaveThread:
    """A chat customer's connection stayed away past its grace: abandon what still waits on the thread."""

    thread: ThreadKey


@record
class ExtendWrapUp:
    """More time after a contact, counted from the present end of the wrap-up."""

    agent: AgentId
    extend: int


@record
class FinishWrapUp:
    """Done with the work after the contact."""

    agent: AgentId
    code: str | None = None


@record
class SendReply:
    """An agent writes to the customer over the contact's channel; the text lies under `content_ref`."""

    contact: ContactId
    content_ref: str


@record
class DeliveryStep:
    """One way of an outbound message's route. `until`: what has to be reported, `delivered` or `read`. `within`: how
    long that may take (ms), from the attempt and anew from the channel's acceptance; None: as long as the deadline
    allows. `address` None: where the contact can be reached on this channel."""

    channel: str
    account: str
    address: AddressKey | None = None
    until: Delivery = Delivery.DELIVERED
    within: int | None = None


@record
class SendOutbound:
    """Reach a customer by the first way of the route that works. The text lies under `content_ref`; `deadline` in ms
    from now, a week if None. The same `source_key` again is the same message."""

    source_key: str
    content_ref: str
    route: tuple[DeliveryStep, ...]
    contact: ContactId | None = None
    deadline: int | None = None


@record
class ReportDelivery:
    """A channel adapter tells how far a reply or an attempt got."""

    message: MessageId
    status: Delivery
    detail: str = ""


@record
class ReportChannelHealth:
    """What is known of a channel: `evidence` is a short machine-made text, never a customer's."""

    channel: str
    account: str
    state: ChannelHealth
    evidence: str = ""


Command = (
    CreateWorkspace
    | CreateKey
    | RevokeKey
    | AdoptPolicy
    | ExtendHours
    | PutAgent
    | SetPresence
    | LoseLease
    | RegainLease
    | ReceiveMessage
    | CreateContact
    | AcceptOffer
    | RejectOffer
    | CompleteContact
    | RequeueContact
    | AssignContact
    | TransferContact
    | StartConsult
    | EndConsult
    | PrioritiseContact
    | AdjustAge
    | SetLimit
    | FreezeQueue
    | ReopenContact
    | SetContactActive
    | CancelContact
    | AbandonContact
    | LeaveThread
    | ExtendWrapUp
    | FinishWrapUp
    | SendReply
    | SendOutbound
    | ReportDelivery
    | ReportChannelHealth
)


@record
class Actor:
    """Who asks, as the token says. `id` is the agent's id for agents, else the key's id or the service's name."""

    role: Role
    id: str


@record
class Input:
    """One record of an input topic: a command with its envelope.

    `id` is the command id: a retry carries the same one, and every id the decision makes derives from it.
    `digest` is a short hash of the request's body: the same id with another digest is refused (`422`).
    """

    id: str
    workspace: str
    actor: Actor
    received_at: int
    command: Command
    digest: str = ""
