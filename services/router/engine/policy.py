"""The routing policy as decisions read it: frozen, in milliseconds, looked up by name.

Validated at the border (`shared.contracts.policy`) and recorded whole in `PolicyAdopted`; this is only its other shape.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.router.engine.slo import PLAIN, Reserve, SloRule
from shared.vocabulary import UNKNOWN_LANGUAGE, Presence, channel_name


@dataclass(frozen=True, slots=True)
class MissRule:
    """After so many offers in a row ran out, the agent's presence becomes this: everywhere, or towards the queue."""

    after_misses: int
    set_presence: str
    scope: str = "agent"


@dataclass(frozen=True, slots=True)
class DeclineRule:
    """How a decliner stands towards the contact afterwards. `after` in ms."""

    policy: str = "others_first"
    after: int = 0
    most: int | None = None
    reset_on_login: bool = False

    def excludes(self, declines: int) -> bool:
        """Whether an agent with so many declines of a contact is out for it, whatever the time."""
        return declines > 0 and (self.policy == "never" or (self.most is not None and declines >= self.most))

    def rank(self, declines: int) -> int:
        """How far behind the others an agent with so many declines of a contact stands."""
        return declines if self.policy == "others_first" else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStep:
    """What changes for a contact `after` ms in the queue."""

    after: int
    set_min: Mapping[str, int]
    drop_skills: frozenset[str]
    drop_language: bool
    any_agent: bool
    open_tier: int | None
    raise_tiers_to: int | None
    set_priority: int | None
    only_agents: tuple[str, ...] | None
    move_to: str | None


@dataclass(frozen=True, slots=True)
class BucketRule:
    """Contacts whose attributes match are served before later buckets."""

    match: tuple[tuple[str, str], ...]
    order_attr: str | None


@dataclass(frozen=True, slots=True)
class OverflowRule:
    """What happens to a contact that should not (go on to) wait; `waiting`, `closed` or `wait` (ms) is when."""

    waiting: int | None
    closed: bool
    wait: int | None
    action: str
    queue: str | None


@dataclass(frozen=True, slots=True)
class PreferredRule:
    """How contacts that name agents wait for them; `wait` in ms."""

    enabled: bool = True
    wait: int = 0
    hold: bool = False
    bypass: frozenset[str] = frozenset()
    skip_if_unavailable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePolicy:
    """How one queue waits, is ordered and is offered. Times in ms; `hours` are the open intervals, None for always."""

    name: str
    rank: int
    contact_order: str
    priority_unit: int
    buckets: tuple[BucketRule, ...]
    chain: tuple[str, ...]
    """The strategies in order, tie-breaks included: of `order_by` as `skill:NAME:asc`."""
    skill_match: str
    skills: tuple[tuple[str, int], ...]
    default_skills: tuple[tuple[str, int], ...]
    language_min: int
    default_language: str | None
    auto_assign: bool
    auto_accept: bool
    max_offers: int
    offer_timeout: int | None
    retry_delay: int
    decline: DeclineRule
    on_miss: MissRule | None
    wrap_up: int
    wrap_up_scope: str
    accepts_presence: frozenset[str]
    initial_tier: int | None
    skip_empty_tiers: bool
    steps: tuple[QueueStep, ...]
    preferred: PreferredRule
    max_per_agent: int | None
    rate_limit: tuple[int, int] | None
    """(assignments, within ms)."""
    max_waiting: int | None
    require_staff: bool
    max_wait: int | None
    max_wait_interrupts_offer: bool
    overflow: tuple[OverflowRule, ...]
    hours: tuple[tuple[int, int], ...] | None
    max_age: int | None
    exclude: tuple[tuple[tuple[str, str], ...], ...]
    target: Mapping[str, int]
    slo: SloRule | None
    """The numbers of the order or strategy `slo`, if it is either."""
    changes: bool
    """Whether a rule of this queue does something to a contact only because time passes."""

    @property
    def by_deadline(self) -> SloRule | None:
        """The numbers, if its contacts are served by deadlines."""
        return self.slo if self.contact_order == "slo" else None

    @property
    def strategy(self) -> str:
        """The first of the chain: what the decision record names."""
        return self.chain[0]

    @property
    def minds_agents(self) -> bool:
        """Whether a rule of this queue's own says which agents may be offered its contacts at a moment."""
        return (
            self.accepts_presence != _AVAILABLE
            or self.max_per_agent is not None
            or self.rate_limit is not None
            or self.wrap_up_scope == "queue"
            or (self.on_miss is not None and self.on_miss.scope == "queue")
        )

    def open_at(self, now: int) -> bool:
        """Whether `now` lies in the opening hours."""
        if self.hours is None:
            return True
        place = bisect_right(self.hours, (now, _FOREVER))
        return place > 0 and now < self.hours[place - 1][1]

    def turns_at(self, now: int) -> int | None:
        """When the queue opens or closes next after `now`; None if it never does."""
        if self.hours is None:
            return None
        place = bisect_right(self.hours, (now, _FOREVER))
        if place > 0 and now < self.hours[place - 1][1]:
            return self.hours[place - 1][1]
        return self.hours[place][0] if place < len(self.hours) else None


