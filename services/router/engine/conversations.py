"""Customers' messages: which contact they belong to, in which language, and the agents' replies."""

from __future__ import annotations

from dataclasses import replace

from services.router.engine.admission import arrive, check_names, first_queue
from services.router.engine.context import Context, Refused
from services.router.engine.outbound import answered
from services.router.engine.policy import ChannelPolicy, base_language
from services.router.engine.presence import first_choice
from services.router.engine.records import Contact
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import (
    UNKNOWN_LANGUAGE,
    AddressKey,
    AgentId,
    AutoClass,
    ContactId,
    ContactState,
    CustomerId,
    MessageId,
    MessageKind,
    QueueName,
    ThreadKey,
    channel_name,
)

JOINING_AUTO = (AutoClass.AUTO_REPLY, AutoClass.OUT_OF_OFFICE)


def receive_message(ctx: Context, command: cmd.ReceiveMessage) -> list[ev.Event]:
    """One conversation, one contact: a message on a live thread joins its contact, any other opens one.

    The same source key twice is one message. What a machine wrote, and what refers to nothing, opens nothing.
    """
    known = ctx.world.state.contact_of_source(ctx.workspace.name, command.source_key)
    if known is not None:
        return [ev.CommandNoted(reason="duplicate", subject=known or None)]
    channel = _channel(ctx, command.channel, command.account)
    if command.message_kind in (MessageKind.EDIT, MessageKind.UNSEND, MessageKind.REACTION):
        about = _referred(ctx, command)
        if about is None:
            return [ev.MessageIgnored(source_key=command.source_key, reason="refers_to_nothing")]
        return [_message(ctx, command, about, None)]
    live = _live_contact(ctx, command)
    if command.auto is not AutoClass.NONE:
        if live is not None and command.auto in JOINING_AUTO:
            return [_message(ctx, command, live, None)]
        return [ev.MessageIgnored(source_key=command.source_key, reason=command.auto.value)]
    customer = _customer_of(ctx, command.sender)
    if live is not None:
        return [_message(ctx, command, live, customer), *_spoken_up(ctx, live), *answered(ctx, [live.id])]
    thread = ctx.workspace.threads.get(command.thread)
    replied = answered(ctx, thread.contacts if thread else ())
    ended = _to_reopen(ctx, command, channel)
    if ended is not None:
        preferred = _last_agent(ctx, channel, customer) if not ended.preferred else ()
        queued = ev.ContactQueued(contact=ended.id, queue=ended.queue, reason="reopened", preferred=preferred)
        return [queued, _message(ctx, command, ended, customer), *replied]
    return [*_open(ctx, command, channel, customer), *replied]


def _channel(ctx: Context, kind: str, account: str) -> ChannelPolicy:
    channel = ctx.workspace.policy.channels.get(channel_name(kind, account))
    if channel is None:
        raise Refused("unknown_channel", f"there is no channel {channel_name(kind, account)!r}", "channel")
    return channel


def _referred(ctx: Context, command: cmd.ReceiveMessage) -> Contact | None:
    """The contact that an edit, an unsend or a reaction is about, as long as it is in the state."""
    if command.refers_to is not None:
        about = ctx.world.state.contact_of_source(ctx.workspace.name, command.refers_to)
        if about:
            return ctx.workspace.contacts.get(ContactId(about))
    return _live_contact(ctx, command)


def _live_contact(ctx: Context, command: cmd.ReceiveMessage) -> Contact | None:
    """The open contact of the thread; else the customer's contact that a rule moved to this channel."""
    contacts = ctx.workspace.contacts
    thread = ctx.workspace.threads.get(command.thread)
    for contact_id in reversed(thread.contacts if thread else ()):
        if contacts[contact_id].state.is_open:
            return contacts[contact_id]
    customer = ctx.workspace.customers.get(_customer_of(ctx, command.sender))
    for contact_id in reversed(customer.contacts if customer else ()):
        contact = contacts[contact_id]
        if contact.state.is_open and contact.redirects and contact.channel == command.channel:
            return contact
    return None


