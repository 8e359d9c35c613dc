"""What the lint finds in a policy: for each rule a policy that it warns of, and the same one mended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.router.cli import main
from services.router.policy_lint import lint
from services.router.policy_lint_rules import RULES
from shared.contracts.policy import Policy

NOW = round(datetime(2026, 3, 2, tzinfo=UTC).timestamp() * 1000)
BOTH = {"chat": 60, "callback": 3600}
DAYS = {"tz": "UTC", "weekly": {"mon": "08:00-18:00"}}
EVENINGS = {"tz": "UTC", "weekly": {"mon": "18:00-23:00"}}
Document = dict[str, Any]


def queue(name: str = "help", **fields: Any) -> Document:
    return {"name": name, "target_s": {"chat": 60}, **fields}


def policy(*queues: Document, **fields: Any) -> Document:
    """A policy whose one channel leads to the first of the queues."""
    first = queues[0]["name"]
    return {"channels": [{"kind": "chat", "account": "web", "queue": first}], "queues": list(queues), **fields}


def moving(to: str, **when: Any) -> Document:
    return {"overflow": [{"when": when, "action": "move_to", "queue": to}]}


def flow(*filters: Document) -> Document:
    return {"flows": [{"name": "f", "default_queue": "help", "filters": list(filters)}]}


def station(**fields: Any) -> Document:
    return {"queue": "help", **fields}


def ramp(*most: int) -> list[Document]:
    return [{"until_s": 60 * number, "max_open": each} for number, each in enumerate(most, start=1)]


VIP = {"match": {"tier": "vip"}, "steps": [station()]}
VIP_ID = {"match": {"tier": "vip", "country": "id"}, "steps": [station()]}
EVERYBODY = {"steps": [station()]}

CASES: Mapping[str, tuple[Document, str, Document]] = {
    "ramp-step-never-binds": (
        policy(queue(), max_per_agent=3, ramp=ramp(1, 3)),
        "ramp.1.max_open",
        policy(queue(), max_per_agent=3, ramp=ramp(1, 2)),
    ),
    "ramp-goes-down": (
        policy(queue(), ramp=ramp(2, 1)),
        "ramp.1.max_open",
        policy(queue(), ramp=ramp(2, 2)),
    ),
    "queue-unreachable": (
        policy(queue(), queue("vault")),
        "queues.1",
        policy(queue(steps=[{"after_s": 60, "move_to": "vault"}]), queue("vault")),
    ),
    "target-missing": (
        policy({"name": "help", "target_s": {"email": 60}}),
        "queues.0.target_s",
        policy(queue()),
    ),
    "step-after-max-wait": (
        policy(queue(max_wait_s=60, steps=[{"after_s": 60, "any_agent": True}])),
        "queues.0.steps.0",
        policy(queue(max_wait_s=60, steps=[{"after_s": 59, "any_agent": True}])),
    ),
    "step-after-overflow": (
        policy(
            queue(steps=[{"after_s": 61, "any_agent": True}], **moving("second", wait_exceeds_s=60)), queue("second")
        ),
        "queues.0.steps.0",
        policy(
            queue(steps=[{"after_s": 60, "any_agent": True}], **moving("second", wait_exceeds_s=60)), queue("second")
        ),
    ),
    "overflow-after-max-wait": (
        policy(queue(max_wait_s=60, **moving("second", wait_exceeds_s=61)), queue("second")),
        "queues.0.overflow.0",
        policy(queue(max_wait_s=60, **moving("second", wait_exceeds_s=60)), queue("second")),
    ),
    "overflow-above-max-waiting": (
        policy(queue(max_waiting=10, **moving("second", waiting_at_least=11)), queue("second")),
        "queues.0.overflow.0",
        policy(queue(max_waiting=10, **moving("second", waiting_at_least=10)), queue("second")),
    ),
    "overflow-to-closed": (
        policy(queue(business_hours=DAYS, **moving("second", closed=True)), queue("second", business_hours=DAYS)),
        "queues.0.overflow.0.queue",
        policy(queue(business_hours=DAYS, **moving("second", closed=True)), queue("second", business_hours=EVENINGS)),
    ),
    "callback-again": (
        policy(queue(target_s=BOTH, overflow=[{"when": {"wait_exceeds_s": 60}, "action": "callback"}])),
        "queues.0.overflow.0",
        policy(queue(overflow=[{"when": {"waiting_at_least": 60}, "action": "callback"}])),
    ),
    "moves-to-itself": (
        policy(queue(steps=[{"after_s": 60, "move_to": "help"}])),
        "queues.0.steps.0.move_to",
        policy(queue(steps=[{"after_s": 60, "move_to": "second"}]), queue("second")),
    ),
    "declines-exhaust": (
        policy(queue(decline={"policy": "never"})),
        "queues.0.decline",
        policy(queue(decline={"policy": "never"}, steps=[{"after_s": 60, "any_agent": True}])),
    ),
    "preferred-hold-without-end": (
        policy(queue(preferred={"fallback": "hold"})),
        "queues.0.preferred",
        policy(queue(preferred={"fallback": "hold"}, max_wait_s=3600)),
    ),
    "preferred-without-wait": (
        policy(queue(preferred={"bypass": ["skills"]})),
        "queues.0.preferred.wait_s",
        policy(queue(preferred={"bypass": ["skills"], "wait_s": 60})),
    ),
    "tiers-stay-closed": (
        policy(queue(initial_tier=1)),
        "queues.0.initial_tier",
        policy(queue(initial_tier=1, steps=[{"after_s": 60, "open_tier": 2}])),
    ),
    "step-opens-nothing": (
        policy(queue(steps=[{"after_s": 60, "open_tier": 2}])),
        "queues.0.steps.0.open_tier",
        policy(queue(initial_tier=1, steps=[{"after_s": 60, "open_tier": 2}])),
    ),
    "rank-starves": (
        policy(queue(rank=2, **moving("urgent", waiting_at_least=9)), queue("urgent", rank=1)),
        "queues.0.rank",
        policy(queue(rank=2, steps=[{"after_s": 600, "move_to": "urgent"}]), queue("urgent", rank=1)),
    ),
    "priority-starves": (
        policy(
            queue(contact_order="priority"),
            **flow({**VIP, "steps": [station(priority=5)]}, {"steps": [station(priority=0)]}),
        ),
        "queues.0.contact_order",
        policy(
            queue(contact_order="score"),
            **flow({**VIP, "steps": [station(priority=5)]}, {"steps": [station(priority=0)]}),
        ),
    ),
    "rate-limit-never-binds": (
        policy(queue(max_per_agent=2, wrap_up_s=60, rate_limit={"max": 20, "window_s": 600})),
        "queues.0.rate_limit",
        policy(queue(max_per_agent=2, wrap_up_s=60, rate_limit={"max": 19, "window_s": 600})),
    ),
    "queue-limit-never-binds": (
        policy(queue(max_per_agent=3), max_per_agent=3),
        "queues.0.max_per_agent",
        policy(queue(max_per_agent=2), max_per_agent=3),
    ),
    "never-open": (
        policy(queue(business_hours={"tz": "UTC", "weekly": {}})),
        "queues.0.business_hours.weekly",
        policy(queue(business_hours=DAYS)),
    ),
    "miss-changes-nothing": (
        policy(queue(accepts_presence=["available", "away"])),
        "queues.0.on_miss.set_presence",
        policy(queue(accepts_presence=["available", "away"], on_miss={"set_presence": "offline"})),
    ),
    "flow-without-catch-all": (
        policy(queue(), **flow(VIP)),
        "flows.0.filters",
        policy(queue(), **flow(VIP, EVERYBODY)),
    ),
    "filter-never-asked": (
        policy(queue(), **flow(VIP, VIP_ID, EVERYBODY)),
        "flows.0.filters.1",
        policy(queue(), **flow(VIP_ID, VIP, EVERYBODY)),
    ),
    "station-without-time": (
        policy(queue(), **flow({"steps": [station(until_age_s=60), station(until_age_s=60)]})),
        "flows.0.filters.0.steps.1.until_age_s",
        policy(queue(), **flow({"steps": [station(until_age_s=60), station(until_age_s=61)]})),
    ),
    "flow-never-ends": (
        policy(queue(), flows=[{**flow(EVERYBODY)["flows"][0], "end": "callback"}]),
        "flows.0.end",
        policy(queue(), flows=[{**flow({"steps": [station(until_age_s=60)]})["flows"][0], "end": "callback"}]),
    ),
    "region-is-dropped": (
        policy(queue(), language_fallback={"pt-BR": [{"language": "pt-PT"}, {"language": "es"}]}),
        "language_fallback.pt-BR.0.language",
        policy(queue(), language_fallback={"pt-BR": [{"language": "es"}, {"language": "en"}]}),
    ),
    "set-without-effect": (
        policy(queue(priority_unit_s=60)),
        "queues.0.priority_unit_s",
        policy(queue(priority_unit_s=60, contact_order="score")),
    ),
}


def findings(document: Document) -> dict[str, list[str]]:
    """Places by code."""
    found: dict[str, list[str]] = {}
    for code, finding in lint(Policy.model_validate(document), NOW):
        found.setdefault(code, []).append(finding.place)
    return found


def severities(document: Document) -> dict[str, str]:
    return {code: finding.severity for code, finding in lint(Policy.model_validate(document), NOW)}


def test_every_rule_has_a_case() -> None:
    assert CASES.keys() == RULES.keys()


@pytest.mark.parametrize("code", CASES)
def test_rule_warns_of_it_at_its_place(code: str) -> None:
    wrong, place, _ = CASES[code]
    assert findings(wrong) == {code: [place]}


@pytest.mark.parametrize("code", CASES)
def test_rule_has_nothing_to_say_of_the_mended_policy(code: str) -> None:
    _, _, right = CASES[code]
    assert code not in findings(right)


def test_a_queue_reached_only_from_an_unreachable_one_is_unreachable() -> None:
    lost = queue("lost", steps=[{"after_s": 60, "move_to": "further"}])
    assert findings(policy(queue(), lost, queue("further")))["queue-unreachable"] == ["queues.1", "queues.2"]


def test_targets_are_missed_for_channels_that_contacts_fall_back_to() -> None:
    document = policy(queue())
    document["channels"] = [
        {
            "kind": "chat",
            "account": "web",
            "queue": "help",
            "fallback": [{"channel": "email", "account": "a@b.example"}],
        },
        {"kind": "email", "account": "a@b.example", "queue": "mail"},
    ]
    document["queues"].append({"name": "mail", "target_s": {"email": 3600}})
    assert findings(document) == {"target-missing": ["queues.0.target_s"]}


@pytest.mark.parametrize(("end", "found"), [("cancel", True), ("stay", True), ("default_queue", False)])
def test_the_default_queue_is_reached_by_the_end_of_a_flow(end: str, found: bool) -> None:
    stations = {"match": {}, "steps": [station(until_age_s=60)]}
    ending = {"name": "f", "default_queue": "last", "filters": [stations], "end": end}
    document = policy(queue(), queue("last"), flows=[ending])
    assert ("queue-unreachable" in findings(document)) is found


def test_an_overflow_by_waiting_needs_hours_in_common() -> None:
    here = queue(business_hours=DAYS, **moving("second", wait_exceeds_s=60))
    assert "overflow-to-closed" in findings(policy(here, queue("second", business_hours=EVENINGS)))
    assert "overflow-to-closed" not in findings(policy(here, queue("second", business_hours=DAYS)))
    assert "overflow-to-closed" not in findings(policy(here, queue("second")))


def test_hours_are_compared_across_time_zones() -> None:
    same_hours = {"tz": "Asia/Jakarta", "weekly": {"mon": "15:00-24:00", "tue": "00:00-01:00"}}
    here = queue(business_hours=DAYS, **moving("second", closed=True))
    assert "overflow-to-closed" in findings(policy(here, queue("second", business_hours=same_hours)))


def test_what_would_never_end_is_an_error() -> None:
    at_once = policy(queue(overflow=[{"when": {"wait_exceeds_s": 0}, "action": "callback"}]))
    assert severities(at_once)["callback-again"] == "error"
    assert severities(CASES["callback-again"][0])["callback-again"] == "warning"
    closed = queue(business_hours={"tz": "UTC", "weekly": {}})
    assert severities(policy(closed))["never-open"] == "error"
    assert severities(policy({**closed, "max_wait_s": 60}))["never-open"] == "warning"


def test_two_chains_of_one_language_are_an_error() -> None:
    chain = [{"language": "es"}]
    document = policy(queue(), language_fallback={"pt-BR": chain, "pt-PT": [{"language": "en"}], "zh-Hant": chain})
    assert findings(document) == {"region-is-dropped": ["language_fallback.pt-PT"]}
    assert severities(document) == {"region-is-dropped": "error"}


def test_a_chain_that_comes_to_one_language_twice_is_told_once() -> None:
    chain = [{"language": "es-MX"}, {"language": "es-ES"}, {"language": "en"}]
    assert findings(policy(queue(), language_fallback={"pt": chain})) == {
        "region-is-dropped": ["language_fallback.pt.1.language"]
    }


def test_errors_come_first() -> None:
    never = queue("never", business_hours={"tz": "UTC", "weekly": {}})
    found = lint(Policy.model_validate(policy(queue(), never)), NOW)
    assert [finding.severity for _, finding in found] == ["error", "warning"]


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"buckets": [{"match": {"a": "b"}}]}, "queues.0.buckets"),
        ({"decline": {"after_s": 60}}, "queues.0.decline.after_s"),
        ({"strategy": "round_robin", "order_by": [{"skill": "cards"}]}, "queues.0.strategy"),
        ({"on_miss": {"after_misses": 3}, "offer_timeout_s": None}, "queues.0.on_miss"),
        ({"on_miss": {"after_misses": 3}, "auto_accept": True}, "queues.0.on_miss"),
        ({"max_wait_interrupts_offer": False}, "queues.0.max_wait_interrupts_offer"),
        ({"skip_empty_tiers": True}, "queues.0.skip_empty_tiers"),
    ],
)
def test_a_field_without_what_it_needs_is_named(fields: Document, place: str) -> None:
    assert findings(policy(queue(**fields))) == {"set-without-effect": [place]}


# The tool

WARNED = """\
channels:
  - {kind: chat, account: web, queue: help}
