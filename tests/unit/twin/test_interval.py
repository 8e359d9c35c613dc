"""Confidence intervals against values from printed tables."""

from __future__ import annotations

import pytest

from services.router.twin.interval import incomplete_beta, interval, t_quantile


@pytest.mark.parametrize(
    ("p", "freedom", "value"),
    [(0.975, 1, 12.7062), (0.975, 4, 2.7764), (0.995, 9, 3.2498), (0.995, 29, 2.7564), (0.975, 1000, 1.9623)],
)
def test_students_quantiles(p: float, freedom: int, value: float) -> None:
    assert t_quantile(p, freedom) == pytest.approx(value, abs=5e-5)


def test_the_incomplete_beta_function() -> None:
    # I_x(2, 3) = P(at least 2 of 4 with probability x).
    assert incomplete_beta(2, 3, 0.4) == pytest.approx(1 - 0.6**4 - 4 * 0.4 * 0.6**3)
    assert incomplete_beta(5, 5, 0.5) == pytest.approx(0.5)
    assert (incomplete_beta(2, 3, 0), incomplete_beta(2, 3, 1)) == (0.0, 1.0)


def test_an_interval_of_five_values() -> None:
    found = interval([1.0, 2.0, 3.0, 4.0, 5.0], 0.95)
    assert (found.mean, found.runs) == (3.0, 5)
    assert found.half == pytest.approx(2.7764 * (2.5 / 5) ** 0.5, abs=1e-4)
    assert found.contains(4.9)
    assert not found.contains(5.0)


def test_one_value_says_nothing_about_its_error() -> None:
    found = interval([0.5], 0.95)
    assert (found.half, found.low, found.contains(0.5)) == (None, None, False)
