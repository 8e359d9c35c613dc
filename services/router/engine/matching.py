"""The matching rule: which waiting contact goes to which free agent, next.

Each agent's *best* contact is the eligible one with the lowest (lane, agent's priority of the queue, queue rank,
contact order). Among these bests the best-ordered contact of the first lane goes to the best agent of those whose best
it is; again, until no pair is left. An ineligible contact never blocks those behind it.

Agents of one capability class with room for the same share their best, so the rule runs over such *groups*, never over
agents: the groups of classes that something fresh happened to, and of those that could serve a fresh contact. No other
can have a pair, because there was none before.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from services.router.engine.classes import CapabilityClass, Head, LaneKind, Requirement
from services.router.engine.deadlines import most_worth
from services.router.engine.demand import Order, age_of, most_offers
from services.router.engine.index import Index
from services.router.engine.passed import MOST_AGENTS, START, behind, note
from services.router.engine.records import Contact
from services.router.engine.rooms import Signature
from shared.contracts.events import DecisionRecord
from shared.vocabulary import AgentId, ContactId

CONSIDERED = 3


@dataclass(frozen=True, slots=True)
class Match:
    """A pair that the rule makes, with its reasons."""

    contact: Contact
    agent: AgentId
    record: DecisionRecord


def matches(index: Index, most: int, now: int) -> Iterator[Match]:
    """At most `most` pairs in the order of the rule. The caller makes each one true (an offer) before asking for the
    next.

    Consumes the index's notes of what is fresh. If there may be more pairs than that, `index.cut` is set, and the notes
    are there again for the pass that goes on.
    """
    index.cut = False
    contacts, classes = index.take_fresh()
    if len(contacts) == 1 and not classes and not index.overtakes(contacts[0]):
        yield from _arrived(index, contacts[0], now)
        # Whoever waited for the agent who is taken now, and only as long as he could be had, is for everybody.
        contacts, classes = index.take_fresh()
    if contacts or classes:
        index.settle_wants()
        for number, match in enumerate(_by_groups(index, contacts, classes, now), start=1):
            yield match
            if number == most:
                index.cut = True
                index.fresh_classes.update(classes)
                break
    index.settle_heads()
    index.settle_wants()


def _arrived(index: Index, contact: Contact, now: int) -> Iterator[Match]:
    """One fresh contact and nobody fresh: whoever is free has no other contact to prefer. It may go to several, as long
    as these pairs make nobody else fresh."""
    index.settle_heads()
    requirement = index.waits_under(contact)
    if contact.queue in index.held_back:
        return
    room = most_offers(requirement.queue, contact)
    while len(contact.offers) < room and contact.agent is None:
        match = _choose(index, contact, requirement, _best_free(index, contact, requirement, now))
        if match is None:
            return
        yield match
        if index.fresh_contacts.keys() - {contact.id}:
            return
        index.fresh_contacts.pop(contact.id, None)
        index.settle_heads()


Group = tuple[CapabilityClass, Signature]
"""The agents of a class who have room for exactly the same."""


class _Bests:
    """The bests of groups, best-ordered first, in a heap for each kind of order. Of a group the newest entry counts."""

    def __init__(self, index: Index, now: int) -> None:
        self._index = index
        self._now = now
        self._heaps: dict[LaneKind, list[tuple[Order, tuple[int, int]]]] = {}
        """With each order the numbers of class and signature."""
        self._newest: dict[tuple[int, int], Order] = {}
        self._whose: dict[str, dict[tuple[int, int], Group]] = {}
        """By contact, the groups whose best it is. Where deadlines order, it stands at another place for each."""

    def add(self, known: CapabilityClass) -> None:
        """Note the bests of the groups of a class, as they are now."""
        for signature in known.free:
            best = best_of(self._index, known, signature, self._now)
            if best is not None:
                self._note(known, signature, *best)

    def _note(self, known: CapabilityClass, signature: Signature, order: Order, kind: LaneKind) -> None:
        group = (known.number, signature.number)
        before = self._newest.get(group)
        if before == order:
            return
        if before is not None:
            del self._whose[str(before[-1])][group]
        self._newest[group] = order
        self._whose.setdefault(str(order[-1]), {})[group] = (known, signature)
        heapq.heappush(self._heaps.setdefault(kind, []), (order, group))

    def take(self) -> tuple[Order, list[Group]] | None:
        """The best-ordered best of the first lane, and all groups whose best it is. Across kinds of order the longest
        waiting counts."""
        tops = [(kind[0], heap) for kind, heap in self._heaps.items() if self._first(heap) is not None]
        if not tops:
            return None
        _, heap = tops[0] if len(tops) == 1 else min(tops, key=lambda top: (top[0], _age(self._index, top[1][0][0])))
        order = heap[0][0]
        groups = self._whose.pop(str(order[-1]))
        for numbers in groups:
            del self._newest[numbers]
        return order, list(groups.values())

    def _first(self, heap: list[tuple[Order, tuple[int, int]]]) -> Order | None:
        while heap and self._newest.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None


def _age(index: Index, order: Order) -> tuple[int, int, ContactId]:
    return age_of(index.workspace.contacts[ContactId(str(order[-1]))])


def _by_groups(
    index: Index, contacts: Iterable[Contact], classes: dict[int, CapabilityClass], now: int
) -> Iterator[Match]:
    """`classes` is added to: it is what has to be looked at again if the pass is cut short."""
    bests = _Bests(index, now)
    _look_at(index, bests, contacts, classes)
    while (taken := bests.take()) is not None:
        order, groups = taken
        contact = index.workspace.contacts[ContactId(str(order[-1]))]
        requirement = index.waits_under(contact)
        ranked = sorted(
            best
            for known, signature in groups
            # A pair made since then may have kept the contact for somebody.
            if known.number in requirement.by_number
            and (best := _willing(index, contact, requirement, known, [signature], now)) is not None
        )
        match = _choose(index, contact, requirement, ranked)
        if match is None:
            for known, _ in groups:
                bests.add(known)
            continue
        yield match
        # The pair may have made others fresh: who was named for this contact alone is like the rest of their class
        # again, and who waited for the agent who is taken now may be for everybody.
        index.fresh_contacts.pop(contact.id, None)
        more, fresh = index.take_fresh()
        # Whoever took the contact may now belong to another group of the class.
        fresh.update((known.number, known) for known, _ in groups)
        if more:
            index.settle_wants()
        _look_at(index, bests, more, fresh)
        classes.update(fresh)


def _look_at(index: Index, bests: _Bests, contacts: Iterable[Contact], classes: dict[int, CapabilityClass]) -> None:
    """Note the bests of fresh classes, and of those that could serve a fresh contact (they are added)."""
    for requirement in {r.number: r for r in map(index.waits_under, contacts)}.values():
        for known in requirement.classes:
            if known.number not in classes and known.someone_free(requirement):
                classes[known.number] = known
    for known in classes.values():
        bests.add(known)


def best_of(index: Index, known: CapabilityClass, signature: Signature, now: int) -> tuple[Order, LaneKind] | None:
    """The contact that a group's agents should get first: lowest (lane, priority of the queue, rank, order), if there
    is one; across kinds of order, of equal rank the longest waiting."""
    if not known.wants and not known.dated:
        return None
    look = _Look(index, known, signature, now)
    found = known.best_wants(look.first_for) if known.wants else []
    if known.dated:
        dated = [
            (known.rank(requirement), order, requirement.order_kind)
            for requirement in known.dated_wants()
            if requirement.fits(signature)
            and requirement.queue.name not in index.held_back
            and (not requirement.demand.spare or look.is_spared(requirement))
            and (order := most_worth(known, requirement, now, look.first_after)) is not None
        ]
        if dated:
            found.append(min(dated))
    if not found:
        return None
    if len(found) == 1:
        return found[0][1], found[0][2]
    _, order, kind = min(found, key=lambda each: (each[0], _age(index, each[1])))
    return order, kind


class _Look:
    """What a group may get at a moment. A class, because functions inside a function are made anew at each call."""

    __slots__ = ("_index", "_known", "_now", "_signature", "_spared")

    def __init__(self, index: Index, known: CapabilityClass, signature: Signature, now: int) -> None:
        self._index = index
        self._known = known
        self._signature = signature
        self._now = now
        self._spared: dict[str, bool] = {}

    def first_for(self, requirement: Requirement) -> Order | None:
        """The first contact that the group may get."""
        if requirement.queue.name in self._index.held_back or not requirement.fits(self._signature):
            return None
        return self.first_after(requirement, START)

    def first_after(self, requirement: Requirement, after: Order) -> Order | None:
        """The first contact behind a place of the order that the group may get. What was passed by before is not looked
        at again."""
        waiting, passed = requirement.waiting, requirement.passed
        begin = behind(passed, self._few(requirement), after) if passed else after
        found, last = None, begin
        for order in waiting.after(begin) if begin else waiting:
            if self._may_get(requirement, order):
                found = order
                break
            last = order
        if last is not begin and not requirement.demand.spare:
            note(passed, self._few(requirement), after, last)
        return found

    def _few(self, requirement: Requirement) -> list[AgentId]:
        """The agents of the group, unless they are many."""
        group = self._known.agents(self._signature, requirement)
        agents = [AgentId(str(item[-1])) for item in islice(group, MOST_AGENTS + 1)]
        return agents if len(agents) <= MOST_AGENTS else []

    def _may_get(self, requirement: Requirement, order: Order) -> bool:
        """Whether somebody of the group may get this contact."""
        index = self._index
        contact = index.workspace.contacts[order[-1]]  # type: ignore[index]  # the last of an order is an id
        if not requirement.demand.spare and not _may_bar(contact):
            return True
        return _willing(index, contact, requirement, self._known, [self._signature], self._now) is not None

    def is_spared(self, requirement: Requirement) -> bool:
        """Whether somebody of the group can be spared for contacts that can wait."""
        kind = requirement.demand.kind
        if kind not in self._spared:
            self._spared[kind] = _any_spared(self._index, self._known, self._signature, requirement, self._now)
        return self._spared[kind]


def _any_spared(index: Index, known: CapabilityClass, signature: Signature, requirement: Requirement, now: int) -> bool:
    """Whether anybody of a group can be spared for a requirement that can wait. They differ by what it takes."""
    agents, kind = index.workspace.agents, requirement.demand.kind
    weights = {agents[AgentId(str(item[-1]))].weight(kind) for item in known.agents(signature, requirement)}
    return any(index.spare.of_class(known, weight, now) for weight in weights)


def _may_bar(contact: Contact) -> bool:
    """Whether there may be agents who are out for this contact alone."""
    return bool(contact.declines or contact.offers or contact.excluded)


Ranked = tuple[int, Head]
"""(how often the agent declined this contact, head); lower is better."""


def _best_free(index: Index, contact: Contact, requirement: Requirement, now: int) -> list[Ranked]:
    """The best few of all who are free, one of a class: fewest declines first, then tier and chain, then id."""
    demand = requirement.demand
    if not _may_bar(contact) and not demand.spare:
        return [(0, head) for head in requirement.best_heads(CONSIDERED)]
    if demand.spare and demand.language and not demand.also and not index.spare.of(demand.language, 0, now):
        # All who come into question speak it.
        return []
    # A class whose best agent is barred may have others who are not, so the heads seen on the way count as well.
    barred = {*contact.declines, contact.excluded, *(index.workspace.offers[o].agent for o in contact.offers)}

    def wanted(head: Head) -> bool:
        known = requirement.by_number[head[2]]
        return head[1] not in barred and index.spared(requirement, known, AgentId(head[1]), now)

    ranked = []
    for head in requirement.best_heads(CONSIDERED, wanted):
        known = requirement.by_number[head[2]]
        best = _willing(index, contact, requirement, known, known.rooms_for(requirement), now)
        if best is not None:
            ranked.append(best)
    return sorted(ranked)


def _willing(
    index: Index,
    contact: Contact,
    requirement: Requirement,
    known: CapabilityClass,
    among: Iterable[Signature],
    now: int,
) -> Ranked | None:
    """The best free agent of a class among some of its groups, for a contact that some of them may not get."""
    declines = contact.declines
    rule = requirement.queue.decline
    may_bar, spare = _may_bar(contact), requirement.demand.spare
    best: Ranked | None = None
    for signature in among:
        for item in known.agents(signature, requirement):
            agent = AgentId(str(item[-1]))
            if may_bar and index.bars(contact, agent):
                continue
            if spare and not index.spared(requirement, known, agent, now):
                continue
            declined = rule.rank(declines.get(agent, 0)) if declines else 0
            ranked = (declined, known.head(requirement, item))
            if best is None or ranked < best:
                best = ranked
            if not declined:
                break
    return best


def _choose(index: Index, contact: Contact, requirement: Requirement, ranked: list[Ranked]) -> Match | None:
    """The first of the ranked, with the reasons for the record."""
    if not ranked:
        return None
    return Match(
        contact=contact,
        agent=AgentId(ranked[0][1][1]),
        record=DecisionRecord(
            step=contact.steps,
            policy_version=index.workspace.policy_version,
            strategy=requirement.queue.strategy,
            considered=tuple([(agent, declined, *score) for declined, (score, agent, _) in ranked[:CONSIDERED]]),
            excluded=dict(requirement.excluded),
        ),
    )
