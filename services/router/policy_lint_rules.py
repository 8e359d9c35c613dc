"""The lint rules: each a function with the rule's name, over a policy that is valid, about what it will not do as it
seems to. A rule that cannot be sure says nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

from services.router.policy_lint_finding import Finding, Rule, each_queue
from services.router.policy_lint_languages import region_is_dropped
from services.router.policy_lint_limits import (
    queue_limit_never_binds,
    ramp_goes_down,
    ramp_step_never_binds,
    rate_limit_never_binds,
)
from services.router.policy_lint_routes import (
    arrivals,
    can_end,
    first_wait_overflow,
    has_catch_all,
    open_spans,
    outside,
    overlap,
    way_out,
)
from shared.contracts.policy import Policy
from shared.contracts.queue_policy import Queue


def queue_unreachable(policy: Policy, now: int) -> Iterator[Finding]:
    """No channel, flow, overflow or step leads to the queue."""
    reached = {arrival.queue for arrival in arrivals(policy)}
    for place, queue in each_queue(policy):
        if queue.name not in reached:
            yield Finding(
                place,
                f"no channel, flow, overflow or step leads to {queue.name!r}: it gets only what messages, API calls or "
                "transfers name it for",
                "let something lead to it, or delete it",
            )


def target_missing(policy: Policy, now: int) -> Iterator[Finding]:
    """A queue gets contacts of a kind that it has no target for."""
    known = arrivals(policy)
    for place, queue in each_queue(policy):
        kinds = {arrival.kind for arrival in known if arrival.queue == queue.name and arrival.kind}
        missing = ", ".join(sorted(kinds - queue.target_s.keys()))
        if missing:
            yield Finding(
                f"{place}.target_s",
                f"contacts of {missing} come to {queue.name!r} and count for no service level",
                f"add a target in seconds for {missing}",
            )


def step_after_max_wait(policy: Policy, now: int) -> Iterator[Finding]:
    """A step that is due when the contact has been cancelled already."""
    for place, queue in each_queue(policy):
        for number, step in enumerate(queue.steps):
            if queue.max_wait_s is not None and step.after_s >= queue.max_wait_s:
                yield Finding(
                    f"{place}.steps.{number}",
                    f"contacts are cancelled after {queue.max_wait_s} s, so this step of {step.after_s} s helps nobody",
                    "put the step earlier or max_wait_s later",
                )


def step_after_overflow(policy: Policy, now: int) -> Iterator[Finding]:
    """A step that is due when an overflow has taken the contact away."""
    for place, queue in each_queue(policy):
        gone = first_wait_overflow(queue)
        for number, step in enumerate(queue.steps):
            if gone is not None and step.after_s > gone:
                yield Finding(
                    f"{place}.steps.{number}",
                    f"an overflow takes contacts away after {gone} s, so this step of {step.after_s} s is for those "
                    "alone whom it brought back",
                    "put the step before the overflow",
                )


def overflow_after_max_wait(policy: Policy, now: int) -> Iterator[Finding]:
    """An overflow that is due when the contact has been cancelled already."""
    for place, queue in each_queue(policy):
        for number, overflow in enumerate(queue.overflow):
            wait = overflow.when.wait_exceeds_s
            if wait is not None and queue.max_wait_s is not None and wait > queue.max_wait_s:
                yield Finding(
                    f"{place}.overflow.{number}",
                    f"contacts are cancelled after {queue.max_wait_s} s, so none waits for {wait} s",
                    "put the overflow earlier or max_wait_s later",
                )


def overflow_above_max_waiting(policy: Policy, now: int) -> Iterator[Finding]:
    """An overflow for more contacts than the queue ever has."""
    for place, queue in each_queue(policy):
        for number, overflow in enumerate(queue.overflow):
            least = overflow.when.waiting_at_least
            if least is not None and queue.max_waiting is not None and least > queue.max_waiting:
                yield Finding(
                    f"{place}.overflow.{number}",
                    f"arrivals are refused from {queue.max_waiting} on, before {least} can be waiting",
                    f"let the overflow begin at {queue.max_waiting} or less",
                )


def overflow_to_closed(policy: Policy, now: int) -> Iterator[Finding]:
    """An overflow to a queue that is closed whenever the overflow acts."""
    queues = {queue.name: queue for queue in policy.queues}
    for place, queue in each_queue(policy):
        here = open_spans(queue, now)
        for number, overflow in enumerate(queue.overflow):
            there = open_spans(queues[overflow.queue], now) if overflow.queue is not None else None
            if here is None or there is None:
                continue
            helps = outside(there, here) if overflow.when.closed else overlap(there, here)
            if not helps:
                when = "closed" if overflow.when.closed else "open"
                yield Finding(
                    f"{place}.overflow.{number}.queue",
                    f"{overflow.queue!r} is closed whenever {queue.name!r} is {when}: contacts wait there just as long",
                    "name a queue with other hours, or an action that tells the customer",
                )


def callback_again(policy: Policy, now: int) -> Iterator[Finding]:
    """A callback by waiting time: it begins to wait anew, and is made a callback again."""
    for place, queue in each_queue(policy):
        for number, overflow in enumerate(queue.overflow):
            wait = overflow.when.wait_exceeds_s
            if wait is not None and overflow.action == "callback":
                yield Finding(
                    f"{place}.overflow.{number}",
                    f"the callback waits in {queue.name!r} anew and after {wait} s the same happens again, with its "
                    "offers taken back each time",
                    "let waiting contacts move to a queue for callbacks",
                    "error" if wait == 0 else "warning",
                )


def moves_to_itself(policy: Policy, now: int) -> Iterator[Finding]:
    """A step or an overflow that leads to the queue that it is in."""
    for place, queue in each_queue(policy):
        targets = [(f"{place}.steps.{number}.move_to", step.move_to) for number, step in enumerate(queue.steps)]
        targets += [(f"{place}.overflow.{number}.queue", each.queue) for number, each in enumerate(queue.overflow)]
        for where, target in targets:
            if target == queue.name:
                yield Finding(
                    where, f"contacts of {queue.name!r} are moved to where they are", "name another queue, or delete it"
                )


def declines_exhaust(policy: Policy, now: int) -> Iterator[Finding]:
    """Whoever declined is out, and nothing else will ever happen to the contact."""
    for place, queue in each_queue(policy):
        rule = queue.decline
        final = rule.policy == "never" or rule.max is not None
        if final and not queue.steps and not way_out(queue):
            yield Finding(
                f"{place}.decline",
                f"when everybody who could has declined a contact of {queue.name!r}, it is offered to nobody any more "
                "and stays in the queue",
                "add a step that opens more agents, an overflow by waiting time, or max_wait_s",
            )


def preferred_hold_without_end(policy: Policy, now: int) -> Iterator[Finding]:
    """Contacts wait for preferred agents for ever, even if these left long ago."""
    for place, queue in each_queue(policy):
        rule = queue.preferred
        if rule.enabled and rule.fallback == "hold" and not rule.skip_if_unavailable and not way_out(queue):
            yield Finding(
                f"{place}.preferred",
                f"a contact of {queue.name!r} whose preferred agents do not come waits for ever",
                "set fallback to any, skip_if_unavailable, or an end by a step, an overflow or max_wait_s",
            )


def preferred_without_wait(policy: Policy, now: int) -> Iterator[Finding]:
    """Rules for preferred agents, and no time in which they count."""
    for place, queue in each_queue(policy):
        rule = queue.preferred
        if (
            rule.enabled
            and rule.fallback == "any"
            and not any((rule.wait_s, *rule.channel_wait_s.values()))
            and (rule.bypass or rule.skip_if_unavailable)
        ):
            yield Finding(
                f"{place}.preferred.wait_s",
                "preferred agents are waited for 0 s, so what else is said of them does nothing",
                "set wait_s",
            )


def tiers_stay_closed(policy: Policy, now: int) -> Iterator[Finding]:
    """A queue begins with low tiers, and nothing opens the others."""
    for place, queue in each_queue(policy):
        first = queue.initial_tier
        if first is None or queue.skip_empty_tiers:
            continue
        if not any(step.open_tier is not None and step.open_tier > first for step in queue.steps):
            yield Finding(
                f"{place}.initial_tier",
                f"agents above tier {first} never get a contact of {queue.name!r}",
                "add a step with open_tier, set skip_empty_tiers, or leave initial_tier out",
            )


def step_opens_nothing(policy: Policy, now: int) -> Iterator[Finding]:
    """A step that opens tiers which are open."""
    for place, queue in each_queue(policy):
        highest = queue.initial_tier
        for number, step in enumerate(queue.steps):
            if step.open_tier is None:
                continue
            if highest is None or step.open_tier <= highest:
                already = "all tiers are" if highest is None else f"tier {highest} is"
                yield Finding(
                    f"{place}.steps.{number}.open_tier",
                    f"{already} open already when this step comes",
                    "set initial_tier to what is open at first" if highest is None else "name a higher tier",
                )
            else:
                highest = step.open_tier


def rank_starves(policy: Policy, now: int) -> Iterator[Finding]:
    """A queue that agents look at only when another one is empty, without a way out."""
    best = min(queue.rank for queue in policy.queues)
    for place, queue in each_queue(policy):
        if queue.rank > best and queue.starvation_s is None and not way_out(queue):
            yield Finding(
                f"{place}.rank",
                f"agents who serve a queue of rank {best} too take from {queue.name!r} only when nothing there is for "
                "them, however long anybody waits here",
                "set starvation_s or max_wait_s, add a step with move_to or an overflow by waiting time, or give both "
                "the same rank",
            )


def priority_starves(policy: Policy, now: int) -> Iterator[Finding]:
    """Strict priority among contacts that the policy itself gives different priorities, and nothing lifts the lower."""
    known = arrivals(policy)
    for place, queue in each_queue(policy):
        given = {arrival.priority for arrival in known if arrival.queue == queue.name} - {None}
        lifted = queue.starvation_s is not None or any(step.set_priority is not None for step in queue.steps)
        if queue.contact_order == "priority" and len(given) > 1 and not lifted and not way_out(queue):
            yield Finding(
                f"{place}.contact_order",
                f"contacts of the higher priorities go first in {queue.name!r} as long as there are any; the others "
                "wait, and their waiting counts nothing",
                "set starvation_s, or contact_order to score, or add a step with set_priority",
            )


def never_open(policy: Policy, now: int) -> Iterator[Finding]:
    """Opening hours without a single hour."""
    for place, queue in each_queue(policy):
        if open_spans(queue, now) == []:
            answered = way_out(queue) or any(each.when.closed for each in queue.overflow)
            yield Finding(
                f"{place}.business_hours.weekly",
                f"{queue.name!r} is never open" + ("" if answered else ": its contacts wait for ever"),
                "name the days and hours, or leave business_hours out for a queue that is always open",
                "warning" if answered else "error",
            )


def miss_changes_nothing(policy: Policy, now: int) -> Iterator[Finding]:
    """Who misses offers is put into a presence in which they get more of them."""
    for place, queue in each_queue(policy):
        rule = queue.on_miss
        if rule is not None and rule.set_presence in queue.accepts_presence:
            yield Finding(
                f"{place}.on_miss.set_presence",
                f"{queue.name!r} accepts {rule.set_presence!r}: contacts go on circling past an empty chair",
                "name a presence that accepts_presence does not list",
            )


def flow_without_catch_all(policy: Policy, now: int) -> Iterator[Finding]:
    """A flow with filters, and none for everybody else."""
    for index, flow in enumerate(policy.flows):
        if not has_catch_all(flow):
            yield Finding(
                f"flows.{index}.filters",
                f"a contact that no filter of {flow.name!r} matches goes to {flow.default_queue!r}, with no next "
                "station however long it waits",
                "add a last filter with an empty match",
            )


def filter_never_asked(policy: Policy, now: int) -> Iterator[Finding]:
    """A filter or a bucket behind one that takes all of its contacts."""
    for index, flow in enumerate(policy.flows):
        yield from _shadowed(f"flows.{index}.filters", [each.match for each in flow.filters])
    for place, queue in each_queue(policy):
        yield from _shadowed(f"{place}.buckets", [each.match for each in queue.buckets])


def _shadowed(place: str, matches: list[dict[str, str]]) -> Iterator[Finding]:
    for number, match in enumerate(matches):
        for earlier, wider in enumerate(matches[:number]):
            if wider.items() <= match.items():
                yield Finding(
                    f"{place}.{number}",
                    f"entry {earlier} of the list takes every contact that this one is for",
                    "put the narrower one first",
                )
                break


def station_without_time(policy: Policy, now: int) -> Iterator[Finding]:
    """A station that ends no later than the one before: ages count from the contact's creation."""
    for index, flow in enumerate(policy.flows):
        for filter_index, each in enumerate(flow.filters):
            for number, (before, step) in enumerate(pairwise(each.steps), start=1):
                ends, begins = step.until_age_s, before.until_age_s
                if ends is not None and begins is not None and ends <= begins:
                    yield Finding(
                        f"flows.{index}.filters.{filter_index}.steps.{number}.until_age_s",
                        f"the station before ends at an age of {begins} s, so this one is over when it begins",
                        "count until_age_s from the contact's creation, not from the station",
                    )


