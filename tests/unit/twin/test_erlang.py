"""The closed forms against known values and limits, and the engine against the closed forms."""

from __future__ import annotations

import math

import pytest

from services.router.twin.erlang import blocking, erlang_a, erlang_b, erlang_c
from services.router.twin.erlang_runs import MEASURES, Centre, simulate


@pytest.mark.parametrize(
    ("load", "agents", "value"), [(1, 1, 0.5), (2, 2, 0.4), (10, 15, 0.036497), (100, 100, 0.0757)]
)
def test_erlang_b_against_printed_values(load: float, agents: int, value: float) -> None:
    assert blocking(load, agents) == pytest.approx(value, abs=5e-5)
    assert erlang_b(load, 1, agents).p_abandon == blocking(load, agents)


def test_erlang_c_of_one_agent_is_m_m_1() -> None:
    found = erlang_c(0.8, 1.0, 1, 2.0)
    assert found.p_wait == pytest.approx(0.8)
    assert found.asa == pytest.approx(0.8 / 0.2)
    assert found.sl == pytest.approx(1 - 0.8 * math.exp(-0.2 * 2))


def test_erlang_c_against_printed_values() -> None:
    """A hundred calls in half an hour of three minutes each, eleven agents (ten Erlang): 0.6821 wait."""
    found = erlang_c(200 / 3600, 1 / 180, 11, 20)
    assert found.p_wait == pytest.approx(0.6821, abs=1e-4)
    assert found.asa == pytest.approx(0.6821 * 180 / 1, rel=1e-3)


def test_erlang_a_lies_between_b_and_c() -> None:
    patient, hasty = erlang_a(9, 1, 1e-8, 10, 0.1), erlang_a(9, 1, 1e8, 10, 0.1)
    for name in MEASURES:
        assert getattr(patient, name) == pytest.approx(getattr(erlang_c(9, 1, 10, 0.1), name), rel=1e-5, abs=1e-6)
        assert getattr(hasty, name) == pytest.approx(getattr(erlang_b(9, 1, 10), name), rel=1e-5, abs=1e-6)


def _by_small_steps(ahead: int, together: float, leaving: float, target: float) -> tuple[float, float]:
    """(answered within the target, answered at all) of somebody behind `ahead` others: their chain of states followed
    in small steps of time, with the midpoint rule."""
    places = [0.0] * (ahead + 1) + [1.0]
    step, at, answered, in_time = 2e-3, 0.0, 0.0, 0.0

    def change(now: list[float]) -> list[float]:
        moved = [0.0] * len(now)
        for place in range(1, len(now)):
            forward = (together + (place - 1) * leaving) * now[place]
            moved[place] -= forward + leaving * now[place]
            moved[place - 1] += forward
        return moved

    while at < 40 / together + target:
        half = [each + step / 2 * rate for each, rate in zip(places, change(places), strict=True)]
        places = [each + step * rate for each, rate in zip(places, change(half), strict=True)]
        at += step
        answered = places[0]
        if at <= target + step / 2:
            in_time = answered
    return in_time, answered


def test_erlang_a_against_a_chain_followed_in_small_steps() -> None:
    rate, service, leaving, agents, target = 5.0, 1.0, 0.7, 3, 0.4
    weights = [1.0]
    for number in range(1, 40):
        weights.append(weights[-1] * rate / (min(number, agents) * service + max(0, number - agents) * leaving))
    total = sum(weights)
    in_time, answered = sum(weights[:agents]) / total, sum(weights[:agents]) / total
    for ahead in range(24):
        soon, ever = _by_small_steps(ahead, agents * service, leaving, target)
        in_time += weights[agents + ahead] / total * soon
        answered += weights[agents + ahead] / total * ever
    found = erlang_a(rate, service, leaving, agents, target)
    assert found.sl == pytest.approx(in_time, abs=2e-5)
    assert found.p_abandon == pytest.approx(1 - answered, abs=2e-5)


def test_erlang_a_at_the_ends_of_the_target() -> None:
    """Nobody who waits is answered at once, and in the end everybody is who does not leave."""
    at_once, ever = (erlang_a(12, 1, 0.5, 10, target) for target in (0.0, 1e4))
    assert at_once.sl == pytest.approx(1 - at_once.p_wait)
    assert ever.sl == pytest.approx(1 - ever.p_abandon)


def test_a_large_overloaded_centre_is_no_trouble_for_the_sums() -> None:
    """In overload everybody is busy, and what is too much leaves: 1 − nμ/λ."""
    found = erlang_a(20_000, 1.0, 0.1, 19_000, 0.01)
    assert found.p_wait == pytest.approx(1.0)
    assert found.p_abandon == pytest.approx(0.05)
    assert found.asa == pytest.approx(math.log(20 / 19) / 0.1, rel=1e-3)


@pytest.mark.parametrize(
    "centre",
    [
        Centre("c", 8.0, 1.0, 0.0, 11, 0.1),
        Centre("c", 0.6, 1.0, 0.0, 1, 1.0),
        Centre("b", 9.0, 1.0, 0.0, 10, 0.1),
        Centre("a", 11.0, 1.0, 0.5, 10, 0.2),
        Centre("a", 20.0, 1.0, 2.0, 24, 0.05),
    ],
    ids=lambda centre: f"{centre.model}{centre.agents}",
)
def test_the_engine_agrees_with_the_closed_form(centre: Centre) -> None:
    found, expected = simulate(centre, contacts=800, repetitions=6, seed=4), centre.expected()
    for name in MEASURES:
        assert found[name].contains(getattr(expected, name)), (name, found[name], expected)
        assert (found[name].half or 0) < 0.35


@pytest.mark.parametrize(
    ("centre", "told"),
    [
        (Centre("c", 10, 1, 0, 10, 0), "grows without end"),
        (Centre("a", 10, 1, 0, 10, 0), "theta must be above 0"),
        (Centre("b", -1, 1, 0, 10, 0), "lambda must be above 0"),
        (Centre("b", 1, 0, 0, 10, 0), "mu must be above 0"),
        (Centre("b", 1, 1, 0, 0, 0), "agents must be at least 1"),
    ],
)
def test_numbers_that_make_no_centre(centre: Centre, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        centre.expected()
