"""What happens to a contact while it waits: steps, delays, the end of a preference, limits of time, flows, hours."""

from __future__ import annotations

from services.router.engine.admission import behind_flow, filter_id, is_passed_by, overflowed, station_of
from services.router.engine.context import Context, withdraw_offers
from services.router.engine.policy import FlowStep
from services.router.engine.records import Agent, Contact
from services.router.engine.rooms import accepts
from services.router.engine.waiting import is_done, overflow_after, station_here
from shared.contracts import events as ev
from shared.vocabulary import AgentId, ContactState, QueueName


def step_due(ctx: Context, contact: Contact) -> list[ev.Event]:
    """The next step of the queue holds from now on."""
    queue = ctx.workspace.policy.queues[contact.queue]
    step = queue.steps[contact.steps]
    events: list[ev.Event] = [
        ev.ContactStepped(
            contact=contact.id,
            steps=contact.steps + 1,
            notify=step.notify,
            queue=contact.queue if step.notify is not None else None,
        )
    ]
    if step.set_priority is not None and step.set_priority != contact.priority:
        events.append(ev.ContactPrioritised(contact=contact.id, priority=step.set_priority, reason="step"))
    if step.move_to is not None and step.move_to != contact.queue:
        events += withdraw_offers(contact, ctx.workspace, "moved")
        events.append(_moved(contact, step.move_to, "step"))
    return events


def _moved(contact: Contact, queue: str, reason: str) -> ev.ContactMoved:
    return ev.ContactMoved(contact=contact.id, queue=QueueName(queue), reason=reason, from_queue=contact.queue)


def delay_due(ctx: Context, contact: Contact) -> list[ev.Event]:
    """Agents with this delay in the queue may get the contact from now on."""
    return [ev.DelayPassed(contact=contact.id, delay=ctx.now - contact.queue_since)]


def language_due(ctx: Context, contact: Contact) -> list[ev.Event]:
    """One more language will do."""
    return [ev.LanguageWidened(contact=contact.id, languages=contact.widened + 1)]


def preference_due(ctx: Context, contact: Contact) -> list[ev.Event]:
    """The preferred agents had their time; what is offered to one of them stays so, unless it was in a presence that
    the queue accepts of nobody else."""
    workspace = ctx.workspace
    queue = workspace.policy.queues[contact.queue]
    away = (o for o in contact.offers if not accepts(workspace.agents[workspace.offers[o].agent], queue))
    return [
        ev.PreferenceEnded(contact=contact.id),
        *[
            ev.OfferWithdrawn(offer=o, contact=contact.id, agent=workspace.offers[o].agent, reason="presence")
            for o in away
        ],
    ]


def age_due(ctx: Context, contact: Contact) -> list[ev.Event]:
    """Too old to be offered to anybody."""
    return [*withdraw_offers(contact, ctx.workspace, "age"), ev.ContactAgedOut(contact=contact.id)]


def deadline_due(ctx: Context, contact: Contact) -> list[ev.Event]:
    """The contact has waited so long that nothing is kept free before it."""
    return [ev.DeadlineNear(contact=contact.id)]


def starving_due(ctx: Context, contact: Contact) -> list[ev.Event]:
    """The contact is as old as its queue lets one become behind others."""
    return [ev.ContactStarving(contact=contact.id)]


def exhausted_due(ctx: Context, contact: Contact) -> list[ev.Event]:
    """Everybody who could be asked has declined. That is told, and the next step holds now instead of in time; where
    the queue has no more of them the contact goes on to another station of its flow. It never ends by this."""
    queue = ctx.workspace.policy.queues[contact.queue]
    told = ev.ContactExhausted(contact=contact.id, queue=contact.queue, declined=len(contact.declines))
    if not queue.decline.steps_on:
        return [told]
    if contact.steps < len(queue.steps):
        return [told, *step_due(ctx, contact)]
    if next_station(ctx, contact) is not None:
        return [told, *flow_due(ctx, contact)]
    return [told]


def reserve_due(ctx: Context) -> list[ev.Event]:
    """Time to look again whether room can be spared."""
    return [ev.ReserveReviewed()]


def decline_due(ctx: Context, contact: Contact) -> list[ev.Event]:
    """Decliners may be asked again; how often they declined is remembered."""
    after = ctx.workspace.policy.queues[contact.queue].decline.after
    return [
        ev.DeclinePassed(contact=contact.id, agent=AgentId(agent))
        for agent, declined in contact.declined_at.items()
        if declined + after <= ctx.now
    ]


def max_wait_due(ctx: Context, contact: Contact) -> list[ev.Event]:
    """The contact has waited as long as its queue allows."""
    return [
        *withdraw_offers(contact, ctx.workspace, "cancelled"),
        ev.ContactCancelled(contact=contact.id, reason="max_wait"),
    ]


