"""Small random policies with every rule there is, valid by the contract that operators' policies must satisfy."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, get_args

from shared.contracts.policy import Policy
from shared.contracts.queue_policy import Strategy

KINDS = ("chat", "email", "telegram", "messenger")
LANGUAGES = ("en", "de", "pt")
SKILLS = ("billing", "cards")
PRESENCES = ("lunch", "training")
PROFILES = ("gold", "silver")
VALUES = ("yes", "no")
STRATEGIES: tuple[str, ...] = tuple(name for name in get_args(Strategy) if name != "best_language")
"""That one came later, and is left to the rule's words (`tests/oracle`): with it each seed would be another world."""
Options = dict[str, Any]


class Policies:
    """The policies of one world: some rules of a queue stay as they are all day, because what has been noted under one
    policy (a preference that is over, a language that was added) is not unsaid by the next."""

    def __init__(self, dice: random.Random, queues: list[str], agents: list[str]) -> None:
        self._dice = dice
        self._agents = agents
        self._lasting = {name: _chosen(dice, _LASTING, dice.choice((0, 0, 1, 2))) for name in queues}
        self._languages: Options = {}
        if dice.random() < 0.4:
            first, second = dice.choice((0, 2)), dice.choice((2, 5))
            self._languages = {
                "de": [{"language": "en", "after_s": first}],
                "pt": [{"language": "de", "after_s": first}, {"language": "en", "after_s": second}],
            }
        self.by_deadlines = dice.random() < 0.35
        """Whether this is a centre of chats that hurry and mail that can wait, whose queues go by deadlines."""

    def document(self, queues: list[str], channels: list[str], now: int) -> Options:
        """A policy document over these queues and channels (`kind:account`), without circles of fallbacks. `now` (ms):
        around which queues open and close."""
        dice = self._dice
        order = list(channels)
        dice.shuffle(order)
        flows = [_flow(dice, name, queues, self._agents) for name in ("f0", "f1") if dice.random() < 0.6]
        names = [flow["name"] for flow in flows]
        document = {
            "queues": [self._queue(name, queues) for name in queues],
            "channels": [_channel(dice, name, order[order.index(name) + 1 :], queues, names) for name in channels],
            "presences": dict.fromkeys(PRESENCES, ""),
            "flows": flows,
            "max_per_agent": dice.choice((None, None, None, None, 1, 2)),
            "language_fallback": self._languages,
            "lease": {
                "grace_s": dice.choice((0, 2, 10, 30)),
                "on_lost": {kind: dice.choice(("keep", "requeue")) for kind in KINDS if dice.random() < 0.3},
            },
            "keep_ended_s": dice.choice((60, 120, 86_400)),
            "ramp": _ramp(dice) if dice.random() < 0.3 else [],
            "slo": _deadlines(dice) if self.by_deadlines or dice.random() < 0.3 else {},
        }
        document["while_on_counts_parked"] = _beside(document).random() < 0.5
        valid = Policy.model_validate(document).model_dump(mode="json")
        for queue in valid["queues"]:
            if queue["business_hours"] is not None:
                queue["open_ms"] = opening_hours(dice, now)
        return valid

    def _queue(self, name: str, queues: list[str]) -> Options:
        dice = self._dice
        queue: Options = {
            "name": name,
            "rank": dice.randint(1, 3),
            "contact_order": "priority",
            "language_min": dice.choice((1, 1, 1, 1, 2, 3)),
            "strategy": dice.choice(("longest_idle", "least_active", "best_skill", *STRATEGIES)),
            "offer_timeout_s": dice.choice((5, 10, 30)),
            "retry_delay_s": dice.choice((0, 0, 2, 6)),
            "wrap_up_s": dice.choice((0, 0, 3, 10)),
            "wrap_up_holds": dice.choice(("agent", "agent", "agent", "capacity")),
            "on_miss": None,
        }
        if dice.random() < 0.7:
            queue["on_miss"] = {
                "after_misses": dice.randint(1, 3),
                "set_presence": dice.choice(("away", "lunch", "offline")),
                "scope": dice.choice(("agent", "agent", "queue")),
            }
        if dice.random() < 0.5:
            queue["decline"] = _declines(dice)
        queue |= _chosen(dice, _OPTIONS, dice.choice((0, 1, 2, 4)))
        if self.by_deadlines:
            queue |= {"contact_order": "slo", "strategy": dice.choice(("slo", "slo", queue["strategy"]))}
        elif dice.random() < 0.3:
            queue |= _order(dice)
        if dice.random() < 0.35:
            queue["steps"] = _steps(dice, [other for other in queues if other != name], self._agents)
        if dice.random() < 0.3:
            queue["overflow"] = _overflows(dice, queues, "business_hours" in queue)
        if "wrap_up_scope" in queue:
            del queue["wrap_up_holds"]
        return queue | _lanes(queue) | self._lasting[name]


def _beside(drawn: Any) -> random.Random:
    """Dice of their own for what is drawn beside this, so that everything else of a world is as it was without it."""
    return random.Random(json.dumps(drawn, sort_keys=True))


