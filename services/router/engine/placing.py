"""What two policies say alike about contacts that wait: an adoption leaves those where they stand."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from services.router.engine.policy import QueuePolicy, RoutingPolicy


class Alike(Enum):
    """How alike a contact stands in a queue under two policies."""

    WHOLE = "whole"
    """It stands in the same place, asks for the same, and the same is due."""
    BUT_DUE = "but_due"
    """So it does if it has taken no step yet, but something else may be due."""


def how_alike(policy: RoutingPolicy, other: RoutingPolicy) -> dict[str, Alike]:
    """By name, the queues of both policies in which contacts stand alike."""
    alike: dict[str, Alike] = {}
    if _differ_in_queues_alone(policy, other):
        for name in policy.queues.keys() & other.queues.keys():
            queue, there = policy.queues[name], other.queues[name]
            if _placing(queue) == _placing(there):
                alike[name] = Alike.WHOLE
            elif _standing(queue) == _standing(there):
                alike[name] = Alike.BUT_DUE
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


def _placing(queue: QueuePolicy) -> QueuePolicy:
    """The queue's rules, without those that say nothing of places and times. Whatever is added to a queue counts until
    it is named here."""
    return replace(queue, rank=0, chain=(), auto_accept=False, offer_timeout=None, max_waiting=None, hours=None)


def _standing(queue: QueuePolicy) -> QueuePolicy:
    """The same without those that say only when something is due, as long as none of it has come about."""
    return replace(_placing(queue), steps=(), overflow=(), max_wait=None, max_wait_interrupts_offer=False, changes=True)