def flow_never_ends(policy: Policy, now: int) -> Iterator[Finding]:
    """A flow says what becomes of a contact behind its last step, and no contact ever comes there."""
    for index, flow in enumerate(policy.flows):
        if flow.end in ("default_queue", "callback") and not any(map(can_end, flow.filters)):
            yield Finding(
                f"flows.{index}.end",
                f"no filter of {flow.name!r} has a last step that ends, so none of its contacts becomes what end says",
                "give the last step an until_age_s, or leave end out",
            )


def set_without_effect(policy: Policy, now: int) -> Iterator[Finding]:
    """A field that counts only together with another one, which is not set."""
    for place, queue in each_queue(policy):
        for name, needs in _idle_fields(queue):
            yield Finding(f"{place}.{name}", f"it is looked at only with {needs}", f"set {needs}, or leave {name} out")


def _idle_fields(queue: Queue) -> Iterator[tuple[str, str]]:
    given = queue.model_fields_set
    if queue.buckets and queue.contact_order != "buckets":
        yield "buckets", "contact_order: buckets"
    if "priority_unit_s" in given and queue.contact_order != "score":
        yield "priority_unit_s", "contact_order: score"
    if queue.decline.after_s and queue.decline.policy != "after_s":
        yield "decline.after_s", "decline.policy: after_s"
    if "strategy" in given and queue.order_by:
        yield "strategy", "an empty order_by"
    run_out = any((queue.offer_timeout_s, *queue.channel_offer_timeout_s.values())) and not queue.auto_accept
    if "on_miss" in given and queue.on_miss is not None and not run_out:
        yield "on_miss", "offers that run out"
    if "max_wait_interrupts_offer" in given and queue.max_wait_s is None:
        yield "max_wait_interrupts_offer", "max_wait_s"
    if "skip_empty_tiers" in given and queue.skip_empty_tiers and queue.initial_tier is None:
        yield "skip_empty_tiers", "initial_tier"


_ALL: Final[tuple[Rule, ...]] = (
    queue_unreachable,
    target_missing,
    step_after_max_wait,
    step_after_overflow,
    overflow_after_max_wait,
    overflow_above_max_waiting,
    overflow_to_closed,
    callback_again,
    moves_to_itself,
    declines_exhaust,
    preferred_hold_without_end,
    preferred_without_wait,
    tiers_stay_closed,
    step_opens_nothing,
    rank_starves,
    priority_starves,
    rate_limit_never_binds,
    queue_limit_never_binds,
    ramp_step_never_binds,
    ramp_goes_down,
    never_open,
    miss_changes_nothing,
    flow_without_catch_all,
    filter_never_asked,
    station_without_time,
    flow_never_ends,
    set_without_effect,
    region_is_dropped,
)
RULES: Final[Mapping[str, Rule]] = {rule.__name__.replace("_", "-"): rule for rule in _ALL}
"""By code, in the order in which they are asked."""
