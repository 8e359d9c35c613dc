"""Scenarios that name the file of a policy: it is that policy that is played, and what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.router.cli import main
from services.router.scenarios.file import read
from services.router.scenarios.play import play
from tests.builders import channel, policy, queue

POLICY = """\
channels:
  - {kind: chat, account: web, queue: help}
  - {kind: chat, account: shop, queue: sales}
  - {kind: email, account: mail, queue: help}
presences: {lunch: At lunch}
queues:
  - name: help
    offer_timeout_s: 10
    on_miss: {after_misses: 1, set_presence: lunch}
  - name: sales
"""

SCENARIO = """\
- id: as-adopted
  intent: Contacts go where their channel leads, under the policy's own rules.
  setup:
    policy: rules/policy.yaml
    agents:
      - {name: ana, queues: [help]}
      - {name: ben, queues: [sales], presence: lunch}
  timeline:
    - {at: 0, do: contact, id: c1}
    - {at: 1, do: contact, id: c2, account: shop}
    - {at: 2, do: agent_presence, agent: ben, presence: available}
    - {at: 3, do: contact, id: c3, channel: email}
    - {at: 4, do: channel_down, channel: email}
    - {at: 5, do: contact, id: c4, account: shop}
    - {at: 6, do: channel_down, channel: chat, account: shop}
  expect:
    - {at: 0, contact: c1, queue: help, offered_to: [ana]}
    - {at: 1, contact: c2, queue: sales, state: waiting}
    - {at: 2, contact: c2, offered_to: [ben]}
    - {at: 3, contact: c3, queue: help, channel: email}
    - {at: 6, contact: c2, state: waiting}
    - {at: 9, contact: c1, offered_to: [ana]}
    - {at: 10, contact: c1, state: waiting}
    - {at: 10, agent: ana, presence: lunch}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The scenario's file, with its policy in a folder beside it."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "policy.yaml").write_text(POLICY)
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(SCENARIO)
    return scenario


def rewrite(file: Path, right: str, wrong: str) -> None:
    text = file.read_text()
    assert right in text
    file.write_text(text.replace(right, wrong, 1))


def test_the_policy_of_the_file_is_played(file: Path) -> None:
    (scenario,) = read(file)
    assert play(scenario, file).failures == []


def test_a_json_file_is_a_policy_too(file: Path) -> None:
    rules = policy([queue("help", offer_timeout_s=10), queue("sales")], [channel("chat", "shop", to="sales")])
    (file.parent / "policy.json").write_text(json.dumps(rules))
    rewrite(file, "rules/policy.yaml", "policy.json")
    (scenario,) = read(file)
    assert scenario.setup.policy is not None
    assert [each.name for each in scenario.setup.policy.queues] == ["help", "sales"]


def test_it_is_one_reading_for_all_scenarios_of_a_file(file: Path) -> None:
    file.write_text(file.read_text() + file.read_text().replace("as-adopted", "again"))
    first, second = read(file)
    assert first.setup.policy is second.setup.policy


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("queues", "[{name: help}]"),
        ("queues", "[]"),
        ("workflows", "[]"),
        ("auto_accept", "true"),
        ("global", "{max_per_agent: 3}"),
        ("ramp", "[]"),
        ("language_fallback", "{}"),
    ],
)
def test_what_the_policy_says_is_not_said_beside_it(
    file: Path, capsys: pytest.CaptureFixture[str], key: str, value: str
) -> None:
    rewrite(file, "    agents:", f"    {key}: {value}\n    agents:")

    assert main(["scenarios", str(file)]) == 2

    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said == f"{file}:5: as-adopted.setup.{key}: the policy's file says it; leave one of the two out"


def test_a_fault_in_the_policy_is_told_with_its_file_line_and_field(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = file.parent / "rules" / "policy.yaml"
    rewrite(rules, "offer_timeout_s", "offer_timeout")
    rewrite(rules, "account: shop, queue: sales", "account: shop, queue: sales, prioriti: 3")

    assert main(["scenarios", str(file)]) == 2

    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said.startswith(f"{file}:4: as-adopted.setup.policy: ")
    assert f"{rules}:3: channels.1.prioriti: " in said
    assert f"{rules}:8: queues.0.offer_timeout: " in said


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("policy: rules/policy.yaml", "policy: rules/none.yaml", ":4: as-adopted.setup.policy: "),
        ("policy: rules/policy.yaml", "policy: [rules]", ":4: as-adopted.setup.policy: "),
        ("policy: rules/policy.yaml", "policy: scenario.yaml", ":4: as-adopted.setup.policy: "),
        ("    policy: rules/policy.yaml\n", "", ":5: as-adopted.setup.agents.0.queues.0: there is no queue 'help'"),
        ("queues: [help]", "queues: [hlep]", ":6: as-adopted.setup.agents.0.queues.0: there is no queue 'hlep'"),
        ("presence: lunch", "presence: lnuch", ": as-adopted: there is no presence 'lnuch' in the policy"),
        ("presence: available", "presence: avialable", ": as-adopted: there is no presence 'avialable' in the policy"),
        ("channel: email}", "channel: fax}", ": as-adopted: there is no channel 'fax:of any account'"),
        ("account: shop}", "account: shpo}", ": as-adopted: there is no channel 'chat:shpo'"),
    ],
)
def test_what_the_policy_does_not_know_is_named(
    file: Path, capsys: pytest.CaptureFixture[str], right: str, wrong: str, told: str
) -> None:
    rewrite(file, right, wrong)

    assert main(["scenarios", str(file)]) == 2

    said = capsys.readouterr().err
    assert f"{file}{told}" in said
