"""What a router is made of: its release, what it understands of a journal, and on what it runs.

Whoever comes to lead tells it in its first entry, and every router tells it to the others. What may run side by side,
and why, stands in `docs/adr/0019-releases-side-by-side.md`.
"""

from __future__ import annotations

import platform
import zoneinfo
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from services.router.engine import engine

SWITCHDESK: Final = "0.1.0"
"""This release, as `pyproject.toml` has it: the image holds the sources and no package that could be asked."""
CONTRACTS: Final = 1
"""What this release may write into a journal. Goes up when an older release could not fold it any more, or would fold
it to another state: with a new event, and with a field of an event that `evolve` reads. `tests/golden/contracts.py`
holds the events to it."""

COMPARED: Final = ("switchdesk", "python", "tzdata")
"""What the replicas of a partition should have in common. A compiled engine decides to the letter as the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One router's versions. `contracts` is the only one that anything is decided by."""

    switchdesk: str
    contracts: int
    python: str
    tzdata: str
    compiled: bool

    def outdated_by(self, contracts: int, of: str) -> str | None:
        """Why this release may take what is in a journal for something else, or for nothing, in words; None if it
        understands all of it. `contracts`: the highest that were ever said there, by release `of`."""
        if contracts <= self.contracts:
            return None
        return (
            f"its journal holds contracts {contracts} (release {of}), this release {self.switchdesk} understands "
            f"contracts {self.contracts}"
        )


@cache
def this_release() -> Release:
    """Of this process."""
    return Release(
        switchdesk=SWITCHDESK,
        contracts=CONTRACTS,
        python=platform.python_version(),
        tzdata=tzdata_version(zoneinfo.TZPATH),
        compiled=engine_compiled(),
    )


def engine_compiled() -> bool:
    """Whether the engine here is machine code."""
    return not engine.__file__.endswith(".py")


def tzdata_version(folders: Iterable[str]) -> str:
    """The version of the time zones, looked for where `zoneinfo` looks: the system's `folders`, then the package. Empty
    if they do not tell it."""
    for folder in map(Path, folders):
        if not folder.is_dir():
            continue
        try:
            with (folder / "tzdata.zi").open(encoding="ascii", errors="replace") as zones:
                words = zones.readline().split()
        except OSError:
            continue
        # "# version 2025b"
        if words[:2] == ["#", "version"] and len(words) == 3:
            return words[2]
    try:
        return metadata.version("tzdata")
    except metadata.PackageNotFoundError:
        return ""


def differences(told: Iterable[Mapping[str, Any]]) -> dict[int, list[str]]:
    """By partition, in which of `COMPARED` its replicas differ, of what routers told of theirs. Those of a release that
    does not tell it are passed over."""
    found: defaultdict[int, dict[str, set[str]]] = defaultdict(lambda: {name: set() for name in COMPARED})
    for replica in told:
        release = replica.get("release") or {}
        for name, values in found[replica["partition"]].items():
            if name in release:
                values.add(release[name])
    return {
        partition: [name for name, values in by_name.items() if len(values) > 1] for partition, by_name in found.items()
    }
