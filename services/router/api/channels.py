"""Channels: what is known of their health, and who reports it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response

from services.router.api.access import Call, allow
from services.router.api.answers import page
from services.router.api.bodies import json_body
from services.router.api.contacts import Cursor, Limit
from services.router.api.problems import UnknownChannel
from services.router.api.schemas import HealthIn, PageOut, PendingOut
from shared.contracts.commands import ReportChannelHealth
from shared.vocabulary import Role

router = APIRouter(tags=["channels"])


@router.get("/v1/channels", responses={200: {"model": PageOut}})
async def list_channels(
    call: Annotated[Call, allow(Role.OPERATOR, Role.ADAPTER)], cursor: Cursor = "", limit: Limit = 100
) -> Response:
    """Every channel with its state, the evidence for it, and since when."""
    return page(
        await call.views.list(call.workspace, "channel", after=cursor, limit=limit), limit=limit, id_of="channel"
    )


@router.put("/v1/channels/{channel}/health", responses={202: {"model": PendingOut}})
async def report_health(
    channel: str,
    call: Annotated[Call, allow(Role.OPERATOR, Role.ADAPTER)],
    body: Annotated[HealthIn, json_body(HealthIn)],
) -> Response:
    """Report what is known of a channel (`kind:account`). Only `down` moves contacts elsewhere."""
    known = await call.find("channel", channel, UnknownChannel)
    command = ReportChannelHealth(
        channel=known["kind"], account=known["account"], state=body.state, evidence=body.evidence
    )
    return await call.answered(await call.submit(command), "channel", channel)