_AVAILABLE = frozenset({Presence.AVAILABLE.value})
_FOREVER = 1 << 62
ALL_OFFERS = 1 << 30
LAST_CHAIN = ("longest_idle", "fixed_order")
"""What decides at the end, whatever the chain; after it the agent's id."""


@dataclass(frozen=True, slots=True)
class FlowStep:
    """One station of a flow; `until` is the contact's age (ms) at which it ends."""

    queue: str
    until: int | None
    priority: int | None
    only_agents: tuple[str, ...] | None
    preferred_only: bool
    skip_if_none: bool


@dataclass(frozen=True, slots=True)
class FlowPolicy:
    """Which stations a contact goes through, by its attributes."""

    name: str
    default_queue: str
    filters: tuple[tuple[tuple[tuple[str, str], ...], tuple[FlowStep, ...]], ...]

    def route(self, attributes: Mapping[str, str]) -> tuple[FlowStep, ...]:
        """The stations of the first filter that matches; the default queue without an end if none does."""
        for match, steps in self.filters:
            if matches(attributes, match):
                return steps
        return (FlowStep(self.default_queue, None, None, None, preferred_only=False, skip_if_none=False),)


def matches(attributes: Mapping[str, str], match: tuple[tuple[str, str], ...]) -> bool:
    """Whether all of the attributes have these values."""
    return all(attributes.get(name) == value for name, value in match)


@dataclass(frozen=True, slots=True)
class ChannelPolicy:
    """Where contacts of one channel start, and where they go when it is down."""

    kind: str
    account: str
    queue: str
    flow: str | None
    language: str
    priority: int
    fallback: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        return channel_name(self.kind, self.account)


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """Everything that decides how a workspace routes."""

    queues: Mapping[str, QueuePolicy]
    channels: Mapping[str, ChannelPolicy]
    flows: Mapping[str, FlowPolicy]
    presences: frozenset[str]
    max_per_agent: int | None
    ramp: tuple[tuple[int, int], ...]
    """(ms since signing in up to which it holds, most open contacts), in order."""
    lease: int
    grace: int
    keep_on_loss: frozenset[str]
    language_confidence: float
    profile_confidence: float
    keep_ended: int
    slo: SloRule
    language_fallback: Mapping[str, tuple[tuple[str, int], ...]]
    """By language, the others that will do: (language, ms in the queue), in order."""


NO_POLICY = RoutingPolicy(
    queues={},
    channels={},
    flows={},
    presences=frozenset(p.value for p in Presence),
    max_per_agent=None,
    ramp=(),
    lease=30_000,
    grace=60_000,
    keep_on_loss=frozenset(),
    language_confidence=0.8,
    profile_confidence=0.5,
    keep_ended=86_400_000,
    slo=PLAIN,
    language_fallback={},
)
"""Before the first adoption: nothing routes, presence can be declared."""


def base_language(code: str) -> str:
    """The language without region or script: `pt-BR` asks for Portuguese."""
    return code.split("-", 1)[0].lower() if code else UNKNOWN_LANGUAGE


def spoken(levels: Mapping[str, int]) -> dict[str, int]:
    """The best level per language without region: who speaks `pt: 2` and `pt-BR: 5` speaks Portuguese at 5."""
    best: dict[str, int] = {}
    for code, level in levels.items():
        language = base_language(code)
        best[language] = max(level, best.get(language, 0))
    return best


