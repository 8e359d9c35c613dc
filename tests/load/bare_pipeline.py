"""The yardstick: a webhook's message to a desk's stream over Kafka and Redis, and nothing else.

`python -m tests.load.bare_pipeline ingest|relay|desks`, each a process of its own. What a router needs anyway is there
(a signature checked, a body validated, a durable record, a view, a hint, a stream), and no routing at all: a message's
desk is a hash of its sender. What Switchdesk costs beside it is the price of deciding.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final
from zlib import crc32

import redis.asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ValidationError

from shared.service import Part, run_parts, run_service
from shared.web_server import WebServer, listen

SIGNATURE: Final = "x-hub-signature-256"


class Sender(BaseModel):
    id: str


class Message(BaseModel):
    mid: str
    text: str


class Event(BaseModel):
    sender: Sender
    timestamp: int
    message: Message


class Entry(BaseModel):
    id: str
    time: int
    messaging: list[Event]


class Webhook(BaseModel):
    """What Messenger sends, as far as it is read."""

    object: str
    entry: list[Entry]


def setting(name: str) -> str:
    """One of BOOTSTRAP, TOPIC, REDIS, SECRET, DESKS, ADMIN_PORT."""
    return os.environ[name]


async def ingest(stopping: asyncio.Event) -> None:
    """POST, HMAC, pydantic, an acknowledged record, 200."""
    producer = AIOKafkaProducer(bootstrap_servers=setting("BOOTSTRAP"), acks="all", linger_ms=0)
    await producer.start()
    topic, secret = setting("TOPIC"), setting("SECRET").encode()
    app = _app()

    @app.post("/webhooks/messenger/page")
    async def receive(request: Request) -> Response:
        body = await request.body()
        expected = "sha256=" + hmac.digest(secret, body, "sha256").hex()
        if not hmac.compare_digest(request.headers.get(SIGNATURE, ""), expected):
            return Response(status_code=403)
        try:
            webhook = Webhook.model_validate_json(body)
        except ValidationError:
            return Response(status_code=422)
        for entry in webhook.entry:
            for event in entry.messaging:
                await producer.send_and_wait(topic, event.model_dump_json().encode(), partition=0)
        return Response(b'{"accepted":1}', media_type="application/json")

    try:
        await _serve(app, stopping)
    finally:
        await producer.stop()


async def relay(stopping: asyncio.Event) -> None:
    """From the topic to a desk's hash, and a hint with the same words."""
    desks = int(setting("DESKS"))
    store = redis.asyncio.from_url(setting("REDIS"))
    consumer = AIOKafkaConsumer(bootstrap_servers=setting("BOOTSTRAP"), enable_auto_commit=False, fetch_min_bytes=1)
    await consumer.start()
    partition = TopicPartition(setting("TOPIC"), 0)
    consumer.assign([partition])
    await consumer.seek_to_end(partition)

    async def carry(stop: asyncio.Event) -> None:
        while not stop.is_set():
            for records in (await consumer.getmany(timeout_ms=200, max_records=500)).values():
                pipeline = store.pipeline(transaction=False)
                for record in records:
                    event = Event.model_validate_json(record.value or b"")
                    desk = f"bare:desk:{crc32(event.sender.id.encode()) % desks}"
                    pipeline.hset(desk, event.message.mid, record.value or b"")
                    pipeline.publish(desk, record.value or b"")
                await pipeline.execute()

    try:
        await _serve(_app(), stopping, Part(name="relay", run=carry))
    finally:
        await consumer.stop()
        await store.aclose()


async def desks(stopping: asyncio.Event) -> None:
    """A stream of server-sent events for each desk."""
    store = redis.asyncio.from_url(setting("REDIS"))
    told: dict[str, asyncio.Queue[bytes]] = {f"bare:desk:{n}": asyncio.Queue() for n in range(int(setting("DESKS")))}
    app = _app()

    @app.get("/desks/{desk}/events")
    async def follow(desk: int) -> Response:
        async def events() -> AsyncIterator[bytes]:
            queue = told[f"bare:desk:{desk}"]
            yield b": \n\n"
            while not stopping.is_set():
                yield b"event: message\ndata: " + await queue.get() + b"\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async def hear(stop: asyncio.Event) -> None:
        async with store.pubsub() as hints:
            await hints.psubscribe("bare:desk:*")
            while not stop.is_set():
                hint = await hints.get_message(ignore_subscribe_messages=True, timeout=0.5)
                if hint is not None:
                    told[hint["channel"].decode()].put_nowait(hint["data"])

    try:
        await _serve(app, stopping, Part(name="hints", run=hear))
    finally:
        await store.aclose()


ROLES: Final[dict[str, Callable[[asyncio.Event], Awaitable[None]]]] = {
    "ingest": ingest,
    "relay": relay,
    "desks": desks,
}


def _app() -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.get("/readyz")
    async def ready() -> dict[str, Any]:
        return {}

    return app


async def _serve(app: FastAPI, stopping: asyncio.Event, *parts: Part) -> None:
    socket = listen("127.0.0.1", int(setting("ADMIN_PORT")), setting="ADMIN_PORT")
    await run_parts([Part(name="web", run=WebServer(app, socket).run), *parts], stopping)


if __name__ == "__main__":
    sys.exit(run_service(ROLES[sys.argv[1]]))
