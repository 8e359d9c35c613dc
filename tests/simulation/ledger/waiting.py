"""Events of contacts that wait: where they wait, which rules time brings into force, what is changed by hand."""

from __future__ import annotations

from shared.contracts import events as ev
from tests.simulation.ledger.books import WAITS, Booking, ContactBook, Document, Instant, WorkspaceBook
from tests.simulation.ledger.due import deadline, language_chain, overflows, wish_s
from tests.simulation.ledger.gates import is_away
from tests.simulation.ledger.room import bypasses
from tests.simulation.ledger.violation import require


def queued(ws: WorkspaceBook, event: ev.ContactQueued, now: Instant) -> None:
    if event.reason == "reopened":
        contact = ws.contact_in(event.contact, "completed", "cancelled", "abandoned")
        contact.enter(event.queue, now.at)
        contact.steps, contact.stepped = 0, {}
        contact.declines, contact.declined_at = {}, {}
        contact.flow, contact.excluded, contact.wish_met = None, None, False
        contact.preferred = event.preferred or contact.preferred
        contact.age_from = now.at
        contact.ended_at = None
        ws.ended -= 1
    else:
        contact = ws.contact_in(event.contact, "scheduled")
        require((contact.scheduled_at or 0) <= now.at, "time", f"{contact.id} is due too early")
        contact.enter(event.queue, now.at)
        station = ws.station(contact)
        if station is not None and station["queue"] == contact.queue and ws.is_passed_by(station, contact):
            ws.passing = contact.id
    if contact.scheduled_priority is not None:
        contact.priority, contact.scheduled_priority = contact.scheduled_priority, None
    contact.wait()


def moved(ws: WorkspaceBook, event: ev.ContactMoved, now: Instant) -> None:
    contact = ws.contact_in(event.contact, "assigned" if event.reason == "transfer" else "waiting")
    require(event.from_queue == contact.queue, "5", f"{contact.id} leaves {event.from_queue}, it is in {contact.queue}")
    require(not contact.offers, "2", f"{contact.id} moves while it is on offer")
    elsewhere = event.queue != contact.queue
    if event.reason == "flow":
        check_filter(ws, contact, event.flow_filter)
    _MOVE[event.reason](ws, contact, event, now)
    if event.reason == "overflow" and event.channel is not None and not elsewhere:
        # A call-back from now on, in its old place.
        contact.channel = event.channel
        return
    if event.reason == "overflow":
        contact.overflowed = (*contact.overflowed, event.queue)
    transferred = event.reason == "transfer"
    if transferred or (event.reason != "flow" and elsewhere):
        contact.flow = None
    if event.age_from is not None:
        require(event.reason == "transfer", "5", f"{contact.id} loses its age by {event.reason}")
        contact.age_from = event.age_from
    if event.channel is not None:
        contact.channel = event.channel
    if transferred:
        contact.excluded = event.excluded
    contact.enter(event.queue, now.at)
    contact.wish_met = contact.wish_met or transferred
    contact.wait()
    ws.hurried = None


def _transferred(ws: WorkspaceBook, contact: ContactBook, event: ev.ContactMoved, now: Instant) -> None:
    assert contact.agent is not None
    handed_on = now.role != "agent" or now.actor == f"agent:{contact.agent}"
    require(handed_on, "2", f"{now.actor} hands on the contact of {contact.agent}")
    ws.agents[contact.agent].release(contact.id, now.at)


def _overflowed(ws: WorkspaceBook, contact: ContactBook, event: ev.ContactMoved, now: Instant) -> None:
    arrival = ws.arrival
    if arrival is not None and arrival.contact == contact.id and not arrival.moved:
        arrival.moved = True
        why = ws.queues[contact.queue]["overflow"]
    else:
        waited = now.at - contact.queue_since
        why = [rule for rule in overflows(ws, contact) if rule["when"]["wait_exceeds_s"] * 1000 <= waited]
    targets = [rule["queue"] or contact.queue for rule in why if rule["action"] in ("move_to", "callback")]
    require(event.queue in targets, "time", f"{contact.id} overflows to {event.queue} without a reason")


def _stepped_out(ws: WorkspaceBook, contact: ContactBook, event: ev.ContactMoved, now: Instant) -> None:
    step = ws.queues[contact.queue]["steps"][contact.steps - 1]
    require(step["move_to"] == event.queue, "5", f"{contact.id} goes to {event.queue}, its step says {step['move_to']}")


def _went_on(ws: WorkspaceBook, contact: ContactBook, event: ev.ContactMoved, now: Instant) -> None:
    route = ws.route(contact)
    if contact.flow_step == len(route):
        # It came in behind all stations, and now becomes a call-back.
        require(ws.arrival is not None and ws.arrival.contact == contact.id, "5", f"{contact.id} left its flow before")
        assert ws.arrival is not None
        ws.arrival.moved = True
        _check_next_place(ws, contact, event, route)
        return
    require(may_leave_station(ws, contact, now.at), "time", f"{contact.id} leaves its station too early")
    right = event.flow_step is not None and event.flow_step > contact.flow_step
    require(right, "5", f"{contact.id} goes from station {contact.flow_step} to {event.flow_step}")
    between = route[contact.flow_step + 1 : event.flow_step]
    passed = all(ws.is_passed_by(station, contact) for station in between)
    require(passed, "5", f"{contact.id} passes over a station where somebody is")
    _check_next_place(ws, contact, event, route)


