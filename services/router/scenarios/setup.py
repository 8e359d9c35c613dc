"""`setup` of a scenario: the contact centre at second 0, its queues, agents and flows."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator

from services.router.scenarios.policy_files import PolicyFiles
from services.router.scenarios.vocabulary import STRICT, Levels, Seconds
from shared.contracts.policy import HealthRules, LanguageStep, Policy, RampStep, SkipIf
from shared.contracts.queue_policy import BusinessHours, OrderBy, Overflow, Preferred, RateLimit, Step, Strategy
from shared.contracts.slo_policy import Slo


class _Strict(BaseModel):
    model_config = STRICT


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
    set_presence: str
    after_misses: int = 1
    scope: Literal["agent", "queue"] = "agent"


class QueueSetup(_Strict):
    name: str
    strategy: Strategy = "longest_idle"
    tie_break: list[Strategy] = []
    order_by: list[OrderBy] = []
    skill_match: Literal["all", "closest", "ignore"] = "all"
    required_skills: Levels = {}
    preferred_skills: Levels = {}
    excluded_skills: list[str] = []
    languages: list[str] = []
    any_language_after_s: int | None = None
    rank: int = 1
    contact_order: Literal["slo", "priority", "score", "buckets"] = "priority"
    target_s: dict[str, int] = {}
    priority_unit_s: int = 60
    buckets: list[Bucket] = []
    strict_priority: int | None = None
    starvation_s: int | None = None
    max_offers: int | Literal["all"] = 1
    offer_timeout_s: int | None = None
    channel_offer_timeout_s: dict[str, int | None] = {}
    retry_delay_s: int = 0
    decline: DeclineRule = DeclineRule()
    on_miss: MissRule | None = None
    wrap_up_s: int = 0
    wrap_up_scope: Literal["agent", "queue"] = "agent"
    wrap_up_holds: Literal["agent", "capacity"] = "agent"
    parked_when_full: Literal["keep", "requeue"] = "keep"
    accepts_presence: list[str] = ["available"]
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


class MemberChannelSetup(_Strict):
    priority: int | None = None
    delay_s: Seconds | None = None


class MemberSetup(_Strict):
    queue: str
    priority: int = 1
    delay_s: Seconds = 0
    tier: int = 1
    position: int = 0
    channels: list[str] = []
    per_channel: dict[str, MemberChannelSetup] = {}


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

    @model_validator(mode="after")
    def _counts_its_ids(self) -> Self:
        if self.count is not None and self.count < len(self.ids):
            raise ValueError(f"count: there are {len(self.ids)} ids")
        return self


class AgentSetup(_Strict):
    name: str
    presence: str = "available"
    idle_s: Seconds = 0
    last_assigned_s: Seconds | dict[str, Seconds] | None = None
    completed: int = 0
    talk_time_s: Seconds = 0
    wrap_up_s: Seconds | None = None
    reject_pause_s: Seconds = 0
    channels: list[str] = []
    languages: Levels = {}
    skills: Levels = {}
    attributes: dict[str, int] = {}
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
    id: str | None = None
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

    @field_validator("start")
    @classmethod
    def _is_local(cls, value: str) -> str:
        if datetime.fromisoformat(value).tzinfo is not None:
            raise ValueError("a local time; its zone is `tz`")
        return value

    @field_validator("tz")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"there is no time zone {value!r}") from None
        return value


class GlobalSetup(_Strict):
    max_per_agent: int | None = None


class ChannelSetup(_Strict):
    reopen_s: int = 0
    last_agent: bool = False
    health: HealthRules = HealthRules()


class WaitsSetup(_Strict):
    queue: str
    channel: str = "chat"
    place_s: Annotated[float, Field(ge=1, le=86_400)]


class Setup(_Strict):
    """The centre at second 0: its rules are a policy's file, or what the setup itself says."""

    policy: Policy | None = None
    auto_accept: bool = False
    limits: GlobalSetup = Field(GlobalSetup(), alias="global")
    ramp: list[RampStep] = []
    while_on_counts_parked: bool = False
    clock: ClockSetup | None = None
    queues: list[QueueSetup] = []
    agents: list[AgentSetup] = []
    workflows: list[FlowSetup] = []
    language_fallback: dict[str, list[LanguageStep]] = {}
    slo: Slo = Slo()
    channels: dict[str, ChannelSetup] = {}
    waits: list[WaitsSetup] = []

    @field_validator("policy", mode="before")
    @classmethod
    def _policy_of_a_file(cls, value: Any, info: ValidationInfo) -> Policy:
        if not isinstance(value, str):
            raise ValueError("the name of a file, from the folder of this one")
        assert isinstance(info.context, PolicyFiles), "scenarios are validated by `read`"
        return info.context.read(value)

    @field_validator(
        "auto_accept",
        "limits",
        "ramp",
        "while_on_counts_parked",
        "queues",
        "workflows",
        "language_fallback",
        "slo",
        "channels",
        mode="before",
    )
    @classmethod
    def _not_beside_a_policy(cls, value: Any, info: ValidationInfo) -> Any:
        if info.data.get("policy") is not None:
            raise ValueError("the policy's file says it; leave one of the two out")
        return value