def _spoken_up(ctx: Context, contact: Contact) -> list[ev.Event]:
    """A parked contact takes its whole room again with its customer's next word: the agent has something to do. If they
    have no room for it, the queue says whether it stays with them or waits again."""
    if contact.active or contact.agent is None:
        return []
    agent = ctx.workspace.agents[contact.agent]
    if ctx.workspace.policy.queues[contact.queue].parked_requeues and not ctx.index.rooms.takes_back(agent, contact):
        first = first_choice(ctx, agent, contact.id)
        return [ev.ContactRequeued(contact=contact.id, agent=agent.id, reason="full", preferred=first)]
    return [ev.ContactActivity(contact=contact.id, agent=agent.id, active=True)]


def _to_reopen(ctx: Context, command: cmd.ReceiveMessage, channel: ChannelPolicy) -> Contact | None:
    """The newest contact of the thread, if it came to its end so lately that the customer means the same matter."""
    thread = ctx.workspace.threads.get(command.thread)
    if thread is None or not thread.contacts or not channel.reopen:
        return None
    contact = ctx.workspace.contacts[thread.contacts[-1]]
    served = contact.state in (ContactState.COMPLETED, ContactState.ABANDONED)
    if not served or contact.ended_at is None or ctx.now >= contact.ended_at + channel.reopen:
        return None
    return contact if contact.queue in ctx.workspace.policy.queues else None


def _last_agent(ctx: Context, channel: ChannelPolicy, customer_id: CustomerId) -> tuple[AgentId, ...]:
    """Who served the customer last, where the channel wants them again."""
    customer = ctx.workspace.customers.get(customer_id)
    if not channel.last_agent or customer is None:
        return ()
    for contact_id in reversed(customer.contacts):
        agent = ctx.workspace.contacts[contact_id].agent
        if agent is not None:
            return (agent,)
    return ()


def _customer_of(ctx: Context, sender: AddressKey) -> CustomerId:
    return ctx.workspace.identities.get(sender, CustomerId(f"c{sender}"))


def _message(
    ctx: Context, command: cmd.ReceiveMessage, contact: Contact, customer: CustomerId | None
) -> ev.MessageReceived:
    """The message as part of `contact`; while nobody has it, a clearer language than the first line's is taken."""
    language, confidence = None, None
    if customer is not None and contact.language == UNKNOWN_LANGUAGE and contact.state is ContactState.WAITING:
        channel = _channel(ctx, command.channel, command.account)
        found, confidence, _ = language_of(ctx, command, channel, customer)
        language = found if found != UNKNOWN_LANGUAGE else None
    return ev.MessageReceived(
        contact=contact.id,
        message=MessageId(ctx.new_id()),
        source_key=command.source_key,
        channel=command.channel,
        account=command.account,
        thread=command.thread,
        sender=command.sender,
        content_ref=command.content_ref,
        message_kind=command.message_kind,
        refers_to=command.refers_to,
        reach=command.reach,
        language=language,
        language_confidence=confidence if language else None,
        candidates=command.candidates if language else (),
    )


def _open(ctx: Context, command: cmd.ReceiveMessage, channel: ChannelPolicy, customer: CustomerId) -> list[ev.Event]:
    flow = _flow_of(ctx, command, channel)
    language, confidence, reason = language_of(ctx, command, channel, customer)
    thread = ctx.workspace.threads.get(command.thread)
    contact_id = ContactId(ctx.new_id())
    created = ev.ContactCreated(
        contact=contact_id,
        source_key=command.source_key,
        channel=command.channel,
        account=command.account,
        thread=command.thread,
        customer=customer,
        sender=command.sender,
        queue=QueueName(command.queue or channel.queue),
        language=language,
        language_confidence=confidence,
        language_reason=reason,
        candidates=command.candidates,
        skills=command.skills,
        priority=command.priority + channel.priority,
        attributes=command.attributes,
        reach=command.reach,
        age_from=ctx.now,
        previous=thread.contacts[-1] if thread and thread.contacts else None,
        language_min=command.language_min,
        flow=flow,
        preferred=command.preferred or _last_agent(ctx, channel, customer),
        profiles=command.profiles,
    )
    message = ev.MessageReceived(
        contact=contact_id,
        message=MessageId(ctx.new_id()),
        source_key=command.source_key,
        channel=command.channel,
        account=command.account,
        thread=command.thread,
        sender=command.sender,
        content_ref=command.content_ref,
        message_kind=command.message_kind,
        refers_to=command.refers_to,
    )
    if command.queues:
        created = replace(created, queue=first_queue(ctx, created, command.queues))
    return [*arrive(ctx, created), message]


