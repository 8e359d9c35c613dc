"""Events that end a contact, and its last one: that it is forgotten."""

from __future__ import annotations

from shared.contracts import events as ev
from tests.simulation.ledger.books import OPEN, AgentBook, Booking, ContactBook, Instant, WorkspaceBook
from tests.simulation.ledger.due import is_written_to
from tests.simulation.ledger.violation import require
from tests.simulation.ledger.waiting import may_leave_station


def _end(ws: WorkspaceBook, contact: ContactBook, state: str, at: int) -> None:
    require(not contact.offers, "2", f"{contact.id} ends as {state} while {contact.offers} are open")
    if contact.agent is not None:
        ws.agents[contact.agent].release(contact.id, at)
    contact.state = state
    contact.agent = None
    contact.ended_at = at
    contact.retry_at = None
    ws.ended += 1


def completed(ws: WorkspaceBook, event: ev.ContactCompleted, now: Instant) -> None:
    contact = ws.contact_in(event.contact, "assigned")
    require(contact.agent == event.agent, "2", f"{event.agent} completes the contact of {contact.agent}")
    own = now.role != "agent" or now.actor == f"agent:{event.agent}"
    require(own, "2", f"{now.actor} completes the contact of {event.agent}")
    _end(ws, contact, "completed", now.at)
    agent = ws.agents[event.agent]
    _check_wrap_up(ws, contact, agent, event, now.at)
    if event.wrap_up_until is not None and event.wrap_up_slot:
        agent.wrap_up_slots.pop(contact.id, None)
        agent.wrap_up_slots[contact.id] = (contact.channel, event.wrap_up_until)
    elif event.wrap_up_until is not None and event.wrap_up_queue is not None:
        agent.queue_wrap_up[event.wrap_up_queue] = (contact.id, event.wrap_up_until)
    elif event.wrap_up_until is not None:
        agent.wrap_up_until = event.wrap_up_until


def _check_wrap_up(
    ws: WorkspaceBook, contact: ContactBook, agent: AgentBook, event: ev.ContactCompleted, at: int
) -> None:
    """As long as the agent's profile says, else as the queue; towards the queue alone where it says so. A wrap-up that
    runs is never cut short by another."""
    rule = ws.queues[contact.queue]
    length = agent.wrap_up if agent.wrap_up is not None else rule["wrap_up_s"] * 1000
    here = contact.queue if rule["wrap_up_scope"] == "queue" and length else None
    require(event.wrap_up_queue == here, "4", f"wrap-up after {contact.id} is of {event.wrap_up_queue}, not {here}")
    slot = rule["wrap_up_holds"] == "capacity" and length > 0
    require(event.wrap_up_slot == slot, "4", f"wrap-up after {contact.id} keeps its room: {event.wrap_up_slot}")
    towards = agent.queue_wrap_up[contact.queue][1] if contact.queue in agent.queue_wrap_up else 0
    running = 0 if slot else (towards if here else agent.wrap_up_until) or 0
    until = max(at + length, running) if length else None
    require(event.wrap_up_until == until, "4", f"wrap-up after {contact.id} until {event.wrap_up_until}, not {until}")


def cancelled(ws: WorkspaceBook, event: ev.ContactCancelled, now: Instant) -> None:
    contact = ws.contact_in(event.contact, *OPEN)
    if event.reason == "max_wait":
        most = ws.queues[contact.queue]["max_wait_s"] * 1000
        require(contact.queue_since + most <= now.at, "time", f"{contact.id} has not waited {most} ms")
    if event.reason == "flow_ended":
        require(
            ws.flows[contact.flow or ""]["end"] == "cancel", "1", f"{contact.id} is cancelled at the end of its flow"
        )
        _check_end_of_flow(ws, contact, now.at)
    if event.reason == "refused":
        _check_refusal(ws, contact, now.at)
    _end(ws, contact, "cancelled", now.at)


def _check_end_of_flow(ws: WorkspaceBook, contact: ContactBook, at: int) -> None:
    """Behind the last station: its time is over, or nobody is there, and so it is at all that follow."""
    arrives = ws.arrival is not None and ws.arrival.contact == contact.id
    require(arrives or may_leave_station(ws, contact, at), "time", f"{contact.id} leaves its last station too early")
    rest = ws.route(contact)[contact.flow_step + (not arrives) :]
    passed = all(ws.is_passed_by(station, contact) for station in rest)
    require(passed, "5", f"{contact.id} is cancelled before a station where somebody is")


def _check_refusal(ws: WorkspaceBook, contact: ContactBook, at: int) -> None:
    """Nobody is turned away without a rule that says so."""
    queue, arrival = ws.queues[contact.queue], ws.arrival
    if any(rule["action"] == "refuse" for rule in queue["overflow"]):
        return
    require(arrival is not None and arrival.contact == contact.id, "1", f"{contact.id} is refused, but was let in")
    assert arrival is not None
    full = queue["max_waiting"] is not None and arrival.waiting >= queue["max_waiting"]
    unstaffed = queue["require_staff"] and not arrival.staffed
    require(full or unstaffed, "1", f"{contact.id} is refused by {contact.queue} without a reason")


def abandoned(ws: WorkspaceBook, event: ev.ContactAbandoned, now: Instant) -> None:
    contact = ws.contact_in(event.contact, "waiting", "offered", "scheduled")
    require(event.waited == max(0, now.at - contact.age_from), "5", f"{contact.id} lost its age: {event.waited}")
    _end(ws, contact, "abandoned", now.at)


def forgotten(ws: WorkspaceBook, event: ev.ContactForgotten, now: Instant) -> None:
    contact = ws.contacts[event.contact]
    require(contact.ended_at is not None, "1", f"{contact.id} is forgotten while it is {contact.state}")
    require(not is_written_to(ws, contact), "9", f"{contact.id} is forgotten before what is sent to it has ended")
    keep = ws.policy["keep_ended_s"] * 1000
    require((contact.ended_at or 0) + keep <= now.at, "time", f"{contact.id} is forgotten too early")
    del ws.contacts[contact.id]
    ws.offers = {o.id: o for o in ws.offers.values() if o.contact != contact.id}
    ws.replies = {message: owner for message, owner in ws.replies.items() if owner != contact.id}
    for members in ws.threads.values():
        members.discard(contact.id)
    ws.forgotten += 1


BOOK: Booking = {
    ev.ContactCompleted: completed,
    ev.ContactCancelled: cancelled,
    ev.ContactAbandoned: abandoned,
    ev.ContactForgotten: forgotten,
}
