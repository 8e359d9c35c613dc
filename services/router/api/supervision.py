"""What supervisors do by hand, and agents with what they hold: assign, transfer, park, re-order, reopen, limit."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response

from services.router.api.access import Call, allow
from services.router.api.answers import json_answer
from services.router.api.bodies import json_body
from services.router.api.contacts import ANSWERS, change, first_account
from services.router.api.schemas import AgeIn, AssignIn, LimitIn, PendingOut, PriorityIn, TransferIn
from shared.contracts.commands import (
    AdjustAge,
    AssignContact,
    PrioritiseContact,
    ReopenContact,
    SetContactActive,
    SetLimit,
    TransferContact,
)
from shared.vocabulary import AgentId, ContactId, Role

router = APIRouter(tags=["supervision"])


@router.post("/v1/contacts/{contact}/assign", responses=ANSWERS)
async def assign(
    contact: str, call: Annotated[Call, allow(Role.SUPERVISOR)], body: Annotated[AssignIn, json_body(AssignIn)]
) -> Response:
    """Give a contact to an agent, whatever limits and presences say. The reason is recorded."""
    command = AssignContact(contact=ContactId(contact), agent=AgentId(body.agent), reason=body.reason)
    return await change(call, contact, command)


@router.post("/v1/contacts/{contact}/transfer", responses=ANSWERS)
async def transfer(
    contact: str,
    call: Annotated[Call, allow(Role.AGENT, Role.SUPERVISOR)],
    body: Annotated[TransferIn, json_body(TransferIn)],
) -> Response:
    """Hand an assigned contact on: to a queue, to an agent who has room for it, or to another channel, where its agent
    goes on with it. That needs a verified address with consent and room for a contact of that kind; a refusal changes
    nothing."""
    account = body.account
    if body.to_channel is not None and account is None:
        account = await first_account(call, body.to_channel)
    command = TransferContact(
        contact=ContactId(contact),
        queue=body.to_queue,
        agent=AgentId(body.to_agent) if body.to_agent is not None else None,
        channel=body.to_channel,
        account=account,
        exclude_self=body.exclude_self,
        keep_age=body.keep_age,
        reason=body.reason,
    )
    return await change(call, contact, command)


@router.post("/v1/contacts/{contact}/park", responses=ANSWERS)
async def park(contact: str, call: Annotated[Call, allow(Role.AGENT, Role.SUPERVISOR)]) -> Response:
    """The customer is silent: the contact stays assigned and takes no capacity but the profile's `parked`."""
    return await change(call, contact, SetContactActive(contact=ContactId(contact), active=False))


@router.post("/v1/contacts/{contact}/resume", responses=ANSWERS)
async def resume(contact: str, call: Annotated[Call, allow(Role.AGENT, Role.SUPERVISOR)]) -> Response:
    """The customer is back: the contact takes its whole capacity again, whether or not there is room."""
    return await change(call, contact, SetContactActive(contact=ContactId(contact), active=True))


@router.post("/v1/contacts/{contact}/priority", responses=ANSWERS)
async def prioritise(
    contact: str, call: Annotated[Call, allow(Role.SUPERVISOR)], body: Annotated[PriorityIn, json_body(PriorityIn)]
) -> Response:
    """Another priority for an open contact, at once."""
    return await change(call, contact, PrioritiseContact(contact=ContactId(contact), priority=body.priority))


@router.post("/v1/contacts/{contact}/age", responses=ANSWERS)
async def adjust_age(
    contact: str, call: Annotated[Call, allow(Role.SUPERVISOR)], body: Annotated[AgeIn, json_body(AgeIn)]
) -> Response:
    """Count a waiting contact as older (or younger) than it is."""
    return await change(call, contact, AdjustAge(contact=ContactId(contact), add=body.add_s * 1000))


@router.post("/v1/contacts/{contact}/reopen", responses=ANSWERS)
async def reopen(contact: str, call: Annotated[Call, allow(Role.AGENT, Role.SUPERVISOR)]) -> Response:
    """An ended contact waits in its queue again, with its age counted from now."""
    return await change(call, contact, ReopenContact(contact=ContactId(contact)))


@router.put("/v1/limits", responses={202: {"model": PendingOut}})
async def set_limit(
    call: Annotated[Call, allow(Role.SUPERVISOR)], body: Annotated[LimitIn, json_body(LimitIn)]
) -> Response:
    """Limit the open contacts of an agent, of a queue for each agent, or of every agent without a limit of their own.
    Whoever is above it keeps what they hold; 0 lets nothing new come, null takes it away. It ends when a policy says
    something new about the same limit."""
    agent = AgentId(body.agent) if body.agent is not None else None
    answer = await call.submit(SetLimit(most=body.max, agent=agent, queue=body.queue))
    return json_answer({"agent": body.agent, "queue": body.queue, "max": body.max, "seq": answer.seq})
