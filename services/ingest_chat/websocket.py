"""A customer's connection: hello, say, leave; replies and state as they come."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any, Final

from fastapi import WebSocket
from starlette.responses import Response
from starlette.websockets import WebSocketDisconnect

from services.ingest_chat.conversation import Conversation, Refusal
from services.ingest_chat.frames import (
    LARGEST_FRAME,
    BadFrame,
    Hello,
    Leave,
    Ping,
    Pong,
    Say,
    frame,
    read_frame,
)
from services.ingest_chat.limits import OpenSockets, TooMany
from services.ingest_chat.session import Session, with_profile
from services.ingest_chat.settings import ChatSettings
from services.ingest_chat.transcript import state_of
from shared.log.port import LogUnavailable

log = logging.getLogger(__name__)

_MOST_BAD_FRAMES: Final = 10
_POLL_S: Final = 5.0
"""A hint may be lost: look at the thread after this time anyway."""

GOING_AWAY: Final = 1001
POLICY: Final = 1008
TOO_LARGE: Final = 1009
RESTARTING: Final = 1012
TRY_AGAIN: Final = 1013


class _Over(Exception):
    """The conversation on this socket is over, with the code to close it with."""

    def __init__(self, code: int, reason: str = "") -> None:
        self.code = code
        self.reason = reason


class Sockets:
    """Serves `WS /chat/{account}`."""

    def __init__(self, settings: ChatSettings, conversation: Conversation, closing: asyncio.Event) -> None:
        self._settings = settings
        self._conversation = conversation
        self._closing = closing
        self._open = OpenSockets(settings.sockets_per_ip)

    async def serve(self, websocket: WebSocket, account: str) -> None:
        address = websocket.client.host if websocket.client else ""
        workspace = self._conversation.workspace_of(account)
        if workspace is None:
            return await websocket.send_denial_response(Response("there is no such chat", status_code=404))
        if not self._conversation.welcomes(websocket.headers.get("origin"), websocket.headers.get("host")):
            return await websocket.send_denial_response(Response("this page may not embed the chat", status_code=403))
        try:
            with self._open.one(address):
                await websocket.accept()
                await self._talk(websocket, account, workspace, address)
        except TooMany:
            await websocket.send_denial_response(Response("too many connections", status_code=429))

    async def _talk(self, websocket: WebSocket, account: str, workspace: str, address: str) -> None:
        socket = _Socket(websocket, self._settings.send_timeout_s)
        try:
            session, last_seq = await self._greet(socket, account, workspace, address)
            with self._conversation.departures.present(session):
                await self._until_over(socket, session, last_seq)
        except _Over as over:
            with suppress(Exception):
                await websocket.close(over.code, over.reason)
        except LogUnavailable:
            # What was said is durable or was refused; the page comes back and finds out.
            with suppress(Exception):
                await websocket.close(TRY_AGAIN, "try again")
        except WebSocketDisconnect:
            pass

    async def _greet(self, socket: _Socket, account: str, workspace: str, address: str) -> tuple[Session, int]:
        try:
            first = await asyncio.wait_for(socket.receive(), self._settings.hello_timeout_s)
        except TimeoutError:
            raise _Over(POLICY, "no hello") from None
        try:
            hello = read_frame(first)
            if not isinstance(hello, Hello):
                raise BadFrame("the first frame must be a hello")
        except BadFrame as error:
            await socket.send(frame("error", {"code": "bad_frame", "detail": str(error)}))
            raise _Over(POLICY, "no hello") from None
        told = hello.data
        tokens = self._conversation.tokens
        session = tokens.read(told.token, account, workspace) if told.token else None
        resumed = session is not None
        if session is None:
            try:
                session = self._conversation.begin(account, workspace, address, told)
            except Refusal as refusal:
                await socket.send(frame("error", {"code": refusal.code, "detail": refusal.detail}))
                raise _Over(POLICY, refusal.code) from None
        else:
            session = with_profile(session, name=told.name, email=told.email, language=told.language)
        await socket.send(
            frame(
                "welcome",
                {
                    "token": tokens.issue(session),
                    "session": session.id,
                    "resumed": resumed,
                    "workspace": workspace,
                },
            )
        )
        return session, told.last_seq if resumed else 0

    async def _until_over(self, socket: _Socket, session: Session, last_seq: int) -> None:
        """Reader, writer and the end of the process: the first of them to end ends the socket."""
        tasks = {
            asyncio.create_task(self._read(socket, session)),
            asyncio.create_task(self._write(socket, session, last_seq)),
            asyncio.create_task(self._say_bye()),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _say_bye(self) -> None:
        await self._closing.wait()
        raise _Over(RESTARTING, "restarting")

    async def _read(self, socket: _Socket, session: Session) -> None:
        bad = 0
        while True:
            text = await socket.receive()
            try:
                said = read_frame(text)
            except BadFrame as error:
                bad += 1
                await socket.send(frame("error", {"code": "bad_frame", "detail": str(error)}))
                if bad >= _MOST_BAD_FRAMES:
                    raise _Over(POLICY, "too many bad frames") from None
                continue
            match said:
                case Say():
                    await self._say(socket, session, said)
                case Leave():
                    self._conversation.departures.said_goodbye(session)
                    raise _Over(1000)
                case Ping():
                    await socket.send(frame("pong"))
                case Pong():
                    socket.answers_pings = True
                case Hello():
                    await socket.send(frame("error", {"code": "bad_frame", "detail": "hello was said already"}))
                case _:
                    pass

    async def _say(self, socket: _Socket, session: Session, said: Say) -> None:
        own_id = said.data.client_message_id
        try:
            receipt = await self._conversation.say(session, said.data)
        except Refusal as refusal:
            data = {"code": refusal.code, "detail": refusal.detail, "client_message_id": own_id}
            await socket.send(frame("error", data))
            return
        await socket.send(frame("ack", {"client_message_id": own_id, "id": receipt.command_id}))

    async def _write(self, socket: _Socket, session: Session, last_seq: int) -> None:
        """Everything behind `last_seq`, then whatever changes."""
        conversation = self._conversation
        shown: dict[str, Any] | None = None
        next_ping = asyncio.get_running_loop().time() + self._settings.ping_s
        async with conversation.transcripts.watch(session) as hints:
            while True:
                document = await conversation.transcripts.document(session)
                if document is not None:
                    conversation.departures.spoke(session)
                for line in await conversation.transcripts.lines(session, document, after=last_seq):
                    await socket.send(line)
                    last_seq = line["seq"]
                conversation.receipts.reached(session, document, up_to=last_seq)
                state = state_of(document)
                if state != shown:
                    await socket.send(frame("state", state))
                    shown = state
                pause = next_ping - asyncio.get_running_loop().time()
                await hints.wait(max(0.01, min(_POLL_S, pause)))
                if asyncio.get_running_loop().time() >= next_ping:
                    await self._ping(socket)
                    next_ping = asyncio.get_running_loop().time() + self._settings.ping_s

    async def _ping(self, socket: _Socket) -> None:
        """A page that has ever answered a ping is held to it; others are left to the server's own protocol pings."""
        if socket.answers_pings and socket.quiet_for_s() > 2 * self._settings.ping_s:
            raise _Over(GOING_AWAY, "no sign of life")
        await socket.send(frame("ping"))


class _Socket:
    """Text frames in, JSON frames out, bounded in size and time."""

    def __init__(self, websocket: WebSocket, send_timeout_s: float) -> None:
        self._websocket = websocket
        self._send_timeout_s = send_timeout_s
        self._lock = asyncio.Lock()
        self._heard_at = asyncio.get_running_loop().time()
        self.answers_pings = False

    def quiet_for_s(self) -> float:
        return asyncio.get_running_loop().time() - self._heard_at

    async def receive(self) -> str:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", GOING_AWAY))
        self._heard_at = asyncio.get_running_loop().time()
        text = message.get("text")
        if text is None:
            raise _Over(1003, "text frames only")
        if len(text) > LARGEST_FRAME or len(text.encode("utf-8", "surrogatepass")) > LARGEST_FRAME:
            raise _Over(TOO_LARGE, "frame too large")
        return str(text)

    async def send(self, made: dict[str, Any]) -> None:
        """Raises `WebSocketDisconnect` for a socket that is gone or too slow."""
        try:
            async with asyncio.timeout(self._send_timeout_s), self._lock:
                await self._websocket.send_json(made)
        except (TimeoutError, RuntimeError, OSError):
            raise WebSocketDisconnect(GOING_AWAY) from None
