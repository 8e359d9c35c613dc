"""The formulas of `slo`, against numbers worked out by hand, and what the journal keeps of the load."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from services.router.engine.policy_document import slo_rule
from services.router.engine.slo import NO_LOAD, Load, Reserve, SloRule, fit_cost, slowing, spares, worth
from services.router.gauges import add_dated
from services.router.snapshot import dump, load, state_hash
from shared.contracts.policy import Policy
from shared.contracts.slo_policy import Slo
from tests.builders import Centre, agent, policy, queue

MINUTE = 60_000


def rule(**fields: Any) -> SloRule:
    return slo_rule(Slo.model_validate(fields).model_dump(mode="json"))


@pytest.mark.parametrize(
    ("wait_s", "expected"),
    [(0, 0.05), (30, 0.55), (59.94, 1.049), (60, 0.315), (120, 0.3213), (239, 0.33379), (240, 2.0), (9_000, 2.0)],
)
def test_worth_rises_to_the_deadline_falls_there_and_ends_on_top(wait_s: float, expected: float) -> None:
    assert worth(rule(), "chat", round(wait_s * 1000), MINUTE, 1.0) == pytest.approx(expected, rel=1e-4)


def test_worth_falls_with_the_eighth_power_of_fitness_except_past_the_cap() -> None:
    assert worth(rule(), "chat", 30_000, MINUTE, 0.9) == pytest.approx(0.55 * 0.9**8)
    assert worth(rule(), "chat", 5 * MINUTE, MINUTE, 0.5) == 2.0


def test_strict_worth_never_falls_as_time_passes() -> None:
    values = [worth(rule(strict=True), "social", seconds * 1000, 900_000, 1.0) for seconds in range(0, 4_000, 7)]
    assert values == sorted(values)


@pytest.mark.parametrize(("kind", "cap"), [("chat", 4), ("email", 1.25), ("telegram", 3)])
def test_each_channel_has_its_cap(kind: str, cap: float) -> None:
    assert worth(rule(), kind, round(cap * MINUTE) - 1, MINUTE, 1.0) < 1
    assert worth(rule(), kind, round(cap * MINUTE), MINUTE, 1.0) == 2.0


def test_slowing_is_what_one_more_contact_costs() -> None:
    table = (1.0, 1.25, 1.55)
    assert [slowing(table, busy) for busy in range(3)] == pytest.approx([1.0, 1.5, 2.15])
    # The table's last step goes on: s(4) = 1.85.
    assert slowing(table, 3) == pytest.approx(4 * 1.85 - 3 * 1.55)
    assert slowing((1.0,), 4) == pytest.approx(1.0)


def test_cost_of_fitness() -> None:
    assert fit_cost(1.0) == 0
    assert fit_cost(0.6) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("own", "kind", "priority", "expected_s"),
    [
        ({}, "chat", 0, 60),
        ({}, "email", 0, 14_400),
        ({}, "telegram", 0, 300),
        ({"chat": 90_000}, "chat", 0, 90),
        ({}, "chat", 1, 30),
        ({}, "chat", 2, 20),
        ({}, "chat", -1, 120),
    ],
)
def test_targets(own: dict[str, int], kind: str, priority: int, expected_s: int) -> None:
    assert rule().target(kind, own, priority) == expected_s * 1000


def test_values_of_levels_and_below() -> None:
    assert [rule().value(level) for level in range(6)] == [0.6, 0.6, 0.7, 0.8, 0.9, 1.0]


def test_load_forgets_in_a_quarter_of_an_hour_and_learns_what_a_contact_takes() -> None:
    known = NO_LOAD
    for second in range(0, 36_000, 10):
        known = known.arrived(second * 1000)
    # One contact in ten seconds, 300 s each: 30 slots; the newest one has just come, so a little more.
    assert known.slots(known.at) == pytest.approx(30, rel=0.02)
    assert known.slots(known.at + 900_000) == pytest.approx(known.slots(known.at) / math.e)
    for _ in range(200):
        known = known.handled(100)
    assert known.seconds == pytest.approx(100, rel=1e-3)


def test_reserve_is_so_many_roots_of_the_load() -> None:
    kept = Reserve(kinds=frozenset({"email"}), factor=1.5, until=0.7)
    assert spares(kept, free=8.0, weight=2.0, slots=16.0)
    assert not spares(kept, free=7.9, weight=2.0, slots=16.0)


def test_journal_keeps_the_load_of_each_language() -> None:
    centre = Centre(policy([queue(contact_order="slo", strategy="slo")]))
    centre.staff(agent("ana", languages={"en": 5, "fr": 5}, capacity=3))
    centre.write("c1", language="en")
    centre.accept("ana", "c1")
    centre.wait(100)
    centre.complete("ana", "c1")
    centre.write("c2", language="fr")
    centre.write("c3", channel="email", language="fr")
    loads = centre.ws.loads
    assert loads.keys() == {"en", "fr"}
    assert loads["en"].seconds == pytest.approx(300 + 0.05 * (100 - 300))
    assert loads["fr"] == Load(1 / 900, centre.now, 300.0)
    state = centre.engine.state
    assert state_hash(load(dump(state))) == state_hash(state)


def test_load_is_not_counted_where_nothing_looks_at_it() -> None:
    centre = Centre(policy([queue()]))
    centre.write("c1", language="en")
    assert centre.ws.loads == {}


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"slowdown": [1.2, 1.0]}, "slowdown"),
        ({"level_values": {"1": 0.5}}, "level_values"),
        ({"target_s": {"pigeon": 60}}, "slo.target_s"),
        ({"age_cap": {"pigeon": 2}}, "slo.age_cap"),
        ({"reserve": {"channels": ["pigeon"]}}, "slo.reserve.channels"),
        ({"overdue_weight": 0}, "overdue_weight"),
    ],
)
def test_wrong_numbers_are_refused_by_name(fields: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError, match=place):
        Policy.model_validate({**policy(), "slo": fields})


def test_overdue_contacts_are_counted_by_channel_and_language() -> None:
    centre = Centre(policy([queue(contact_order="slo", target_s={"chat": 60})]))
    for name in ("c1", "c2"):
        centre.write(name, language="fr")
        centre.wait(50)
    centre.write("m1", channel="email", language="fr")
    found: dict[tuple[str, str], tuple[int, float]] = {}
    add_dated(found, centre.engine.world.indexes["w"], centre.now)
    assert found == {("chat", "fr"): (1, 100.0), ("email", "fr"): (0, 0.0)}
