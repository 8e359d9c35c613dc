"""Where an arriving contact goes: its flow, its queue or the first of several that takes it, and what a queue that is
closed, full or unstaffed does about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.router.engine.arrivals import contact_of
from services.router.engine.context import Context, Refused
from services.router.engine.policy import FlowStep, OverflowRule, QueuePolicy
from services.router.engine.waits import NO_LINE, calibrated, estimate, line_name
from shared.contracts import events as ev
from shared.vocabulary import ChannelHealth, ContactId, QueueName

REFUSED = "refused"


def check_names(ctx: Context, queues: Sequence[str], flow: str | None) -> None:
    """Raises `Refused` for a queue or flow that does not exist."""
    policy = ctx.workspace.policy
    if flow is not None and flow not in policy.flows:
        raise Refused("unknown_flow", f"there is no flow {flow!r}", "flow")
    for name in queues:
        if name not in policy.queues:
            raise Refused("unknown_queue", f"there is no queue {name!r}", "queue")


def first_queue(ctx: Context, created: ev.ContactCreated, queues: Sequence[str]) -> QueueName:
    """Of several queues the one that a contact enters unless checks lead elsewhere: the first that would take it, else
    the first that is open, else the first."""
    takes = (name for name in queues if not would_overflow(ctx, replace(created, queue=QueueName(name))))
    is_open = (name for name in queues if not is_closed(ctx, name))
    return QueueName(next(takes, None) or next(is_open, queues[0]))


def is_closed(ctx: Context, queue: str) -> bool:
    """Whether the queue is outside its opening hours."""
    return queue in ctx.index.closed


def would_overflow(ctx: Context, created: ev.ContactCreated) -> bool:
    """Whether an arrival would be refused by its queue or sent elsewhere."""
    queue = ctx.workspace.policy.queues[created.queue]
    return why_refused(ctx, queue) is not None or arrival_overflow(ctx, created) is not None


def arrival_overflow(ctx: Context, created: ev.ContactCreated) -> OverflowRule | None:
    """The overflow of its queue that takes an arrival: `closed` first, then in the order of the list."""
    queue = ctx.workspace.policy.queues[created.queue]
    for rule in sorted(queue.overflow, key=lambda rule: not rule.closed):
        if rule.action == "callback" and created.channel == "callback":
            continue
        if rule.closed and is_closed(ctx, queue.name):
            return rule
        if rule.waiting is not None and waiting_in(ctx, queue.name) >= rule.waiting:
            return rule
        if rule.expected is not None and expected_wait(ctx, created) > rule.expected:
            return rule
    return None


def expected_wait(ctx: Context, created: ev.ContactCreated) -> float:
    """The wait (ms) that about half of those who arrive like this one will exceed. 0 for one for whom somebody is free,
    and as long as the line's bounds are not to be trusted."""
    line = ctx.workspace.lines.get(line_name(created.queue, created.channel), NO_LINE)
    if not calibrated(line) or ctx.index.somebody_free(contact_of(created, ctx.now, ctx.workspace.sequence), ctx.now):
        return 0
    return estimate(line, line.waiting) * line.half


def why_refused(ctx: Context, queue: QueuePolicy) -> str | None:
    """Why an arrival is refused, if it is."""
    if queue.max_waiting is not None and waiting_in(ctx, queue.name) >= queue.max_waiting:
        return "queue_full"
    if queue.require_staff and not ctx.index.queues[queue.name].somebody_there:
        return "unstaffed"
    return None


def waiting_in(ctx: Context, queue: str) -> int:
    """How many wait or are offered in a queue now, before whoever arrives."""
    counts = ctx.index.queues[queue]
    return counts.waiting + counts.offered


def arrive(ctx: Context, created: ev.ContactCreated) -> list[ev.Event]:
    """The creation of a contact and what follows at once: the first station of its flow, and what the queue's checks do
    about it. A contact that an overflow moves is taken by the target without checks: there are no chains."""
    flow = created.flow
    if flow is not None:
        created = replace(created, flow_filter=filter_id(ctx, flow, created.attributes))
        found = _first_station(ctx, created, flow)
        if found is None:
            return _past_all_stations(ctx, created, flow)
        number, station = found
        created = replace(created, queue=QueueName(station.queue), flow_step=number)
        if station.priority is not None:
            created = replace(created, priority=station.priority)
    return [created, *_let_in(ctx, created)]


def _first_station(ctx: Context, created: ev.ContactCreated, flow: str) -> tuple[int, FlowStep] | None:
    """Where the contact enters its flow. One that is booked for later comes to the very first: who will be there when
    it is due, nobody knows yet."""
    if created.scheduled_at is None:
        return station_of(ctx, flow, created.attributes, 0)
    route = ctx.workspace.policy.flows[flow].route(created.attributes)
    return (0, route[0]) if route else None


