"""Means of repeated runs with their confidence intervals, by Student's t."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_TINY: Final = 1e-300


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and how far off it may be; `half` is None where one run says nothing about that."""

    mean: float
    half: float | None
    runs: int

    @property
    def low(self) -> float | None:
        return None if self.half is None else self.mean - self.half

    @property
    def high(self) -> float | None:
        return None if self.half is None else self.mean + self.half

    def contains(self, value: float) -> bool:
        """Whether the value lies in the interval."""
        return self.half is not None and abs(value - self.mean) <= self.half


def interval(values: Sequence[float], confidence: float) -> Interval:
    """The mean of independent values and the half width of its interval at this confidence (0.95, 0.99)."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Interval(mean, None, len(values))
    error = statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean, error * t_quantile(0.5 + confidence / 2, len(values) - 1), len(values))


def t_quantile(p: float, freedom: int) -> float:
    """Where Student's distribution reaches `p`, for 0.5 ≤ p < 1."""
    low, high = 0.0, 1.0
    while _t_below(high, freedom) < p:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if _t_below(middle, freedom) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _t_below(t: float, freedom: int) -> float:
    """P(T ≤ t) for t ≥ 0."""
    return 1 - incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction where that converges fast."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    )
    return front / _fraction(a, b, x)


def _fraction(a: float, b: float, x: float) -> float:
    """The denominator of the continued fraction, by Lentz's method."""
    value, c, d = 1.0, 1.0, 0.0
    for number in range(1, 400):
        half = number // 2
        if number % 2:
            factor = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            factor = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        d = 1 / (1 + factor * d or _TINY)
        c = 1 + factor / c or _TINY
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value
