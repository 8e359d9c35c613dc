"""Days of our own making: repeatable, and with the same customers in every scenario."""

from __future__ import annotations

import pytest

from services.router.twin.day import Day, UnreadableDay, checked
from services.router.twin.generate import HOUR, SCENARIOS, generate


def between(day: Day, begin_h: float, end_h: float, *languages: str) -> int:
    return sum(
        begin_h * HOUR <= each.at < end_h * HOUR and (not languages or each.language in languages)
        for each in day.arrivals
    )


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_makes_a_day_that_can_be_played_and_the_same_twice(scenario: str) -> None:
    day = generate(scenario, 5, agents=60, load=0.3)
    assert day == generate(scenario, 5, agents=60, load=0.3)
    assert day != generate(scenario, 6, agents=60, load=0.3)
    assert checked(day) is day
    times = [each.at for each in day.arrivals]
    assert times == sorted(times)
    assert times[-1] < day.end
    spoken = {code for each in day.agents for code in each.languages}
    assert {each.language for each in day.arrivals} <= spoken
    assert all(0 <= begin < end <= day.end for each in day.agents for begin, end in each.shifts)


def test_scenarios_share_their_customers() -> None:
    nominal, surge, rare, promotion = (
        generate(name, 2, agents=60) for name in ("nominal", "surge", "rare", "promotion")
    )
    for other in (surge, rare, promotion):
        assert {each.id: each for each in other.arrivals}.items() > {each.id: each for each in nominal.arrivals}.items()
        assert other.agents == nominal.agents


def test_what_each_scenario_changes() -> None:
    nominal, surge, rare, promotion, absent, outage = (
        generate(name, 2, agents=100) for name in ("nominal", "surge", "rare", "promotion", "absent", "outage")
    )
    assert between(surge, 5, 5.5) > 2.2 * between(nominal, 5, 5.5)
    assert between(surge, 6, 12) == between(nominal, 6, 12)
    few = ("da", "fi", "bg", "hr", "hu", "el")
    assert between(rare, 4, 6, *few) > 2.2 * between(nominal, 4, 6, *few)
    assert between(promotion, 3, 3.5, "en", "es") > 2 * between(nominal, 3, 3.5, "en", "es")
    assert between(promotion, 3, 3.5, "it") == between(nominal, 3, 3.5, "it")
    assert len(absent.agents) == 85
    moved = [(a, b) for a, b in zip(nominal.arrivals, outage.arrivals, strict=True) if a.channel != b.channel]
    assert moved
    assert {a.channel for a, _ in moved} == {"chat"}
    assert {b.channel for _, b in moved} == {"messaging", "email"}
    assert all(5 * HOUR <= a.at < 5 * HOUR + HOUR / 3 for a, _ in moved)


def test_two_sites_keep_hours_of_their_own() -> None:
    day = generate("two_sites", 2, agents=60)
    begins = {
        code: min(each.shifts[0][0] for each in day.agents if each.languages.get(code) == 1.0) for code in ("fr", "es")
    }
    assert begins == {"fr": 0, "es": 6 * HOUR}
    assert between(day, 0, 6, "es") == 0
    assert between(day, 13, 18, "es") > 0


def test_a_load_of_half_is_about_half_the_work() -> None:
    whole, half = (sum(each.work for each in generate("nominal", 4, agents=100, load=x).arrivals) for x in (1.0, 0.5))
    assert half / whole == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("scenario", "agents", "load"), [("apocalypse", 100, 1.0), ("nominal", 3, 1.0), ("surge", 50, 0)]
)
def test_days_that_there_are_none_of(scenario: str, agents: int, load: float) -> None:
    with pytest.raises(UnreadableDay):
        generate(scenario, 1, agents=agents, load=load)
