"""JSON that means one thing to everybody who reads it.

The standard parsers take NaN, the last of two equal keys and half a surrogate pair; each fails later, in a place where
it cannot be answered any more. Here they are refused at the border, by name and place.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

MAX_DEPTH: Final = 64
MAX_INT: Final = 2**63
_MAX_DIGITS: Final = 20
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


class BadJson(Exception):
    """Why, with the place: a path (`attributes.order`) or a line and column."""


class _Bad:
    """Stands in the parsed value where something refused was, until its path is known."""

    def __init__(self, why: str) -> None:
        self.why = why


class _Reader:
    """One parse. Hooks see values before their place is known, so they leave a mark and the walk finds it."""

    def __init__(self) -> None:
        self.marked = False

    def constant(self, name: str) -> _Bad:
        return self._bad(f"{name} is not JSON")

    def integer(self, digits: str) -> int | _Bad:
        if len(digits) > _MAX_DIGITS:
            return self._bad("the number has too many digits")
        number = int(digits)
        return number if -MAX_INT <= number < MAX_INT else self._bad("the number does not fit into 64 bits")

    def real(self, digits: str) -> float | _Bad:
        number = float(digits)
        return number if math.isfinite(number) else self._bad("the number is too large")

    def pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    found[key] = self._bad("the key is there twice")
                seen.add(key)
        return found

    def _bad(self, why: str) -> _Bad:
        self.marked = True
        return _Bad(why)


def parse(data: bytes) -> Any:
    """The value behind the bytes. Raises `BadJson`."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadJson(f"not UTF-8 at byte {error.start}") from None
    reader = _Reader()
    try:
        value = json.loads(
            text,
            object_pairs_hook=reader.pairs,
            parse_constant=reader.constant,
            parse_int=reader.integer,
            parse_float=reader.real,
        )
    except RecursionError:
        raise BadJson(f"nested deeper than {MAX_DEPTH}") from None
    except json.JSONDecodeError as error:
        raise BadJson(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    # Both tests are over bytes, in C: an ordinary message never pays for the walk.
    may_be_deep = data.count(b"{") + data.count(b"[") > MAX_DEPTH
    if reader.marked or may_be_deep or _SURROGATE_ESCAPE.search(data):
        _walk(value, [])
    return value


def _walk(value: Any, path: list[str]) -> None:
    if len(path) >= MAX_DEPTH and isinstance(value, (dict, list)):
        raise BadJson(f"nested deeper than {MAX_DEPTH} at {'.'.join(path[:8])}…")
    if isinstance(value, _Bad):
        raise BadJson(f"{_place(path)}: {value.why}")
    if isinstance(value, str):
        _refuse_surrogate(value, path)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _refuse_surrogate(key, path)
            path.append(key)
            _walk(inner, path)
            path.pop()
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            path.append(str(index))
            _walk(inner, path)
            path.pop()


def _refuse_surrogate(text: str, path: list[str]) -> None:
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise BadJson(f"{_place(path)}: a lone surrogate") from None


def _place(path: list[str]) -> str:
    return ".".join(part[:64] for part in path) or "the body"
