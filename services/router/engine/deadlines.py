"""Contacts by deadlines: which one is worth most to an agent who is free, and what may be given away at all.

Of the contacts that ask for the same, two heads are looked at, whatever their number: the oldest that can still be
answered in time, and the oldest that cannot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from services.router.engine.classes import CapabilityClass, Requirement
from services.router.engine.demand import Order
from services.router.engine.passed import START
from services.router.engine.policy import spoken
from services.router.engine.records import UNIT, Agent
from services.router.engine.rooms import free_room
from services.router.engine.slo import NO_LOAD, Load, spares, worth
from services.router.engine.state import Workspace
from shared.vocabulary import AgentId

LAST = math.inf
"""Behind everybody who came at a moment."""

FirstAfter = Callable[[Requirement, Order], Order | None]
"""The first contact behind a place of the order that somebody may get."""


def most_worth(known: CapabilityClass, requirement: Requirement, now: int, first_after: FirstAfter) -> Order | None:
    """The contact of a requirement that is worth most to the agents of a class, as an order: (-worth, …); None if
    they may get none."""
    rule = requirement.queue.slo
    assert rule is not None, f"{requirement.queue.name} has no deadlines"
    kind, target = requirement.demand.kind, requirement.demand.target
    fitness = known.fitness(requirement)
    best: Order | None = None
    for order in _heads(requirement, now - target, first_after, strict=rule.strict):
        age_from = int(order[0])
        valued = (-worth(rule, kind, now - age_from, target, fitness), *order)
        if best is None or valued < best:
            best = valued
    return best


def _heads(requirement: Requirement, late: int, first_after: FirstAfter, *, strict: bool) -> list[Order]:
    """The oldest overdue contact (it is from `late` or before), then the oldest that is not."""
    oldest = first_after(requirement, START)
    if oldest is None:
        return []
    if strict or int(oldest[0]) > late:
        return [oldest]
    fresh = first_after(requirement, (late, LAST))
    return [oldest] if fresh is None else [oldest, fresh]


def overdue(requirement: Requirement, now: int) -> int:
    """How many of those who wait have missed their target."""
    return requirement.waiting.count_to((now - requirement.demand.target, LAST))


class Spare:
    """Free slots by language, and whether they are more than customers with short deadlines may need."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.free: dict[str, int] = {}
        """By language, of all who take offers, in thousandths of a unit."""
        self._of: dict[AgentId, tuple[Mapping[str, int], tuple[str, ...], int]] = {}
        """By agent who takes offers: their languages as they are told and as they are asked for, and their room."""
        self._asked: dict[str, tuple[Load, int, float]] = {}
        """By language the load that was looked at last, when, and what it was then."""

    def sync(self, agent_id: AgentId, agent: Agent | None) -> None:
        """Bring the sums in step with one agent's facts."""
        old = self._of.get(agent_id)
        new = None
        if agent is not None and agent.takes_offers:
            languages = agent.languages
            # Values of records are replaced, never changed inside: the same object says the same.
            asked = old[1] if old is not None and old[0] is languages else tuple(spoken(languages))
            new = (languages, asked, free_room(agent))
        if old is not None and new is not None and old[1] is new[1]:
            self._add(new[1], new[2] - old[2])
        else:
            if old is not None:
                self._add(old[1], -old[2])
            if new is not None:
                self._add(new[1], new[2])
        if new is not None:
            self._of[agent_id] = new
        elif old is not None:
            del self._of[agent_id]

    def _add(self, languages: tuple[str, ...], room: int) -> None:
        for language in languages if room else ():
            free = self.free.get(language, 0) + room
            if free:
                self.free[language] = free
            else:
                self.free.pop(language, None)

    def of(self, language: str, weight: int, now: int) -> bool:
        """Whether a language can spare room for a contact of this weight (thousandths)."""
        reserve = self._workspace.policy.slo.reserve
        if reserve is None:
            return True
        return spares(reserve, self.free.get(language, 0) / UNIT, weight / UNIT, self._slots(language, now))

    def _slots(self, language: str, now: int) -> float:
        """The offered load of a language. One pass asks for the same ones again and again."""
        load = self._workspace.loads.get(language, NO_LOAD)
        known = self._asked.get(language)
        if known is None or known[0] is not load or known[1] != now:
            known = self._asked[language] = (load, now, load.slots(now))
        return known[2]

    def of_class(self, known: CapabilityClass, weight: int, now: int) -> bool:
        """Whether all languages of these agents can."""
        return all(self.of(language, weight, now) for language in known.languages)
