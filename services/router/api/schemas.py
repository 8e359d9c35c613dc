"""What the API reads and writes, for validation and for the OpenAPI document; the message in is the contract's own.

Requests refuse unknown fields. Durations are seconds and capacity counts in units; the engine's milliseconds and
thousandths begin in the routes. Answers come from the views as they are, so their models only describe.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.contracts.message import Key, Language, Level, Line, Name, Strict, Text
from shared.contracts.queue_policy import KindName
from shared.vocabulary import ChannelHealth, Delivery, Role

Units = Annotated[float, Field(ge=0, le=10_000)]
Reason = Annotated[Line, Field(max_length=200)]


def example(value: dict[str, Any]) -> ConfigDict:
    """A model's example, which the OpenAPI document shows."""
    return ConfigDict(json_schema_extra={"examples": [value]})


class Customer(Strict):
    """Whom the work is for, where that is known."""

    id: Key = Field(description="Native form: a phone number for a call-back, an e-mail address.")
    name: Line | None = None


class ContactIn(Strict):
    """Work without a message."""

    model_config = example(
        {"channel": "callback", "queue": "billing", "language": "id", "customer": {"id": "+6215550100"}}
    )

    channel: KindName
    account: Name | None = Field(None, description="The workspace's first account of this kind if absent.")
    source_key: Key | None = Field(None, description="Makes a repeat recognisable for good; made up if absent.")
    customer: Customer | None = None
    language: Language | None = None
    queue: Name | None = None
    queues: tuple[Name, ...] = Field(
        (), max_length=20, description="Several: the first that would take it, else the first that is open."
    )
    flow: Name | None = Field(None, description="The flow of the policy that it takes, in place of a queue.")
    language_min: Level | None = Field(None, description="In place of the queue's.")
    skills: dict[Name, Level] = Field(default_factory=dict, max_length=16)
    preferred_agents: tuple[Name, ...] = Field((), max_length=20, description="Asked first, in this order.")
    capacity_profiles: tuple[Name, ...] = Field((), max_length=8, description="Agents need room in each of them.")
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    scheduled_priority: Annotated[int, Field(ge=-1000, le=1000)] | None = Field(
        None, description="Its priority from `scheduled_at` on."
    )
    attributes: dict[Name, Line] = Field(default_factory=dict, max_length=32)
    scheduled_at: datetime | None = Field(None, description="With a time zone; now if absent.")
    subject: Line | None = None
    text: Text | None = None

    @model_validator(mode="after")
    def _time_has_a_zone(self) -> Self:
        if self.scheduled_at is not None and self.scheduled_at.tzinfo is None:
            raise ValueError("scheduled_at: needs a time zone (RFC 3339)")
        return self


class Capacity(Strict):
    """How much an agent can hold at once, in units; a contact weighs 1 unless told otherwise."""

    total: Units | None = Field(1, description="None: no limit in units.")
    per_channel: dict[KindName, Annotated[int, Field(ge=0, le=1000)]] = Field(
        default_factory=dict, description="How many contacts of a kind; kinds that are not named are not limited."
    )
    weights: dict[KindName, Units] = Field(default_factory=dict)
    parked: Units = Field(
        0, description="What a parked contact takes of the total; maxima and limits never count parked ones."
    )
    max_contacts: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="Open contacts; the policy's limit counts if absent."
    )
    profiles: dict[Name, Annotated[int, Field(ge=0, le=1000)]] = Field(
        default_factory=dict, max_length=32, description="How many contacts that carry a profile; none without it."
    )


class MemberChannel(Strict):
    """What holds for an agent in one queue for contacts of one kind of channel; what is absent is as in the queue."""

    priority: Annotated[int, Field(ge=1, le=1000)] | None = None
    delay_s: Annotated[int, Field(ge=0, le=86_400)] | None = None


class Member(Strict):
    """What holds for an agent in one queue."""

    queue: Name
    priority: Annotated[int, Field(ge=1, le=1000)] = Field(
        1, description="Of this agent's queues the lower goes first."
    )
    tier: Annotated[int, Field(ge=1, le=100)] = Field(1, description="A lower tier is asked first.")
    delay_s: Annotated[int, Field(ge=0, le=86_400)] = Field(
        0, description="So long a contact has been in the queue before this agent may get it, even if idle."
    )
    position: Annotated[int, Field(ge=0, le=100_000)] = Field(0, description="For `fixed_order`; 0: the agent's own.")
    channels: tuple[KindName, ...] = Field((), max_length=16, description="All kinds if empty.")
    per_channel: dict[KindName, MemberChannel] = Field(
        default_factory=dict,
        max_length=16,
        description="Another priority or delay for contacts of these kinds: `{voice: {priority: 1}}`.",
    )


