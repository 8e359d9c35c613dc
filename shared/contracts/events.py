"""Events: what became true, past tense. The journal is a list of these and nothing else.

Every field is an id, a routing attribute or a reference: no message text, no addresses. Times are integer
milliseconds. An event's public id is `partition:seq:index`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from shared.contracts.commands import DeliveryStep, LanguageCandidate, Membership, Reach
from shared.contracts.record import record
from shared.vocabulary import (
    AddressKey,
    AgentId,
    ChannelHealth,
    ContactId,
    CustomerId,
    Delivery,
    MessageId,
    MessageKind,
    OfferId,
    OutboundId,
    OutboundState,
    QueueName,
    Role,
    ThreadKey,
)


@record
class CommandRefused:
    """The answer is no, and why; nothing changed. `field` names the offending field of the request, if one does."""

    reason: str
    detail: str = ""
    field: str | None = None


@record
class CommandRejected:
    """A command that the engine could not decide (a bug or a poisoned record): dead-lettered, state untouched."""

    reason: str
    input_position: str = ""


@record
class CommandNoted:
    """Nothing to change: the asked-for state already holds. Gives the command its answer."""

    reason: str = ""
    subject: str | None = None


@record
class WorkspaceCreated:
    name: str


@record
class KeyCreated:
    key_id: str
    key_hash: str
    role: Role
    agent: AgentId | None = None
    label: str = ""


@record
class KeyRevoked:
    key_id: str


@record
class PolicyAdopted:
    """From here on decisions follow this policy; history is read under the policy that ruled."""

    version: int
    policy: Mapping[str, Any]


@record
class HoursExtended:
    """The policy in force has further opening intervals, by queue: `(begin, end)` in ms. The rules stay what they are.
    `until`: up to when these are all."""

    policy_version: int
    until: int
    hours: Mapping[str, tuple[tuple[int, int], ...]]


@record
class AgentProfileSet:
    agent: AgentId
    name: str
    languages: Mapping[str, int]
    skills: Mapping[str, int]
    queues: tuple[str, ...]
    channels: tuple[str, ...]
    capacity_total: int | None
    capacity_per_channel: Mapping[str, int]
    capacity_weights: Mapping[str, int]
    memberships: tuple[Membership, ...] = ()
    position: int = 0
    max_contacts: int | None = None
    profiles: Mapping[str, int] = field(default_factory=dict)
    while_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    wrap_up: int | None = None
    reject_pause: int = 0
    capacity_parked: int = 0
    attributes: Mapping[str, int] = field(default_factory=dict)


@record
class AgentPresenceChanged:
    """`cause`: `agent`, `missed_offers`, `next_presence`, `supervisor`. With `queue`: only towards that queue, until
    the agent declares a presence again."""

    agent: AgentId
    presence: str
    cause: str
    next_presence: str | None = None
    channels: Mapping[str, bool] = field(default_factory=dict)
    queue: str | None = None


@record
class AgentLost:
    """The lease ran out: no offers until the desk speaks again; assigned work is kept until `grace_until`."""

    agent: AgentId
    grace_until: int


@record
class AgentRegained:
    agent: AgentId


@record
class AgentGraceEnded:
    """The desk stayed silent past the grace: what the agent held goes back to its queues with its age."""

    agent: AgentId


@record
class ContactCreated:
    """A new contact, with everything routing needs to know. `age_from` is where its waiting time counts from.
    `flow_filter`: the filter of its flow that matched; None if none did."""

    contact: ContactId
    source_key: str
    channel: str
    account: str
    thread: ThreadKey
    customer: CustomerId
    sender: AddressKey
    queue: QueueName
    language: str
    language_confidence: float | None
    language_reason: str
    candidates: tuple[LanguageCandidate, ...]
    skills: Mapping[str, int]
    priority: int
    attributes: Mapping[str, str]
    reach: tuple[Reach, ...]
    age_from: int
    scheduled_at: int | None = None
    previous: ContactId | None = None
    language_min: int | None = None
    flow: str | None = None
    preferred: tuple[AgentId, ...] = ()
    profiles: tuple[str, ...] = ()
    scheduled_priority: int | None = None
    flow_step: int = 0
    flow_filter: str | None = None


@record
class ContactQueued:
    """A scheduled contact is due and waits from now on (`reason` `due`), or an ended one waits again (`reopened`), from
    now on for these agents if there are any."""

    contact: ContactId
    queue: QueueName
    reason: str
    preferred: tuple[AgentId, ...] = ()


@record
class MessageReceived:
    """A customer's message became part of a contact."""

    contact: ContactId
    message: MessageId
    source_key: str
    channel: str
    account: str
    thread: ThreadKey
    sender: AddressKey
    content_ref: str
    message_kind: MessageKind = MessageKind.MESSAGE
    refers_to: str | None = None
    reach: tuple[Reach, ...] = ()
    language: str | None = None
    language_confidence: float | None = None
    candidates: tuple[LanguageCandidate, ...] = ()


