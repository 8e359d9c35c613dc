"""`timeline` of a scenario: what happens, by the word in `do`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from services.router.scenarios.vocabulary import STRICT, Levels, Seconds


class _Strict(BaseModel):
    model_config = STRICT


class _Action(_Strict):
    at: Seconds
    ref: str | None = None


class ReachSetup(_Strict):
    channel: str
    verified: bool = True
    consent: bool = True


class Arrive(_Action):
    do: Literal["contact"]
    id: str
    queue: str | list[str] | None = None
    workflow: str | None = None
    channel: str = "chat"
    account: str | None = None
    language: str | None = None
    language_min: int = 1
    skills: Levels = {}
    priority: int = 0
    customer: str | None = None
    thread: str | None = None
    reach: list[ReachSetup] = []
    preferred_agents: list[str] = []
    attributes: dict[str, Any] = {}
    capacity_profiles: list[str] = []
    waited_s: Seconds = 0
    scheduled_at_s: Seconds | None = None
    scheduled_priority: int | None = None

    @model_validator(mode="after")
    def _no_key_is_idle(self) -> Self:
        for key in ("thread", "reach"):
            if getattr(self, key) and (self.waited_s or self.scheduled_at_s is not None):
                raise ValueError(f"{key}: it comes with a message, which has neither waited nor is scheduled")
        if self.scheduled_priority is not None and self.scheduled_at_s is None:
            raise ValueError("scheduled_priority: counts from scheduled_at_s on, which is not there")
        if self.queue is not None and self.workflow is not None:
            raise ValueError("workflow: it says which queue; leave one of the two out")
        return self


class SetAgentPresence(_Action):
    do: Literal["agent_presence"]
    agent: str
    presence: str


class SetAgentChannel(_Action):
    do: Literal["agent_channel"]
    agent: str
    channel: str
    available: bool


class Accept(_Action):
    do: Literal["accept"]
    contact: str
    agent: str


class Reject(_Action):
    do: Literal["reject"]
    contact: str
    agent: str
    retry_after_s: Seconds = 0


class Complete(_Action):
    do: Literal["complete"]
    contact: str
    agent: str


class Cancel(_Action):
    do: Literal["cancel"]
    contact: str


class Reopen(_Action):
    do: Literal["reopen"]
    contact: str


class Assign(_Action):
    do: Literal["assign"]
    contact: str
    agent: str


class ContactActive(_Action):
    do: Literal["contact_active"]
    contact: str
    active: bool


class Transfer(_Action):
    do: Literal["transfer"]
    contact: str
    agent: str
    to_queue: str | None = None
    to_agent: str | None = None
    to_channel: str | None = None
    account: str | None = None
    exclude_self: bool = False
    keep_age: bool = False

    @model_validator(mode="after")
    def _goes_to_one(self) -> Self:
        if [self.to_queue, self.to_agent, self.to_channel].count(None) != 2:
            raise ValueError("to_queue: name a queue, an agent or a channel, one of the three")
        if self.account is not None and self.to_channel is None:
            raise ValueError("account: goes with to_channel")
        return self


class Consult(_Action):
    do: Literal["consult", "end_consult"]
    contact: str
    agent: str
    colleague: str


class Lease(_Action):
    do: Literal["lose_desk", "regain_desk"]
    agent: str


class SetPriority(_Action):
    do: Literal["set_priority"]
    contact: str
    priority: int


class AdjustAge(_Action):
    do: Literal["adjust_age"]
    contact: str
    add_s: float


class SetLimit(_Action):
    do: Literal["set_limit"]
    agent: str | None = None
    queue: str | None = None
    max: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _of_one(self) -> Self:
        if self.agent is not None and self.queue is not None:
            raise ValueError("queue: name an agent or a queue, not both")
        return self


class FreezeQueue(_Action):
    do: Literal["freeze_queue", "unfreeze_queue"]
    queue: str


class ChannelDown(_Action):
    do: Literal["channel_down", "channel_up"]
    channel: str
    account: str | None = None
    by: Literal["operator", "adapter"] = "operator"


class SendStep(_Strict):
    channel: str
    until: Literal["delivered", "read"] = "delivered"
    within_s: Seconds | None = None


class Send(_Action):
    do: Literal["send"]
    id: str
    route: list[SendStep]
    contact: str | None = None
    deadline_s: Seconds | None = None


class Deliver(_Action):
    do: Literal["delivery"]
    message: str
    channel: str
    status: Literal["accepted", "delivered", "read", "failed", "rejected"]


Action = Annotated[
    Arrive
    | SetAgentPresence
    | SetAgentChannel
    | Accept
    | Reject
    | Complete
    | Cancel
    | Reopen
    | Assign
    | ContactActive
    | Transfer
    | Consult
    | Lease
    | SetPriority
    | AdjustAge
    | SetLimit
    | FreezeQueue
    | ChannelDown
    | Send
    | Deliver,
    Field(discriminator="do"),
]
