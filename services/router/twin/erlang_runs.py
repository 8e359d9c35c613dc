"""The same centre played through the engine, many times: what the twin finds beside what the closed form says."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import dataclass
from typing import Final

from services.router.twin.day import Agent, Arrival, Config, Day
from services.router.twin.dice import dice
from services.router.twin.erlang import Expected, erlang_a, erlang_b, erlang_c
from services.router.twin.interval import Interval, interval
from services.router.twin.play import play
from services.router.twin.policies import policy_for
from services.router.twin.runs import in_parallel

CONFIDENCE: Final = 0.99
LONGEST_S: Final = 20 * 86_400
"""However many contacts there are, they come within so long on the twin's clock."""
MEASURES: Final = ("p_wait", "asa", "sl", "p_abandon")


@dataclass(frozen=True, slots=True)
class Centre:
    """Model `a`, `b` or `c` with its rates in a common unit of time; `leaving` counts in model a only."""

    model: str
    rate: float
    service: float
    leaving: float
    agents: int
    target: float

    def expected(self) -> Expected:
        """What the closed form says. Raises ValueError for numbers that it is not made for."""
        if self.model == "b":
            return erlang_b(self.rate, self.service, self.agents)
        if self.model == "c":
            return erlang_c(self.rate, self.service, self.agents, self.target)
        return erlang_a(self.rate, self.service, self.leaving, self.agents, self.target)

    @property
    def warm_up(self) -> int:
        """Contacts until hardly anything is left of the empty beginning: five times the longest that a disturbance
        takes to fade, and twenty services at least. Where customers leave, it fades no slower than they do."""
        fading = self.service * (math.sqrt(self.agents) - math.sqrt(self.rate / self.service)) ** 2
        if self.model != "c":
            fading = max(fading, min(self.service, self.leaving if self.model == "a" else self.service))
        return math.ceil(self.rate * max(5 / fading, 20 / self.service))


@dataclass(frozen=True, slots=True)
class Repetition:
    """One independent run: so many contacts are measured after the warm-up."""

    centre: Centre
    contacts: int
    seed: int
    number: int


def simulate(
    centre: Centre, *, contacts: int, repetitions: int, seed: int, jobs: int | None = 1
) -> dict[str, Interval]:
    """The measures, each with its 99 % interval over the repetitions."""
    tasks = [Repetition(centre, contacts, seed, number) for number in range(repetitions)]
    found = in_parallel(repeat, tasks, jobs=jobs, told="repetitions")
    return {name: interval([getattr(each, name) for each in found], CONFIDENCE) for name in MEASURES}


def repeat(task: Repetition) -> Expected:
    """One run's measures."""
    centre, skipped = task.centre, task.centre.warm_up
    count = skipped + task.contacts
    second = min(1000 * centre.service, LONGEST_S * centre.rate / count)
    day = _day(task, count, second)
    cases = play(day, policy_for("fifo_longest_idle", day.config)).cases[skipped:]
    waits = [(case.answered - case.arrival.at) / 1000 / second for case in cases if case.answered is not None]
    target = centre.target
    return Expected(
        p_wait=1 - sum(wait == 0 for wait in waits) / len(cases),
        asa=statistics.fmean(waits) if waits else 0.0,
        sl=sum(wait <= target for wait in waits) / len(cases),
        p_abandon=sum(case.left is not None for case in cases) / len(cases),
    )


def _day(task: Repetition, count: int, second: float) -> Day:
    """`second`: how many seconds on the twin's clock a unit of time takes."""
    centre = task.centre
    coming, effort, patience = (
        dice("erlang", task.seed, task.number, what) for what in ("coming", "effort", "patience")
    )
    arrivals: list[Arrival] = []
    at = 0.0
    for number in range(count):
        at += coming.expovariate(centre.rate) * second
        work = effort.expovariate(centre.service) * second
        arrivals.append(Arrival(str(number), round(at * 1000), "chat", "en", work, _patience(centre, patience, second)))
    end = at + 200 * second / centre.service + 3600
    agents = [Agent(f"a{n:04d}", {"en": 1.0}, ("chat",), 1.0, ((0, round(end * 1000)),)) for n in range(centre.agents)]
    config = Config(weight={"chat": 1}, slowdown={1: 1.0}, sl_target_s={"chat": 60}, drain_until_s=end, begins_s=0)
    return Day(tuple(arrivals), tuple(agents), config)


def _patience(centre: Centre, luck: random.Random, second: float) -> int | None:
    """In ms; in model b nobody waits at all."""
    if centre.model == "c":
        return None
    return 0 if centre.model == "b" else round(luck.expovariate(centre.leaving) * second * 1000)
