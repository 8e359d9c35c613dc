"""Closed forms for one queue with equal agents: Erlang B, C and A.

`rate` is how many arrive, `service` how many one agent finishes, `leaving` how many of the waiting lose patience, each
in a unit of time; `target` is in the same unit. Arrivals that cannot be answered at once wait (A, C) or leave (B).

Sums run over states with weights in logarithms, and only positive terms are added, so nothing cancels, however large
the centre.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_NEGLIGIBLE: Final = -42.0
"""Logarithm of the weight, against the largest, from which on states are left out."""
_MOST_STATES: Final = 5_000_000


@dataclass(frozen=True, slots=True)
class Expected:
    """`p_wait`: found everybody busy; `asa`: mean wait of the answered; `sl`: answered within the target / arrived;
    `p_abandon`: left / arrived."""

    p_wait: float
    asa: float
    sl: float
    p_abandon: float


def erlang_b(rate: float, service: float, agents: int) -> Expected:
    """Nobody waits: who finds everybody busy leaves. Raises ValueError for numbers that make no centre."""
    _refuse_nonsense(rate, service, agents)
    blocked = blocking(rate / service, agents)
    return Expected(p_wait=blocked, asa=0.0, sl=1 - blocked, p_abandon=blocked)


def erlang_c(rate: float, service: float, agents: int, target: float) -> Expected:
    """Everybody waits as long as it takes. Raises ValueError, also if there is more to do than can be done."""
    _refuse_nonsense(rate, service, agents)
    load = rate / service
    if load >= agents:
        raise ValueError(f"{agents} agents for a load of {load:g}: the queue of model c grows without end")
    blocked = blocking(load, agents)
    waits = blocked / (1 - load / agents * (1 - blocked))
    spare = agents * service - rate
    return Expected(p_wait=waits, asa=waits / spare, sl=1 - waits * math.exp(-spare * target), p_abandon=0.0)


def erlang_a(rate: float, service: float, leaving: float, agents: int, target: float) -> Expected:
    """Everybody waits, but not for ever. Raises ValueError for numbers that make no centre.

    Whoever finds q others waiting is next to be served after q + 1 steps at the rates nμ + iθ, i = 0 … q, if they stay
    for it. Together with staying, that is q + 1 steps at the rates nμ + iθ, i = 1 … q + 1, times the chance to stay,
    nμ / (nμ + (q+1)θ): the steps' sum is the logarithm of a beta variable, its distribution a sum of positive terms.
    """
    _refuse_nonsense(rate, service, agents)
    if not leaving > 0 or not math.isfinite(leaving):
        raise ValueError(f"theta must be above 0, is {leaving:g}; model c is for customers who never leave")
    together = agents * service
    p_wait = served_wait = in_time = p_abandon = steps_mean = 0.0
    late = _late(together, leaving, target)
    below, states = _states(rate, service, leaving, agents)
    for ahead, weight in enumerate(states):
        gone = (ahead + 1) * leaving
        stays = together / (together + gone)
        steps_mean += 1 / (together + gone)
        p_wait += weight
        served_wait += weight * stays * steps_mean
        in_time += weight * stays * (1 - next(late))
        p_abandon += weight * gone / (together + gone)
    return Expected(p_wait, served_wait / (1 - p_abandon), below + in_time, p_abandon)


def blocking(load: float, agents: int) -> float:
    """Erlang's B: how likely all are busy when nobody waits."""
    blocked = 1.0
    for number in range(1, agents + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked


def _late(together: float, leaving: float, target: float) -> Iterator[float]:
    """For q = 0, 1, …: the chance that the q + 1 steps take longer than the target."""
    left = -math.expm1(-leaving * target)
    logarithm = -(together + leaving) * target
    total = math.exp(logarithm)
    yield total
    step = 0
    while True:
        step += 1
        grown = left * (together / leaving + step) / step
        logarithm = logarithm + math.log(grown) if grown > 0 else -math.inf
        total = min(1.0, total + math.exp(logarithm))
        yield total


def _states(rate: float, service: float, leaving: float, agents: int) -> tuple[float, list[float]]:
    """How likely somebody is free, and how likely all are busy with q waiting, for q = 0, 1, …"""
    logarithms = [0.0]
    top = 0.0
    number = 0
    while number < agents or logarithms[-1] > top + _NEGLIGIBLE or rate > _pace(number, service, leaving, agents):
        number += 1
        logarithms.append(logarithms[-1] + math.log(rate / _pace(number, service, leaving, agents)))
        top = max(top, logarithms[-1])
        if number > _MOST_STATES:
            raise ValueError("the queue of these numbers is too long to be summed up")
    weights = [math.exp(each - top) for each in logarithms]
    total = math.fsum(weights)
    return math.fsum(weights[:agents]) / total, [weight / total for weight in weights[agents:]]


def _pace(number: int, service: float, leaving: float, agents: int) -> float:
    """How fast contacts go, one way or the other, with so many there."""
    return min(number, agents) * service + max(0, number - agents) * leaving


def _refuse_nonsense(rate: float, service: float, agents: int) -> None:
    for name, value in (("lambda", rate), ("mu", service)):
        if not value > 0 or not math.isfinite(value):
            raise ValueError(f"{name} must be above 0, is {value:g}")
    if agents < 1:
        raise ValueError(f"agents must be at least 1, is {agents}")
