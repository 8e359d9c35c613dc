"""The policy `slo`: whom to serve by deadlines. Its formulas, each a function of plain numbers.

A contact's worth to an agent who is free, an agent's cost for a contact that arrives, and what a reserve for customers
with short deadlines keeps free. ADR 11 tells where the numbers come from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

CAPPED = 2.0
"""The worth of a contact past its cap: more than any other's."""
OVERDUE = 1.05
"""The worth of a contact at its deadline, just before it loses by being overdue."""
OVERDUE_GROWTH = 0.02
FRESH = 0.05
FIT_COST = 3.0
"""What an agent of proficiency 1/2 costs more than a perfect one, in slowdowns of one more contact."""
MEMORY = 900_000
"""Time (ms) after which an arrival counts for 1/e in the load."""
LEARNING = 0.05
"""How much the newest handling time moves the mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """Room that is kept for the others before contacts of these kinds get an agent: `factor` standard deviations of the
    languages' load, until a contact has used up `until` of its target."""

    kinds: frozenset[str]
    factor: float
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SloRule:
    """The numbers of the policy. `targets` (ms) and `caps` (in targets) by channel kind, with the one for the rest
    under `""`; `values`: how fast a level works, beside the best one; `slowdown`: how much longer a contact takes
    beside how many others, from none on."""

    overdue_weight: float
    exponent: float
    strict: bool
    priority_shortens: bool
    targets: Mapping[str, int]
    caps: Mapping[str, float]
    values: Mapping[int, float]
    slowdown: tuple[float, ...]
    reserve: Reserve | None

    def target(self, kind: str, own: Mapping[str, int], priority: int) -> int:
        """The target (ms) of a contact; `own`: its queue's, which come first. Priority 1 halves it, 2 makes it a third,
        -1 doubles it."""
        target = own.get(kind) or self.targets.get(kind) or self.targets[""]
        if not self.priority_shortens or not priority:
            return target
        return max(1, target // (1 + priority)) if priority > 0 else target * (1 - priority)

    def value(self, level: int) -> float:
        """How fast somebody of this level works; below the lowest one, as that."""
        known = self.values.get(level)
        return known if known is not None else min(self.values.values())

    def near(self, target: int) -> int:
        """The age (ms) from which on nothing is kept free before a contact with this target."""
        return math.ceil(target * self.reserve.until) if self.reserve is not None else 0


PLAIN = SloRule(
    overdue_weight=1.0,
    exponent=0.0,
    strict=True,
    priority_shortens=False,
    targets={"": 300_000},
    caps={"": 3.0},
    values={5: 1.0},
    slowdown=(1.0,),
    reserve=None,
)
"""Where no document says anything: nothing refers to it."""


def worth(rule: SloRule, kind: str, wait: int, target: int, fitness: float) -> float:
    """What it is worth to give an agent of this fitness (0-1) a contact that has waited so long; times in ms.

    Rises to the deadline; what missed it counts less (`overdue_weight`), until it is so old that it comes before all.
    """
    share = wait / target
    if share >= rule.caps.get(kind, rule.caps[""]):
        return CAPPED
    if share < 1:
        urgency = share + FRESH
    else:
        weight = 1.0 if rule.strict else rule.overdue_weight
        urgency = weight * OVERDUE * (1 + OVERDUE_GROWTH * (share - 1))
    return urgency * float(fitness**rule.exponent)


def fit_cost(fitness: float) -> float:
    """An agent's part of the cost for a contact, by how well they can serve it (0-1]."""
    return FIT_COST * (1 / fitness - 1)


def slowing(slowdown: tuple[float, ...], busy: int) -> float:
    """What one more contact costs an agent who has `busy` of them, in work: (k+1)·s(k+1) - k·s(k). Past the end of the
    table the last step goes on."""
    return _work(slowdown, busy + 1) - _work(slowdown, busy)


def _work(slowdown: tuple[float, ...], count: int) -> float:
    """What so many contacts at once cost."""
    if count <= len(slowdown):
        return count * slowdown[count - 1] if count else 0.0
    step = slowdown[-1] - slowdown[-2] if len(slowdown) > 1 else 0.0
    return count * (slowdown[-1] + step * (count - len(slowdown)))


class Load(NamedTuple):
    """What customers with short deadlines bring in one language: arrivals a second as it was `at` (ms), and the mean
    seconds of an agent's slot that one of them takes."""

    rate: float
    at: int
    seconds: float

    def arrived(self, now: int) -> Load:
        """With one more arrival."""
        return Load(self._rate(now) + 1000 / MEMORY, now, self.seconds)

    def handled(self, seconds: float) -> Load:
        """With one more that is done."""
        return self._replace(seconds=self.seconds + LEARNING * (seconds - self.seconds))

    def slots(self, now: int) -> float:
        """The offered load: how many slots are taken on average."""
        return self._rate(now) * self.seconds

    def _rate(self, now: int) -> float:
        return self.rate * math.exp(-max(0, now - self.at) / MEMORY)


NO_LOAD = Load(0.0, 0, 300.0)
"""Before anything is known: five minutes are a chat's usual length."""


def spares(reserve: Reserve, free: float, weight: float, slots: float) -> bool:
    """Whether a language with so many free slots can spare what one more contact takes (`weight`)."""
    return free - weight >= reserve.factor * math.sqrt(slots)
