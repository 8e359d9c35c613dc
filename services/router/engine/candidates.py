"""Which capability classes may serve a demand, found without a look at those that do not come into question."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from services.router.engine.classes import CapabilityClass, Requirement
from services.router.engine.demand import ANY_LANGUAGE, Demand

_ByNumber = dict[int, CapabilityClass]
_Levels = dict[int, int]
"""By class number, in order, how well a language is spoken or a skill is had."""
_NOBODY: _Levels = {}
MOST_KEPT = 2_000
"""So many answers are kept before all are forgotten; each names every class that may serve."""

_T = TypeVar("_T")


class Candidates:
    """All capability classes, by the names, languages and skills that a demand may insist on."""

    def __init__(self) -> None:
        self._all: _ByNumber = {}
        self._named: dict[str, _ByNumber] = {}
        self._speaking: dict[str, _ByNumber] = {}
        self._skilled: dict[str, _ByNumber] = {}
        self._spoken: dict[str, _Levels] = {}
        self._skills: dict[str, _Levels] = {}
        self._by_ability: dict[tuple[object, ...], tuple[_ByNumber, dict[str, int]]] = {}
        """By language, its least level and skills, who may serve a demand by levels and how many are excluded: the same
        for every queue and kind."""
        self._means: dict[tuple[object, ...], dict[int, tuple[float, ...]]] = {}
        """By language and skills, what `best_skill` scores."""
        self._placed: set[int] = set()
        """Classes whose queues, channels or memberships have to be looked at as well."""

    def add(self, known: CapabilityClass) -> None:
        """A class that is new."""
        self._by_ability.clear()
        self._means.clear()
        self._all[known.number] = known
        if known.agent is not None:
            self._named.setdefault(known.agent, {})[known.number] = known
        for kept, names in ((self._speaking, known.languages), (self._skilled, known.skills)):
            for name in names:
                kept.setdefault(name, {})[known.number] = known
        for levels, had in ((self._spoken, known.languages), (self._skills, known.skills)):
            for name, level in had.items():
                levels.setdefault(name, {})[known.number] = level
        if known.placed:
            self._placed.add(known.number)

    def relate(self, requirement: Requirement, demand: Demand) -> None:
        """Tell a requirement which classes may serve it, and how many the others are, by the first reason why they may
        not. `demand`: what it asks for now."""
        anybody = demand.any_agent or "skills" in demand.bypass
        plain = demand.only is None and not anybody and not demand.also and not demand.barred
        found = self._by_level(demand) if plain else None
        if found is not None:
            able, excluded = found[0].copy(), found[1].copy()
            if requirement.scored == ("best_skill",):
                requirement.parts = self._mean_levels(demand, able)
        else:
            few, excluded = self._of(demand)
            able = {}
            for number, known in few.items():
                reason = known.why_not(demand)
                if reason is None:
                    able[number] = known
                else:
                    excluded[reason] = excluded.get(reason, 0) + 1
        requirement.by_number, requirement.excluded = able, excluded
        requirement.tiered = not self._placed.isdisjoint(able)
        for known in able.values():
            known.requirements[requirement.number] = requirement

    def _mean_levels(self, demand: Demand, able: _ByNumber) -> dict[int, tuple[float, ...]]:
        """What the strategy `best_skill` scores for each: as `class_score`, without a look at each class."""
        tables = [self._skills.get(skill, _NOBODY) for skill, _ in demand.skills]
        if not tables:
            return {}
        asked = (demand.language, demand.language_min, demand.skills)
        means = self._means.get(asked)
        if means is None:
            columns = [[levels[number] for number in able] for levels in tables]
            means = {
                number: (-(sum(had) / len(had)),) for number, had in zip(able, zip(*columns, strict=True), strict=True)
            }
            _keep(self._means, asked, means)
        return means.copy()

    def _by_level(self, demand: Demand) -> tuple[_ByNumber, dict[str, int]] | None:
        """Who may serve the demand, and how many others may not, where nothing but levels counts; None where more
        does."""
        asked = (demand.language, demand.language_min, demand.skills)
        found = self._by_ability.get(asked)
        if found is None:
            few, excluded = self._of(demand)
            if not self._placed.isdisjoint(few):
                return None
            found = (self._able_by_level(demand, few, excluded), excluded)
            _keep(self._by_ability, asked, found)
        return found

    def _able_by_level(self, demand: Demand, few: _ByNumber, excluded: dict[str, int]) -> _ByNumber:
        """Who may serve the demand where nothing but levels counts: what `why_not` says, without a look at each class.
        The others are added to those who are excluded."""
        able = list(few)
        failed: list[tuple[int, str, int]] = []
        asked = [("skill", self._skills.get(skill, _NOBODY), level) for skill, level in demand.skills]
        if demand.language:
            asked.insert(0, ("language", self._spoken.get(demand.language, _NOBODY), demand.language_min))
        for reason, levels, least in asked:
            left = [number for number in able if levels.get(number, 0) >= least]
            if len(left) < len(able):
                first = next(number for number in able if levels.get(number, 0) < least)
                failed.append((first, reason, len(able) - len(left)))
                able = left
        # In the order in which a look at each class would have met them.
        for _, reason, count in sorted(failed):
            excluded[reason] = excluded.get(reason, 0) + count
        return {number: few[number] for number in able}

    def _of(self, demand: Demand) -> tuple[_ByNumber, dict[str, int]]:
        """The classes among which are all that may serve the demand: of the things that it insists on, those who have
        the rarest. And how many the others are, by the reason why they may not."""
        if demand.only is not None:
            return self._without_others(_union(self._named, demand.only), "not_named")
        if demand.any_agent or "skills" in demand.bypass:
            return self._all, {}
        few, lacking = self._all, ""
        if demand.language and ANY_LANGUAGE not in demand.also:
            few, lacking = _union(self._speaking, (demand.language, *demand.also)), "language"
        for skill, _ in demand.skills:
            holders = self._skilled.get(skill, {})
            if len(holders) < len(few):
                few, lacking = holders, "skill"
        return self._without_others(few, lacking)

    def _without_others(self, few: _ByNumber, reason: str) -> tuple[_ByNumber, dict[str, int]]:
        others = len(self._all) - len(few)
        return few, {reason: others} if others else {}


def _keep(kept: dict[tuple[object, ...], _T], asked: tuple[object, ...], found: _T) -> None:
    """Messages may name any skills, so what is kept must not pile up."""
    if len(kept) >= MOST_KEPT:
        kept.clear()
    kept[asked] = found


def _union(kept: dict[str, _ByNumber], names: Iterable[str]) -> _ByNumber:
    found = [kept[name] for name in names if name in kept]
    if len(found) == 1:
        return found[0]
    return {number: known for each in found for number, known in each.items()}
