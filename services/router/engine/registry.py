"""What contacts ask for and which agents may serve it: requirements and capability classes, registered with each other.

Agents with the same abilities share a class, contacts that ask for the same share a requirement. Which classes serve
which requirement is decided once for each pair: when either of the two is new here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.router.engine.candidates import Candidates
from services.router.engine.chains import Chain
from services.router.engine.classes import BestFree, CapabilityClass, Requirement
from services.router.engine.demand import Demand
from services.router.engine.records import Agent
from services.router.engine.rooms import Rooms
from services.router.engine.staffing import QueueCounts
from services.router.engine.state import Workspace
from shared.vocabulary import AgentId

MAX_IDLE_REQUIREMENTS = 10_000

_CLASSES_EACH = 3
_CLASSES_SPARE = 64
"""More capability classes than so many for each agent, and a few, are derived anew: most of them are nobody's."""


class Registry:
    """One index's."""

    def __init__(
        self, workspace: Workspace, rooms: Rooms, counts: Mapping[str, QueueCounts], chain_of: Mapping[str, Chain]
    ) -> None:
        """`counts`: by queue, who is there. `chain_of`: by queue, by what its agents are chosen."""
        self.requirements: dict[Demand, Requirement] = {}
        self.of_queue: dict[str, dict[Demand, Requirement]] = {name: {} for name in chain_of}
        self.classes: dict[tuple[object, ...], CapabilityClass] = {}
        self.chains: tuple[Chain, ...] = tuple(dict.fromkeys(chain_of.values()))
        self.best = BestFree(self.chains)
        self.outgrown = False
        """Whether many classes are nobody's any more, because profiles changed."""
        self.taking_in = False
        """Requirements are being registered for contacts that are not in their `waiting` yet."""
        self.by_asks: dict[tuple[object, ...], Requirement] = {}
        """Requirements by the facts of contacts that ask for no agents in particular."""
        self._workspace = workspace
        self._rooms = rooms
        self._counts = counts
        self._chain_of = chain_of
        self._candidates = Candidates()
        self._class_of: dict[AgentId, tuple[tuple[object, ...], CapabilityClass]] = {}
        self._widest: dict[object, Requirement] = {}
        """By what is `alike`, a requirement whose heads may be taken over."""
        self._earlier: dict[Demand, Requirement] = {}
        """While contacts are taken in, those of an earlier registry that nobody asked for yet."""
        self._made_so_far = 0
        self._forget_at = 0
        """With so many requirements the idle ones are forgotten, though never with fewer than the module's maximum."""

    # Requirements

    def requirement(self, demand: Demand) -> Requirement:
        """The demand's requirement, registered."""
        known = self.requirements.get(demand)
        return known if known is not None else self._register(self.made(demand, self._earlier.pop(demand, None)))

    def made(self, demand: Demand, earlier: Requirement | None = None) -> Requirement:
        """A requirement for the demand that is not registered; `earlier`: the one of an earlier registry, to be this
        one now."""
        queue = self._workspace.policy.queues[demand.queue]
        self._made_so_far += 1
        chain = self._chain_of[queue.name]
        group = self._rooms.group(queue.name)
        if earlier is None:
            return Requirement(self._made_so_far, demand, queue, group, chain, self.best)
        earlier.serve_under(self._made_so_far, queue, group, chain, self.best)
        return earlier

    def take_over(self, before: Registry, queues: Iterable[str]) -> None:
        """What contacts ask for in these queues is as it was under an earlier policy, whose registry this was; what
        they ask for in others may be. Until `taken_in`."""
        self._earlier = before.requirements
        for name in queues:
            for demand, requirement in before.of_queue[name].items():
                if requirement.waiting:
                    self._register(self.made(demand, requirement))

    def taken_in(self) -> None:
        """Everybody who waits has a requirement."""
        self.taking_in = False
        self._earlier = {}

    def _register(self, requirement: Requirement) -> Requirement:
        if len(self.requirements) >= max(self._forget_at, MAX_IDLE_REQUIREMENTS) and not self.taking_in:
            self._forget_idle_requirements()
        self.relate_all(requirement)
        self.requirements[requirement.demand] = requirement
        self.of_queue[requirement.queue.name][requirement.demand] = requirement
        return requirement

    def _forget_idle_requirements(self) -> None:
        """Messages may name any skills, so requirements nobody waits under must not pile up."""
        self.by_asks.clear()
        idle = {key for key, requirement in self.requirements.items() if not requirement.waiting}
        numbers = {self.requirements[key].number for key in idle}
        self.requirements = {key: r for key, r in self.requirements.items() if key not in idle}
        for name, known in self.of_queue.items():
            self.of_queue[name] = {key: r for key, r in known.items() if key not in idle}
        for each in self.classes.values():
            each.forget(numbers)
        self._widest = {alike: r for alike, r in self._widest.items() if r.number not in numbers}
        # Those that are left have somebody waiting: looked through again only when there are twice as many.
        self._forget_at = 2 * len(self.requirements)

    # Who serves what

    def relate_all(self, requirement: Requirement) -> None:
        """Decide anew which classes serve a requirement."""
        self._candidates.relate(requirement, self.effective(requirement.demand))
        alike = requirement.alike
        wider = self._widest.get(alike)
        if wider is not None and wider is not requirement and requirement.by_number.keys() <= wider.by_number.keys():
            requirement.take_heads(wider)
            return
        requirement.rebuild_heads()
        if alike is not None:
            self._widest[alike] = requirement

    def relate_tiers(self, queue: str) -> None:
        """Which tiers count as open in a queue has changed: decide anew for what asks for tiers."""
        for requirement in self.of_queue[queue].values():
            if requirement.demand.tier is None:
                continue
            for known in requirement.by_number.values():
                known.requirements.pop(requirement.number, None)
            self.relate_all(requirement)
            if requirement.waiting:
                for known in requirement.classes:
                    known.offer_want(requirement)

    def _relate(self, known: CapabilityClass, requirement: Requirement) -> None:
        reason = known.why_not(self.effective(requirement.demand))
        if reason is None:
            requirement.by_number[known.number] = known
            known.requirements[requirement.number] = requirement
            if known.placed and not requirement.tiered:
                requirement.tiered = True
                requirement.rebuild_heads()
        else:
            requirement.excluded[reason] = requirement.excluded.get(reason, 0) + 1

    def effective(self, demand: Demand) -> Demand:
        """With the next tier that somebody is there of open, as long as nobody of the open ones is, where the queue
        says so."""
        tier = demand.tier
        if tier is None or not self._workspace.policy.queues[demand.queue].skip_empty_tiers:
            return demand
        lowest = self._counts[demand.queue].lowest_tier
        return demand if lowest is None or lowest <= tier else demand._replace(tier=lowest)

    # Classes

    def class_of(self, agent: Agent, *, named: bool) -> CapabilityClass:
        """The agent's capability class, registered; of their own if they are `named`."""
        known = self._class_of.get(agent.id)
        # Values of records are replaced, never changed inside: the same objects are the same abilities.
        if known is not None:
            languages, skills, queues, channels, memberships, was_named = known[0]
            if (
                languages is agent.languages
                and skills is agent.skills
                and queues is agent.queues
                and channels is agent.channels
                and memberships is agent.memberships
                and was_named is named
            ):
                return known[1]
        key = (
            tuple(sorted(agent.languages.items())),
            tuple(sorted(agent.skills.items())),
            tuple(sorted(agent.queues)),
            tuple(sorted(agent.channels)),
            tuple((m.queue, m.priority, m.delay, m.tier, m.channels, m.per_channel) for m in agent.memberships),
            agent.id if named else None,
        )
        capability = self.classes.get(key)
        if capability is None:
            capability = self.classes[key] = CapabilityClass(len(self.classes), agent, named=named)
            self._candidates.add(capability)
            # Each agent may be in a class of their own and, while somebody waits for them by name, in another.
            self.outgrown |= len(self.classes) > _CLASSES_EACH * len(self._class_of) + _CLASSES_SPARE
            for requirement in self.requirements.values():
                self._relate(capability, requirement)
            capability.rebuild_wants()
        abilities = (agent.languages, agent.skills, agent.queues, agent.channels, agent.memberships, named)
        self._class_of[agent.id] = (abilities, capability)
        return capability
