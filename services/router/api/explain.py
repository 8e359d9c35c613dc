"""Why this agent: the routing decisions about a contact, and on demand how every agent stood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from services.router.api.access import Call, allow
from services.router.api.answers import json_answer
from services.router.api.contacts import history_of, visible_contact
from services.router.api.problems import CannotExplain, Invalid
from services.router.api.schemas import ExplainOut
from services.router.bystanders import CannotExplain as NotFound
from services.router.explain import explained, only, place_of, policies_that_ruled, waits
from shared.vocabulary import Role

router = APIRouter(tags=["contacts"])

Number = Annotated[int | None, Query(ge=1, description="Only this decision, counted from 1.")]
Agents = Annotated[bool, Query(description="How every agent stood at that decision (the last one), or stands now.")]


@router.get("/v1/contacts/{contact}/explain", responses={200: {"model": ExplainOut}})
async def get_explanation(
    contact: str,
    call: Annotated[Call, allow(Role.SUPERVISOR, Role.OPERATOR)],
    agents: Agents = False,
    decision: Number = None,
) -> Response:
    """Each decision about the contact in order: step, policy, strategy, the best with their scores, who was out,
    and the rules that changed what it asks for in between.

    `agents=true` has the journal folded in another process, one at a time: with `decision` up to that one, else to its
    end while the contact waits, else up to the last decision.
    """
    document = await visible_contact(call, contact)
    events = await history_of(call, contact, document)
    current = await call.views.get(call.workspace, "policy", "current")
    policies = await policies_that_ruled(call.deps.adoptions(call.workspace), call.workspace, current, events)
    partition = call.deps.partition_of(call.workspace)
    told = explained(contact, partition, events, policies)
    try:
        shown = only(told, decision)
    except ValueError as error:
        raise Invalid([{"field": "decision", "detail": str(error)}]) from None
    shown["agents"] = None
    if agents:
        now = decision is None and waits(events)
        shown["agents"] = await _agents(call, partition, contact, shown, now=now)
    return json_answer(shown)


async def _agents(
    call: Call, partition: int, contact: str, shown: Mapping[str, Any], *, now: bool
) -> Mapping[str, Any] | None:
    """How every agent stood at the last decision shown, or stands now; None if there is no such moment."""
    if not now and not shown["decisions"]:
        return None
    if call.deps.bystanders is None:
        raise CannotExplain("this process has no way to read the log beside itself; the command line does it")
    place = None if now else place_of(shown["decisions"][-1]["id"])
    try:
        return await call.deps.bystanders(partition, call.workspace, contact, place)
    except NotFound as error:
        raise CannotExplain(str(error)) from None
