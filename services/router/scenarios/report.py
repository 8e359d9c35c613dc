"""`python -m services.router scenarios FILE…`: a line per scenario, and what differs for those that fail."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from services.router.scenarios.file import Scenario, read
from services.router.scenarios.play import Failure, Outcome, play

OF_AGENTS: Final = frozenset({"offered_to", "not_offered_to", "assigned_to", "consulted"})
"""Facts whose absence is nobody's name."""


def run(paths: Sequence[Path], *, as_json: bool) -> int:
    """Play all scenarios of these files, or of the folders' YAML files, and print what came of each: 0 if all passed,
    1 if not. Raises `UnreadableScenarios` before anything is played if a file cannot be read."""
    scenarios = [(scenario, path) for path in _files(paths) for scenario in read(path)]
    failed = 0
    for scenario, path in scenarios:
        outcome = play(scenario, path)
        failed += not outcome.passed
        if as_json:
            print(json.dumps(outcome.as_dict(), ensure_ascii=False))
        else:
            print("\n".join(_lines(scenario, outcome)))
    if not as_json:
        print(f"{len(scenarios)} scenarios, {failed} failed")
    return 1 if failed else 0


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted((*path.glob("**/*.yaml"), *path.glob("**/*.yml")))
        else:
            yield path


def _lines(scenario: Scenario, outcome: Outcome) -> Iterator[str]:
    yield f"{'pass' if outcome.passed else 'FAIL'}  {outcome.id}"
    if outcome.passed:
        return
    yield f"      {scenario.intent}"
    for failure in outcome.failures:
        yield from _failure(failure)


def _failure(failure: Failure) -> Iterator[str]:
    yield f"      at {failure.at:g} s, {failure.subject}:"
    for name, wanted in failure.expected.items():
        yield f"        {name}: expected {_word(name, wanted)}, got {_word(name, failure.got[name])}"
    for reason in failure.reasons:
        yield f"        {reason}"


def _word(name: str, value: object) -> str:
    if value is None or value == []:
        return "nobody" if name in OF_AGENTS else "none"
    return ", ".join(value) if isinstance(value, list) else str(value)
