"""How often waits stay under the bound that was given for nine tenths of them, on days that the bounds have not seen.

`python -m tests.load.wait_bounds` plays days of the twin's own making one after the other through one engine, which
learns from each (ADR 12), and prints the coverage of every day by channel as Markdown: the table of
`docs/routing-quality.md`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import pytest

from services.router.engine import lines
from services.router.engine.waits import STEPS, Line, Promise, judge, kind_of, step
from services.router.twin.day import Agent, Arrival, Day
from services.router.twin.generate import CHANNELS, generate
from services.router.twin.play import MIDNIGHT, play
from services.router.twin.policies import policy_for
from services.router.twin.whatif import without_absent

DAY_MS: Final = 86_400_000
DAYS: Final = ("nominal", "nominal", "nominal", "nominal", "nominal", "surge", "absent")
"""The first is the one that everything is learned from."""
KEEP_S: Final = 3600
"""Ended contacts of a week would fill the memory, and no rule asks for them."""

Judged = dict[tuple[int, str], list[tuple[int, int]]]
"""By day and channel, every wait that was judged, and the bound that it was given (ms)."""


def week(size: int) -> Day:
    """The days as one: the customers of seed 1, 2, …, and always the agents of seed 1."""
    staff = generate("nominal", 1, agents=size)
    arrivals: list[Arrival] = []
    shifts: dict[str, list[tuple[int, int]]] = {agent.id: [] for agent in staff.agents}
    for number, scenario in enumerate(DAYS):
        begin = number * DAY_MS
        customers = generate("nominal" if scenario == "absent" else scenario, number + 1, agents=size)
        arrivals += (replace(each, id=f"{number}-{each.id}", at=each.at + begin) for each in customers.arrivals)
        there = without_absent(staff, 0.15 if scenario == "absent" else 0.0, number + 1)
        for agent in there.agents:
            shifts[agent.id] += ((begin + start, begin + end) for start, end in agent.shifts)
    agents = tuple(_working(agent, shifts[agent.id]) for agent in staff.agents)
    drain = (len(DAYS) - 1) * DAY_MS / 1000 + staff.config.drain_until_s
    return Day(tuple(arrivals), agents, staff.config.model_copy(update={"drain_until_s": drain}))


def _working(agent: Agent, shifts: Sequence[tuple[int, int]]) -> Agent:
    return replace(agent, shifts=tuple(shifts))


def played(day: Day) -> Judged:
    """Every wait that the engine held against its bound, in the day in which it began."""
    found: Judged = {}
    begins = MIDNIGHT + round(day.config.begins_s * 1000)

    def watched(line: Line, given: Promise, wait: int, *, answered: bool) -> Line:
        if answered or wait > given.most:
            # Whoever gave up below the bound tells nothing about it.
            found.setdefault(((given.at - begins) // DAY_MS, kind_of(given.line)), []).append((wait, given.most))
        return judge(line, given, wait, answered=answered)

    document = {**policy_for("slo", day.config), "keep_ended_s": KEEP_S}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "judge", watched)
        play(day, document)
    return found


def table(found: Mapping[tuple[int, str], Sequence[tuple[int, int]]]) -> Iterator[str]:
    """Coverage by day and channel, in brackets how many waits were judged; then all unseen ordinary days together."""
    yield "| day | " + " | ".join(CHANNELS) + " |"
    yield "|---|" + "---|" * len(CHANNELS)
    for number, scenario in enumerate(DAYS):
        name = f"{number + 1}, {scenario}" + (" (learned from nothing)" if number == 0 else "")
        yield f"| {name} | " + " | ".join(_cell(found.get((number, kind), ())) for kind in CHANNELS) + " |"
    ordinary = [number for number, scenario in enumerate(DAYS) if scenario == "nominal" and number]
    whole = {kind: [each for number in ordinary for each in found.get((number, kind), ())] for kind in CHANNELS}
    yield f"| days {ordinary[0] + 1} to {ordinary[-1] + 1} | " + " | ".join(_cell(whole[k]) for k in CHANNELS) + " |"
    said = [[(wait, STEPS[step(most)] * 1000) for wait, most in whole[k] if step(most) < len(STEPS)] for k in CHANNELS]
    yield "| the same, under what is said | " + " | ".join(map(_cell, said)) + " |"


def _cell(waits: Sequence[tuple[int, int]]) -> str:
    return f"{100 * sum(wait <= most for wait, most in waits) / len(waits):.1f} ({len(waits):,})" if waits else ""


def main() -> None:
    """Play and print."""
    words = argparse.ArgumentParser(prog="python -m tests.load.wait_bounds", description=__doc__)
    words.add_argument("--size", type=int, default=200, metavar="AGENTS", help="how large the centre is (200)")
    print("\n".join(table(played(week(words.parse_args().size)))))


if __name__ == "__main__":
    main()
