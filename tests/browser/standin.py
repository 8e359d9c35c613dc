"""A scripted stand-in for the API, so that the pages can be tested alone: one agent, contacts by word of command.

It speaks over a real socket, with the shapes of `docs/api.md`. It decides nothing cleverly; what it does well is fail:
drop streams, lose answers, refuse with a given problem.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from services.router.web import web_routes
from tests.browser.standin_chat import StandinChat

Doc = dict[str, Any]


def rfc3339(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def token_for(agent: str, *, role: str = "agent", ttl_s: int = 3600) -> str:
    """Looks like the API's token; nobody here checks the signature."""

    def part(claims: Doc) -> str:
        return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")

    claims = {"sub": agent, "ws": "wallet", "role": role, "exp": int(time.time()) + ttl_s}
    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}.c2lnbmF0dXJl"


class Standin:
    """The world that the pages see."""

    def __init__(self, agent: str = "ana") -> None:
        self.agent = agent
        self.token = token_for(agent)
        self.base_url = ""
        self.seq = 1
        self.presence = "available"
        self.next_presence: str | None = None
        self.presence_answers = asyncio.Event()
        """Cleared, it holds the answers to a change of presence back."""
        self.presence_answers.set()
        self.wrap_up_s = 0.0
        self.wrap_up: Doc | None = None
        self.offers: dict[str, Doc] = {}
        self.assignments: dict[str, Doc] = {}
        self.consults: dict[str, Doc] = {}
        """Contacts of others about which the agent is asked."""
        self.notes: dict[str, str] = {}
        """What the agent was told about them."""
        self.contacts: dict[str, Doc] = {}
        self.transcripts: dict[str, list[Doc]] = {}
        self.status: Doc = _status()
        self.calls: list[tuple[str, str, Any]] = []
        """Every changing call: method, path, body."""
        self.stream_ids: list[str | None] = []
        """The `Last-Event-ID` of every stream that was opened."""
        self.answers: dict[str, Response] = {}
        self.lose_answers = 0
        """So many next changes happen, but their answers get lost (`503`)."""
        self.problems: dict[str, tuple[int, str]] = {}
        """Path to the refusal that it gets next, once."""
        self.streams_allowed = True
        self._changed = asyncio.Condition()
        self._drop = asyncio.Event()
        self._ids = itertools.count(1)
        self.chat = StandinChat(self)

    # What tests and the chat do ----------------------------------------------------------------------------------

    async def change(self) -> None:
        """Something is new: everybody who follows looks again."""
        self.seq += 1
        async with self._changed:
            self._changed.notify_all()

    async def contact(self, text: str, *, name: str = "Guest", **facts: Any) -> str:
        """A contact that waits, with its first message."""
        contact = f"c-{next(self._ids)}"
        self.contacts[contact] = {
            "id": contact,
            "channel": "chat",
            "account": "web",
            "queue": "payments",
            "language": "id",
            "skills": {"payments": 3},
            "priority": 0,
            "state": "waiting",
            "enqueued_at": rfc3339(time.time() - 41),
            "customer": f"u-{contact}",
            "messages": 0,
            "last_message_at": None,
            "redirects": [],
        } | facts
        self.transcripts[contact] = []
        await self.says(contact, text, name=name)
        return contact

    async def says(self, contact: str, text: str, *, name: str = "Guest", **facts: Any) -> Doc:
        """A customer's message on a contact."""
        return await self._line(
            contact, {"direction": "customer", "author_name": name, "text": text, "status": None} | facts
        )

    async def _line(self, contact: str, line: Doc) -> Doc:
        summary = self.contacts[contact]
        made = {
            "id": f"m-{next(self._ids)}",
            "at": rfc3339(time.time()),
            "kind": "message",
            "channel": summary["channel"],
            "account": summary["account"],
            "author": None,
            "subject": None,
            "attachments": [],
        } | line
        self.transcripts[contact].append(made)
        summary["messages"] += 1
        summary["last_message_at"] = made["at"]
        await self.change()
        return made

    async def offer(self, contact: str, *, seconds: float = 30.0) -> str:
        offer = f"o-{next(self._ids)}"
        now = time.time()
        self.contacts[contact]["state"] = "offered"
        self.offers[offer] = {
            "id": offer,
            "contact": self.contacts[contact],
            "made_at": rfc3339(now),
            "expires_at": rfc3339(now + seconds),
        }
        await self.change()
        return offer

    async def withdraw(self, offer: str) -> None:
        self.offers.pop(offer)["contact"]["state"] = "waiting"
        await self.change()

    async def assign(self, contact: str) -> None:
        self.contacts[contact]["state"] = "assigned"
        self.assignments[contact] = {
            "contact": self.contacts[contact],
            "since": rfc3339(time.time()),
            "parked": False,
            "consulted": [],
            "ways": [],
        }
        await self.change()

    async def ask(self, contact: str, *, owner: str = "ben", note: str = "") -> None:
        """A colleague asks the agent about their contact."""
        self.contacts[contact]["state"] = "assigned"
        self.consults[contact] = {"contact": self.contacts[contact], "owner": owner, "note": bool(note)}
        self.notes[contact] = note
        await self.change()

    async def stop_asking(self, contact: str) -> None:
        """The consult is over, and with it the agent's sight of the contact."""
        del self.consults[contact]
        del self.transcripts[contact]
        await self.change()

    async def drop_streams(self) -> None:
        """Every open stream ends without a word, as when a proxy restarts."""
        drop, self._drop = self._drop, asyncio.Event()
        drop.set()
        async with self._changed:
            self._changed.notify_all()

    async def delivered(self, contact: str, status: str, **facts: Any) -> None:
        for line in self.transcripts[contact]:
            if line["direction"] == "agent":
                line.update(status=status, **facts)
        await self.change()

    def calls_to(self, ending: str) -> list[Any]:
        """Bodies of the changing calls to paths with this ending."""
        return [body for _, path, body in self.calls if path.endswith(ending)]

    def work(self) -> Doc:
        held = len(self.offers) + len(self.assignments)
        return {
            "seq": self.seq,
            "agent": self.agent,
            "presence": self.presence,
            "next_presence": self.next_presence,
            "reachable": True,
            "capacity": {"total": 4.0, "per_channel": {}, "weights": {}},
            "load": {"used": float(held), "per_channel": {}},
            "offers": list(self.offers.values()),
            "assignments": list(self.assignments.values()),
            "consults": list(self.consults.values()),
            "wrap_up": self.wrap_up,
        }

    # The API -----------------------------------------------------------------------------------------------------

    def app(self) -> Starlette:
        me = f"/v1/agents/{self.agent}"
        routes = [
            Route("/v1/status/{workspace}", self._get_status),
            Route(me, self._get_agent),
            Route(f"{me}/work", self._get_work),
            Route(f"{me}/events", self._get_events),
            Route(f"{me}/presence", self._changing(self._put_presence), methods=["PUT"]),
            Route(f"{me}/wrap-up", self._changing(self._post_wrap_up), methods=["POST"]),
            Route("/v1/offers/{id}/accept", self._changing(self._accept), methods=["POST"]),
            Route("/v1/offers/{id}/reject", self._changing(self._reject), methods=["POST"]),
            Route("/v1/contacts/{id}/messages", self._get_messages, methods=["GET"]),
            Route("/v1/contacts/{id}/messages", self._changing(self._reply), methods=["POST"]),
            Route("/v1/contacts/{id}/consult", self._get_consult, methods=["GET"]),
            Route("/v1/contacts/{id}/consult", self._changing(self._start_consult), methods=["POST"]),
            Route("/v1/contacts/{id}/consult/{agent}", self._changing(self._end_consult), methods=["DELETE"]),
            Route("/v1/contacts/{id}/transfer", self._changing(self._transfer), methods=["POST"]),
            Route("/v1/contacts/{id}/complete", self._changing(self._complete), methods=["POST"]),
            Route("/v1/contacts/{id}/requeue", self._changing(self._requeue), methods=["POST"]),
            *self.chat.routes(),
            *web_routes(),
        ]
        return Starlette(routes=routes)

    def _changing(self, act: Any) -> Any:
        """Signed in, idempotent, and failing when it was told to."""

        async def endpoint(request: Request) -> Response:
            if (refused := self._refused(request)) is not None:
                return refused
            key = request.headers["idempotency-key"]
            if key in self.answers:
                return self.answers[key]
            problem = self.problems.pop(request.url.path, None)
            if problem is not None:
                return _problem(*problem)
            body = await request.json() if request.method != "DELETE" else None
            self.calls.append((request.method, request.url.path, body))
            answer: Response = await act(request, body)
            if answer.status_code < 400:
                self.answers[key] = answer
            if self.lose_answers:
                self.lose_answers -= 1
                return _problem(503, "not known to be durable", {"Retry-After": "1"})
            return answer

        return endpoint

    def _refused(self, request: Request) -> Response | None:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return _problem(401, "the key or token is not valid")
        return None

    async def _get_status(self, request: Request) -> Response:
        return JSONResponse(self.status | {"workspace": request.path_params["workspace"], "at": rfc3339(time.time())})

    async def _get_agent(self, request: Request) -> Response:
        return self._refused(request) or JSONResponse({"id": self.agent, "name": "Ana"})

    async def _get_work(self, request: Request) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        after = request.query_params.get("after")
        drop = self._drop
        if after is not None:
            async with self._changed:
                await self._changed.wait_for(lambda: self.seq != int(after) or drop.is_set())
        return JSONResponse(self.work())

    async def _get_events(self, request: Request) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        if not self.streams_allowed:
            return _problem(502, "a proxy does not let streams through")
        last = request.headers.get("last-event-id")
        self.stream_ids.append(last)
        return StreamingResponse(self._events(last, self._drop), media_type="text/event-stream")

    async def _events(self, last: str | None, drop: asyncio.Event) -> AsyncIterator[str]:
        sent = int(last.split(":")[1]) if last else None
        first = True
        while not drop.is_set():
            if self.seq != sent:
                sent, data = self.seq, json.dumps(self.work())
                reset = f"event: reset\ndata: {data}\n\n" if first else ""
                yield f"{reset}id: 0:{sent}:0\nevent: work\ndata: {data}\n\n"
            elif first:
                yield ": \n\n"
            first = False
            async with self._changed:
                while self.seq == sent and not drop.is_set():
                    await self._changed.wait()

    async def _put_presence(self, _: Request, body: Doc) -> Response:
        self.presence, self.next_presence = body["presence"], body.get("next")
        if self.presence != "available":
            self.offers.clear()
        await self.change()
        await self.presence_answers.wait()
        return JSONResponse({"id": self.agent, "presence": self.presence, "seq": self.seq})

    async def _post_wrap_up(self, _: Request, body: Doc) -> Response:
        if body.get("finish"):
            self.wrap_up = None
        elif self.wrap_up is not None:
            until = datetime.fromisoformat(self.wrap_up["until"]).timestamp() + body["extend_s"]
            self.wrap_up = self.wrap_up | {"until": rfc3339(until)}
        await self.change()
        return JSONResponse(self.work())

    async def _accept(self, request: Request, _: Doc) -> Response:
        offer = self.offers.pop(request.path_params["id"], None)
        if offer is None:
            return _problem(409, "the offer has expired")
        await self.assign(offer["contact"]["id"])
        await self.chat.tell(offer["contact"]["id"], {"state": "assigned", "agent_name": "Ana"})
        return JSONResponse({"id": offer["contact"]["id"], "seq": self.seq})

    async def _reject(self, request: Request, _: Doc) -> Response:
        if request.path_params["id"] not in self.offers:
            return _problem(409, "the offer has expired")
        await self.withdraw(request.path_params["id"])
        return JSONResponse({"seq": self.seq})

    async def _get_messages(self, request: Request) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        contact = request.path_params["id"]
        if contact not in self.transcripts:
            return _problem(404, "there is no such contact")
        return JSONResponse(
            {"contact": contact, "seq": self.seq, "items": self.transcripts[contact], "next_cursor": None}
        )

    async def _reply(self, request: Request, body: Doc) -> Response:
        contact = request.path_params["id"]
        if contact not in self.assignments:
            return _problem(409, "the contact is not yours")
        reply = {
            "direction": "agent",
            "author": self.agent,
            "author_name": "Ana",
            "text": body["text"],
            "status": "queued",
        }
        line = await self._line(contact, reply)
        await self.chat.reply(contact, line)
        return JSONResponse({"id": line["id"], "contact": contact, "status": "queued", "seq": self.seq}, 201)

    async def _get_consult(self, request: Request) -> Response:
        contact = request.path_params["id"]
        if (refused := self._refused(request)) is not None:
            return refused
        if contact not in self.consults:
            return _problem(404, "there is no such contact")
        own = {"agent": self.agent, "role": "consult", "note": self.notes[contact] or None}
        owner = {"agent": self.consults[contact]["owner"], "role": "owner", "note": None}
        return JSONResponse({"contact": contact, "seq": self.seq, "items": [owner, own]})

    async def _start_consult(self, request: Request, body: Doc) -> Response:
        held = self.assignments[request.path_params["id"]]
        held["consulted"] = [*held["consulted"], body["agent"]]
        await self.change()
        return JSONResponse({"id": request.path_params["id"], "seq": self.seq})

    async def _end_consult(self, request: Request, _: Doc) -> Response:
        contact, agent = request.path_params["id"], request.path_params["agent"]
        if agent == self.agent:
            await self.stop_asking(contact)
        else:
            held = self.assignments[contact]
            held["consulted"] = [name for name in held["consulted"] if name != agent]
            await self.change()
        return JSONResponse({"id": contact, "seq": self.seq})

    async def _transfer(self, request: Request, body: Doc) -> Response:
        contact = request.path_params["id"]
        if "to_agent" in body:
            del self.assignments[contact]
        else:
            summary = self.contacts[contact]
            hop = {"from": summary["channel"], "channel": body["to_channel"], "rule": "transfer"}
            summary.update(channel=body["to_channel"], account=body["account"])
            summary["redirects"] = [*summary["redirects"], hop]
            self.assignments[contact]["ways"] = []
        await self.change()
        return JSONResponse({"id": contact, "seq": self.seq})

    async def _complete(self, request: Request, _: Doc) -> Response:
        contact = request.path_params["id"]
        if self.assignments.pop(contact, None) is None:
            return _problem(409, "the contact is not yours")
        self.contacts[contact]["state"] = "completed"
        if self.wrap_up_s:
            self.wrap_up = {"until": rfc3339(time.time() + self.wrap_up_s), "contact": contact}
        await self.change()
        await self.chat.tell(contact, {"state": "completed"})
        return JSONResponse({"id": contact, "seq": self.seq})

    async def _requeue(self, request: Request, _: Doc) -> Response:
        contact = request.path_params["id"]
        self.assignments.pop(contact, None)
        self.contacts[contact]["state"] = "waiting"
        await self.change()
        return JSONResponse({"id": contact, "seq": self.seq})


