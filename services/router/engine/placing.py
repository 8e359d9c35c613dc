"""What two policies say alike about contacts that wait: an adoption leaves those where they stand."""

from __future__ import annotations

from dataclasses import replace

from services.router.engine.policy import QueuePolicy, RoutingPolicy


def differ_in_queues_alone(policy: RoutingPolicy, other: RoutingPolicy) -> bool:
    """Whether two policies say the same of contacts but for what their queues say."""
    return (
        policy.channels == other.channels
        and policy.flows == other.flows
        and policy.presences == other.presences
        and policy.language_fallback == other.language_fallback
        and policy.keep_ended == other.keep_ended
    )


def places_alike(queue: QueuePolicy, other: QueuePolicy) -> bool:
    """Whether a contact stands in the queue as in the other, asks for the same, and the same is due."""
    return _placing(queue) == _placing(other)


def _placing(queue: QueuePolicy) -> QueuePolicy:
    """The queue's rules, without those that say nothing of this. Whatever is added to a queue counts until it is named
    here."""
    return replace(queue, rank=0, chain=(), auto_accept=False, offer_timeout=None, max_waiting=None, hours=None)
