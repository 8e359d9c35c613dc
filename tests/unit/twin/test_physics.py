"""An agent's pace by hand-computed examples."""

from __future__ import annotations

import pytest

from services.router.twin.physics import Desk

SLOWDOWN = (1.0, 1.25, 1.55)


def test_one_contact_takes_its_work_by_the_proficiency() -> None:
    desk = Desk(SLOWDOWN)
    desk.take(1, work=90.0, proficiency=0.9, weight=1, now=0)
    assert desk.next_done() == (100_000, 1)


def test_work_done_carries_over_when_a_second_contact_comes() -> None:
    desk = Desk(SLOWDOWN)
    desk.take(1, work=100.0, proficiency=1.0, weight=1, now=0)
    desk.take(2, work=100.0, proficiency=1.0, weight=1, now=40_000)
    # 60 s of work are left of the first, at 1/1.25: 75 s more.
    assert desk.next_done() == (115_000, 1)
    assert desk.put_away(1, 115_000) == pytest.approx(0)
    # The second has had 75 s at 1/1.25, which is 60 s of work; alone it needs 40 more.
    assert desk.next_done() == (155_000, 2)


def test_three_at_once() -> None:
    desk = Desk(SLOWDOWN)
    for contact, work in ((1, 31.0), (2, 62.0), (3, 93.0)):
        desk.take(contact, work=work, proficiency=1.0, weight=1, now=0)
    assert desk.next_done() == (48_050, 1)
    desk.put_away(1, 48_050)
    # 31 s of each are done; of the second 31 are left at 1/1.25.
    assert desk.next_done() == (48_050 + 38_750, 2)


def test_a_contact_put_away_keeps_what_is_left_of_it() -> None:
    desk = Desk(SLOWDOWN)
    desk.take(1, work=100.0, proficiency=0.8, weight=1, now=0)
    assert desk.put_away(1, 50_000) == pytest.approx(60.0)
    assert desk.next_done() is None


def test_busy_time_counts_on_shift_only_and_load_with_the_capacity_in_use() -> None:
    desk = Desk(SLOWDOWN)
    desk.on_shift = True
    desk.take(1, work=100.0, proficiency=1.0, weight=2, now=10_000)
    desk.take(2, work=100.0, proficiency=1.0, weight=1, now=20_000)
    desk.pass_to(30_000)
    desk.on_shift = False
    desk.pass_to(50_000)
    assert desk.busy == 20_000
    assert desk.loaded == 10_000 * 2 + 10_000 * 3


def test_a_told_end_is_stale_after_any_change() -> None:
    desk = Desk(SLOWDOWN)
    desk.take(1, work=100.0, proficiency=1.0, weight=1, now=0)
    before = desk.stamp
    desk.take(2, work=1.0, proficiency=1.0, weight=1, now=0)
    assert desk.stamp != before
