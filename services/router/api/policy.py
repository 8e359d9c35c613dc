"""The policy: the whole of it, read and put."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Response

from services.router.api.access import Call, allow
from services.router.api.answers import NO_STORE, json_answer, public
from services.router.api.bodies import media_type, refuse_other_media
from services.router.api.policy_document import differences, read_policy, write_yaml
from services.router.api.problems import NotFound
from services.router.api.schemas import PendingOut
from shared.contracts.commands import AdoptPolicy
from shared.contracts.opening import with_opening
from shared.vocabulary import Role

router = APIRouter(tags=["policy"])

YAML_TYPES: Final = ("application/yaml", "application/x-yaml", "text/yaml")
CURRENT: Final = "current"


class NoPolicy(NotFound):
    slug, title = "no-policy", "No policy is in force yet"


@router.get("/v1/policy")
async def get_policy(call: Annotated[Call, allow(Role.OPERATOR)]) -> Response:
    """The policy in force, with its version; as bare YAML where that is asked for by `Accept`."""
    document = await call.find("policy", CURRENT, NoPolicy)
    if "yaml" in call.request.headers.get("accept", ""):
        headers = {**NO_STORE, "X-Policy-Version": str(document["version"])}
        return Response(write_yaml(document["policy"]), media_type="application/yaml", headers=headers)
    return json_answer(public(document))


@router.put("/v1/policy", responses={202: {"model": PendingOut}})
async def put_policy(call: Annotated[Call, allow(Role.OPERATOR)], dry_run: bool = False) -> Response:
    """Put a policy in force, whole. With `dry_run` nothing happens, and the answer says what would change."""
    refuse_other_media(call.request, "application/json", *YAML_TYPES)
    body = await call.request.body()
    # A large document takes tens of milliseconds to read and blame: not on the loop that serves everybody.
    policy = await asyncio.to_thread(read_policy, body, media_type(call.request))
    adopted: dict[str, Any] = policy.model_dump(mode="json")
    if dry_run:
        current = await call.views.get(call.workspace, "policy", CURRENT)
        changes = differences(current["policy"] if current is not None else None, adopted)
        return json_answer({"dry_run": True, "version": current["version"] if current else 0, "changes": changes})
    command = AdoptPolicy(policy=with_opening(adopted, call.deps.clock.now_ms()))
    return await call.answered(await call.submit(command), "policy", CURRENT)
