"""Many runs in several processes: each plays one day under one policy. Results come in the order of the runs."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.router.twin.day import Day, checked, read_day
from services.router.twin.generate import generate
from services.router.twin.measure import Figures, measure
from services.router.twin.play import play
from services.router.twin.policies import policy_for
from services.router.twin.whatif import WhatIf, outages_of, without_absent

Task = TypeVar("Task")
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Files:
    """A day in three files. `begins_s`: what the clock shows at its beginning, in place of what the config says."""

    arrivals: Path
    agents: Path
    config: Path
    begins_s: float | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A day of the twin's own making."""

    scenario: str
    seed: int
    agents: int = 100
    load: float = 1.0


NOTHING: Final = WhatIf()


@dataclass(frozen=True, slots=True)
class Run:
    """One day under one policy. `seed` names the run in reports, and draws who is absent."""

    policy: str
    seed: int
    source: Files | Made
    what_if: WhatIf = NOTHING


@lru_cache(maxsize=16)
def day_of(source: Files | Made) -> Day:
    """The day. Raises `UnreadableDay`."""
    if isinstance(source, Made):
        return generate(source.scenario, source.seed, agents=source.agents, load=source.load)
    day = read_day(source.arrivals, source.agents, source.config)
    if source.begins_s is None:
        return day
    config = day.config.model_copy(update={"begins_s": source.begins_s})
    return checked(Day(day.arrivals, day.agents, config))


def figures_of(run: Run) -> Figures:
    """Play a run. Raises `UnreadableDay`."""
    planned = day_of(run.source)
    day = without_absent(planned, run.what_if.absent, run.seed)
    outages = outages_of(day, run.what_if.down)
    return measure(play(day, policy_for(run.policy, day.config), outages=outages, seed=run.seed))


def in_parallel(work: Callable[[Task], Done], tasks: Sequence[Task], *, jobs: int | None, told: str) -> list[Done]:
    """The work done for every task, in order. `jobs`: so many processes, as many as there are cores if None; with one
    the work is done here. A bar on a terminal's standard error shows how far it is. The first exception ends it all."""
    processes = min(jobs or os.cpu_count() or 1, len(tasks))
    with _bar(told, len(tasks)) as advance:
        if processes <= 1:
            return [advance(work(task)) for task in tasks]
        # Fresh processes: a fork would inherit threads of whoever called.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=context) as pool:
            return [advance(done) for done in pool.map(work, tasks)]


@contextmanager
def _bar(told: str, total: int) -> Iterator[Callable[[Any], Any]]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(told, total=total)

        def advance(done: Any) -> Any:
            progress.advance(bar)
            return done

        yield advance


Results = dict[str, dict[int, Figures]]
"""By policy, then by seed."""


def collect(runs: Iterable[Run], figures: Iterable[Figures]) -> Results:
    """The figures by policy and seed."""
    results: Results = {}
    for run, found in zip(runs, figures, strict=True):
        results.setdefault(run.policy, {})[run.seed] = found
    return results