class AgentIn(Strict):
    """An agent's whole profile; what is left out gets its default."""

    model_config = example(
        {
            "name": "Ana",
            "languages": {"en": 5, "id": 4},
            "skills": {"billing": 3},
            "queues": ["billing"],
            "capacity": {"total": 3, "per_channel": {"chat": 2}},
        }
    )

    name: Line = ""
    languages: dict[Language, Level] = Field(default_factory=dict, max_length=64)
    skills: dict[Name, Level] = Field(default_factory=dict, max_length=64)
    queues: tuple[Name | Member, ...] = Field(
        (), max_length=500, description="All queues if empty; an object where more than the name is to be said."
    )
    channels: tuple[KindName, ...] = Field((), max_length=16, description="All kinds if empty.")
    capacity: Capacity = Capacity()
    while_on: dict[KindName, tuple[KindName, ...]] = Field(
        default_factory=dict,
        max_length=16,
        description="With a contact of the key's kind only these may be offered; whether a parked one counts, "
        "the policy says (`while_on_counts_parked`).",
    )
    position: Annotated[int, Field(ge=0, le=100_000)] = Field(0, description="For the strategy `fixed_order`.")
    wrap_up_s: Annotated[int, Field(ge=0, le=86_400)] | None = Field(None, description="In place of the queues'.")
    reject_pause_s: Annotated[int, Field(ge=0, le=86_400)] = Field(
        0, description="So long nothing is offered after a rejection."
    )
    attributes: dict[Name, Annotated[int, Field(ge=-1_000_000_000, le=1_000_000_000)]] = Field(
        default_factory=dict,
        max_length=32,
        description="Numbers of your own, as `seniority`: a queue's `order_by` may look at them.",
    )


class PresenceIn(Strict):
    """What the agent says."""

    model_config = example({"presence": "available"})

    presence: Name
    channels: dict[KindName, bool] = Field(
        default_factory=dict, max_length=16, description="Switches single kinds off and on."
    )
    next: Name | None = Field(None, description="Takes effect when the agent has nothing left to do.")


class RejectIn(Strict):
    """Declining an offer; nothing has to be said."""

    model_config = example({"reason": "busy"})

    reason: Reason = ""
    retry_after_s: Annotated[int, Field(ge=0, le=86_400)] | None = None


class CompleteIn(Strict):
    """Ending a contact; nothing has to be said."""

    model_config = example({"wrap_up_code": "solved"})

    wrap_up_code: Annotated[Line, Field(max_length=64)] | None = None
    note: Text | None = None


class ReasonIn(Strict):
    """Why; never a customer's words."""

    model_config = example({"reason": "needs somebody else"})

    reason: Reason = ""


class AssignIn(Strict):
    """To whom, and why."""

    model_config = example({"agent": "ana", "reason": "knows the case"})

    agent: Name
    reason: Reason = ""


class TransferIn(Strict):
    """To a queue, to an agent or to another channel, one of the three."""

    model_config = example({"to_queue": "disputes"})

    to_queue: Name | None = None
    to_agent: Name | None = None
    to_channel: KindName | None = Field(
        None, description="The holder keeps the contact and goes on by this kind of channel."
    )
    account: Name | None = Field(None, description="Of `to_channel`; the workspace's first account of it if absent.")
    keep_age: bool = Field(default=True, description="False: waiting counts anew from now.")
    exclude_self: bool = Field(default=True, description="The queue does not offer it to who hands it on.")
    reason: Reason = ""

    @model_validator(mode="after")
    def _one_of_the_three(self) -> Self:
        if [self.to_queue, self.to_agent, self.to_channel].count(None) != 2:
            raise ValueError("to_queue: name a queue, an agent or a channel, one of the three")
        if self.account is not None and self.to_channel is None:
            raise ValueError("account: of the channel that to_channel names")
        return self


class ConsultIn(Strict):
    """Whom to ask, and what to tell them: an internal note, which the customer never sees."""

    model_config = example({"agent": "ben", "note": "Is this a case for disputes?"})

    agent: Name
    note: Text | None = None


class PriorityIn(Strict):
    """Higher is sooner."""

    model_config = example({"priority": 10})

    priority: Annotated[int, Field(ge=-1000, le=1000)]


class AgeIn(Strict):
    """How much older the contact is to count."""

    model_config = example({"add_s": 300})

    add_s: Annotated[int, Field(ge=-31 * 86_400, le=31 * 86_400)]


class LimitIn(Strict):
    """Of an agent, of a queue, or (with neither) of every agent without a limit of their own."""

    model_config = example({"queue": "billing", "max": 2})

    agent: Name | None = None
    queue: Name | None = None
    max: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        None,
        description="0: nothing new is offered. Null or absent takes the limit away; an agent without one of their own "
        "is under everybody's.",
    )

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.agent is not None and self.queue is not None:
            raise ValueError("queue: name an agent or a queue, not both")
        return self


