"""JSON that is refused at the border, and where it says why."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.api.strict_json import BadJson, parse
from shared.log.codec import encode


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"", "line 1"),
        (b"{", "line 1"),
        (b'{"a": 1,}', "line 1, column"),
        (b'{"a":\n NaN}', "a: NaN"),
        (b'{"a": {"b": [1, Infinity]}}', "a.b.1: Infinity"),
        (b'{"a": 1e999}', "a: the number is too large"),
        (b'{"a": {"b": 1, "b": 2}}', "a.b: the key is there twice"),
        (b'{"a": ["\\ud800"]}', "a.0: a lone surrogate"),
        (b'{"\\udfff": 1}', "the body: a lone surrogate"),
        (b"[" * 65 + b"]" * 65, "nested deeper than 64"),
        (b"[" * 100_000, "nested deeper than 64"),
        (b'{"a":' * 100_000, "nested deeper than 64"),
        (b'{"a": ' + b"1" * 5000 + b"}", "a: the number has too many digits"),
        (b'{"a": -9223372036854775809}', "a: the number does not fit"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b'{"a": "\x00"}', "line 1"),
    ],
)
def test_refused_with_the_place(data: bytes, place: str) -> None:
    with pytest.raises(BadJson, match=place.replace(".", r"\.")):
        parse(data)


def test_ordinary_json_is_taken() -> None:
    text = '{"a": [1, -2.5, "\\ud83d\\ude00 ünï", null, true], "b": {"c": 9223372036854775807}}'
    assert parse(text.encode()) == {"a": [1, -2.5, "😀 ünï", None, True], "b": {"c": 2**63 - 1}}
    assert parse(b"[" * 64 + b"]" * 64) is not None


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    try:
        value = parse(data)
    except BadJson:
        return
    # What was taken can be written again: nothing fails later, in a place that cannot answer.
    encode(value)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    )
)
def test_everything_well_formed_is_taken_unchanged(value: object) -> None:
    assert parse(encode(value)) == value


def test_a_megabyte_of_brackets_is_refused_quickly() -> None:
    began = time.process_time()
    with pytest.raises(BadJson):
        parse(b"[[" * 500_000)
    parse(b"[" + b"[]," * 300_000 + b"[]]")
    assert time.process_time() - began < 2
