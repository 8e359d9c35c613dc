"""Every command and every event comes back from its bytes as it was; what cannot be read is refused, never guessed."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import is_dataclass
from enum import Enum
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts import commands, events
from shared.log.codec import decode_event, decode_input, encode, encode_input, event_pair
from shared.log.port import LogCorrupt
from shared.vocabulary import Role

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS: dict[type, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0),
    bool: st.booleans(),
}
PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS[int], TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Everything a type hint of our records allows."""
    if isinstance(hint, NewType):
        return values(hint.__supertype__)
    if hint in NUMBERS:
        return NUMBERS[hint]
    if hint is Any:
        return PLAIN
    if hint is type(None):
        return st.none()
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return st.one_of([values(choice) for choice in inner])
    if origin is tuple and inner[-1] is ...:
        return st.lists(values(inner[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*[values(part) for part in inner])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(values(inner[0]), values(inner[1]), max_size=3)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    assert is_dataclass(hint), f"no strategy for {hint}"
    assert isinstance(hint, type)
    return st.builds(hint, **{name: values(part) for name, part in get_type_hints(hint).items()})


COMMANDS = get_args(commands.Command)
EVENTS = get_args(events.Event)


@settings(max_examples=25, deadline=None)
@given(st.data())
@pytest.mark.parametrize("kind", COMMANDS, ids=lambda kind: kind.__name__)
def test_command_comes_back_from_its_bytes(kind: type, data: st.DataObject) -> None:
    record = commands.Input(
        id=data.draw(TEXT),
        workspace=data.draw(TEXT),
        actor=data.draw(values(commands.Actor)),
        received_at=data.draw(values(int)),
        command=data.draw(values(kind)),
        digest=data.draw(TEXT),
    )
    again = decode_input(encode_input(record))
    assert again == record
    assert type(again.command) is kind


@settings(max_examples=25, deadline=None)
@given(st.data())
@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_event_comes_back_from_its_bytes(kind: type, data: st.DataObject) -> None:
    event = data.draw(values(kind))
    name, fields = event_pair(event)
    again = decode_event(name, encode(fields))
    assert again == event
    assert type(again) is kind


def test_names_of_records_are_unique_because_the_codec_finds_them_by_name() -> None:
    for union in (COMMANDS, EVENTS):
        names = [kind.__name__ for kind in union]
        assert len(names) == len(set(names))


INPUT = msgspec.json.decode(
    encode_input(
        commands.Input(
            id="k1",
            workspace="w",
            actor=commands.Actor(role=Role.OPERATOR, id="o"),
            received_at=1,
            command=commands.RevokeKey(key_id="k"),
        )
    )
)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"v": 2}, "version 2"),
        ({"type": "Typo"}, "'Typo'"),
        ({"type": "CancelContact"}, "contact"),
        ({"data": {"key_id": 7}}, "key_id"),
        ({"data": {}}, "key_id"),
        ({"actor": {"role": "king", "id": "o"}}, "role"),
        ({"received_at": "now"}, "received_at"),
        ({"received_at": 1.5}, "received_at"),
        ({"received_at": None}, "received_at"),
        ({"more": 1}, "more"),
    ],
    ids=str,
)
def test_input_that_cannot_be_read_is_refused_with_the_reason(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(LogCorrupt, match=reason):
        decode_input(encode({**INPUT, **change}))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"v":1}',
        b"[" * 100_000,
        encode(INPUT)[:-1],
        encode(INPUT) + b"x",
        encode(INPUT).replace(b'"received_at":1', b'"received_at":NaN'),
        encode(INPUT).replace(b'"k1"', b'"\\ud800"'),
    ],
)
def test_bytes_that_are_no_input_are_refused(data: bytes) -> None:
    with pytest.raises(LogCorrupt):
        decode_input(data)


def test_event_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(LogCorrupt, match="Typo"):
        decode_event("Typo", b"{}")
    with pytest.raises(LogCorrupt, match="RetryDue"):
        decode_event("RetryDue", b'{"contact":7}')
    with pytest.raises(LogCorrupt, match="RetryDue"):
        decode_event("RetryDue", b"{}")