class WrapUpIn(Strict):
    """Either more time or an end."""

    model_config = example({"finish": True})

    extend_s: Annotated[int, Field(ge=1, le=3600)] | None = None
    finish: bool = False
    code: Annotated[Line, Field(max_length=64)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.extend_s is not None) == self.finish:
            raise ValueError("extend_s: say either extend_s or finish")
        return self


class TokenIn(Strict):
    """How long an agent's token shall be valid; the workspace's usual time if absent."""

    model_config = example({"ttl_s": 3600})

    ttl_s: Annotated[int, Field(ge=1)] | None = None


class ReplyIn(Strict):
    """What the agent writes to the customer."""

    model_config = example({"text": "Your refund is on its way."})

    text: Annotated[Text, Field(min_length=1)]


class HealthIn(Strict):
    """What is known of a channel; `evidence` is a machine's short text."""

    model_config = example({"state": "healthy", "evidence": "probe answered"})

    state: ChannelHealth
    evidence: Reason = ""


class DeliveryIn(Strict):
    """How far a reply or an attempt got."""

    model_config = example({"status": "delivered"})

    status: Literal[Delivery.ACCEPTED, Delivery.DELIVERED, Delivery.READ, Delivery.FAILED, Delivery.REJECTED]
    detail: Reason = ""


class KeyIn(Strict):
    """Whom a new key lets in."""

    model_config = example({"role": "adapter", "label": "mail gateway"})

    role: Role
    agent: Name | None = Field(None, description="For the role `agent`: which one.")
    label: Annotated[Line, Field(max_length=100)] = ""

    @model_validator(mode="after")
    def _agent_is_named(self) -> Self:
        if (self.role is Role.AGENT) != (self.agent is not None):
            raise ValueError("agent: needed for the role agent, and only there")
        return self


# Answers, described.


class ProblemOut(BaseModel):
    """RFC 9457. `errors` where fields are to blame."""

    type: str
    title: str
    status: int
    detail: str = ""
    errors: list[dict[str, str]] = Field(default_factory=list)


class OfferOut(BaseModel):
    id: str
    agent: str
    expires_at: str


class ParticipantOut(BaseModel):
    """Who has to do with a contact now: the `owner` holds it, a `consult` may read it."""

    agent: str
    role: Literal["owner", "consult"]


class ConsultOut(BaseModel):
    """The participants of a contact. `note` is what a colleague was told: to the owner and supervisors all of them, to
    a colleague their own."""

    contact: str
    items: list[dict[str, Any]]
    seq: int


class WaitRangeOut(BaseModel):
    """Upper bounds for a wait, rounded up: half of the waits, and nine tenths, stay under them."""

    usually_under_s: int
    nearly_always_under_s: int


class ContactOut(BaseModel):
    """A contact as it now is. After an own command, `seq` is the command's."""

    id: str
    workspace: str
    source_key: str
    channel: str
    account: str
    queue: str
    language: str
    language_confidence: float | None
    skills: dict[str, int]
    priority: int
    state: str
    exhausted: bool = Field(
        default=False, description="Everybody who is there and able has declined it, and nobody else was asked since."
    )
    agent: str | None = None
    participants: list[ParticipantOut] = Field(default_factory=list)
    offers: list[OfferOut] = Field(default_factory=list)
    enqueued_at: str | None = None
    state_since: str
    redirects: list[dict[str, Any]] = Field(default_factory=list)
    customer: str
    created_at: str
    wait_range: WaitRangeOut | None = Field(
        None, description="How long it goes on waiting; null where that is not known well enough."
    )
    seq: int


class ReceivedOut(BaseModel):
    """Where a message went. `contact_id` is null for what opens nothing, and `ignored` says why."""

    contact_id: str | None
    state: str | None = None
    seq: int
    ignored: str | None = None
    duplicate: bool = False


class PendingOut(BaseModel):
    """Durable, not decided yet."""

    command_id: str
    state: Literal["pending"]
    result: str


class WorkOut(BaseModel):
    """An agent's work as it now is."""

    seq: int
    presence: str
    capacity: Any
    load: Any
    offers: list[dict[str, Any]]
    assignments: list[dict[str, Any]]
    consults: list[dict[str, Any]] = Field(default_factory=list)
    wrap_up: dict[str, Any] | None


class PageOut(BaseModel):
    """One page of a list; hand `next_cursor` in as `cursor` for the next one."""

    items: list[dict[str, Any]]
    next_cursor: str | None


class ExplainOut(BaseModel):
    """Why a contact went where it went. Of each decision `before` says what led to it and `considered` who came first,
    with named scores (lower is better, the first difference decides). `agents` where asked for: how each one stood."""

    contact: str
    decisions: list[dict[str, Any]]
    since: list[dict[str, Any]]
    agents: dict[str, Any] | None
