"""Policies that scenario files name, read as the API reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.router.api.policy_document import read_policy
from services.router.api.problems import InvalidPolicy, MalformedJson
from shared.contracts.policy import Policy


class PolicyFiles:
    """Policies by the names that scenario files in one folder call them by; each is read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, Policy] = {}

    def read(self, name: str) -> Policy:
        """The policy, as the API would read it. Raises ValueError with file, line and field of what is wrong."""
        if name not in self._read:
            file = self._folder / name
            try:
                data = file.read_bytes()
                self._read[name] = read_policy(data, "application/json" if file.suffix == ".json" else "yaml")
            except OSError as error:
                raise ValueError(f"{file}: {error.strerror}") from None
            except MalformedJson as refused:
                raise ValueError(f"{file}: {refused.detail}") from None
            except InvalidPolicy as refused:
                raise ValueError("; ".join(_told(file, error) for error in refused.members["errors"])) from None
        return self._read[name]


def _told(file: Path, error: dict[str, Any]) -> str:
    place = f"{file}:{error['line']}" if "line" in error else str(file)
    return ": ".join(filter(None, (place, error["field"], error["detail"])))
