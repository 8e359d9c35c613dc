"""A policy as an operator writes it, YAML or JSON: read, blamed line by line, and compared with the one in force.

YAML is read by the 1.2 core rules (`no` is Norwegian, not false), without aliases: a few lines of those can stand for
gigabytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Final

import yaml
from pydantic import ValidationError

from services.router.api.policy_errors import asks_nobody, told_once
from services.router.api.problems import InvalidPolicy, MalformedJson, field_errors
from services.router.api.strict_json import MAX_DEPTH, BadJson, parse
from shared.contracts.policy import Policy

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class CoreLoader(_Loader):  # type: ignore[misc]  # the C loader is there only where libyaml is
    """YAML 1.2's core schema instead of 1.1's guesses: no dates, no base 60, and yes, no, on, off are words."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # PyYAML's own way


for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?[0-9]{1,18}$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?$", "-+.0123456789"),
    ("null", r"^(?:~|null|Null|NULL|)$", "~nN\0"),
):
    CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))
CoreLoader.yaml_implicit_resolvers.setdefault("", []).append(("tag:yaml.org,2002:null", re.compile(r"^$")))

_YAML: Final = "yaml"


def read_policy(data: bytes, media_type: str) -> Policy:
    """The policy behind the bytes. Raises `MalformedJson` or `InvalidPolicy`, whose errors name field and line."""
    is_yaml = _YAML in media_type
    value = _from_yaml(data) if is_yaml else _from_json(data)
    text = json.dumps(value)
    try:
        policy = Policy.model_validate_json(text, strict=True)
        errors = list(asks_nobody(policy))
        if not errors:
            return policy
    except ValidationError as error:
        found = told_once(error.errors(include_url=False, include_input=False), json.loads(text))
        errors = field_errors(found)
    lines = _Lines(data)
    raise InvalidPolicy([{**each, **lines.of(each["field"])} for each in errors])


def lines_of(data: bytes, fields: Sequence[str]) -> list[int | None]:
    """For each field (`queues.0.rank`) its line, or that of the nearest thing around it; None if there are no lines."""
    lines = _Lines(data)
    return [lines.of(field).get("line") for field in fields]


def write_yaml(policy: Mapping[str, Any]) -> bytes:
    """The policy as YAML that `read_policy` takes."""
    text: str = yaml.safe_dump(_plain(policy), sort_keys=False, allow_unicode=True)
    return text.encode()


def differences(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What would change, as `{path, from, to}`; queues, flows and channels by name, so that moving one is no change."""
    before = dict(_leaves(_named(old or {}), ""))
    after = dict(_leaves(_named(new), ""))
    return [
        {"path": path, "from": before.get(path), "to": after.get(path)}
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]


def _from_json(data: bytes) -> Any:
    try:
        return parse(data)
    except BadJson as error:
        raise MalformedJson(str(error)) from None


def _from_yaml(data: bytes) -> Any:
    try:
        _refuse_traps(data)
        loader = CoreLoader(data)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _refuse_twice(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = {"line": mark.line + 1} if mark is not None else {}
        raise InvalidPolicy([{"field": "", "detail": f"not YAML: {error.problem}", **line}]) from None
    except (yaml.YAMLError, ValueError, OverflowError, UnicodeDecodeError) as error:
        raise InvalidPolicy([{"field": "", "detail": f"not YAML: {str(error).splitlines()[0][:200]}"}]) from None


def _refuse_traps(data: bytes) -> None:
    depth = 0
    for event in yaml.parse(data, Loader=CoreLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _not_yaml("aliases are not taken", event.start_mark)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _not_yaml(f"nested deeper than {MAX_DEPTH}", event.start_mark)


def _not_yaml(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    """`mark`: of either loader, whose classes differ and whose fields do not."""
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _refuse_twice(node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _not_yaml("a key must be a word", key.start_mark)
            if key.value in seen:
                raise _not_yaml(f"the key {key.value[:64]!r} is there twice", key.start_mark)
            seen.add(key.value)
            _refuse_twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_twice(item)


class _Lines:
    """Line numbers by field. JSON is YAML too, near enough to count its lines."""

    def __init__(self, data: bytes) -> None:
        try:
            self._root: yaml.Node | None = yaml.compose(data, Loader=CoreLoader)
        except yaml.YAMLError:
            self._root = None

    def of(self, field: str) -> dict[str, int]:
        """`{line}` of the field, or of the nearest thing around it."""
        node = self._root
        if node is None:
            return {}
        line = node.start_mark.line
        for part in filter(None, field.split(".")):
            inner = _step(node, part)
            if inner is None:
                break
            line, node = inner
        return {"line": line + 1}


def _step(node: yaml.Node, part: str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key.start_mark.line, value
    if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
        item = node.value[int(part)]
        return item.start_mark.line, item
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


def _named(policy: Mapping[str, Any]) -> dict[str, Any]:
    named = dict(policy)
    named["queues"] = {queue["name"]: queue for queue in policy.get("queues", ())}
    named["flows"] = {flow["name"]: flow for flow in policy.get("flows", ())}
    named["channels"] = {f"{channel['kind']}:{channel['account']}": channel for channel in policy.get("channels", ())}
    return named


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}.{index}")
    else:
        # An empty mapping or list is what its absence means here.
        yield path, value if value not in ({}, [], ()) else None