def _lanes(queue: Options) -> Options:
    """Who goes before all others, what a unanimous no does, and who comes back to an agent without room."""
    dice = _beside(queue)
    lanes: Options = {}
    if dice.random() < 0.12:
        lanes["strict_priority"] = dice.choice((3, 7))
    if dice.random() < 0.2:
        lanes["starvation_s"] = dice.choice((3, 10, 40))
    if dice.random() < 0.3:
        lanes["decline"] = {**queue.get("decline", {}), "when_exhausted": "stay"}
    if dice.random() < 0.5:
        lanes["parked_when_full"] = "requeue"
    if dice.random() < 0.3:
        lanes["channel_offer_timeout_s"] = {"chat": dice.choice((3, None)), "email": 20}
    if dice.random() < 0.2:
        lanes["any_language_after_s"] = dice.choice((0, 3, 8))
    return lanes


def _chosen(dice: random.Random, options: dict[str, Callable[[random.Random], Any]], number: int) -> Options:
    """So many of the options: with all of them at once nobody would ever get anything."""
    return {name: options[name](dice) for name in sorted(dice.sample(sorted(options), min(number, len(options))))}


def _levels(dice: random.Random, most: int) -> dict[str, int]:
    return {dice.choice(SKILLS): dice.randint(1, most)}


def _declines(dice: random.Random) -> Options:
    after: Options = {"policy": "after_s", "after_s": dice.choice((2, 5)), "max": dice.choice((None, 1, 2))}
    return dice.choice(
        (
            after,
            {"policy": "never"},
            {"policy": "never", "reset_on_login": True},
            {"policy": "others_first", "max": dice.randint(1, 2), "reset_on_login": dice.random() < 0.5},
            after,
        )
    )


def _order(dice: random.Random) -> Options:
    """Another order than that by priority, with the fields that go with it."""
    return dice.choice(
        (
            {"contact_order": "score", "priority_unit_s": dice.choice((1, 60))},
            {"contact_order": "slo", "target_s": {"chat": 10, "email": 30}},
            {"contact_order": "slo"},
            {"contact_order": "buckets", "buckets": [{"match": {"vip": "yes"}, "order_attr": "due"}]},
            {"contact_order": "buckets", "buckets": [{"match": {"vip": "no"}}, {"match": {"vip": "yes"}}]},
        )
    )


def _ramp(dice: random.Random) -> list[Options]:
    """Little by little after signing in."""
    times = sorted(dice.sample((2, 5, 20), dice.randint(1, 2)))
    return [{"until_s": until, "max_open": most} for until, most in zip(times, (dice.randint(0, 1), 2), strict=False)]


def _deadlines(dice: random.Random) -> Options:
    """Targets that small worlds reach, and room that they have to keep free."""
    return {
        "overdue_weight": dice.choice((0.3, 1.0)),
        "exponent": dice.choice((0, 8)),
        "strict": dice.random() < 0.2,
        "priority_shortens": dice.random() < 0.7,
        "target_s": {"chat": dice.choice((2, 5)), "email": dice.choice((10, 40, 120))},
        "other_target_s": dice.choice((3, 20)),
        "age_cap": {"chat": dice.choice((2, 4)), "email": dice.choice((1.25, 3))},
        "reserve": {
            "channels": dice.choice((("email",), ("email",), ("email", "telegram"))),
            "factor": dice.choice((0.5, 1, 1.5, 3)),
            "until_share": dice.choice((0.3, 0.7)),
        },
    }


_OPTIONS: dict[str, Callable[[random.Random], Any]] = {
    "skills": lambda dice: _levels(dice, 2),
    "default_skills": lambda dice: _levels(dice, 2),
    "default_language": lambda dice: dice.choice(LANGUAGES),
    "skill_match": lambda dice: dice.choice(("closest", "ignore")),
    "tie_break": lambda dice: dice.sample(STRATEGIES[:-1], dice.randint(1, 2)),
    "order_by": lambda dice: [{"skill": dice.choice(SKILLS), "dir": dice.choice(("asc", "desc"))}],
    "auto_assign": lambda dice: dice.random() < 0.7,
    "auto_accept": lambda dice: True,
    "max_offers": lambda dice: dice.choice((2, 3, "all")),
    "offer_timeout_s": lambda dice: dice.choice((None, 2)),
    "wrap_up_scope": lambda dice: "queue",
    "initial_tier": lambda dice: dice.randint(1, 2),
    "skip_empty_tiers": lambda dice: True,
    "max_per_agent": lambda dice: dice.randint(1, 2),
    "max_waiting": lambda dice: dice.randint(1, 6),
    "require_staff": lambda dice: True,
    "max_wait_s": lambda dice: dice.choice((4, 30, 60)),
    "max_wait_interrupts_offer": lambda dice: False,
    "business_hours": lambda dice: {"tz": "UTC", "weekly": {}},
    "exclude": lambda dice: [{"vip": "no"}],
}
_WITH_AVAILABLE = (("available", "training"), ("available", "lunch"))
_LASTING: dict[str, Callable[[random.Random], Any]] = {
    "preferred": lambda dice: {
        "wait_s": dice.choice((2, 8)),
        "fallback": dice.choice(("any", "any", "hold")),
        "bypass": dice.choice(((), ("capacity",), ("skills",), ("presence",), ("capacity", "skills", "presence"))),
        "skip_if_unavailable": dice.random() < 0.5,
    },
    "rate_limit": lambda dice: {"max": dice.randint(1, 2), "window_s": dice.choice((5, 20))},
    "accepts_presence": lambda dice: dice.choice((*_WITH_AVAILABLE, *_WITH_AVAILABLE, ("training",))),
    "max_age_s": lambda dice: dice.choice((5, 20)),
}


