"""Everything derived from a workspace's facts: who can serve what, who waits where, what is due when.

Which agents may serve what is asked for is the registry's (`registry.py`). Every `sync_…` compares what is
indexed with the facts and mends the difference: it is called after each event for what the event touched, and after an
undo for what the undo touched. No decision looks through agents or contacts
(`docs/adr/0010-one-matcher-for-every-rule.md`).
"""

from __future__ import annotations

import operator
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple

from services.router.engine.chains import agent_score, chain_of
from services.router.engine.classes import CapabilityClass, Head, Item, Requirement, is_able
from services.router.engine.contact_timers import ContactTimers
from services.router.engine.deadlines import Spare
from services.router.engine.delays import Delays
from services.router.engine.demand import (
    Demand,
    Order,
    asked_language,
    demand_of,
    fallback_of,
    is_excluded,
    most_offers,
    order_of,
    preference_of,
)
from services.router.engine.due_timers import DueTimers
from services.router.engine.noted import NotedQueues, positioned
from services.router.engine.opening import Opening
from services.router.engine.ordered import OrderedSet
from services.router.engine.outbound_timers import OutboundTimers
from services.router.engine.passed import look_again
from services.router.engine.placing import Alike, how_alike
from services.router.engine.records import Agent, Contact
from services.router.engine.registry import Registry
from services.router.engine.review import Review
from services.router.engine.rooms import NO_ROOM, Rooms, Signature, towards_queues
from services.router.engine.staffing import NOTHING, QueueCounts, Staffing, Turned
from services.router.engine.state import Workspace
from services.router.engine.ties import Tie, Ties
from services.router.engine.unanimity import Unanimity
from services.router.engine.waiting import Timer, contact_timer, leaves_unstaffed, station_here
from shared.vocabulary import AgentId, ChannelHealth, ContactId, ContactState, OfferId

_WAITS = (ContactState.WAITING, ContactState.OFFERED)


NOBODY: tuple[object, ...] = (None, (), (), ())
"""Of a contact that may go to anybody."""


class _ContactPlace(NamedTuple):
    requirement: Requirement | None
    order: Order | None
    channel: str | None
    queue: str
    aged: tuple[int, ContactId]
    """Since when it waits, all queues together (ms), and its id: as `QueueCounts` has them."""
    state: ContactState
    tie: Tie | None
    barred: tuple[object, ...]
    """Whom it may not go to, for reasons of its own."""
    refused: tuple[int | None] | None
    """Of one that somebody declined, as long as it is not told that all have: its witness, see `Unanimity`."""


class _AgentPlace(NamedTuple):
    known: CapabilityClass
    signature: Signature
    items: tuple[Item, ...]


