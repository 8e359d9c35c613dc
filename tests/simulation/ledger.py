"""A second, slow and obvious account of a contact centre, kept from the events alone.

It shares no code with the engine: plain records, no indexes, no undo. Every event is checked against what the ledger
knows before it is booked, so that an event which cannot be true here is found at once, and by its invariant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.contracts import events as ev
from shared.contracts.commands import Reach

DAY = 86_400_000
OPEN = ("scheduled", "waiting", "offered", "assigned")
SILENT = (ev.CommandRefused, ev.CommandRejected, ev.CommandNoted, ev.Resumed, ev.DayTurned)


class Violation(AssertionError):
    """An invariant of `docs/architecture.md` does not hold."""

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(f"[{invariant}] {text}")
        self.invariant = invariant


def require(condition: object, invariant: str, text: str) -> None:
    if not condition:
        raise Violation(invariant, text)


def base(language: str) -> str:
    return language.split("-")[0].lower()


@dataclass(slots=True)
class ContactBook:
    id: str
    source_key: str
    channel: str
    account: str
    thread: str
    customer: str
    sender: str
    queue: str
    language: str
    skills: dict[str, int]
    priority: int
    reach: dict[str, Reach]
    age_from: int
    state: str
    scheduled_at: int | None = None
    agent: str | None = None
    offer: str | None = None
    declines: dict[str, int] = field(default_factory=dict)
    retry_at: int | None = None
    ended_at: int | None = None
    hops: list[tuple[str, str]] = field(default_factory=list)
    episode: list[str] = field(default_factory=list)
    """The channels that rules moved the contact away from or to since the customer last chose one."""

    @property
    def channel_name(self) -> str:
        return f"{self.channel}:{self.account}"

    @property
    def order(self) -> tuple[int, int, str]:
        return (-self.priority, self.age_from, self.id)


@dataclass(slots=True)
class AgentBook:
    id: str
    languages: dict[str, int] = field(default_factory=dict)
    skills: dict[str, int] = field(default_factory=dict)
    queues: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    total: int = 1000
    per_channel: dict[str, int] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)
    presence: str = "offline"
    next_presence: str | None = None
    switch: dict[str, bool] = field(default_factory=dict)
    reachable: bool = False
    grace_until: int | None = None
    wrap_up_until: int | None = None
    idle_since: int = 0
    missed: int = 0
    held: dict[str, str] = field(default_factory=dict)
    offers: list[str] = field(default_factory=list)

    @property
    def load(self) -> int:
        return sum(self.weights.get(kind, 1000) for kind in self.held.values())

    def why_full(self, kind: str) -> str | None:
        if self.load + self.weights.get(kind, 1000) > self.total:
            return f"load {self.load} of {self.total}"
        if kind in self.per_channel and list(self.held.values()).count(kind) + 1 > self.per_channel[kind]:
            return f"{self.per_channel[kind]} of {kind} already"
        return None

    @property
    def takes_offers(self) -> bool:
        return (
            self.presence == "available"
            and self.next_presence is None
            and self.reachable
            and self.wrap_up_until is None
        )

    def speaks(self, language: str) -> int:
        return max((level for code, level in self.languages.items() if base(code) == language), default=0)


@dataclass(slots=True)
class OfferBook:
    id: str
    contact: str
    agent: str
    expires_at: int
    outcome: str = ""


@dataclass(slots=True)
class WorkspaceBook:
    name: str
    policy_version: int = 0
    queues: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    channels: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    health: dict[str, str] = field(default_factory=dict)
    agents: dict[str, AgentBook] = field(default_factory=dict)
    contacts: dict[str, ContactBook] = field(default_factory=dict)
    offers: dict[str, OfferBook] = field(default_factory=dict)
    replies: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    sources: dict[str, tuple[str, int]] = field(default_factory=dict)
    threads: dict[str, set[str]] = field(default_factory=dict)
    sequence: int = 0
    received: int = 0
    ended: int = 0
    forgotten: int = 0

    def is_down(self, channel: str) -> bool:
        return self.health.get(channel) == "down"

    def timers(self) -> Iterator[tuple[int, str, str]]:
        """What is due when: (due, kind, id). Redirects are not here: they are due as soon as a channel is down."""
        for offer in self.offers.values():
            if not offer.outcome:
                yield offer.expires_at, "offer", offer.id
        for agent in self.agents.values():
            if agent.grace_until is not None:
                yield agent.grace_until, "grace", agent.id
            if agent.wrap_up_until is not None:
                yield agent.wrap_up_until, "wrap_up", agent.id
        for contact in self.contacts.values():
            if contact.state == "scheduled":
                yield contact.scheduled_at or 0, "scheduled", contact.id
            elif contact.state == "waiting" and contact.retry_at is not None and not self.is_down(contact.channel_name):
                yield contact.retry_at, "retry", contact.id
            elif contact.ended_at is not None:
                yield contact.ended_at + self.policy["keep_ended_s"] * 1000, "forget", contact.id

    def way_out(self, contact: ContactBook) -> str | None:
        """The first channel that a contact on a channel that is down could be moved to."""
        fallback = self.channels[contact.channel_name]["fallback"] if contact.channel_name in self.channels else ()
        left = {hop[0] for hop in contact.hops}
        for step in fallback:
            name = f"{step['channel']}:{step['account']}"
            reach = contact.reach.get(step["channel"])
            if name not in left and not self.is_down(name) and reach is not None and reach.verified and reach.consent:
                return name
        return None


class Ledger:
    """All workspaces of one partition, booked event by event."""

    def __init__(self) -> None:
        self.workspaces: dict[str, WorkspaceBook] = {}
        self.at = 0
        self.actor = ""
        self.counts: dict[str, int] = {}
        self._book: dict[type, Callable[[WorkspaceBook, Any], None]] = {
            ev.KeyCreated: self._key_created,
            ev.KeyRevoked: self._key_revoked,
            ev.PolicyAdopted: self._policy_adopted,
            ev.AgentProfileSet: self._profile,
            ev.AgentPresenceChanged: self._presence,
            ev.AgentLost: self._lost,
            ev.AgentRegained: self._regained,
            ev.AgentGraceEnded: self._grace_ended,
            ev.WrapUpExtended: self._wrap_up_extended,
            ev.WrapUpEnded: self._wrap_up_ended,
            ev.ContactCreated: self._created,
            ev.ContactQueued: self._queued,
            ev.MessageReceived: self._message,
            ev.MessageIgnored: self._ignored,
            ev.OfferMade: self._offer_made,
            ev.OfferAccepted: self._accepted,
            ev.OfferDeclined: self._declined,
            ev.OfferExpired: self._expired,
            ev.OfferWithdrawn: self._withdrawn,
            ev.RetryDue: self._retry_due,
            ev.ContactRequeued: self._requeued,
            ev.ContactCompleted: self._completed,
            ev.ContactCancelled: self._cancelled,
            ev.ContactAbandoned: self._abandoned,
            ev.ContactForgotten: self._forgotten,
            ev.ReplyQueued: self._reply,
            ev.DeliveryReported: self._delivery,
            ev.ChannelHealthChanged: self._health,
            ev.ContactRedirected: self._redirected,
            ev.RedirectRefused: self._redirect_refused,
        }

    def book(self, workspace: str, event: ev.Event, actor: str, at: int) -> None:
        """Check an event against all that is known, then believe it. Raises `Violation`."""
        self.at = at
        self.actor = actor
        name = type(event).__name__
        self.counts[name] = self.counts.get(name, 0) + 1
        if isinstance(event, ev.WorkspaceCreated):
            require(workspace not in self.workspaces, "1", f"workspace {workspace} is created twice")
            self.workspaces[workspace] = WorkspaceBook(workspace)
        elif isinstance(event, ev.Resumed):
            self._resumed(event)
        elif isinstance(event, ev.CommandRejected):
            raise Violation("decide", f"the engine could not decide: {event.reason}")
        elif not isinstance(event, SILENT):
            self._book[type(event)](self.workspaces[workspace], event)
        if workspace and not isinstance(event, SILENT):
            self.workspaces[workspace].sequence += 1

    def _resumed(self, event: ev.Resumed) -> None:
        require(event.gap > 0, "time", f"resumed after {event.gap} ms")
        for ws in self.workspaces.values():
            for offer in ws.offers.values():
                if not offer.outcome:
                    offer.expires_at += event.gap
            for agent in ws.agents.values():
                if agent.grace_until is not None:
                    agent.grace_until += event.gap

    # Setting up

    def _key_created(self, ws: WorkspaceBook, event: ev.KeyCreated) -> None:
        require(event.key_id not in ws.keys, "9", f"key {event.key_id} is there already")
        ws.keys[event.key_id] = event.key_hash

    def _key_revoked(self, ws: WorkspaceBook, event: ev.KeyRevoked) -> None:
        del ws.keys[event.key_id]

    def _policy_adopted(self, ws: WorkspaceBook, event: ev.PolicyAdopted) -> None:
        require(event.version == ws.policy_version + 1, "9", f"policy {event.version} after {ws.policy_version}")
        ws.policy_version = event.version
        ws.policy = event.policy
        ws.queues = {queue["name"]: queue for queue in event.policy["queues"]}
        ws.channels = {f"{c['kind']}:{c['account']}": c for c in event.policy["channels"]}
        ws.health = {name: ws.health.get(name, "healthy") for name in ws.channels}

    def _profile(self, ws: WorkspaceBook, event: ev.AgentProfileSet) -> None:
        agent = ws.agents.setdefault(event.agent, AgentBook(event.agent))
        agent.languages = dict(event.languages)
        agent.skills = dict(event.skills)
        agent.queues = event.queues
        agent.channels = event.channels
        agent.total = event.capacity_total or 0
        agent.per_channel = dict(event.capacity_per_channel)
        agent.weights = dict(event.capacity_weights)

    def _health(self, ws: WorkspaceBook, event: ev.ChannelHealthChanged) -> None:
        name = f"{event.channel}:{event.account}"
        require(name in ws.channels, "9", f"health of {name}, which no policy names")
        ws.health[name] = event.state.value

    # Presence

    def _presence(self, ws: WorkspaceBook, event: ev.AgentPresenceChanged) -> None:
        agent = ws.agents[event.agent]
        if event.cause == "agent":
            require(self.actor in (f"agent:{agent.id}",), "4", f"{self.actor} declares the presence of {agent.id}")
        if event.cause == "next_presence":
            free = agent.next_presence == event.presence and not agent.held and agent.wrap_up_until is None
            require(free, "4", f"next presence of {agent.id} while it holds {agent.held}")
        if event.presence == "available" and agent.presence != "available":
            agent.idle_since = self.at
            agent.missed = 0
        agent.presence = event.presence
        agent.next_presence = event.next_presence
        agent.switch.update(event.channels)

    def _lost(self, ws: WorkspaceBook, event: ev.AgentLost) -> None:
        agent = ws.agents[event.agent]
        require(agent.reachable, "4", f"{agent.id} is lost twice")
        agent.reachable = False
        agent.grace_until = event.grace_until

    def _regained(self, ws: WorkspaceBook, event: ev.AgentRegained) -> None:
        agent = ws.agents[event.agent]
        require(not agent.reachable, "4", f"{agent.id} is regained twice")
        agent.reachable = True
        agent.grace_until = None
        agent.idle_since = max(agent.idle_since, self.at)

    def _grace_ended(self, ws: WorkspaceBook, event: ev.AgentGraceEnded) -> None:
        agent = ws.agents[event.agent]
        require(
            agent.grace_until is not None and agent.grace_until <= self.at, "time", f"grace of {agent.id} too early"
        )
        agent.grace_until = None

    def _wrap_up_extended(self, ws: WorkspaceBook, event: ev.WrapUpExtended) -> None:
        require(ws.agents[event.agent].wrap_up_until is not None, "4", f"{event.agent} is not in wrap-up")
        ws.agents[event.agent].wrap_up_until = event.until

    def _wrap_up_ended(self, ws: WorkspaceBook, event: ev.WrapUpEnded) -> None:
        agent = ws.agents[event.agent]
        until = agent.wrap_up_until
        require(until is not None, "4", f"{agent.id} is not in wrap-up")
        if event.cause == "timer":
            require(until is not None and until <= self.at, "time", f"wrap-up of {agent.id} ends too early")
        agent.wrap_up_until = None
        agent.idle_since = self.at

    # Contacts

    def _source(self, ws: WorkspaceBook, source_key: str, contact: str) -> None:
        known = ws.sources.get(source_key)
        if known is not None and known[0] != contact:
            require(self.at // DAY - known[1] // DAY > 8, "1", f"{source_key} is in {known[0]!r} and in {contact!r}")
        ws.sources[source_key] = (contact, self.at)

    def _created(self, ws: WorkspaceBook, event: ev.ContactCreated) -> None:
        require(event.contact not in ws.contacts, "1", f"contact {event.contact} is created twice")
        self._source(ws, event.source_key, event.contact)
        ws.received += 1
        ws.contacts[event.contact] = ContactBook(
            id=event.contact,
            source_key=event.source_key,
            channel=event.channel,
            account=event.account,
            thread=event.thread,
            customer=event.customer,
            sender=event.sender,
            queue=event.queue,
            language=event.language,
            skills=dict(event.skills),
            priority=event.priority,
            reach={reach.channel: reach for reach in event.reach},
            age_from=event.age_from,
            state="waiting" if event.scheduled_at is None else "scheduled",
            scheduled_at=event.scheduled_at,
        )
        live = [c for c in ws.threads.get(event.thread, ()) if ws.contacts[c].state in OPEN]
        require(not live, "1", f"{event.contact} is opened on the thread of {live}, which is open")
        ws.threads.setdefault(event.thread, set()).add(event.contact)

    def _queued(self, ws: WorkspaceBook, event: ev.ContactQueued) -> None:
        contact = self._in(ws, event.contact, "scheduled")
        require((contact.scheduled_at or 0) <= self.at, "time", f"{contact.id} is due too early")
        contact.queue = event.queue
        self._wait(contact)

    def _wait(self, contact: ContactBook, retry_at: int | None = None) -> None:
        contact.state = "waiting"
        contact.agent = None
        contact.retry_at = retry_at

    def _in(self, ws: WorkspaceBook, contact_id: str, *states: str) -> ContactBook:
        contact = ws.contacts.get(contact_id)
        require(contact is not None, "1", f"contact {contact_id} does not exist (any more)")
        assert contact is not None
        require(contact.state in states, "1", f"contact {contact_id} is {contact.state}, not {' or '.join(states)}")
        return contact

    def _message(self, ws: WorkspaceBook, event: ev.MessageReceived) -> None:
        contact = ws.contacts[event.contact]
        self._source(ws, event.source_key, event.contact)
        ws.threads.setdefault(event.thread, set()).add(event.contact)
        contact.reach.update({reach.channel: reach for reach in event.reach})
        if event.language is not None:
            contact.language = event.language
        chosen = event.message_kind.value in ("message", "postback") and event.thread != contact.thread
        name = f"{event.channel}:{event.account}"
        # An offer was made for the channel where the contact then was; it stays there until the offer has ended.
        free = contact.state in OPEN and (contact.state != "offered" or name == contact.channel_name)
        if chosen and free and ws.health.get(name, "down") != "down":
            contact.channel = event.channel
            contact.account = event.account
            contact.thread = event.thread
            contact.sender = event.sender
            contact.episode = []

    def _ignored(self, ws: WorkspaceBook, event: ev.MessageIgnored) -> None:
        self._source(ws, event.source_key, "")

    def _end(self, ws: WorkspaceBook, contact: ContactBook, state: str) -> None:
        require(contact.offer is None, "2", f"{contact.id} ends as {state} while offer {contact.offer} is open")
        if contact.agent is not None:
            self._release(ws.agents[contact.agent], contact.id)
        contact.state = state
        contact.ended_at = self.at
        contact.retry_at = None
        ws.ended += 1

    def _release(self, agent: AgentBook, contact: str) -> None:
        require(contact in agent.held, "2", f"{agent.id} does not hold {contact}")
        del agent.held[contact]
        agent.idle_since = self.at

    def _completed(self, ws: WorkspaceBook, event: ev.ContactCompleted) -> None:
        contact = self._in(ws, event.contact, "assigned")
        require(contact.agent == event.agent, "2", f"{event.agent} completes the contact of {contact.agent}")
        role, who = self.actor.split(":", 1)
        require(role != "agent" or who == event.agent, "2", f"{self.actor} completes the contact of {event.agent}")
        self._end(ws, contact, "completed")
        if event.wrap_up_until is not None:
            ws.agents[event.agent].wrap_up_until = event.wrap_up_until

    def _cancelled(self, ws: WorkspaceBook, event: ev.ContactCancelled) -> None:
        self._end(ws, self._in(ws, event.contact, *OPEN), "cancelled")

    def _abandoned(self, ws: WorkspaceBook, event: ev.ContactAbandoned) -> None:
        contact = self._in(ws, event.contact, "waiting", "offered", "scheduled")
        require(event.waited == max(0, self.at - contact.age_from), "5", f"{contact.id} lost its age: {event.waited}")
        self._end(ws, contact, "abandoned")

    def _requeued(self, ws: WorkspaceBook, event: ev.ContactRequeued) -> None:
        contact = self._in(ws, event.contact, "assigned")
        require(
            contact.agent == event.agent, "2", f"{event.contact} is requeued from {event.agent}, not {contact.agent}"
        )
        self._release(ws.agents[event.agent], event.contact)
        if event.reason == "agent":
            contact.declines[event.agent] = contact.declines.get(event.agent, 0) + 1
        self._wait(contact)

    def _forgotten(self, ws: WorkspaceBook, event: ev.ContactForgotten) -> None:
        contact = ws.contacts[event.contact]
        require(contact.ended_at is not None, "1", f"{contact.id} is forgotten while it is {contact.state}")
        keep = ws.policy["keep_ended_s"] * 1000
        require((contact.ended_at or 0) + keep <= self.at, "time", f"{contact.id} is forgotten too early")
        del ws.contacts[contact.id]
        ws.offers = {o.id: o for o in ws.offers.values() if o.contact != contact.id}
        ws.replies = {message: owner for message, owner in ws.replies.items() if owner != contact.id}
        for members in ws.threads.values():
            members.discard(contact.id)
        ws.forgotten += 1

    # Offers

    def _offer_made(self, ws: WorkspaceBook, event: ev.OfferMade) -> None:
        contact = self._in(ws, event.contact, "waiting")
        agent = ws.agents[event.agent]
        require(event.offer not in ws.offers, "9", f"offer {event.offer} is made twice")
        require(contact.offer is None and contact.agent is None, "2", f"{contact.id} is with somebody already")
        until = event.expires_at or self.at + 1
        require(until > self.at, "time", f"offer {event.offer} is born expired")
        full = agent.why_full(contact.channel)
        require(full is None, "3", f"{contact.id} is offered to {agent.id}, who has {full}")
        ws.offers[event.offer] = OfferBook(event.offer, event.contact, event.agent, until)
        contact.state = "offered"
        contact.offer = event.offer
        agent.offers.append(event.offer)
        agent.held[contact.id] = contact.channel

    def _end_offer(self, ws: WorkspaceBook, offer_id: str, outcome: str) -> tuple[ContactBook, AgentBook]:
        offer = ws.offers[offer_id]
        require(not offer.outcome, "2", f"offer {offer_id} is {outcome} after it was {offer.outcome}")
        offer.outcome = outcome
        contact = self._in(ws, offer.contact, "offered")
        agent = ws.agents[offer.agent]
        contact.offer = None
        agent.offers.remove(offer_id)
        return contact, agent

    def _accepted(self, ws: WorkspaceBook, event: ev.OfferAccepted) -> None:
        contact, agent = self._end_offer(ws, event.offer, "accepted")
        require(agent.id == event.agent, "2", f"{event.agent} gets the offer of {agent.id}")
        require(self.actor == f"agent:{agent.id}", "2", f"{self.actor} accepts the offer of {agent.id}")
        contact.state = "assigned"
        contact.agent = agent.id
        agent.missed = 0

    def _declined(self, ws: WorkspaceBook, event: ev.OfferDeclined) -> None:
        contact, agent = self._end_offer(ws, event.offer, "declined")
        require(self.actor == f"agent:{agent.id}", "2", f"{self.actor} declines the offer of {agent.id}")
        contact.declines[agent.id] = contact.declines.get(agent.id, 0) + 1
        del agent.held[contact.id]
        self._wait(contact, event.retry_at)

    def _expired(self, ws: WorkspaceBook, event: ev.OfferExpired) -> None:
        due = ws.offers[event.offer].expires_at
        require(due <= self.at, "time", f"offer {event.offer} expires {due - self.at} ms early")
        contact, agent = self._end_offer(ws, event.offer, "expired")
        agent.missed = event.missed
        contact.declines[agent.id] = contact.declines.get(agent.id, 0) + 1
        del agent.held[contact.id]
        self._wait(contact, event.retry_at)

    def _withdrawn(self, ws: WorkspaceBook, event: ev.OfferWithdrawn) -> None:
        contact, agent = self._end_offer(ws, event.offer, "withdrawn")
        del agent.held[contact.id]
        self._wait(contact)

    def _retry_due(self, ws: WorkspaceBook, event: ev.RetryDue) -> None:
        contact = self._in(ws, event.contact, "waiting")
        require(contact.retry_at is not None, "time", f"{contact.id} has no pause that could be over")
        require((contact.retry_at or 0) <= self.at, "time", f"the pause of {contact.id} ends too early")
        contact.retry_at = None

    # Replies

    def _reply(self, ws: WorkspaceBook, event: ev.ReplyQueued) -> None:
        contact = self._in(ws, event.contact, "assigned")
        require(contact.agent == event.agent, "2", f"{event.agent} answers for {contact.agent}")
        where = (event.channel, event.account, event.thread, event.address)
        here = (contact.channel, contact.account, contact.thread, contact.sender)
        require(where == here, "9", f"a reply goes to {where}, the contact is on {here}")
        require(event.message not in ws.replies, "9", f"reply {event.message} is queued twice")
        ws.replies[event.message] = event.contact

    def _delivery(self, ws: WorkspaceBook, event: ev.DeliveryReported) -> None:
        require(ws.replies.get(event.message) == event.contact, "9", f"{event.message} was never sent")

    # Redirects

    def _redirected(self, ws: WorkspaceBook, event: ev.ContactRedirected) -> None:
        contact = self._in(ws, event.contact, "waiting")
        left = f"{event.from_channel}:{event.from_account}"
        target = f"{event.channel}:{event.account}"
        require(left == contact.channel_name, "6", f"{contact.id} leaves {left}, but is on {contact.channel_name}")
        require(ws.is_down(left), "6", f"{contact.id} leaves {left}, which is not down")
        require(target == ws.way_out(contact), "6", f"{contact.id} goes to {target}, not to {ws.way_out(contact)}")
        if not contact.episode:
            contact.episode = [left]
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

    def _redirect_refused(self, ws: WorkspaceBook, event: ev.RedirectRefused) -> None:
        contact = self._in(ws, event.contact, "waiting")
        require(ws.is_down(contact.channel_name), "6", f"{contact.id} is on {contact.channel_name}, which is not down")
        require(ws.way_out(contact) is None, "6", f"{contact.id} could go to {ws.way_out(contact)}")
