"""Request bodies: how large, how slow, of which kind, and what they must say."""

# No `from __future__ import annotations`: see `access.py`.

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.router.api.problems import (
    BodyTooLarge,
    BodyTooSlow,
    Invalid,
    MalformedJson,
    UnsupportedMediaType,
    field_errors,
)
from services.router.api.strict_json import BadJson, parse

M = TypeVar("M", bound=BaseModel)

_DRAINED: Final = 16 * 1_048_576
"""How much of a refused body is read and forgotten, for the sake of an answer that arrives."""


class JsonBody(Generic[M]):
    """The dependency that reads a body into a model.

    The strict parser refuses what is not plain JSON; the model then reads the same bytes in strict mode, so that
    `"5"` is no number, `1` no truth, and an unknown field is named.
    """

    def __init__(self, model: type[M], *, optional: bool = False) -> None:
        self.model = model
        self.optional = optional

    async def __call__(self, request: Request) -> M:
        data = await request.body()
        if not data and self.optional:
            data = b"{}"
        else:
            refuse_other_media(request, "application/json")
        return read_model(self.model, data)


def json_body(model: type[M], *, optional: bool = False) -> Any:
    """`body: Annotated[Model, json_body(Model)]`; after the `allow(…)`, so that nobody unknown makes us parse."""
    return Depends(JsonBody(model, optional=optional))


def read_model(model: type[M], data: bytes) -> M:
    """Raises `MalformedJson` (400) or `Invalid` (422), naming the place."""
    try:
        parse(data)
    except BadJson as error:
        raise MalformedJson(str(error)) from None
    try:
        return model.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise Invalid(field_errors(error.errors(include_url=False, include_input=False))) from None


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def refuse_other_media(request: Request, *allowed: str) -> None:
    """A body without a Content-Type is taken for what we expect; a wrong one is refused."""
    given = media_type(request)
    if given and given not in allowed and not (given.endswith("+json") and "application/json" in allowed):
        raise UnsupportedMediaType(f"send {' or '.join(allowed)}")


class BodyLimit:
    """Pure ASGI: counts a body while it arrives, chunked or not, and ends what is too large or too slow.

    `by_prefix` gives other limits for some paths, longest prefix first.
    """

    def __init__(self, app: ASGIApp, *, limit: int, read_s: float, by_prefix: Mapping[str, int]) -> None:
        self._app = app
        self._limit = limit
        self._read_s = read_s
        self._by_prefix = sorted(by_prefix.items(), key=lambda item: -len(item[0]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = next((size for prefix, size in self._by_prefix if scope["path"].startswith(prefix)), self._limit)
        announced = _content_length(scope)
        if announced > limit:
            drained = announced <= limit + _DRAINED and await _drain(receive, self._read_s)
            await _too_large(limit, drained).response()(scope, receive, send)
            return
        seen = 0
        complete = False

        async def counted() -> Message:
            nonlocal seen, complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout(self._read_s):
                    message = await receive()
            except TimeoutError:
                raise BodyTooSlow(headers={"Connection": "close"}) from None
            seen += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if seen > limit:
                raise _too_large(limit, complete or await _drain(receive, self._read_s))
            return message

        await self._app(scope, counted, send)


async def _drain(receive: Receive, read_s: float) -> bool:
    """Read on and forget: whether the end came within reason.

    A connection closed on a client that still writes is reset, and the client never sees why.
    """
    left = _DRAINED
    try:
        async with asyncio.timeout(read_s):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return True
    except TimeoutError:
        pass
    return False


def _too_large(limit: int, drained: bool) -> BodyTooLarge:
    return BodyTooLarge(f"at most {limit} bytes", headers={} if drained else {"Connection": "close"}, limit=limit)


def _content_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0
