"""Cases of which the truth is known, played through the engine: the Erlang models of `docs/routing-quality.md`.

`python -m tests.load.erlang_cases [--jobs 2]`; each case is also `python -m services.router twin erlang …`, with the
numbers of its row. Of a hundred intervals at 99 % one is wrong.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

from services.router.twin.erlang_runs import CONFIDENCE, Centre, simulate

CASES: Final = (
    Centre("b", 9, 1, 0, 10, 0),
    Centre("b", 60, 1, 0, 50, 0),
    Centre("c", 8, 1, 0, 10, 0.2),
    Centre("c", 45, 1, 0, 50, 0.1),
    Centre("a", 11, 1, 0.5, 10, 0.2),
    Centre("a", 60, 1, 0.25, 50, 0.2),
)
CONTACTS, REPETITIONS = 1500, 20
TOLD: Final = {"p_wait": "P(wait)", "asa": "ASA", "sl": "service level", "p_abandon": "P(abandon)"}
SAY: Final = {"b": ("p_wait",), "c": ("p_wait", "asa", "sl"), "a": ("p_wait", "asa", "sl", "p_abandon")}
"""What is a question in the model: where nobody waits, P(wait) is P(lost) and the rest follows."""


def rows(case: Centre, jobs: int | None) -> Iterator[str]:
    """One line for each figure of a case."""
    expected = case.expected()
    found = simulate(case, contacts=CONTACTS, repetitions=REPETITIONS, seed=1, jobs=jobs)
    leaving = f"{case.leaving:g}" if case.model == "a" else ""
    names = [case.model.upper(), f"{case.rate:g}", f"{case.service:g}", leaving, str(case.agents), f"{case.target:g}"]
    for name in SAY[case.model]:
        truth, said = getattr(expected, name), found[name]
        inside = "inside" if said.contains(truth) else "**outside**"
        cells = [*names, TOLD[name], f"{said.mean:.4f}", f"{said.low:.4f} to {said.high:.4f}", f"{truth:.4f}", inside]
        yield "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table, row by row."""
    words = argparse.ArgumentParser(prog="python -m tests.load.erlang_cases", description=__doc__)
    words.add_argument("--jobs", type=int, metavar="N", help="so many processes (one for each core)")
    jobs = words.parse_args().jobs
    print(f"{REPETITIONS} repetitions of {CONTACTS:,} contacts each, after the warm-up.\n")
    print(f"| model | λ | μ | θ | agents | target | figure | simulated | {CONFIDENCE:.0%} interval | closed form | |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for case in CASES:
        for row in rows(case, jobs):
            print(row, flush=True)


if __name__ == "__main__":
    main()
