"""What if: words of the command line laid over a day."""

from __future__ import annotations

import pytest

from services.router.twin.day import Day, UnreadableDay
from services.router.twin.play import Outage
from services.router.twin.whatif import WhatIf, outages_of, without_absent
from tests.unit.twin.days import agent, arrival, config

DAY = Day((arrival(0),), tuple(agent(f"a{number}") for number in range(20)), config())
MINUTE = 60_000


def test_a_share_of_the_agents_does_not_come_and_the_same_ones_for_the_same_seed() -> None:
    left = without_absent(DAY, 0.15, seed=1)
    assert len(left.agents) == 17
    assert {each.id for each in left.agents} < {each.id for each in DAY.agents}
    assert without_absent(DAY, 0.15, seed=1) == left
    assert without_absent(DAY, 0.15, seed=2) != left
    assert without_absent(DAY, 0, seed=1) is DAY


def test_outages_are_told_by_the_clock() -> None:
    assert outages_of(DAY, ["chat@09:30-09:50"]) == (Outage("chat", 90 * MINUTE, 110 * MINUTE),)


def test_an_outage_may_outlast_the_day_and_cross_midnight() -> None:
    night = Day(DAY.arrivals, DAY.agents, config(begins_s=22 * 3600))
    assert outages_of(night, ["chat@23:30-00:30"]) == (Outage("chat", 90 * MINUTE, 150 * MINUTE),)
    assert outages_of(DAY, ["chat@11:00-14:00"]) == (Outage("chat", 180 * MINUTE, DAY.end),)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("chat", "write it as chat@12:00-12:20"),
        ("fax@09:00-09:10", "the day has no channel 'fax'"),
        ("chat@09:70-09:80", "there is no time 09:70"),
        ("chat@13:00-13:20", "the day goes from 08:00 to 12:00; --begins tells it otherwise"),
    ],
)
def test_outages_that_cannot_be(words: str, told: str) -> None:
    with pytest.raises(UnreadableDay) as refused:
        outages_of(DAY, [words])
    assert told in str(refused.value)


def test_nobody_left_is_refused() -> None:
    with pytest.raises(UnreadableDay, match="nobody is left"):
        without_absent(Day(DAY.arrivals, DAY.agents[:1], DAY.config), 0.9, seed=1)


def test_in_words() -> None:
    assert WhatIf(0.15, ("chat@12:00-12:20",)).told() == "15% of the agents absent, chat down 12:00–12:20"
    assert not WhatIf()
