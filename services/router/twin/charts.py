"""Charts as inline SVG: plain marks, words for whoever does not see them, colours from the page's style sheet.

A series is told apart by colour and by shape or dash, never by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 760
LABEL: Final = 130
DASHES: Final = ("", "7 3", "2 3", "10 3 2 3", "1 4", "12 5", "4 2")


COLOURS: Final = 7


def colour(place: int) -> int:
    """Which of the style sheet's colours the series at this place has."""
    return place % COLOURS


@dataclass(frozen=True, slots=True)
class Series:
    """One policy's values, by row or over time. None: there is none."""

    name: str
    values: Sequence[float | None]


def legend(names: Sequence[str]) -> str:
    """Which mark is whose."""
    items = "".join(
        f'<li><svg width="26" height="14" aria-hidden="true"><line x1="0" y1="7" x2="26" y2="7" {_drawn(place)}/>'
        f"{_mark(13, 7, place)}</svg>{escape(name)}</li>"
        for place, name in enumerate(names)
    )
    return f'<ul class="legend">{items}</ul>'


def bars(title: str, rows: Sequence[str], series: Sequence[Series], *, most: float = 100, unit: str = "%") -> str:
    """Groups of horizontal bars: a group for each row, a bar for each series, with its value written behind."""
    thick, gap = 15, 12
    height = len(rows) * (len(series) * thick + gap) + 26
    scale = (WIDTH - LABEL - 60) / most
    parts = [_grid(most, scale, height - 22, unit)]
    for number, row in enumerate(rows):
        top = number * (len(series) * thick + gap) + 4
        parts.append(_row_label(row, top + len(series) * thick / 2 + 4))
        for place, each in enumerate(series):
            value = each.values[number]
            if value is None:
                continue
            y = top + place * thick
            told = f"{escape(row)}, {escape(each.name)}: {value:.1f} {unit}"
            parts.append(
                f'<rect x="{LABEL}" y="{y}" width="{max(0.5, value * scale):.1f}" height="{thick - 3}" rx="2" '
                f'class="fill s{colour(place)}"><title>{told}</title></rect>'
                f'<text x="{LABEL + value * scale + 5:.1f}" y="{y + thick - 5}" class="value">{value:.1f}</text>'
            )
    return _svg(title, height, "".join(parts))


def dots(title: str, rows: Sequence[str], series: Sequence[Series], *, unit: str = "%", least: float = 0) -> str:
    """A line for each row, on it a mark for each series; from `least` to 100."""
    step = 21
    height = len(rows) * step + 30
    scale = (WIDTH - LABEL - 60) / (100 - least)
    parts = [_grid(100 - least, scale, height - 26, unit, least)]
    for number, row in enumerate(rows):
        y = number * step + 14
        parts.append(_row_label(row, y + 4))
        parts.append(f'<line x1="{LABEL}" y1="{y}" x2="{WIDTH - 60}" y2="{y}" class="guide"/>')
        for place, each in enumerate(series):
            value = each.values[number]
            if value is not None:
                told = f"<title>{escape(row)}, {escape(each.name)}: {value:.1f} {unit}</title>"
                parts.append(f"<g>{told}{_mark(LABEL + (max(least, value) - least) * scale, y, place)}</g>")
    return _svg(title, height, "".join(parts))


def spans(
    title: str, rows: Sequence[str], series: Sequence[Sequence[tuple[float, float, float]]], names: list[str]
) -> str:
    """Waits on a logarithmic axis: for each row and series a thick bar up to the second, a thin one up to the third of
    (mean, p95, p99) in seconds; the mean is the mark."""
    thick, gap = 16, 12
    height = len(rows) * (len(series) * thick + gap) + 26
    most = max([60.0, *(each[2] for values in series for each in values)])
    scale = (WIDTH - LABEL - 60) / math.log10(1 + most)
    parts = []
    for seconds, words in ((0, "0"), (10, "10 s"), (60, "1 min"), (600, "10 min"), (3600, "1 h"), (14_400, "4 h")):
        if seconds <= most:
            x = LABEL + scale * math.log10(1 + seconds)
            parts.append(_rule(x, height - 22, words))
    for number, row in enumerate(rows):
        top = number * (len(series) * thick + gap) + 4
        parts.append(_row_label(row, top + len(series) * thick / 2 + 4))
        for place, values in enumerate(series):
            mean, p95, p99 = values[number]
            y = top + place * thick + 7
            ends = [LABEL + scale * math.log10(1 + max(0.0, each)) for each in (mean, p95, p99)]
            told = f"{escape(row)}, {escape(names[place])}: mean {mean:.0f} s, 95 % {p95:.0f} s, 99 % {p99:.0f} s"
            parts.append(
                f"<g><title>{told}</title>"
                f'<line x1="{LABEL}" y1="{y}" x2="{ends[1]:.1f}" y2="{y}" class="thick s{colour(place)}"/>'
                f'<line x1="{ends[1]:.1f}" y1="{y}" x2="{ends[2]:.1f}" y2="{y}" class="line s{colour(place)}"/>'
                f'<g class="set">{_mark(ends[0], y, place)}</g></g>'
            )
    return _svg(title, height, "".join(parts))


