"""What became of a command whose answer was lost or late, and how the replicas stand."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response

from services.router.api.access import Call, allow
from services.router.api.answers import json_answer
from services.router.api.gateway import Pending
from services.router.api.problems import UnknownCommand
from services.router.release import differences
from shared.vocabulary import Role

router = APIRouter(tags=["commands"])


@router.get("/v1/commands/{command}")
async def get_command(command: str, call: Annotated[Call, allow(*Role)]) -> Response:
    """`pending`, `done` or `refused`, for whoever gave the command."""
    result = await call.runtime.gateway.result(call.workspace, call.caller.actor, command)
    if result is None:
        raise UnknownCommand()
    if isinstance(result, Pending):
        return json_answer({"command_id": command, "state": "pending"})
    refused = result.refused
    return json_answer(
        {
            "command_id": command,
            "state": "done" if refused is None else "refused",
            "seq": result.seq,
            "subject": result.subject,
            "refused": refused,
        }
    )


@router.get("/v1/replicas")
async def list_replicas(call: Annotated[Call, allow(Role.OPERATOR)]) -> Response:
    """Which replica leads, what each is made of, and whether all of them agree: equal `seq`, equal `state_hash`,
    nothing in `differs_in`."""
    told = await call.deps.replicas()
    differ = differences(told)
    return json_answer([{**each, "differs_in": differ[each["partition"]]} for each in told])