@record
class MessageIgnored:
    """A record that opens nothing: an automatic reply, a reaction to nothing. Remembered, so it counts once."""

    source_key: str
    reason: str


@record
class DecisionRecord:
    """Why this agent: the step in force, the policy, the scores of the chosen and the next few, and who was out.

    `considered` are `[agent, score…]` of the best heads; `excluded` counts by reason over capability classes.
    """

    step: int
    policy_version: int
    strategy: str
    considered: tuple[tuple[str | int | float, ...], ...]
    excluded: Mapping[str, int]


@record
class ContactMoved:
    """The contact waits in another queue. `reason`: `step`, `overflow`, `flow`, `transfer`. `age_from` if its age is
    counted anew. `flow_filter`: the filter of its flow that leads on."""

    contact: ContactId
    queue: QueueName
    reason: str
    from_queue: QueueName
    age_from: int | None = None
    flow_step: int | None = None
    excluded: AgentId | None = None
    channel: str | None = None
    flow_filter: str | None = None


@record
class ContactStepped:
    """The first `steps` steps of its queue hold for the contact from now on. `notify`: what the policy tells those who
    watch; then `queue` is the step's, which the contact may leave with it."""

    contact: ContactId
    steps: int
    notify: str | None = None
    queue: QueueName | None = None


@record
class DelayPassed:
    """The contact has been in its queue for `delay` ms: agents with at most this delay may get it."""

    contact: ContactId
    delay: int


@record
class LanguageWidened:
    """The first `languages` of the contact's language fallback will do from now on."""

    contact: ContactId
    languages: int


@record
class PreferenceEnded:
    """The wait for the preferred agents is over: anybody may get the contact."""

    contact: ContactId


@record
class ContactAgedOut:
    """Too old to be offered any more; it stays until somebody takes or ends it."""

    contact: ContactId


@record
class DeadlineNear:
    """So much of its target is used up that no room is kept free before the contact any more."""

    contact: ContactId


@record
class ContactStarving:
    """So old, as its queue counts, that the contact goes before all others but those of the strict lane."""

    contact: ContactId


@record
class ContactExhausted:
    """Everybody who is there and able has declined the contact. It waits on, by the queue's next step if there is one.
    `declined`: how many agents have, whether they are there or not."""

    contact: ContactId
    queue: QueueName
    declined: int


@record
class ReserveReviewed:
    """A look at whether room can be spared for contacts that can wait: customers of short deadlines come less often
    as time passes, which no other event tells."""


@record
class ContactPrioritised:
    contact: ContactId
    priority: int
    reason: str = ""


@record
class AgeAdjusted:
    contact: ContactId
    age_from: int


@record
class ContactAssigned:
    """By hand, whatever limits say. `reason`: `assigned` by a supervisor, `transfer` from another agent."""

    contact: ContactId
    agent: AgentId
    reason: str
    from_agent: AgentId | None = None
    note: str = ""


@record
class ConsultStarted:
    """The holder of a contact asked a colleague, who may read it from now on. `by`: who said so, as the command's
    actor; what they were told lies under `note_ref`."""

    contact: ContactId
    agent: AgentId
    by: str
    note_ref: str | None = None


@record
class ConsultEnded:
    """`reason`: `left` by the colleague; `ended` by the holder, or with the assignment; `transferred`: the contact was
    handed on or given to somebody; `lost`: the colleague's desk is lost for good, or they went offline."""

    contact: ContactId
    agent: AgentId
    reason: str


@record
class ContactActivity:
    """An assigned contact takes its whole capacity (active) or the share of a parked one (its customer is silent)."""

    contact: ContactId
    agent: AgentId
    active: bool


@record
class LimitSet:
    """Open contacts at most: of an agent, of a queue per agent, or of every agent without a limit of their own."""

    most: int | None
    agent: AgentId | None = None
    queue: str | None = None


@record
class QueueHours:
    """A queue opens or closes, by its opening hours."""

    queue: QueueName
    open: bool


