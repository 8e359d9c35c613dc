"""`python -m services.router twin …`: what an operator asks the twin, and how the answers are printed."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from services.router.twin.day import UnreadableDay, as_files
from services.router.twin.generate import SCENARIOS, generate
from services.router.twin.policies import NAMED
from services.router.twin.report_html import as_html
from services.router.twin.report_json import as_json
from services.router.twin.report_text import as_text
from services.router.twin.runs import Files, Made, Run, collect, day_of, figures_of, in_parallel
from services.router.twin.whatif import WhatIf

MOST_SEEDS = 1000


def main(arguments: list[str]) -> int:
    """Do what was asked: 0. Raises `UnreadableDay`, whose message says what is wrong with files or words; exits with 2
    for words that are none of its own."""
    chosen = _parser().parse_args(arguments)
    if chosen.tool == "generate":
        return _generate(chosen)
    return _compare(chosen)


def _parser() -> argparse.ArgumentParser:
    twin = argparse.ArgumentParser(
        prog="python -m services.router twin",
        description="Plays a day through the engine. Without a command of its own: policies side by side.",
    )
    _add_day(twin)
    twin.add_argument("--policy", nargs="+", metavar="NAME", help=f"a .yaml or .json file, or: {', '.join(NAMED)}")
    twin.add_argument("--report", choices=("text", "json"), default="text", help="what to print")
    twin.add_argument("--detail", action="store_true", help="in JSON: agents, queues and languages by channel as well")
    twin.add_argument("--html", type=Path, metavar="FILE", help="write a page with charts as well")
    twin.add_argument(
        "--absent", type=_share, default=0.0, metavar="SHARE", help="what if so many agents are ill: 0.15"
    )
    twin.add_argument(
        "--down",
        action="append",
        default=[],
        metavar="CHANNEL@FROM-TO",
        help="what if a channel fails: chat@12:00-12:20",
    )
    twin.add_argument("--plan", action="store_true", help="beside what if, the day as it was planned")
    tools = twin.add_subparsers(dest="tool")
    made = tools.add_parser("generate", help="write a day of our own making into a folder")
    made.add_argument("--scenario", choices=SCENARIOS, default="nominal", help="what kind of day")
    made.add_argument("--seed", type=int, default=1, help="another one, another day")
    made.add_argument("--agents", type=int, dest="size", default=100, help="how large the centre is")
    made.add_argument("--load", type=float, default=1.0, help="times the work")
    made.add_argument("--out", type=Path, required=True, help="the folder")
    return twin


def _add_day(parser: argparse.ArgumentParser) -> None:
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


def _generate(chosen: argparse.Namespace) -> int:
    day = generate(chosen.scenario, chosen.seed, agents=chosen.size, load=chosen.load)
    chosen.out.mkdir(parents=True, exist_ok=True)
    settings = {"scenario": chosen.scenario, "seed": chosen.seed, "size": chosen.size, "load": chosen.load}
    for name, text in as_files(day, settings).items():
        (chosen.out / name).write_text(text)
    print(f"{chosen.out}: {len(day.arrivals)} contacts, {len(day.agents)} agents, {SCENARIOS[chosen.scenario].told}")
    return 0


def _compare(chosen: argparse.Namespace) -> int:
    if not chosen.policy:
        raise UnreadableDay("--policy: name at least one")
    what_if = WhatIf(chosen.absent, tuple(chosen.down))
    sources = sources_of(chosen)
    runs = [Run(policy, seed, source, what_if) for policy in dict.fromkeys(chosen.policy) for seed, source in sources]
    planned = [Run(run.policy, run.seed, run.source) for run in runs] if chosen.plan and what_if else []
    found = in_parallel(figures_of, [*planned, *runs], jobs=chosen.jobs, told="days played")
    results = {f"{policy}, as planned": by for policy, by in collect(planned, found[: len(planned)]).items()}
    results |= collect(runs, found[len(planned) :])
    heading, note = _heading(chosen), what_if.told()
    if chosen.html is not None:
        begins = day_of(sources[0][1]).config.begins_s
        chosen.html.write_text(as_html(results, heading, begins_s=begins, note=f"What if: {note}." if note else ""))
    if chosen.report == "json":
        print(as_json(results, detail=chosen.detail))
    else:
        print(as_text(results, f"{heading}: {note}" if note else heading), end="")
    return 0


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


def _heading(chosen: argparse.Namespace) -> str:
    if chosen.scenario is not None:
        return f"Scenario {chosen.scenario}: {SCENARIOS[chosen.scenario].told}"
    return f"The day of {chosen.arrivals[0]}" + (f" and {len(chosen.arrivals) - 1} more" if chosen.arrivals[1:] else "")


def _share(words: str) -> float:
    try:
        share = float(words.removesuffix("%")) / (100 if words.endswith("%") else 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{words!r} is no share: write 0.15 or 15%") from None
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{words!r} is not between 0 and 1")
    return share


def _seconds(clock: str) -> float:
    match = re.fullmatch(r"(\d{1,2}):([0-5]\d)", clock)
    if match is None or int(match[1]) > 23:
        raise UnreadableDay(f"--begins {clock}: write it as 08:00")
    return int(match[1]) * 3600 + int(match[2]) * 60
