"""The format of scenario files, as `docs/scenarios.md` describes it. Unknown keys are errors that name the key.

Times are seconds from the start of the scenario; fractions are allowed to the millisecond.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from services.router.scenarios.policy_files import PolicyFiles
from shared.contracts.policy import LanguageStep, Policy, RampStep, SkipIf
from shared.contracts.queue_policy import BusinessHours, OrderBy, Overflow, Preferred, RateLimit, Step, Strategy
from shared.contracts.slo_policy import Slo

Seconds = Annotated[float, Field(ge=0, le=31 * 86_400)]
Presence = str
Levels = dict[str, Annotated[int, Field(ge=1, le=5)]]


class UnreadableScenarios(ValueError):
    """A file is not what it should be; the message names the file, the scenario and the key."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bucket(_Strict):
    match: dict[str, Any]
    order_attr: str | None = None


class DeclineRule(_Strict):
    policy: Literal["others_first", "never", "after_s"] = "others_first"
    max: int | None = None
    after_s: int = 0
    reset_on_login: bool = False
    when_exhausted: Literal["next_step", "stay"] = "stay"


class MissRule(_Strict):
    set_presence: Presence
    after_misses: int = 1
    scope: Literal["agent", "queue"] = "agent"


class QueueSetup(_Strict):
    name: str
    strategy: Strategy = "longest_idle"
    tie_break: list[Strategy] = []
    order_by: list[OrderBy] = []
    skill_match: Literal["all", "closest", "ignore"] = "all"
    required_skills: Levels = {}
    languages: list[str] = []
    rank: int = 1
    contact_order: Literal["slo", "priority", "score", "buckets"] = "priority"
    target_s: dict[str, int] = {}
    priority_unit_s: int = 60
    buckets: list[Bucket] = []
    strict_priority: int | None = None
    starvation_s: int | None = None
    max_offers: int | Literal["all"] = 1
    offer_timeout_s: int | None = None
    retry_delay_s: int = 0
    decline: DeclineRule = DeclineRule()
    on_miss: MissRule | None = None
    wrap_up_s: int = 0
    wrap_up_scope: Literal["agent", "queue"] = "agent"
    wrap_up_holds: Literal["agent", "capacity"] = "agent"
    accepts_presence: list[Presence] = ["available"]
    require_staff: bool = False
    auto_assign: bool = True
    auto_accept: bool | None = None
    initial_tier: int | None = None
    skip_empty_tiers: bool = False
    steps: list[Step] = []
    max_wait_s: int | None = None
    max_wait_interrupts_offer: bool = True
    max_waiting: int | None = None
    overflow: list[Overflow] = []
    business_hours: BusinessHours | None = None
    max_per_agent: int | None = None
    rate_limit: RateLimit | None = None
    max_age_s: int | None = None
    exclude: list[dict[str, Any]] = []
    preferred: Preferred = Preferred()


class MemberSetup(_Strict):
    queue: str
    priority: int = 1
    delay_s: Seconds = 0
    tier: int = 1
    position: int = 0
    channels: list[str] = []


class CapacitySetup(_Strict):
    total: float | None = None
    weights: dict[str, float] = {}
    parked: float = 0
    per_channel: dict[str, int] = {}
    max_contacts: int | None = None
    profiles: dict[str, int] = {}


class LoadSetup(_Strict):
    queue: str
    channel: str = "chat"
    count: int | None = None
    ids: list[str] = []


class AgentSetup(_Strict):
    name: str
    presence: Presence = "available"
    idle_s: Seconds = 0
    last_assigned_s: Seconds | dict[str, Seconds] | None = None
    completed: int = 0
    talk_time_s: Seconds = 0
    wrap_up_s: Seconds | None = None
    reject_pause_s: Seconds = 0
    channels: list[str] = []
    languages: Levels = {}
    skills: Levels = {}
    queues: list[str | MemberSetup] = []
    capacity: CapacitySetup | None = None
    while_on: dict[str, list[str]] = {}
    load: list[LoadSetup] = []


class FlowStepSetup(_Strict):
    queue: str
    until_age_s: int | None = None
    priority: int | None = None
    only_agents: list[str] | Literal["$preferred"] | None = None
    skip_if_none_available: bool = False
    skip_if: SkipIf | None = None


class FlowFilterSetup(_Strict):
    match: dict[str, Any] = {}
    steps: list[FlowStepSetup]


class FlowSetup(_Strict):
    name: str
    default_queue: str
    filters: list[FlowFilterSetup] = []
    end: Literal["cancel", "default_queue", "callback", "stay"] = "cancel"


