"""What all parts of a scenario's format have in common: no unknown keys, seconds, levels."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import ConfigDict, Field

Seconds = Annotated[float, Field(ge=0, le=31 * 86_400)]
"""From the start of the scenario; fractions are allowed to the millisecond."""
Levels = dict[str, Annotated[int, Field(ge=1, le=5)]]
STRICT: Final = ConfigDict(extra="forbid", frozen=True)
"""Unknown keys are errors that name the key."""


class UnreadableScenarios(ValueError):
    """A file is not what it should be; the message names the file, the scenario and the key."""
