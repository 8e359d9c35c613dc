"""`python -m tests.simulation --seeds 1000 --from 0 --jobs 2`: many worlds, one line for each that went wrong."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.simulation.many import play


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many worlds")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--totals", action="store_true", help="also print what happened in all of them together")
    chosen = parser.parse_args()
    began = time.monotonic()
    wrong = 0
    totals: Counter[str] = Counter()
    for result in play(range(chosen.first, chosen.first + chosen.seeds), jobs=chosen.jobs):
        if result.failure:
            wrong += 1
            print(f"seed {result.seed}: {result.failure}\n  make sim SEED={result.seed}", flush=True)
        totals.update(result.totals)
    print(f"{chosen.seeds} worlds, {wrong} wrong, {time.monotonic() - began:.0f} s")
    if chosen.totals:
        for name, number in sorted(totals.items()):
            print(f"  {name:40} {number}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
