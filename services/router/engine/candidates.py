"""Which capability classes come into question for a demand, found without a look at the others."""

from __future__ import annotations

from collections.abc import Iterable

from services.router.engine.classes import CapabilityClass
from services.router.engine.demand import Demand

_ByNumber = dict[int, CapabilityClass]


class Candidates:
    """All capability classes, by the names, languages and skills that a demand may insist on."""

    def __init__(self) -> None:
        self._all: _ByNumber = {}
        self._named: dict[str, _ByNumber] = {}
        self._speaking: dict[str, _ByNumber] = {}
        self._skilled: dict[str, _ByNumber] = {}

    def add(self, known: CapabilityClass) -> None:
        """A class that is new."""
        self._all[known.number] = known
        if known.agent is not None:
            self._named.setdefault(known.agent, {})[known.number] = known
        for kept, names in ((self._speaking, known.languages), (self._skilled, known.skills)):
            for name in names:
                kept.setdefault(name, {})[known.number] = known

    def of(self, demand: Demand) -> tuple[_ByNumber, dict[str, int]]:
        """The classes among which are all that may serve the demand: of the things that it insists on, those who have
        the rarest. And how many the others are, by the reason why they may not."""
        if demand.only is not None:
            return self._without_others(_union(self._named, demand.only), "not_named")
        if demand.any_agent or "skills" in demand.bypass:
            return self._all, {}
        few, lacking = self._all, ""
        if demand.language:
            few, lacking = _union(self._speaking, (demand.language, *demand.also)), "language"
        for skill, _ in demand.skills:
            holders = self._skilled.get(skill, {})
            if len(holders) < len(few):
                few, lacking = holders, "skill"
        return self._without_others(few, lacking)

    def _without_others(self, few: _ByNumber, reason: str) -> tuple[_ByNumber, dict[str, int]]:
        others = len(self._all) - len(few)
        return few, {reason: others} if others else {}


def _union(kept: dict[str, _ByNumber], names: Iterable[str]) -> _ByNumber:
    found = [kept[name] for name in names if name in kept]
    if len(found) == 1:
        return found[0]
    return {number: known for each in found for number, known in each.items()}
