"""What every ingest test needs: a log that can fail, views, and the router's part of the story played by hand."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI

from shared.clock import Clock, SystemClock
from shared.contracts.commands import Command, Input, ReceiveMessage, ReportDelivery
from shared.ids import address_key, address_ref
from shared.intake import Intake
from shared.language import CombinedDetector
from shared.log.codec import decode_input
from shared.log.memory import Call, Faults, MemoryLog
from shared.log.port import LogUnavailable
from shared.views.memory import MemoryViews
from shared.views.port import Change
from shared.vocabulary import ChannelKind, Topic
from tests.eventually import eventually

WORKSPACE = "acme"


class Switch(Faults):
    """A log that is there, away, or that keeps its acknowledgement to itself."""

    def __init__(self) -> None:
        self.down = False
        self.loses_acknowledgement = False

    async def before(self, call: Call) -> None:
        await asyncio.sleep(0)
        if self.down:
            raise LogUnavailable("the log is away")

    async def after(self, call: Call) -> None:
        if self.loses_acknowledgement and call.name == "inputs.append":
            raise LogUnavailable("no acknowledgement")


async def account_of(workspace: str, kind: ChannelKind) -> str | None:
    """The workspace's first accounts, as a policy would name them."""
    return {ChannelKind.CHAT: "web", ChannelKind.EMAIL: "support@acme.example"}.get(kind)


@dataclass(slots=True)
class World:
    """Everything behind an ingest service."""

    switch: Switch = field(default_factory=Switch)
    views: MemoryViews = field(default_factory=MemoryViews)
    clock: Clock = field(default_factory=SystemClock)
    log: MemoryLog = field(init=False)
    intake: Intake = field(init=False)
    seq: int = 0

    def __post_init__(self) -> None:
        self.log = MemoryLog(faults=self.switch)
        self.intake = Intake(
            self.log.inputs, self.log.content, self.clock, self.partition_of, CombinedDetector(None, None), account_of
        )

    @staticmethod
    def partition_of(workspace: str) -> int:
        return 0

    def ports(self) -> dict[str, Any]:
        """The keyword arguments that every factory takes."""
        return {
            "intake": self.intake,
            "inputs": self.log.inputs,
            "content": self.log.content,
            "views": self.views,
            "clock": self.clock,
            "partition_of": self.partition_of,
        }

    def inputs(self, topic: Topic) -> list[Input]:
        return [decode_input(data) for data in self.log.store.inputs[topic, 0]]

    def messages(self) -> list[ReceiveMessage]:
        """What customers said, as often as it was appended."""
        found = [record.command for record in self.inputs(Topic.INBOUND)]
        assert all(isinstance(command, ReceiveMessage) for command in found)
        return [command for command in found if isinstance(command, ReceiveMessage)]

    def distinct(self) -> set[str]:
        """The command ids of what customers said: what the engine will count."""
        return {record.id for record in self.inputs(Topic.INBOUND)}

    def commands(self) -> list[Command]:
        return [record.command for record in self.inputs(Topic.COMMANDS)]

    def reports(self) -> list[tuple[str, str]]:
        """Delivery reports, as (message, status), each once."""
        found = [c for c in self.commands() if isinstance(c, ReportDelivery)]
        return list(dict.fromkeys((c.message, c.status.value) for c in found))

    def stored(self, ref: str) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.log.store.content[WORKSPACE, ref][1])
        return decoded

    async def publish(self, kind: str, id: str, data: dict[str, Any] | None) -> None:
        self.seq += 1
        await self.views.publish(0, self.seq, [Change(WORKSPACE, kind, id, self.seq, data)])

    async def reply(
        self,
        *,
        message: str,
        channel: str,
        account: str,
        thread: str,
        address: str,
        text: str,
        native: dict[str, str] | None = None,
        queued_at: int | None = None,
        contact: str | None = "c1",
        subject: str | None = None,
    ) -> None:
        """An agent's reply as the router publishes it for adapters, with its text and the customer's address."""
        key = address_key(WORKSPACE, channel, address)
        content = self.log.content
        await content.put(WORKSPACE, f"r:{message}", json.dumps({"text": text, "subject": subject}).encode(), owner=key)
        if native is not None:
            where = {"channel": channel, "account": account, "address": address, "name": None, "native": native}
            await content.put(WORKSPACE, address_ref(key), json.dumps(where).encode(), owner=key)
        await self.publish(
            "delivery",
            message,
            {
                "message": message,
                "contact": contact,
                "channel": channel,
                "account": account,
                "thread": thread,
                "address": key,
                "ref": f"r:{message}",
                "agent": "ana",
                "queued_at": queued_at or self.clock.now_ms(),
                "status": "queued",
            },
        )


@asynccontextmanager
async def served(*routers: APIRouter) -> AsyncIterator[str]:
    """A real server on a free port of this machine; yields `127.0.0.1:port`."""
    app = FastAPI()
    for router in routers:
        app.include_router(router)
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_level="warning", ws="websockets-sansio", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await eventually(lambda: server.started or serving.done())
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listening.close()


@asynccontextmanager
async def running(part: Any) -> AsyncIterator[None]:
    """A background part for as long as the block runs; it must end soon after it is told to."""
    stopping = asyncio.Event()
    task = asyncio.create_task(part.run(stopping))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait_for(task, 3.0)
