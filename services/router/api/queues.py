"""Queues as supervisors see them, and what the public may know of a workspace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Response

from services.router.api.access import Call, Runtime, allow, everybody
from services.router.api.answers import json_answer, page, public
from services.router.api.contacts import Cursor, Limit
from services.router.api.problems import UnknownQueue, UnknownWorkspace
from services.router.api.schemas import PageOut, PendingOut
from shared.contracts.commands import FreezeQueue
from shared.times import rfc3339
from shared.vocabulary import Role

router = APIRouter(tags=["queues"])


@router.get("/v1/queues", responses={200: {"model": PageOut}})
async def list_queues(
    call: Annotated[Call, allow(Role.SUPERVISOR)], cursor: Cursor = "", limit: Limit = 100
) -> Response:
    """Every queue: waiting, oldest, offered, assigned, staffed, available, and how long it takes by kind of channel."""
    return page(await call.views.list(call.workspace, "queue", after=cursor, limit=limit), limit=limit, id_of="name")


@router.get("/v1/queues/{queue}")
async def get_queue(queue: str, call: Annotated[Call, allow(Role.SUPERVISOR)]) -> Response:
    """One queue now."""
    return json_answer(public(await call.find("queue", queue, UnknownQueue)))


@router.post("/v1/queues/{queue}/freeze", responses={202: {"model": PendingOut}})
async def freeze(queue: str, call: Annotated[Call, allow(Role.SUPERVISOR, Role.OPERATOR)]) -> Response:
    """Offer nothing of this queue until it is unfrozen. What is offered and assigned stays."""
    return await call.answered(await call.submit(FreezeQueue(queue=queue, frozen=True)), "queue", queue)


@router.post("/v1/queues/{queue}/unfreeze", responses={202: {"model": PendingOut}})
async def unfreeze(queue: str, call: Annotated[Call, allow(Role.SUPERVISOR, Role.OPERATOR)]) -> Response:
    """Offer again; who waits is routed at once, with their age and place."""
    return await call.answered(await call.submit(FreezeQueue(queue=queue, frozen=False)), "queue", queue)


@router.get("/v1/status/{workspace}")
async def get_status(workspace: str, api: Annotated[Runtime, everybody()]) -> Response:
    """What customers may know: which channels work, what else reaches us, how long it takes. Needs no credential."""
    views = api.deps.views
    if await views.get(workspace, "workspace", "self") is None:
        raise UnknownWorkspace()
    policy: Mapping[str, Any] = (await views.get(workspace, "policy", "current") or {}).get("policy") or {}
    channels = await views.list(workspace, "channel", limit=200)
    queues = await views.list(workspace, "queue", limit=500)
    return json_answer(
        {
            "workspace": workspace,
            "at": rfc3339(api.deps.clock.now_ms()),
            "channels": [_channel(channel, policy) for channel in channels],
            "queues": [{"queue": queue["name"], "wait_ranges": _known(queue)} for queue in queues],
            "notices": [],
        }
    )


def _known(queue: Mapping[str, Any]) -> dict[str, Any]:
    """The wait ranges that hold; of the others nothing is said."""
    return {kind: said for kind, said in queue.get("wait_ranges", {}).items() if said is not None}


def _channel(channel: Mapping[str, Any], policy: Mapping[str, Any]) -> dict[str, Any]:
    """No evidence: that is for operators."""
    known = {f"{each['kind']}:{each['account']}": each for each in policy.get("channels", ())}
    fallback = known.get(channel["channel"], {}).get("fallback", ())
    return {
        "channel": channel["channel"],
        "kind": channel["kind"],
        "account": channel["account"],
        "state": channel["state"],
        "since": channel.get("since"),
        "alternatives": [f"{step['channel']}:{step['account']}" for step in fallback],
    }
