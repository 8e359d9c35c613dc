"""The admin port of a process: metrics and probes. Not for the public."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.types import Receive, Scope, Send

Ready = Callable[[], bool | str]
"""True, or False or a sentence why not."""


def admin_app(
    registry: CollectorRegistry, ready: Ready, stopping: asyncio.Event
) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """`/metrics`, `/healthz` and `/readyz` as an ASGI application.

    From `stopping` on it is not ready, whatever `ready` says: this port closes last, when the public one has refused
    connections for seconds.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        kind, status = "text/plain; charset=utf-8", HTTPStatus.OK
        match scope["path"]:
            case "/metrics":
                kind, body = CONTENT_TYPE_LATEST, generate_latest(registry)
            case "/healthz":
                body = b"ok\n"
            case "/readyz":
                answer = "stopping" if stopping.is_set() else ready()
                status = HTTPStatus.OK if answer is True else HTTPStatus.SERVICE_UNAVAILABLE
                body = b"ready\n" if answer is True else f"{answer or 'not ready'}\n".encode()
            case _:
                status, body = HTTPStatus.NOT_FOUND, b"not found\n"
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": int(status), "headers": headers})
        await send({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})

    return app
