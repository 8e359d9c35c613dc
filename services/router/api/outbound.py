"""Outbound messages: reach a customer by the first way that works, and what became of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import AfterValidator, BaseModel, Field

from services.router.api.access import Call, allow
from services.router.api.answers import json_answer, public
from services.router.api.bodies import json_body
from services.router.api.contacts import first_account, owner_of
from services.router.api.problems import UnknownOutbound
from services.router.api.schemas import PendingOut, example
from shared.contracts.commands import DeliveryStep, SendOutbound
from shared.contracts.message import Key, Line, Name, Strict, Text
from shared.contracts.queue_policy import KindName
from shared.ids import address_key, address_ref, content_ref
from shared.intake import normal_address
from shared.log.codec import encode
from shared.vocabulary import AddressKey, ContactId, Delivery, Role

router = APIRouter(tags=["outbound"])

Seconds = Annotated[int, Field(ge=1, le=7 * 86_400)]


class DeliveryStepIn(Strict):
    """One way to the customer."""

    channel: KindName
    account: Name | None = Field(None, description="The workspace's first account of this kind if absent.")
    address: Key | None = Field(
        None, description="Native form. If absent: the contact's, which must be verified and have consent."
    )
    until: Literal[Delivery.DELIVERED, Delivery.READ] = Field(
        Delivery.DELIVERED, description="What has to be reported. What is read has been delivered."
    )
    within_s: Seconds | None = Field(
        None,
        description="Then the next step is tried: counted from the attempt, and anew from the channel's acceptance.",
    )


def _at_least_one(route: tuple[DeliveryStepIn, ...]) -> tuple[DeliveryStepIn, ...]:
    # By `min_length` a faulty step would be told twice, the second time as a route that is too short.
    if not route:
        raise ValueError("needs at least one step")
    return route


class OutboundIn(Strict):
    """A message to a customer, with the ways to try, in order."""

    model_config = example(
        {
            "source_key": "shop:parcel:4711:sent",
            "text": "Your parcel is on its way.",
            "route": [
                {"channel": "telegram", "address": "100200", "until": "read", "within_s": 120},
                {"channel": "email", "address": "jane@example.org"},
            ],
            "deadline_s": 3600,
        }
    )

    source_key: Key = Field(description="The same again is the same message.")
    contact_id: Key | None = Field(None, description="Whose customer it goes to; an answer of theirs ends it.")
    text: Annotated[Text, Field(min_length=1)]
    subject: Line | None = Field(None, description="For mail.")
    route: Annotated[tuple[DeliveryStepIn, ...], AfterValidator(_at_least_one)] = Field(
        max_length=16, description="Each channel at most once, and at least one."
    )
    deadline_s: Seconds | None = Field(None, description="A week if absent.")


class OutboundStartedOut(BaseModel):
    """A message that set out."""

    outbound_id: str
    state: str
    seq: int
    duplicate: bool = False


class AttemptOut(BaseModel):
    """One step that was tried. `id` is null where the channel was down, so that nothing was sent."""

    id: str | None
    step: int
    channel: str
    until: str
    status: str
    at: str
    status_at: str
    given_up: str | None
    duplicate_delivered: bool


class OutboundOut(BaseModel):
    """What became of an outbound message so far."""

    id: str
    source_key: str
    contact_id: str | None
    state: str
    reason: str | None
    created_at: str
    deadline: str
    ended_at: str | None
    attempts: list[AttemptOut]
    skipped: list[dict[str, str | int]]
    seq: int


@router.post("/v1/outbound", responses={201: {"model": OutboundStartedOut}, 202: {"model": PendingOut}})
async def send_outbound(
    call: Annotated[Call, allow(Role.ADAPTER, Role.SUPERVISOR, Role.OPERATOR)],
    body: Annotated[OutboundIn, json_body(OutboundIn)],
) -> Response:
    """Reach a customer by the first way of a route that works. The same `source_key` again is the same message."""
    command_id = call.command_id()
    answer = await call.submit(await _command(call, body, command_id), command_id=command_id)
    document = await call.views.get(call.workspace, "outbound", answer.subject or "")
    started = {"outbound_id": answer.subject, "state": document["state"] if document else None, "seq": answer.seq}
    if answer.duplicate:
        return json_answer({**started, "duplicate": True})
    return json_answer(started, 201)


@router.get("/v1/outbound/{outbound}", responses={200: {"model": OutboundOut}})
async def get_outbound(
    outbound: str, call: Annotated[Call, allow(Role.ADAPTER, Role.SUPERVISOR, Role.OPERATOR)]
) -> Response:
    """An outbound message as it now is, with its attempts."""
    return json_answer(public(await call.find("outbound", outbound, UnknownOutbound)))


async def _command(call: Call, body: OutboundIn, command_id: str) -> SendOutbound:
    """The command; the text and addresses lie in the content store first."""
    route = tuple([await _step(call, step) for step in body.route])
    contact = await call.views.get(call.workspace, "contact", body.contact_id) if body.contact_id else None
    first = next((step.address for step in route if step.address is not None), None)
    owner = owner_of(contact) if contact is not None else first or f"x{command_id}"
    text = encode({"text": body.text, "subject": body.subject})
    # Named by whose it is and what it says: a repeat changes nothing, and what was put right after a refusal does not
    # meet what was wrong.
    ref = content_ref(call.workspace, f"outbound\x1f{body.source_key}\x1f{owner}\x1f{text.decode()}")
    await call.store(ref, text, owner=owner)
    return SendOutbound(
        source_key=body.source_key,
        content_ref=ref,
        route=route,
        contact=ContactId(body.contact_id) if body.contact_id is not None else None,
        deadline=body.deadline_s * 1000 if body.deadline_s is not None else None,
    )


async def _step(call: Call, step: DeliveryStepIn) -> DeliveryStep:
    account = step.account or await first_account(call, step.channel)
    return DeliveryStep(
        channel=step.channel,
        account=account,
        address=await _address(call, step.channel, account, step.address) if step.address is not None else None,
        until=step.until,
        within=step.within_s * 1000 if step.within_s is not None else None,
    )


async def _address(call: Call, channel: str, account: str, native: str) -> AddressKey:
    """The address by its key. What is known of it already, its owner's name for one, is left as it is."""
    address = normal_address(channel, native)
    key = address_key(call.workspace, channel, address)
    if await call.content.get(call.workspace, address_ref(key)) is None:
        known: dict[str, Any] = {"channel": channel, "account": account, "address": address, "name": None, "native": {}}
        await call.store(address_ref(key), encode(known), owner=key)
    return key
