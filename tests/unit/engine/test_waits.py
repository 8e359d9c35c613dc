"""Wait bounds: the formulas against numbers worked out by hand, and a queue of chance that they are learned from."""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass, field

import pytest

from services.router.engine import waits
from services.router.engine.waits import (
    NO_LINE,
    STEPS,
    Line,
    Promise,
    calibrated,
    changed,
    estimate,
    expected,
    judge,
    promise,
    remaining,
    said_of,
    step,
)

MINUTE = 60_000
TOLD = Line(judged=200, most_kept=0.9, shown_half=1, shown_most=3)


def given(estimate_s: float = 100, half_s: float = 70, most_s: float = 230) -> Promise:
    return Promise("chat:q", 0, estimate_s * 1000, round(half_s * 1000), round(most_s * 1000), True, True)


# The estimate


@pytest.mark.parametrize(
    ("ahead", "rate", "leaving", "seconds"),
    [
        (0, 0.1, 0.0, 10.0),
        (4, 0.1, 0.0, 50.0),
        (0, 0.1, 0.05, 10.0),
        # 1/0.1 + 1/0.15 + 1/0.2
        (2, 0.1, 0.05, 10 + 6.66667 + 5),
    ],
)
def test_expected_wait_adds_up_the_places_ahead(ahead: int, rate: float, leaving: float, seconds: float) -> None:
    assert expected(ahead, rate, leaving) == pytest.approx(seconds, rel=1e-5)


@pytest.mark.parametrize("ahead", [8, 9, 50, 3000])
@pytest.mark.parametrize("leaving", [0.0001, 0.01, 0.3])
def test_expected_wait_of_a_long_line_is_the_sum_to_a_few_thousandths(ahead: int, leaving: float) -> None:
    total = sum(1 / (0.2 + place * leaving) for place in range(ahead + 1))
    assert expected(ahead, 0.2, leaving) == pytest.approx(total, rel=3e-3)


def test_line_that_saw_nothing_moves_on_once_a_minute() -> None:
    assert estimate(NO_LINE, 0) == pytest.approx(60_000)
    assert estimate(NO_LINE, 4) == pytest.approx(300_000)


def test_line_counts_only_the_time_in_which_somebody_waits() -> None:
    line = changed(NO_LINE, 1_000, 1)
    line = changed(line, 11_000, 1)
    line = changed(line, 31_000, -2, served=1, left=1)
    # Ten seconds with one and twenty with two, which the day's fading leaves nearly whole.
    assert line.busy == pytest.approx(30, rel=1e-3)
    assert line.stood == pytest.approx(50, rel=1e-3)
    assert (line.served, line.left, line.waiting) == (1, 1, 0)
    later = changed(line, 100 * 86_400_000, 1)
    assert (later.busy, later.served) == (line.busy, line.served)


def test_a_day_of_waiting_leaves_one_part_in_e() -> None:
    line = Line(waiting=1, served=1_000.0, stood=500.0, left=10.0)
    line = changed(line, 86_400_000, 0)
    assert line.served == pytest.approx(1_000 / math.e)
    assert line.busy == pytest.approx(86_400 * (1 - 1 / math.e))
    assert line.left == pytest.approx(10 / math.e)


def test_years_without_an_answer_do_no_harm() -> None:
    line = changed(Line(waiting=3, served=5.0, busy=9.0), 10**12, 1)
    assert math.isfinite(estimate(line, line.waiting))


# The multipliers


def test_bounds_are_multiples_of_the_estimate_for_those_ahead() -> None:
    line = changed(Line(waiting=1, at=7, half=0.5, most=2.0), 7, 1)
    told = promise("chat:q", line, 7)
    assert told.estimate == pytest.approx(120_000)
    assert (told.half, told.most) == (60_000, 240_000)
    assert (told.at, told.told, told.waited) == (7, False, False)


