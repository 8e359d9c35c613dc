"""Records which events a journal may hold, by which contracts. The test beside this file holds the code to it.

A router that is older than a journal must not lead it, and knows by `CONTRACTS` (`services/router/release.py`) alone.
So that number has to go up with whatever an older release could not fold, and this record is there to make one think
of it:

    python -m tests.golden.contracts         writes `contracts.json` anew

It refuses a new event, or one that is gone, under the old number: an older release stops there. A new field of an event
is passed over by older releases, so it is for whoever adds it to say whether that is right: under the old number if
nothing that a replica remembers depends on it, under a new one if `evolve` reads it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, get_args

from services.router.release import CONTRACTS
from shared.contracts.events import Event

RECORDED: Final = Path(__file__).parent / "contracts.json"


def as_they_are() -> dict[str, Any]:
    """The number, and by event the names of its fields."""
    events = {cls.__name__: sorted(each.name for each in fields(cls)) for cls in get_args(Event)}
    return {"contracts": CONTRACTS, "events": dict(sorted(events.items()))}


def recorded() -> dict[str, Any]:
    """What the file says."""
    told: dict[str, Any] = json.loads(RECORDED.read_text())
    return told


def refusal(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """Why the events of now may not be recorded under their number, or None."""
    if now["contracts"] > before["contracts"]:
        return None
    changed = sorted(before["events"].keys() ^ now["events"].keys())
    if changed:
        return f"{', '.join(changed)}: an older release stops at an event that it does not know, so CONTRACTS goes up"
    return None


def main() -> int:
    """0 if it is written, 1 if it must not be."""
    now = as_they_are()
    why = refusal(recorded(), now) if RECORDED.exists() else None
    if why is not None:
        print(why, file=sys.stderr)
        return 1
    RECORDED.write_text(json.dumps(now, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
