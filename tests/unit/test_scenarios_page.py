"""The page about policy tests: its example holds, and it names every key that a file may have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from services.router.scenarios.file import Scenario, read
from services.router.scenarios.play import play
from services.router.scenarios.timeline import Action

FORMAT = "services.router.scenarios."
PAGE = Path(__file__).resolve().parents[2] / "docs" / "scenarios.md"


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models of the scenario format inside a type; a policy's own models are explained on its own page."""
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    if is_model and annotation.__module__.startswith(FORMAT):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    for inner in get_args(annotation):
        yield from models_in(inner)


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


def test_every_action_is_explained() -> None:
    told = set(code_on_the_page().splitlines())
    actions = {
        name for model in MODELS if "do" in model.model_fields for name in get_args(model.model_fields["do"].annotation)
    }
    assert actions - told == set()
    assert "contact" in actions
