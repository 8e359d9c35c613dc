"""The chat half of the stand-in: the protocol between the customer's page and the service, with faults on demand."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

if TYPE_CHECKING:
    from tests.browser.standin import Standin

Doc = dict[str, Any]


class StandinChat:
    """Sessions by token; each has its lines, its state and the sockets that follow it."""

    def __init__(self, world: Standin) -> None:
        self.world = world
        self.sessions: dict[str, Doc] = {}
        self.hellos: list[Doc] = []
        self.said: list[Doc] = []
        """Every `say` that arrived, repeats included."""
        self.refuse_sockets = False
        self.swallow_acks = 0
        """So many next messages are stored, but the socket breaks before their acknowledgement."""
        self.offer_at_once = True
        self._changed = asyncio.Condition()
        self._drops = 0

    def routes(self) -> list[BaseRoute]:
        return [
            WebSocketRoute("/chat/{account}", self._socket),
            Route("/chat/{account}/sessions", self._begin, methods=["POST"]),
            Route("/chat/{account}/messages", self._post, methods=["POST"]),
            Route("/chat/{account}/messages", self._poll, methods=["GET"]),
        ]

    async def drop_sockets(self) -> None:
        self._drops += 1
        await self._notify()

    async def tell(self, contact: str, state: Doc) -> None:
        for session in self.sessions.values():
            if session["contact"] == contact:
                session["state"] = state
        await self._notify()

    async def reply(self, contact: str, line: Doc) -> None:
        """An agent's reply goes out to the customer's page."""
        for session in self.sessions.values():
            if session["contact"] == contact:
                self._append(session, line["id"], "agent", line["text"], line["at"], {"author": "Ana"})
        await self._notify()

    async def say(self, session: Doc, said: Doc) -> str:
        """Idempotent by `client_message_id`, as the real one is."""
        self.said.append(said)
        own = said["client_message_id"]
        if own in session["known"]:
            return str(session["known"][own])
        world = self.world
        if session["contact"] is None:
            contact = session["contact"] = await world.contact(said["text"], name=session["name"] or "Guest")
            line = world.transcripts[contact][0]
            session["state"] = {"state": "waiting", "queue": "payments"}
            if self.offer_at_once:
                await world.offer(contact)
        else:
            line = await world.says(session["contact"], said["text"], name=session["name"] or "Guest")
        session["known"][own] = line["id"]
        self._append(session, line["id"], "customer", said["text"], line["at"], {"client_message_id": own})
        return str(line["id"])

    def _append(self, session: Doc, id: str, direction: str, text: str, at: str, more: Doc) -> None:
        data = {"id": id, "direction": direction, "text": text, "at": at} | more
        session["lines"].append({"type": "message", "seq": len(session["lines"]) + 1, "data": data})

    def _session(self, token: str | None, told: Doc) -> tuple[str, Doc]:
        if token is None or token not in self.sessions:
            token = secrets.token_urlsafe(12)
            self.sessions[token] = {"name": None, "contact": None, "state": {"state": "none"}, "lines": [], "known": {}}
        session = self.sessions[token]
        session["name"] = told.get("name") or session["name"]
        return token, session

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # WebSocket ---------------------------------------------------------------------------------------------------

    async def _socket(self, socket: WebSocket) -> None:
        if self.refuse_sockets:
            await socket.close()
            return
        await socket.accept()
        hello = (await socket.receive_json())["data"]
        self.hellos.append(hello)
        resumed = hello["token"] in self.sessions
        token, session = self._session(hello["token"], hello)
        welcome = {"token": token, "session": token[:6], "resumed": resumed, "workspace": "wallet"}
        await socket.send_json({"type": "welcome", "data": welcome})
        tasks = {
            asyncio.create_task(self._write(socket, session, hello["last_seq"] if resumed else 0)),
            asyncio.create_task(self._read(socket, session)),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            await socket.close()
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, socket: WebSocket, session: Doc, sent: int) -> None:
        shown: Doc | None = None
        drops = self._drops
        while drops == self._drops:
            for line in session["lines"][sent:]:
                await socket.send_json(line)
                sent = line["seq"]
            if session["state"] != shown:
                shown = session["state"]
                await socket.send_json({"type": "state", "data": shown})
            async with self._changed:
                while len(session["lines"]) <= sent and session["state"] == shown and drops == self._drops:
                    await self._changed.wait()

    async def _read(self, socket: WebSocket, session: Doc) -> None:
        while True:
            frame = await socket.receive_json()
            if frame["type"] == "leave":
                session["state"] = {"state": "abandoned"}
                return
            if frame["type"] != "say":
                continue
            id = await self.say(session, frame["data"])
            if self.swallow_acks:
                self.swallow_acks -= 1
                return
            own = frame["data"]["client_message_id"]
            await socket.send_json({"type": "ack", "data": {"client_message_id": own, "id": id}})
            await self._notify()

    # Plain HTTP --------------------------------------------------------------------------------------------------

    async def _begin(self, request: Request) -> Response:
        token, _ = self._session(None, await request.json())
        return JSONResponse({"token": token, "session": token[:6]})

    async def _post(self, request: Request) -> Response:
        session = self.sessions[_bearer(request)]
        id = await self.say(session, await request.json())
        await self._notify()
        return JSONResponse({"id": id})

    async def _poll(self, request: Request) -> Response:
        session = self.sessions.get(_bearer(request))
        if session is None:
            return JSONResponse({"status": 401, "detail": "begin a session first"}, 401)
        after, told = int(request.query_params["after"]), session["state"]
        try:
            async with self._changed, asyncio.timeout(float(request.query_params.get("wait", 0))):
                await self._changed.wait_for(lambda: len(session["lines"]) > after or session["state"] != told)
        except TimeoutError:
            pass
        return JSONResponse({"messages": session["lines"][after:], "state": session["state"]})


def _bearer(request: Request) -> str:
    return request.headers["authorization"].removeprefix("Bearer ")
