"""Making events true: the only place that writes on the state.

One function per event, found by its type. An exception here is a bug and stops the partition; nothing in here decides,
so that every later release folds what an earlier one decided.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.router.engine.records import Agent, ChannelState, Contact, Customer, Key, Message, Offer, Redirect, Thread
from services.router.engine.state import ANSWER_DAYS, DEDUPE_DAYS, Workspace
from services.router.engine.world import World
from shared.contracts import events as ev
from shared.contracts.commands import Reach
from shared.vocabulary import (
    AddressKey,
    AgentId,
    ChannelHealth,
    ContactId,
    ContactState,
    CustomerId,
    Delivery,
    MessageKind,
    OfferId,
    QueueName,
    ThreadKey,
    channel_name,
)

PUBLIC_SILENT = (ev.CommandRefused, ev.CommandRejected, ev.CommandNoted, ev.Resumed, ev.DayTurned)
"""Events that have no number in a workspace's public feed: they tell of a request or of time, not of the centre."""


def evolve(world: World, workspace: str, event: ev.Event, at: int, seq: int) -> None:
    """Make one event of entry `seq` true. `at` is the entry's time."""
    if isinstance(event, ev.Resumed):
        _resumed(world, event)
    elif isinstance(event, ev.DayTurned):
        _day_turned(world, event)
    elif isinstance(event, ev.WorkspaceCreated):
        world.state.undo.put(world.state.workspaces, workspace, Workspace(workspace, at))
        world.touched.append(("workspace", workspace, "self"))
    else:
        ws = world.state.workspaces.get(workspace)
        if ws is not None:
            _EVOLVE[type(event)](world, ws, event, at)
            contact_id = getattr(event, "contact", None)
            if contact_id is not None:
                contact = ws.contacts.get(contact_id)
                if contact is not None and (not contact.seqs or contact.seqs[-1] != seq):
                    world.state.undo.append(contact.seqs, seq)
    world.sync()
    if workspace and not isinstance(event, PUBLIC_SILENT):
        facts = world.state.workspaces[workspace]
        world.state.undo.save(facts)
        facts.sequence += 1


def _resumed(world: World, event: ev.Resumed) -> None:
    for ws in world.state.workspaces.values():
        for offer in ws.offers.values():
            if not offer.outcome and offer.expires_at is not None:
                world.state.undo.save(offer)
                offer.expires_at += event.gap
                world.touched.append(("offer", ws.name, offer.id))
                world.touched.append(("agent", ws.name, offer.agent))
                world.touched.append(("contact", ws.name, offer.contact))
        for agent in ws.agents.values():
            if agent.grace_until is not None:
                world.change_agent(ws, agent.id).grace_until = agent.grace_until + event.gap


def _day_turned(world: World, event: ev.DayTurned) -> None:
    state = world.state
    state.undo.put(state.answers, event.day, {})
    state.undo.put(state.seen, event.day, {})
    for day in [d for d in state.answers if d <= event.day - ANSWER_DAYS]:
        state.undo.delete(state.answers, day)
    for day in [d for d in state.seen if d <= event.day - DEDUPE_DAYS]:
        state.undo.delete(state.seen, day)


def remember_source(world: World, ws: Workspace, source_key: str, contact: str) -> None:
    """From now on this source key is a repeat."""
    world.state.undo.put(world.state.newest_seen, f"{ws.name}\x1f{source_key}", contact)


# Setting up


def _nothing(world: World, ws: Workspace, event: ev.Event, at: int) -> None:
    """Refusals and notes change nothing but the answers."""


def _key_created(world: World, ws: Workspace, event: ev.KeyCreated, at: int) -> None:
    key = Key(key_id=event.key_id, key_hash=event.key_hash, role=event.role, agent=event.agent, label=event.label)
    world.state.undo.put(ws.keys, event.key_id, key)
    world.touched.append(("key", ws.name, event.key_id))


def _key_revoked(world: World, ws: Workspace, event: ev.KeyRevoked, at: int) -> None:
    world.state.undo.delete(ws.keys, event.key_id)
    world.touched.append(("key", ws.name, event.key_id))


