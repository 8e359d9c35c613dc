"""`python -m tests.faults --seed S --minutes M`: a long run against three brokers, two routers and two APIs, with
customers by the API, by Telegram, chat and mail, and a second workspace on another partition.

Prints what happened in a line and, as its last line, as a row of the table in `docs/reliability.md`; appends the same
facts as JSON to a file. Ends with 1 if anything was violated; the history and all logs then stay where it says.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.faults.cluster import OTHER, WORKSPACE, Cluster
from tests.faults.history import History
from tests.faults.nemesis import RHYTHMS
from tests.faults.run import COLUMNS, Part, Plan, Report, judge_parts, run_parts

CHATS: Final = 6
MAILS: Final = 4
OTHERS_SHARE: Final = 0.3
"""How much of the load is the second workspace's."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="A long run of the fault suite.")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same plan")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long faults go on")
    parser.add_argument("--rate", type=float, default=30.0, help="messages a second that customers try to write")
    parser.add_argument("--customers", type=int, default=40, help="how many write at the same time")
    parser.add_argument("--rhythm", choices=RHYTHMS, default="long", help="how long things stay broken")
    parser.add_argument(
        "--steps", default="", help="these faults in order instead of dice: router-kill:5,router-term:5"
    )
    parser.add_argument(
        "--every",
        type=int,
        default=40,
        help="of so many offers one is held against the words of the rule, which is slow",
    )
    parser.add_argument("--report", type=Path, help="append the facts of the run to this file, as a line of JSON")
    parser.add_argument("--keep", action="store_true", help="leave history and logs even if nothing was violated")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="switchdesk-faults-"))
    main = Plan(
        seed=options.seed,
        seconds=options.minutes * 60,
        rhythm=RHYTHMS[options.rhythm],
        per_s=options.rate,
        customers=options.customers,
        steps=_steps(options.steps),
        every=options.every,
        chats=CHATS,
        mails=MAILS,
        folder=folder,
    )
    report = asyncio.run(_run(main, folder))
    print(report.line())
    for finding in report.findings:
        print(f"  {finding}")
    if options.report is not None:
        with options.report.open("a", encoding="utf-8") as file:
            file.write(report.as_json() + "\n")
    if report.findings or options.keep:
        print(f"history and logs: {folder}")
    else:
        shutil.rmtree(folder)
    print(f"| {' | '.join(COLUMNS)} |\n{report.row()}")
    return 1 if report.findings else 0


def _steps(words: str) -> list[str]:
    """`kind[:times]`, separated by commas."""
    steps: list[str] = []
    for word in filter(None, words.split(",")):
        kind, _, times = word.partition(":")
        steps += [kind] * int(times or 1)
    return steps


async def _run(main: Plan, folder: Path) -> Report:
    share = OTHERS_SHARE
    other = dataclasses.replace(
        main,
        seed=main.seed + 1_000_000,
        per_s=main.per_s * share,
        customers=max(1, round(main.customers * share)),
        agents=max(3, round(main.agents * share)),
    )
    main = dataclasses.replace(main, per_s=main.per_s * (1 - share))
    with (
        History(folder / "history.jsonl") as history,
        History(folder / f"history-{OTHER}.jsonl", beside=history) as others,
    ):
        async with Cluster(folder, chat_and_mail=True) as cluster:
            await cluster.start()
            parts = [
                Part(workspace=WORKSPACE, history=history, plan=main, hooks=cluster.hooks, roads=cluster.roads),
                Part(workspace=OTHER, history=others, plan=other),
            ]
            outputs = await run_parts(cluster, parts)
        return judge_parts(parts, outputs)


if __name__ == "__main__":
    sys.exit(main())
