"""Every expectation of our scenarios says something: each of its facts, made false, is told as a failure.

One playing shows it for all of a scenario: expectations only look, so the false ones stand in place of the true ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.router.scenarios.expectation import FACTS, STATES, Expectation
from services.router.scenarios.file import Scenario, read
from services.router.scenarios.play import play

HERE = Path(__file__).parent
FILES = [*sorted((HERE / "policies").glob("*.yaml")), HERE / "example_policy.yaml"]
STRANGER = "somebody-else"
PRESENCES = ("available", "away", "offline")


def false_values(kind: str, name: str, true: Any, agents: list[str]) -> Iterator[tuple[str, Any]]:
    """What cannot hold if the fact does, as (fact, value); `agents`: everybody in the scenario."""
    match name:
        case "state":
            yield from ((name, word) for word in STATES[kind] if word != true)
        case "position":
            yield from ((name, value) for value in (None, 1 if true is None else true + 1, 2) if value != true)
        case "open":
            yield from ((name, value) for value in (true + 1, true - 1) if value >= 0)
        case "exhausted" | "refused":
            yield name, not true
        case "assigned_to":
            yield from ((name, who) for who in (None, STRANGER, *agents) if who != true)
        case "presence":
            yield from ((name, word) for word in PRESENCES if word != true)
        case "queue" | "channel" | "flow_filter":
            yield name, STRANGER
        case "not_offered_to":
            # That nobody else is asked either is another fact; this one says that they are not asked.
            yield "offered_to", true
        case _:
            yield name, [*true, STRANGER]
            if true:
                yield name, true[1:]
            if name == "offered_to":
                yield from ((name, [who]) for who in agents if true != [who])


def falsified(scenario: Scenario) -> list[Expectation]:
    """For every fact of every expectation an expectation of that fact alone, with each value that is false."""
    agents = [agent.name for agent in scenario.setup.agents]
    return [
        Expectation.model_validate({"at": wanted.at, kind: wanted.subject, fact: value})
        for wanted in scenario.expect
        for kind in wanted.model_fields_set & FACTS.keys()
        for name, true in wanted.facts.items()
        for fact, value in false_values(kind, name, true, agents)
    ]


def told(subject: str, at: float, facts: dict[str, Any]) -> str:
    return f"at {at:g} s, {subject}: {facts}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_fact_made_false_is_a_failure(path: Path) -> None:
    held = []
    for scenario in read(path):
        lies = falsified(scenario)
        assert len(lies) >= sum(len(wanted.facts) for wanted in scenario.expect)
        outcome = play(scenario.model_copy(update={"expect": lies}), path)
        failed = {told(each.subject, each.at, each.expected) for each in outcome.failures}
        held += [
            f"{scenario.id}: {lie}"
            for lie in (told(each.subject, each.at, each.facts) for each in lies)
            if lie not in failed
        ]
    assert held == []
