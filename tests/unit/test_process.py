"""What a process says of itself on its admin port."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
from fastapi import FastAPI

from shared.admin import Ready
from shared.metrics import Catalogue, ProcessMetrics
from shared.process import Backends, ProcessSettings, run_process
from shared.service import Part
from shared.web_server import WebServer, listen, url_of
from tests.eventually import eventually
from tests.support.ports import free_port


async def test_a_process_is_not_ready_from_the_moment_it_is_told_to_stop(tmp_path: Path) -> None:
    """The public port refuses connections at once, the admin port answers until everything else has ended."""
    admin_port, public = free_port(), listen("127.0.0.1", 0, setting="PORT")
    base_url = url_of(public)
    goes_on = asyncio.Event()

    async def busy(stopping: asyncio.Event) -> None:
        await goes_on.wait()

    async def build(
        _: Backends, sockets: ExitStack, __: ProcessMetrics, ___: asyncio.Event
    ) -> tuple[Sequence[Part], Ready]:
        web = WebServer(FastAPI(), sockets.enter_context(public))
        parts = [Part(name="web", run=web.run), Part(name="busy", run=busy)]
        return parts, lambda: True if web.ready.is_set() else "the web server is starting"

    settings = ProcessSettings(log=f"sqlite:///{tmp_path}", views="memory:", admin_port=admin_port)
    metrics, stopping = ProcessMetrics(Catalogue()), asyncio.Event()
    running = asyncio.create_task(run_process(settings, "test", metrics, build, stopping, shares=False))
    async with httpx.AsyncClient() as http:

        async def says() -> tuple[int, str]:
            try:
                answer = await http.get(f"http://127.0.0.1:{admin_port}/readyz")
            except httpx.TransportError:
                return 0, ""
            return answer.status_code, answer.text

        async def refuses() -> bool:
            try:
                await http.get(base_url)
            except httpx.ConnectError:
                return True
            except httpx.TransportError:
                # Accepted by the system just before the port was closed.
                return False
            return False

        async def is_ready() -> bool:
            return await says() == (200, "ready\n")

        await eventually(is_ready)
        stopping.set()
        assert await says() == (503, "stopping\n")
        await eventually(refuses)
        assert await says() == (503, "stopping\n")
        goes_on.set()
        await asyncio.wait_for(running, 5)
