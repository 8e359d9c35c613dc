"""Seeded worlds: 150 in every test run; `make sim SEEDS=1000` for more, `make sim SEED=42` for one again."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter
from typing import get_args

import pytest

from shared.contracts.events import CommandRejected, Event
from tests.simulation.ledger import Violation
from tests.simulation.many import play
from tests.simulation.run import simulate
from tests.simulation.virtual_time import Stalled, VirtualLoop

USUAL = 150


def _chosen() -> tuple[range, bool]:
    """The seeds to play, and whether they are the usual ones."""
    if seed := os.environ.get("SEED"):
        return range(int(seed), int(seed) + 1), False
    if seeds := os.environ.get("SEEDS"):
        return range(int(seeds)), int(seeds) >= USUAL
    return range(USUAL), True


@pytest.mark.timeout(1800)
def test_worlds_keep_every_invariant() -> None:
    seeds, usual = _chosen()
    if len(seeds) == 1:
        _play_alone(seeds[0])
        return
    totals: Counter[str] = Counter()
    wrong = []
    for result in play(seeds, jobs=min(os.cpu_count() or 1, 2)):
        totals.update(result.totals)
        if result.failure:
            wrong.append(f"{result.failure}\n  make sim SEED={result.seed}")
    assert not wrong, f"{len(wrong)} of {len(seeds)} worlds went wrong:\n" + "\n".join(sorted(wrong)[:10])
    if usual:
        _was_worth_it(totals)


def _play_alone(seed: int) -> None:
    try:
        simulate(seed)
    except Violation as violation:
        raise AssertionError(f"{violation}\n  make sim SEED={seed}") from violation


def _was_worth_it(totals: Counter[str]) -> None:
    """A world in which nothing happens proves nothing: all kinds of events and faults must have been met."""
    names = {event.__name__ for event in get_args(Event)} - {CommandRejected.__name__}
    events = {f"event {name}" for name in names}
    faults = {"void records", "rollbacks", "recoveries", "messages held"}
    answers = {"refused not_yours", "refused offer_expired", "refused offer_withdrawn", "refused wrong_state"}
    answers.add("refused no_room")
    missing = {name for name in events | faults | answers if not totals[name]}
    assert not missing, f"never met in {USUAL} worlds: {sorted(missing)}"
    judged, made = totals["offers judged"], totals["event OfferMade"]
    assert judged > made * 0.8, f"only {judged} of {made} offers were held against the rule"


def test_same_seed_is_the_same_world_in_every_process() -> None:
    seeds = (1, 6)
    here = [simulate(seed).digest for seed in seeds]
    program = f"from tests.simulation.run import simulate; print(*(simulate(seed).digest for seed in {seeds}))"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    there = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert there.stdout.split() == here
    assert len(set(here)) == len(seeds)


def test_virtual_time_costs_nothing() -> None:
    began = time.monotonic()
    loop = VirtualLoop(random.Random(1))
    try:
        loop.run_until_complete(asyncio.sleep(86_400))
        assert loop.time() == pytest.approx(86_400)
    finally:
        loop.close()
    assert time.monotonic() - began < 5


def test_world_without_future_is_noticed() -> None:
    loop = VirtualLoop(random.Random(1))
    waiting = loop.create_future()
    try:
        with pytest.raises(Stalled):
            loop.run_until_complete(waiting)
    finally:
        loop.close()


def test_ready_tasks_run_in_the_order_of_the_seed() -> None:
    assert _order(1) == _order(1)
    assert len({tuple(_order(seed)) for seed in range(10)}) > 1


def _order(seed: int) -> list[int]:
    ran: list[int] = []

    async def task(number: int) -> None:
        await asyncio.sleep(0)
        ran.append(number)

    async def main() -> None:
        await asyncio.gather(*(task(number) for number in range(5)))

    loop = VirtualLoop(random.Random(seed))
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    return ran
