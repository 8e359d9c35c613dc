"""The report as one page to show: charts first, the numbers behind each of them folded away. Nothing is loaded from
elsewhere, nothing runs; it follows the reader's light or dark setting and prints."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Final

from services.router.twin import charts
from services.router.twin.compare import CONFIDENCE, differences, means
from services.router.twin.measure import BUCKET_MS, Figures
from services.router.twin.report_text import (
    average,
    channels_of,
    duration,
    language_mean,
    lowest_languages,
    percent,
)
from services.router.twin.runs import Results

STYLE: Final = Path(__file__).with_name("report.css").read_text()


def as_html(results: Results, heading: str, *, begins_s: float, note: str = "") -> str:
    """The whole page. `begins_s`: what the clock says when the day begins; `note`: what is not as planned."""
    names = list(results)
    parts = [
        f"<h1>{escape(heading)}</h1>",
        f'<p class="soft">{escape(_about(results))}</p>',
        f'<p class="note">{escape(note)}</p>' if note else "",
        f"<p>{escape(_conclusion(results))}</p>",
        _cards(results),
        charts.legend(names),
        *_sections(results, begins_s),
    ]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(heading)}</title><style>{STYLE}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body><main>{"".join(parts)}</main></body></html>\n'


def _about(results: Results) -> str:
    runs = [figures for by_seed in results.values() for figures in by_seed.values()]
    days = len(next(iter(results.values())))
    contacts = round(statistics.fmean(sum(channel.n for channel in run.ch.values()) for run in runs))
    agents = round(statistics.fmean(len(run.agents) for run in runs))
    policies = "1 policy" if len(results) == 1 else f"{len(results)} policies"
    whole = "1 day" if days == 1 else f"{days} days"
    return (
        f"{policies}, {whole} each of about {contacts} contacts and {agents} agents, played through the routing engine."
    )


def _conclusion(results: Results) -> str:
    """In a sentence, who answered most in time, and whether that can be told from chance."""
    best = max(results, key=lambda policy: means(results, policy)["sl_int"].mean)
    found = means(results, best)
    answered = f"{best} answered most in time: {percent(found['sl_int'])} % without mail"
    if len(results) == 1:
        left = percent(found["ab_int"])
        return f"{percent(found['sl_int'])} % were answered in time without mail, {left} % left before."
    others = [policy for policy in results if policy != best]
    unsure = [other for other in others if not _surely_better(results, best, other)]
    if found["sl_int"].runs < 2:
        return f"{answered}. One day is no proof: play several."
    if unsure:
        return f"{answered}. Compared with {', '.join(unsure)} that may be chance."
    return f"{answered}. That is more than chance, day by day."


def _surely_better(results: Results, best: str, other: str) -> bool:
    [difference] = differences({other: results[other], best: results[best]})
    low = difference.by["sl_int"].low
    return low is not None and low > 0


def _cards(results: Results) -> str:
    cards = []
    for place, policy in enumerate(results):
        found = means(results, policy)
        told = {
            "with mail": f"{percent(found['sl'])} %",
            "left before an answer": f"{percent(found['ab_int'])} %",
            "worst language": f"{percent(found['worst_lang'])} %",
            "occupancy": f"{percent(found['occ'])} %",
        }
        facts = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in told.items())
        cards.append(
            f'<section class="card" style="--key:var(--c{charts.colour(place)})"><h3>{escape(policy)}</h3>'
            f"<b>{escape(percent(found['sl_int']))} %</b>answered in time, without mail<dl>{facts}</dl></section>"
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _sections(results: Results, begins_s: float) -> Iterator[str]:
    kinds = channels_of(results)
    yield _by_channel(
        results, kinds, "sl", "Answered in time, by channel", "Share of all who wrote; who left was not answered."
    )
    yield _languages(results)
    yield _waits(results, kinds)
    yield _by_channel(results, kinds, "ab", "Left before an answer, by channel", "Share of all who wrote.")
    yield _occupancy(results)
    yield _queues(results, kinds, begins_s)
    if len(results) > 1:
        yield _differences(results)


def _section(title: str, words: str, *inner: str) -> str:
    return f'<section><h2>{escape(title)}</h2><p class="soft">{escape(words)}</p>{"".join(inner)}</section>'


def _runs(results: Results) -> dict[str, list[Figures]]:
    return {policy: list(by_seed.values()) for policy, by_seed in results.items()}


def _by_channel(results: Results, kinds: list[str], figure: str, title: str, words: str) -> str:
    series = [
        charts.Series(policy, [_points(runs, figure, kind) for kind in kinds])
        for policy, runs in _runs(results).items()
    ]
    most = 100.0 if figure == "sl" else max([5.0, *(value for each in series for value in each.values if value)])
    rows = {each.name: [_number(value) for value in each.values] for each in series}
    return _section(
        title, words, charts.bars(title, kinds, series, most=most), charts.table("As numbers, %", kinds, rows)
    )


def _points(runs: Sequence[Figures], figure: str, kind: str) -> float | None:
    """A share in points of a hundred; None if no run had the channel."""
    return 100 * average(runs, figure, kind) if any(kind in run.ch for run in runs) else None


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _languages(results: Results) -> str:
    codes = lowest_languages(results, 1000)
    by_policy = _runs(results)
    series = [
        charts.Series(policy, [100 * language_mean(runs, code) for code in codes]) for policy, runs in by_policy.items()
    ]
    lowest = min(value for each in series for value in each.values if value is not None)
    least = min(90.0, max(0.0, 10 * (lowest // 10)))
    rows = {each.name: [_number(value) for value in each.values] for each in series}
    title = "Answered in time, by language"
    words = "All channels but mail, the lowest language first."
    return _section(
        title, words, charts.dots(title, codes, series, least=least), charts.table("As numbers, %", codes, rows)
    )


def _waits(results: Results, kinds: list[str]) -> str:
    by_policy = _runs(results)
    waits = [
        [
            tuple(average(runs, name, kind) for name in ("asa", "p95", "p99"))
            if any(kind in r.ch for r in runs)
            else (0, 0, 0)
            for kind in kinds
        ]
        for runs in by_policy.values()
    ]
    rows = {
        f"{policy}, {kind}": [duration(value) for value in found]
        for policy, values in zip(by_policy, waits, strict=True)
        for kind, found in zip(kinds, values, strict=True)
    }
    title = "How long people waited"
    words = "The mark is the mean; the thick bar ends where 95 of 100 had their answer, the thin one at 99."
    drawn = charts.spans(title, kinds, [[(a, b, c) for a, b, c in values] for values in waits], list(by_policy))
    return _section(title, words, drawn, charts.table("As numbers", ("mean", "95 %", "99 %"), rows))


def _occupancy(results: Results) -> str:
    figures = []
    rows = {}
    for place, (policy, runs) in enumerate(_runs(results).items()):
        values = [agent.occ for run in runs for agent in run.agents]
        spread = statistics.fmean(run.occ_sd for run in runs)
        fairness = statistics.fmean(run.jain for run in runs)
        title = f"Occupancy of the agents under {policy}"
        words = f"{escape(policy)}: mean {100 * statistics.fmean(values):.0f} %, spread {100 * spread:.1f}"
        figures.append(f"<figure>{charts.histogram(title, values, place)}<figcaption>{words}</figcaption></figure>")
        load = statistics.fmean(run.occ_load for run in runs)
        load_spread = statistics.fmean(run.occ_load_sd for run in runs)
        shares = (statistics.fmean(values), spread, load, load_spread)
        rows[policy] = [*(f"{100 * value:.1f}" for value in shares), f"{fairness:.3f}"]
    columns = ("with something in hand", "spread", "weighted with capacity", "spread", "Jain's index")
    words = "Share of each agent's shift with something in hand; how many agents at which share. The line is the mean."
    return _section(
        "How evenly the work fell",
        words,
        f'<div class="many">{"".join(figures)}</div>',
        charts.table("As numbers, %", columns, rows),
    )


def _queues(results: Results, kinds: list[str], begins_s: float) -> str:
    parts = []
    for kind in kinds:
        series = [charts.Series(policy, _mean_queue(runs, kind)) for policy, runs in _runs(results).items()]
        title = f"{kind}: how many waited, over the day"
        drawn = charts.lines(title, series, begins_s=begins_s, step_s=BUCKET_MS / 1000)
        parts.append(f"<figure><figcaption>{escape(kind)}</figcaption>{drawn}</figure>")
    return _section("The queue over the day", "How many people waited, on average of every five minutes.", *parts)


def _mean_queue(runs: Sequence[Figures], kind: str) -> list[float]:
    found = [run.queue[kind] for run in runs if kind in run.queue]
    return [statistics.fmean(values) for values in zip(*found, strict=True)] if found else [0.0]


def _differences(results: Results) -> str:
    names = {
        "sl_int": "in time, without mail",
        "sl": "in time",
        "ab_int": "left",
        "worst_lang": "worst language",
        "low5_lang": "lowest five",
        "occ_sd": "spread of occupancy",
    }
    found = differences(results)
    head = "".join(f'<th scope="col">{name}</th>' for name in ("", *names.values()))
    body = "".join(
        f'<tr><th scope="row">{escape(each.policy)}</th>'
        + "".join(f"<td>{escape(percent(each.by[name], signed=True))}</td>" for name in names)
        + "</tr>"
        for each in found
    )
    words = (
        f"Points of a hundred, run by run on the same day; ± is the {CONFIDENCE:.0%} interval where there are several."
    )
    table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    return _section(f"Against {found[0].against}", words, table)