def _policy_adopted(world: World, ws: Workspace, event: ev.PolicyAdopted, at: int) -> None:
    world.state.undo.save(ws)
    ws.set_policy(event.version, event.policy)
    # Whoever waits on a channel that is down may have a way out under the new fallbacks.
    ws.health_version += 1
    for name, channel in ws.policy.channels.items():
        if name not in ws.channels:
            state = ChannelState(name=name, kind=channel.kind, account=channel.account, since=at)
            world.state.undo.put(ws.channels, name, state)
    for name in [name for name in ws.channels if name not in ws.policy.channels]:
        world.state.undo.delete(ws.channels, name)
    world.touched.append(("policy", ws.name, "current"))


def _agent_profile_set(world: World, ws: Workspace, event: ev.AgentProfileSet, at: int) -> None:
    if event.agent not in ws.agents:
        world.state.undo.put(ws.agents, event.agent, Agent(id=event.agent, presence_since=at))
    agent = world.change_agent(ws, event.agent)
    agent.name = event.name
    agent.languages = event.languages
    agent.skills = event.skills
    agent.queues = event.queues
    agent.channels = event.channels
    agent.capacity_total = event.capacity_total
    agent.capacity_per_channel = event.capacity_per_channel
    agent.capacity_weights = event.capacity_weights
    agent.memberships = event.memberships
    agent.position = event.position
    agent.max_contacts = event.max_contacts
    agent.profiles = event.profiles
    agent.while_on = event.while_on
    agent.wrap_up = event.wrap_up
    agent.reject_pause = event.reject_pause


def _limit_set(world: World, ws: Workspace, event: ev.LimitSet, at: int) -> None:
    if event.agent is not None:
        world.change_agent(ws, event.agent).max_contacts = event.most
        return
    world.state.undo.save(ws)
    if event.queue is not None:
        ws.queue_limits = {**ws.queue_limits, event.queue: event.most}
    else:
        ws.agent_limit = (event.most,)
    world.touched.append(("policy", ws.name, "current"))


def _queue_hours(world: World, ws: Workspace, event: ev.QueueHours, at: int) -> None:
    world.state.undo.save(ws)
    ws.queue_hours = {**ws.queue_hours, event.queue: (event.open, at)}
    world.touched.append(("queue", ws.name, event.queue))


def _channel_health_changed(world: World, ws: Workspace, event: ev.ChannelHealthChanged, at: int) -> None:
    channel = ws.channels[channel_name(event.channel, event.account)]
    world.state.undo.save(channel)
    if (channel.state is ChannelHealth.DOWN) != (event.state is ChannelHealth.DOWN):
        # Who was refused another way may have one now, and who waits on this channel has to look for one.
        world.state.undo.save(ws)
        ws.health_version += 1
    channel.state = event.state
    channel.since = at
    channel.evidence = event.evidence
    world.touched.append(("channel", ws.name, channel.name))


# Presence


def _agent_presence_changed(world: World, ws: Workspace, event: ev.AgentPresenceChanged, at: int) -> None:
    agent = world.change_agent(ws, event.agent)
    if event.queue is not None:
        agent.queue_presence = {**agent.queue_presence, event.queue: event.presence}
        agent.missed_in = {name: count for name, count in agent.missed_in.items() if name != event.queue}
        return
    agent.queue_presence = {}
    if event.presence == "available" and agent.presence != "available":
        agent.idle_since = at
        agent.missed = 0
    if event.presence != agent.presence:
        agent.presence_since = at
    agent.presence = event.presence
    agent.next_presence = event.next_presence
    if event.channels:
        agent.channel_switch = {**agent.channel_switch, **event.channels}


def _agent_lost(world: World, ws: Workspace, event: ev.AgentLost, at: int) -> None:
    agent = world.change_agent(ws, event.agent)
    agent.reachable = False
    agent.grace_until = event.grace_until


def _agent_regained(world: World, ws: Workspace, event: ev.AgentRegained, at: int) -> None:
    agent = world.change_agent(ws, event.agent)
    agent.reachable = True
    agent.grace_until = None
    agent.idle_since = max(agent.idle_since, at)


def _agent_grace_ended(world: World, ws: Workspace, event: ev.AgentGraceEnded, at: int) -> None:
    world.change_agent(ws, event.agent).grace_until = None


