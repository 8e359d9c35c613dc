"""Making events about conversations true: who wrote what where, replies, redirects, and what is forgotten."""

from __future__ import annotations

from services.router.engine.arrivals import contact_of
from services.router.engine.records import Contact, Customer, Message, Redirect, Thread
from services.router.engine.state import Workspace
from services.router.engine.truth import Evolve, note_arrival, remember_source
from services.router.engine.world import World
from shared.contracts import events as ev
from shared.contracts.commands import Reach
from shared.vocabulary import (
    AddressKey,
    ChannelHealth,
    ContactId,
    ContactState,
    CustomerId,
    Delivery,
    MessageKind,
    ThreadKey,
    channel_name,
)


def _contact_created(world: World, ws: Workspace, event: ev.ContactCreated, at: int) -> None:
    contact = contact_of(event, at, ws.sequence)
    world.state.undo.create(ws.contacts, event.contact, contact)
    world.touched.append(("contact", ws.name, event.contact))
    join_thread(world, ws, event.thread, event.contact)
    customer = ws.customers.get(event.customer)
    if customer is None:
        customer = Customer(id=event.customer)
        world.state.undo.create(ws.customers, event.customer, customer)
    world.state.undo.save(customer)
    customer.contacts = (*customer.contacts, event.contact)
    if event.language_reason in ("stated", "detected"):
        customer.language = event.language
    _identify(world, ws, event.customer, event.sender)
    _know_reach(world, ws, event.customer, event.reach)
    remember_source(world, ws, event.source_key, event.contact)
    if contact.state is ContactState.WAITING:
        note_arrival(world, ws, contact, at)


def join_thread(world: World, ws: Workspace, key: ThreadKey, contact: ContactId) -> None:
    """The contact is part of the conversation from now on: what is written there belongs to it."""
    thread = ws.threads.get(key)
    if thread is None:
        thread = Thread(key=key)
        world.state.undo.create(ws.threads, key, thread)
    world.state.undo.save(thread)
    if contact not in thread.contacts:
        thread.contacts = (*thread.contacts, contact)
        member = world.change_contact(ws, contact)
        member.threads = (*member.threads, key)
    world.touched.append(("thread", ws.name, key))


def _know_reach(world: World, ws: Workspace, customer: CustomerId, reach: tuple[Reach, ...]) -> None:
    for way in reach:
        if way.verified:
            _identify(world, ws, customer, way.key)


def _identify(world: World, ws: Workspace, customer_id: CustomerId, key: AddressKey) -> None:
    """Whoever writes from this address is this customer."""
    if key in ws.identities:
        return
    world.state.undo.put(ws.identities, key, customer_id)
    customer = ws.customers[customer_id]
    world.state.undo.save(customer)
    customer.keys = (*customer.keys, key)


