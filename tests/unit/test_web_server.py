"""Opening ports with words, and stopping while somebody still listens."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse

from shared import web_server
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


async def test_a_request_that_the_end_cuts_off_may_be_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "GRACEFUL_STOP_S", 1)
    app = FastAPI()
    asked = asyncio.Event()

    @app.post("/slow")
    async def slow() -> None:
        asked.set()
        await asyncio.Event().wait()

    sock = listen("127.0.0.1", 0, setting="PORT")
    server = WebServer(app, sock)
    stopping = asyncio.Event()
    running = asyncio.create_task(run_parts([Part(name="web", run=server.run)], stopping))
    await asyncio.wait_for(server.ready.wait(), 5)
    async with httpx.AsyncClient(base_url=url_of(sock), timeout=10) as client:
        answer = asyncio.create_task(client.post("/slow"))
        await asked.wait()
        stopping.set()
        assert ((await answer).status_code, (await answer).headers["retry-after"]) == (503, "1")
    await asyncio.wait_for(running, 5)


async def test_whoever_leaves_while_sending_is_nobodys_error(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()
    asked, left = asyncio.Event(), asyncio.Event()

    @app.post("/read")
    async def read(request: Request) -> None:
        asked.set()
        try:
            await request.body()
        finally:
            left.set()

    sock = listen("127.0.0.1", 0, setting="PORT")
    server = WebServer(app, sock)
    stopping = asyncio.Event()
    running = asyncio.create_task(run_parts([Part(name="web", run=server.run)], stopping))
    await asyncio.wait_for(server.ready.wait(), 5)
    _, writer = await asyncio.open_connection("127.0.0.1", port_of(sock))
    writer.write(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    await asyncio.wait_for(asked.wait(), 5)
    writer.close()
    await writer.wait_closed()
    await asyncio.wait_for(left.wait(), 5)
    stopping.set()
    await asyncio.wait_for(running, 5)
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_an_application_that_refuses_to_start_does_not_end_the_interpreter() -> None:
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("no")
        yield

    app = FastAPI(lifespan=contextlib.asynccontextmanager(lifespan))
    server = WebServer(app, listen("127.0.0.1", 0, setting="PORT"))
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(server.run(asyncio.Event()), 5)
    assert caught.group_contains(CannotStart)