def test_multiplier_rises_by_the_share_that_should_be_over_and_falls_by_the_rest() -> None:
    line = Line(judged=995, half=0.7, most=2.3, half_kept=0.5, most_kept=0.9)
    over = judge(line, given(), 300_000, answered=True)
    assert over.most == pytest.approx(2.3 * math.exp(0.03 * 0.9))
    assert over.half == pytest.approx(0.7 * math.exp(0.03 * 0.5))
    assert over.most_kept == pytest.approx(0.9 - 0.9 / 300)
    under = judge(line, given(), 10_000, answered=True)
    assert under.most == pytest.approx(2.3 * math.exp(-0.03 * 0.1))
    assert under.half == pytest.approx(0.7 * math.exp(-0.03 * 0.5))
    assert under.most_kept == pytest.approx(0.9 + 0.1 / 300)


def test_multiplier_takes_large_steps_at_first() -> None:
    first = judge(NO_LINE, given(), 1_000_000, answered=True)
    assert first.most == pytest.approx(2.3 * math.exp(0.3 * 0.9))
    twentieth = judge(Line(judged=20), given(), 1_000_000, answered=True)
    assert twentieth.most == pytest.approx(2.3 * math.exp(0.9 / 5))


def test_multiplier_moves_less_where_many_bounds_are_out_as_a_rule() -> None:
    line = Line(judged=10_000, busy=940, stood=49_940, most=2.3, most_kept=0.9)
    after = judge(line, given(), 300_000, answered=True)
    assert after.most == pytest.approx(2.3 * math.exp(0.3 / 50 * 0.9)), "50 waited all the time"
    at_the_moment = judge(line._replace(waiting=500), given(), 300_000, answered=True)
    assert at_the_moment.most == after.most
    short = judge(line._replace(stood=8_940), given(), 300_000, answered=True)
    assert short.most == pytest.approx(2.3 * math.exp(0.03 * 0.9)), "9 did"


