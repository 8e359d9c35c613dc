"""An agent's work, pulled by long poll or followed as a stream. Both hold the agent's lease while they are open."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response

from services.router.api.access import Call, allow
from services.router.api.answers import json_answer, public
from services.router.api.problems import UnknownAgent
from services.router.api.schemas import WorkOut
from services.router.api.streams import EVENT_STREAM, HEARTBEAT, REAUTH, EventStream, Until, bye, frame
from shared.views.port import ViewsUnavailable
from shared.vocabulary import Role

router = APIRouter(tags=["work"])

_RECHECK_S: Final = 5.0
"""Hints may be lost: nobody's work is older than this."""


@router.get("/v1/agents/{agent}/work", responses={200: {"model": WorkOut}})
async def get_work(
    agent: str,
    call: Annotated[Call, allow(Role.AGENT)],
    wait: Annotated[float, Query(ge=0, le=25)] = 0.0,
    after: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
) -> Response:
    """Offers and assignments now. With `after`, waits up to `wait` seconds for a change after that `seq`."""
    own = call.as_agent(agent)
    if after is None or wait == 0:
        return json_answer(public(await call.find("work", own, UnknownAgent)))
    with call.deps.leases.hold(call.workspace, own):
        return await _poll(call, own, after, wait)


@router.get("/v1/agents/{agent}/events", response_class=Response, responses={200: {"content": {EVENT_STREAM: {}}}})
async def follow_work(agent: str, call: Annotated[Call, allow(Role.AGENT)]) -> Response:
    """The same as server-sent events: `work` with the whole document at every change.

    `reset` comes first unless `Last-Event-ID` is current: forget what you knew. `service` tells when the log stops
    taking what is said (`{"saves": false}`) and when it does again. `bye` ends the stream when the service stops (come
    back after `retry`), `reauth` when the credential ran out.
    """
    own = call.as_agent(agent)
    await call.find("work", own, UnknownAgent)
    leave = call.runtime.streams.enter(f"{call.workspace} {own}")
    last_id = call.request.headers.get("last-event-id")
    return EventStream(
        _events(call, own, last_id), media_type=EVENT_STREAM, send_s=call.deps.limits.send_s, leave=leave
    )


async def _poll(call: Call, agent: str, after: int, wait_s: float) -> Response:
    clock = call.deps.clock
    deadline = clock.monotonic() + wait_s
    async with call.views.watch(call.workspace, "work", agent) as watch, Until(call.deps.stopping) as until:
        while True:
            document = await call.find("work", agent, UnknownAgent)
            left = deadline - clock.monotonic()
            # A document that went back (the views were lost and rebuilt) is news as well.
            if document["seq"] != after or left <= 0 or until.over or await call.request.is_disconnected():
                return json_answer(public(document))
            step = min(left, _RECHECK_S)
            await until.first(watch.wait(step), step)


async def _events(call: Call, agent: str, last_id: str | None) -> AsyncGenerator[bytes, None]:
    """Sends the newest document whenever it differs from the one sent last: a slow reader skips, nothing piles up."""
    deps, caller, workspace = call.deps, call.caller, call.workspace
    partition = deps.partition_of(workspace)
    sent: str | None = last_id
    beat_at = deps.clock.monotonic()
    saves = True
    with deps.leases.hold(workspace, agent):
        async with call.views.watch(workspace, "work", agent) as watch, Until(deps.stopping) as until:
            first = True
            while not until.over:
                if not await call.runtime.auth.still_valid(caller, deps.clock.now_ms() / 1000):
                    yield REAUTH
                    return
                if (deps.saves() is True) != saves:
                    saves = not saves
                    yield frame("service", {"saves": saves})
                try:
                    document = await call.views.get(workspace, "work", agent)
                    if document is None and not await call.views_are_empty():
                        break
                except ViewsUnavailable:
                    document = None
                if document is None:
                    # The views are away, or were lost and are being written again; both end, and that is a change.
                    if deps.clock.monotonic() - beat_at >= deps.limits.heartbeat_s:
                        yield HEARTBEAT
                        beat_at = deps.clock.monotonic()
                    await until.first(watch.wait(1.0), 1.0)
                    continue
                id = f"{partition}:{document['seq']}:0"
                now = deps.clock.monotonic()
                if id != sent:
                    work = public(document)
                    chunk = frame("work", work, id=id)
                    yield frame("reset", work) + chunk if first else chunk
                    sent, beat_at = id, now
                elif first or now - beat_at >= deps.limits.heartbeat_s:
                    # The first one tells a desk with a current id that the stream is open.
                    yield HEARTBEAT
                    beat_at = now
                first = False
                step = min(_RECHECK_S, max(0.0, beat_at + deps.limits.heartbeat_s - now))
                if caller.expires_at is not None:
                    step = min(step, max(0.0, caller.expires_at - deps.clock.now_ms() / 1000))
                await until.first(watch.wait(step), step)
            yield bye()