@record
class QueueFrozen:
    """By hand: nothing of the queue is offered (or it is again)."""

    queue: QueueName
    frozen: bool


@record
class AgentPaused:
    """After a rejection the agent is offered nothing until then."""

    agent: AgentId
    until: int


@record
class AgentPauseEnded:
    agent: AgentId


@record
class RateWindowMoved:
    """Assignments of the queue that are older than its window no longer count against the agent."""

    agent: AgentId
    queue: QueueName
    since: int


@record
class AgentRamped:
    """So many steps of the ramp are behind an agent who signed in; the next one limits them now, or none any more."""

    agent: AgentId
    steps: int


@record
class DeclineForgotten:
    """The agent may be offered the contact again, as if they had never declined it."""

    contact: ContactId
    agent: AgentId


@record
class DeclinePassed:
    """The time is over for which an agent who declined the contact is not asked again; the decline still counts."""

    contact: ContactId
    agent: AgentId


@record
class OfferMade:
    """`lot`: where the queue draws lots, how far its race has come with this one."""

    offer: OfferId
    contact: ContactId
    agent: AgentId
    expires_at: int | None
    decision: DecisionRecord
    lot: int | None = None


@record
class OfferAccepted:
    """The agent now holds the contact (an assignment)."""

    offer: OfferId
    contact: ContactId
    agent: AgentId


@record
class OfferDeclined:
    offer: OfferId
    contact: ContactId
    agent: AgentId
    reason: str
    retry_at: int | None = None


@record
class OfferExpired:
    """Nobody answered in time: counts as a decline; `missed` consecutive misses of the agent so far."""

    offer: OfferId
    contact: ContactId
    agent: AgentId
    missed: int
    retry_at: int | None = None


@record
class OfferWithdrawn:
    """Taken back, not a decline.

    `reason`: `presence`, `agent_lost`, `channel_down`, `cancelled`, `abandoned`, `profile`, `policy`.
    """

    offer: OfferId
    contact: ContactId
    agent: AgentId
    reason: str


@record
class RetryDue:
    """The pause after a decline is over; the contact may be offered again."""

    contact: ContactId


@record
class ContactRequeued:
    """An assignment ended without an answer; the contact waits again with its age. `preferred`: whom it waits for
    first, where the agent did not give it back but was lost, and may return, or has no room now."""

    contact: ContactId
    agent: AgentId
    reason: str
    preferred: tuple[AgentId, ...] = ()


@record
class ContactCompleted:
    """`wrap_up_queue`: the wrap-up holds towards that queue alone; `wrap_up_slot`: it keeps the contact's room."""

    contact: ContactId
    agent: AgentId
    wrap_up_until: int | None = None
    wrap_up_code: str | None = None
    note_ref: str | None = None
    wrap_up_queue: str | None = None
    wrap_up_slot: bool = False


@record
class ContactCancelled:
    contact: ContactId
    reason: str


@record
class ContactAbandoned:
    """The customer left while waiting; `waited` in ms."""

    contact: ContactId
    waited: int


@record
class ContactForgotten:
    """Ended long enough ago: leaves the state, stays in the journal."""

    contact: ContactId


@record
class WrapUpExtended:
    """With `slot_of`: the wrap-up that keeps the room of that contact; with `queue`: the one towards that queue."""

    agent: AgentId
    until: int
    slot_of: ContactId | None = None
    queue: str | None = None


@record
class WrapUpEnded:
    """`cause`: `timer` or `agent`. With `queue`: the wrap-up that held only towards that queue; with `slot_of`: the
    one that kept the room of that contact."""

    agent: AgentId
    cause: str
    code: str | None = None
    queue: str | None = None
    slot_of: ContactId | None = None


@record
class ReplyQueued:
    """An agent's reply is on its way; an adapter delivers it and reports."""

    message: MessageId
    contact: ContactId
    agent: AgentId
    channel: str
    account: str
    thread: ThreadKey
    address: AddressKey
    content_ref: str


@record
class DeliveryReported:
    """How far a reply or an attempt of an outbound message got. `duplicate_delivered`: the attempt had been given up
    and another one made, so that the customer may have the message twice."""

    message: MessageId
    contact: ContactId | None
    status: Delivery
    detail: str = ""
    outbound: OutboundId | None = None
    duplicate_delivered: bool = False


@record
class OutboundCreated:
    """A message to a customer is to be delivered by the first way of its route that works, before `deadline`."""

    outbound: OutboundId
    source_key: str
    content_ref: str
    route: tuple[DeliveryStep, ...]
    deadline: int
    contact: ContactId | None = None


