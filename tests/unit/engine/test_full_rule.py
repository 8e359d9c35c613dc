"""The full rule set on random small worlds: every routing pass makes the pairs that the words of the rule make."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, given, note, settings

from tests.oracle.judged import Story, shown
from tests.oracle.worlds import WORLDS

EXAMPLES = int(os.environ.get("EXAMPLES", "0"))
"""So many, at random; without it, the same few every time."""


@settings(
    max_examples=EXAMPLES or 150,
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(world=WORLDS)
def test_every_pass_makes_the_pairs_of_the_rule(world: dict[str, Any]) -> None:
    note(f"policy: {shown(world)}")
    told: list[str] = []
    try:
        Story(world, told).play_all()
    finally:
        note("\n".join(told))