def check_filter(ws: WorkspaceBook, contact: ContactBook, told: str | None) -> None:
    """The filter of its flow that is told for a contact's way is the first that matches."""
    chosen = ws.filter_of(contact)
    name = chosen[0] if chosen is not None else None
    require(told == name, "5", f"{contact.id} goes by filter {told}, the first that matches is {name}")


def may_leave_station(ws: WorkspaceBook, contact: ContactBook, at: int) -> bool:
    """Whether the time of the contact's station is over, or nobody is there who could be asked and nobody was."""
    station = ws.station(contact)
    ends = station["until_age_s"] if station is not None else None
    if contact.id in (ws.hurried, ws.passing) and station is not None:
        ws.passing = None
        return True
    return (ends is not None and contact.came_in + ends * 1000 <= at) or ws.leaves_unstaffed(contact)


def _check_next_place(ws: WorkspaceBook, contact: ContactBook, event: ev.ContactMoved, route: list[Document]) -> None:
    """The queue of the station that it has come to; behind the last one what the flow says."""
    contact.flow_step = event.flow_step or 0
    flow = ws.flows[contact.flow or ""]
    is_behind = contact.flow_step == len(route)
    if is_behind:
        require(
            flow["end"] in ("default_queue", "callback"), "5", f"{contact.id} goes on, its flow ends by {flow['end']}"
        )
    else:
        station = route[contact.flow_step]
        passed = ws.is_passed_by(station, contact)
        require(not passed, "5", f"{contact.id} comes to {station['queue']}, which it should pass by")
    here = flow["default_queue"] if is_behind else route[contact.flow_step]["queue"]
    require(event.queue == here, "5", f"{contact.id} goes to {event.queue}, its flow says {here}")
    channel = "callback" if is_behind and flow["end"] == "callback" else None
    require(event.channel == channel, "5", f"{contact.id} goes on by {event.channel}, its flow says {channel}")


_MOVE = {"transfer": _transferred, "overflow": _overflowed, "step": _stepped_out, "flow": _went_on}


def _after(contact: ContactBook, since: int, seconds: int, now: Instant, what: str) -> None:
    require(since + seconds * 1000 <= now.at, "time", f"{contact.id}: {what} too early")


def stepped(ws: WorkspaceBook, event: ev.ContactStepped, now: Instant) -> None:
    contact = ws.contact_in(event.contact, *WAITS)
    require(event.steps == contact.steps + 1, "5", f"{contact.id} steps from {contact.steps} to {event.steps}")
    step = ws.queues[contact.queue]["steps"][contact.steps]
    if ws.hurried != contact.id:
        _after(contact, contact.queue_since, step["after_s"], now, "a step")
    ws.hurried = None
    told = (step["notify"], contact.queue if step["notify"] is not None else None)
    require((event.notify, event.queue) == told, "5", f"a step of {contact.id} tells {event.notify}, not {told}")
    contact.steps = event.steps


def delay_passed(ws: WorkspaceBook, event: ev.DelayPassed, now: Instant) -> None:
    contact = ws.contact_in(event.contact, *WAITS)
    right = contact.delay < event.delay <= now.at - contact.queue_since
    require(right, "time", f"{contact.id} has waited {now.at - contact.queue_since} ms, not {event.delay}")
    contact.delay = event.delay


def language_widened(ws: WorkspaceBook, event: ev.LanguageWidened, now: Instant) -> None:
    contact = ws.contact_in(event.contact, *WAITS)
    require(event.languages == contact.widened + 1, "5", f"{contact.id} skips a language")
    step = language_chain(ws, contact)[contact.widened]
    _after(contact, contact.queue_since, step["after_s"], now, "a language")
    contact.widened = event.languages


def preference_ended(ws: WorkspaceBook, event: ev.PreferenceEnded, now: Instant) -> None:
    contact = ws.contact_in(event.contact, *WAITS)
    wanted = ws.queues[contact.queue]["preferred"]
    require(wanted["fallback"] != "hold", "5", f"{contact.id} should wait for {contact.preferred} for ever")
    _after(contact, contact.queue_since, wish_s(wanted, contact), now, "the preference ends")
    contact.preference_over = True


def aged_out(ws: WorkspaceBook, event: ev.ContactAgedOut, now: Instant) -> None:
    contact = ws.contact_in(event.contact, "waiting")
    most = ws.queues[contact.queue]["max_age_s"]
    require(now.at - contact.age_from > most * 1000, "time", f"{contact.id} is not older than {most} s")
    contact.past_age = most * 1000


def deadline_near(ws: WorkspaceBook, event: ev.DeadlineNear, now: Instant) -> None:
    contact = ws.contact_in(event.contact, *WAITS)
    near = deadline(ws, contact)
    require(near is not None and near <= now.at, "time", f"{contact.id} is near its deadline at {near}")
    contact.deadline_near = True


