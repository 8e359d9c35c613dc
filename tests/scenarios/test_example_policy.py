"""The example policy that is shipped: read as the router reads it, linted clean, and played."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.router.api.policy_document import read_policy
from services.router.cli import main
from services.router.scenarios.file import Scenario, read
from services.router.scenarios.play import play

FILE = Path(__file__).resolve().parents[2] / "deploy" / "config" / "policy.yaml"
SCENARIOS = Path(__file__).with_name("example_policy.yaml")
POLICY = read_policy(FILE.read_bytes(), "application/yaml")


def test_the_policy_is_linted_clean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "lint", "--strict", str(FILE)]) == 0, capsys.readouterr().out


def test_the_policy_uses_most_of_the_model() -> None:
    used = {name for queue in POLICY.queues for name in queue.model_fields_set}
    unused = set(type(POLICY.queues[0]).model_fields) - used
    # What contradicts what this desk wants stays out of it.
    assert unused == {
        "auto_accept",
        "auto_assign",
        "max_age_s",
        "max_wait_interrupts_offer",
        "max_wait_s",
        "require_staff",
        "wrap_up_holds",
    }


@pytest.mark.parametrize("scenario", read(SCENARIOS), ids=lambda scenario: scenario.id)
def test_the_policy_does_what_it_says(scenario: Scenario) -> None:
    assert scenario.setup.policy == POLICY
    assert play(scenario, SCENARIOS).failures == []
