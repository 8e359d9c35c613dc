"""The example policy that is shipped: read as the router reads it, linted clean, and played."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.router.api.policy_document import read_policy
from services.router.cli import main
from services.router.scenarios.centre import ACCOUNT, Centre
from services.router.scenarios.file import Scenario, read
from services.router.scenarios.play import play
from shared.contracts.policy import Policy

FILE = Path(__file__).resolve().parents[2] / "deploy" / "config" / "policy.yaml"
SCENARIOS = Path(__file__).with_name("example_policy.yaml")
POLICY = read_policy(FILE.read_bytes(), "application/yaml")


def with_channels_of_scenarios(policy: Policy) -> Policy:
    """The policy with the one account for each kind of channel that scenarios know."""
    document = policy.model_dump(mode="json")
    kinds = {channel.kind: channel for channel in policy.channels}
    document["channels"] = [{"kind": kind, "account": ACCOUNT, "queue": one.queue} for kind, one in kinds.items()]
    return Policy.model_validate(document)


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
    }


@pytest.mark.parametrize("scenario", read(SCENARIOS), ids=lambda scenario: scenario.id)
def test_the_policy_does_what_it_says(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = with_channels_of_scenarios(POLICY)
    assert {queue.name for queue in scenario.setup.queues} <= {queue.name for queue in policy.queues}
    monkeypatch.setattr(Centre, "policy", lambda centre: policy)

    assert play(scenario, SCENARIOS).failures == []
