"""From a policy document to the frozen form that decisions read.

Documents were validated at the border (`shared.contracts.policy`), by this release or an earlier one; what an earlier
one did not know has its default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.router.engine.policy import (
    ALL_OFFERS,
    AVAILABLE,
    BY_ATTRIBUTE,
    BY_LANGUAGE,
    BY_SKILL,
    LAST_CHAIN,
    PREFERS,
    BucketRule,
    ChannelPolicy,
    DeclineRule,
    FlowFilter,
    FlowPolicy,
    FlowStep,
    HealthRules,
    MissRule,
    OverflowRule,
    PreferredRule,
    QueuePolicy,
    QueueStep,
    RoutingPolicy,
    base_language,
)
from services.router.engine.slo import PLAIN, Reserve, SloRule
from shared.vocabulary import Presence, channel_name


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
                reopen=c.get("reopen_s", 0) * 1000,
                last_agent=c.get("last_agent", False),
                health=_health(c["health"]) if "health" in c else HealthRules(),
            )
            for c in document["channels"]
        },
        flows={flow["name"]: _flow(flow) for flow in document.get("flows", ())},
        presences=frozenset({*(p.value for p in Presence), *document["presences"]}),
        max_per_agent=document.get("max_per_agent"),
        ramp=tuple((step["until_s"] * 1000, step["max_open"]) for step in document.get("ramp", ())),
        while_on_counts_parked=document.get("while_on_counts_parked", False),
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
    return QueuePolicy(
        name=queue["name"],
        rank=queue["rank"],
        contact_order=order,
        priority_unit=queue.get("priority_unit_s", 60) * 1000,
        buckets=tuple(BucketRule(_match(b["match"]), b["order_attr"]) for b in queue.get("buckets", ())),
        strict_priority=queue.get("strict_priority"),
        starvation=_ms(queue.get("starvation_s")),
        chain=chain,
        skill_match=queue.get("skill_match", "all"),
        excluded_skills=tuple(sorted(queue.get("excluded_skills", ()))),
        skills=_levels(queue["skills"]),
        default_skills=_levels(queue.get("default_skills", {})),
        language_min=queue["language_min"],
        any_language=_ms(queue.get("any_language_after_s")),
        default_language=base_language(language) if language else None,
        auto_assign=queue.get("auto_assign", True),
        auto_accept=queue.get("auto_accept", False),
        max_offers=_offers(queue.get("max_offers", 1)),
        offer_timeout=_ms(queue["offer_timeout_s"]),
        offer_timeouts={kind: _ms(after_s) for kind, after_s in queue.get("channel_offer_timeout_s", {}).items()},
        retry_delay=queue["retry_delay_s"] * 1000,
        decline=_decline(queue["decline"]),
        on_miss=_on_miss(queue["on_miss"]),
        wrap_up=queue["wrap_up_s"] * 1000,
        wrap_up_scope=queue.get("wrap_up_scope", "agent"),
        wrap_up_holds=queue.get("wrap_up_holds", "agent"),
        parked_requeues=queue.get("parked_when_full") == "requeue",
        accepts_presence=frozenset(queue.get("accepts_presence", AVAILABLE)),
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
        any(queue.get(name) is not None for name in ("max_wait_s", "max_age_s", "starvation_s", "any_language_after_s"))
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


def _offers(most: int | str) -> int:
    return most if isinstance(most, int) else ALL_OFFERS


def _levels(levels: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(levels.items()))


def _match(match: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(match.items()))


def _chain(queue: Mapping[str, Any]) -> tuple[str, ...]:
    first = [_criterion(each) for each in queue.get("order_by", ())] or [queue["strategy"]]
    wished = queue.get("preferred_skills")
    wish = [PREFERS + ",".join(f"{skill}={level}" for skill, level in sorted(wished.items()))] if wished else []
    return tuple(dict.fromkeys([*wish, *first, *queue.get("tie_break", ()), *LAST_CHAIN]))


def _criterion(rule: Mapping[str, Any]) -> str:
    if rule.get("language") is not None:
        return f"{BY_LANGUAGE}{base_language(rule['language'])}:{rule['dir']}"
    if rule.get("attribute") is not None:
        return f"{BY_ATTRIBUTE}{rule['attribute']}:{rule['dir']}"
    return f"{BY_SKILL}{rule['skill']}:{rule['dir']}"


def _decline(rule: Mapping[str, Any]) -> DeclineRule:
    return DeclineRule(
        rule["policy"],
        rule.get("after_s", 0) * 1000,
        rule.get("max"),
        reset_on_login=rule.get("reset_on_login", False),
        steps_on=rule.get("when_exhausted", "next_step") == "next_step",
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
        max_offers=_offers(step.get("max_offers") or 0),
        set_priority=step["set_priority"],
        only_agents=None if only is None else tuple(only),
        move_to=step["move_to"],
        notify=step.get("notify"),
    )


def _preferred(rule: Mapping[str, Any] | None) -> PreferredRule:
    if rule is None:
        return PreferredRule()
    return PreferredRule(
        enabled=rule["enabled"],
        wait=rule["wait_s"] * 1000,
        waits={kind: wait_s * 1000 for kind, wait_s in rule.get("channel_wait_s", {}).items()},
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
        expected=_ms(when.get("expected_wait_exceeds_s")),
    )


def _hours(queue: Mapping[str, Any]) -> tuple[tuple[int, int], ...] | None:
    if queue.get("business_hours") is None:
        return None
    return tuple((begin, end) for begin, end in queue.get("open_ms", ()))


def _health(health: Mapping[str, Any]) -> HealthRules:
    return HealthRules(
        down_after=health["down_after"], within=health["within_s"] * 1000, up_after=health["up_after_s"] * 1000
    )


def _flow(flow: Mapping[str, Any]) -> FlowPolicy:
    end = flow.get("end", "cancel")
    return FlowPolicy(
        name=flow["name"],
        default_queue=flow["default_queue"],
        filters=tuple(
            FlowFilter(each.get("id") or f"#{number}", _match(each["match"]), _stations(each["steps"], end))
            for number, each in enumerate(flow["filters"], start=1)
        ),
        end=end,
    )


def _stations(steps: Sequence[Mapping[str, Any]], end: str) -> tuple[FlowStep, ...]:
    stations = tuple(_flow_step(step) for step in steps)
    if end != "stay":
        return stations
    return (
        *stations[:-1],
        replace(stations[-1], until=None, skip_if_none=False, skip_waiting=None, skip_staffed=None, skip_down=None),
    )


def _flow_step(step: Mapping[str, Any]) -> FlowStep:
    only = step["only_agents"]
    named = isinstance(only, str)
    skip = step.get("skip_if") or {}
    return FlowStep(
        queue=step["queue"],
        until=_ms(step["until_age_s"]),
        priority=step["priority"],
        only_agents=None if only is None or named else tuple(only),
        preferred_only=named,
        skip_if_none=step["skip_if_none_available"],
        skip_waiting=skip.get("waiting_at_least"),
        skip_staffed=skip.get("staffed_below"),
        skip_down=skip.get("channel_down"),
    )