queues:
  - name: help
    target_s: {chat: 60}
    initial_tier: 1
"""


def linted(tmp_path: Path, text: str, *options: str, name: str = "policy.yaml") -> int:
    file = tmp_path / name
    file.write_text(text)
    return main(["policy", "lint", str(file), *options])


def test_a_warning_is_told_with_line_code_and_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert linted(tmp_path, WARNED) == 0

    first, effect, advice, last = capsys.readouterr().out.splitlines()
    assert first == f"{tmp_path / 'policy.yaml'}:6: warning tiers-stay-closed, queues.0.initial_tier"
    assert "above tier 1 never get a contact of 'help'" in effect
    assert "add a step with open_tier" in advice
    assert last.endswith("0 errors, 1 warning")


def test_strict_fails_on_warnings(tmp_path: Path) -> None:
    assert linted(tmp_path, WARNED, "--strict") == 1
    assert linted(tmp_path, WARNED.replace("    initial_tier: 1\n", ""), "--strict") == 0


def test_as_json_each_finding_is_an_object_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert linted(tmp_path, WARNED, "--json") == 0

    (found,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert found["code"] == "tiers-stay-closed"
    assert (found["severity"], found["place"], found["line"]) == ("warning", "queues.0.initial_tier", 6)


def test_what_the_router_refuses_is_an_error_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert linted(tmp_path, WARNED.replace("initial_tier", "initial_teir")) == 1

    told = capsys.readouterr().out
    assert "policy.yaml:6: error invalid, queues.0.initial_teir" in told
    assert told.endswith(" 0 warnings\n")


def test_a_json_file_is_read_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert linted(tmp_path, json.dumps(policy(queue())), "--strict", name="policy.json") == 0
    assert linted(tmp_path, "{", name="policy.json") == 1
    assert "error invalid" in capsys.readouterr().out


def test_a_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "lint", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err
