"""API keys: made, listed, revoked. A key is shown once; what is recorded is its hash."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response

from services.router.api.access import Call, allow
from services.router.api.answers import json_answer
from services.router.api.auth import new_key
from services.router.api.bodies import json_body
from services.router.api.contacts import Cursor, Limit
from services.router.api.problems import UnknownKey
from services.router.api.schemas import KeyIn, PageOut, PendingOut
from shared.contracts.commands import CreateKey, RevokeKey
from shared.vocabulary import AgentId, Role

router = APIRouter(tags=["keys"])


@router.post("/v1/keys", responses={202: {"model": PendingOut}})
async def create_key(call: Annotated[Call, allow(Role.OPERATOR)], body: Annotated[KeyIn, json_body(KeyIn)]) -> Response:
    """Make a key. A repeat under the same Idempotency-Key cannot show it again: delete it and make another."""
    command_id = call.command_id()
    # Derived, so that a repeat names the same key.
    key = new_key(call.workspace, command_id[-12:])
    command = CreateKey(
        key_id=key.key_id,
        key_hash=key.key_hash,
        role=body.role,
        agent=AgentId(body.agent) if body.agent is not None else None,
        label=body.label,
    )
    answer = await call.submit(command, command_id=command_id)
    made = {"key_id": key.key_id, "role": body.role, "agent": body.agent, "label": body.label, "seq": answer.seq}
    if answer.duplicate:
        return json_answer({**made, "key": None, "duplicate": True})
    return json_answer({**made, "key": key.token}, 201)


@router.get("/v1/keys", responses={200: {"model": PageOut}})
async def list_keys(call: Annotated[Call, allow(Role.OPERATOR)], cursor: Cursor = "", limit: Limit = 100) -> Response:
    """The keys there are, without their hashes."""
    found = await call.views.list(call.workspace, "key", after=cursor, limit=limit)
    shown = [{name: key.get(name) for name in ("key_id", "role", "agent", "label", "seq")} for key in found]
    return json_answer({"items": shown, "next_cursor": shown[-1]["key_id"] if len(shown) == limit else None})


@router.delete("/v1/keys/{key}", responses={202: {"model": PendingOut}})
async def revoke_key(key: str, call: Annotated[Call, allow(Role.OPERATOR)]) -> Response:
    """Shut a key out, at once; its open streams end."""
    command_id = call.command_id()
    if not await call.is_repeat(command_id):
        await call.find("key", key, UnknownKey)
    answer = await call.submit(RevokeKey(key_id=key), command_id=command_id)
    return json_answer({"key_id": key, "revoked": True, "seq": answer.seq})