@record
class OutboundAttempted:
    """Step `step` (from 0) of the route is tried: an adapter sends it and reports, as it does with a reply."""

    outbound: OutboundId
    message: MessageId
    step: int
    channel: str
    account: str
    thread: ThreadKey
    address: AddressKey
    content_ref: str
    contact: ContactId | None = None


@record
class OutboundSkipped:
    """Nothing is sent by step `step`. `reason`: `channel_down` is an attempt that failed at once; `no_address`,
    `not_verified`, `no_consent` and `unknown_channel` are none."""

    outbound: OutboundId
    step: int
    channel: str
    account: str
    reason: str
    contact: ContactId | None = None


@record
class OutboundAdvanced:
    """The attempt under way is given up. `reason`: `failed`, `rejected`, `no_status`, `channel_down`."""

    outbound: OutboundId
    message: MessageId
    step: int
    channel: str
    account: str
    reason: str
    contact: ContactId | None = None


@record
class OutboundEnded:
    """Nothing more is sent. `reason`: `delivered`, `read`, `answered`; `exhausted`, `deadline`. `channel` and `message`
    name the attempt that succeeded, if one did."""

    outbound: OutboundId
    state: OutboundState
    reason: str
    channel: str | None = None
    message: MessageId | None = None
    contact: ContactId | None = None


@record
class OutboundForgotten:
    """Ended long enough ago: leaves the state, stays in the journal."""

    outbound: OutboundId
    contact: ContactId | None = None


@record
class ChannelHealthChanged:
    """What a channel counts as, or what was reported of it. `reported`: what does not count yet, because it has to be
    reported more often or to hold longer; `failures`: reports of `down` in a row."""

    channel: str
    account: str
    state: ChannelHealth
    evidence: str
    reported: ChannelHealth | None = None
    failures: int = 0


@record
class ContactRedirected:
    """The contact goes on by another channel, with age and place: by a rule, or (`rule` `transfer`) by its agent, who
    keeps it. `refused`: alternatives and why not."""

    contact: ContactId
    from_channel: str
    from_account: str
    channel: str
    account: str
    thread: ThreadKey
    address: AddressKey
    rule: str
    evidence: str
    refused: tuple[tuple[str, str], ...] = ()


@record
class RedirectRefused:
    """The channel is down and no other one reaches the customer: the contact stays and is announced."""

    contact: ContactId
    rule: str
    refused: tuple[tuple[str, str], ...]


@record
class Resumed:
    """Nobody led for `gap` ms: deadlines that ran meanwhile are shifted, nobody loses an offer they never saw."""

    gap: int


@record
class DayTurned:
    """A new generation of the dedupe window and of remembered answers begins; the oldest is dropped."""

    day: int


Event = (
    CommandRefused
    | CommandRejected
    | CommandNoted
    | WorkspaceCreated
    | KeyCreated
    | KeyRevoked
    | PolicyAdopted
    | HoursExtended
    | AgentProfileSet
    | AgentPresenceChanged
    | AgentLost
    | AgentRegained
    | AgentGraceEnded
    | ContactCreated
    | ContactQueued
    | MessageReceived
    | MessageIgnored
    | ContactMoved
    | ContactStepped
    | DelayPassed
    | LanguageWidened
    | PreferenceEnded
    | ContactAgedOut
    | ContactPrioritised
    | AgeAdjusted
    | ContactAssigned
    | ConsultStarted
    | ConsultEnded
    | ContactActivity
    | LimitSet
    | QueueHours
    | QueueFrozen
    | AgentPaused
    | AgentPauseEnded
    | RateWindowMoved
    | DeadlineNear
    | ContactStarving
    | ContactExhausted
    | ReserveReviewed
    | AgentRamped
    | DeclineForgotten
    | DeclinePassed
    | OfferMade
    | OfferAccepted
    | OfferDeclined
    | OfferExpired
    | OfferWithdrawn
    | RetryDue
    | ContactRequeued
    | ContactCompleted
    | ContactCancelled
    | ContactAbandoned
    | ContactForgotten
    | WrapUpExtended
    | WrapUpEnded
    | ReplyQueued
    | DeliveryReported
    | OutboundCreated
    | OutboundAttempted
    | OutboundSkipped
    | OutboundAdvanced
    | OutboundEnded
    | OutboundForgotten
    | ChannelHealthChanged
    | ContactRedirected
    | RedirectRefused
    | Resumed
    | DayTurned
)
