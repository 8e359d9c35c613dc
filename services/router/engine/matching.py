"""The matching rule: which waiting contact goes to which free agent, next.

Each agent's *best* contact is the eligible one with the lowest (queue rank, contact order). Among these bests the
best-ordered contact goes to the best agent of those whose best it is; again, until no pair is left. An ineligible
contact never blocks those behind it.

Agents of one capability class with room for the same channels share their best, so the rule runs over such *groups*,
never over agents: the groups of classes that something fresh happened to, and of those that could serve a fresh
contact. No other can have a pair, because there was none before.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.router.engine.index import CapabilityClass, FreeSets, Head, Index, Order, Requirement
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


def matches(index: Index, most: int) -> Iterator[Match]:
    """At most `most` pairs in the order of the rule. The caller makes each one true (an offer) before asking for the
    next.

    Consumes the index's notes of what is fresh. If there may be more pairs than that, `index.cut` is set, and the notes
    are there again for the pass that goes on.
    """
    index.cut = False
    contacts = [index.workspace.contacts[contact_id] for contact_id in index.fresh_contacts]
    classes = dict(index.fresh_classes)
    index.fresh_contacts.clear()
    index.fresh_classes.clear()
    if len(contacts) == 1 and not classes:
        yield from _arrived(index, contacts[0])
    else:
        for requirement in {r.key: r for r in map(index.requirement_of, contacts)}.values():
            for known in requirement.classes:
                if known.someone_free(requirement.kind):
                    classes[known.number] = known
        index.settle_wants()
        for number, match in enumerate(_by_groups(index, classes.values()), start=1):
            yield match
            if number == most:
                index.cut = True
                index.fresh_classes.update(classes)
                break
    index.settle_heads()
    index.settle_wants()


def _arrived(index: Index, contact: Contact) -> Iterator[Match]:
    """One fresh contact and nobody fresh: whoever is free has no other contact to prefer."""
    index.settle_heads()
    requirement = index.requirement_of(contact)
    match = _choose(index, contact, requirement, _best_free(index, contact, requirement))
    if match is not None:
        yield match


Group = tuple[CapabilityClass, tuple[str, ...]]
"""The agents of a class who have room for exactly these channel kinds."""


class _Bests:
    """The bests of groups, best-ordered first; each group is in once."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._heap: list[tuple[Order, int, tuple[str, ...], CapabilityClass]] = []
        self._inside: set[tuple[int, tuple[str, ...]]] = set()

    def add(self, known: CapabilityClass, signature: tuple[str, ...]) -> None:
        """Note the group's best, unless it is in already or has none."""
        if (known.number, signature) in self._inside or not known.free[signature][0]:
            return
        order = best_of(self._index, known, signature)
        if order is not None:
            self._inside.add((known.number, signature))
            heapq.heappush(self._heap, (order, known.number, signature, known))

    def take(self) -> tuple[Order, list[Group]] | None:
        """The best-ordered best, and all groups whose best it is."""
        if not self._heap:
            return None
        order = self._heap[0][0]
        groups: list[Group] = []
        while self._heap and self._heap[0][0] == order:
            _, number, signature, known = heapq.heappop(self._heap)
            self._inside.discard((number, signature))
            groups.append((known, signature))
        return order, groups


def _by_groups(index: Index, classes: Iterable[CapabilityClass]) -> Iterator[Match]:
    bests = _Bests(index)
    for known in classes:
        for signature in list(known.free):
            bests.add(known, signature)
    while (taken := bests.take()) is not None:
        order, groups = taken
        contact = index.workspace.contacts[ContactId(order[2])]
        requirement = index.requirement_of(contact)
        ranked = sorted(
            best
            for known, signature in groups
            if (best := _willing(index, contact, requirement, known, [known.free[signature]])) is not None
        )
        match = _choose(index, contact, requirement, ranked)
        if match is None:
            continue
        yield match
        for known, _ in groups:
            # Whoever took the contact may now belong to another group of the class.
            for signature in list(known.free):
                bests.add(known, signature)


def best_of(index: Index, known: CapabilityClass, signature: tuple[str, ...]) -> Order | None:
    """The contact that a group's agents should get first: lowest (queue rank, contact order), if there is one."""

    def first_for(requirement: Requirement) -> Order | None:
        return _first_for(index, known, signature, requirement) if requirement.kind in signature else None

    return known.best_want(first_for)


def _first_for(
    index: Index, known: CapabilityClass, signature: tuple[str, ...], requirement: Requirement
) -> Order | None:
    """The first waiting contact that somebody of the group may take, past those they all declined for good."""
    if index.workspace.policy.queues[requirement.queue].decline != "never":
        return requirement.waiting.first()
    for order in requirement.waiting:
        contact = index.workspace.contacts[ContactId(order[2])]
        if not contact.declines or _willing(index, contact, requirement, known, [known.free[signature]]) is not None:
            return order
    return None


Ranked = tuple[int, Head]
"""(how often the agent declined this contact, head); lower is better."""


def _best_free(index: Index, contact: Contact, requirement: Requirement) -> list[Ranked]:
    """The best few of all who are free, one of a class: fewest declines first, then the strategy, then id."""
    declines = contact.declines
    if not declines:
        return [(0, head) for head in requirement.best_heads(CONSIDERED)]
    # A class whose best agent declined may have others who did not, so the heads seen on the way count as well.
    heads = requirement.best_heads(CONSIDERED, lambda head: AgentId(head[1]) not in declines)
    ranked = []
    for head in heads:
        known = requirement.by_number[head[2]]
        best = _willing(index, contact, requirement, known, known.by_kind[requirement.kind])
        if best is not None:
            ranked.append(best)
    return sorted(ranked)


def _willing(
    index: Index, contact: Contact, requirement: Requirement, known: CapabilityClass, among: Iterable[FreeSets]
) -> Ranked | None:
    """The best free agent of a class among some of its sets, for a contact that some may have declined."""
    for_good = index.workspace.policy.queues[contact.queue].decline == "never"
    by_load = requirement.strategy == "least_active"
    declines = contact.declines
    best: Ranked | None = None
    for sets in among:
        items: Iterable[tuple[object, ...]] = sets[by_load]
        for item in items:
            agent = str(item[-1])
            declined = declines.get(AgentId(agent), 0) if declines else 0
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
            considered=tuple((agent, declined, *score) for declined, (score, agent, _) in ranked[:CONSIDERED]),
            excluded=dict(requirement.excluded),
        ),
    )
