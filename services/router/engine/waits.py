"""How long it will take: upper bounds for the wait in a line, learned from what the line has seen. Pure formulas.

A line is who waits in one queue on one kind of channel and has been offered to nobody. What is told are two bounds that
half and nine tenths of the waits stay under: an estimate from the length of the line, times a multiplier that follows
the quantile of what really happened. ADR 12 tells why it is done so.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import NamedTuple

STEPS = (
    30, 60, 120, 180, 300, 600, 900, 1200, 1800, 2700,
    3600, 5400, 7200, 10_800, 14_400, 21_600, 28_800, 43_200, 86_400,
)  # fmt: skip
"""What is said, in seconds: a bound is rounded up to one of these. Beyond the last nothing is said."""
RISE = 60_000
"""What is said rises by one step in this time (ms), at most."""
MEMORY_S = 86_400.0
"""Time in which somebody waits, after which what was seen counts for 1/e. While nobody waits nothing is forgotten."""
USUAL_S = 60.0
"""Before anything is known, a line moves on once in so many seconds; it counts like one contact that was served."""
EXACT = 8
"""So many places of a line are added up one by one; those behind them by an integral."""
HALF, MOST = 0.5, 0.9
"""The shares of the waits that the two bounds are to hold for."""
FIRST_HALF, FIRST_MOST = 0.7, 2.3
"""The multipliers to begin with: the quantiles of an exponential wait."""
SLOWEST, FASTEST = 0.001, 1000.0
"""Between these the multipliers stay."""
FIRM = 0.03
"""The least step of a multiplier, as a share of it: what it settles to in a short line."""
SETTLES = 5
"""The step shrinks like 1/(1 + n/5) with the number of waits that were judged."""
TOGETHER = 0.3
"""The steps of all whose bounds are out at a time make no more than this: no step can mend those any more."""
KEPT_MEMORY = 1 / 300
"""How much the newest wait moves the share of bounds that were kept, once there are enough of them."""
ENOUGH = 50
"""Nothing is said before so many waits were judged."""
TRUSTED = (0.82, 0.98)
"""Nothing is said unless the share of waits under the higher bound, as it was given, lies between these."""


class Promise(NamedTuple):
    """What held for a contact when it joined a line, `at` (ms), and is judged by: the estimate and both bounds (ms).

    `told`: the line was calibrated then. `waited`: the contact was not offered to somebody at once.
    """

    line: str
    at: int
    estimate: float
    half: int
    most: int
    told: bool
    waited: bool


class Line(NamedTuple):
    """What is known of a line. `waiting`: who is in it, as of `at` (ms).

    Fading sums, all over the time in which somebody waits: `busy` its seconds, `served` who were offered to an agent,
    `stood` the seconds of all who waited together, `left` who gave up. `half` and `most`: the multipliers; `…_kept`:
    the share of waits under each bound as it was given, of the `judged` ones. `shown_…`: what is said, as places in
    `STEPS`; `risen`: when it was raised last (ms).
    """

    waiting: int = 0
    at: int = 0
    busy: float = 0.0
    served: float = 0.0
    stood: float = 0.0
    left: float = 0.0
    judged: int = 0
    half: float = FIRST_HALF
    most: float = FIRST_MOST
    half_kept: float = 0.0
    most_kept: float = 0.0
    shown_half: int = -1
    shown_most: int = -1
    risen: int = 0


NO_LINE = Line()


def line_name(queue: str, kind: str) -> str:
    """Under which a workspace keeps a line."""
    return f"{kind}:{queue}"


def kind_of(name: str) -> str:
    """The kind of channel of a line."""
    return name.partition(":")[0]


def queue_of(name: str) -> str:
    """The queue of a line."""
    return name.partition(":")[2]


def expected(ahead: int, rate: float, leaving: float) -> float:
    """Seconds until it is the turn of somebody with so many ahead: the sum over i = 0 … ahead of 1/(rate + i·leaving).

    `rate`: who are served a second while somebody waits; `leaving`: how many of those who wait give up, a second each.
    Exact for short lines, and to a few thousandths for long ones.
    """
    if not leaving:
        return (ahead + 1) / rate
    total, here, place = 0.0, rate, 0
    while place <= ahead and place < EXACT:
        total += 1 / here
        here += leaving
        place += 1
    if ahead >= EXACT:
        total += math.log((rate + (ahead + 0.5) * leaving) / (rate + (EXACT - 0.5) * leaving)) / leaving
    return total


def estimate(line: Line, ahead: int) -> float:
    """What somebody in this line with so many ahead is expected to wait, in ms."""
    rate = (line.served + 1) / (line.busy + USUAL_S)
    return 1000 * expected(ahead, rate, line.left / (line.stood + USUAL_S))


def changed(line: Line, now: int, by: int, *, served: int = 0, left: int = 0) -> Line:
    """The line with `by` more (or fewer) in it; `served` and `left` count those who were offered or gave up."""
    busy, stood, was_served, had_left = line.busy, line.stood, line.served, line.left
    if line.waiting and now > line.at:
        fade = math.exp((line.at - now) / 1000 / MEMORY_S)
        spell = MEMORY_S * (1 - fade)
        busy, stood = busy * fade + spell, stood * fade + spell * line.waiting
        was_served, had_left = was_served * fade, had_left * fade
    was_served += served
    had_left += left
    waiting = line.waiting + by
    expects = 1000 * expected(waiting, (was_served + 1) / (busy + USUAL_S), had_left / (stood + USUAL_S))
    shown_half, shown_most, risen = _said(line, expects, now)
    return Line(
        waiting,
        now,
        busy,
        was_served,
        stood,
        had_left,
        line.judged,
        line.half,
        line.most,
        line.half_kept,
        line.most_kept,
        shown_half,
        shown_most,
        risen,
    )


def _said(line: Line, expects: float, now: int) -> tuple[int, int, int]:
    """What is said, brought towards what holds, and when it was raised last: down at once, up by a step a minute."""
    half, most = step(expects * line.half), step(expects * line.most)
    risen = line.risen
    may = now >= risen + RISE
    if line.shown_most < 0:
        return half, most, now
    if half > line.shown_half:
        half = line.shown_half + may
        risen = now if may else risen
    if most > line.shown_most:
        most = line.shown_most + may
        risen = now if may else risen
    return half, most, risen


def step(bound: float) -> int:
    """The place in `STEPS` of a bound (ms), rounded up; their number if it is beyond them."""
    return bisect_left(STEPS, bound / 1000)


def promise(name: str, line: Line, now: int) -> Promise:
    """What holds for whoever has joined the line last."""
    expects = estimate(line, line.waiting - 1)
    half, most = math.ceil(expects * line.half), math.ceil(expects * line.most)
    return Promise(name, now, expects, half, max(half, most), calibrated(line), False)


def judge(line: Line, given: Promise, wait: int, *, answered: bool) -> Line:
    """The line with one more wait known (ms). Whoever gave up within a bound tells nothing about it; beyond it, that it
    was too low.

    Multipliers and shares alike are held to the bounds as they were given, which is what people read. Bounds that were
    given hours ago must not be corrected over and over again before the first correction has shown: hence `TOGETHER`.
    Where all wait about as long, the lower bound gives way to the higher one, which would be too high otherwise.
    """
    rate = min(max(FIRM, SETTLES / (SETTLES + line.judged)), TOGETHER / _usual_length(line))
    part = max(KEPT_MEMORY, 1 / (line.judged + 1))
    half, most, half_kept, most_kept, judged = line.half, line.most, line.half_kept, line.most_kept, line.judged
    if answered or wait > given.half:
        half = _followed(half, rate, HALF, over=wait > given.half)
        half_kept += part * ((wait <= given.half) - half_kept)
    if answered or wait > given.most:
        most = _followed(most, rate, MOST, over=wait > given.most)
        most_kept += part * ((wait <= given.most) - most_kept)
        judged += 1
    return line._replace(half=min(half, most), most=most, half_kept=half_kept, most_kept=most_kept, judged=judged)


def _usual_length(line: Line) -> float:
    """How many wait in this line on average, while somebody waits. The length of the moment would not do: the longest
    waits end when the line is short again, so that a bound that was too low would weigh more than one that was not.
    """
    return (line.stood + USUAL_S) / (line.busy + USUAL_S)


def _followed(multiplier: float, rate: float, share: float, *, over: bool) -> float:
    """A multiplier after one more wait was over it or not: it comes to rest where `share` of them are not."""
    return min(FASTEST, max(SLOWEST, multiplier * math.exp(rate * (over - (1 - share)))))


def calibrated(line: Line) -> bool:
    """Whether the line's bounds may be told to anybody."""
    return line.judged >= ENOUGH and TRUSTED[0] <= line.most_kept <= TRUSTED[1]


def said_of(line: Line) -> tuple[int, int] | None:
    """What is said of a line (s): usually under, nearly always under. None: nothing."""
    if not calibrated(line) or line.shown_most >= len(STEPS):
        return None
    return STEPS[line.shown_half], STEPS[max(line.shown_half, line.shown_most)]


def remaining(since: int, half: int, most: int, now: int) -> tuple[int, int] | None:
    """What is said to somebody who was given these bounds (ms) at `since`, of the time from now on (s). None: nothing.

    The rest of a bound, rounded up. Whoever has waited past a bound is told, of that one, as much again as they have
    waited so far; it takes a step a minute to get there.
    """
    usually, nearly = _remaining(half, now - since), _remaining(most, now - since)
    last = max(usually, nearly)
    return (STEPS[usually], STEPS[last]) if last < len(STEPS) else None


def _remaining(bound: int, elapsed: int) -> int:
    if elapsed < bound:
        return step(bound - elapsed)
    return min(step(elapsed), (elapsed - bound) // RISE)
