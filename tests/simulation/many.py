"""Many seeds, on one core or several."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.simulation.ledger import Violation
from tests.simulation.run import simulate


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one seed: `failure` is empty if everything held."""

    seed: int
    failure: str = ""
    digest: str = ""
    totals: dict[str, int] = field(default_factory=dict)


def play_one(seed: int) -> Result:
    """One world; whatever goes wrong in it is told, not raised."""
    try:
        outcome = simulate(seed)
    except Violation as violation:
        return Result(seed, failure=str(violation))
    except Exception:
        return Result(seed, failure="".join(traceback.format_exc().splitlines(keepends=True)[-7:]))
    totals = {
        "entries": outcome.entries,
        "void records": outcome.voids,
        "inputs": outcome.inputs,
        "rollbacks": outcome.rollbacks,
        "recoveries": outcome.recoveries,
        "messages held": outcome.held,
        "starts": outcome.starts,
        "offers judged": outcome.judged,
        **{f"event {name}": number for name, number in outcome.events.items()},
        **{f"refused {name}": number for name, number in outcome.refusals.items()},
    }
    return Result(seed, digest=outcome.digest, totals=totals)


def play(seeds: Iterable[int], *, jobs: int = 1) -> Iterator[Result]:
    """The results of all seeds, as they come."""
    if jobs == 1:
        yield from map(play_one, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(play_one, seeds, chunksize=4)
