"""The policies that a workspace has had, and back to one of them."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response
from pydantic import ValidationError

from services.router.adoptions import Adoptions
from services.router.api.access import Call, allow
from services.router.api.answers import json_answer
from services.router.api.problems import InvalidPolicy, NotFound, field_errors
from services.router.api.schemas import PendingOut
from shared.contracts.commands import AdoptPolicy
from shared.contracts.opening import with_opening, without_opening
from shared.contracts.policy import Policy
from shared.times import rfc3339
from shared.vocabulary import Role

router = APIRouter(tags=["policy"])

CURRENT: Final = "current"
Version = Annotated[int, Path(ge=1, le=1 << 53)]
Before = Annotated[int | None, Query(alias="cursor", ge=1, description="Only versions below this one.")]
Limit = Annotated[int, Query(ge=1, le=500)]


class UnknownPolicyVersion(NotFound):
    slug, title = "unknown-policy-version", "There is no such version of the policy"


@router.get("/v1/policy/versions")
async def list_versions(
    call: Annotated[Call, allow(Role.OPERATOR)], cursor: Before = None, limit: Limit = 100
) -> Response:
    """Every adoption that the journal knows of, the newest first: version, when, by whom, and the journal's number.
    `journal_begins` is more than 1 where the journal was trimmed: what was adopted before that entry is not listed."""
    found = [each for each in await _adoptions(call).of(call.workspace) if cursor is None or each.version < cursor]
    items = [
        {"version": each.version, "at": rfc3339(each.at), "by": each.by, "seq": each.seq} for each in found[:limit]
    ]
    more = str(found[limit - 1].version) if len(found) > limit else None
    return json_answer({"items": items, "next_cursor": more, "journal_begins": await _adoptions(call).begins()})


@router.get("/v1/policy/versions/{version}")
async def get_version(version: Version, call: Annotated[Call, allow(Role.OPERATOR)]) -> Response:
    """The policy of one version, as it was written."""
    return json_answer({"version": version, "policy": await _document(call, version)})


@router.post("/v1/policy/versions/{version}/adopt", responses={202: {"model": PendingOut}})
async def adopt_version(version: Version, call: Annotated[Call, allow(Role.OPERATOR)]) -> Response:
    """Put an earlier policy in force again. It becomes a new version, and is checked like any other: what this
    release or the open contacts do not allow is refused."""
    try:
        policy = Policy.model_validate(await _document(call, version))
    except ValidationError as error:
        raise InvalidPolicy(field_errors(error.errors(include_url=False, include_input=False))) from None
    adopted: dict[str, Any] = policy.model_dump(mode="json")
    command = AdoptPolicy(policy=with_opening(adopted, call.deps.clock.now_ms()))
    return await call.answered(await call.submit(command), "policy", CURRENT)


async def _document(call: Call, version: int) -> dict[str, Any]:
    document = await _adoptions(call).policy(call.workspace, version)
    if document is None:
        raise UnknownPolicyVersion(
            f"the journal, which begins at entry {await _adoptions(call).begins()}, knows no version {version}"
        )
    return without_opening(document)


def _adoptions(call: Call) -> Adoptions:
    return call.deps.adoptions(call.workspace)
