"""Messages in from adapters, and what adapters report about replies and attempts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response

from services.router.api.access import Call, allow
from services.router.api.answers import json_answer
from services.router.api.bodies import json_body
from services.router.api.gateway import Answer
from services.router.api.problems import TooManyMessages
from services.router.api.schemas import DeliveryIn, PendingOut, ReceivedOut
from shared.contracts.commands import ReportDelivery
from shared.contracts.message import InboundMessage
from shared.ids import message_command_id
from shared.quotas import OverQuota, source_of
from shared.vocabulary import MessageId, Role

router = APIRouter(tags=["messages"])


@router.post("/v1/messages", responses={201: {"model": ReceivedOut}, 202: {"model": PendingOut}})
async def receive_message(
    call: Annotated[Call, allow(Role.ADAPTER)], message: Annotated[InboundMessage, json_body(InboundMessage)]
) -> Response:
    """Receive a customer's message. The same `source_key` again is the same message: `200`, same contact."""
    return await _received(call, await _receive(call, message))


@router.post("/v1/messages/{message}/status")
async def report_delivery(
    message: str, call: Annotated[Call, allow(Role.ADAPTER)], body: Annotated[DeliveryIn, json_body(DeliveryIn)]
) -> Response:
    """Tell how far a reply, or an attempt of an outbound message, got on its way to the customer."""
    command = ReportDelivery(message=MessageId(message), status=body.status, detail=body.detail)
    answer = await call.submit(command)
    return json_answer({"id": message, "status": body.status, "seq": answer.seq})


async def _receive(call: Call, message: InboundMessage) -> Answer:
    """Through the one intake. The source key is the idempotency key here: no digest, a second delivery may differ."""
    actor = call.caller.actor
    if call.deps.quotas is not None:
        try:
            call.deps.quotas.take(source_of(call.workspace, message))
        except OverQuota as over:
            raise TooManyMessages(str(over), headers={"Retry-After": over.retry_after}, scope=over.scope) from None

    async def make_durable() -> None:
        await call.deps.intake.accept(call.workspace, message, actor=actor)

    command_id = message_command_id(call.workspace, message.source_key)
    answer = await call.runtime.gateway.decided(call.workspace, actor, command_id, make_durable, wait_s=call.wait_s)
    return await call.agreed(answer)


async def _received(call: Call, answer: Answer) -> Response:
    if answer.subject is None:
        ignored = answer.note.removeprefix("ignored:") or "ignored"
        return json_answer({"contact_id": None, "ignored": ignored, "seq": answer.seq})
    contact = await call.views.get(call.workspace, "contact", answer.subject)
    body = {"contact_id": answer.subject, "state": contact["state"] if contact else None, "seq": answer.seq}
    if answer.duplicate:
        body["duplicate"] = True
    return json_answer(body, 200 if answer.duplicate else 201)
