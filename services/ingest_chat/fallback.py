"""The chat without a WebSocket: begin, say, and a long poll. For networks that swallow the upgrade."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel, ValidationError
from starlette.responses import JSONResponse, Response

from services.ingest_chat.conversation import Conversation, Refusal
from services.ingest_chat.frames import LARGEST_FRAME, Profile, SayData, fault
from services.ingest_chat.session import Session
from services.ingest_chat.transcript import state_of
from shared.http_body import BodyTooLarge, read_capped

Model = TypeVar("Model", bound=BaseModel)
_POLL_S = 1.0
"""A hint may be lost, and the process may be closing: look again after this time."""
_MOST_REMEMBERED = 10_000


class Fallback:
    """Serves the three HTTP routes of a chat account."""

    def __init__(self, conversation: Conversation, closing: asyncio.Event) -> None:
        self._conversation = conversation
        self._closing = closing
        self._answered: dict[str, dict[str, Any]] = {}
        """The state that each session was last told: a change between two polls must not wait for a third."""

    def add_to(self, router: APIRouter) -> None:
        router.add_api_route("/chat/{account}/sessions", self.begin, methods=["POST"], include_in_schema=False)
        router.add_api_route("/chat/{account}/messages", self.say, methods=["POST"], include_in_schema=False)
        router.add_api_route("/chat/{account}/messages", self.poll, methods=["GET"], include_in_schema=False)
        for path in ("/chat/{account}/sessions", "/chat/{account}/messages"):
            router.add_api_route(path, self.preflight, methods=["OPTIONS"], include_in_schema=False)

    async def begin(self, request: Request, account: str) -> Response:
        return await self._answer(request, account, self._begin)

    async def say(self, request: Request, account: str) -> Response:
        return await self._answer(request, account, self._say)

    async def poll(self, request: Request, account: str) -> Response:
        return await self._answer(request, account, self._poll)

    async def preflight(self, request: Request, account: str) -> Response:
        if not self._conversation.welcomes(request.headers.get("origin"), request.headers.get("host")):
            return _problem(Refusal(403, "origin", "this page may not embed the chat"))
        return Response(status_code=204, headers=_cross_origin(request))

    async def _answer(
        self, request: Request, account: str, act: Callable[[Request, str, str], Awaitable[dict[str, Any]]]
    ) -> Response:
        headers: Mapping[str, str] = {}
        try:
            workspace = self._conversation.workspace_of(account)
            if workspace is None:
                raise Refusal(404, "not_found", "there is no such chat")
            if not self._conversation.welcomes(request.headers.get("origin"), request.headers.get("host")):
                raise Refusal(403, "origin", "this page may not embed the chat")
            headers = _cross_origin(request)
            return JSONResponse(await act(request, account, workspace), headers=dict(headers))
        except Refusal as refusal:
            return _problem(refusal, headers)

    async def _begin(self, request: Request, account: str, workspace: str) -> dict[str, Any]:
        profile = await _read(request, Profile)
        address = request.client.host if request.client else ""
        session = self._conversation.begin(account, workspace, address, profile)
        return {"token": self._conversation.tokens.issue(session), "session": session.id}

    async def _say(self, request: Request, account: str, workspace: str) -> dict[str, Any]:
        session = self._session(request, account, workspace)
        said = await _read(request, SayData)
        with self._conversation.departures.present(session):
            receipt = await self._conversation.say(session, said)
        return {"id": receipt.command_id}

    async def _poll(self, request: Request, account: str, workspace: str) -> dict[str, Any]:
        """Lines behind `after`. Without `wait` at once; with it, as soon as there is a line or the state changes."""
        session = self._session(request, account, workspace)
        after = _whole(request, "after", 0)
        wait_s = min(float(_whole(request, "wait", 0)), self._conversation.settings.longest_wait_s)
        transcripts = self._conversation.transcripts
        deadline = asyncio.get_running_loop().time() + wait_s
        with self._conversation.departures.present(session):
            async with transcripts.watch(session) as hints:
                document = await transcripts.document(session)
                # What the page says it has, it has: only now are those replies known to have arrived.
                self._conversation.receipts.reached(session, document, up_to=after)
                told = self._answered.get(session.id)
                while True:
                    lines = await transcripts.lines(session, document, after=after)
                    left = deadline - asyncio.get_running_loop().time()
                    state = state_of(document)
                    if lines or state != told or left <= 0 or self._closing.is_set():
                        self._remember(session.id, state)
                        return {"messages": lines, "state": state}
                    await hints.wait(min(left, _POLL_S))
                    document = await transcripts.document(session)

    def _remember(self, session: str, state: dict[str, Any]) -> None:
        self._answered.pop(session, None)
        self._answered[session] = state
        while len(self._answered) > _MOST_REMEMBERED:
            del self._answered[next(iter(self._answered))]

    def _session(self, request: Request, account: str, workspace: str) -> Session:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        session = self._conversation.tokens.read(token.strip(), account, workspace)
        if scheme.lower() != "bearer" or session is None:
            raise Refusal(401, "session", "begin a session first, and send its token")
        return session


async def _read(request: Request, model: type[Model]) -> Model:
    try:
        return model.model_validate_json(await read_capped(request, LARGEST_FRAME) or b"{}")
    except BodyTooLarge:
        raise Refusal(413, "too_large", f"at most {LARGEST_FRAME} bytes") from None
    except ValidationError as error:
        raise Refusal(422, "invalid", fault(error)) from None


def _whole(request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name, "")
    if not value:
        return default
    if not (value.isascii() and value.isdigit() and len(value) <= 15):
        raise Refusal(422, "invalid", f"{name}: must be a whole number")
    return int(value)


def _cross_origin(request: Request) -> dict[str, str]:
    """Another page's script may read the answer; only pages that were welcomed come this far."""
    origin = request.headers.get("origin")
    if origin is None:
        return {"Cache-Control": "no-store"}
    return {
        "Cache-Control": "no-store",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Headers": "authorization, content-type",
        "Access-Control-Allow-Methods": "GET, POST",
        "Vary": "Origin",
    }


def _problem(refusal: Refusal, headers: Mapping[str, str] | None = None) -> Response:
    extra = {"Retry-After": str(max(1, math.ceil(refusal.retry_after_s)))} if refusal.retry_after_s else {}
    return JSONResponse(
        {
            "type": f"/problems/chat-{refusal.code}",
            "title": HTTPStatus(refusal.status).phrase,
            "status": refusal.status,
            "detail": refusal.detail,
        },
        status_code=refusal.status,
        headers={**(headers or {}), **extra},
        media_type="application/problem+json",
    )
