"""Events of conversations: what opens a contact, what joins one, what agents answer, and on which channel."""

from __future__ import annotations

from shared.contracts import events as ev
from tests.simulation.ledger import outbound
from tests.simulation.ledger.books import OPEN, Arrival, Booking, ContactBook, Instant, WorkspaceBook
from tests.simulation.ledger.room import why_not_by
from tests.simulation.ledger.violation import require
from tests.simulation.ledger.waiting import check_filter

DAY = 86_400_000


def _source(ws: WorkspaceBook, source_key: str, contact: str, at: int) -> None:
    known = ws.sources.get(source_key)
    if known is not None and known[0] != contact:
        require(at // DAY - known[1] // DAY > 8, "1", f"{source_key} is in {known[0]!r} and in {contact!r}")
    ws.sources[source_key] = (contact, at)


def created(ws: WorkspaceBook, event: ev.ContactCreated, now: Instant) -> None:
    require(event.contact not in ws.contacts, "1", f"contact {event.contact} is created twice")
    _source(ws, event.source_key, event.contact, now.at)
    live = [c for c in ws.threads.get(event.thread, ()) if ws.contacts[c].state in OPEN]
    require(not live, "1", f"{event.contact} is opened on the thread of {live}, which is open")
    if event.scheduled_at is None:
        ws.arrival = Arrival(event.contact, event.queue, ws.waiting_in(event.queue), ws.is_staffed(event.queue))
    ws.received += 1
    contact = ContactBook(
        id=event.contact,
        source_key=event.source_key,
        channel=event.channel,
        account=event.account,
        thread=event.thread,
        customer=event.customer,
        sender=event.sender,
        queue=event.queue,
        language=event.language,
        priority=event.priority,
        reach={reach.channel: reach for reach in event.reach},
        attributes=event.attributes,
        preferred=event.preferred,
        profiles=event.profiles,
        flow=event.flow,
        flow_step=event.flow_step,
        created_at=now.at,
        age_from=event.age_from,
        queue_since=min(now.at, event.age_from),
        state="waiting" if event.scheduled_at is None else "scheduled",
        scheduled_at=event.scheduled_at,
        scheduled_priority=event.scheduled_priority,
    )
    ws.contacts[event.contact] = contact
    check_filter(ws, contact, event.flow_filter)
    if now.role == "adapter":
        ws.wrote |= dict.fromkeys(ws.threads.get(event.thread, ()), True)
    ws.threads.setdefault(event.thread, set()).add(event.contact)
    if ws.arrival is not None:
        ws.arrival.station = next((s["queue"] for s in ws.route(contact)[event.flow_step :]), None)


def arrived(ws: WorkspaceBook) -> None:
    """At the end of a decision: whoever came in and was neither refused nor sent on was rightly let in."""
    arrival, ws.arrival = ws.arrival, None
    if arrival is None or arrival.moved or ws.contacts[arrival.contact].state == "cancelled":
        return
    station = arrival.station or arrival.queue
    require(arrival.queue == station, "5", f"{arrival.contact} enters {arrival.queue}, its flow says {station}")
    queue = ws.queues[arrival.queue]
    most = queue["max_waiting"]
    require(most is None or arrival.waiting < most, "3", f"{arrival.queue} lets in {arrival.contact} after {most}")
    staffed = arrival.staffed or not queue["require_staff"]
    require(staffed, "4", f"{arrival.queue} lets in {arrival.contact} though nobody is there")


def message_received(ws: WorkspaceBook, event: ev.MessageReceived, now: Instant) -> None:
    contact = ws.contacts[event.contact]
    _source(ws, event.source_key, event.contact, now.at)
    ws.threads.setdefault(event.thread, set()).add(event.contact)
    contact.reach.update({reach.channel: reach for reach in event.reach})
    if event.language is not None:
        contact.language = event.language
    if event.message_kind.value in ("message", "postback"):
        ws.wrote[event.contact] = False
    chosen = event.message_kind.value in ("message", "postback") and event.thread != contact.thread
    name = f"{event.channel}:{event.account}"
    # An offer was made for the channel where the contact then was; it stays there until the offer has ended.
    free = contact.state in OPEN and (contact.state != "offered" or name == contact.channel_name)
    if chosen and free and name in ws.health and not ws.is_down(name):
        contact.channel = event.channel
        contact.account = event.account
        contact.thread = event.thread
        contact.sender = event.sender
        contact.episode = []
        if contact.agent is not None:
            ws.agents[contact.agent].held[contact.id] = event.channel


def message_ignored(ws: WorkspaceBook, event: ev.MessageIgnored, now: Instant) -> None:
    _source(ws, event.source_key, "", now.at)


def reply_queued(ws: WorkspaceBook, event: ev.ReplyQueued, now: Instant) -> None:
    contact = ws.contact_in(event.contact, "assigned")
    require(contact.agent == event.agent, "2", f"{event.agent} answers for {contact.agent}")
    where = (event.channel, event.account, event.thread, event.address)
    here = (contact.channel, contact.account, contact.thread, contact.sender)
    require(where == here, "9", f"a reply goes to {where}, the contact is on {here}")
    require(event.message not in ws.replies, "9", f"reply {event.message} is queued twice")
    ws.replies[event.message] = event.contact


def delivery_reported(ws: WorkspaceBook, event: ev.DeliveryReported, now: Instant) -> None:
    if event.outbound is not None:
        outbound.reported(ws, event, now)
        return
    require(ws.replies.get(event.message) == event.contact, "9", f"{event.message} was never sent")


def redirected(ws: WorkspaceBook, event: ev.ContactRedirected, now: Instant) -> None:
    by_hand = event.rule == "transfer"
    contact = ws.contact_in(event.contact, "assigned" if by_hand else "waiting")
    left = f"{event.from_channel}:{event.from_account}"
    target = f"{event.channel}:{event.account}"
    require(left == contact.channel_name, "6", f"{contact.id} leaves {left}, but is on {contact.channel_name}")
    if not contact.episode:
        contact.episode = [left]
    if by_hand:
        _taken_along(ws, contact, event, now)
    else:
        require(ws.is_down(left), "6", f"{contact.id} leaves {left}, which is not down")
        require(target == ws.way_out(contact), "6", f"{contact.id} goes to {target}, not to {ws.way_out(contact)}")
        require(target not in contact.episode, "6", f"{contact.id} comes to {target} again: {contact.episode}")
    contact.episode.append(target)
    contact.hops.append((left, target))
    reach = contact.reach[event.channel]
    require(reach.key == event.address, "6", f"{contact.id} is moved to somebody else's address")
    contact.channel = event.channel
    contact.account = event.account
    contact.thread = event.thread
    contact.sender = event.address
    ws.threads.setdefault(event.thread, set()).add(contact.id)


def _taken_along(ws: WorkspaceBook, contact: ContactBook, event: ev.ContactRedirected, now: Instant) -> None:
    """By its agent, who keeps it: the customer agreed, the channel works, and the agent has room for that kind."""
    mine = now.role != "agent" or now.actor == f"agent:{contact.agent}"
    require(mine, "2", f"{now.actor} takes the contact of {contact.agent} to another channel")
    target = f"{event.channel}:{event.account}"
    works = target in ws.channels and not ws.is_down(target) and target != contact.channel_name
    require(works, "6", f"{contact.id} is taken from {contact.channel_name} to {target}")
    reach = contact.reach.get(event.channel)
    may = reach is not None and reach.verified and reach.consent
    require(may, "6", f"{contact.id} is taken to {target}, where its customer must not be written to")
    agent = ws.agents[contact.agent or ""]
    why = why_not_by(ws, contact, agent, event.channel, now.at)
    require(why is None, "3", f"{contact.id} is taken to {target} by {agent.id}, who {why}")
    agent.held[contact.id] = event.channel


def redirect_refused(ws: WorkspaceBook, event: ev.RedirectRefused, now: Instant) -> None:
    contact = ws.contact_in(event.contact, "waiting")
    require(ws.is_down(contact.channel_name), "6", f"{contact.id} is on {contact.channel_name}, which is not down")
    require(ws.way_out(contact) is None, "6", f"{contact.id} could go to {ws.way_out(contact)}")


BOOK: Booking = {
    ev.ContactCreated: created,
    ev.MessageReceived: message_received,
    ev.MessageIgnored: message_ignored,
    ev.ReplyQueued: reply_queued,
    ev.DeliveryReported: delivery_reported,
    ev.ContactRedirected: redirected,
    ev.RedirectRefused: redirect_refused,
}
