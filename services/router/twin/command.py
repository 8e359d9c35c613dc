"""`python -m services.router twin …`: what an operator asks the twin, and how the answers are printed."""

from __future__ import annotations

import argparse
from pathlib import Path

from services.router.twin import erlang_command, replay_command, staff_command
from services.router.twin.day import UnreadableDay, as_files
from services.router.twin.day_options import add_day, heading_of, sources_of
from services.router.twin.generate import SCENARIOS, generate
from services.router.twin.policies import NAMED
from services.router.twin.report_html import as_html
from services.router.twin.report_json import as_json
from services.router.twin.report_text import as_text
from services.router.twin.runs import Run, collect, day_of, figures_of, in_parallel
from services.router.twin.whatif import WhatIf


def main(arguments: list[str]) -> int:
    """Do what was asked: 0. Raises `UnreadableDay`, whose message says what is wrong with files or words; exits with 2
    for words that are none of its own."""
    chosen = _parser().parse_args(arguments)
    print(chosen.run(chosen), end="")
    return 0


def _parser() -> argparse.ArgumentParser:
    twin = argparse.ArgumentParser(
        prog="python -m services.router twin",
        description="Plays a day through the engine. Without a command of its own: policies side by side.",
    )
    add_day(twin)
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
    twin.set_defaults(run=_compare)
    tools = twin.add_subparsers(dest="tool")
    made = tools.add_parser("generate", help="write a day of our own making into a folder")
    made.add_argument("--scenario", choices=SCENARIOS, default="nominal", help="what kind of day")
    made.add_argument("--seed", type=int, default=1, help="another one, another day")
    made.add_argument("--agents", type=int, dest="size", default=100, help="how large the centre is")
    made.add_argument("--load", type=float, default=1.0, help="times the work")
    made.add_argument("--out", type=Path, required=True, help="the folder")
    made.set_defaults(run=_generate)
    erlang_command.add_to(tools)
    staff_command.add_to(tools)
    replay_command.add_to(tools)
    return twin


def _generate(chosen: argparse.Namespace) -> str:
    day = generate(chosen.scenario, chosen.seed, agents=chosen.size, load=chosen.load)
    chosen.out.mkdir(parents=True, exist_ok=True)
    settings = {"scenario": chosen.scenario, "seed": chosen.seed, "size": chosen.size, "load": chosen.load}
    for name, text in as_files(day, settings).items():
        (chosen.out / name).write_text(text)
    told = SCENARIOS[chosen.scenario].told
    return f"{chosen.out}: {len(day.arrivals)} contacts, {len(day.agents)} agents, {told}\n"


def _compare(chosen: argparse.Namespace) -> str:
    if not chosen.policy:
        raise UnreadableDay("--policy: name at least one")
    what_if = WhatIf(chosen.absent, tuple(chosen.down))
    sources = sources_of(chosen)
    runs = [Run(policy, seed, source, what_if) for policy in dict.fromkeys(chosen.policy) for seed, source in sources]
    planned = [Run(run.policy, run.seed, run.source) for run in runs] if chosen.plan and what_if else []
    found = in_parallel(figures_of, [*planned, *runs], jobs=chosen.jobs, told="days played")
    results = {f"{policy}, as planned": by for policy, by in collect(planned, found[: len(planned)]).items()}
    results |= collect(runs, found[len(planned) :])
    heading, note = heading_of(chosen), what_if.told()
    if chosen.html is not None:
        begins = day_of(sources[0][1]).config.begins_s
        chosen.html.write_text(as_html(results, heading, begins_s=begins, note=f"What if: {note}." if note else ""))
    if chosen.report == "json":
        return as_json(results, detail=chosen.detail) + "\n"
    return as_text(results, f"{heading}: {note}" if note else heading)


def _share(words: str) -> float:
    try:
        share = float(words.removesuffix("%")) / (100 if words.endswith("%") else 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{words!r} is no share: write 0.15 or 15%") from None
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{words!r} is not between 0 and 1")
    return share
