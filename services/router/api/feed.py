"""The workspace's public events as a stream, for adapters that have no Kafka: CloudEvents, gap-free by `sequence`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response

from services.router.api.access import Call, allow
from services.router.api.answers import public
from services.router.api.streams import EVENT_STREAM, HEARTBEAT, NDJSON, REAUTH, EventStream, Until, bye, frame
from shared.log.codec import encode
from shared.times import rfc3339
from shared.vocabulary import Role

router = APIRouter(tags=["feed"])

_SECRET: Final = frozenset({"key_hash"})


@router.get("/v1/events", response_class=Response, responses={200: {"content": {EVENT_STREAM: {}, NDJSON: {}}}})
async def follow_events(
    call: Annotated[Call, allow(Role.ADAPTER, Role.OPERATOR)],
    after: Annotated[str | None, Query(pattern=r"^\d{1,9}:\d{1,18}:\d{1,9}$")] = None,
) -> Response:
    """Every event behind `after` (or `Last-Event-ID`), then those to come; from now on if neither is given.

    Server-sent events where `Accept` asks for them, else one JSON object a line; an empty line is a heartbeat. An
    event `gone` means that `after` is no longer known: begin anew.
    """
    as_sse = EVENT_STREAM in call.request.headers.get("accept", "")
    after = after or call.request.headers.get("last-event-id")
    leave = call.runtime.streams.enter(f"{call.workspace} {call.caller.role} {call.caller.id}")
    return EventStream(
        _chunks(call, after, as_sse),
        media_type=EVENT_STREAM if as_sse else NDJSON,
        send_s=call.deps.limits.send_s,
        leave=leave,
    )


async def _chunks(call: Call, after: str | None, as_sse: bool) -> AsyncGenerator[bytes, None]:
    deps = call.deps
    beat = HEARTBEAT if as_sse else b"\n"
    source = deps.feed(call.workspace, after)
    following: asyncio.Future[Mapping[str, Any] | None] | None = None
    async with Until(deps.stopping) as until:
        try:
            yield beat
            while not until.over:
                if not await call.runtime.auth.still_valid(call.caller, deps.clock.now_ms() / 1000):
                    if as_sse:
                        yield REAUTH
                    return
                following = following or asyncio.ensure_future(_next(source))
                # Shielded: a heartbeat must not cost the event that is under way.
                await until.first(asyncio.shield(following), _step_s(call))
                if not following.done():
                    if not until.over:
                        yield beat
                    continue
                facts, following = following.result(), None
                if facts is None:
                    if as_sse:
                        yield frame("gone", {"after": after})
                    return
                event = _cloud_event(call.workspace, facts)
                yield frame(event["type"], event, id=event["id"]) if as_sse else encode(event) + b"\n"
            if as_sse:
                yield bye()
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()


async def _next(source: AsyncIterator[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The next event; None if the feed cannot go on from where it was asked to."""
    try:
        return await anext(source)
    except (LookupError, StopAsyncIteration):
        return None


def _step_s(call: Call) -> float:
    expires_at = call.caller.expires_at
    beat = call.deps.limits.heartbeat_s
    return beat if expires_at is None else max(0.0, min(beat, expires_at - call.deps.clock.now_ms() / 1000))


def _cloud_event(workspace: str, event: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event["id"],
        "source": f"/v1/workspaces/{workspace}",
        "type": event["type"],
        "subject": event.get("subject"),
        "time": rfc3339(event["at"]),
        "sequence": event["sequence"],
        "datacontenttype": "application/json",
        "data": {key: value for key, value in public(event["data"]).items() if key not in _SECRET},
    }
