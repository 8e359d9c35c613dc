"""Wiring of the chat service: `build_chat` returns its routes and the part that runs beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter, WebSocket

from services.ingest_chat.conversation import ACTOR, Conversation
from services.ingest_chat.departures import Departures
from services.ingest_chat.fallback import Fallback
from services.ingest_chat.session import SessionTokens
from services.ingest_chat.settings import ChatSettings
from services.ingest_chat.transcript import Receipts, Transcripts
from services.ingest_chat.websocket import Sockets
from shared.clock import Clock
from shared.intake import Intake
from shared.log.port import Content, Inputs
from shared.metrics import ProcessMetrics
from shared.quotas import RateLimit
from shared.views.port import Views


@dataclass(slots=True)
class Chat:
    """The running service: mount `routes`, run `run` in the process's task group."""

    routes: APIRouter
    _receipts: Receipts
    _departures: Departures
    _closing: asyncio.Event

    def observe(self, metrics: ProcessMetrics) -> None:
        """Nothing is counted of chat itself: what it takes in is counted where it is routed."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Reports deliveries and departures until `stopping`; then closes the open sockets."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receipts.run(stopping))
                group.create_task(self._departures.run(stopping))
                await stopping.wait()
                self._closing.set()
        finally:
            self._closing.set()


def build_chat(
    settings: ChatSettings,
    *,
    intake: Intake,
    inputs: Inputs,
    content: Content,
    views: Views,
    clock: Clock,
    partition_of: Callable[[str], int],
) -> Chat:
    """The chat service over these ports."""
    closing = asyncio.Event()
    conversation = Conversation(
        settings=settings,
        intake=intake,
        tokens=SessionTokens(settings.session_secret.get_secret_value(), settings.session_lifetime_s, clock.now_ms),
        transcripts=Transcripts(views, content),
        receipts=Receipts(inputs, clock, partition_of, ACTOR),
        departures=Departures(inputs, clock, partition_of, ACTOR, settings.grace_s),
        messages=RateLimit(settings.messages_per_minute, settings.message_burst, clock.monotonic),
        sessions=RateLimit(settings.sessions_per_ip_minute, settings.sessions_per_ip_minute, clock.monotonic),
    )
    sockets = Sockets(settings, conversation, closing)
    routes = APIRouter()

    @routes.websocket("/chat/{account}")
    async def chat(websocket: WebSocket, account: str) -> None:
        await sockets.serve(websocket, account)

    Fallback(conversation, closing).add_to(routes)
    return Chat(routes, conversation.receipts, conversation.departures, closing)
