"""A scenario file as text: its values, the line on which each stands, and no key twice."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from services.router.api.policy_document import CoreLoader
from services.router.scenarios.vocabulary import UnreadableScenarios

MERGE: Final = "tag:yaml.org,2002:merge"


class _Loader(CoreLoader):
    """The rules by which a policy is read, with `<<` besides."""

    yaml_implicit_resolvers = {**CoreLoader.yaml_implicit_resolvers, "<": [(MERGE, re.compile(r"^<<$"))]}  # noqa: RUF012


class Document:
    """What a YAML file says. `place` is a way into it: `(0, "expect", 2, "agent")`."""

    def __init__(self, path: Path) -> None:
        """Raises `UnreadableScenarios`."""
        self._path = path
        try:
            loader = _Loader(path.read_text(encoding="utf-8"))
            try:
                self._root: yaml.Node | None = loader.get_single_node()
                self._refuse_twice(self._root)
                self.value: Any = loader.construct_document(self._root) if self._root is not None else None
            finally:
                loader.dispose()
        except UnreadableScenarios:
            raise
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            raise UnreadableScenarios(f"{path}: {error}") from None

    def line(self, place: Sequence[int | str]) -> int:
        """Of the innermost thing on the way that is there. What is no key, as the name of a kind, is passed over."""
        line, node = (self._root.start_mark.line, self._root) if self._root is not None else (0, None)
        for part in place:
            inner = _inside(node, part)
            if inner is not None:
                line, node = inner
        return line + 1

    def told(self, place: Sequence[int | str], detail: str) -> str:
        """`FILE:LINE: ID.setup.queues.0.rnak: …`: the scenario by its id, where it has one."""
        first, *rest = place or ("document",)
        if isinstance(first, int) and isinstance(self.value, list) and isinstance(self.value[first], dict):
            first = self.value[first].get("id", first)
        return f"{self._path}:{self.line(place)}: {'.'.join(str(part) for part in (first, *rest))}: {detail}"

    def _refuse_twice(self, node: yaml.Node | None) -> None:
        """YAML would take the last of them and say nothing of the others."""
        if isinstance(node, yaml.MappingNode):
            seen: set[Hashable] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                    if key.value in seen:
                        line = key.start_mark.line + 1
                        raise UnreadableScenarios(f"{self._path}:{line}: the key {key.value!r} is there twice")
                    seen.add(key.value)
                self._refuse_twice(value)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._refuse_twice(item)


def _inside(node: yaml.Node | None, part: int | str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key.start_mark.line, value) for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line, node.value[part]
    return None