class Index:
    """What is derived from one workspace."""

    def __init__(
        self,
        workspace: Workspace,
        timers: OrderedSet[Timer],
        before: Index | None = None,
        changed: Container[ContactId] | None = None,
    ) -> None:
        """`before`: the index of an earlier policy, which has been dropped. Where a contact stands as it did, what was
        kept of it is kept on, so that a hundred thousand who wait leave no garbage. `changed`: the only contacts that
        are otherwise than that index knew them; None if agents, channels or anything else may be as well."""
        policy = workspace.policy
        self.workspace = workspace
        self.policy = policy
        """The one that everything here is derived under, but for hours that were extended since."""
        self.timers = timers
        self.rooms = Rooms(workspace)
        self._staffing = Staffing(workspace)
        self.queues = self._staffing.counts
        self._opening = Opening(workspace, timers)
        self.closed = self._opening.closed
        self.held_back = self._opening.held_back
        self.pending_on: dict[str, dict[ContactId, None]] = {}
        """By channel the contacts that wait there."""
        self.fresh_contacts: dict[ContactId, None] = {}
        self.fresh_classes: dict[int, CapabilityClass] = {}
        self.cut = False
        """Whether the last routing pass ended before all pairs were made, because there were so many."""
        agents = workspace.agents.values()
        self._positions = NotedQueues({agent.id: positioned(agent) for agent in agents})
        """The queues in which agents have a position of their own."""
        chains = {name: chain_of(queue, positioned=name in self._positions) for name, queue in policy.queues.items()}
        self.registry = Registry(workspace, self.rooms, self.queues, chains)
        self._other_groups = False
        """Whether a queue has the first agent with a position of their own, or lost the last one, so that its chain is
        another; or the first or last one whom an earlier policy's rule still binds, so that its group is."""
        self._bound = NotedQueues({agent.id: towards_queues(agent, policy) for agent in agents})
        """The queues of whose earlier rules agents are still bound."""
        self._named: dict[str, int] = {}
        """Agents that some waiting contact is restricted to, and by how many demands: each is a class of their own."""
        self._ties = Ties()
        self._unanimity = Unanimity()
        self._delays = Delays()
        self._improved: dict[AgentId, None] = {}
        self._asked: dict[int, Requirement] = {}
        self._contacts: dict[ContactId, _ContactPlace] = {}
        self._contact_timers: ContactTimers = ContactTimers(
            timers, before._contact_timers if before is not None else None
        )
        self._agents: dict[AgentId, _AgentPlace] = {}
        self._due = DueTimers(workspace, timers)
        self.spare = Spare(workspace)
        self._reserves = policy.slo.reserve is not None and any(q.by_deadline for q in policy.queues.values())
        """Whether room is kept free before contacts that can wait."""
        self._review = Review(workspace, timers)
        for agent in agents:
            self.sync_agent(agent.id)
        for name in policy.queues:
            self.sync_queue(name)
        self._take_in(workspace.contacts, before, changed)
        for offer in workspace.offers.values():
            self._due.sync_offer(offer.id)
        self.outbounds = OutboundTimers(workspace, timers)
        # Whoever is free is fresh now, and that is enough: every pair has a free agent.
        self.fresh_contacts.clear()

    def _take_in(
        self,
        contacts: Mapping[ContactId, Contact],
        before: Index | None,
        changed: Container[ContactId] | None,
    ) -> None:
        """All contacts at once: as `sync_contact` one by one, in a fraction of the time."""
        waiting: dict[Requirement, list[Order]] = defaultdict(list)
        ages: dict[str, list[tuple[int, ContactId]]] = defaultdict(list)
        pending: dict[str, dict[ContactId, None]] = defaultdict(dict)
        standing: Counter[tuple[str, ContactState]] = Counter()
        rest: list[ContactId] = []
        self.registry.taking_in = True
        places = before._contacts if before is not None else {}
        as_before = self._take_over(before) if before is not None and changed is not None else {}
        # With every policy there may be a way out of these.
        down = {name for name, channel in self.workspace.channels.items() if channel.state is ChannelHealth.DOWN}
        for contact_id, contact in contacts.items():
            # Taken out, so that what is replaced goes at once and the collector finds no more than before.
            known = places.pop(contact_id, None)
            if contact.preferred or contact.declines:
                # Whoever is named becomes a class of their own, and who declined is noted.
                rest.append(contact_id)
                continue
            alike = as_before.get(contact.queue)
            if (
                known is None
                or known.channel in down
                or (changed is not None and contact_id in changed)
                or alike is None
                or (not alike.due and (contact.steps or contact.flow is not None))
            ):
                place, due = self._contact_place(contact)
                self._contact_timers.sync_later(contact_id, due)
                if place == known:
                    place = known
            else:
                place = known if alike.asked and alike.order else self._placed_anew(contact, known, alike)
                if not alike.due:
                    due = self._due_first(contact, down=False, leaves=False, exhausted=False)
                    self._contact_timers.sync_later(contact_id, due)
            self._contacts[contact_id] = place
            standing[place.queue, place.state] += 1
            if place.requirement is not None and place.order is not None:
                waiting[place.requirement].append(place.order)
            if place.channel is not None:
                # Who waits on a channel waits in a queue.
                pending[place.channel][contact_id] = None
                ages[place.queue].append(place.aged)
            if place.tie is not None:
                self._ties.add(contact_id, place.tie)
        self.registry.taken_in()
        for requirement, orders in waiting.items():
            requirement.waiting.add_all(orders)
            self._asked[requirement.number] = requirement
            self._review.note(requirement)
            if requirement.demand.only is not None:
                self._name(requirement.demand.only, 1)
        for (queue, state), count in standing.items():
            self._tally(queue, state, count)
        for queue, each in ages.items():
            self.queues[queue].pending.add_all(each)
        self.pending_on.update(pending)
        for contact_id in places:
            # It is no more.
            self._contact_timers.sync_later(contact_id, None)
        self._contact_timers.settle()
        for contact_id in rest:
            self.sync_contact(contact_id)

    def _placed_anew(self, contact: Contact, known: _ContactPlace, alike: Alike) -> _ContactPlace:
        """Where the contact stands, if it stood there and what it asks for or its order is all that may differ."""
        requirement, order = known.requirement, known.order
        if requirement is None or order is None:
            return known
        if not alike.asked:
            requirement = self.requirement_of(contact)
        if not alike.order:
            order = order_of(self.policy.queues[contact.queue], contact)
        if requirement is known.requirement and order == known.order:
            return known
        return _ContactPlace(requirement, order, *known[2:])

    def _take_over(self, before: Index) -> dict[str, Alike]:
        """How alike a contact stands in each queue to how it stood before, the policies being what they are. What is
        asked for in queues where that stays is registered."""
        alike = how_alike(before.policy, self.policy)
        self.registry.take_over(before.registry, sorted(name for name, each in alike.items() if each.asked))
        return alike

    @property
    def outgrown(self) -> bool:
        """Whether what is derived here no longer fits the facts, so that the whole has to be made anew."""
        return self._other_groups or self.registry.outgrown

    def take_fresh(self) -> tuple[list[Contact], dict[int, CapabilityClass]]:
        """What is fresh, by number for classes; it is not any more."""
        contacts = [self.workspace.contacts[contact_id] for contact_id in self.fresh_contacts]
        classes = dict(self.fresh_classes)
        self.fresh_contacts.clear()
        self.fresh_classes.clear()
        return contacts, classes

    def drop(self) -> None:
        """Take this index's timers out of the shared set but those of contacts, before another index takes over."""
        self._due.drop()
        self._opening.drop()
        self._review.drop()
        self.outbounds.drop()

    def drop_contacts(self) -> None:
        """Take those of contacts out as well: there is no other index to come."""
        self._contact_timers.drop()

    # Queues

    def sync_queue(self, name: str) -> None:
        """A queue opened or closed, by the hour or by hand."""
        if self._opening.sync(name):
            self._freshen(self.registry.of_queue[name].values())

    def _freshen(self, requirements: Iterable[Requirement]) -> None:
        """Whoever is free for one of these is looked at in the next routing pass."""
        for requirement in requirements:
            if requirement.waiting.size:
                for known in requirement.classes:
                    if known.number not in self.fresh_classes and known.someone_free(requirement):
                        self.fresh_classes[known.number] = known

    # Contacts

    def requirement_of(self, contact: Contact) -> Requirement:
        """What the contact asks for at this moment, registered."""
        plain = not contact.preferred and contact.flow is None
        asks = (
            contact.queue,
            contact.channel,
            contact.language,
            contact.language_min,
            contact.skills,
            contact.steps,
            contact.delay,
            contact.widened,
            contact.profiles,
            contact.priority,
            contact.deadline_near,
            contact.starved,
        )
        if plain and (requirement := self.registry.by_asks.get(asks)) is not None:
            return requirement
        requirement = self._requirement_of(contact)
        if plain:
            self.registry.by_asks[asks] = requirement
        return requirement

    def waits_under(self, contact: Contact) -> Requirement:
        """The requirement of a contact that waits, as it was brought in step last."""
        place = self._contacts[contact.id]
        assert place.requirement is not None, f"{contact.id} does not wait to be offered"
        return place.requirement

    def _requirement_of(self, contact: Contact) -> Requirement:
        return self.registry.requirement(self._demand_of(contact, self._waits_for(contact)))

    def plain_requirement_of(self, contact: Contact) -> Requirement:
        """What the contact asks of whom somebody picks for it, whomever it would wait for."""
        return self.registry.made(self._demand_of(contact, None))

    def _demand_of(self, contact: Contact, preferred: tuple[str, ...] | None) -> Demand:
        queue = self.workspace.policy.queues[contact.queue]
        fallback = fallback_of(self.workspace.policy.language_fallback, queue, asked_language(queue, contact))
        return demand_of(queue, contact, preferred, station_here(self.workspace, contact), fallback)

    def _waits_for(self, contact: Contact) -> tuple[str, ...] | None:
        """The preferred agents that the contact waits for; None if it waits for nobody in particular, and where the
        queue says so as long as none of them could be offered it."""
        queue = self.workspace.policy.queues[contact.queue]
        wanted = preference_of(queue, contact)
        if not wanted:
            return None
        if queue.preferred.skip_if_unavailable and not self._any_could(contact, wanted):
            return None
        return wanted

    def _any_could(self, contact: Contact, wanted: tuple[str, ...]) -> bool:
        """Whether any of the preferred agents could be offered the contact now, or is."""
        requirement = self.registry.made(self._demand_of(contact, wanted))
        demand = self.registry.effective(requirement.demand)
        for name in wanted:
            agent = self.workspace.agents.get(AgentId(name))
            if agent is None:
                continue
            if contact.id in agent.held:
                return True
            if is_able(agent, demand) and requirement.fits(self.rooms.of(agent)) and not self.bars(contact, agent.id):
                return True
        return False

    def somebody_free(self, contact: Contact, now: int) -> bool:
        """Whether somebody could be offered the contact at once, were it here: it need not be in the state yet. Says
        nothing of other contacts that they may be for."""
        if contact.queue in self.held_back:
            return False
        requirement = self.requirement_of(contact)
        if requirement.demand.only is not None:
            return self._any_could(contact, requirement.demand.only)

        def could(head: Head) -> bool:
            return self.spared(requirement, requirement.by_number[head[2]], AgentId(head[1]), now)

        return any(map(could, requirement.best_heads(1, could)))

    def bars(self, contact: Contact, agent: AgentId) -> bool:
        """Whether this agent is out for this contact, whatever else holds: it is offered to them already, they handed
        it on, or they declined it for good or for a time."""
        if agent == contact.excluded or any(self.workspace.offers[o].agent == agent for o in contact.offers):
            return True
        declines = contact.declines.get(agent, 0)
        if not declines:
            return False
        rule = self.workspace.policy.queues[contact.queue].decline
        return rule.excludes(declines) or (rule.policy == "after_s" and agent in contact.declined_at)

    def declined_by(self, agent: AgentId) -> list[ContactId]:
        """The waiting contacts that an agent declined, of queues that forget it when they sign in."""
        return self._ties.declined(agent)

    def spared(self, requirement: Requirement, known: CapabilityClass, agent: AgentId, now: int) -> bool:
        """Whether an agent can be spared for one of these contacts: at once, unless it is one that can wait."""
        if not requirement.demand.spare:
            return True
        return self.spare.of_class(known, self.workspace.agents[agent].weight(requirement.demand.kind), now)

    def overtakes(self, contact: Contact) -> bool:
        """Whether the contact is one that can wait and others wait for room to spare already: whoever can be spared for
        it may have been to be spared for them first, which no event told."""
        requirement = self.waits_under(contact)
        return requirement.demand.spare and (len(self._review) > 1 or len(requirement.waiting) > 1)

    def sync_contact(self, contact_id: ContactId) -> None:
        """Bring requirement, timer and counts of one contact in step with its facts."""
        contact = self.workspace.contacts.get(contact_id)
        old = self._contacts.get(contact_id)
        new, due = self._contact_place(contact) if contact is not None else (None, None)
        self._contact_timers.sync(contact_id, due)
        if old == new:
            return
        if old is not None:
            self._remove_contact(contact_id, old)
        if new is None:
            del self._contacts[contact_id]
        else:
            self._contacts[contact_id] = new
            self._add_contact(contact_id, new)
        if new is not None and new.requirement is not None:
            if (
                old is None
                or old.requirement is not new.requirement
                or old.order != new.order
                or (old.state, old.barred) != (new.state, new.barred)
            ):
                self.fresh_contacts[contact_id] = None
        else:
            self.fresh_contacts.pop(contact_id, None)
        was = old.requirement if old is not None else None
        now = new.requirement if new is not None else None
        if was is not now:
            self._settle_names(was, now)

    def has_place(self, contact_id: ContactId) -> bool:
        """Whether a queue, a timer or a channel's recovery will lead on with this contact."""
        place = self._contacts.get(contact_id)
        return place is not None and (
            place.requirement is not None or place.channel is not None or contact_id in self._contact_timers
        )

    def _contact_place(self, contact: Contact) -> tuple[_ContactPlace, Timer | None]:
        """Where the contact stands, and what is due for it first."""
        requirement: Requirement | None = None
        order: Order | None = None
        channel: str | None = None
        watched: tuple[AgentId, ...] = ()
        decliners: tuple[AgentId, ...] = ()
        down = False
        if contact.state in _WAITS:
            channel = contact.channel_name
            health = self.workspace.channels.get(channel)
            down = health is not None and health.state is ChannelHealth.DOWN
            queue = self.workspace.policy.queues[contact.queue]
            wants_more = len(contact.offers) < most_offers(queue, contact) and contact.retry_at is None
            if not down and wants_more and not is_excluded(queue, contact):
                requirement = self.requirement_of(contact)
                order = order_of(queue, contact)
            if contact.preferred and (
                queue.preferred.skip_if_unavailable or (contact.declines and "presence" in queue.preferred.bypass)
            ):
                # Who is away is not there for the queue, and may be the one who has not declined yet.
                watched = tuple(AgentId(name) for name in preference_of(queue, contact))
        if contact.declines and contact.state.is_open:
            # Also while somebody holds it: it may come back.
            rules = self.workspace.policy.queues.get(contact.queue)
            if rules is not None and rules.decline.reset_on_login:
                decliners = tuple(contact.declines)
        leaves = contact.flow is not None and leaves_unstaffed(self.workspace, contact)
        leaves_now = leaves and not self.queues[contact.queue].somebody_there
        refused, exhausted = None, False
        if contact.declines and not down and self._may_exhaust(contact):
            exhausted, witness = self._all_declined(contact, requirement or self.requirement_of(contact))
            refused = (witness,)
        due = self._due_first(contact, down=down, leaves=leaves_now, exhausted=exhausted)
        barred = NOBODY
        if contact.offers or contact.declines or contact.declined_at or contact.excluded is not None:
            barred = (contact.excluded, tuple(contact.declines.items()), tuple(contact.declined_at), contact.offers)
        place = _ContactPlace(
            requirement,
            order,
            channel,
            contact.queue,
            (contact.age_from, contact.id),
            contact.state,
            Tie(contact.queue, watched, decliners, leaves) if watched or decliners or leaves else None,
            barred,
            refused,
        )
        return place, due

    def _due_first(self, contact: Contact, *, down: bool, leaves: bool, exhausted: bool) -> Timer | None:
        """See `contact_timer`."""
        delays = self._delays.of(contact.queue)
        return contact_timer(self.workspace, contact, down=down, delays=delays, leaves=leaves, exhausted=exhausted)

    def due_beside(self, contact: Contact) -> Timer | None:
        """What is due first for a contact that everybody has declined, but for that."""
        return self._due_first(contact, down=False, leaves=False, exhausted=False)

    def _may_exhaust(self, contact: Contact) -> bool:
        """Whether it is to be told when everybody has declined the contact. Not as long as others than the agents it
        prefers have their time still to come."""
        if contact.state is not ContactState.WAITING or contact.exhausted:
            return False
        queue = self.workspace.policy.queues[contact.queue]
        if is_excluded(queue, contact):
            return False
        return queue.preferred.hold or not preference_of(queue, contact)

    def _all_declined(self, contact: Contact, requirement: Requirement) -> tuple[bool, int | None]:
        if requirement.demand.only is None:
            return self._unanimity.all_declined(contact, requirement)
        demand = self.registry.effective(requirement.demand)
        return self._unanimity.all_named_declined(contact, demand, self.workspace.agents), None

    def _remove_contact(self, contact_id: ContactId, place: _ContactPlace) -> None:
        if place.requirement is not None and place.order is not None:
            place.requirement.waiting.remove(place.order)
            self._review.left(place.requirement)
        if place.channel is not None:
            del self.pending_on[place.channel][contact_id]
        if place.tie is not None:
            self._ties.remove(contact_id, place.tie)
        if place.refused is not None:
            self._unanimity.remove(place.queue, contact_id, *place.refused)
        self._count(place, -1)

    def _add_contact(self, contact_id: ContactId, place: _ContactPlace) -> None:
        requirement, order = place.requirement, place.order
        if requirement is not None and order is not None:
            requirement.waiting.add(order)
            if requirement.passed:
                contact = self.workspace.contacts[contact_id]
                look_again(requirement.passed, order, lambda agent: self.bars(contact, agent))
            self._review.note(requirement)
            if requirement.waiting.first() == order:
                self._asked[requirement.number] = requirement
        if place.channel is not None:
            self.pending_on.setdefault(place.channel, {})[contact_id] = None
        if place.tie is not None:
            self._ties.add(contact_id, place.tie)
        if place.refused is not None:
            self._unanimity.add(place.queue, contact_id, *place.refused)
        self._count(place, 1)

    def sync_reserve(self) -> None:
        """Who waits for room to spare is looked at anew."""
        self._review.sync()
        self._freshen(self._review.requirements())

    def _tally(self, queue: str, state: ContactState, by: int) -> None:
        """Count contacts in their queue."""
        counts = self.queues.get(queue)
        if counts is None:
            counts = self.queues[queue] = QueueCounts()
        if state is ContactState.WAITING:
            counts.waiting += by
        elif state is ContactState.OFFERED:
            counts.offered += by
        elif state is ContactState.ASSIGNED:
            counts.assigned += by

    def _count(self, place: _ContactPlace, by: int) -> None:
        self._tally(place.queue, place.state, by)
        if place.channel is not None:
            pending = self.queues[place.queue].pending
            (pending.add if by > 0 else pending.remove)(place.aged)

    def _settle_names(self, old: Requirement | None, new: Requirement | None) -> None:
        """Agents become classes of their own while a demand that somebody waits under names them."""
        if new is not None and new.demand.only is not None and len(new.waiting) == 1:
            self._name(new.demand.only, 1)
        if old is not None and old.demand.only is not None and not old.waiting:
            self._name(old.demand.only, -1)

    def _name(self, names: tuple[str, ...], by: int) -> None:
        for name in names:
            count = self._named.get(name, 0) + by
            if count:
                self._named[name] = count
            else:
                del self._named[name]
            if count == max(by, 0) and AgentId(name) in self.workspace.agents:
                self.sync_agent(AgentId(name))

    def sync_channels(self, name: str) -> None:
        """A channel's health changed: who waits on it may be offered again or has to move, and whoever waits on another
        channel that is down may have a way out now."""
        for channel, pending in list(self.pending_on.items()):
            state = self.workspace.channels.get(channel)
            if channel == name or (state is not None and state.state is ChannelHealth.DOWN):
                for contact_id in sorted(pending):
                    self.sync_contact(contact_id)
        self._due.sync_channel(name)
        self.outbounds.sync_channel(name)

    # Agents

    def class_of(self, agent: Agent) -> CapabilityClass:
        """The agent's capability class, registered."""
        return self.registry.class_of(agent, named=agent.id in self._named)

    def sync_agent(self, agent_id: AgentId) -> None:
        """Bring free sets, timers and staffing of one agent in step with their facts."""
        agent = self.workspace.agents.get(agent_id)
        if agent is None or agent.memberships or self._positions.of(agent_id):
            self._other_groups |= self._positions.sync(agent_id, positioned(agent) if agent is not None else ())
        if agent is None or agent.queue_presence or agent.queue_wrap_up or self._bound.of(agent_id):
            bound = towards_queues(agent, self.workspace.policy) if agent is not None else ()
            self._other_groups |= self._bound.sync(agent_id, bound)
        if self.outgrown:
            return
        if agent is None or agent.memberships or agent_id in self._delays:
            self._sync_delays(agent_id, agent)
        turned = self._staffing.sync(agent_id, agent)
        if turned is not NOTHING:
            self._follow_staff(turned)
        for contact_id in self._unanimity.follow(agent_id, agent, self._staffing.accepted(agent_id), self.class_of):
            self.sync_contact(contact_id)
        self._sync_free(agent_id, agent)
        if self._reserves:
            self.spare.sync(agent_id, agent)
        self._due.sync_agent(agent_id, agent)
        for contact_id in self._ties.watching(agent_id):
            self.sync_contact(contact_id)

    def sync_offer(self, offer_id: OfferId) -> None:
        """Bring the timer of one offer in step with its facts."""
        self._due.sync_offer(offer_id)

    def _sync_delays(self, agent_id: AgentId, agent: Agent | None) -> None:
        """A delay that nobody had yet, or has any more, changes when those who wait in that queue are looked at."""
        for queue in self._delays.sync(agent_id, agent):
            if queue in self.queues:
                for _, contact_id in list(self.queues[queue].pending):
                    self.sync_contact(ContactId(contact_id))

    def _sync_free(self, agent_id: AgentId, agent: Agent | None) -> None:
        old = self._agents.get(agent_id)
        new: _AgentPlace | None = None
        if agent is not None:
            signature = self.rooms.of(agent)
            if signature is not NO_ROOM:
                items = tuple([(*agent_score(agent, chain), agent_id) for chain in self.registry.chains])
                new = _AgentPlace(self.class_of(agent), signature, items)
        if old == new:
            return
        if old is not None:
            old.known.remove(old.signature, old.items, self.registry.best)
        if new is None:
            self._agents.pop(agent_id, None)
            return
        self._agents[agent_id] = new
        new.known.add(new.signature, new.items, self.registry.best)
        # With less room than before nobody can be paired who could not be before.
        if old is None or old.known is not new.known or not new.signature.is_within(old.signature):
            self.fresh_classes[new.known.number] = new.known
            self._improved[agent_id] = None
        elif any(map(operator.lt, new.items, old.items)):
            self._improved[agent_id] = None

    def settle_heads(self) -> None:
        """Tell the requirements of agents who are free and have more room or a better score than before, by whom their
        class may have a better head now; heads that got worse are mended when they come to the top. Done after a
        routing pass, because most agents that become free are taken again in the same one."""
        for agent_id in self._improved:
            place = self._agents.get(agent_id)
            if place is not None:
                place.known.tell_heads(place.signature, place.items)
        self._improved.clear()

    def settle_wants(self) -> None:
        """Tell the classes of requirements whose first contact may have become better. Done after a routing pass,
        because most contacts that arrive while somebody is free are taken in the same one."""
        for requirement in self._asked.values():
            if requirement.waiting:
                for known in requirement.classes:
                    known.offer_want(requirement)
        self._asked.clear()

    def _follow_staff(self, turned: Turned) -> None:
        for name in turned.tiers:
            self._relate_anew(name)
        for name in turned.staffed:
            for contact_id in self._ties.leaving(name):
                self.sync_contact(contact_id)

    def _relate_anew(self, queue: str) -> None:
        """Which tiers count as open in a queue has changed."""
        self.registry.relate_tiers(queue)
        self._freshen(self.registry.of_queue[queue].values())
        for contact_id in [*self._ties.watchers(queue), *self._unanimity.contacts(queue)]:
            self.sync_contact(contact_id)
