"""The page about policy tests: its example holds, it names every key of a file, and scenarios of ours use every key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from inspect import get_annotations
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from services.router.scenarios.file import Scenario, read
from services.router.scenarios.play import play
from services.router.scenarios.timeline import Action
from shared.contracts.policy import Policy

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scenarios.md"
FORMAT = ("services.router.scenarios.", "shared.contracts.queue_policy")
"""Modules whose models make up a scenario file."""
SCENARIOS = PAGE.parents[1] / "tests" / "scenarios"


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models of the scenario format inside a type; a policy's own models are explained on its own page."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation.__module__.startswith(FORMAT):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    for inner in get_args(annotation):
        yield from models_in(inner)


def keys_in(value: Any) -> Iterator[tuple[type[BaseModel], str]]:
    """Every key that is written inside a value, with the model that has it."""
    if isinstance(value, Policy):
        return
    if isinstance(value, BaseModel):
        for name in value.model_fields_set:
            yield _owner(type(value), name), name
            yield from keys_in(getattr(value, name))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from keys_in(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from keys_in(inner)


def _owner(model: type[BaseModel], name: str) -> type[BaseModel]:
    """Which of the model and its bases brings the key: `ref` is one key of all actions."""
    return next(each for each in reversed(model.__mro__) if name in get_annotations(each))


def code_on_the_page() -> str:
    """What stands in backticks, without the blocks."""
    text = re.sub(r"```.*?```", "", PAGE.read_text(), flags=re.DOTALL)
    return "\n".join(re.findall(r"`([^`]+)`", text))


MODELS = dict.fromkeys([*models_in(Scenario), *models_in(Action)])


def test_the_example_holds(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    file = tmp_path / "example.yaml"
    file.write_text(block)

    (scenario,) = read(file)

    assert play(scenario, file).failures == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_is_explained(model: type[BaseModel]) -> None:
    words = set(re.findall(r"\w+", code_on_the_page()))
    keys = {field.alias or name for name, field in model.model_fields.items()}
    assert keys - words == set()


def test_every_key_is_used_by_a_scenario() -> None:
    files = [*(SCENARIOS / "policies").glob("*.yaml"), SCENARIOS / "example_policy.yaml"]
    used = {key for file in files for scenario in read(file) for key in keys_in(scenario)}
    keys = {(_owner(model, name), name) for model in MODELS for name in model.model_fields}
    assert keys - used == set()


def test_every_action_is_explained() -> None:
    told = set(code_on_the_page().splitlines())
    actions = {
        name for model in MODELS if "do" in model.model_fields for name in get_args(model.model_fields["do"].annotation)
    }
    assert actions - told == set()
    assert "contact" in actions
