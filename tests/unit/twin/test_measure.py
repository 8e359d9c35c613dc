"""The figures of days that can be computed by hand."""

from __future__ import annotations

import pytest

from services.router.fairness import jain
from services.router.twin.measure import measure, percentile
from tests.unit.twin.days import agent, arrival, played


def test_service_level_counts_those_who_left_and_those_unserved_against_it() -> None:
    run = played(
        [
            arrival(0, 100, id="at once"),
            arrival(50, 100, id="after 50 s"),
            arrival(60, 100, id="after 140 s, too late"),
            arrival(70, 100, id="leaves", patience_s=30),
            arrival(80, 100, id="mail, in time", channel="email"),
            arrival(90, 10, id="nobody speaks it", language="fr"),
        ],
        [agent()],
        "priority_longest_idle",
        weight={"chat": 1, "email": 1},
    )
    figures = measure(run)
    assert figures.sl == 3 / 6
    assert figures.sl_int == 2 / 5
    assert figures.ab == 1 / 6
    assert figures.ab_int == 1 / 5
    assert figures.lang_sl == {"en": 2 / 4, "fr": 0.0}
    assert figures.worst_lang == 0.0
    assert figures.low5_lang == pytest.approx(0.25)
    assert figures.ch["email"].sl == 1.0
    assert figures.ch["email"].asa == 220
    assert figures.ch["chat"].n == 5
    assert figures.ch["chat"].asa == pytest.approx((0 + 50 + 140) / 3)
    # The one that nobody speaks to has waited until the end of the day.
    assert figures.ch["chat"].max == 4 * 3600 - 90
    assert figures.unserved == 1


def test_languages_of_a_day_with_nothing_but_mail() -> None:
    figures = measure(played([arrival(0, 100, channel="email")], [agent(capacity=2.0)]))
    assert figures.lang_sl == {"en": 1.0}
    assert figures.sl_int == 1.0


def test_an_answer_exactly_at_the_target_is_in_time() -> None:
    run = played([arrival(0, 100), arrival(40, 10), arrival(40.5, 1, id="70 s after")], [agent()])
    assert measure(run).sl == pytest.approx(2 / 3)


def test_occupancy_by_the_clock_and_weighted_with_the_capacity_in_use() -> None:
    half = agent("half", capacity=2.0)
    run = played([arrival(0, 3600, channel="chat")], [half, agent("idle", hours=(1, 2), languages={"fr": 1.0})])
    figures = measure(run)
    occupied = {each.id: (each.occ, each.load, each.answered) for each in figures.agents}
    assert occupied == {"half": (0.25, 0.125, 1), "idle": (0.0, 0.0, 0)}
    assert figures.occ == 0.125
    assert figures.occ_sd == 0.125
    assert figures.jain == pytest.approx(0.5)


def test_the_queue_over_the_day_is_the_mean_number_who_waited() -> None:
    """The second waits from 150 to 600 s: half of the first five minutes, all of the second."""
    run = played([arrival(0, 600), arrival(150, 10)], [agent()])
    assert measure(run).queue["chat"][:3] == [0.5, 1.0, 0.0]


def test_jains_index() -> None:
    assert jain([3.0, 3.0, 3.0]) == pytest.approx(1)
    assert jain([1.0, 0.0, 0.0, 0.0]) == pytest.approx(1 / 4)
    assert jain([0.0, 0.0]) == 1.0


def test_percentiles_are_values_that_were_seen() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.01) == 7.0
    assert percentile([], 0.95) == 0.0
