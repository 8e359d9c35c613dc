"""Everything derived from a workspace's facts: who can serve what, who waits where, what is due when.

Agents with the same abilities share a *capability class*; contacts that ask for the same share a *requirement*. Which
classes serve which requirement is kept as both come and go, so that no decision ever looks through agents or
contacts (`docs/architecture.md`). Every `sync_…` compares what is indexed with the facts and mends the difference: it
is called after each event for what the event touched, and after an undo for what the undo touched.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush, heapreplace

from services.router.engine.ordered import OrderedSet
from services.router.engine.policy import QueuePolicy, spoken
from services.router.engine.records import Agent, Contact
from services.router.engine.state import Workspace
from shared.vocabulary import UNKNOWN_LANGUAGE, AgentId, ChannelHealth, ContactId, ContactState, OfferId

Order = tuple[int, int, str]
RequirementKey = tuple[str, str, str, tuple[tuple[str, int], ...]]
Score = tuple[float, ...]
Head = tuple[Score, str, int]
FreeSets = tuple[OrderedSet[tuple[int, str]], OrderedSet[tuple[int, int, str]]]
Timer = tuple[int, int, str, str, str]
"""(due, rank of the kind, workspace, kind, id): due timers fire in this order."""

TIMER_RANK = {"wrap_up": 0, "grace": 1, "offer": 2, "scheduled": 3, "retry": 4, "redirect": 5, "forget": 6, "day": 7}
MAX_IDLE_REQUIREMENTS = 10_000

_WAITS = (ContactState.WAITING, ContactState.OFFERED)


class Requirement:
    """What some contacts have in common: queue, channel kind, language and skills; and who of them waits, in order.

    `heads` is a heap of (score, agent, class number): for each class with somebody free at least one entry that is
    not worse than the class's best agent now. `best_heads` mends what is stale as it comes to the top.
    """

    __slots__ = (
        "by_number",
        "excluded",
        "heads",
        "key",
        "kind",
        "language",
        "language_min",
        "queue",
        "rank",
        "skills",
        "strategy",
        "waiting",
    )

    def __init__(self, key: RequirementKey, queue: QueuePolicy) -> None:
        self.key = key
        self.queue, self.kind, self.language, self.skills = key
        self.rank = queue.rank
        self.language_min = queue.language_min
        self.strategy = queue.strategy
        self.waiting: OrderedSet[Order] = OrderedSet()
        self.by_number: dict[int, CapabilityClass] = {}
        self.excluded: dict[str, int] = {}
        self.heads: list[Head] = []

    @property
    def classes(self) -> Iterable[CapabilityClass]:
        """The capability classes that may serve it."""
        return self.by_number.values()

    def offer_head(self, known: CapabilityClass) -> None:
        """A class of this requirement may have a better best agent than before."""
        head = known.best_for(self)
        if head is not None:
            heappush(self.heads, head)
            if len(self.heads) > 4 * len(self.by_number) + 64:
                self.rebuild_heads()

    def rebuild_heads(self) -> None:
        """One true entry for each class, nothing stale."""
        heads = (known.best_for(self) for known in self.by_number.values())
        self.heads = [head for head in heads if head is not None]
        heapify(self.heads)

    def best_heads(self, limit: int, wanted: Callable[[Head], bool] | None = None) -> list[Head]:
        """The best free agents of the classes, one each, best first: looks on until `limit` of them were `wanted`."""
        taken: list[Head] = []
        seen: set[int] = set()
        heads = self.heads
        while heads and limit:
            head = heads[0]
            number = head[2]
            current = self.by_number[number].best_for(self)
            if current is None or number in seen:
                heappop(heads)
            elif current != head:
                heapreplace(heads, current)
            else:
                seen.add(number)
                taken.append(heappop(heads))
                if wanted is None or wanted(head):
                    limit -= 1
        for head in taken:
            heappush(heads, head)
        return taken


class CapabilityClass:
    """Agents whom no rule can tell apart but by load and idle time, and who of them is free for which channels.

    `free` has an ordered set for each combination of channel kinds that its agents have room for; `by_kind` lists, for
    a kind, the sets in which an agent for it may be found. `wants` mirrors `Requirement.heads`: a heap of (queue rank,
    contact order, requirement) with, for each requirement that somebody waits under, at least one entry that is not
    worse than its first contact now.
    """

    __slots__ = ("by_kind", "channels", "free", "languages", "number", "queues", "requirements", "skills", "wants")

    def __init__(self, number: int, agent: Agent) -> None:
        self.number = number
        self.languages = spoken(agent.languages)
        self.skills = dict(agent.skills)
        self.queues = frozenset(agent.queues)
        self.channels = frozenset(agent.channels)
        self.requirements: dict[RequirementKey, Requirement] = {}
        self.wants: list[tuple[int, Order, RequirementKey]] = []
        self.free: dict[tuple[str, ...], FreeSets] = {}
        self.by_kind: dict[str, list[FreeSets]] = {}

    def why_not(self, requirement: Requirement) -> str | None:
        """The first reason why no agent of this class may serve the requirement; None if they may."""
        if self.queues and requirement.queue not in self.queues:
            return "queue"
        if self.channels and requirement.kind not in self.channels:
            return "channel"
        if requirement.language and self.languages.get(requirement.language, 0) < requirement.language_min:
            return "language"
        for skill, level in requirement.skills:
            if self.skills.get(skill, 0) < level:
                return "skill"
        return None

    def proficiency(self, requirement: Requirement) -> float:
        """Mean level over the language and the skills that the requirement names; 0 if it names none."""
        levels = [self.skills[skill] for skill, _ in requirement.skills]
        if requirement.language:
            levels.append(self.languages[requirement.language])
        return sum(levels) / len(levels) if levels else 0.0

    def sets_for(self, signature: tuple[str, ...]) -> FreeSets:
        """The sets of agents with room for exactly these kinds: by idle time, and by load."""
        sets = self.free.get(signature)
        if sets is None:
            sets = self.free[signature] = (OrderedSet(), OrderedSet())
            for kind in signature:
                self.by_kind.setdefault(kind, []).append(sets)
        return sets

    def someone_free(self, kind: str) -> bool:
        """Whether any agent of the class could be offered a contact of this kind."""
        return any(by_idle for by_idle, _ in self.by_kind.get(kind, ()))

    def offer_want(self, requirement: Requirement) -> None:
        """A requirement of this class may have a better first contact than before."""
        heappush(self.wants, (requirement.rank, requirement.waiting.first(), requirement.key))
        if len(self.wants) > 4 * len(self.requirements) + 64:
            self.rebuild_wants()

    def rebuild_wants(self) -> None:
        """One true entry for each requirement that somebody waits under, nothing stale."""
        self.wants = [(r.rank, r.waiting.first(), r.key) for r in self.requirements.values() if r.waiting]
        heapify(self.wants)

    def best_want(self, first_for: Callable[[Requirement], Order | None]) -> Order | None:
        """The contact with the lowest (queue rank, contact order) of those that `first_for` names for a requirement;
        it may pass over the first who wait there, or over all of them."""
        best: tuple[int, Order] | None = None
        taken: list[tuple[int, Order, RequirementKey]] = []
        wants = self.wants
        while wants and (best is None or wants[0][:2] < best):
            want = wants[0]
            requirement = self.requirements.get(want[2])
            if requirement is None or not requirement.waiting or (taken and want in taken):
                heappop(wants)
                continue
            first = requirement.waiting.first()
            if first != want[1]:
                heapreplace(wants, (requirement.rank, first, requirement.key))
                continue
            taken.append(heappop(wants))
            order = first_for(requirement)
            if order is not None and (best is None or (requirement.rank, order) < best):
                best = (requirement.rank, order)
        for want in taken:
            heappush(wants, want)
        return best[1] if best is not None else None

    def best_for(self, requirement: Requirement) -> Head | None:
        """The best free agent of the class for a requirement: (score, agent, class number); lower is better."""
        best: tuple[object, ...] | None = None
        by_load = requirement.strategy == "least_active"
        for sets in self.by_kind.get(requirement.kind, ()):
            ordered = sets[by_load]
            if ordered:
                item: tuple[object, ...] = ordered.first()
                if best is None or item < best:
                    best = item
        if best is None:
            return None
        return (self.score(requirement, best), str(best[-1]), self.number)

    def score(self, requirement: Requirement, item: tuple[object, ...]) -> Score:
        """The strategy's score of an agent as the class's sets hold them; lower is better."""
        numbers: Score = item[:-1]  # type: ignore[assignment]  # all but the agent's id are numbers
        if requirement.strategy == "best_skill":
            return (-self.proficiency(requirement), *numbers)
        return numbers


class QueueCounts:
    """Live numbers of a queue."""

    __slots__ = ("assigned", "available", "offered", "pending", "staffed", "waiting")

    def __init__(self) -> None:
        self.waiting = 0
        self.offered = 0
        self.assigned = 0
        self.staffed = 0
        self.available = 0
        self.pending: OrderedSet[tuple[int, str]] = OrderedSet()


_ContactPlace = tuple[Requirement | None, Order | None, Timer | None, str | None, str, int, ContactState]
_AgentPlace = tuple[CapabilityClass, tuple[str, ...], int, int]


class Index:
    """What is derived from one workspace."""

    def __init__(self, workspace: Workspace, timers: OrderedSet[Timer]) -> None:
        self.workspace = workspace
        self.timers = timers
        self.kinds = tuple(sorted({channel.kind for channel in workspace.policy.channels.values()}))
        self.requirements: dict[RequirementKey, Requirement] = {}
        self.classes: dict[tuple[object, ...], CapabilityClass] = {}
        self.queues: dict[str, QueueCounts] = {name: QueueCounts() for name in workspace.policy.queues}
        self.pending_on: dict[str, OrderedSet[tuple[str]]] = {}
        self.fresh_contacts: dict[ContactId, None] = {}
        self.fresh_classes: dict[int, CapabilityClass] = {}
        self.cut = False
        """Whether the last routing pass ended before all pairs were made, because there were so many."""
        self._by_load = any(queue.strategy == "least_active" for queue in workspace.policy.queues.values())
        self._improved: dict[int, CapabilityClass] = {}
        self._asked: dict[RequirementKey, Requirement] = {}
        self._contacts: dict[ContactId, _ContactPlace] = {}
        self._agents: dict[AgentId, _AgentPlace] = {}
        self._staff: dict[AgentId, tuple[tuple[str, ...], bool, bool]] = {}
        self._agent_timers: dict[tuple[str, AgentId], Timer] = {}
        self._offer_timers: dict[OfferId, Timer] = {}
        self._class_of: dict[AgentId, tuple[tuple[object, ...], CapabilityClass]] = {}
        for agent in workspace.agents.values():
            self.sync_agent(agent.id)
        for contact in workspace.contacts.values():
            self.sync_contact(contact.id)
        for offer in workspace.offers.values():
            self.sync_offer(offer.id)
        # Whoever is free is fresh now, and that is enough: every pair has a free agent.
        self.fresh_contacts.clear()

    def drop(self) -> None:
        """Take this index's timers out of the shared set, before another index takes its place."""
        for place in self._contacts.values():
            if place[2] is not None:
                self.timers.remove(place[2])
        for timer in (*self._agent_timers.values(), *self._offer_timers.values()):
            self.timers.remove(timer)

    # Contacts

    def requirement_of(self, contact: Contact) -> Requirement:
        """What the contact asks for at this moment, registered."""
        queue = self.workspace.policy.queues[contact.queue]
        language = "" if contact.language == UNKNOWN_LANGUAGE else contact.language
        skills = contact.skills
        if queue.skills:
            merged = dict(skills)
            for skill, level in queue.skills:
                merged[skill] = max(level, merged.get(skill, 0))
            skills = tuple(sorted(merged.items()))
        key = (queue.name, contact.channel, language, skills)
        requirement = self.requirements.get(key)
        if requirement is None:
            requirement = self._register(Requirement(key, queue))
        return requirement

    def _register(self, requirement: Requirement) -> Requirement:
        if len(self.requirements) >= MAX_IDLE_REQUIREMENTS:
            self._forget_idle_requirements()
        for known in self.classes.values():
            self._relate(known, requirement)
        requirement.rebuild_heads()
        self.requirements[requirement.key] = requirement
        return requirement

    def _forget_idle_requirements(self) -> None:
        """Messages may name any skills, so requirements nobody waits under must not pile up."""
        idle = {key for key, requirement in self.requirements.items() if not requirement.waiting}
        self.requirements = {key: r for key, r in self.requirements.items() if key not in idle}
        for known in self.classes.values():
            known.requirements = {key: r for key, r in known.requirements.items() if key not in idle}

    @staticmethod
    def _relate(known: CapabilityClass, requirement: Requirement) -> None:
        reason = known.why_not(requirement)
        if reason is None:
            requirement.by_number[known.number] = known
            known.requirements[requirement.key] = requirement
        else:
            requirement.excluded[reason] = requirement.excluded.get(reason, 0) + 1

    def sync_contact(self, contact_id: ContactId) -> None:
        """Bring requirement, timer and counts of one contact in step with its facts."""
        contact = self.workspace.contacts.get(contact_id)
        old = self._contacts.get(contact_id)
        new = self._contact_place(contact) if contact is not None else None
        if old == new:
            return
        if old is not None:
            self._remove_contact(contact_id, old)
        if new is None:
            del self._contacts[contact_id]
        else:
            self._contacts[contact_id] = new
            self._add_contact(contact_id, new)
        if new is not None and new[0] is not None:
            if old is None or old[0] is not new[0] or old[1] != new[1]:
                self.fresh_contacts[contact_id] = None
        else:
            self.fresh_contacts.pop(contact_id, None)

    def has_place(self, contact_id: ContactId) -> bool:
        """Whether a queue, a timer or a channel's recovery will lead on with this contact."""
        place = self._contacts.get(contact_id)
        return place is not None and (place[0] is not None or place[2] is not None or place[3] is not None)

    def _contact_place(self, contact: Contact) -> _ContactPlace:
        state = contact.state
        timer: Timer | None = None
        requirement: Requirement | None = None
        channel: str | None = None
        if state in _WAITS:
            channel = contact.channel_name
            health = self.workspace.channels.get(channel)
            down = health is not None and health.state is ChannelHealth.DOWN
            if down:
                if contact.considered != self.workspace.health_version:
                    timer = self._timer(health.since if health else 0, "redirect", contact.id)
            elif state is ContactState.WAITING:
                if contact.retry_at is not None:
                    timer = self._timer(contact.retry_at, "retry", contact.id)
                else:
                    requirement = self.requirement_of(contact)
        elif state is ContactState.SCHEDULED:
            timer = self._timer(contact.scheduled_at or 0, "scheduled", contact.id)
        elif contact.ended_at is not None:
            timer = self._timer(contact.ended_at + self.workspace.policy.keep_ended, "forget", contact.id)
        order = contact.order if requirement is not None else None
        return (requirement, order, timer, channel, contact.queue, contact.age_from, state)

    def _timer(self, due: int, kind: str, id: str) -> Timer:
        return (due, TIMER_RANK[kind], self.workspace.name, kind, id)

    def _remove_contact(self, contact_id: ContactId, place: _ContactPlace) -> None:
        requirement, order, timer, channel, queue, age_from, state = place
        if requirement is not None and order is not None:
            requirement.waiting.remove(order)
        if timer is not None:
            self.timers.remove(timer)
        if channel is not None:
            self.pending_on[channel].remove((contact_id,))
        self._count(queue, state, age_from, contact_id, -1)

    def _add_contact(self, contact_id: ContactId, place: _ContactPlace) -> None:
        requirement, order, timer, channel, queue, age_from, state = place
        if requirement is not None and order is not None:
            requirement.waiting.add(order)
            if requirement.waiting.first() == order:
                self._asked[requirement.key] = requirement
        if timer is not None:
            self.timers.add(timer)
        if channel is not None:
            pending = self.pending_on.get(channel)
            if pending is None:
                pending = self.pending_on[channel] = OrderedSet()
            pending.add((contact_id,))
        self._count(queue, state, age_from, contact_id, 1)

    def _count(self, queue: str, state: ContactState, age_from: int, contact_id: ContactId, by: int) -> None:
        counts = self.queues.get(queue)
        if counts is None:
            counts = self.queues[queue] = QueueCounts()
        if state is ContactState.WAITING:
            counts.waiting += by
        elif state is ContactState.OFFERED:
            counts.offered += by
        else:
            if state is ContactState.ASSIGNED:
                counts.assigned += by
            return
        if by > 0:
            counts.pending.add((age_from, contact_id))
        else:
            counts.pending.remove((age_from, contact_id))

    def sync_channels(self, name: str) -> None:
        """A channel's health changed: who waits on it may be offered again or has to move, and whoever waits on another
        channel that is down may have a way out now."""
        for channel, pending in self.pending_on.items():
            state = self.workspace.channels.get(channel)
            if channel == name or (state is not None and state.state is ChannelHealth.DOWN):
                for (contact_id,) in list(pending):
                    self.sync_contact(ContactId(contact_id))

    # Agents

    def class_of(self, agent: Agent) -> CapabilityClass:
        """The agent's capability class, registered."""
        abilities = (agent.languages, agent.skills, agent.queues, agent.channels)
        known = self._class_of.get(agent.id)
        # Values of records are replaced, never changed inside: the same objects are the same abilities.
        if known is not None and all(map(operator.is_, known[0], abilities)):
            return known[1]
        key = (
            tuple(sorted(agent.languages.items())),
            tuple(sorted(agent.skills.items())),
            tuple(sorted(agent.queues)),
            tuple(sorted(agent.channels)),
        )
        capability = self.classes.get(key)
        if capability is None:
            capability = self.classes[key] = CapabilityClass(len(self.classes), agent)
            for requirement in self.requirements.values():
                self._relate(capability, requirement)
            capability.rebuild_wants()
        self._class_of[agent.id] = (abilities, capability)
        return capability

    def sync_agent(self, agent_id: AgentId) -> None:
        """Bring free sets, timers and staffing of one agent in step with their facts."""
        agent = self.workspace.agents.get(agent_id)
        self._sync_free(agent_id, agent)
        self._sync_staff(agent_id, agent)
        self._sync_agent_timer("grace", agent_id, agent.grace_until if agent else None)
        self._sync_agent_timer("wrap_up", agent_id, agent.wrap_up_until if agent else None)

    def _sync_free(self, agent_id: AgentId, agent: Agent | None) -> None:
        old = self._agents.get(agent_id)
        new: _AgentPlace | None = None
        if agent is not None and agent.takes_offers:
            signature = self.signature(agent)
            if signature:
                new = (self.class_of(agent), signature, agent.idle_since, agent.used)
        if old == new:
            return
        if old is not None:
            by_idle, by_load = old[0].sets_for(old[1])
            by_idle.remove((old[2], agent_id))
            by_load.remove((old[3], old[2], agent_id))
        if new is None:
            self._agents.pop(agent_id, None)
            return
        self._agents[agent_id] = new
        by_idle, by_load = new[0].sets_for(new[1])
        by_idle.add((new[2], agent_id))
        by_load.add((new[3], new[2], agent_id))
        if self._may_lead(agent_id, old, new):
            self._improved[new[0].number] = new[0]
        if old is None or old[0] is not new[0] or old[1] != new[1]:
            self.fresh_classes[new[0].number] = new[0]

    def _may_lead(self, agent_id: AgentId, old: _AgentPlace | None, new: _AgentPlace) -> bool:
        """Whether the agent is now the best of their set and was not as good there before: only then may a requirement
        have missed a better head; worse ones are mended when they come to the top."""
        by_idle, by_load = new[0].free[new[1]]
        moved = old is None or old[0] is not new[0] or old[1] != new[1]
        if by_idle.first()[1] == agent_id and (moved or (old is not None and new[2] < old[2])):
            return True
        if not self._by_load or by_load.first()[2] != agent_id:
            return False
        return moved or (old is not None and (new[3], new[2]) < (old[3], old[2]))

    def settle_heads(self) -> None:
        """Tell the requirements of classes whose best agent may have become better. Done after a routing pass, because
        most agents that become free are taken again in the same one."""
        for known in self._improved.values():
            for requirement in known.requirements.values():
                requirement.offer_head(known)
        self._improved.clear()

    def settle_wants(self) -> None:
        """Tell the classes of requirements whose first contact may have become better. Done after a routing pass,
        because most contacts that arrive while somebody is free are taken in the same one."""
        for requirement in self._asked.values():
            if requirement.waiting:
                for known in requirement.classes:
                    known.offer_want(requirement)
        self._asked.clear()

    def signature(self, agent: Agent) -> tuple[str, ...]:
        """The channel kinds for which the agent could be offered one more contact."""
        rooms = agent.rooms(self.kinds)
        if not agent.channel_switch and not agent.channels:
            return rooms
        switch = agent.channel_switch
        return tuple(
            kind for kind in rooms if switch.get(kind, True) and (not agent.channels or kind in agent.channels)
        )

    def _sync_staff(self, agent_id: AgentId, agent: Agent | None) -> None:
        old = self._staff.get(agent_id)
        new = None
        if agent is not None:
            queues = agent.queues or tuple(self.workspace.policy.queues)
            new = (queues, agent.reachable and agent.presence != "offline", agent.takes_offers)
        if old == new:
            return
        if old is not None:
            self._staff_by(old, -1)
        if new is None:
            del self._staff[agent_id]
        else:
            self._staff[agent_id] = new
            self._staff_by(new, 1)

    def _staff_by(self, staff: tuple[tuple[str, ...], bool, bool], by: int) -> None:
        for queue in staff[0]:
            counts = self.queues.get(queue)
            if counts is not None:
                counts.staffed += by * staff[1]
                counts.available += by * staff[2]

    def _sync_agent_timer(self, kind: str, agent_id: AgentId, due: int | None) -> None:
        old = self._agent_timers.get((kind, agent_id))
        new = self._timer(due, kind, agent_id) if due is not None else None
        if old == new:
            return
        if old is not None:
            self.timers.remove(old)
            del self._agent_timers[kind, agent_id]
        if new is not None:
            self.timers.add(new)
            self._agent_timers[kind, agent_id] = new

    def sync_offer(self, offer_id: OfferId) -> None:
        """Bring the timer of one offer in step with its facts."""
        offer = self.workspace.offers.get(offer_id)
        old = self._offer_timers.get(offer_id)
        new = self._timer(offer.expires_at, "offer", offer_id) if offer is not None and not offer.outcome else None
        if old == new:
            return
        if old is not None:
            self.timers.remove(old)
            del self._offer_timers[offer_id]
        if new is not None:
            self.timers.add(new)
            self._offer_timers[offer_id] = new
