"""Streams to desks and adapters: how they are framed, how many there may be, and how each of them ends.

A stream tells whole documents, not changes: whoever reads slowly gets fewer and newer ones, so nothing ever queues up.
It ends with `bye` when the service stops, with `reauth` when its credential does, and silently when its reader has not
taken a byte for a while.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self

from fastapi import Response
from starlette.types import Receive, Scope, Send

from services.router.api.answers import NO_STORE
from services.router.api.problems import TooManyStreams
from shared.http_metrics import STREAM_MARK
from shared.log.codec import encode

EVENT_STREAM: Final = "text/event-stream"
NDJSON: Final = "application/x-ndjson"
HEARTBEAT: Final = b": \n\n"
REAUTH: Final = b"event: reauth\ndata: {}\n\n"

_RETRY_MS: Final = 500
_JITTER_MS: Final = 2000


def frame(event: str, data: Any, *, id: str | None = None) -> bytes:
    """One server-sent event."""
    head = f"id: {id}\nevent: {event}\ndata: " if id is not None else f"event: {event}\ndata: "
    return head.encode() + encode(data) + b"\n\n"


def bye() -> bytes:
    """The last event before the service stops: come back, but not all at once."""
    return f"event: bye\nretry: {_RETRY_MS + secrets.randbelow(_JITTER_MS)}\ndata: {{}}\n\n".encode()


class StreamBook:
    """Counts open streams: in all, and per caller."""

    def __init__(self, *, most: int, most_per_caller: int) -> None:
        self._most = most
        self._most_per_caller = most_per_caller
        self._open: Counter[str] = Counter()

    @property
    def total(self) -> int:
        return self._open.total()

    def enter(self, caller: str) -> Callable[[], None]:
        """Take a place; call what is returned when the stream is over. Raises `TooManyStreams`."""
        if self.total >= self._most or self._open[caller] >= self._most_per_caller:
            raise TooManyStreams(headers={"Retry-After": "5"})
        self._open[caller] += 1

        def leave() -> None:
            self._open[caller] -= 1
            if self._open[caller] <= 0:
                del self._open[caller]

        return leave


class Until:
    """Waits for one thing or for the end of the service, whichever comes first."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping

    @property
    def over(self) -> bool:
        return self._stopping.is_set()

    async def __aenter__(self) -> Self:
        self._stop = asyncio.ensure_future(self._stopping.wait())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.cancel()

    async def first(self, awaitable: Awaitable[object], timeout_s: float | None = None) -> None:
        """Returns when `awaitable` is done, the time is up, or the service stops; then `awaitable` is cancelled."""
        waiting = asyncio.ensure_future(awaitable)
        try:
            await asyncio.wait({waiting, self._stop}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not waiting.done():
                waiting.cancel()
        if waiting.done() and not waiting.cancelled():
            waiting.result()


class EventStream(Response):
    """A response that goes on until its source ends, its reader leaves, or its reader stops reading."""

    def __init__(
        self,
        source: AsyncGenerator[bytes, None],
        *,
        media_type: str,
        send_s: float,
        leave: Callable[[], None],
    ) -> None:
        self._source = source
        self._send_s = send_s
        self._leave = leave
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        # No `body` attribute: with one, the headers would promise a Content-Length.
        self.init_headers({**NO_STORE, "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[STREAM_MARK] = True
        pump = asyncio.ensure_future(self._pump(send))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            pump.cancel()
            await asyncio.gather(pump, gone, return_exceptions=True)
            await self._source.aclose()
            self._leave()
        if not pump.cancelled():
            pump.result()

    async def _pump(self, send: Send) -> None:
        async def bounded(message: dict[str, Any]) -> None:
            async with asyncio.timeout(self._send_s):
                await send(message)

        try:
            await bounded({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for chunk in self._source:
                await bounded({"type": "http.response.body", "body": chunk, "more_body": True})
            await bounded({"type": "http.response.body", "body": b""})
        except TimeoutError:
            # A reader that takes nothing for so long is as good as gone; it comes back with its Last-Event-ID.
            return


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
