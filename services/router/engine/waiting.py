"""What time does to a contact that waits: when its next rule is due, and what then happens.

A contact has one timer, for whatever is due first; when that has been decided, the next one takes its place. Timers due
at the same instant fire in the order of their kinds, then of their ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from services.router.engine.demand import asked_language, can_wait, fallback_of, is_too_old, preference_of, target_of
from services.router.engine.policy import FlowStep, OverflowRule, QueuePolicy
from services.router.engine.records import ChannelState, Contact
from services.router.engine.state import Workspace
from shared.vocabulary import ContactState

Timer = tuple[int, int, str, str, str]
"""(due, rank of the kind, workspace, kind, id): due timers fire in this order."""

TIMER_RANK = {
    kind: rank
    for rank, kind in enumerate(
        (
            "hours",
            "health",
            "wrap_up",
            "queue_wrap_up",
            "slot_wrap_up",
            "pause",
            "grace",
            "rate",
            "ramp",
            "offer",
            "scheduled",
            "retry",
            "decline",
            "exhausted",
            "delay",
            "language",
            "preference",
            "step",
            "age",
            "deadline",
            "starving",
            "unstaffed",
            "flow",
            "overflow",
            "max_wait",
            "redirect",
            "outbound",
            "forget",
            "reserve",
            "day",
        )
    )
}


def timer(workspace: Workspace, due: int, kind: str, id: str) -> Timer:
    """A timer of this workspace."""
    return (due, TIMER_RANK[kind], workspace.name, kind, id)


def hours_timer(workspace: Workspace, queue: QueuePolicy) -> Timer | None:
    """When a queue with opening hours opens or closes next, seen from when that was decided last."""
    if queue.hours is None:
        return None
    _, since = workspace.queue_hours.get(queue.name, (True, 0))
    due = queue.turns_at(since)
    return timer(workspace, due, "hours", queue.name) if due is not None else None


def health_timer(workspace: Workspace, channel: ChannelState) -> Timer | None:
    """When a channel that is down and reported well counts as up again."""
    if channel.well_since is None:
        return None
    rules = workspace.policy.channels[channel.name].health
    return timer(workspace, channel.well_since + rules.up_after, "health", channel.name)


def contact_timer(
    workspace: Workspace, contact: Contact, *, down: bool, delays: Sequence[int], leaves: bool, exhausted: bool
) -> Timer | None:
    """What is due first for a contact. `down`: its channel is; `delays`: those of the queue's agents, in order;
    `leaves`: it is to leave the station of its flow at once; `exhausted`: everybody has declined it, which nothing has
    told yet."""
    if exhausted:
        return timer(workspace, contact.queue_since, "exhausted", contact.id)
    if leaves:
        # Due since it came, which is at once whenever this becomes true.
        return timer(workspace, contact.queue_since, "unstaffed", contact.id)
    first: tuple[int, int, str] | None = None
    for kind, due in _dues(workspace, contact, down=down, delays=delays):
        if first is None or (due, TIMER_RANK[kind]) < first[:2]:
            first = (due, TIMER_RANK[kind], kind)
    return timer(workspace, first[0], first[2], contact.id) if first is not None else None


def _dues(workspace: Workspace, contact: Contact, *, down: bool, delays: Sequence[int]) -> Iterable[tuple[str, int]]:
    if contact.state is ContactState.WAITING or contact.state is ContactState.OFFERED:
        queue = workspace.policy.queues[contact.queue]
        fallback = workspace.policy.language_fallback
        widens = fallback and asked_language(queue, contact) in fallback
        ruled = queue.changes or delays or contact.preferred or widens or contact.flow is not None
        held = _dues_of_held(workspace, contact, down=down) if down or contact.retry_at is not None else ()
        if not ruled:
            return held
        rules = _rules(workspace, contact, queue, delays)
        return chain(held, rules) if held else rules
    if contact.state is ContactState.SCHEDULED:
        return [("scheduled", contact.scheduled_at or 0)]
    if contact.ended_at is not None and not contact.outbounds:
        # A message that is still under way needs the contact's addresses.
        return [("forget", contact.ended_at + workspace.policy.keep_ended)]
    return ()


def _dues_of_held(workspace: Workspace, contact: Contact, *, down: bool) -> Sequence[tuple[str, int]]:
    """Of a contact that is offered to nobody: its channel is down, or it pauses."""
    if not down:
        return [("retry", contact.retry_at or 0)]
    if contact.considered == workspace.health_version:
        return []
    return [("redirect", workspace.channels[contact.channel_name].since)]


def _rules(
    workspace: Workspace, contact: Contact, queue: QueuePolicy, delays: Sequence[int]
) -> Iterator[tuple[str, int]]:
    since = contact.queue_since
    if contact.steps < len(queue.steps):
        yield "step", since + queue.steps[contact.steps].after
    if delays:
        following = next((delay for delay in delays if delay > contact.delay), None)
        if following is not None:
            yield "delay", since + following
    if workspace.policy.language_fallback or queue.any_language is not None:
        fallback = fallback_of(workspace.policy.language_fallback, queue, asked_language(queue, contact))
        if contact.widened < len(fallback):
            yield "language", since + fallback[contact.widened][1]
    if contact.preferred and preference_of(queue, contact) and not queue.preferred.hold:
        yield "preference", since + queue.preferred.wait_of(contact.channel)
    if contact.declined_at and queue.decline.policy == "after_s":
        yield "decline", min(contact.declined_at.values()) + queue.decline.after
    if queue.max_age is not None and not is_too_old(queue, contact):
        # The age itself is still fine.
        yield "age", contact.age_from + queue.max_age + 1
    if queue.slo is not None and queue.by_deadline is not None and can_wait(queue, contact):
        yield "deadline", contact.age_from + queue.by_deadline.near(target_of(queue, contact))
    if queue.starvation is not None and contact.starved < queue.starvation:
        yield "starving", contact.age_from + queue.starvation
    if queue.max_wait is not None and (queue.max_wait_interrupts_offer or not contact.offers):
        yield "max_wait", since + queue.max_wait
    overflow = overflow_after(queue, contact)
    if overflow is not None:
        yield "overflow", since + overflow
    station = flow_step(workspace, contact) if contact.flow is not None else None
    if station is not None and station.until is not None:
        yield "flow", came_in(contact) + station.until


def came_in(contact: Contact) -> int:
    """When the contact began to be work (ms), a booked one when it is due: times of a flow count from here."""
    return contact.scheduled_at if contact.scheduled_at is not None else contact.created_at


def overflow_after(queue: QueuePolicy, contact: Contact) -> int | None:
    """The first wait (ms) after which an overflow of the queue takes the contact: each target queue once."""
    if not queue.overflow:
        return None
    waits = [rule.wait for rule in queue.overflow if rule.wait is not None and not is_done(rule, contact)]
    return min(waits, default=None)


def is_done(rule: OverflowRule, contact: Contact) -> bool:
    """Whether an overflow has had its turn with the contact: each queue once, and a call-back is one already."""
    return rule.queue in contact.overflowed or (rule.action == "callback" and contact.channel == "callback")


def leaves_unstaffed(workspace: Workspace, contact: Contact) -> bool:
    """Whether the contact is to leave its station as soon as nobody of the queue is there: the station says so, and it
    was offered to nobody here."""
    station = station_here(workspace, contact)
    return station is not None and station.skip_if_none and contact.state is ContactState.WAITING and not contact.asked


def flow_step(workspace: Workspace, contact: Contact) -> FlowStep | None:
    """The station of its flow that the contact is at; None without a flow, and behind its last station."""
    flow = workspace.policy.flows.get(contact.flow) if contact.flow is not None else None
    if flow is None:
        return None
    route = flow.route(contact.attributes)
    return route[contact.flow_step] if contact.flow_step < len(route) else None


def station_here(workspace: Workspace, contact: Contact) -> FlowStep | None:
    """The station, if it is one of the queue where the contact waits: a policy may have made it one of another queue
    meanwhile, and what it says of that queue's agents has no meaning here."""
    station = flow_step(workspace, contact)
    return station if station is not None and station.queue == contact.queue else None
