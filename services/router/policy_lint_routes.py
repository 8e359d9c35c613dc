"""Which contacts come to which queue of a policy, and when queues are open: what several lint rules look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shared.contracts.opening import intervals
from shared.contracts.policy import Channel, Flow, FlowFilter, Policy
from shared.contracts.queue_policy import Queue

Span = tuple[int, int]
"""From, until, in ms since the epoch."""


class Arrival(NamedTuple):
    """One way in which contacts come to a queue. `kind` is empty where any may come: a flow that no channel names."""

    queue: str
    kind: str
    priority: int | None
    """What the policy itself says of their priority; None where a message decides."""


def arrivals(policy: Policy) -> set[Arrival]:
    """Every way in which the policy leads contacts to queues: from channels and flows on, through overflows and
    steps. What a message or an agent names is not among them."""
    found: set[Arrival] = set()
    fresh = list(_starts(policy))
    queues = {queue.name: queue for queue in policy.queues}
    while fresh:
        arrival = fresh.pop()
        if arrival not in found:
            found.add(arrival)
            fresh += _onward(queues[arrival.queue], arrival)
    return found


def _starts(policy: Policy) -> Iterator[Arrival]:
    channels = {channel.name: channel for channel in policy.channels}
    flows = {flow.name: flow for flow in policy.flows}
    for channel in policy.channels:
        for kind in _kinds_from(channel, channels):
            if channel.flow is None:
                yield Arrival(channel.queue, kind, channel.priority)
            else:
                yield from _stations(flows[channel.flow], kind, channel.priority)
    for flow in policy.flows:
        if not any(channel.flow == flow.name for channel in policy.channels):
            yield from _stations(flow, "", None)


def _kinds_from(channel: Channel, channels: dict[str, Channel]) -> set[str]:
    """The channel's kind, and those that its contacts are moved to when it is down."""
    kinds = {channel.kind}
    for step in channel.fallback:
        kinds |= _kinds_from(channels[f"{step.channel}:{step.account}"], channels)
    return kinds


def _stations(flow: Flow, kind: str, priority: int | None) -> Iterator[Arrival]:
    for each in flow.filters:
        now = priority
        for step in each.steps:
            now = step.priority if step.priority is not None else now
            yield Arrival(step.queue, kind, now)
        if flow.end in ("default_queue", "callback") and can_end(each):
            yield Arrival(flow.default_queue, "callback" if flow.end == "callback" else kind, now)
    if not has_catch_all(flow):
        yield Arrival(flow.default_queue, kind, priority)


def _onward(queue: Queue, arrival: Arrival) -> Iterator[Arrival]:
    priority = arrival.priority
    for step in queue.steps:
        priority = step.set_priority if step.set_priority is not None else priority
        if step.move_to is not None:
            yield Arrival(step.move_to, arrival.kind, priority)
    for overflow in queue.overflow:
        if overflow.action == "callback":
            yield arrival._replace(kind="callback")
        elif overflow.queue is not None:
            yield arrival._replace(queue=overflow.queue)


def can_end(way: FlowFilter) -> bool:
    """Whether a contact ever comes behind the last step of a way through a flow, but by everybody's declining."""
    last = way.steps[-1]
    return last.until_age_s is not None or last.skip_if_none_available or last.skip_if is not None


def has_catch_all(flow: Flow) -> bool:
    """Whether a filter of the flow takes everybody."""
    return any(not each.match for each in flow.filters)


def way_out(queue: Queue) -> bool:
    """Whether waiting here ends by itself some day: by a move, an overflow or a maximum."""
    return (
        queue.max_wait_s is not None
        or any(step.move_to not in (None, queue.name) for step in queue.steps)
        or first_wait_overflow(queue) is not None
    )


def first_wait_overflow(queue: Queue) -> int | None:
    """After how many seconds an overflow takes a waiting contact out of the queue; None if none does."""
    waits = [
        each.when.wait_exceeds_s
        for each in queue.overflow
        if each.when.wait_exceeds_s is not None and each.action != "callback" and each.queue != queue.name
    ]
    return min(waits, default=None)


def open_spans(queue: Queue, now: int) -> list[Span] | None:
    """When the queue is open, for some 400 days from `now` (ms) on; None for always."""
    if queue.business_hours is None:
        return None
    return [(begin, end) for begin, end in intervals(queue.business_hours.model_dump(mode="json"), now)]


def outside(spans: Iterable[Span], others: Iterable[Span]) -> bool:
    """Whether some of `spans` lies outside of all `others`. Both are sorted and do not overlap."""
    covers = sorted(others)
    for begin, end in spans:
        for cover_begin, cover_end in covers:
            if cover_begin <= begin < cover_end:
                begin = cover_end
        if begin < end:
            return True
    return False


def overlap(spans: Iterable[Span], others: Iterable[Span]) -> bool:
    """Whether some moment lies in both."""
    covers = list(others)
    return any(begin < cover_end and cover_begin < end for begin, end in spans for cover_begin, cover_end in covers)
