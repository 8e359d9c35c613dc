"""The options that name a day, the same for every command that plays one."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Final

from services.router.twin.day import UnreadableDay
from services.router.twin.generate import SCENARIOS
from services.router.twin.runs import Files, Made

MOST_SEEDS: Final = 1000


def add_day(parser: argparse.ArgumentParser) -> None:
    """Where the day comes from, and how it is played."""
    parser.add_argument("--arrivals", type=Path, nargs="+", metavar="FILE", help="arrivals.jsonl, one contact a line")
    parser.add_argument("--agents", type=Path, nargs="+", metavar="FILE", help="agents.json, of the same day")
    parser.add_argument("--config", type=Path, metavar="FILE", help="config.json, the physics")
    parser.add_argument("--begins", metavar="HH:MM", help="what the clock says when the files' day begins (08:00)")
    parser.add_argument("--scenario", choices=SCENARIOS, help="in place of files: days of our own making")
    parser.add_argument(
        "--seeds", default=None, metavar="N|A-B|A,B", help="with --scenario: so many days, or which (1)"
    )
    parser.add_argument(
        "--size", type=int, default=100, metavar="AGENTS", help="with --scenario: how large (100 agents)"
    )
    parser.add_argument("--load", type=float, default=1.0, help="with --scenario: times the work")
    parser.add_argument("--jobs", type=int, metavar="N", help="so many processes (one for each core)")


def sources_of(chosen: argparse.Namespace) -> list[tuple[int, Files | Made]]:
    """The days that were named, each with its seed (files count from 0). Raises `UnreadableDay`."""
    if chosen.scenario is not None:
        if chosen.arrivals or chosen.agents:
            raise UnreadableDay("--scenario makes the day; --arrivals and --agents name one: only one of the two")
        return [(seed, Made(chosen.scenario, seed, chosen.size, chosen.load)) for seed in seeds_of(chosen.seeds or "1")]
    if not chosen.arrivals or not chosen.agents or chosen.config is None:
        raise UnreadableDay("name a day: --arrivals, --agents and --config, or --scenario")
    if len(chosen.arrivals) != len(chosen.agents):
        raise UnreadableDay("--arrivals and --agents: as many of the one as of the other")
    if chosen.seeds is not None:
        raise UnreadableDay("--seeds goes with --scenario; several files of arrivals and agents are several days")
    begins = None if chosen.begins is None else _seconds(chosen.begins)
    pairs = zip(chosen.arrivals, chosen.agents, strict=True)
    return [(number, Files(arrivals, agents, chosen.config, begins)) for number, (arrivals, agents) in enumerate(pairs)]


def seeds_of(words: str) -> list[int]:
    """`5`: the seeds 1 to 5; `3-7`: these; `1,4,9`: these. Raises `UnreadableDay`."""
    if re.fullmatch(r"\d+", words):
        seeds = list(range(1, int(words) + 1))
    elif match := re.fullmatch(r"(\d+)-(\d+)", words):
        seeds = list(range(int(match[1]), int(match[2]) + 1))
    elif re.fullmatch(r"\d+(,\d+)*,?", words):
        seeds = list(dict.fromkeys(int(each) for each in words.split(",") if each))
    else:
        raise UnreadableDay(f"--seeds {words}: a number, as 1-10 or as 1,4,9")
    if not 0 < len(seeds) <= MOST_SEEDS:
        raise UnreadableDay(f"--seeds {words}: between 1 and {MOST_SEEDS} of them")
    return seeds


def heading_of(chosen: argparse.Namespace) -> str:
    """Which day it is, in words."""
    if chosen.scenario is not None:
        return f"Scenario {chosen.scenario}: {SCENARIOS[chosen.scenario].told}"
    return f"The day of {chosen.arrivals[0]}" + (f" and {len(chosen.arrivals) - 1} more" if chosen.arrivals[1:] else "")


def _seconds(clock: str) -> float:
    match = re.fullmatch(r"(\d{1,2}):([0-5]\d)", clock)
    if match is None or int(match[1]) > 23:
        raise UnreadableDay(f"--begins {clock}: write it as 08:00")
    return int(match[1]) * 3600 + int(match[2]) * 60