def overflow_due(ctx: Context, contact: Contact) -> list[ev.Event]:
    """The contact has waited so long in this queue that it goes on elsewhere."""
    queue = ctx.workspace.policy.queues[contact.queue]
    wait = overflow_after(queue, contact)
    rule = next(rule for rule in queue.overflow if rule.wait == wait and not is_done(rule, contact))
    return [*withdraw_offers(contact, ctx.workspace, "moved"), *overflowed(contact.id, contact.queue, rule)]


def flow_due(ctx: Context, contact: Contact) -> list[ev.Event]:
    """The contact leaves this station of its flow; after the last one the flow says what becomes of it."""
    assert contact.flow is not None, f"{contact.id} has no flow"
    withdrawn = withdraw_offers(contact, ctx.workspace, "moved")
    following = next_station(ctx, contact)
    if following is None:
        return [*withdrawn, behind_flow(ctx, contact.id, contact.flow, contact.attributes, contact.queue)]
    number, step = following
    events: list[ev.Event] = [
        *withdrawn,
        ev.ContactMoved(
            contact=contact.id,
            queue=QueueName(step.queue),
            reason="flow",
            from_queue=contact.queue,
            flow_step=number,
            flow_filter=filter_id(ctx, contact.flow, contact.attributes),
        ),
    ]
    if step.priority is not None and step.priority != contact.priority:
        events.append(ev.ContactPrioritised(contact=contact.id, priority=step.priority, reason="flow"))
    return events


def next_station(ctx: Context, contact: Contact) -> tuple[int, FlowStep] | None:
    """Where a contact with a flow goes from here; None behind the last station, and for a flow that is gone."""
    if contact.flow is None or contact.flow not in ctx.workspace.policy.flows:
        return None
    leaving = contact.queue if contact.state is not ContactState.SCHEDULED else None
    return station_of(ctx, contact.flow, contact.attributes, contact.flow_step + 1, leaving)


def scheduled_due(ctx: Context, contact: Contact) -> list[ev.Event]:
    """A contact that was booked comes into its queue, without checks: it was promised. Where the first station of its
    flow is one to pass by now, it goes on at once."""
    queued = ev.ContactQueued(contact=contact.id, queue=contact.queue, reason="due")
    station = station_here(ctx.workspace, contact)
    if station is not None and is_passed_by(ctx, station, None):
        return [queued, *flow_due(ctx, contact)]
    return [queued]


def unstaffed_due(ctx: Context, contact: Contact) -> list[ev.Event]:
    """The last one who could have been asked at this station has gone, and nobody was. One contact at a time, so that
    even a full station moves in entries of bounded size."""
    return flow_due(ctx, contact)


def hours_due(ctx: Context, queue_name: str) -> list[ev.Event]:
    """A queue opens or closes. When it closes, what is offered stays offered."""
    queue = ctx.workspace.policy.queues[queue_name]
    return [ev.QueueHours(queue=QueueName(queue_name), open=queue.open_at(ctx.now))]


def hours_now(ctx: Context) -> list[ev.Event]:
    """After a policy has come into force: which queues are open under it."""
    return [
        ev.QueueHours(queue=QueueName(name), open=queue.open_at(ctx.now))
        for name, queue in sorted(ctx.workspace.policy.queues.items())
        if queue.hours is not None
    ]


def rate_due(ctx: Context, agent: Agent) -> list[ev.Event]:
    """Assignments have left a queue's window."""
    events: list[ev.Event] = []
    for name, times in sorted(agent.assigned_times.items()):
        queue = ctx.workspace.policy.queues.get(name)
        if queue is None or queue.rate_limit is None:
            continue
        since = ctx.now - queue.rate_limit[1]
        if times and times[0] <= since:
            events.append(ev.RateWindowMoved(agent=agent.id, queue=QueueName(name), since=since))
    return events


def slot_wrap_up_due(ctx: Context, agent: Agent) -> list[ev.Event]:
    """A wrap-up that kept a contact's room is over."""
    return [
        ev.WrapUpEnded(agent=agent.id, cause="timer", slot_of=contact)
        for contact, (_, until) in sorted(agent.wrap_up_slots.items())
        if until <= ctx.now
    ]


def queue_wrap_up_due(ctx: Context, agent: Agent) -> list[ev.Event]:
    """A wrap-up towards one queue is over."""
    return [
        ev.WrapUpEnded(agent=agent.id, cause="timer", queue=name)
        for name, (_, until) in sorted(agent.queue_wrap_up.items())
        if until <= ctx.now
    ]
