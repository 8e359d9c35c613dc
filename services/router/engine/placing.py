"""What two policies say alike about contacts that wait: an adoption leaves those where they stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from services.router.engine.policy import QueuePolicy, RoutingPolicy


class Alike(NamedTuple):
    """How alike a contact stands in a queue under two policies. All three: nothing of it has to be looked at."""

    asked: bool
    """It asks for the same."""
    order: bool
    """It stands in the same place of its line."""
    due: bool
    """The same is due for it, as long as it has taken no step yet."""


_ASKED: Final[Mapping[str, Any]] = {
    "skill_match": "all",
    "excluded_skills": (),
    "skills": (),
    "default_skills": (),
    "language_min": 1,
    "initial_tier": None,
}
"""What a contact asks for, and nothing else, comes of these."""
_ORDER: Final[Mapping[str, Any]] = {"contact_order": "priority", "priority_unit": 0, "buckets": ()}
"""Where it stands comes of these."""
_DUE: Final[Mapping[str, Any]] = {
    "steps": (),
    "overflow": (),
    "max_wait": None,
    "max_wait_interrupts_offer": False,
    "changes": True,
}
"""What is due comes of these, and as long as none of it has come about nothing else does."""
_ELSEWHERE: Final[Mapping[str, Any]] = {
    "rank": 0,
    "chain": (),
    "auto_accept": False,
    "parked_requeues": False,
    "offer_timeout": None,
    "offer_timeouts": {},
    "max_waiting": None,
    "hours": None,
}
"""These say nothing of places and times of one contact. Whatever is added to a queue counts until it is named here."""


def how_alike(policy: RoutingPolicy, other: RoutingPolicy) -> dict[str, Alike]:
    """By name, the queues of both policies in which contacts stand alike at least in part."""
    alike: dict[str, Alike] = {}
    if _differ_in_queues_alone(policy, other):
        for name in policy.queues.keys() & other.queues.keys():
            queue, there = policy.queues[name], other.queues[name]
            if _rest(queue) == _rest(there) and (queue.by_deadline is None) == (there.by_deadline is None):
                alike[name] = Alike(*[_agree(queue, there, part) for part in (_ASKED, _ORDER, _DUE)])
    return alike


def _differ_in_queues_alone(policy: RoutingPolicy, other: RoutingPolicy) -> bool:
    """Whether two policies say the same of contacts but for what their queues say."""
    return (
        policy.channels == other.channels
        and policy.flows == other.flows
        and policy.presences == other.presences
        and policy.language_fallback == other.language_fallback
        and policy.keep_ended == other.keep_ended
    )


def _agree(queue: QueuePolicy, other: QueuePolicy, fields: Mapping[str, Any]) -> bool:
    return all(getattr(queue, name) == getattr(other, name) for name in fields)


def _rest(queue: QueuePolicy) -> QueuePolicy:
    """The queue's rules, without those that are looked at one by one."""
    return replace(queue, **_ASKED, **_ORDER, **_DUE, **_ELSEWHERE)
