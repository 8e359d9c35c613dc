"""The format of scenario files, as `docs/scenarios.md` describes it: a list of scenarios, read and blamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from services.router.scenarios.expectation import Expectation
from services.router.scenarios.policy_files import PolicyFiles
from services.router.scenarios.setup import Setup
from services.router.scenarios.timeline import Action
from services.router.scenarios.vocabulary import UnreadableScenarios


class Scenario(BaseModel):
    """One small centre. Keys that are not named here are notes."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    intent: str
    setup: Setup
    timeline: list[Action]
    expect: list[Expectation] = Field(min_length=1)


_scenarios = TypeAdapter(list[Scenario])


def read(path: Path) -> list[Scenario]:
    """The scenarios of a file. Raises `UnreadableScenarios`."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UnreadableScenarios(f"{path}: {error}") from None
    try:
        return _scenarios.validate_python(document, context=PolicyFiles(path.parent))
    except ValidationError as error:
        lines = [
            f"{path}: {_place(document, each['loc'])}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        ]
        raise UnreadableScenarios("\n".join(lines)) from None


def _place(document: Any, loc: tuple[int | str, ...]) -> str:
    """`ID.setup.queues.0.rnak`: the scenario by its id, where it has one."""
    first, *rest = loc or ("document",)
    if isinstance(first, int) and isinstance(document, list) and isinstance(document[first], dict):
        first = document[first].get("id", first)
    return ".".join(str(part) for part in (first, *rest))