def starving(ws: WorkspaceBook, event: ev.ContactStarving, now: Instant) -> None:
    contact = ws.contact_in(event.contact, *WAITS)
    bound = ws.queues[contact.queue]["starvation_s"]
    require(bound is not None, "5", f"nobody starves in {contact.queue}")
    _after(contact, contact.age_from, bound, now, "starving")
    contact.starved = bound * 1000


def exhausted(ws: WorkspaceBook, event: ev.ContactExhausted, now: Instant) -> None:
    """Somebody who is there has declined it. Whether all who are able have, the rule's words judge (`tests/oracle`)."""
    contact = ws.contact_in(event.contact, "waiting")
    require(not contact.exhausted, "5", f"it was told already that everybody has declined {contact.id}")
    told = (event.queue, event.declined)
    require(told == (contact.queue, len(contact.declines)), "5", f"{told} is told of {contact.id}")
    no = {*contact.declines, *([contact.excluded] if contact.excluded else [])}
    there = [
        name
        for name in no
        if is_away(ws, contact, ws.agents[name], whatever=bypasses(ws, contact, ws.agents[name], "presence")) is None
    ]
    require(bool(there), "5", f"nobody of those who declined {contact.id} is there")
    contact.exhausted = True
    if ws.queues[contact.queue]["decline"]["when_exhausted"] == "next_step":
        ws.hurried = contact.id


def stepped_on(ws: WorkspaceBook) -> None:
    """At the end of a decision that told that everybody has declined a contact: its next step holds, if it has one. And
    whoever came when they were due has passed by a station that says so."""
    require(ws.passing is None, "5", f"{ws.passing} stays at a station that it should pass by")
    if ws.hurried is not None:
        contact = ws.contacts[ws.hurried]
        left = len(ws.queues[contact.queue]["steps"]) - contact.steps
        require(left <= 0, "5", f"everybody has declined {contact.id}, and it takes none of {left} steps")
        ws.hurried = None


def decline_forgotten(ws: WorkspaceBook, event: ev.DeclineForgotten, now: Instant) -> None:
    contact = ws.contact_in(event.contact, "scheduled", "assigned", *WAITS)
    rule = ws.queues[contact.queue]["decline"]
    signs_in = rule["reset_on_login"] and ws.agents[event.agent].presence != "offline"
    require(signs_in, "5", f"{contact.queue} forgets no decline")
    del contact.declines[event.agent]
    contact.declined_at.pop(event.agent, None)


def decline_passed(ws: WorkspaceBook, event: ev.DeclinePassed, now: Instant) -> None:
    contact = ws.contact_in(event.contact, *WAITS)
    rule = ws.queues[contact.queue]["decline"]
    require(rule["policy"] == "after_s", "5", f"{contact.queue} lets no decline pass")
    _after(contact, contact.declined_at[event.agent], rule["after_s"], now, f"the decline of {event.agent} passes")
    del contact.declined_at[event.agent]


def retry_due(ws: WorkspaceBook, event: ev.RetryDue, now: Instant) -> None:
    contact = ws.contact_in(event.contact, *WAITS)
    require(contact.retry_at is not None, "time", f"{contact.id} has no pause that could be over")
    require((contact.retry_at or 0) <= now.at, "time", f"the pause of {contact.id} ends too early")
    contact.retry_at = None


# By hand


def prioritised(ws: WorkspaceBook, event: ev.ContactPrioritised, now: Instant) -> None:
    contact = ws.contact_in(event.contact, "scheduled", "assigned", *WAITS)
    if event.reason == "step":
        step = _step_just_taken(ws, contact)
        require(step == event.priority, "5", f"{contact.id} gets priority {event.priority}, its step says {step}")
    contact.priority = event.priority
    if contact.state == "scheduled":
        contact.scheduled_priority = None
    contact.deadline_near = False


def _step_just_taken(ws: WorkspaceBook, contact: ContactBook) -> int | None:
    """The priority that the newest step gives."""
    priority: int | None = ws.queues[contact.queue]["steps"][contact.steps - 1]["set_priority"]
    return priority


def age_adjusted(ws: WorkspaceBook, event: ev.AgeAdjusted, now: Instant) -> None:
    contact = ws.contact_in(event.contact, "scheduled", *WAITS)
    contact.age_from = event.age_from
    contact.past_age = 0
    contact.deadline_near = False
    contact.starved = 0


BOOK: Booking = {
    ev.ContactQueued: queued,
    ev.ContactMoved: moved,
    ev.ContactStepped: stepped,
    ev.DelayPassed: delay_passed,
    ev.LanguageWidened: language_widened,
    ev.PreferenceEnded: preference_ended,
    ev.ContactAgedOut: aged_out,
    ev.DeadlineNear: deadline_near,
    ev.ContactStarving: starving,
    ev.ContactExhausted: exhausted,
    ev.DeclineForgotten: decline_forgotten,
    ev.DeclinePassed: decline_passed,
    ev.RetryDue: retry_due,
    ev.ContactPrioritised: prioritised,
    ev.AgeAdjusted: age_adjusted,
}
