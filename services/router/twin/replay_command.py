"""`twin replay`: a day out of the journal under another policy, and what would have changed for whom."""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from rich.table import Table

from services.router.reading import reading
from services.router.twin.measure import Figures, measure
from services.router.twin.play import Case
from services.router.twin.recorded import Recorded
from services.router.twin.replay import Change, changes, recorded, replayed
from services.router.twin.report_html import as_html
from services.router.twin.report_json import as_json
from services.router.twin.report_text import as_text, made, rendered
from services.router.twin.runs import Results

RULED: Final = "policy of that day"
AS_IT_WAS: Final = "as it was"
AGENTS_SHOWN: Final = 10


def add_to(tools: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and its options."""
    replay = tools.add_parser("replay", help="a day out of the journal under another policy")
    replay.add_argument(
        "--from", dest="log", required=True, metavar="JOURNAL", help="a log as in LOG, or a data directory"
    )
    replay.add_argument("--partition", type=int, default=0, help="which partition")
    replay.add_argument("--workspace", help="whose day, if the journal tells of several")
    replay.add_argument("--day", type=_day, metavar="YYYY-MM-DD", help="which, in UTC (the newest with contacts)")
    replay.add_argument("--policy", required=True, metavar="NEW", help="a .yaml or .json file, or a name as for twin")
    replay.add_argument("--report", choices=("text", "json"), default="text", help="what to print")
    replay.add_argument("--html", type=Path, metavar="FILE", help="write a page with charts as well")
    replay.set_defaults(run=_run)


def _day(words: str) -> date:
    try:
        return date.fromisoformat(words)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{words!r} is no day: write 2026-03-01") from None


def _run(chosen: argparse.Namespace) -> str:
    found = asyncio.run(_recorded(chosen))
    before, after = replayed(found, None), replayed(found, chosen.policy)
    results: Results = {
        RULED: {0: measure(before)},
        chosen.policy: {0: measure(after)},
        AS_IT_WAS: {0: measure(found.as_it_was)},
    }
    heading = f"{_date_of(found)} under {chosen.policy}"
    if chosen.html is not None:
        chosen.html.write_text(as_html(results, heading, begins_s=found.day.config.begins_s))
    by = {
        "channel": changes(before, after, lambda case: case.channel),
        "language": changes(before, after, lambda case: case.arrival.language),
        "priority": changes(before, after, _priority),
    }
    if chosen.report == "json":
        whole = json.loads(as_json(results))
        whole["changed"] = {
            name: {group: asdict(change) for group, change in groups.items()} for name, groups in by.items()
        }
        return json.dumps(whole, ensure_ascii=False) + "\n"
    tables = [_customers(name, groups) for name, groups in by.items()]
    tables.append(_agents(results[RULED][0], results[chosen.policy][0]))
    return as_text(results, heading) + "\n" + "\n".join(rendered(table) for table in tables)


async def _recorded(chosen: argparse.Namespace) -> Recorded:
    async with reading(chosen.log) as log:
        return await recorded(log, chosen.partition, chosen.workspace, chosen.day)


def _date_of(found: Recorded) -> str:
    return datetime.fromtimestamp(found.begins / 1000, UTC).date().isoformat()


def _priority(case: Case) -> str:
    return str(case.arrival.priority)


def _customers(name: str, groups: dict[str, Change]) -> Table:
    rows = [
        (group, str(each.n), f"+{each.gained}", f"-{each.lost}", str(each.sooner), str(each.later))
        for group, each in groups.items()
    ]
    columns = ("contacts", "in time now", "no longer", "answered sooner", "later")
    return made(f"What changes for whom, by {name}, against the {RULED}", "", columns, rows)


def _agents(before: Figures, after: Figures) -> Table:
    """Those whose day changes most."""
    was = {each.id: each for each in before.agents}
    changed = sorted(after.agents, key=lambda each: (-abs(each.occ - was[each.id].occ), each.id))[:AGENTS_SHOWN]
    rows = [
        (
            each.id,
            f"{100 * was[each.id].occ:.1f}",
            f"{100 * each.occ:.1f}",
            str(was[each.id].answered),
            str(each.answered),
        )
        for each in changed
    ]
    columns = ("occupancy %", "then", "contacts", "then")
    return made("The agents whose day changes most", "", columns, rows)
