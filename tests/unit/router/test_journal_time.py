"""The time of entries under clocks that step: deadlines are compared with it."""

from __future__ import annotations

from services.router.journal_time import GAIN, JournalTime
from tests.unit.router.test_replica import HandClock

SLACK_MS = 5_000
HOUR_MS = 3_600_000
BEAT_S = 0.5


def lead(time: JournalTime, clock: HandClock, at: int, seconds: float) -> int:
    """Entries of one leader, a beat apart; the time of the last one."""
    for _ in range(round(seconds / BEAT_S)):
        clock.pass_s(BEAT_S)
        at = time.now(at)
        time.wrote(at)
    return at


def started() -> tuple[JournalTime, HandClock, int]:
    clock = HandClock()
    time = JournalTime(clock, SLACK_MS)
    at = time.now(0)
    time.wrote(at)
    return time, clock, at


def test_a_right_clock_is_followed() -> None:
    time, clock, at = started()
    assert lead(time, clock, at, 60) == clock.ms == at + 60_000
    assert time.steps == 0


def test_a_step_ahead_is_believed_by_the_slack_at_once_and_then_little_by_little() -> None:
    time, clock, at = started()
    clock.ms += HOUR_MS
    after_a_beat = lead(time, clock, at, BEAT_S)
    assert after_a_beat == at + 500 + SLACK_MS
    after_a_minute = lead(time, clock, after_a_beat, 59.5)
    assert at + 60_000 + SLACK_MS < after_a_minute <= at + 60_000 * (1 + GAIN) + SLACK_MS
    assert time.steps == 1, "one step, however many entries saw it"


def test_a_step_ahead_is_taken_in_in_the_end() -> None:
    time, clock, at = started()
    clock.ms += 10_000
    assert lead(time, clock, at, 120) == clock.ms
    clock.ms += HOUR_MS
    lead(time, clock, clock.ms, 1)
    assert time.steps == 2


def test_a_step_back_goes_on_at_the_steady_clocks_pace() -> None:
    time, clock, at = started()
    clock.ms -= HOUR_MS
    assert lead(time, clock, at, 60) == at + 60_000
    assert time.steps == 0


def test_a_clock_that_steps_and_is_set_right_again_costs_no_more_than_what_was_gained() -> None:
    time, clock, at = started()
    clock.ms += HOUR_MS
    at = lead(time, clock, at, 10)
    clock.ms -= HOUR_MS
    later = lead(time, clock, at, 10)
    assert at + 10_000 - SLACK_MS <= later <= at + 10_000, "what was believed at once is given back"
    assert 0 <= later - clock.ms <= 10_000 * GAIN


def test_anothers_entries_are_believed() -> None:
    time, clock, at = started()
    time.read(at + HOUR_MS)
    clock.pass_s(1)
    assert time.now(at + HOUR_MS) == at + HOUR_MS + 1_000


def test_entries_that_are_read_late_say_nothing() -> None:
    time, clock, at = started()
    clock.pass_s(100)
    time.read(at + 1_000)
    assert time.now(at + 1_000) == clock.ms
    assert time.steps == 0


def test_after_a_recovery_behind_the_journal_time_goes_on_all_the_same() -> None:
    clock = HandClock()
    time = JournalTime(clock, SLACK_MS)
    ahead = clock.ms + HOUR_MS
    at = time.now(ahead)
    assert at == ahead
    time.wrote(at)
    assert lead(time, clock, at, 60) == ahead + 60_000
