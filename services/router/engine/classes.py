"""Who waits for what, and who can serve it: requirements and capability classes, each with the best of the other.

Which classes serve which requirement is decided once for each pair. Each side keeps a heap of the best of the other
with entries that may be stale; what is stale is mended when it comes to the top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any

from services.router.engine.chains import Chain, Score, by_class, class_score, fitness
from services.router.engine.demand import (
    ANY_LANGUAGE,
    BY_AGE,
    BY_DEADLINE,
    STARVING,
    Demand,
    Order,
    OrderKind,
    order_kind,
)
from services.router.engine.ordered import OrderedSet
from services.router.engine.passed import Stretches
from services.router.engine.policy import QueuePolicy, spoken
from services.router.engine.records import Agent
from services.router.engine.rooms import Kind, Signature, marked
from services.router.engine.slo import fit_cost
from shared.contracts.commands import ChannelTerms, Membership

Head = tuple[Score, str, int]
"""(score, agent, class number): lower is better."""
Item = tuple[object, ...]
"""An agent as a set holds them: their score in a chain, then their id."""
FreeSets = tuple[OrderedSet[Item], ...]
"""The free agents of one signature, once for each chain of the index, in its order of chains."""
Rank = tuple[int, int, int]
"""(lane, agent's priority of the queue, rank of the queue): what goes before any order."""
Want = tuple[Rank, Order, int]
"""(rank, order of the first contact, requirement's number)."""
LaneKind = tuple[int, OrderKind]
"""(lane, kind of order): contacts of one lane and one kind can be compared by their order."""


_Entry = tuple[Item, int, Item]
"""What counts at the top of the heads, the class's number, and the item that it was made from. The first is that item
itself where a requirement's heads are `simple`: an entry is then nearly free, and hundreds are made at once."""


class BestFree:
    """By kind and chain, the best free agent of each class: all requirements of that kind and chain look there."""

    def __init__(self, chains: tuple[Chain, ...]) -> None:
        self.chains = chains
        self.by_kind: dict[Kind, tuple[dict[int, Item], ...]] = {}
        self._within: dict[Signature, tuple[tuple[Kind, int, dict[int, Item]], ...]] = {}

    def of(self, kind: Kind) -> tuple[dict[int, Item], ...]:
        """For each chain, by class number."""
        found = self.by_kind.get(kind)
        if found is None:
            found = self.by_kind[kind] = tuple([{} for _ in self.chains])
        return found

    def within(self, signature: Signature) -> tuple[tuple[Kind, int, dict[int, Item]], ...]:
        """For all kinds of a signature what is there `of` it, with the kind and the place of the chain."""
        found = self._within.get(signature)
        if found is None:
            tables = [(kind, at, table) for kind in signature.kinds for at, table in enumerate(self.of(kind))]
            found = self._within[signature] = tuple(tables)
        return found


class Requirement:
    """The contacts with one demand, in order, and the classes that may serve it.

    `heads` has for each class with somebody free at least one entry that is not worse than its best agent now.
    """

    __slots__ = (
        "bare",
        "best",
        "by_deadline",
        "by_number",
        "chain",
        "chain_at",
        "costed",
        "costs",
        "demand",
        "excluded",
        "heads",
        "in_front",
        "kind",
        "number",
        "of_class",
        "order_kind",
        "parts",
        "passed",
        "plain",
        "profiles",
        "queue",
        "scored",
        "simple",
        "tiered",
        "tops",
        "waiting",
    )

    def __init__(
        self, number: int, demand: Demand, queue: QueuePolicy, group: str, chain: Chain, best: BestFree
    ) -> None:
        """`number`: no other requirement of the index has or had it."""
        self.demand = demand
        self.serve_under(number, queue, group, chain, best)

    def serve_under(self, number: int, queue: QueuePolicy, group: str, chain: Chain, best: BestFree) -> None:
        """For the same demand in an index of its own: nobody waits yet, and no class is related."""
        demand = self.demand
        self.number = number
        self.queue = queue
        self.kind: Kind = (marked(group, demand.bypass), demand.kind)
        self.profiles = frozenset() if "capacity" in demand.bypass else frozenset(demand.profiles)
        """Those in which an agent needs room."""
        self.of_class = tuple([by_class(strategy) for strategy in queue.chain])
        """Of each strategy of the chain, whether a class scores as a whole."""
        self.scored = tuple([strategy for strategy in queue.chain if by_class(strategy)])
        """Those that it does."""
        self.in_front = all(self.of_class[: len(self.scored)])
        """Whether these are the first ones."""
        self.chain = chain
        self.chain_at = best.chains.index(chain)
        """The chain's place among all of the index."""
        self.best = best.of(self.kind)[self.chain_at]
        """By class number the best free agent of each, where no profiles are asked for."""
        self.costed = queue.chain.index("slo") if "slo" in queue.chain else None
        """The place in the chain where a class adds what it costs by how well it can serve."""
        ranked = demand.ranked and demand.only is not None
        self.plain = not self.scored and not demand.also and not ranked
        """Nothing but that cost and the tier comes to an agent's own score."""
        self.bare = self.in_front and self.costed is None and not demand.also and not ranked
        """Nothing but the tier and what a class scores comes to it, and both come first."""
        self.order_kind: LaneKind = (demand.lane, BY_AGE if demand.lane == STARVING else order_kind(queue))
        self.by_deadline = self.order_kind[1] == BY_DEADLINE
        self.waiting: OrderedSet[Order] = OrderedSet()
        self.passed: Stretches = {}
        self.by_number: dict[int, CapabilityClass] = {}
        self.tiered = False
        """Whether a class may be of another tier than the first."""
        self.simple = False
        """Whether its heads leave the tier out, which is the same for all. Said when the heads are made anew."""
        self.costs: dict[int, float] = {}
        """By class number, what its agents cost by how well they serve it."""
        self.parts: dict[int, Score] = {}
        """By class number, what the strategies in `scored` give to all its agents."""
        self.excluded: dict[str, int] = {}
        self.heads: list[_Entry] = []
        self.tops: dict[int, Item] = {}
        """By class number, the least item among its entries in `heads`."""

    @property
    def classes(self) -> Iterable[CapabilityClass]:
        """The capability classes that may serve it."""
        return self.by_number.values()

    def fits(self, signature: Signature) -> bool:
        """Whether there is room for one of these contacts."""
        return self.kind in signature.kinds and self.profiles <= signature.profiles

    def offer_head(self, known: CapabilityClass, item: Item) -> None:
        """A class of this requirement has a better best agent than before, this one."""
        self.tops[known.number] = item
        heappush(self.heads, known.entry(self, item))
        if len(self.heads) > 4 * len(self.by_number) + 64:
            self.rebuild_heads()

    def rebuild_heads(self) -> None:
        """One true entry for each class, nothing stale."""
        best = self.best
        if self.profiles:
            found = [(number, known.best_item(self)) for number, known in self.by_number.items()]
            self.tops = {number: item for number, item in found if item is not None}
        else:
            self.tops = {number: best[number] for number in self.by_number if number in best}
        self.simple = self.bare and not self.tiered
        if self.simple and not self.scored:
            self.heads = [(item, number, item) for number, item in self.tops.items()]
        elif self.simple:
            parts = self.parts
            for number in self.tops.keys() - parts.keys():
                self.by_number[number].parts(self)
            self.heads = [((*parts[number], *item), number, item) for number, item in self.tops.items()]
        else:
            self.heads = [self.by_number[number].entry(self, item) for number, item in self.tops.items()]
        heapify(self.heads)

    @property
    def alike(self) -> tuple[object, ...] | None:
        """What is equal in requirements whose heads hold the same for the same class; None if there are no others."""
        if not self.bare or self.scored or self.tiered or self.profiles:
            return None
        return (self.kind, self.chain_at, self.demand.language, self.demand.raised)

    def take_heads(self, wider: Requirement) -> None:
        """The heads of a requirement that is `alike` and has all classes of this one: those of the others go when they
        come to the top."""
        self.heads, self.tops, self.simple = wider.heads.copy(), wider.tops.copy(), wider.simple

    def _head(self, entry: _Entry) -> Head:
        """An entry as it is told."""
        key, number, _ = entry
        score: Any = (self.demand.raised, *key[:-1]) if self.simple else key[:-1]
        return score, str(key[-1]), number

    def best_heads(self, limit: int, wanted: Callable[[Head], bool] | None = None) -> list[Head]:
        """The best free agents of the classes, one each, best first: looks on until `limit` of them were `wanted`."""
        taken: list[_Entry] = []
        found: list[Head] = []
        seen: set[int] = set()
        heads, best, anybody = self.heads, self.best, not self.profiles
        while heads and limit:
            entry = heads[0]
            number = entry[1]
            known = self.by_number.get(number)
            item = best.get(number) if anybody or known is None else known.best_item(self)
            if known is None or item is None:
                heappop(heads)
                self.tops.pop(number, None)
            elif number in seen:
                heappop(heads)
            elif item != entry[2]:
                heapreplace(heads, known.entry(self, item))
                self.tops[number] = item
            else:
                seen.add(number)
                taken.append(heappop(heads))
                head = self._head(entry)
                found.append(head)
                if wanted is None or wanted(head):
                    limit -= 1
        for entry in taken:
            heappush(heads, entry)
        return found


class CapabilityClass:
    """Agents whom no rule can tell apart but by what they hold and did, and who of them is free for what.

    `free` has, for each signature with somebody, an ordered set for each chain; `by_kind` has the same sets by the
    kinds that there is room for. `wants` mirrors `Requirement.heads`, apart for each kind of order.
    """

    __slots__ = (
        "agent",
        "by_kind",
        "channels",
        "dated",
        "fits",
        "free",
        "languages",
        "memberships",
        "number",
        "placed",
        "queues",
        "requirements",
        "skills",
        "terms",
        "there",
        "wants",
    )

    def __init__(self, number: int, agent: Agent, *, named: bool) -> None:
        """A number below 0: made for one question alone."""
        self.number = number
        self.agent = agent.id if named else None
        self.languages = spoken(agent.languages)
        self.skills = dict(agent.skills)
        self.queues = frozenset(agent.queues)
        self.memberships: Mapping[str, Membership] = {m.queue: m for m in agent.memberships}
        self.terms: Mapping[Kind, Membership] = {
            (member.queue, terms.channel): _by_channel(member, terms)
            for member in agent.memberships
            for terms in member.per_channel
        }
        """By queue and kind of channel, where other terms hold than in the queue as a whole."""
        self.channels = frozenset(agent.channels)
        self.placed = bool(agent.queues or agent.channels or agent.memberships)
        """Not just anywhere: some queues or kinds of channel only, or as a member of some queue."""
        self.requirements: dict[int, Requirement] = {}
        """Those that these agents may serve, by number."""
        self.wants: dict[LaneKind, list[Want]] = {}
        self.dated: dict[int, Requirement] = {}
        """Those of `requirements` with contacts by deadlines that wait, and perhaps some where nobody does any more."""
        self.fits: dict[int, float] = {}
        """By number of a requirement, how fast these agents serve it."""
        self.there: dict[str, int] = {}
        """By queue, how many of these agents are in a presence that it accepts, with room or without."""
        self.free: dict[Signature, FreeSets] = {}
        self.by_kind: dict[Kind, dict[Signature, FreeSets]] = {}

    def count(self, queue: str, by: int) -> None:
        """One more of these agents, or one less, is there for the queue."""
        count = self.there.get(queue, 0) + by
        if count:
            self.there[queue] = count
        else:
            del self.there[queue]

    def membership(self, queue: str) -> Membership:
        """What holds for these agents in a queue."""
        return self.memberships.get(queue) or _PLAIN

    def membership_for(self, demand: Demand) -> Membership:
        """What holds for these agents for a demand: in its queue, by its kind of channel where that says otherwise."""
        if self.terms and (terms := self.terms.get((demand.queue, demand.kind))) is not None:
            return terms
        return self.memberships.get(demand.queue) or _PLAIN

    def why_not(self, demand: Demand) -> str | None:
        """The first reason why no agent of this class may serve the demand; None if they may."""
        if self.placed or demand.only is not None:
            reason = self._why_not_there(demand)
            if reason is not None:
                return reason
        if demand.barred and not self.skills.keys().isdisjoint(demand.barred):
            return "excluded_skill"
        if demand.any_agent or "skills" in demand.bypass:
            return None
        if demand.language and self.speaks(demand) is None:
            return "language"
        for skill, level in demand.skills:
            if self.skills.get(skill, 0) < level:
                return "skill"
        return None

    def _why_not_there(self, demand: Demand) -> str | None:
        """The first reason against them by where they work, or by who is named."""
        if self.queues and demand.queue not in self.queues:
            return "queue"
        if self.channels and demand.kind not in self.channels:
            return "channel"
        member = self.membership_for(demand)
        if member.channels and demand.kind not in member.channels:
            return "channel"
        if demand.only is not None and (self.agent is None or self.agent not in demand.only):
            return "not_named"
        if demand.tier is not None and member.tier > demand.tier:
            return "tier"
        return "delay" if member.delay > demand.delay else None

    def speaks(self, demand: Demand) -> int | None:
        """Which of the languages that will do these agents speak well enough: its place in the chain; None if none."""
        least = demand.language_min
        if self.languages.get(demand.language, 0) >= least:
            return 0
        for place, code in enumerate(demand.also, start=1):
            if code == ANY_LANGUAGE or self.languages.get(code, 0) >= least:
                return place
        return None

    def forget(self, numbers: set[int]) -> None:
        """Requirements that are registered no more."""
        self.requirements = {number: r for number, r in self.requirements.items() if number not in numbers}
        self.fits = {number: fit for number, fit in self.fits.items() if number not in numbers}

    def add(self, signature: Signature, items: tuple[Item, ...], best: BestFree) -> None:
        """An agent is free, with their item for each chain."""
        sets = self.free.get(signature)
        if sets is None:
            sets = self.free[signature] = tuple([OrderedSet() for _ in items])
            for kind in signature.kinds:
                self.by_kind.setdefault(kind, {})[signature] = sets
        for agents, item in zip(sets, items, strict=True):
            agents.add(item)
        number = self.number
        for _, at, found in best.within(signature):
            before = found.get(number)
            if before is None or items[at] < before:
                found[number] = items[at]

    def remove(self, signature: Signature, items: tuple[Item, ...], best: BestFree) -> None:
        """An agent is not free any more as they were."""
        sets = self.free[signature]
        for agents, item in zip(sets, items, strict=True):
            agents.remove(item)
        if not sets[0]:
            del self.free[signature]
            for kind in signature.kinds:
                del self.by_kind[kind][signature]
        number = self.number
        for kind, at, found in best.within(signature):
            rooms = self.by_kind[kind]
            if not rooms:
                del found[number]
            elif found[number] == items[at]:
                found[number] = min([sets[at].first() for sets in rooms.values()])

    def agents(self, signature: Signature, requirement: Requirement) -> Iterable[Item]:
        """Who is free with this signature, best first for the requirement."""
        sets = self.free.get(signature)
        return sets[requirement.chain_at] if sets is not None else ()

    def rooms_for(self, requirement: Requirement) -> list[Signature]:
        """The signatures with somebody free for one of these contacts."""
        return [s for s in self.by_kind.get(requirement.kind, ()) if not requirement.profiles or requirement.fits(s)]

    def someone_free(self, requirement: Requirement) -> bool:
        """Whether any agent of the class could be offered one of these contacts."""
        if not requirement.profiles:
            return self.number in requirement.best
        return any(map(requirement.fits, self.by_kind.get(requirement.kind, ())))

    # Contacts that the class could be offered

    def offer_want(self, requirement: Requirement) -> None:
        """A requirement of this class may have a better first contact than before."""
        if requirement.by_deadline:
            self.dated[requirement.number] = requirement
            return
        wants = self.wants.setdefault(requirement.order_kind, [])
        heappush(wants, self._want(requirement))
        if len(wants) > 4 * len(self.requirements) + 64:
            self.rebuild_wants()

    def rebuild_wants(self) -> None:
        """One true entry for each requirement that somebody waits under, nothing stale."""
        self.wants = {}
        self.dated = {}
        for requirement in self.requirements.values():
            if requirement.waiting and requirement.by_deadline:
                self.dated[requirement.number] = requirement
            elif requirement.waiting:
                self.wants.setdefault(requirement.order_kind, []).append(self._want(requirement))
        for wants in self.wants.values():
            heapify(wants)

    def rank(self, requirement: Requirement) -> Rank:
        """What these agents serve first, before any order: lower comes first. Who starves is ranked by age alone."""
        demand = requirement.demand
        lane = demand.lane
        if lane == STARVING:
            return (lane, 0, 0)
        return (lane, self.membership_for(demand).priority, requirement.queue.rank)

    def dated_wants(self) -> list[Requirement]:
        """The requirements by deadlines that this class may serve and somebody waits under."""
        known = self.requirements
        wanted = [r for number, r in self.dated.items() if r.waiting.size and number in known]
        if len(wanted) < len(self.dated):
            self.dated = {requirement.number: requirement for requirement in wanted}
        return wanted

    def fitness(self, requirement: Requirement) -> float:
        """How fast these agents serve a requirement of a queue by deadlines or costs (0-1]."""
        known = self.fits.get(requirement.number)
        if known is None:
            rule = requirement.queue.slo
            assert rule is not None, f"{requirement.queue.name} has no deadlines"
            known = self.fits[requirement.number] = fitness(rule, requirement.demand, self.languages, self.skills)
        return known

    def _want(self, requirement: Requirement) -> Want:
        return (self.rank(requirement), requirement.waiting.first(), requirement.number)

    def best_wants(self, first_for: Callable[[Requirement], Order | None]) -> list[tuple[Rank, Order, LaneKind]]:
        """For each kind of order the contact with the lowest (rank, order) of those that `first_for` names for a
        requirement; it may pass over the first who wait there, or over all of them."""
        bests = []
        for kind, wants in self.wants.items():
            best = self._best_want(wants, first_for)
            if best is not None:
                bests.append((*best, kind))
        return bests

    def _best_want(
        self, wants: list[Want], first_for: Callable[[Requirement], Order | None]
    ) -> tuple[Rank, Order] | None:
        best: tuple[Rank, Order] | None = None
        taken: list[Want] = []
        while wants and (best is None or wants[0][:2] < best):
            want = wants[0]
            requirement = self.requirements.get(want[2])
            if requirement is None or not requirement.waiting or (taken and want in taken):
                heappop(wants)
                continue
            if requirement.waiting.first() != want[1]:
                heapreplace(wants, self._want(requirement))
                continue
            taken.append(heappop(wants))
            order = first_for(requirement)
            if order is not None and (best is None or (want[0], order) < best):
                best = (want[0], order)
        for want in taken:
            heappush(wants, want)
        return best

    # Agents that a requirement could get

    def tell_heads(self, signature: Signature, items: tuple[Item, ...]) -> None:
        """An agent with this signature is better than before, by whom requirements may have a better head."""
        # Whoever is not the first of those with the same room is behind somebody whom all have been told of.
        leads = [agents.first() == item for agents, item in zip(self.free[signature], items, strict=True)]
        if not any(leads):
            return
        kinds, number = signature.kinds, self.number
        for requirement in self.requirements.values():
            at = requirement.chain_at
            if leads[at] and requirement.kind in kinds and (not requirement.profiles or requirement.fits(signature)):
                best = requirement.tops.get(number)
                if best is None or items[at] < best:
                    requirement.offer_head(self, items[at])

    def best_item(self, requirement: Requirement) -> Item | None:
        """The best free agent of the class for a requirement, as a set holds them."""
        if not requirement.profiles:
            return requirement.best.get(self.number)
        rooms = self.by_kind.get(requirement.kind, {})
        fitting = [
            sets[requirement.chain_at].first() for signature, sets in rooms.items() if requirement.fits(signature)
        ]
        return min(fitting, default=None)

    def entry(self, requirement: Requirement, item: Item) -> _Entry:
        """An agent of the class as the requirement's heads hold them."""
        if requirement.simple:
            key = (*self.parts(requirement), *item) if requirement.scored else item
        else:
            score, agent, _ = self.head(requirement, item)
            key = (*score, agent)
        return key, self.number, item

    def _cost(self, requirement: Requirement) -> float:
        """What these agents cost for the requirement by how well they serve it."""
        cost = requirement.costs.get(self.number)
        if cost is None:
            cost = fit_cost(self.fitness(requirement))
            if self.number >= 0:
                requirement.costs[self.number] = cost
        return cost

    def parts(self, requirement: Requirement) -> Score:
        """What strategies of the chain score for all of these agents alike."""
        parts = requirement.parts.get(self.number)
        if parts is None:
            demand, languages, skills = requirement.demand, self.languages, self.skills
            parts = tuple([class_score(name, demand, languages, skills) for name in requirement.scored])
            if self.number >= 0:
                requirement.parts[self.number] = parts
        return parts

    def head(self, requirement: Requirement, item: Item) -> Head:
        """An agent of the class with their whole score: tier, then the chain in its order."""
        demand = requirement.demand
        tier = demand.raised
        if self.memberships:
            tier = max(self.membership(demand.queue).tier, tier)
        score: Score = item[:-1]  # type: ignore[assignment]  # all but the id, which is last, are numbers
        at = requirement.costed
        if requirement.plain:
            if at is not None:
                score = (*score[:at], score[at] + self._cost(requirement), *score[at + 1 :])
            return (tier, *score), str(item[-1]), self.number
        if requirement.in_front:
            score = (*self.parts(requirement), *score)
        else:
            measured, parts = iter(score), iter(self.parts(requirement))
            score = tuple([next(parts) if whole else next(measured) for whole in requirement.of_class])
        if at is not None:
            score = (*score[:at], score[at] + self._cost(requirement), *score[at + 1 :])
        if demand.also:
            # Whoever speaks an earlier language of the chain is asked first, inside a tier.
            score = (self.speaks(demand) or 0, *score)
        if demand.ranked and demand.only is not None and self.agent is not None:
            # The customer's list decides before anything else does.
            return ((demand.only.index(self.agent), tier, *score), str(item[-1]), self.number)
        return ((tier, *score), str(item[-1]), self.number)


def is_able(agent: Agent, demand: Demand) -> bool:
    """Whether this one agent may serve a demand, named or not: as if they were a class of their own."""
    return CapabilityClass(-1, agent, named=True).why_not(demand) is None


def _by_channel(member: Membership, terms: ChannelTerms) -> Membership:
    """A membership as it holds for contacts of one kind of channel."""
    return replace(
        member,
        priority=member.priority if terms.priority is None else terms.priority,
        delay=member.delay if terms.delay is None else terms.delay,
    )


_PLAIN = Membership(queue="")
