"""How well the policies do on days of our own making: the tables of `docs/routing-quality.md`.

`python -m tests.load.routing_quality [--seeds 1-6] [--jobs 2]` plays what was not played yet and prints Markdown. Each
run is a line of a file as soon as it is through, so whoever is cut short goes on from there. A line belongs to the code
that made it: after a change of the engine or of the twin everything is played anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from services.router.twin.compare import CONFIDENCE
from services.router.twin.day import EMAIL
from services.router.twin.day_options import seeds_of
from services.router.twin.interval import Interval, interval
from services.router.twin.report_text import duration, percent
from services.router.twin.runs import Made, Run, figures_of, in_parallel

ROOT: Final = Path(__file__).resolve().parents[2]
KEPT: Final = ROOT / "build" / "routing-quality.jsonl"
PLAYS: Final = ("services/router/engine", "services/router/twin", "shared/contracts")
"""The code that decides what a run gives."""
SIZE: Final = 200
SCENARIOS: Final = ("nominal", "surge", "outage", "rare", "absent")
POLICIES: Final = ("fifo_longest_idle", "priority_longest_idle", "bullseye", "slo")
STRICT: Final = "slo_strict"
BASELINE, OURS = "priority_longest_idle", "slo"
NAMES: Final = ("sl", "sl_int", "ab", "ab_int", "worst_lang", "low5_lang", "occ", "occ_sd", "cpu_s")
DETAILS: Final = ("occ_load", "occ_load_sd", "jain", "ch", "lang_sl", "lang_n", "unserved")

GOALS: Final[Mapping[str, tuple[tuple[float, ...], str]]] = {
    "nominal": ((89.8, 93.1, 93.9, 97.1), "+4.1 ±0.5"),
    "surge": ((73.2, 79.0, 79.7, 87.8), "+8.8 ±0.5"),
    "outage": ((89.4, 93.0, 93.8, 96.9), "+3.9 ±0.9"),
    "rare": ((84.5, 89.9, 90.6, 94.3), "+4.4 ±0.9"),
    "absent": ((71.5, 87.8, 88.1, 89.5), "+1.7 ±0.4"),
}
"""What `slo` was designed to: interactive service level of `POLICIES`, and the gain, on another generator's days."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One run that was played: its figures by name, as `measure.Figures` has them."""

    scenario: str
    policy: str
    seed: int
    figures: Mapping[str, Any]

    @property
    def contacts(self) -> int:
        return sum(channel["n"] for channel in self.figures["ch"].values())


def wanted(scenarios: Sequence[str], seeds: Iterable[int], load: float) -> list[Run]:
    """The runs of the tables, one seed after the other, so that what is there at any time is whole days."""
    return [
        Run(policy, seed, Made(scenario, seed, SIZE, load))
        for seed in seeds
        for scenario in scenarios
        for policy in (*POLICIES, *((STRICT,) if scenario == "nominal" else ()))
    ]


def fingerprint() -> str:
    """Of the code that plays a run."""
    found = hashlib.sha256()
    for place in PLAYS:
        for path in sorted((ROOT / place).rglob("*.py")):
            found.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return found.hexdigest()[:16]


