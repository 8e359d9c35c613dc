"""A second build of the code in the checkout: what the next release might look like to the routers of this one.

It is a copy of `services` and `shared` with a few lines changed. Each change names the lines that it replaces, so that
one whose place is gone is noticed instead of making two builds that are the same.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.process import REPOSITORY

NEXT: Final = "0.1.1-next"
ADDED: Final = "shown_as"
"""The field that the next release adds to `OfferMade`: no state keeps it, so the contracts stay what they are."""


@dataclass(frozen=True, slots=True)
class Change:
    """Lines of one file, and what stands in their place in the other build."""

    file: str
    old: str
    new: str


CHANGES: Final = (
    Change("services/router/release.py", 'SWITCHDESK: Final = "0.1.0"', f'SWITCHDESK: Final = "{NEXT}"'),
    Change(
        "shared/contracts/events.py",
        "    decision: DecisionRecord\n    lot: int | None = None\n",
        f"    decision: DecisionRecord\n    lot: int | None = None\n    {ADDED}: str | None = None\n",
    ),
    Change(
        "services/router/engine/offers.py",
        "        decision=match.record,\n",
        f'        decision=match.record,\n        {ADDED}="card",\n',
    ),
)


def next_build(folder: Path) -> Path:
    """The root of a build of the next release, made in `folder`. Raises ValueError for a change without its place."""
    for part in ("services", "shared"):
        # With what Python compiled: it knows by time and size which sources have changed.
        shutil.copytree(REPOSITORY / part, folder / part)
    for change in CHANGES:
        file = folder / change.file
        text = file.read_text()
        if text.count(change.old) != 1:
            raise ValueError(f"{change.file}: the lines to replace stand {text.count(change.old)} times there")
        file.write_text(text.replace(change.old, change.new))
    return folder
