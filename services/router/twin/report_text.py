"""The report as tables, for a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from services.router.twin.compare import CONFIDENCE, differences, means
from services.router.twin.interval import Interval
from services.router.twin.measure import Figures
from services.router.twin.runs import Results

WIDTH = 250
LANGUAGES_SHOWN = 8


def as_text(results: Results, heading: str) -> str:
    """Tables of the policies side by side, by channel, by language, and what differs."""
    tables = [_overall(results), _channels(results), _languages(results)]
    if len(results) > 1:
        tables.append(_paired(results))
    return f"{heading}\n\n" + "\n".join(rendered(table) for table in tables)


def rendered(table: Table) -> str:
    """A table as lines of text without colours, the same wherever it is printed."""
    out = io.StringIO()
    Console(file=out, width=WIDTH, color_system=None, force_terminal=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def made(title: str | None, first: str, columns: Iterable[str], rows: Iterable[Sequence[str]]) -> Table:
    """A plain table: the first column names, the others are numbers."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, title_style="")
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def percent(found: Interval, *, signed: bool = False) -> str:
    """`93.1 ±0.5` in points of a hundred."""
    mean = f"{100 * found.mean:+.1f}" if signed else f"{100 * found.mean:.1f}"
    return mean if found.half is None else f"{mean} ±{100 * found.half:.1f}"


def duration(seconds: float) -> str:
    """`12 s`, `3.4 min`, `2.1 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def average(runs: Iterable[Figures], figure: str, kind: str) -> float:
    """The mean over the runs of a channel's figure; runs without the channel do not count."""
    values = [float(getattr(run.ch[kind], figure)) for run in runs if kind in run.ch]
    return sum(values) / len(values)


def channels_of(results: Results) -> list[str]:
    """The channels of the runs."""
    return sorted({kind for runs in results.values() for figures in runs.values() for kind in figures.ch})


def _overall(results: Results) -> Table:
    columns = ("service level", "without mail", "left", "worst lang.", "lowest five", "occupancy", "spread", "Jain")
    names = ("sl", "sl_int", "ab_int", "worst_lang", "low5_lang", "occ", "occ_sd")
    rows = []
    for policy in results:
        found = means(results, policy)
        rows.append([policy, *(percent(found[name]) for name in names), f"{found['jain'].mean:.3f}"])
    return made("In % (left: of all but mail; occupancy: share of the shift with something in hand)", "", columns, rows)


def _channels(results: Results) -> Table:
    rows = []
    for kind in channels_of(results):
        for policy, by_seed in results.items():
            runs = list(by_seed.values())
            waits = [duration(average(runs, name, kind)) for name in ("asa", "p95", "p99", "max")]
            shares = [f"{100 * average(runs, name, kind):.1f}" for name in ("sl", "ab")]
            rows.append([kind, policy, f"{average(runs, 'n', kind):.0f}", shares[0], *waits, shares[1]])
    table = made(
        "By channel", "", ("policy", "contacts", "in time %", "mean wait", "p95", "p99", "longest", "left %"), rows
    )
    table.columns[1].justify = "left"
    return table


def lowest_languages(results: Results, count: int) -> list[str]:
    """The languages with the lowest service level under the first policy, lowest first."""
    runs = list(next(iter(results.values())).values())
    codes = sorted({code for run in runs for code in run.lang_sl})
    return sorted(codes, key=lambda code: language_mean(runs, code))[:count]


def language_mean(runs: Sequence[Figures], code: str) -> float:
    """The mean service level of a language over those runs that had it."""
    values = [run.lang_sl[code] for run in runs if code in run.lang_sl]
    return sum(values) / len(values) if values else 0.0


def _languages(results: Results) -> Table:
    codes = lowest_languages(results, LANGUAGES_SHOWN)
    rows = [
        [policy, *(f"{100 * language_mean(list(runs.values()), code):.1f}" for code in codes)]
        for policy, runs in results.items()
    ]
    return made("Service level of the lowest languages without mail, %", "", codes, rows)


def _paired(results: Results) -> Table:
    names = ("sl", "sl_int", "ab_int", "worst_lang", "low5_lang", "occ_sd")
    columns = ("service level", "without mail", "left", "worst lang.", "lowest five", "spread")
    found = differences(results)
    rows = [[each.policy, *(percent(each.by[name], signed=True) for name in names)] for each in found]
    return made(
        f"Against {found[0].against}, points of a hundred on the same days, {CONFIDENCE:.0%} interval",
        "",
        columns,
        rows,
    )
