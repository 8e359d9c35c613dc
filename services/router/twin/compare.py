"""Policies side by side: means over the runs, and differences of runs on the same day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.router.twin.interval import Interval, interval
from services.router.twin.runs import Results

CONFIDENCE: Final = 0.95
COMPARED: Final = ("sl", "sl_int", "ab", "ab_int", "worst_lang", "low5_lang", "occ", "occ_sd", "jain")
"""What is compared of a run's figures."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How a policy's figure differs from the first policy's, run by run on the same day."""

    policy: str
    against: str
    by: dict[str, Interval]


def means(results: Results, policy: str, names: Sequence[str] = COMPARED) -> dict[str, Interval]:
    """A policy's mean figures over its runs."""
    runs = results[policy]
    return {name: interval([runs[seed].number(name) for seed in sorted(runs)], CONFIDENCE) for name in names}


def differences(results: Results, names: Sequence[str] = COMPARED) -> list[Difference]:
    """Of every policy but the first, against the first, paired by seed."""
    against, *others = results
    found = []
    for policy in others:
        seeds = sorted(results[policy].keys() & results[against].keys())
        by = {
            name: interval(
                [results[policy][seed].number(name) - results[against][seed].number(name) for seed in seeds], CONFIDENCE
            )
            for name in names
        }
        found.append(Difference(policy, against, by))
    return found