def routing_policy(document: Mapping[str, Any]) -> RoutingPolicy:
    """The frozen form of a document that `shared.contracts.policy.Policy` dumped, of this release or an earlier one:
    what an earlier one did not know has its default."""
    slo = slo_rule(document.get("slo", {}))
    return RoutingPolicy(
        queues={queue["name"]: _queue(queue, slo) for queue in document["queues"]},
        channels={
            channel_name(c["kind"], c["account"]): ChannelPolicy(
                kind=c["kind"],
                account=c["account"],
                queue=c["queue"],
                flow=c.get("flow"),
                language=base_language(c["language"]),
                priority=c["priority"],
                fallback=tuple((step["channel"], step["account"]) for step in c["fallback"]),
            )
            for c in document["channels"]
        },
        flows={flow["name"]: _flow(flow) for flow in document.get("flows", ())},
        presences=frozenset({*(p.value for p in Presence), *document["presences"]}),
        max_per_agent=document.get("max_per_agent"),
        ramp=tuple((step["until_s"] * 1000, step["max_open"]) for step in document.get("ramp", ())),
        lease=document["lease"]["lease_s"] * 1000,
        grace=document["lease"]["grace_s"] * 1000,
        keep_on_loss=frozenset(kind for kind, what in document["lease"]["on_lost"].items() if what == "keep"),
        language_confidence=document["language_confidence"],
        profile_confidence=document["language_profile_confidence"],
        keep_ended=document["keep_ended_s"] * 1000,
        slo=slo,
        language_fallback={
            base_language(code): tuple((base_language(step["language"]), step["after_s"] * 1000) for step in chain)
            for code, chain in document.get("language_fallback", {}).items()
        },
    )


def _queue(queue: Mapping[str, Any], slo: SloRule) -> QueuePolicy:
    chain = _chain(queue)
    order = queue.get("contact_order", "priority")
    rate = queue.get("rate_limit")
    language = queue.get("default_language")
    most = queue.get("max_offers", 1)
    return QueuePolicy(
        name=queue["name"],
        rank=queue["rank"],
        contact_order=order,
        priority_unit=queue.get("priority_unit_s", 60) * 1000,
        buckets=tuple(BucketRule(_match(b["match"]), b["order_attr"]) for b in queue.get("buckets", ())),
        chain=chain,
        skill_match=queue.get("skill_match", "all"),
        skills=_levels(queue["skills"]),
        default_skills=_levels(queue.get("default_skills", {})),
        language_min=queue["language_min"],
        default_language=base_language(language) if language else None,
        auto_assign=queue.get("auto_assign", True),
        auto_accept=queue.get("auto_accept", False),
        max_offers=ALL_OFFERS if most == "all" else most,
        offer_timeout=_ms(queue["offer_timeout_s"]),
        retry_delay=queue["retry_delay_s"] * 1000,
        decline=_decline(queue["decline"]),
        on_miss=_on_miss(queue["on_miss"]),
        wrap_up=queue["wrap_up_s"] * 1000,
        wrap_up_scope=queue.get("wrap_up_scope", "agent"),
        accepts_presence=frozenset(queue.get("accepts_presence", _AVAILABLE)),
        initial_tier=queue.get("initial_tier"),
        skip_empty_tiers=queue.get("skip_empty_tiers", False),
        steps=tuple(_step(step) for step in queue.get("steps", ())),
        preferred=_preferred(queue.get("preferred")),
        max_per_agent=queue.get("max_per_agent"),
        rate_limit=(rate["max"], rate["window_s"] * 1000) if rate else None,
        max_waiting=queue.get("max_waiting"),
        require_staff=queue.get("require_staff", False),
        max_wait=_ms(queue.get("max_wait_s")),
        max_wait_interrupts_offer=queue.get("max_wait_interrupts_offer", True),
        overflow=tuple(_overflow(each) for each in queue.get("overflow", ())),
        hours=_hours(queue),
        max_age=_ms(queue.get("max_age_s")),
        exclude=tuple(_match(each) for each in queue.get("exclude", ())),
        target={kind: seconds * 1000 for kind, seconds in queue["target_s"].items()},
        slo=slo if order == "slo" or "slo" in chain else None,
        changes=_changes(queue) or (order == "slo" and slo.reserve is not None),
    )


