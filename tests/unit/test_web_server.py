"""Opening ports with words, and stopping while somebody still listens."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from shared.service import CannotStart, Part, run_parts
from shared.web_server import WebServer, listen, port_of, url_of


def test_a_busy_port_is_named_with_its_remedy() -> None:
    with listen("127.0.0.1", 0, setting="PORT") as taken:
        port = port_of(taken)
        with pytest.raises(CannotStart, match=rf"^port {port} is in use \(SMTP_PORT\); set SMTP_PORT=… to a free one"):
            listen("127.0.0.1", port, setting="SMTP_PORT")


def test_an_unknown_host_is_named() -> None:
    with pytest.raises(CannotStart, match="HOST"):
        listen("no.such.host.invalid", 0, setting="PORT")


def test_port_zero_reports_the_real_one() -> None:
    with listen("127.0.0.1", 0, setting="PORT") as sock:
        assert port_of(sock) > 0
        assert url_of(sock) == f"http://127.0.0.1:{port_of(sock)}"


def test_an_address_for_everybody_is_shown_as_one_that_can_be_opened() -> None:
    with listen("0.0.0.0", 0, setting="PORT") as sock:
        assert url_of(sock).startswith("http://127.0.0.1:")


async def test_serves_and_stops_although_a_stream_is_open() -> None:
    app = FastAPI()

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            yield "first\n"
            await asyncio.Event().wait()

        return StreamingResponse(lines())

    sock = listen("127.0.0.1", 0, setting="PORT")
    server = WebServer(app, sock)
    stopping = asyncio.Event()
    running = asyncio.create_task(run_parts([Part(name="web", run=server.run)], stopping))
    await asyncio.wait_for(server.ready.wait(), 5)
    async with httpx.AsyncClient(base_url=url_of(sock)) as client, client.stream("GET", "/stream") as response:
        lines = response.aiter_lines()
        assert await anext(lines) == "first"
        began = time.monotonic()
        stopping.set()
        with pytest.raises((httpx.RemoteProtocolError, StopAsyncIteration)):
            await anext(lines)
        await asyncio.wait_for(running, 8)
    assert time.monotonic() - began < 8


async def test_an_application_that_refuses_to_start_does_not_end_the_interpreter() -> None:
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("no")
        yield

    app = FastAPI(lifespan=contextlib.asynccontextmanager(lifespan))
    server = WebServer(app, listen("127.0.0.1", 0, setting="PORT"))
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(server.run(asyncio.Event()), 5)
    assert caught.group_contains(CannotStart)