def test_late_waits_that_end_when_the_line_is_short_weigh_no_more_than_others() -> None:
    """Mail: at noon hundreds wait, and wait less than was expected; the evening answers those that waited too long."""
    dice = random.Random(1)
    line = Line(judged=1_000, busy=40_000, stood=12_000_000, most_kept=0.9)
    kept: list[bool] = []
    for _ in range(400):
        for waiting, least, most, count in ((400, 0, 1, 80), (5, 1, 4, 20)):
            line = line._replace(waiting=waiting)
            for _ in range(count):
                told = Promise("email:q", 0, 1e6, round(1e6 * line.half), round(1e6 * line.most), True, True)
                wait = round(1e6 * dice.uniform(least, most))
                kept.append(wait <= told.most)
                line = judge(line, told, wait, answered=True)
    settled = kept[len(kept) // 2 :]
    assert 0.88 <= sum(settled) / len(settled) <= 0.92


def test_lower_multiplier_that_rises_above_the_higher_one_does_not_take_it_along() -> None:
    """Where all wait about as long, the two come to lie close together, and the lower one takes larger steps."""
    line = Line(judged=1_000, half=1.0, most=1.001, half_kept=0.5, most_kept=0.9)
    after = judge(line, given(half_s=100, most_s=130), 120_000, answered=True)
    assert after.most == pytest.approx(1.001 * math.exp(-0.03 * 0.1))
    assert after.half == after.most


def test_who_gave_up_within_the_bounds_tells_nothing() -> None:
    line = Line(judged=100, half_kept=0.5, most_kept=0.9)
    assert judge(line, given(), 60_000, answered=False) == line
    between = judge(line, given(), 100_000, answered=False)
    assert (between.most, between.most_kept, between.judged) == (line.most, line.most_kept, line.judged)
    assert between.half > line.half
    assert between.half_kept < line.half_kept
    beyond = judge(line, given(), 231_000, answered=False)
    assert beyond.most > line.most
    assert beyond.judged == 101


def test_multiplier_is_held_to_the_bound_that_was_given_whatever_was_learned_since() -> None:
    """A line whose waits take hours: the multiplier has been corrected since this bound was given."""
    line = Line(judged=1_000, half=3.0, most=5.0, half_kept=0.5, most_kept=0.9)
    after = judge(line, given(most_s=230), 400_000, answered=True)
    assert after.most > line.most
    assert after.most_kept < line.most_kept


@pytest.mark.parametrize("judged", [0, 10_000])
def test_all_who_wait_together_move_the_multiplier_by_a_third_at_most(judged: int) -> None:
    """Their bounds are all out before the first can turn out too low; so it is from the first wait on."""
    line = Line(judged=judged, busy=100_000, stood=40_000_000, most=2.3, most_kept=0.9)
    for _ in range(400):
        line = judge(line, given(), 10_000_000, answered=True)
    assert line.most == pytest.approx(2.3 * math.exp(0.3 * 0.9), rel=1e-3)


@pytest.mark.parametrize(
    ("judged", "kept", "may"),
    [(49, 0.9, False), (50, 0.9, True), (50, 0.81, False), (50, 0.82, True), (500, 0.98, True), (500, 0.99, False)],
)
def test_nothing_is_said_before_the_bounds_hold(judged: int, kept: float, may: bool) -> None:
    line = TOLD._replace(judged=judged, most_kept=kept)
    assert calibrated(line) is may
    assert said_of(line) == ((60, 180) if may else None)


# What is said


@pytest.mark.parametrize(
    ("bound_s", "said"), [(0, 30), (30, 30), (30.001, 60), (61, 120), (300, 300), (4_000, 5_400), (86_400, 86_400)]
)
def test_bounds_are_rounded_up(bound_s: float, said: int) -> None:
    assert STEPS[step(bound_s * 1000)] == said


def test_nothing_is_said_of_more_than_a_day() -> None:
    assert step(86_400_001) == len(STEPS)
    assert said_of(TOLD._replace(shown_most=len(STEPS))) is None
    assert remaining(0, 1_000, 90_000_000, 0) is None


def test_what_is_said_rises_by_a_step_a_minute_and_falls_at_once() -> None:
    line = Line(served=99.0, busy=940.0, judged=200, most_kept=0.9)
    line = changed(line, 0, 0)
    assert said_of(line) == (30, 30)
    line = changed(line, 30_000, 100)
    assert said_of(line) == (30, 30), "a minute has not passed since something was said first"
    told = []
    for minute in range(1, 6):
        line = changed(line, minute * MINUTE, 0)
        told.append(said_of(line))
    assert told == [(60, 60), (120, 120), (180, 180), (300, 300), (600, 600)]
    line = changed(line, 5 * MINUTE + 1, -100)
    assert said_of(line) == (30, 30)


@pytest.mark.parametrize(
    ("elapsed_s", "said"),
    [
        (0, (300, 600)),
        (200, (120, 600)),
        (290, (30, 600)),
        # Past the first bound, as much again, a step a minute.
        (300, (30, 300)),
        (361, (60, 300)),
        (421, (120, 180)),
        (481, (180, 180)),
        (599, (300, 300)),
        # Past both: the second one is never below the first.
        (601, (600, 600)),
        (100_000, None),
    ],
)
def test_contact_is_told_what_remains(elapsed_s: float, said: tuple[int, int] | None) -> None:
    assert remaining(5, 300_000, 600_000, 5 + round(elapsed_s * 1000)) == said


def test_what_a_contact_is_told_never_rises_faster_than_a_step_a_minute() -> None:
    told = [remaining(0, 70_000, 400_000, second * 1000) for second in range(4_000)]
    places = [(STEPS.index(one[0]), STEPS.index(one[1])) for one in told if one is not None]
    assert len(places) == len(told)
    for before, after in zip(places, places[60:], strict=False):
        assert after[0] - before[0] <= 1
        assert after[1] - before[1] <= 1


# A queue of chance


@dataclass
class Queue:
    """Customers who come and give up at random, and agents who take random times: M/M/s+M, first come, first served."""

    seed: int
    agents: int = 10
    handling_s: float = 100.0
    patience_s: float = 400.0
    line: Line = NO_LINE
    kept: list[bool] = field(default_factory=list)
    said: list[tuple[int, Line]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.now = 0
        self.free = self.agents
        self.order = 0
        self.waiting: dict[int, Promise] = {}
        self.events: list[tuple[int, int, str]] = []

    def run(self, per_second: float, seconds: int) -> None:
        """So many customers a second for so long, on top of what is under way."""
        end = self.now + seconds * 1000
        self._after(per_second, "comes")
        while self.events and self.events[0][0] < end:
            self.now, number, what = heapq.heappop(self.events)
            if what == "comes":
                self._comes()
                self._after(per_second, "comes")
            elif what == "gives up" and number in self.waiting:
                self._leaves(number, answered=False)
            elif what == "is done":
                self.free += 1
                if self.waiting:
                    self._is_served(next(iter(self.waiting)))
        self.events = [event for event in self.events if event[2] != "comes"]
        heapq.heapify(self.events)
        self.now = end

    def _after(self, rate: float, what: str, number: int = 0) -> None:
        if what == "comes":
            self.order += 1
            number = self.order
        heapq.heappush(self.events, (self.now + round(self.dice.expovariate(rate) * 1000), number, what))

    def _comes(self) -> None:
        number = self.order
        if self.free:
            self.free -= 1
            self._after(1 / self.handling_s, "is done", number)
            return
        self._change(1)
        self.waiting[number] = promise("chat:q", self.line, self.now)
        self._after(1 / self.patience_s, "gives up", number)

    def _is_served(self, number: int) -> None:
        self.free -= 1
        self._leaves(number, answered=True)
        self._after(1 / self.handling_s, "is done", number)

    def _leaves(self, number: int, *, answered: bool) -> None:
        told = self.waiting.pop(number)
        wait = self.now - told.at
        self._change(-1, served=int(answered), left=int(not answered))
        self.line = judge(self.line, told, wait, answered=answered)
        if answered or wait > told.most:
            self.kept.append(wait <= told.most)

    def _change(self, by: int, *, served: int = 0, left: int = 0) -> None:
        self.line = changed(self.line, self.now, by, served=served, left=left)
        self.said.append((self.now, self.line))

    def coverage(self) -> float:
        """Of the waits since the last time that it was asked."""
        kept, self.kept = self.kept, []
        return sum(kept) / len(kept)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_bounds_of_a_queue_of_chance_hold_after_a_while_and_after_the_load_changed(seed: int) -> None:
    centre = Queue(seed)
    centre.run(0.1, 4 * 3600)
    centre.coverage()
    centre.run(0.1, 24 * 3600)
    assert 0.88 <= centre.coverage() <= 0.92
    centre.run(0.13, 12 * 3600)
    assert 0.87 <= centre.coverage() <= 0.93, "the first hours of a surge are in it"
    centre.run(0.13, 24 * 3600)
    assert 0.88 <= centre.coverage() <= 0.92
    centre.run(0.09, 48 * 3600)
    assert 0.88 <= centre.coverage() <= 0.92
    assert calibrated(centre.line)
    assert centre.line.most_kept == pytest.approx(0.9, abs=0.05)
    assert centre.line.half_kept == pytest.approx(0.5, abs=0.12)


def test_bounds_of_a_queue_that_is_always_long_hold_too() -> None:
    """Fifty agents and too few: a dozen or two wait all the time, each about as long as the others."""
    centre = Queue(1, agents=50)
    centre.run(0.5, 4 * 3600)
    centre.coverage()
    centre.run(0.65, 3 * 3600)
    assert 0.88 <= centre.coverage() <= 0.92
    centre.run(0.65, 6 * 3600)
    assert 0.88 <= centre.coverage() <= 0.92


def test_what_is_said_of_a_queue_of_chance_never_rises_faster_than_a_step_a_minute() -> None:
    centre = Queue(5)
    centre.run(0.1, 6 * 3600)
    centre.run(0.2, 6 * 3600)
    rises = {"shown_half": 0, "shown_most": 0}
    for name in rises:
        last = -waits.RISE
        for (_, before), (at, after) in zip(centre.said[1:], centre.said[2:], strict=False):
            risen = getattr(after, name) - getattr(before, name)
            assert risen <= 1
            if risen > 0:
                assert at - last >= waits.RISE
                last = at
                rises[name] += 1
    assert min(rises.values()) > 20
