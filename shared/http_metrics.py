"""Counting answers by route: every request once, whatever became of it."""

from __future__ import annotations

import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.metrics import OTHER, ProcessMetrics, closed

STREAM_MARK: Final = "switchdesk.stream"
"""Set in the scope by whoever answers with a stream: its life is not a slow answer."""

_METHODS: Final = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"})


class HttpMetrics:
    """Pure ASGI: counts every answer by route template. An address that is no route is `other`."""

    def __init__(self, app: ASGIApp, *, metrics: ProcessMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        began = time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if scope.get(STREAM_MARK):
                    self._metrics.http_streams.inc()
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", None) or OTHER
            self._metrics.http_requests.labels(closed(scope["method"], _METHODS), route, str(status)).inc()
            if scope.get(STREAM_MARK):
                self._metrics.http_streams.dec()
            else:
                self._metrics.http_seconds.labels(route).observe(time.perf_counter() - began)