def lines(title: str, series: Sequence[Series], *, begins_s: float, step_s: float) -> str:
    """Values over the day, a line for each series; the axis shows the clock."""
    height, bottom, left = 170, 146, 44
    count = max(len(each.values) for each in series)
    most = max([1.0, *(value for each in series for value in each.values if value is not None)])
    wide, high = (WIDTH - left - 20) / max(1, count - 1), (bottom - 12) / most
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * most * high
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{WIDTH - 20}" y2="{y:.1f}" class="guide"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" class="value end">{_short(share * most)}</text>')
    hours = count * step_s / 3600
    every = 1 if hours <= 9 else 2 if hours <= 18 else 3
    for hour in range(0, int(hours) + 1, every):
        x = left + hour * 3600 / step_s * wide
        clock = (begins_s / 3600 + hour) % 24
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 16}" class="value middle">{int(clock):02d}:{_minutes(clock)}</text>'
        )
    for place, each in enumerate(series):
        points = " ".join(
            f"{left + number * wide:.1f},{bottom - value * high:.1f}"
            for number, value in enumerate(each.values)
            if value is not None
        )
        parts.append(f'<polyline points="{points}" {_drawn(place)}><title>{escape(each.name)}</title></polyline>')
    return _svg(title, height, "".join(parts))


def histogram(title: str, values: Sequence[float], place: int, *, width: int = 260) -> str:
    """How many agents lie in each twentieth between 0 and 100 %, with a line at the mean."""
    height, bottom = 120, 98
    counts = [0] * 20
    for value in values:
        counts[min(19, max(0, int(value * 20)))] += 1
    most, wide = max(counts), (width - 40) / 20
    parts = [
        f'<rect x="{20 + number * wide:.1f}" y="{bottom - 84 * count / most:.1f}" width="{wide - 1:.1f}" '
        f'height="{84 * count / most:.1f}" class="fill s{colour(place)}">'
        f"<title>{number * 5}–{number * 5 + 5} %: {count} agents</title></rect>"
        for number, count in enumerate(counts)
        if count
    ]
    mean = sum(values) / len(values)
    x = 20 + mean * 20 * wide
    parts.append(f'<line x1="{x:.1f}" y1="8" x2="{x:.1f}" y2="{bottom}" class="axis"/>')
    parts.append(f'<line x1="20" y1="{bottom}" x2="{width - 20}" y2="{bottom}" class="axis"/>')
    for share in (0, 50, 100):
        parts.append(f'<text x="{20 + share / 5 * wide:.1f}" y="{bottom + 15}" class="value middle">{share} %</text>')
    return _svg(title, height, "".join(parts), width=width)


def table(caption: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """The same as numbers, folded away."""
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in ("", *columns))
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(each)}</td>" for each in cells)}</tr>'
        for name, cells in rows.items()
    )
    inner = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<details><summary>{escape(caption)}</summary><div class="scroll">{inner}</div></details>'


def _drawn(place: int) -> str:
    return f'class="line s{colour(place)}" stroke-dasharray="{DASHES[place % len(DASHES)]}"'


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _minutes(clock: float) -> str:
    return f"{round(clock % 1 * 60) % 60:02d}"


def _svg(title: str, height: float, inner: str, *, width: int = WIDTH) -> str:
    return (
        f'<svg role="img" aria-label="{escape(title, quote=True)}" viewBox="0 0 {width} {height:.0f}" '
        f'width="{width}" height="{height:.0f}">{inner}</svg>'
    )


def _grid(span: float, scale: float, bottom: float, unit: str, least: float = 0) -> str:
    step = next(each for each in (1, 2, 5, 10, 20, 25, 50) if span / each <= 6)
    first = math.ceil(least / step) * step
    count = int((least + span - first) / step) + 1
    values = [first + number * step for number in range(count)]
    return "".join(_rule(LABEL + (value - least) * scale, bottom, f"{value:g} {unit}") for value in values)


def _rule(x: float, bottom: float, words: str) -> str:
    return (
        f'<line x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{bottom}" class="guide"/>'
        f'<text x="{x:.1f}" y="{bottom + 16}" class="value middle">{words}</text>'
    )


def _row_label(words: str, y: float) -> str:
    return f'<text x="{LABEL - 8}" y="{y:.1f}" class="label end">{escape(words)}</text>'


def _mark(x: float, y: float, place: int) -> str:
    """One of four shapes, filled; the same ones hollow for the next four series."""
    shape = place % 4
    kind = f'class="{"fill" if place % 8 < 4 else "hollow"} s{colour(place)}"'
    if shape == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" {kind}/>'
    if shape == 1:
        return f'<rect x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9" {kind}/>'
    if shape == 2:
        points = f"{x:.1f},{y - 6:.1f} {x + 5.5:.1f},{y + 4.5:.1f} {x - 5.5:.1f},{y + 4.5:.1f}"
    else:
        points = f"{x:.1f},{y - 6:.1f} {x + 6:.1f},{y:.1f} {x:.1f},{y + 6:.1f} {x - 6:.1f},{y:.1f}"
    return f'<polygon points="{points}" {kind}/>'