class ClockSetup(_Strict):
    start: str
    tz: str = "UTC"


class GlobalSetup(_Strict):
    max_per_agent: int | None = None


class ReachSetup(_Strict):
    channel: str
    verified: bool = True
    consent: bool = True


class ChannelSetup(_Strict):
    reopen_s: int = 0
    last_agent: bool = False


class Setup(_Strict):
    """The centre at second 0: its rules are a policy's file, or what the setup itself says."""

    policy: Policy | None = None
    auto_accept: bool = False
    limits: GlobalSetup = Field(GlobalSetup(), alias="global")
    ramp: list[RampStep] = []
    clock: ClockSetup | None = None
    queues: list[QueueSetup] = []
    agents: list[AgentSetup] = []
    workflows: list[FlowSetup] = []
    language_fallback: dict[str, list[LanguageStep]] = {}
    slo: Slo = Slo()
    channels: dict[str, ChannelSetup] = {}

    @field_validator("policy", mode="before")
    @classmethod
    def _policy_of_a_file(cls, value: Any, info: ValidationInfo) -> Policy:
        if not isinstance(value, str):
            raise ValueError("the name of a file, from the folder of this one")
        assert isinstance(info.context, PolicyFiles), "scenarios are validated by `read`"
        return info.context.read(value)

    @field_validator(
        "auto_accept", "limits", "ramp", "queues", "workflows", "language_fallback", "slo", "channels", mode="before"
    )
    @classmethod
    def _not_beside_a_policy(cls, value: Any, info: ValidationInfo) -> Any:
        if info.data.get("policy") is not None:
            raise ValueError("the policy's file says it; leave one of the two out")
        return value


class _Action(_Strict):
    at: Seconds
    ref: str | None = None


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
    def _a_message_comes_now(self) -> Self:
        if self.reach and (self.waited_s or self.scheduled_at_s is not None):
            raise ValueError("reach: it comes with a message, which has neither waited nor is scheduled")
        return self


class SetAgentPresence(_Action):
    do: Literal["agent_presence"]
    agent: str
    presence: Presence


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
    max: int | None = None


class FreezeQueue(_Action):
    do: Literal["freeze_queue", "unfreeze_queue"]
    queue: str


class ChannelDown(_Action):
    do: Literal["channel_down", "channel_up"]
    channel: str
    account: str | None = None


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


ContactWord = Literal["waiting", "offered", "assigned", "completed", "canceled", "refused", "scheduled"]
MessageWord = Literal["pending", "succeeded", "failed"]


class Expectation(_Strict):
    """What must be true at a moment of one contact, agent or message, or of one action of the timeline."""

    at: Seconds
    contact: str | None = None
    agent: str | None = None
    message: str | None = None
    op: str | None = None
    state: ContactWord | MessageWord | None = None
    attempts: list[str] | None = None
    queue: str | None = None
    channel: str | None = None
    offered_to: list[str] | None = None
    assigned_to: str | None = None
    consulted: list[str] | None = None
    consulting: list[str] | None = None
    not_offered_to: list[str] | None = None
    position: int | None = None
    exhausted: bool | None = None
    notices: list[str] | None = None
    presence: Presence | None = None
    open: int | None = None
    refused: bool | None = None

    @field_validator("offered_to", "not_offered_to", "attempts", "notices", "consulted", "consulting", mode="before")
    @classmethod
    def _one_name_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @property
    def subject(self) -> str:
        """What it is about."""
        return self.contact or self.agent or self.message or self.op or ""


class Scenario(BaseModel):
    """One small centre. Keys that are not named here are notes."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    intent: str
    setup: Setup
    timeline: list[Action]
    expect: list[Expectation] = Field(min_length=1)


_scenarios = TypeAdapter(list[Scenario])


def read(path: Path) -> list[Scenario]:
    """The scenarios of a file. Raises `UnreadableScenarios`."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UnreadableScenarios(f"{path}: {error}") from None
    try:
        return _scenarios.validate_python(document, context=PolicyFiles(path.parent))
    except ValidationError as error:
        lines = [
            f"{path}: {_place(document, each['loc'])}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        ]
        raise UnreadableScenarios("\n".join(lines)) from None


def _place(document: Any, loc: tuple[int | str, ...]) -> str:
    """`ID.setup.queues.0.rnak`: the scenario by its id, where it has one."""
    first, *rest = loc or ("document",)
    if isinstance(first, int) and isinstance(document, list) and isinstance(document[first], dict):
        first = document[first].get("id", first)
    return ".".join(str(part) for part in (first, *rest))
