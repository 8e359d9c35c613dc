"""The format of scenario files, as `docs/scenarios.md` describes it: a list of scenarios, read and blamed by line."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from services.router.scenarios.document import Document
from services.router.scenarios.expectation import Expectation
from services.router.scenarios.names import unknown_names
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
    """The scenarios of a file. Raises `UnreadableScenarios` with file, line, scenario and key of all that is wrong."""
    document = Document(path)
    try:
        scenarios = _scenarios.validate_python(document.value, context=PolicyFiles(path.parent))
    except ValidationError as error:
        faults = [(each["loc"], each["msg"].removeprefix("Value error, ")) for each in error.errors()]
    else:
        faults = [
            ((number, *place), detail)
            for number, each in enumerate(scenarios)
            for place, detail in unknown_names(each.setup, each.timeline, each.expect)
        ]
        if not faults:
            return scenarios
    raise UnreadableScenarios("\n".join(document.told(place, detail) for place, detail in faults))