def _steps(dice: random.Random, others: list[str], agents: list[str]) -> list[Options]:
    """One to three steps in the order of their times."""
    effects: dict[str, Callable[[random.Random], Any]] = {
        "set_min": lambda dice: _levels(dice, 2),
        "drop_skills": lambda dice: [dice.choice(SKILLS)],
        "drop_language": lambda dice: True,
        "any_agent": lambda dice: True,
        "open_tier": lambda dice: dice.randint(2, 3),
        "raise_tiers_to": lambda dice: dice.randint(2, 3),
        "set_priority": lambda dice: dice.choice((0, 1, 7)),
    }
    if others:
        effects["move_to"] = lambda dice: dice.choice(others)
    effects["only_agents"] = lambda dice: dice.sample(agents, dice.randint(1, len(agents)))
    effects["notify"] = lambda dice: dice.choice(("look", "hurry"))
    times = sorted(dice.choice((0, 1, 3, 8)) for _ in range(dice.randint(1, 3)))
    steps = [{"after_s": after, **_chosen(dice, effects, dice.randint(1, 2))} for after in times]
    beside = _beside(steps)
    for step in steps:
        if beside.random() < 0.25:
            step["max_offers"] = beside.choice((2, 3, "all"))
    return steps


def _overflows(dice: random.Random, queues: list[str], has_hours: bool) -> list[Options]:
    whens: list[Options] = [{"waiting_at_least": dice.randint(1, 4)}, {"wait_exceeds_s": dice.choice((2, 6, 20))}]
    if has_hours:
        whens.append({"closed": True})
    rules = []
    for when in dice.sample(whens, dice.randint(1, len(whens))):
        action = dice.choice(("move_to", "move_to", "move_to", "callback", "cancel", "refuse"))
        target = {"queue": dice.choice(queues)} if action == "move_to" else {}
        rules.append({"when": when, "action": action, **target})
    return rules


def opening_hours(dice: random.Random, now: int) -> list[list[int]]:
    """Openings and closings within the next minute, mostly with a last opening for good."""
    times = sorted(now + dice.randint(-5_000, 60_000) for _ in range(dice.choice((1, 2, 3, 5))))
    ends = [*times[1:], now + 400 * 86_400_000]
    return [[begin, end] for begin, end in zip(times[::2], ends[::2], strict=False)]


def _flow(dice: random.Random, name: str, queues: list[str], agents: list[str]) -> Options:
    ages = sorted(dice.choice((2, 5, 30)) for _ in range(dice.randint(1, 3)))
    steps: list[Options] = [
        {
            "queue": dice.choice(queues),
            "until_age_s": age,
            "priority": dice.choice((None, 3)),
            "skip_if_none_available": dice.random() < 0.4,
            "only_agents": dice.choice((None, None, None, "$preferred", dice.sample(agents, 1))),
        }
        for age in ages
    ]
    if dice.random() < 0.7:
        steps.append({"queue": dice.choice(queues)})
    skips = _beside(steps)
    for step in steps:
        if skips.random() < 0.25:
            step["skip_if"] = skips.choice(
                ({"waiting_at_least": skips.randint(1, 3)}, {"staffed_below": skips.randint(1, 3)})
            )
    return {
        "name": name,
        "default_queue": dice.choice(queues),
        "filters": [{"match": dice.choice(({}, {"vip": "yes"})), "steps": steps}],
        "end": dice.choice(("cancel", "default_queue", "callback", "stay")),
    }


def _channel(dice: random.Random, name: str, behind: list[str], queues: list[str], flows: list[str]) -> Options:
    kind, account = name.split(":")
    steps = [other for other in behind if dice.random() < 0.8][:3]
    return {
        "kind": kind,
        "account": account,
        "queue": dice.choice(queues),
        "flow": dice.choice((None, None, None, None, *flows)),
        "language": dice.choice(("und", "en", "de")),
        "priority": dice.choice((0, 0, 5)),
        "fallback": [dict(zip(("channel", "account"), step.split(":"), strict=True)) for step in steps],
        "health": {
            "down_after": dice.choice((1, 2, 3)),
            "within_s": dice.choice((5, 300)),
            "up_after_s": dice.choice((0, 3, 20)),
        },
    }
