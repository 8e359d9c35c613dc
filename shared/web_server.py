"""HTTP servers as parts of a service: sockets opened beforehand, no signal handlers of their own, a bounded stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http_metrics import HttpMetrics
from shared.log.port import LogUnavailable
from shared.metrics import ProcessMetrics
from shared.service import CannotStart

GRACEFUL_STOP_S = 3
BACKLOG = 2048


def listen(host: str, port: int, *, setting: str, host_setting: str = "HOST") -> socket.socket:
    """An open listening socket; port 0 takes a free one. Raises `CannotStart` naming the setting that would help."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        server = socket.create_server(address[:2], family=family, backlog=BACKLOG)
        # Accepted sockets inherit it; without it a small answer waits for the peer's delayed acknowledgement.
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server
    except socket.gaierror:
        raise CannotStart(f"host {host!r} is unknown ({host_setting}); set {host_setting}=127.0.0.1") from None
    except OSError as error:
        raise cannot_listen(error, host, port, setting=setting, host_setting=host_setting) from None


def cannot_listen(error: OSError, host: str, port: int, *, setting: str, host_setting: str = "HOST") -> CannotStart:
    """Why a port could not be opened, with the setting that would help."""
    if error.errno == errno.EADDRINUSE:
        words = f"port {port} is in use ({setting}); set {setting}=… to a free one, or stop what listens there"
    elif error.errno == errno.EACCES:
        words = f"port {port} may not be opened by this user ({setting}); set {setting}=… to one above 1023"
    elif error.errno == errno.EADDRNOTAVAIL:
        words = f"host {host!r} is not an address of this machine ({host_setting}); set {host_setting}=127.0.0.1"
    else:
        words = f"port {port} on {host!r} cannot be opened ({setting}): {error.strerror}"
    return CannotStart(words)


def port_of(sock: socket.socket) -> int:
    """The port that was really taken."""
    port: int = sock.getsockname()[1]
    return port


def url_of(sock: socket.socket, scheme: str = "http") -> str:
    """Where a browser on this machine finds it."""
    host = sock.getsockname()[0]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port_of(sock)}"


def web_app(routers: Sequence[APIRouter], metrics: ProcessMetrics) -> FastAPI:
    """The public application of an ingest service: its routes alone, and 503 for a log that is away. Answers are
    counted in `metrics`."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    for router in routers:
        app.include_router(router)

    async def try_again(_: Request, __: Exception) -> JSONResponse:
        return _try_again(after_s=5)

    app.add_exception_handler(LogUnavailable, try_again)
    app.add_middleware(HttpMetrics, metrics=metrics)
    return app


class LastWord:
    """Pure ASGI, outermost: a request that the end of the process cuts off is told 503, because it may be sent again;
    500 would say that it is of no use. Whoever has gone meanwhile is told nothing, and is nobody's error."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            if started:
                raise
            await _try_again()(scope, receive, send)


def _try_again(*, after_s: int = 1) -> JSONResponse:
    problem = {"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": "try again"}
    return JSONResponse(problem, 503, headers={"Retry-After": str(after_s)}, media_type="application/problem+json")


class WebServer:
    """Serves one ASGI application on one socket until told to stop, then gives open streams three seconds."""

    def __init__(self, app: Any, sock: socket.socket, *, websocket_limit: int = 65_536) -> None:
        self._sock = sock
        self._server = _Server(
            uvicorn.Config(
                LastWord(app),
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws_max_size=websocket_limit,
                ws_per_message_deflate=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=GRACEFUL_STOP_S,
            )
        )

    @property
    def ready(self) -> asyncio.Event:
        """Set once requests are answered."""
        return self._server.ready

    async def run(self, stopping: asyncio.Event) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(self._serve())
                waiting = group.create_task(stopping.wait())
                await asyncio.wait((serving, waiting), return_when=asyncio.FIRST_COMPLETED)
                self._server.should_exit = True
                waiting.cancel()
        finally:
            self._sock.close()

    async def _serve(self) -> None:
        try:
            await self._server.serve(sockets=[self._sock])
        except SystemExit:
            # uvicorn ends the process when the application refuses to start; here a part dies, with words.
            raise CannotStart("the web application did not start; the log says why") from None


class _Server(uvicorn.Server):
    """uvicorn's server, except that signals are the service's business and readiness can be waited for."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()
