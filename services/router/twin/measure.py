"""The figures of a day that was played: what customers and agents had of it.

Service level: answered within the target / arrived. Whoever left or still waits at the end of the day was not answered.
Waits (`p95`, `p99`, `max`) are those of the answered, and of whoever still waits at the end as long as they did; `asa`
is the mean of the answered alone. Languages are told without mail, whose long targets would hide how they fare; where
there is nothing else, with it. Shares from 0 to 1, seconds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.router.fairness import jain
from services.router.twin.day import EMAIL
from services.router.twin.play import Case, Played

BUCKET_MS: Final = 5 * 60_000
"""The queue over the day is told for every five minutes."""
LOWEST: Final = 5


@dataclass(frozen=True, slots=True)
class ChannelFigures:
    """What customers of one channel had."""

    n: int
    sl: float
    asa: float
    p95: float
    p99: float
    max: float
    ab: float


@dataclass(frozen=True, slots=True)
class AgentFigures:
    """What one agent had: occupancy by the clock, and weighted with the capacity in use."""

    id: str
    occ: float
    load: float
    answered: int


@dataclass(frozen=True, slots=True)
class Figures:
    """A day's figures. `_int`: of all channels but e-mail; `queue`: by channel, the mean number of those who waited, of
    every five minutes."""

    sl: float
    sl_int: float
    ab: float
    ab_int: float
    worst_lang: float
    low5_lang: float
    lang_sl: dict[str, float]
    occ: float
    occ_sd: float
    cpu_s: float
    ch: dict[str, ChannelFigures]
    occ_load: float
    occ_load_sd: float
    jain: float
    lang_ch_sl: dict[str, dict[str, float]]
    lang_n: dict[str, int]
    agents: tuple[AgentFigures, ...]
    queue: dict[str, list[float]]
    moved: int
    """Contacts that a rule moved to another channel."""
    unserved: int
    """Contacts that waited when the day was over."""

    def number(self, name: str) -> float:
        """One of the figures that are single numbers."""
        value = getattr(self, name)
        assert isinstance(value, float), name
        return value


def measure(played: Played) -> Figures:
    """The figures of a day."""
    cases, config, end = played.cases, played.day.config, played.day.end
    interactive = [case for case in cases if case.channel != EMAIL]
    good = {id(case) for case in cases if _in_time(case, config.target_ms(case.channel))}
    by_language = _groups(interactive or cases, lambda case: case.arrival.language)
    lang_sl = {code: _share(group, good) for code, group in by_language.items()}
    lowest = sorted(lang_sl.values())[:LOWEST]
    agents = _agents(played)
    occ, load = [agent.occ for agent in agents], [agent.load for agent in agents]
    return Figures(
        sl=_share(cases, good),
        sl_int=_share(interactive, good),
        ab=_left(cases),
        ab_int=_left(interactive),
        worst_lang=lowest[0],
        low5_lang=statistics.fmean(lowest),
        lang_sl=lang_sl,
        occ=statistics.fmean(occ),
        occ_sd=statistics.pstdev(occ),
        cpu_s=round(played.cpu_s, 3),
        ch={kind: _channel(group, good, end) for kind, group in _groups(cases, lambda case: case.channel).items()},
        occ_load=statistics.fmean(load),
        occ_load_sd=statistics.pstdev(load),
        jain=jain(load),
        lang_ch_sl={
            code: {kind: _share(part, good) for kind, part in _groups(group, lambda case: case.channel).items()}
            for code, group in by_language.items()
        },
        lang_n={code: len(group) for code, group in by_language.items()},
        agents=agents,
        queue=_queue(cases, end),
        moved=sum(case.channel != case.arrival.channel for case in cases),
        unserved=sum(case.waits for case in cases),
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the values that so many are not above; 0 of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def _in_time(case: Case, target: int) -> bool:
    return case.answered is not None and case.answered - case.arrival.at <= target


def _groups(cases: Iterable[Case], key: Any) -> dict[str, list[Case]]:
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(key(case), []).append(case)
    return dict(sorted(groups.items()))


def _share(cases: Sequence[Case], good: set[int]) -> float:
    return sum(id(case) in good for case in cases) / len(cases) if cases else 1.0


def _left(cases: Sequence[Case]) -> float:
    return sum(case.left is not None for case in cases) / len(cases) if cases else 0.0


def _channel(cases: Sequence[Case], good: set[int], end: int) -> ChannelFigures:
    answered = [(case.answered - case.arrival.at) / 1000 for case in cases if case.answered is not None]
    still = [(end - case.arrival.at) / 1000 for case in cases if case.waits]
    waits = sorted(answered + still)
    return ChannelFigures(
        n=len(cases),
        sl=_share(cases, good),
        asa=statistics.fmean(answered) if answered else 0.0,
        p95=percentile(waits, 0.95),
        p99=percentile(waits, 0.99),
        max=waits[-1] if waits else 0.0,
        ab=_left(cases),
    )


def _agents(played: Played) -> tuple[AgentFigures, ...]:
    answered: dict[str, int] = {}
    for case in played.cases:
        if case.agent is not None:
            answered[case.agent] = answered.get(case.agent, 0) + 1
    found = []
    for agent in played.day.agents:
        there = sum(max(0, min(end, played.day.end) - begin) for begin, end in agent.shifts)
        occ = played.busy[agent.id] / there if there else 0.0
        load = played.loaded[agent.id] / (there * agent.capacity) if there else 0.0
        found.append(AgentFigures(agent.id, occ, load, answered.get(agent.id, 0)))
    return tuple(found)


def _queue(cases: Sequence[Case], end: int) -> dict[str, list[float]]:
    count = math.ceil(end / BUCKET_MS)
    waiting: dict[str, list[float]] = {}
    for case in cases:
        until = next(
            (at for at in (case.answered, case.left) if at is not None), end if case.waits else case.arrival.at
        )
        buckets = waiting.setdefault(case.channel, [0.0] * count)
        begin = case.arrival.at
        while begin < until:
            place = begin // BUCKET_MS
            stop = min(until, (place + 1) * BUCKET_MS)
            buckets[min(place, count - 1)] += (stop - begin) / BUCKET_MS
            begin = stop
    return dict(sorted(waiting.items()))
