"""Every policy test of ours holds, and the tool that plays them says what is wrong with a file or a policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.router.cli import main
from services.router.scenarios.file import Scenario, read
from services.router.scenarios.play import play
from services.router.scenarios.vocabulary import UnreadableScenarios

FOLDER = Path(__file__).parent / "policies"
FILES = sorted(FOLDER.glob("*.yaml"))
SCENARIOS = [(scenario, path) for path in FILES for scenario in read(path)]

SMALL = """\
- id: one-offer
  intent: A contact goes to who is there.
  setup:
    queues: [{name: help}]
    agents: [{name: ana}]
  timeline:
    - {at: 0, do: contact, id: c1, queue: help}
  expect:
    - {at: 0, contact: c1, state: offered, offered_to: [ana]}
"""


@pytest.mark.parametrize(("scenario", "path"), SCENARIOS, ids=[scenario.id for scenario, _ in SCENARIOS])
def test_scenario_holds(scenario: Scenario, path: Path) -> None:
    assert play(scenario, path).failures == []


def test_there_are_many_and_each_has_a_name_of_its_own() -> None:
    ids = [scenario.id for scenario, _ in SCENARIOS]
    assert len(ids) >= 150
    assert len(set(ids)) == len(ids)


def test_a_file_that_holds_is_told_in_a_line_and_ends_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)

    assert main(["scenarios", str(file)]) == 0

    assert capsys.readouterr().out.splitlines() == ["pass  one-offer", "1 scenarios, 0 failed"]


def test_what_differs_is_shown_with_the_decisions_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(SMALL.replace("offered_to: [ana]", "offered_to: [ben]").replace("ana}]", "ana}, {name: ben}]"))

    assert main(["scenarios", str(tmp_path)]) == 1

    told = capsys.readouterr().out
    assert "FAIL  one-offer" in told
    assert "A contact goes to who is there." in told
    assert "offered_to: expected ben, got ana" in told
    assert "last decision: longest_idle" in told


MESSAGE = """\
- id: one-message
  intent: A mail goes where the chat does not.
  setup: {}
  timeline:
    - {at: 0, do: contact, id: c1, reach: [{channel: email}, {channel: sms, consent: false}]}
    - {at: 0, do: send, id: m1, contact: c1, route: [{channel: sms}, {channel: chat, within_s: 9}, {channel: email}]}
  expect:
    - {at: 9, message: m1, state: pending, attempts: [chat, email]}
"""


def test_of_a_message_each_step_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "message.yaml"
    file.write_text(MESSAGE)
    assert main(["scenarios", str(file)]) == 0
    file.write_text(MESSAGE.replace("setup: {}", "setup: {queues: []}"))
    assert main(["scenarios", str(file)]) == 0
    file.write_text(MESSAGE.replace("pending, attempts: [chat, email]", "failed, attempts: email"))

    assert main(["scenarios", str(file)]) == 1

    told = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert told[-6:-1] == [
        "state: expected failed, got pending",
        "attempts: expected email, got chat, email",
        "sms: passed over, no_consent",
        "chat: queued, given up: no_status",
        "email: queued",
    ]


@pytest.mark.parametrize(
    ("wrong", "right", "place"),
    [
        ("route: [{channel: sms}", "route: [{channel: sms, wait_s: 5}", "timeline.1.send.route.0.wait_s"),
        ("message: m1", "message: m2", "there is no message 'm2' (the nearest name is 'm1')"),
        ("route: [{channel: sms}", "route: [{channel: chat}", "message 'm1': ('invalid_route'"),
        ("id: c1, reach", "id: c1, waited_s: 5, reach", "reach: it comes with a message"),
    ],
)
def test_what_a_message_cannot_be_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str, right: str, place: str
) -> None:
    file = tmp_path / "message.yaml"
    assert wrong in MESSAGE
    file.write_text(MESSAGE.replace(wrong, right))

    assert main(["scenarios", str(file)]) == 2

    assert place in capsys.readouterr().err


def test_as_json_each_scenario_is_an_object_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "small.yaml"
    other = SMALL.replace("one-offer", "other").replace("state: offered", "state: waiting")
    file.write_text(SMALL + other)

    assert main(["scenarios", str(file), "--json"]) == 1

    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {"id": "one-offer", "file": str(file), "passed": True, "failures": []}
    (failure,) = second["failures"]
    assert (failure["at"], failure["subject"]) == (0, "c1")
    assert (failure["expected"], failure["got"]) == ({"state": "waiting"}, {"state": "offered"})
    assert failure["reasons"]


@pytest.mark.parametrize(
    ("wrong", "right", "place"),
    [
        ("name: help", "name: help, rnak: 2", "one-offer.setup.queues.0.rnak"),
        ("name: help", "name: help, strategy: luck", "one-offer.setup.queues.0.strategy"),
        ("name: ana", "name: ana, skils: {a: 1}", "one-offer.setup.agents.0.skils"),
        ("do: contact", "do: dance", "one-offer.timeline.0"),
        ("id: c1,", "id: c1, colour: red,", "one-offer.timeline.0.contact.colour"),
        ("state: offered", "state: dancing", "one-offer.expect.0.state"),
        ("name: help", "name: help, steps: [{after_s: 1, move_to: nowhere}]", "steps.0.move_to: there is no queue"),
        ("queue: help", "queue: nowhere", "there is no queue 'nowhere'"),
        ("contact: c1, state", "contact: c2, state", "there is no contact 'c2'"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str, right: str, place: str
) -> None:
    file = tmp_path / "small.yaml"
    assert wrong in SMALL
    file.write_text(SMALL.replace(wrong, right))

    assert main(["scenarios", str(file)]) == 2

    said = capsys.readouterr()
    assert place in said.err
    assert str(file) in said.err


def test_a_file_that_is_no_yaml_or_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("- id: [")
    for path in (file, tmp_path / "missing.yaml"):
        with pytest.raises(UnreadableScenarios, match=path.name):
            read(path)
