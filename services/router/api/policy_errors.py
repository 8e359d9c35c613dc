"""What is wrong with a policy, each fault told once and where it stands.

Pydantic tells of every way in which a value might have been right and of everything that a fault leads to: a misspelt
name is one field too many and one that is missing, a bad station is also a flow without stations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any, Final, Literal, NamedTuple

from shared.contracts.policy import Policy

Loc = tuple[int | str, ...]

ALIKE: Final = 0.5
"""From which likeness on (0 to 1) an unknown field is taken for a missing one, misspelt."""
LONGEST_NAME: Final = 64
ASKS_NOBODY: Final = "an empty list leaves nobody to ask; leave it out"
_FIELD = re.compile(r"^([a-z_]+): (.*)$", re.DOTALL)


def asks_nobody(policy: Policy) -> Iterator[dict[str, str]]:
    """Steps that restrict a contact to no agent at all, as `{field, detail}`: it would wait for ever. Documents of
    earlier releases may have them, so the model takes them and whoever adopts one anew is told."""
    for number, queue in enumerate(policy.queues):
        yield from _empty(f"queues.{number}.steps", [step.only_agents for step in queue.steps])
    for number, flow in enumerate(policy.flows):
        for index, each in enumerate(flow.filters):
            yield from _empty(f"flows.{number}.filters.{index}.steps", [step.only_agents for step in each.steps])


def _empty(steps: str, only: list[tuple[str, ...] | Literal["$preferred"] | None]) -> Iterator[dict[str, str]]:
    for number, agents in enumerate(only):
        if agents == ():
            yield {
                "field": f"{steps}.{number}.only_agents",
                "detail": "an empty list leaves nobody to ask; leave it out",
            }


class _Error(NamedTuple):
    """`place` in the document; `tried`: of a value that may be of several kinds, the place of that value."""

    place: Loc
    kind: str
    detail: str
    tried: Loc | None


def told_once(errors: Iterable[Mapping[str, Any]], document: Any) -> list[dict[str, Any]]:
    """Pydantic's errors about `document` as `{loc, msg, type}`, one for each fault; every `loc` is a place in it.

    Costs no more than a few steps for each error: documents come from outside and may be wrong in very many places.
    """
    found = list(_without_other_kinds([_located(error, document) for error in errors]))
    found = list(_without_consequences(found))
    return [{"loc": error.place, "msg": error.detail, "type": error.kind} for error in _without_misspelt(found)]


def _located(error: Mapping[str, Any], document: Any) -> _Error:
    """Without what is no place in the document: the names of the kinds that were tried, and that it is about a key."""
    value = document
    place: list[int | str] = []
    tried: Loc | None = None
    for part in error["loc"]:
        if _has(value, part):
            value = value[part]
        elif error["type"] == "missing":
            value = None
        else:
            if part != "[key]":
                tried = tuple(place) if tried is None else tried
            continue
        place.append(part)
    detail = str(error["msg"])
    rule = _FIELD.match(detail.removeprefix("Value error, ")) if place and error["type"] == "value_error" else None
    if rule is not None:
        place.append(rule[1])
        detail = rule[2]
    return _Error(tuple(place), error["type"], detail, tried)


def _has(value: Any, part: int | str) -> bool:
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, list) and isinstance(part, int)


def _without_other_kinds(errors: list[_Error]) -> Iterator[_Error]:
    """Of a value that may be of several kinds: what is wrong inside the kind that it is; if it is none of them, one
    error that names them all."""
    tried: dict[Loc, list[_Error]] = {}
    for error in errors:
        if error.tried is None:
            yield error
        else:
            tried.setdefault(error.tried, []).append(error)
    for at, among in tried.items():
        inside = [error for error in among if len(error.place) > len(at)]
        if inside:
            yield from inside
        else:
            first, *others = dict.fromkeys(error.detail for error in among)
            yield among[0]._replace(detail=", or ".join([first, *(each[:1].lower() + each[1:] for each in others)]))


def _without_consequences(errors: list[_Error]) -> Iterator[_Error]:
    """No list is called too short only because what stands in it is wrong."""
    around = {error.place[:length] for error in errors for length in range(len(error.place))}
    return (error for error in errors if not (error.kind == "too_short" and error.place in around))


def _without_misspelt(errors: list[_Error]) -> Iterator[_Error]:
    """A missing field and an unknown one like it, side by side, are one fault: the unknown one, with what is meant."""
    missing: dict[Loc, set[str]] = {}
    for error in errors:
        if error.kind == "missing":
            missing.setdefault(error.place[:-1], set()).add(str(error.place[-1]))
    meant: dict[Loc, str] = {}
    for error in errors:
        beside = missing.get(error.place[:-1])
        if error.kind == "extra_forbidden" and beside:
            likest = max(sorted(beside), key=lambda name: _alike(name, error.place))
            if _alike(likest, error.place) >= ALIKE:
                meant[error.place] = likest
                beside.remove(likest)
    for error in errors:
        if error.place in meant:
            yield error._replace(detail=f"there is no such field; `{meant[error.place]}` is missing")
        elif error.kind != "missing" or error.place[-1] in missing[error.place[:-1]]:
            yield error


def _alike(name: str, place: Loc) -> float:
    return SequenceMatcher(None, name, str(place[-1])[:LONGEST_NAME]).ratio()