def _wrap_up_extended(world: World, ws: Workspace, event: ev.WrapUpExtended, at: int) -> None:
    world.change_agent(ws, event.agent).wrap_up_until = event.until


def _agent_paused(world: World, ws: Workspace, event: ev.AgentPaused, at: int) -> None:
    world.change_agent(ws, event.agent).paused_until = event.until


def _agent_pause_ended(world: World, ws: Workspace, event: ev.AgentPauseEnded, at: int) -> None:
    world.change_agent(ws, event.agent).paused_until = None


def _rate_window_moved(world: World, ws: Workspace, event: ev.RateWindowMoved, at: int) -> None:
    agent = world.change_agent(ws, event.agent)
    times = tuple(time for time in agent.assigned_times.get(event.queue, ()) if time > event.since)
    agent.assigned_times = {**agent.assigned_times, event.queue: times}


def _wrap_up_ended(world: World, ws: Workspace, event: ev.WrapUpEnded, at: int) -> None:
    agent = world.change_agent(ws, event.agent)
    if event.queue is not None:
        agent.queue_wrap_up = {name: until for name, until in agent.queue_wrap_up.items() if name != event.queue}
        return
    if event.code is not None and agent.wrap_up_contact in ws.contacts:
        world.change_contact(ws, agent.wrap_up_contact).wrap_up_code = event.code
    agent.wrap_up_until = None
    agent.wrap_up_contact = None
    agent.idle_since = at


# Conversations


def _contact_created(world: World, ws: Workspace, event: ev.ContactCreated, at: int) -> None:
    state = ContactState.SCHEDULED if event.scheduled_at is not None else ContactState.WAITING
    contact = Contact(
        id=event.contact,
        source_key=event.source_key,
        channel=event.channel,
        account=event.account,
        thread=event.thread,
        customer=event.customer,
        sender=event.sender,
        queue=event.queue,
        language=event.language,
        language_confidence=event.language_confidence,
        skills=tuple(sorted(event.skills.items())),
        priority=event.priority,
        attributes=event.attributes,
        reach={reach.channel: reach for reach in event.reach},
        created_at=at,
        age_from=event.age_from,
        state=state,
        state_since=at,
        scheduled_at=event.scheduled_at,
        scheduled_priority=event.scheduled_priority,
        previous=event.previous,
        language_min=event.language_min,
        flow=event.flow,
        preferred=event.preferred,
        profiles=event.profiles,
        queue_since=min(at, event.age_from),
        flow_step=event.flow_step,
    )
    world.state.undo.put(ws.contacts, event.contact, contact)
    world.touched.append(("contact", ws.name, event.contact))
    _join_thread(world, ws, event.thread, event.contact)
    customer = ws.customers.get(event.customer)
    if customer is None:
        customer = Customer(id=event.customer)
        world.state.undo.put(ws.customers, event.customer, customer)
    world.state.undo.save(customer)
    customer.contacts = (*customer.contacts, event.contact)
    if event.language_reason in ("stated", "detected"):
        customer.language = event.language
    _identify(world, ws, event.customer, event.sender)
    _know_reach(world, ws, event.customer, event.reach)
    remember_source(world, ws, event.source_key, event.contact)


def _join_thread(world: World, ws: Workspace, key: ThreadKey, contact: ContactId) -> None:
    thread = ws.threads.get(key)
    if thread is None:
        thread = Thread(key=key)
        world.state.undo.put(ws.threads, key, thread)
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
    _join_thread(world, ws, event.thread, event.contact)
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
    _follow_customer(ws, contact, event)
    remember_source(world, ws, event.source_key, event.contact)


def _follow_customer(ws: Workspace, contact: Contact, event: ev.MessageReceived) -> None:
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


def _message_ignored(world: World, ws: Workspace, event: ev.MessageIgnored, at: int) -> None:
    remember_source(world, ws, event.source_key, "")