def _changes(queue: Mapping[str, Any]) -> bool:
    return (
        any(queue.get(name) is not None for name in ("max_wait_s", "max_age_s"))
        or any(queue.get(name) for name in ("steps", "overflow"))
        or queue["decline"]["policy"] == "after_s"
    )


def slo_rule(rule: Mapping[str, Any]) -> SloRule:
    """The frozen form of `shared.contracts.slo_policy.Slo`; a document of an earlier release has none, and no queue
    that needs it."""
    if not rule:
        return PLAIN
    targets = {kind: seconds * 1000 for kind, seconds in rule["target_s"].items()}
    reserve = rule["reserve"]
    return SloRule(
        overdue_weight=rule["overdue_weight"],
        exponent=rule["exponent"],
        strict=rule["strict"],
        priority_shortens=rule["priority_shortens"],
        targets={**targets, "": rule["other_target_s"] * 1000},
        caps={**rule["age_cap"], "": rule["other_age_cap"]},
        values={int(level): value for level, value in rule["level_values"].items()},
        slowdown=tuple(rule["slowdown"]),
        reserve=None
        if reserve is None
        else Reserve(kinds=frozenset(reserve["channels"]), factor=reserve["factor"], until=reserve["until_share"]),
    )


def _ms(seconds: int | None) -> int | None:
    return None if seconds is None else seconds * 1000


def _levels(levels: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(levels.items()))


def _match(match: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(match.items()))


def _chain(queue: Mapping[str, Any]) -> tuple[str, ...]:
    first = [f"skill:{each['skill']}:{each['dir']}" for each in queue.get("order_by", ())] or [queue["strategy"]]
    return tuple(dict.fromkeys([*first, *queue.get("tie_break", ()), *LAST_CHAIN]))


def _decline(rule: Mapping[str, Any]) -> DeclineRule:
    return DeclineRule(
        rule["policy"], rule.get("after_s", 0) * 1000, rule.get("max"), reset_on_login=rule.get("reset_on_login", False)
    )


def _on_miss(rule: Mapping[str, Any] | None) -> MissRule | None:
    return MissRule(rule["after_misses"], rule["set_presence"], rule.get("scope", "agent")) if rule else None


def _step(step: Mapping[str, Any]) -> QueueStep:
    only = step["only_agents"]
    return QueueStep(
        after=step["after_s"] * 1000,
        set_min=step["set_min"],
        drop_skills=frozenset(step["drop_skills"]),
        drop_language=step["drop_language"],
        any_agent=step["any_agent"],
        open_tier=step["open_tier"],
        raise_tiers_to=step["raise_tiers_to"],
        set_priority=step["set_priority"],
        only_agents=None if only is None else tuple(only),
        move_to=step["move_to"],
    )


def _preferred(rule: Mapping[str, Any] | None) -> PreferredRule:
    if rule is None:
        return PreferredRule()
    return PreferredRule(
        enabled=rule["enabled"],
        wait=rule["wait_s"] * 1000,
        hold=rule["fallback"] == "hold",
        bypass=frozenset(rule["bypass"]),
        skip_if_unavailable=rule["skip_if_unavailable"],
    )


def _overflow(rule: Mapping[str, Any]) -> OverflowRule:
    when = rule["when"]
    return OverflowRule(
        waiting=when["waiting_at_least"],
        closed=when["closed"],
        wait=_ms(when["wait_exceeds_s"]),
        action=rule["action"],
        queue=rule["queue"],
    )


def _hours(queue: Mapping[str, Any]) -> tuple[tuple[int, int], ...] | None:
    if queue.get("business_hours") is None:
        return None
    return tuple((begin, end) for begin, end in queue.get("open_ms", ()))


def _flow(flow: Mapping[str, Any]) -> FlowPolicy:
    return FlowPolicy(
        name=flow["name"],
        default_queue=flow["default_queue"],
        filters=tuple(
            (_match(each["match"]), tuple(_flow_step(step) for step in each["steps"])) for each in flow["filters"]
        ),
    )


def _flow_step(step: Mapping[str, Any]) -> FlowStep:
    only = step["only_agents"]
    named = isinstance(only, str)
    return FlowStep(
        queue=step["queue"],
        until=_ms(step["until_age_s"]),
        priority=step["priority"],
        only_agents=None if only is None or named else tuple(only),
        preferred_only=named,
        skip_if_none=step["skip_if_none_available"],
    )
