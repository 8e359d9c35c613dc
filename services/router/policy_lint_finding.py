"""What lint rules are and say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from shared.contracts.policy import Policy
from shared.contracts.queue_policy import Queue


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a rule found: where, what will happen, what to do. An `error` is what nobody can have meant."""

    place: str
    effect: str
    advice: str
    severity: Literal["warning", "error"] = "warning"


Rule = Callable[[Policy, int], Iterator[Finding]]
"""Of a policy and the present moment (ms since the epoch), which opening hours are looked at from."""


def each_queue(policy: Policy) -> Iterator[tuple[str, Queue]]:
    """The queues with their places: `queues.0`."""
    for index, queue in enumerate(policy.queues):
        yield f"queues.{index}", queue