def _past_all_stations(ctx: Context, created: ev.ContactCreated, flow: str) -> list[ev.Event]:
    """Every station of the flow is left at once: the contact comes to its end as it comes in."""
    rule = ctx.workspace.policy.flows[flow]
    if rule.end == "cancel":
        return [created, ev.ContactCancelled(contact=created.contact, reason="flow_ended")]
    behind = len(rule.route(created.attributes))
    created = replace(created, queue=QueueName(rule.default_queue), flow_step=behind)
    if rule.end == "callback" and created.channel != "callback" and created.scheduled_at is None:
        return [created, behind_flow(ctx, created.contact, flow, created.attributes, created.queue)]
    return [created, *_let_in(ctx, created)]


def behind_flow(ctx: Context, contact: ContactId, flow: str, attributes: Mapping[str, str], queue: str) -> ev.Event:
    """What becomes of a contact of this queue that has left the last station of its flow."""
    rule = ctx.workspace.policy.flows[flow]
    if rule.end == "cancel":
        return ev.ContactCancelled(contact=contact, reason="flow_ended")
    return ev.ContactMoved(
        contact=contact,
        queue=QueueName(rule.default_queue),
        reason="flow",
        from_queue=QueueName(queue),
        flow_step=len(rule.route(attributes)),
        channel="callback" if rule.end == "callback" else None,
        flow_filter=filter_id(ctx, flow, attributes),
    )


def filter_id(ctx: Context, flow: str, attributes: Mapping[str, str]) -> str | None:
    """Which filter of its flow decides the way of a contact with these attributes; None: no filter matches, the default
    queue is its way."""
    chosen = ctx.workspace.policy.flows[flow].filter_of(attributes)
    return chosen.id if chosen is not None else None


def _let_in(ctx: Context, created: ev.ContactCreated) -> list[ev.Event]:
    """What the checks of its queue do about a contact that has just been created."""
    if created.scheduled_at is not None:
        return []
    queue = ctx.workspace.policy.queues[created.queue]
    rule = arrival_overflow(ctx, created)
    if rule is not None:
        return overflowed(created.contact, created.queue, rule)
    if why_refused(ctx, queue) is not None:
        return [ev.ContactCancelled(contact=created.contact, reason=REFUSED)]
    return []


def overflowed(contact: ContactId, queue: str, rule: OverflowRule) -> list[ev.Event]:
    """The action of an overflow."""
    if rule.action == "cancel":
        return [ev.ContactCancelled(contact=contact, reason="overflow")]
    if rule.action == "refuse":
        return [ev.ContactCancelled(contact=contact, reason=REFUSED)]
    target = rule.queue if rule.action == "move_to" and rule.queue is not None else queue
    return [
        ev.ContactMoved(
            contact=contact,
            queue=QueueName(target),
            reason="overflow",
            from_queue=QueueName(queue),
            channel="callback" if rule.action == "callback" else None,
        )
    ]


def station_of(
    ctx: Context, flow: str, attributes: Mapping[str, str], at: int, leaving: str | None = None
) -> tuple[int, FlowStep] | None:
    """The first station from `at` on that is not left at once; None behind the last. `leaving`: the queue in which the
    contact waits until then."""
    route = ctx.workspace.policy.flows[flow].route(attributes)
    for number, step in enumerate(route[at:], start=at):
        if not is_passed_by(ctx, step, leaving):
            return number, step
    return None


def is_passed_by(ctx: Context, step: FlowStep, leaving: str | None) -> bool:
    """Whether a contact that comes to the station goes on at once."""
    return (
        (step.skip_if_none and _nobody_is_there(ctx, step))
        or (step.skip_waiting is not None and _ahead_of_it(ctx, step, leaving) >= step.skip_waiting)
        or (step.skip_staffed is not None and ctx.index.queues[step.queue].there < step.skip_staffed)
        or (step.skip_down is not None and _is_down(ctx, step.skip_down))
    )


def _ahead_of_it(ctx: Context, step: FlowStep, leaving: str | None) -> int:
    """How many others wait in the station's queue."""
    return waiting_in(ctx, step.queue) - (leaving == step.queue)


def _is_down(ctx: Context, kind: str) -> bool:
    """Whether every channel of the kind is down."""
    return all(
        channel.state is ChannelHealth.DOWN for channel in ctx.workspace.channels.values() if channel.kind == kind
    )


def _nobody_is_there(ctx: Context, step: FlowStep) -> bool:
    """Whether no member of the station's queue has a fitting presence. Whether they have room does not matter: full is
    somebody."""
    return not ctx.index.queues[step.queue].somebody_there