def kept(path: Path, code: str, load: float) -> dict[tuple[str, str, int], Kept]:
    """What was played already by this code with this load, by scenario, policy and seed."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            each = json.loads(line)
        except ValueError:
            continue  # A run was cut short while it wrote.
        if each["code"] == code and each["load"] == load:
            run = Kept(each["scenario"], each["policy"], each["seed"], each["figures"])
            found[run.scenario, run.policy, run.seed] = run
    return found


def play_and_keep(path: Path, code: str, run: Run) -> None:
    """Play a run and append its line, whole or not at all."""
    assert isinstance(run.source, Made)
    whole = asdict(figures_of(run))
    line = {
        "code": code,
        "scenario": run.source.scenario,
        "policy": run.policy,
        "seed": run.seed,
        "load": run.source.load,
        "figures": {name: whole[name] for name in (*NAMES, *DETAILS)},
    }
    with path.open("ab", buffering=0) as file:
        file.write(json.dumps(line).encode() + b"\n")


def play_what_is_missing(path: Path, runs: Sequence[Run], code: str, load: float, jobs: int | None) -> None:
    """Play those of the runs that are not in the file."""
    there = kept(path, code, load)
    missing = [
        run for run in runs if isinstance(run.source, Made) and (run.source.scenario, run.policy, run.seed) not in there
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    in_parallel(partial(play_and_keep, path, code), missing, jobs=jobs, told="days played")


# Tables

Days = dict[str, dict[str, dict[int, Kept]]]
"""By scenario, policy and seed."""


def by_day(runs: Iterable[Kept]) -> Days:
    """Runs by scenario and policy, of the seeds that were played under every policy of the scenario."""
    days: Days = {}
    for run in runs:
        days.setdefault(run.scenario, {}).setdefault(run.policy, {})[run.seed] = run
    for policies in days.values():
        whole = set.intersection(*(set(by_seed) for by_seed in policies.values()))
        for name, by_seed in policies.items():
            policies[name] = {seed: by_seed[seed] for seed in sorted(by_seed) if seed in whole}
    return {name: days[name] for name in SCENARIOS if name in days}


def mean(runs: Mapping[int, Kept], figure: Callable[[Mapping[str, Any]], float]) -> Interval:
    """A figure over the seeds."""
    return interval([figure(run.figures) for run in runs.values()], CONFIDENCE)


def gain(days: Mapping[str, Mapping[int, Kept]], figure: str) -> Interval:
    """Of `slo` over `priority_longest_idle`, on the same days."""
    ours, theirs = days[OURS], days[BASELINE]
    return interval([ours[seed].figures[figure] - theirs[seed].figures[figure] for seed in ours], CONFIDENCE)


def service_levels(days: Days) -> Iterator[str]:
    """Interactive service level by scenario and policy, with the gain; in brackets what was aimed at."""
    yield "| scenario | days | " + " | ".join(f"`{name}`" for name in POLICIES) + " | gain over priority |"
    yield "|---|---|" + "---|" * len(POLICIES) + "---|"
    for scenario, policies in days.items():
        goals, goal = GOALS[scenario]
        cells = [
            f"{percent(mean(policies[name], lambda each: each['sl_int']))} ({aim})"
            for name, aim in zip(POLICIES, goals, strict=True)
        ]
        better = f"{percent(gain(policies, 'sl_int'), signed=True)} ({goal})"
        yield f"| {scenario} | {len(policies[OURS])} | " + " | ".join(cells) + f" | {better} |"


COLUMNS: Final[Mapping[str, Callable[[Mapping[str, Any]], float]]] = {
    "lowest five languages": lambda each: each["low5_lang"],
    "lowest language": lambda each: each["worst_lang"],
    "chat in time": lambda each: each["ch"]["chat"]["sl"],
    "mail in time": lambda each: each["ch"][EMAIL]["sl"],
    "left chat": lambda each: each["ch"]["chat"]["ab"],
    "left, without mail": lambda each: each["ab_int"],
}


def customers(days: Days) -> Iterator[str]:
    """What customers had, by scenario and policy."""
    yield "| scenario | policy | " + " | ".join(COLUMNS) + " | chat, 95 of 100 within | mail, 95 of 100 within |"
    yield "|---|---|" + "---|" * (len(COLUMNS) + 2)
    for scenario, policies in days.items():
        for name, runs in policies.items():
            cells = [percent(mean(runs, figure)) for figure in COLUMNS.values()]
            cells += [duration(_p95(runs, kind)) for kind in ("chat", EMAIL)]
            yield f"| {scenario} | `{name}` | " + " | ".join(cells) + " |"


def _p95(runs: Mapping[int, Kept], kind: str) -> float:
    return statistics.fmean(run.figures["ch"][kind]["p95"] for run in runs.values())


def agents(days: Days) -> Iterator[str]:
    """What agents had, and what a day cost to play."""
    yield (
        "| scenario | policy | occupancy | its spread | occupancy by load | its spread | Jain | CPU seconds of a day |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for scenario, policies in days.items():
        for name, runs in policies.items():
            means = [
                statistics.fmean(run.figures[figure] for run in runs.values())
                for figure in ("occ", "occ_sd", "occ_load", "occ_load_sd", "jain")
            ]
            cpu = [run.figures["cpu_s"] for run in runs.values()]
            cells = [f"{value:.3f}" for value in means]
            cells.append(f"{statistics.median(cpu):.1f} ({min(cpu):.1f} to {max(cpu):.1f})")
            yield f"| {scenario} | `{name}` | " + " | ".join(cells) + " |"


def as_markdown(runs: Iterable[Kept]) -> str:
    """The page's tables."""
    days = by_day(runs)
    contacts = [run.contacts for policies in days.values() for run in policies[OURS].values()]
    note = f"{min(contacts):,} to {max(contacts):,} contacts a day, {SIZE} agents." if contacts else "Nothing played."
    parts = [note, *("\n".join(table(days)) for table in (service_levels, customers, agents))]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Play what is missing and print the tables."""
    words = argparse.ArgumentParser(prog="python -m tests.load.routing_quality", description=__doc__)
    words.add_argument("--seeds", default="6", metavar="N|A-B|A,B", help="so many days of each scenario, or which (6)")
    words.add_argument("--scenario", nargs="+", choices=SCENARIOS, default=SCENARIOS, help="which of them (all)")
    words.add_argument("--load", type=float, default=1.0, help="times the work, with the same agents (1)")
    words.add_argument("--jobs", type=int, metavar="N", help="so many processes (one for each core)")
    words.add_argument("--file", type=Path, default=KEPT, help="where runs are kept, one a line")
    chosen = words.parse_args()
    code = fingerprint()
    runs = wanted(chosen.scenario, seeds_of(chosen.seeds), chosen.load)
    play_what_is_missing(chosen.file, runs, code, chosen.load, chosen.jobs)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, code {code}\n")
    seen = {(run.source.scenario, run.policy, run.seed) for run in runs if isinstance(run.source, Made)}
    print(as_markdown(run for key, run in kept(chosen.file, code, chosen.load).items() if key in seen), end="")


if __name__ == "__main__":
    main()
