"""What customers may see of a conversation: the `thread` document with its texts; and which replies reached them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, Final

from services.ingest_chat.frames import frame
from services.ingest_chat.session import Session
from shared.clock import Clock
from shared.contracts.commands import Actor
from shared.delivery import report_delivery
from shared.log.port import Content, Inputs, LogUnavailable
from shared.views.port import Views, Watch
from shared.vocabulary import ContactState, Delivery

log = logging.getLogger(__name__)

_SHOWN_AS: Final = {
    ContactState.SCHEDULED: "waiting",
    ContactState.PARKED: "assigned",
    ContactState.DEFLECTED: "completed",
}
_MOST_LINES: Final = 500


class Transcripts:
    """Reads conversations for sockets and polls alike."""

    def __init__(self, views: Views, content: Content) -> None:
        self._views = views
        self._content = content

    def watch(self, session: Session) -> AbstractAsyncContextManager[Watch]:
        return self._views.watch(session.workspace, "thread", session.thread)

    async def document(self, session: Session) -> Mapping[str, Any] | None:
        return await self._views.get(session.workspace, "thread", session.thread)

    async def lines(self, session: Session, document: Mapping[str, Any] | None, *, after: int) -> list[dict[str, Any]]:
        """`message` frames behind `after`, in order. A text that was erased is an empty one."""
        fresh = sorted((m for m in (document or {}).get("messages", ()) if m["seq"] > after), key=lambda m: m["seq"])
        fresh = fresh[-_MOST_LINES:]
        if not fresh:
            return []
        bodies = await self._content.get_many(session.workspace, [m["ref"] for m in fresh])
        return [_line(message, json.loads(bodies.get(message["ref"], b"{}"))) for message in fresh]


def state_of(document: Mapping[str, Any] | None) -> dict[str, Any]:
    """The `state` frame's data: what the page tells the customer about where they stand."""
    if document is None or not document.get("state"):
        return {"state": "none"}
    state = str(document["state"])
    shown: dict[str, Any] = {"state": _SHOWN_AS.get(ContactState(state), state)}
    for field in ("queue", "agent_name", "redirected_to", "wait_range"):
        if document.get(field) is not None:
            shown[field] = document[field]
    return shown


def _line(message: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    data = {
        "id": message["id"],
        "direction": message["direction"],
        "text": body.get("text") or "",
        "at": _time(message),
    }
    if message["direction"] == "agent" and body.get("author_name"):
        data["author"] = body["author_name"]
    own_id = (body.get("native") or {}).get("client_message_id")
    if message["direction"] == "customer" and own_id:
        # So that a page which shows its own message at once can tell that this is the same one.
        data["client_message_id"] = own_id
    return frame("message", data, seq=message["seq"])


def _time(message: Mapping[str, Any]) -> str:
    """Views carry RFC 3339 or milliseconds; the page gets RFC 3339."""
    at = message["at"]
    if isinstance(at, str):
        return at
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Receipts:
    """Tells the router which replies reached the customer. Lost ones are told again when the session comes back."""

    def __init__(self, inputs: Inputs, clock: Clock, partition_of: Callable[[str], int], actor: Actor) -> None:
        self._inputs = inputs
        self._clock = clock
        self._partition_of = partition_of
        self._actor = actor
        self._queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue(10_000)
        self._told: dict[tuple[str, str], None] = {}

    def reached(self, session: Session, document: Mapping[str, Any] | None, *, up_to: int) -> None:
        """Every reply that was still queued and that the customer's page has now."""
        messages: Sequence[Mapping[str, Any]] = (document or {}).get("messages", ())
        for message in messages:
            key = (session.workspace, str(message["id"]))
            waits = message["direction"] == "agent" and message.get("status") == Delivery.QUEUED
            if waits and message["seq"] <= up_to and key not in self._told and not self._queue.full():
                self._told[key] = None
                self._queue.put_nowait(key)

    async def run(self, stopping: asyncio.Event) -> None:
        stop = asyncio.create_task(stopping.wait())
        try:
            while not stopping.is_set():
                take = asyncio.create_task(self._queue.get())
                await asyncio.wait({take, stop}, return_when=asyncio.FIRST_COMPLETED)
                if not take.done():
                    take.cancel()
                    return
                await self._report(*take.result())
        finally:
            stop.cancel()

    async def _report(self, workspace: str, message: str) -> None:
        try:
            await report_delivery(
                self._inputs,
                self._clock,
                self._partition_of,
                workspace,
                message,
                Delivery.DELIVERED,
                "",
                self._actor,
            )
        except LogUnavailable:
            # The document still says `queued`, so the next look at it tells the router.
            self._told.pop((workspace, message), None)
            log.warning("a delivery report is not known to be stored", extra={"message_id": message})
        while len(self._told) > 10_000:
            del self._told[next(iter(self._told))]
