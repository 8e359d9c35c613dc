"""Shaping what leaves the API: documents to bytes, internal keys left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import Response

from services.router.documents import wait_range
from services.router.engine.waits import remaining
from shared.log.codec import encode

NO_STORE: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""On every answer: nothing of a workspace belongs in a cache, and no browser shall guess types."""


def json_answer(body: Any, status: int = 200) -> Response:
    """Bytes straight from msgspec; no response model is validated on the way out."""
    return Response(encode(body), status_code=status, media_type="application/json", headers=NO_STORE)


def public(document: Any) -> Any:
    """A copy without the keys that start with `_`: those are between the router and its API."""
    if isinstance(document, Mapping):
        return {key: public(value) for key, value in document.items() if key[:1] != "_"}
    if isinstance(document, (list, tuple)):
        return [public(value) for value in document]
    return document


def as_read(document: Mapping[str, Any], now_ms: int) -> Mapping[str, Any]:
    """A contact's document with what depends on when it is read: what is left of the bounds for its wait."""
    given = document.get("_promise")
    if given is None:
        return document
    left = remaining(given["since"], given["half"], given["most"], now_ms)
    return {**document, "wait_range": wait_range(left)}


def page(items: Sequence[Mapping[str, Any]], *, limit: int, id_of: str) -> Response:
    """One page of a list; `next_cursor` is the last id if there may be more."""
    cursor = items[-1][id_of] if len(items) == limit else None
    return json_answer({"items": public(items), "next_cursor": cursor})