def _message_received(world: World, ws: Workspace, event: ev.MessageReceived, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    join_thread(world, ws, event.thread, event.contact)
    thread = ws.threads[event.thread]
    message = Message(
        id=event.message,
        direction="customer",
        kind=event.message_kind.value,
        ref=event.content_ref,
        at=at,
        channel=event.channel,
        account=event.account,
        thread=event.thread,
        thread_seq=thread.next_seq,
        author="customer",
        source_key=event.source_key,
        refers_to=event.refers_to,
    )
    world.state.undo.save(thread)
    thread.next_seq += 1
    world.state.undo.append(contact.messages, message)
    contact.last_message_at = at
    if event.reach:
        contact.reach = {**contact.reach, **{reach.channel: reach for reach in event.reach}}
        # Whoever waits on a channel that is down may have a way out now.
        contact.considered = -1
        _know_reach(world, ws, contact.customer, event.reach)
    if event.language is not None:
        contact.language = event.language
        contact.language_confidence = event.language_confidence
    _follow_customer(world, ws, contact, event)
    remember_source(world, ws, event.source_key, event.contact)


def _follow_customer(world: World, ws: Workspace, contact: Contact, event: ev.MessageReceived) -> None:
    """Answers go where the customer last wrote, unless an offer is out that was made for the other channel."""
    if event.message_kind not in (MessageKind.MESSAGE, MessageKind.POSTBACK):
        return
    if contact.thread == event.thread or not contact.state.is_open:
        return
    elsewhere = (event.channel, event.account) != (contact.channel, contact.account)
    if elsewhere and contact.state is ContactState.OFFERED:
        return
    channel = ws.channels.get(channel_name(event.channel, event.account))
    if channel is None or channel.state is ChannelHealth.DOWN:
        return
    contact.channel = event.channel
    contact.account = event.account
    contact.thread = event.thread
    contact.sender = event.sender
    _hold_as(world, ws, contact)


def _hold_as(world: World, ws: Workspace, contact: Contact) -> None:
    """Whoever holds the contact holds one of its kind of channel, over a limit or not."""
    if contact.state is ContactState.ASSIGNED and contact.agent is not None:
        agent = ws.agents[contact.agent]
        if agent.held[contact.id] != contact.channel:
            world.change_agent(ws, agent.id).held = {**agent.held, contact.id: contact.channel}


def _message_ignored(world: World, ws: Workspace, event: ev.MessageIgnored, at: int) -> None:
    remember_source(world, ws, event.source_key, "")


def _contact_redirected(world: World, ws: Workspace, event: ev.ContactRedirected, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    contact.redirects = (
        *contact.redirects,
        Redirect(
            from_channel=channel_name(event.from_channel, event.from_account),
            channel=channel_name(event.channel, event.account),
            rule=event.rule,
            at=at,
        ),
    )
    world.touched.append(("thread", ws.name, contact.thread))
    contact.channel = event.channel
    contact.account = event.account
    contact.thread = event.thread
    contact.sender = event.address
    contact.considered = ws.health_version
    _hold_as(world, ws, contact)
    join_thread(world, ws, event.thread, event.contact)
    _identify(world, ws, contact.customer, event.address)


def _redirect_refused(world: World, ws: Workspace, event: ev.RedirectRefused, at: int) -> None:
    world.change_contact(ws, event.contact).considered = ws.health_version


def _contact_forgotten(world: World, ws: Workspace, event: ev.ContactForgotten, at: int) -> None:
    undo = world.state.undo
    contact = ws.contacts[event.contact]
    for message in contact.messages:
        if message.id in ws.messages:
            undo.delete(ws.messages, message.id)
    for offer in contact.all_offers:
        undo.delete(ws.offers, offer)
    for key in contact.threads:
        thread = ws.threads[key]
        undo.save(thread)
        thread.contacts = tuple(c for c in thread.contacts if c != event.contact)
        if not thread.contacts:
            undo.delete(ws.threads, key)
        world.touched.append(("thread", ws.name, key))
    customer = ws.customers[contact.customer]
    undo.save(customer)
    customer.contacts = tuple(c for c in customer.contacts if c != event.contact)
    if not customer.contacts:
        for address in customer.keys:
            undo.delete(ws.identities, address)
        undo.delete(ws.customers, contact.customer)
    undo.delete(ws.contacts, event.contact)
    world.touched.append(("contact", ws.name, event.contact))


def _reply_queued(world: World, ws: Workspace, event: ev.ReplyQueued, at: int) -> None:
    write_line(world, ws, event.contact, event, event.agent, at)


def write_line(
    world: World,
    ws: Workspace,
    contact_id: ContactId,
    sent: ev.ReplyQueued | ev.OutboundAttempted,
    author: str,
    at: int,
) -> None:
    """What goes out to the customer becomes a line of the contact's conversation."""
    contact = world.change_contact(ws, contact_id)
    thread = ws.threads[sent.thread]
    message = Message(
        id=sent.message,
        direction="agent",
        kind=MessageKind.MESSAGE.value,
        ref=sent.content_ref,
        at=at,
        channel=sent.channel,
        account=sent.account,
        thread=sent.thread,
        thread_seq=thread.next_seq,
        author=author,
        status=Delivery.QUEUED.value,
    )
    world.state.undo.save(thread)
    thread.next_seq += 1
    world.state.undo.append(contact.messages, message)
    world.state.undo.put(ws.messages, sent.message, (contact_id, message))
    world.touched.append(("thread", ws.name, sent.thread))
    world.touched.append(("message", ws.name, sent.message))


def report_line(world: World, ws: Workspace, event: ev.DeliveryReported) -> None:
    """How far a line of a conversation got."""
    contact_id, message = ws.messages[event.message]
    world.change_contact(ws, contact_id)
    world.state.undo.save(message)
    message.status = event.status.value
    world.touched.append(("thread", ws.name, message.thread))
    world.touched.append(("message", ws.name, event.message))


EVOLVE: dict[type, Evolve] = {
    ev.ContactCreated: _contact_created,
    ev.MessageReceived: _message_received,
    ev.MessageIgnored: _message_ignored,
    ev.ContactForgotten: _contact_forgotten,
    ev.ReplyQueued: _reply_queued,
    ev.ContactRedirected: _contact_redirected,
    ev.RedirectRefused: _redirect_refused,
}
"""By event: what makes it true."""
