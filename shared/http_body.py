"""Reading a request's body as raw bytes, never more of it than allowed."""

from __future__ import annotations

from starlette.requests import Request


class BodyTooLarge(Exception):
    """The body is larger than allowed; nothing of it was kept."""


async def read_capped(request: Request, limit: int) -> bytes:
    """The body exactly as it was sent (signatures are over these bytes). Raises `BodyTooLarge`."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > limit:
        raise BodyTooLarge
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise BodyTooLarge
        parts.append(part)
    return b"".join(parts)