@asynccontextmanager
async def serving(standin: Standin) -> AsyncIterator[Standin]:
    """The stand-in on a free port of 127.0.0.1."""
    config = uvicorn.Config(
        standin.app(),
        host="127.0.0.1",
        port=0,
        log_level="warning",
        ws="websockets-sansio",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        if task.done():
            await task
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    standin.base_url = f"http://127.0.0.1:{port}"
    try:
        yield standin
    finally:
        await standin.drop_streams()
        server.should_exit = True
        await task


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    body = {"type": "about:blank", "title": "Refused", "status": status, "detail": detail}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def _status() -> Doc:
    def channel(kind: str, account: str, state: str = "healthy", *alternatives: str) -> Doc:
        name = f"{kind}:{account}"
        since = rfc3339(time.time() - 780)
        return {
            "channel": name,
            "kind": kind,
            "account": account,
            "state": state,
            "since": since,
            "alternatives": list(alternatives),
        }

    return {
        "channels": [
            channel("chat", "web"),
            channel("email", "support@wallet.example"),
            channel("telegram", "wallet_bot", "down", "chat:web", "email:support@wallet.example"),
        ],
        "queues": [
            {"queue": "payments", "wait_ranges": {"chat": {"usually_under_s": 60, "nearly_always_under_s": 180}}},
            {"queue": "cards", "wait_ranges": {"email": {"usually_under_s": 5400, "nearly_always_under_s": 5400}}},
            {"queue": "general", "wait_ranges": {}},
        ],
        "notices": [],
        "links": {"chat": "/chat/"},
    }
