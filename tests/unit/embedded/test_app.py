"""The one process of the demo, on its admin port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from services.embedded.app import serve
from services.embedded.settings import EmbeddedSettings
from services.router.app import build_router
from tests.eventually import eventually
from tests.support.ports import free_port


@dataclass
class Running:
    """The process as whoever watches it sees it."""

    stopping: asyncio.Event
    admin: httpx.AsyncClient

    async def ready(self) -> tuple[int, str]:
        answer = await self.admin.get("/readyz")
        return answer.status_code, answer.text


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Running]:
    """From being ready until it has stopped in order."""
    port, stopping, announced = free_port(), asyncio.Event(), asyncio.Event()
    settings = EmbeddedSettings(data_dir=folder, port=0, admin_port=port, smtp_port=0)

    def announce(_: str) -> None:
        announced.set()

    process = asyncio.create_task(serve(settings, stopping, build_router, announce=announce))
    await eventually(lambda: announced.is_set() or process.done(), within_s=30)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as admin:
        try:
            yield Running(stopping, admin)
        finally:
            stopping.set()
            await asyncio.wait_for(process, 12)


async def test_it_is_not_ready_from_the_moment_it_is_told_to_stop(tmp_path: Path) -> None:
    async with running(tmp_path) as process:
        assert await process.ready() == (200, "ready\n")
        process.stopping.set()
        assert await process.ready() == (503, "stopping\n")
