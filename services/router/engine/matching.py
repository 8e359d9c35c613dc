"""The matching rule: which waiting contact goes to which free agent, next.

Each agent's *best* contact is the eligible one with the lowest (queue rank, contact order). Among these bests the
best-ordered contact goes to the best agent of those whose best it is; again, until no pair is left. An ineligible
contact never blocks those behind it. Agents of one capability class who are free for a channel share their best, so
the rule runs over classes: those that something fresh happened to, and those that could serve a fresh contact. No other
class can have a pair, because there was none before.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.router.engine.index import CapabilityClass, Head, Index, Order, Requirement
from services.router.engine.records import Contact
from shared.contracts.events import DecisionRecord
from shared.vocabulary import AgentId, ContactId

CONSIDERED = 3


@dataclass(frozen=True, slots=True)
class Match:
    """A pair that the rule makes, with its reasons."""

    contact: Contact
    agent: AgentId
    record: DecisionRecord


def matches(index: Index) -> Iterator[Match]:
    """Pairs in the order of the rule. The caller makes each one true (an offer) before asking for the next.

    Consumes the index's notes of what is fresh.
    """
    contacts = [index.workspace.contacts[contact_id] for contact_id in index.fresh_contacts]
    classes = list(index.fresh_classes.values())
    index.fresh_contacts.clear()
    index.fresh_classes.clear()
    if contacts:
        # A fresh contact may go to anybody, so the heads have to be right; a freed agent alone needs none of them.
        index.settle_heads()
        if len(contacts) == 1 and not classes:
            yield from _arrived(index, contacts[0])
        else:
            yield from _mixed(index, contacts, classes)
    else:
        yield from _freed(index, classes)
    index.settle_heads()


def _arrived(index: Index, contact: Contact) -> Iterator[Match]:
    """One fresh contact and nobody fresh: whoever is free has no other contact to prefer."""
    requirement = index.requirement_of(contact)
    match = _choose(index, contact, requirement, _rank(index, contact, requirement))
    if match is not None:
        yield match


def _freed(index: Index, classes: Iterable[CapabilityClass]) -> Iterator[Match]:
    """Only agents are fresh: each class's best, best-ordered first, to the best agent of the classes that share it."""
    heap: list[tuple[Order, int, CapabilityClass]] = []
    for known in classes:
        _push_best(index, heap, known)
    while heap:
        order = heap[0][0]
        group = []
        while heap and heap[0][0] == order:
            group.append(heapq.heappop(heap)[2])
        contact = index.workspace.contacts[ContactId(order[2])]
        requirement = index.requirement_of(contact)
        heads = sorted(head for known in group if (head := known.best_for(requirement)) is not None)
        match = _choose(index, contact, requirement, _by_declines(index, contact, requirement, heads))
        if match is not None:
            yield match
            for known in group:
                _push_best(index, heap, known)


def _mixed(index: Index, contacts: list[Contact], classes: list[CapabilityClass]) -> Iterator[Match]:
    """Several contacts, or contacts and agents, are fresh: candidates in order, each to the best agent who prefers it.

    A candidate whose free agents all prefer another one is put off until that one has found its agent.
    """
    heap = [contact.order for contact in contacts]
    fresh = {known.number: known for known in classes}
    for known in classes:
        best = best_of(index, known)
        if best is not None:
            heap.append(best)
    heapq.heapify(heap)
    put_off: list[Order] = []
    done: set[str] = set()
    while heap:
        order = heapq.heappop(heap)
        if order[2] in done:
            continue
        contact = index.workspace.contacts[ContactId(order[2])]
        requirement = index.requirement_of(contact)
        ranked = _rank(index, contact, requirement, order)
        match = _choose(index, contact, requirement, ranked)
        if match is None:
            put_off.append(order)
            continue
        done.add(order[2])
        yield match
        index.settle_heads()
        for waiting in put_off:
            heapq.heappush(heap, waiting)
        put_off.clear()
        for known in fresh.values():
            best = best_of(index, known)
            if best is not None and best[2] not in done:
                heapq.heappush(heap, best)


def _push_best(index: Index, heap: list[tuple[Order, int, CapabilityClass]], known: CapabilityClass) -> None:
    order = best_of(index, known)
    if order is not None:
        heapq.heappush(heap, (order, known.number, known))


def best_of(index: Index, known: CapabilityClass) -> Order | None:
    """The contact that a class's free agents should get first: lowest (queue rank, contact order), if there is one.

    Looks through the shorter of two lists: what the class may serve, and what is asked for at all.
    """
    best: tuple[int, Order] | None = None
    if len(index.asked) < len(known.requirements):
        asked = [r for r in index.asked.values() if known.number in r.by_number]
    else:
        asked = [r for r in known.requirements if r.waiting]
    for requirement in asked:
        if known.someone_free(requirement.kind):
            order = _first_for(index, known, requirement)
            if order is not None and (best is None or (requirement.rank, order) < best):
                best = (requirement.rank, order)
    return best[1] if best is not None else None


def _first_for(index: Index, known: CapabilityClass, requirement: Requirement) -> Order | None:
    """The first waiting contact that somebody free in the class may take, past those they all declined for good."""
    if index.workspace.policy.queues[requirement.queue].decline != "never":
        return requirement.waiting.first()
    for order in requirement.waiting:
        contact = index.workspace.contacts[ContactId(order[2])]
        if not contact.declines or _willing(index, contact, requirement, known) is not None:
            return order
    return None


Ranked = tuple[int, Head]


def _rank(index: Index, contact: Contact, requirement: Requirement, preferred: Order | None = None) -> list[Ranked]:
    """The best few free agents for a contact, best first; with `preferred`, of those whose best contact it is."""
    declines = contact.declines
    if not declines and preferred is None:
        return [(0, head) for head in requirement.best_heads(CONSIDERED)]
    prefer: list[Head] = []

    def wanted(head: Head) -> bool:
        if preferred is not None and best_of(index, requirement.by_number[head[2]]) != preferred:
            return False
        prefer.append(head)
        return AgentId(head[1]) not in declines

    requirement.best_heads(CONSIDERED, wanted)
    return _by_declines(index, contact, requirement, prefer)


def _by_declines(index: Index, contact: Contact, requirement: Requirement, heads: list[Head]) -> list[Ranked]:
    """Fewest declines of this contact first, then as the heads are ordered."""
    if not contact.declines:
        return [(0, head) for head in heads[:CONSIDERED]]
    ranked: list[Ranked] = []
    for head in heads:
        willing = _willing(index, contact, requirement, requirement.by_number[head[2]])
        if willing is not None:
            ranked.append(willing)
    ranked.sort()
    return ranked[:CONSIDERED]


def _willing(index: Index, contact: Contact, requirement: Requirement, known: CapabilityClass) -> Ranked | None:
    """The class's best free agent for a contact that some have declined."""
    for_good = index.workspace.policy.queues[contact.queue].decline == "never"
    by_load = requirement.strategy == "least_active"
    best: Ranked | None = None
    for sets in known.by_kind.get(requirement.kind, ()):
        items: Iterable[tuple[object, ...]] = sets[by_load]
        for item in items:
            agent = str(item[-1])
            declined = contact.declines.get(AgentId(agent), 0)
            if declined and for_good:
                continue
            ranked = (declined, (known.score(requirement, item), agent, known.number))
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
            step=0,
            policy_version=index.workspace.policy_version,
            strategy=requirement.strategy,
            considered=tuple((agent, declined, *score) for declined, (score, agent, _) in ranked),
            excluded=requirement.excluded,
        ),
    )