def _flow_of(ctx: Context, command: cmd.ReceiveMessage | cmd.CreateContact, channel: ChannelPolicy) -> str | None:
    """The flow that the contact takes, if it takes one. Raises `Refused` for a queue or flow that does not exist."""
    flow = command.flow or (channel.flow if command.queue is None and not command.queues else None)
    check_names(ctx, (*command.queues, *([command.queue] if command.queue else [])), flow)
    return flow


def language_of(
    ctx: Context, command: cmd.ReceiveMessage, channel: ChannelPolicy, customer_id: CustomerId
) -> tuple[str, float | None, str]:
    """(language, confidence, reason). What is stated counts; then a confident detection; then one that agrees with the
    customer's profile; then the profile; then the channel's default. `und` is an answer too."""
    policy = ctx.workspace.policy
    if command.language is not None and base_language(command.language) != UNKNOWN_LANGUAGE:
        return base_language(command.language), command.language_confidence, "stated"
    customer = ctx.workspace.customers.get(customer_id)
    profile = customer.language if customer is not None else None
    if command.candidates:
        best = command.candidates[0]
        language = base_language(best.language)
        if best.confidence >= policy.language_confidence:
            return language, best.confidence, "detected"
        if best.confidence >= policy.profile_confidence and language == profile:
            return language, best.confidence, "profile"
    if profile is not None:
        return profile, None, "profile"
    return channel.language, None, "channel_default"


def create_contact(ctx: Context, command: cmd.CreateContact) -> list[ev.Event]:
    """Work without a message, now or at a time."""
    known = ctx.world.state.contact_of_source(ctx.workspace.name, command.source_key)
    if known is not None:
        return [ev.CommandNoted(reason="duplicate", subject=known or None)]
    channel = _channel(ctx, command.channel, command.account)
    flow = _flow_of(ctx, command, channel)
    contact_id = ContactId(ctx.new_id())
    sender = command.customer or AddressKey(f"x{contact_id}")
    later = command.scheduled_at is not None and command.scheduled_at > ctx.now
    created = ev.ContactCreated(
        contact=contact_id,
        source_key=command.source_key,
        channel=command.channel,
        account=command.account,
        thread=ThreadKey(f"x{contact_id}"),
        customer=_customer_of(ctx, sender),
        sender=sender,
        queue=QueueName(command.queue or channel.queue),
        language=base_language(command.language) if command.language else channel.language,
        language_confidence=None,
        language_reason="stated" if command.language else "channel_default",
        candidates=(),
        skills=command.skills,
        priority=command.priority + channel.priority,
        attributes=command.attributes,
        reach=(),
        age_from=command.scheduled_at if later and command.scheduled_at else ctx.now - command.waited,
        scheduled_at=command.scheduled_at if later else None,
        scheduled_priority=command.scheduled_priority,
        language_min=command.language_min,
        flow=flow,
        preferred=command.preferred,
        profiles=command.profiles,
    )
    if command.queues:
        created = replace(created, queue=first_queue(ctx, created, command.queues))
    return arrive(ctx, created)


def send_reply(ctx: Context, command: cmd.SendReply) -> list[ev.Event]:
    """An agent's answer goes out by the channel where the contact now is."""
    contact, agent = ctx.held_contact(command.contact)
    if not contact.messages and not contact.redirects:
        raise Refused("cannot_reply", "the contact has no conversation to answer")
    return [
        ev.ReplyQueued(
            message=MessageId(ctx.new_id()),
            contact=contact.id,
            agent=agent.id,
            channel=contact.channel,
            account=contact.account,
            thread=contact.thread,
            address=contact.sender,
            content_ref=command.content_ref,
        )
    ]
