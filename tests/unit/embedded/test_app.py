"""The one process of the demo, on its admin port."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.embedded import demo
from services.embedded.app import serve
from services.embedded.settings import EmbeddedSettings
from services.router.app import build_router
from shared import process
from shared.log.sqlite_file import FILE_NAME
from shared.log.sqlite_writer import Writer
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

    async def value(self, metric: str) -> float:
        page = (await self.admin.get("/metrics")).text
        (found,) = re.findall(rf"^{metric} (\S+)$", page, re.MULTILINE)
        return float(found)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Running]:
    """From being ready until it has stopped in order."""
    port, stopping, announced = free_port(), asyncio.Event(), asyncio.Event()
    settings = EmbeddedSettings(data_dir=folder, port=0, admin_port=port, smtp_port=0)

    def announce(_: str) -> None:
        announced.set()

    serving = asyncio.create_task(serve(settings, stopping, build_router, announce=announce))
    await eventually(lambda: announced.is_set() or serving.done(), within_s=30)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as admin:
        try:
            yield Running(stopping, admin)
        finally:
            stopping.set()
            await asyncio.wait_for(serving, 12)


async def test_it_is_not_ready_from_the_moment_it_is_told_to_stop(tmp_path: Path) -> None:
    async with running(tmp_path) as centre:
        assert await centre.ready() == (200, "ready\n")
        centre.stopping.set()
        assert await centre.ready() == (503, "stopping\n")


async def test_with_too_many_contacts_open_messages_wait_in_the_log_and_commands_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTER_MAX_OPEN_CONTACTS", "2")
    async with running(tmp_path):
        facts = json.loads((tmp_path / "demo.json").read_text())
        async with httpx.AsyncClient(base_url=facts["base_url"]) as http:

            async def say(name: str, wait: float) -> httpx.Response:
                message = {"source_key": name, "channel": "chat", "sender": {"id": name}, "text": "hello"}
                headers = {"Authorization": f"Bearer {facts['adapter_key']}"}
                return await http.post(f"/v1/messages?wait={wait}", json=message, headers=headers)

            async def is_decided() -> bool:
                return (await say("m3", 0)).status_code in (200, 201)

            first = await say("m1", 10)
            assert [first.status_code, (await say("m2", 10)).status_code] == [201, 201]
            assert (await say("m3", 0.5)).status_code == 202, "it is durable, and not decided yet"
            headers = {"Authorization": f"Bearer {facts['supervisor_token']}"}
            ended = await http.post(f"/v1/contacts/{first.json()['contact_id']}/cancel", json={}, headers=headers)
            assert ended.status_code == 200
            await eventually(is_decided)


async def test_it_tells_of_its_log_and_views_as_every_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "LOOK_S", 0.05)
    commit, disk_full = Writer._commit, asyncio.Event()

    def on_disk(writer: Writer, works: Sequence[Any]) -> None:
        if disk_full.is_set():
            raise sqlite3.OperationalError("database or disk is full")
        commit(writer, works)

    monkeypatch.setattr(Writer, "_commit", on_disk)
    async with running(tmp_path) as centre:

        async def up(value: float) -> bool:
            return await centre.value("switchdesk_log_up") == value

        assert await up(1)
        assert await centre.value("switchdesk_views_up") == 1
        assert await centre.ready() == (200, "ready\n")

        disk_full.set()
        facts = json.loads((tmp_path / "demo.json").read_text())
        headers = {"Authorization": f"Bearer {facts['operator_key']}"}
        async with httpx.AsyncClient(base_url=facts["base_url"], headers=headers) as http:
            answer = await http.put(f"/v1/channels/chat:{demo.CHAT_ACCOUNT}/health", json={"state": "down"})
        assert answer.status_code == 503
        await eventually(lambda: up(0))
        assert await centre.ready() == (503, "log: writing to the log: database or disk is full\n")
        disk_full.clear()
        await eventually(lambda: up(1))
        assert await centre.ready() == (200, "ready\n")


async def test_a_file_that_was_removed_is_told_and_nothing_is_acknowledged_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "LOOK_S", 0.05)
    async with running(tmp_path) as centre:
        facts = json.loads((tmp_path / "demo.json").read_text())
        (tmp_path / FILE_NAME).rename(tmp_path / "moved.db")
        status, words = await centre.ready()
        assert status == 503
        assert words.startswith(f"log: {tmp_path / FILE_NAME} was removed or replaced")
        headers = {"Authorization": f"Bearer {facts['operator_key']}"}
        async with httpx.AsyncClient(base_url=facts["base_url"], headers=headers) as http:
            answer = await http.put(f"/v1/channels/chat:{demo.CHAT_ACCOUNT}/health", json={"state": "down"})
        assert answer.status_code == 503
        (tmp_path / "moved.db").rename(tmp_path / FILE_NAME)

        async def ready() -> bool:
            return await centre.ready() == (200, "ready\n")

        await eventually(ready)