def _contact_queued(world: World, ws: Workspace, event: ev.ContactQueued, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    _enter(contact, event.queue, at)
    if contact.scheduled_priority is not None:
        contact.priority = contact.scheduled_priority
    if event.reason == "reopened":
        contact.steps = 0
        contact.stepped = {}
        contact.agent = None
        contact.age_from = at
        contact.ended_at = None
        contact.end_reason = None
        world.touched.append(("thread", ws.name, contact.thread))
    _wait(contact, at)


def _enter(contact: Contact, queue: QueueName, at: int) -> None:
    """The contact is in a queue from now on: what counts from there begins anew, but each step comes once."""
    contact.stepped = {**contact.stepped, contact.queue: contact.steps}
    contact.steps = contact.stepped.get(queue, 0)
    contact.queue = queue
    contact.queue_since = at
    contact.delay = 0
    contact.widened = 0
    contact.preference_over = False
    contact.aged_out = False


def _contact_moved(world: World, ws: Workspace, event: ev.ContactMoved, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    if contact.agent is not None:
        _release(world.change_agent(ws, contact.agent), contact.id, at)
        contact.agent = None
        contact.active = True
        world.touched.append(("thread", ws.name, contact.thread))
    if event.reason == "overflow":
        contact.overflowed = (*contact.overflowed, event.queue)
    if event.age_from is not None:
        contact.age_from = event.age_from
    if event.flow_step is not None:
        contact.flow_step = event.flow_step
    if event.channel is not None:
        contact.channel = event.channel
    contact.excluded = event.excluded
    _enter(contact, event.queue, at)
    _wait(contact, at)


def _contact_stepped(world: World, ws: Workspace, event: ev.ContactStepped, at: int) -> None:
    world.change_contact(ws, event.contact).steps = event.steps


def _delay_passed(world: World, ws: Workspace, event: ev.DelayPassed, at: int) -> None:
    world.change_contact(ws, event.contact).delay = event.delay


def _language_widened(world: World, ws: Workspace, event: ev.LanguageWidened, at: int) -> None:
    world.change_contact(ws, event.contact).widened = event.languages


def _preference_ended(world: World, ws: Workspace, event: ev.PreferenceEnded, at: int) -> None:
    world.change_contact(ws, event.contact).preference_over = True


def _contact_aged_out(world: World, ws: Workspace, event: ev.ContactAgedOut, at: int) -> None:
    world.change_contact(ws, event.contact).aged_out = True


def _contact_prioritised(world: World, ws: Workspace, event: ev.ContactPrioritised, at: int) -> None:
    world.change_contact(ws, event.contact).priority = event.priority


def _age_adjusted(world: World, ws: Workspace, event: ev.AgeAdjusted, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    contact.age_from = event.age_from
    contact.aged_out = False


def _contact_assigned(world: World, ws: Workspace, event: ev.ContactAssigned, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    if contact.agent is not None:
        _release(world.change_agent(ws, contact.agent), contact.id, at)
    agent = world.change_agent(ws, event.agent)
    agent.held = {**agent.held, event.contact: contact.channel}
    contact.state = ContactState.ASSIGNED
    contact.state_since = at
    contact.agent = event.agent
    contact.active = True
    contact.retry_at = None
    if contact.answered_at is None:
        contact.answered_at = at
    _note_assignment(ws, agent, contact.queue, at)
    world.touched.append(("thread", ws.name, contact.thread))


def _note_assignment(ws: Workspace, agent: Agent, queue: str, at: int) -> None:
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


def _wait(contact: Contact, at: int, retry_at: int | None = None) -> None:
    contact.state = ContactState.WAITING
    contact.state_since = at
    contact.retry_at = retry_at


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
    _join_thread(world, ws, event.thread, event.contact)
    _identify(world, ws, contact.customer, event.address)


def _redirect_refused(world: World, ws: Workspace, event: ev.RedirectRefused, at: int) -> None:
    world.change_contact(ws, event.contact).considered = ws.health_version


def _end(
    world: World, ws: Workspace, contact_id: ContactId, state: ContactState, reason: str | None, at: int
) -> Contact:
    contact = world.change_contact(ws, contact_id)
    if contact.agent is not None:
        _release(world.change_agent(ws, contact.agent), contact_id, at)
    contact.state = state
    contact.state_since = at
    contact.ended_at = at
    contact.end_reason = reason
    contact.retry_at = None
    world.touched.append(("thread", ws.name, contact.thread))
    return contact


def _release(agent: Agent, contact_id: ContactId, at: int) -> None:
    """The agent no longer holds the contact; idle time counts from here."""
    agent.held = {held: kind for held, kind in agent.held.items() if held != contact_id}
    if agent.parked:
        agent.parked = tuple(parked for parked in agent.parked if parked != contact_id)
    agent.idle_since = at


def _contact_completed(world: World, ws: Workspace, event: ev.ContactCompleted, at: int) -> None:
    agent = world.change_agent(ws, event.agent)
    agent.completed += 1
    agent.talk_time += at - ws.contacts[event.contact].state_since
    _end(world, ws, event.contact, ContactState.COMPLETED, None, at).wrap_up_code = event.wrap_up_code
    if event.wrap_up_until is not None and event.wrap_up_queue is not None:
        agent.queue_wrap_up = {**agent.queue_wrap_up, event.wrap_up_queue: event.wrap_up_until}
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
    _release(world.change_agent(ws, event.agent), event.contact, at)
    contact.agent = None
    contact.active = True
    if event.reason == "agent":
        _count_decline(contact, event.agent, at)
    world.touched.append(("thread", ws.name, contact.thread))
    _wait(contact, at)


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


# Offers


def _offer_made(world: World, ws: Workspace, event: ev.OfferMade, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    waits = contact.state in (ContactState.WAITING, ContactState.OFFERED)
    assert waits, f"{event.contact} is {contact.state}, not waiting"
    agent = world.change_agent(ws, event.agent)
    assert event.contact not in agent.held, f"{event.agent} already holds {event.contact}"
    offer = Offer(id=event.offer, contact=event.contact, agent=event.agent, made_at=at, expires_at=event.expires_at)
    world.state.undo.put(ws.offers, event.offer, offer)
    world.state.undo.append(contact.all_offers, event.offer)
    world.touched.append(("offer", ws.name, event.offer))
    if contact.state is not ContactState.OFFERED:
        contact.state = ContactState.OFFERED
        contact.state_since = at
    agent.assigned_last = {**agent.assigned_last, contact.queue: at}
    contact.offers = (*contact.offers, event.offer)
    agent.offers = (*agent.offers, event.offer)
    agent.held = {**agent.held, event.contact: contact.channel}


def _end_offer(world: World, ws: Workspace, offer_id: OfferId, outcome: str) -> tuple[Contact, Agent]:
    offer = ws.offers[offer_id]
    assert not offer.outcome, f"offer {offer_id} has already ended: {offer.outcome}"
    world.state.undo.save(offer)
    offer.outcome = outcome
    world.touched.append(("offer", ws.name, offer_id))
    contact = world.change_contact(ws, offer.contact)
    contact.offers = tuple(o for o in contact.offers if o != offer_id)
    agent = world.change_agent(ws, offer.agent)
    agent.offers = tuple(o for o in agent.offers if o != offer_id)
    return contact, agent


def _offer_accepted(world: World, ws: Workspace, event: ev.OfferAccepted, at: int) -> None:
    contact, agent = _end_offer(world, ws, event.offer, "accepted")
    assert contact.agent is None, f"{contact.id} is already held by {contact.agent}"
    contact.state = ContactState.ASSIGNED
    contact.state_since = at
    contact.agent = agent.id
    if contact.answered_at is None:
        contact.answered_at = at
    agent.missed = 0
    if agent.missed_in:
        agent.missed_in = {}
    _note_assignment(ws, agent, contact.queue, at)
    world.touched.append(("thread", ws.name, contact.thread))


def _back_to_waiting(contact: Contact, agent: Agent, at: int, retry_at: int | None = None) -> None:
    agent.held = {held: kind for held, kind in agent.held.items() if held != contact.id}
    if not contact.offers:
        _wait(contact, at, retry_at)


def _count_decline(contact: Contact, agent: AgentId, at: int) -> None:
    contact.declines = {**contact.declines, agent: contact.declines.get(agent, 0) + 1}
    contact.declined_at = {**contact.declined_at, agent: at}


def _offer_declined(world: World, ws: Workspace, event: ev.OfferDeclined, at: int) -> None:
    contact, agent = _end_offer(world, ws, event.offer, "declined")
    _count_decline(contact, agent.id, at)
    _back_to_waiting(contact, agent, at, event.retry_at)


def _offer_expired(world: World, ws: Workspace, event: ev.OfferExpired, at: int) -> None:
    contact, agent = _end_offer(world, ws, event.offer, "expired")
    queue = ws.policy.queues.get(contact.queue)
    if queue is not None and queue.on_miss is not None and queue.on_miss.scope == "queue":
        agent.missed_in = {**agent.missed_in, contact.queue: event.missed}
    else:
        agent.missed = event.missed
    _count_decline(contact, agent.id, at)
    _back_to_waiting(contact, agent, at, event.retry_at)


def _offer_withdrawn(world: World, ws: Workspace, event: ev.OfferWithdrawn, at: int) -> None:
    outcome = event.reason if event.reason == "accepted_by_another" else "withdrawn"
    contact, agent = _end_offer(world, ws, event.offer, outcome)
    _back_to_waiting(contact, agent, at)


def _retry_due(world: World, ws: Workspace, event: ev.RetryDue, at: int) -> None:
    world.change_contact(ws, event.contact).retry_at = None


# Replies


def _reply_queued(world: World, ws: Workspace, event: ev.ReplyQueued, at: int) -> None:
    contact = world.change_contact(ws, event.contact)
    thread = ws.threads[event.thread]
    message = Message(
        id=event.message,
        direction="agent",
        kind=MessageKind.MESSAGE.value,
        ref=event.content_ref,
        at=at,
        channel=event.channel,
        account=event.account,
        thread=event.thread,
        thread_seq=thread.next_seq,
        author=event.agent,
        status=Delivery.QUEUED.value,
    )
    world.state.undo.save(thread)
    thread.next_seq += 1
    world.state.undo.append(contact.messages, message)
    world.state.undo.put(ws.messages, event.message, (event.contact, message))
    world.touched.append(("thread", ws.name, event.thread))
    world.touched.append(("message", ws.name, event.message))


def _delivery_reported(world: World, ws: Workspace, event: ev.DeliveryReported, at: int) -> None:
    contact_id, message = ws.messages[event.message]
    world.change_contact(ws, contact_id)
    world.state.undo.save(message)
    message.status = event.status.value
    world.touched.append(("thread", ws.name, message.thread))
    world.touched.append(("message", ws.name, event.message))


_EVOLVE: dict[type, Callable[[World, Workspace, Any, int], None]] = {
    ev.CommandRefused: _nothing,
    ev.CommandRejected: _nothing,
    ev.CommandNoted: _nothing,
    ev.KeyCreated: _key_created,
    ev.KeyRevoked: _key_revoked,
    ev.PolicyAdopted: _policy_adopted,
    ev.AgentProfileSet: _agent_profile_set,
    ev.AgentPresenceChanged: _agent_presence_changed,
    ev.AgentLost: _agent_lost,
    ev.AgentRegained: _agent_regained,
    ev.AgentGraceEnded: _agent_grace_ended,
    ev.WrapUpExtended: _wrap_up_extended,
    ev.WrapUpEnded: _wrap_up_ended,
    ev.ContactCreated: _contact_created,
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
    ev.LimitSet: _limit_set,
    ev.QueueHours: _queue_hours,
    ev.AgentPaused: _agent_paused,
    ev.AgentPauseEnded: _agent_pause_ended,
    ev.RateWindowMoved: _rate_window_moved,
    ev.DeclineForgotten: _decline_forgotten,
    ev.MessageReceived: _message_received,
    ev.MessageIgnored: _message_ignored,
    ev.OfferMade: _offer_made,
    ev.OfferAccepted: _offer_accepted,
    ev.OfferDeclined: _offer_declined,
    ev.OfferExpired: _offer_expired,
    ev.OfferWithdrawn: _offer_withdrawn,
    ev.RetryDue: _retry_due,
    ev.ContactRequeued: _contact_requeued,
    ev.ContactCompleted: _contact_completed,
    ev.ContactCancelled: _contact_cancelled,
    ev.ContactAbandoned: _contact_abandoned,
    ev.ContactForgotten: _contact_forgotten,
    ev.ReplyQueued: _reply_queued,
    ev.DeliveryReported: _delivery_reported,
    ev.ChannelHealthChanged: _channel_health_changed,
    ev.ContactRedirected: _contact_redirected,
    ev.RedirectRefused: _redirect_refused,
}
