"""The compose files as Docker would read them, so that tests can run and check what stands there without Docker.

Only what our files use is understood: `${NAME}`, `${NAME:-default}`, `${NAME:?words}`, anchors, files over others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

REPOSITORY: Final = Path(__file__).resolve().parents[2]
DISTRIBUTED: Final = ("docker-compose.yml",)
THREE_BROKERS: Final = ("docker-compose.yml", "deploy/compose.three-brokers.yml")
EMBEDDED: Final = ("deploy/compose.embedded.yml",)
EXAMPLE: Final = REPOSITORY / "deploy" / ".env.example"
IMAGE: Final = "switchdesk"
"""Our own image; every other one is somebody else's."""

_VARIABLE: Final = re.compile(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}")


class NotSet(Exception):
    """A variable that the file requires is not set; the message is the file's own."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service of a composition."""

    name: str
    content: Mapping[str, Any]

    @property
    def ours(self) -> bool:
        return bool(self.content.get("image") == IMAGE)

    @property
    def image(self) -> str:
        return str(self.content["image"])

    @property
    def command(self) -> tuple[str, ...]:
        return tuple(self.content["command"])

    @property
    def environment(self) -> dict[str, str]:
        return {name: str(value) for name, value in self.content.get("environment", {}).items()}

    @property
    def published(self) -> list[tuple[str, range, int]]:
        """Address of this machine, its ports of which each process takes a free one, port in the container."""
        ports = []
        for entry in self.content.get("ports", ()):
            address, outer, inner = str(entry).split(":")
            first, _, last = outer.partition("-")
            ports.append((address, range(int(first), int(last or first) + 1), int(inner)))
        return ports

    @property
    def mounted(self) -> list[tuple[str, str]]:
        """Volume or path, and where it is mounted."""
        return [(entry.split(":")[0], entry.split(":")[1]) for entry in self.content.get("volumes", ())]

    @property
    def waits_for(self) -> dict[str, str]:
        """Services that start first, and what is waited for."""
        return {name: how["condition"] for name, how in self.content.get("depends_on", {}).items()}

    @property
    def runs_on(self) -> bool:
        """Whether `docker compose up` starts it, to stay."""
        return "profiles" not in self.content


@dataclass(frozen=True, slots=True)
class Composition:
    """All services and volumes of one `docker compose -f … -f …`."""

    services: Mapping[str, Service]
    volumes: frozenset[str]

    @property
    def ours(self) -> list[Service]:
        """Our own processes, those that only run on demand as well."""
        return [service for service in self.services.values() if service.ours]


def compose(files: tuple[str, ...], environment: Mapping[str, str]) -> Composition:
    """Read `files`, each laid over the ones before. Raises `NotSet` as Docker would."""
    merged: dict[str, Any] = {"services": {}, "volumes": {}}
    for file in files:
        content = yaml.safe_load((REPOSITORY / file).read_text(encoding="utf-8"))
        for name, service in content["services"].items():
            merged["services"][name] = _laid_over(merged["services"].get(name, {}), service)
        merged["volumes"] |= content.get("volumes", {})
    services = {name: Service(name, _filled(body, environment)) for name, body in merged["services"].items()}
    return Composition(services, frozenset(merged["volumes"]))


def example_environment() -> dict[str, str]:
    """The variables of `.env.example`, with something for every secret that it leaves to the operator."""
    given = variables(EXAMPLE.read_text(encoding="utf-8"))
    secrets = {name: f"an-example-that-is-long-enough-{name}" for name in given if name.endswith("_SECRET")}
    return given | secrets


def image_environment() -> dict[str, str]:
    """What the image sets for every process that runs in it."""
    last_stage = (REPOSITORY / "deploy" / "Dockerfile").read_text(encoding="utf-8").rpartition("FROM ")[2]
    (line,) = re.findall(r"^ENV (.*)$", last_stage, re.MULTILINE)
    return dict(word.split("=", 1) for word in line.split() if not word.startswith("PATH="))


def variables(text: str) -> dict[str, str]:
    """The assignments of a `.env` file."""
    found = re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)
    return {name: value.strip("'") for name, value in found}


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Docker's rule: mappings are merged, sequences of ports and volumes joined, everything else is replaced."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        if isinstance(under, dict) and isinstance(value, dict):
            result[key] = _laid_over(under, value)
        elif key in ("ports", "volumes") and under:
            result[key] = [*under, *value]
        else:
            result[key] = value
    return result


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, environment) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, environment) for inner in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: _variable(found, environment), value)
    return value


def _variable(found: re.Match[str], environment: Mapping[str, str]) -> str:
    name, operator, words = found.groups()
    value = environment.get(name, "")
    if value:
        return value
    if operator == ":?":
        raise NotSet(f"{name}: {words}")
    return words or ""
