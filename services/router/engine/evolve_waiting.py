"""Making events about waiting and ending true: queues, steps, assignments by hand, and how contacts end."""

from __future__ import annotations

from services.router.engine.records import Agent, Contact
from services.router.engine.state import Workspace
from services.router.engine.truth import Evolve, note_handling
from services.router.engine.world import World
from shared.contracts import events as ev
from shared.vocabulary import (
    AgentId,
    ContactId,
    ContactState,
    QueueName,
)


def _contact_queued(world: World, ws: Workspace, event: ev.ContactQueued, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    _enter(world, ws, contact, event.queue, at)
    if contact.scheduled_priority is not None:
        contact.priority = contact.scheduled_priority
        contact.scheduled_priority = None
    if event.reason == "reopened":
        contact.excluded = None
        contact.wish_met = False
        contact.steps = 0
        contact.stepped = {}
        contact.declines = {}
        contact.declined_at = {}
        contact.flow = None
        contact.agent = None
        contact.active = True
        contact.preferred = event.preferred or contact.preferred
        contact.age_from = at
        contact.ended_at = None
        contact.end_reason = None
        world.touched.append(("thread", ws.name, contact.thread))
    wait(contact, at)


def _enter(world: World, ws: Workspace, contact: Contact, queue: QueueName, at: int) -> None:
    """The contact is in a queue from now on: what counts from there begins anew, but each step comes once."""
    if contact.queue != queue:
        # Its numbers change too, and the contact will not tell that it was there.
        world.touched.append(("queue", ws.name, contact.queue))
    contact.stepped = {**contact.stepped, contact.queue: contact.steps}
    contact.steps = contact.stepped.get(queue, 0)
    contact.queue = queue
    contact.queue_since = at
    contact.delay = 0
    contact.widened = 0
    contact.preference_over = False
    contact.past_age = 0
    contact.deadline_near = False
    contact.starved = 0
    contact.exhausted = False
    contact.asked = False


def wait(contact: Contact, at: int, retry_at: int | None = None) -> None:
    contact.state = ContactState.WAITING
    contact.state_since = at
    contact.retry_at = retry_at


def _contact_moved(world: World, ws: Workspace, event: ev.ContactMoved, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    held = contact.agent is not None
    if contact.agent is not None:
        release(ws, world.change_agent(ws, contact.agent), contact.id, at)
        contact.agent = None
        contact.active = True
        world.touched.append(("thread", ws.name, contact.thread))
    if event.reason == "overflow" and event.queue == contact.queue and event.channel is not None:
        # It becomes a call-back where it waits, and has waited there all the while.
        contact.channel = event.channel
        return
    if event.reason == "overflow":
        contact.overflowed = (*contact.overflowed, event.queue)
    if held or (event.reason != "flow" and event.queue != contact.queue):
        # Whoever was answered or is sent elsewhere has left the flow: its stations and times are of other queues.
        contact.flow = None
    if event.age_from is not None:
        contact.age_from = event.age_from
    if event.flow_step is not None:
        contact.flow_step = event.flow_step
    if event.channel is not None:
        contact.channel = event.channel
    if held:
        contact.excluded = event.excluded
    _enter(world, ws, contact, event.queue, at)
    contact.wish_met = contact.wish_met or held
    wait(contact, at)


def _contact_stepped(world: World, ws: Workspace, event: ev.ContactStepped, at: int) -> None:
    world.change_contact(ws, event.contact).steps = event.steps


def _delay_passed(world: World, ws: Workspace, event: ev.DelayPassed, at: int) -> None:
    world.change_contact(ws, event.contact).delay = event.delay


def _language_widened(world: World, ws: Workspace, event: ev.LanguageWidened, at: int) -> None:
    world.change_contact(ws, event.contact).widened = event.languages


def _preference_ended(world: World, ws: Workspace, event: ev.PreferenceEnded, at: int) -> None:
    world.change_contact(ws, event.contact).preference_over = True


def _contact_aged_out(world: World, ws: Workspace, event: ev.ContactAgedOut, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    contact.past_age = ws.policy.queues[contact.queue].max_age or contact.past_age


def _contact_prioritised(world: World, ws: Workspace, event: ev.ContactPrioritised, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    contact.priority = event.priority
    if contact.state is ContactState.SCHEDULED:
        # It is the priority that it has when it is due.
        contact.scheduled_priority = None
    contact.deadline_near = False


def _deadline_near(world: World, ws: Workspace, event: ev.DeadlineNear, at: int) -> None:
    world.change_contact(ws, event.contact).deadline_near = True


def _contact_starving(world: World, ws: Workspace, event: ev.ContactStarving, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    contact.starved = ws.policy.queues[contact.queue].starvation or contact.starved


def _contact_exhausted(world: World, ws: Workspace, event: ev.ContactExhausted, at: int) -> None:
    world.change_contact(ws, event.contact).exhausted = True


def _age_adjusted(world: World, ws: Workspace, event: ev.AgeAdjusted, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    contact.age_from = event.age_from
    contact.past_age = 0
    contact.deadline_near = False
    contact.starved = 0


def _contact_assigned(world: World, ws: Workspace, event: ev.ContactAssigned, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    if contact.agent is not None:
        release(ws, world.change_agent(ws, contact.agent), contact.id, at)
    agent = world.change_agent(ws, event.agent)
    agent.held = {**agent.held, event.contact: contact.channel}
    contact.state = ContactState.ASSIGNED
    contact.state_since = at
    contact.agent = event.agent
    contact.active = True
    contact.excluded = None
    contact.exhausted = False
    contact.retry_at = None
    if contact.answered_at is None:
        contact.answered_at = at
    note_assignment(ws, agent, contact.queue, at)
    world.touched.append(("thread", ws.name, contact.thread))


def note_assignment(ws: Workspace, agent: Agent, queue: str, at: int) -> None:
    agent.assigned_last = {**agent.assigned_last, queue: at}
    known = ws.policy.queues.get(queue)
    if known is not None and known.rate_limit is not None:
        agent.assigned_times = {**agent.assigned_times, queue: (*agent.assigned_times.get(queue, ()), at)}


def _contact_activity(world: World, ws: Workspace, event: ev.ContactActivity, at: int) -> None:
    world.change_contact(ws, event.contact).active = event.active
    agent = world.change_agent(ws, event.agent)
    parked = tuple(contact for contact in agent.parked if contact != event.contact)
    agent.parked = parked if event.active else (*parked, event.contact)


def _decline_forgotten(world: World, ws: Workspace, event: ev.DeclineForgotten, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    contact.declines = {agent: count for agent, count in contact.declines.items() if agent != event.agent}
    contact.declined_at = {agent: when for agent, when in contact.declined_at.items() if agent != event.agent}


def _end(
    world: World, ws: Workspace, contact_id: ContactId, state: ContactState, reason: str | None, at: int
) -> Contact:
    contact = world.change_contact(ws, contact_id)
    if contact.agent is not None:
        release(ws, world.change_agent(ws, contact.agent), contact_id, at)
    contact.state = state
    contact.state_since = at
    contact.ended_at = at
    contact.end_reason = reason
    contact.retry_at = None
    world.touched.append(("thread", ws.name, contact.thread))
    return contact


def release(ws: Workspace, agent: Agent, contact_id: ContactId, at: int) -> None:
    """The agent no longer holds the contact; idle time counts from here."""
    draw_anew(ws, agent)
    agent.held = {held: kind for held, kind in agent.held.items() if held != contact_id}
    if agent.parked:
        agent.parked = tuple(parked for parked in agent.parked if parked != contact_id)
    agent.idle_since = at


def draw_anew(ws: Workspace, agent: Agent) -> None:
    """The agent has room again, and takes part in the races of queues that draw lots from where these now are: a lot
    from before would win at once, for the time when it could not."""
    if agent.lots:
        agent.lots = {
            name: (max(since, ws.races.get(name, 0)), drawn + 1) for name, (since, drawn) in agent.lots.items()
        }


def _contact_completed(world: World, ws: Workspace, event: ev.ContactCompleted, at: int) -> None:
    agent = world.change_agent(ws, event.agent)
    contact = ws.contacts[event.contact]
    agent.completed += 1
    agent.talk_time += at - contact.state_since
    note_handling(world, ws, contact, agent.weight(contact.channel), at)
    _end(world, ws, event.contact, ContactState.COMPLETED, None, at).wrap_up_code = event.wrap_up_code
    if event.wrap_up_until is not None and event.wrap_up_slot:
        others = {done: slot for done, slot in agent.wrap_up_slots.items() if done != event.contact}
        agent.wrap_up_slots = {**others, event.contact: (contact.channel, event.wrap_up_until)}
    elif event.wrap_up_until is not None and event.wrap_up_queue is not None:
        agent.queue_wrap_up = {**agent.queue_wrap_up, event.wrap_up_queue: (event.contact, event.wrap_up_until)}
    elif event.wrap_up_until is not None:
        agent.wrap_up_until = event.wrap_up_until
        agent.wrap_up_contact = event.contact


def _contact_cancelled(world: World, ws: Workspace, event: ev.ContactCancelled, at: int) -> None:
    _end(world, ws, event.contact, ContactState.CANCELLED, event.reason, at)


def _contact_abandoned(world: World, ws: Workspace, event: ev.ContactAbandoned, at: int) -> None:
    _end(world, ws, event.contact, ContactState.ABANDONED, None, at)


def _contact_requeued(world: World, ws: Workspace, event: ev.ContactRequeued, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    assert contact.agent == event.agent, f"{event.contact} is not held by {event.agent}"
    release(ws, world.change_agent(ws, event.agent), event.contact, at)
    contact.agent = None
    contact.active = True
    # It waits for the second time: the limits of waiting count from here, the steps it took and its age stay. Its flow
    # and its wish for somebody had their answer, unless its desk was lost before it had one.
    contact.queue_since = at
    contact.flow = None
    contact.preference_over = False
    contact.wish_met = not event.preferred
    if event.preferred:
        contact.preferred = event.preferred
    if event.reason == "agent":
        count_decline(contact, event.agent, at)
    world.touched.append(("thread", ws.name, contact.thread))
    wait(contact, at)


def count_decline(contact: Contact, agent: AgentId, at: int) -> None:
    contact.declines = {**contact.declines, agent: contact.declines.get(agent, 0) + 1}
    contact.declined_at = {**contact.declined_at, agent: at}


def _decline_passed(world: World, ws: Workspace, event: ev.DeclinePassed, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    contact.declined_at = {agent: when for agent, when in contact.declined_at.items() if agent != event.agent}


EVOLVE: dict[type, Evolve] = {
    ev.ContactQueued: _contact_queued,
    ev.ContactMoved: _contact_moved,
    ev.ContactStepped: _contact_stepped,
    ev.DelayPassed: _delay_passed,
    ev.LanguageWidened: _language_widened,
    ev.PreferenceEnded: _preference_ended,
    ev.ContactAgedOut: _contact_aged_out,
    ev.ContactPrioritised: _contact_prioritised,
    ev.AgeAdjusted: _age_adjusted,
    ev.ContactAssigned: _contact_assigned,
    ev.ContactActivity: _contact_activity,
    ev.DeadlineNear: _deadline_near,
    ev.ContactStarving: _contact_starving,
    ev.ContactExhausted: _contact_exhausted,
    ev.DeclineForgotten: _decline_forgotten,
    ev.DeclinePassed: _decline_passed,
    ev.ContactRequeued: _contact_requeued,
    ev.ContactCompleted: _contact_completed,
    ev.ContactCancelled: _contact_cancelled,
    ev.ContactAbandoned: _contact_abandoned,
}
"""By event: what makes it true."""
