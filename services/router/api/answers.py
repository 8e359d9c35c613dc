"""Shaping what leaves the API: documents to bytes, internal keys left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import Response

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


def page(items: Sequence[Mapping[str, Any]], *, limit: int, id_of: str) -> Response:
    """One page of a list; `next_cursor` is the last id if there may be more."""
    cursor = items[-1][id_of] if len(items) == limit else None
    return json_answer({"items": public(items), "next_cursor": cursor})
