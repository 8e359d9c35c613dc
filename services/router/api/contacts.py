"""Contacts: reading them, making one without a message, and what agents and supervisors do with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from services.router.api.access import Call, allow
from services.router.api.answers import as_read, json_answer, page, public
from services.router.api.bodies import json_body
from services.router.api.problems import HistoryTrimmed, NotReady, UnknownContact
from services.router.api.schemas import CompleteIn, ContactIn, ContactOut, PageOut, PendingOut, ReasonIn
from services.router.feed import EntriesGone
from shared.contracts.commands import (
    AbandonContact,
    CancelContact,
    Command,
    CompleteContact,
    CreateContact,
    RequeueContact,
)
from shared.ids import address_key, address_ref, content_ref
from shared.intake import normal_address
from shared.log.codec import encode
from shared.times import from_datetime, rfc3339
from shared.vocabulary import AddressKey, AgentId, ContactId, ContactState, Role

router = APIRouter(tags=["contacts"])

Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str, Query(max_length=256)]
ANSWERS: dict[int | str, dict[str, Any]] = {200: {"model": ContactOut}, 202: {"model": PendingOut}}


@router.post("/v1/contacts", responses={201: {"model": ContactOut}, 202: {"model": PendingOut}})
async def create_contact(
    call: Annotated[Call, allow(Role.ADAPTER, Role.SUPERVISOR)], body: Annotated[ContactIn, json_body(ContactIn)]
) -> Response:
    """Make work without a message: a call-back now or at a time, or something of your own."""
    command_id = call.command_id()
    answer = await call.submit(await _contact_command(call, body, command_id), command_id=command_id)
    return await call.answered(answer, "contact", answer.subject, created=True)


@router.get("/v1/contacts", responses={200: {"model": PageOut}})
async def list_contacts(
    call: Annotated[Call, allow(Role.AGENT, Role.SUPERVISOR)],
    state: ContactState | None = None,
    queue: str | None = None,
    channel: str | None = None,
    agent: str | None = None,
    cursor: Cursor = "",
    limit: Limit = 100,
) -> Response:
    """Contacts in order of id; an agent sees those offered or assigned to them, or that they are consulted about.
    `channel`: a kind or `kind:account`."""
    wanted = {"state": state, "queue": queue, "agent": agent}

    def matches(contact: Mapping[str, Any]) -> bool:
        return (
            all(value is None or contact.get(name) == value for name, value in wanted.items())
            and (channel is None or channel in (contact["channel"], f"{contact['channel']}:{contact.get('account')}"))
            and may_see(call, contact)
        )

    found = await call.views.list(call.workspace, "contact", after=cursor, limit=limit, where=matches)
    now = call.deps.clock.now_ms()
    return page([as_read(contact, now) for contact in found], limit=limit, id_of="id")


@router.get("/v1/contacts/{contact}", responses=ANSWERS)
async def get_contact(contact: str, call: Annotated[Call, allow(Role.AGENT, Role.SUPERVISOR)]) -> Response:
    """A contact as it now is."""
    return json_answer(public(as_read(await visible_contact(call, contact), call.deps.clock.now_ms())))


@router.get("/v1/contacts/{contact}/history", responses={200: {"model": PageOut}})
async def get_history(contact: str, call: Annotated[Call, allow(Role.AGENT, Role.SUPERVISOR)]) -> Response:
    """Every journal event of the contact, in order."""
    document = await visible_contact(call, contact)
    events = await history_of(call, contact, document)
    partition = call.deps.partition_of(call.workspace)
    return json_answer(
        {"contact": contact, "items": [_event(partition, event) for event in events], "next_cursor": None}
    )


@router.post("/v1/contacts/{contact}/complete", responses=ANSWERS)
async def complete(
    contact: str,
    call: Annotated[Call, allow(Role.AGENT, Role.SUPERVISOR)],
    body: Annotated[CompleteIn, json_body(CompleteIn, optional=True)],
) -> Response:
    """The interaction is over; the agent goes into wrap-up where the queue has one."""
    command_id = call.command_id()
    note_ref = await keep_note(call, contact, command_id, body.note)
    command = CompleteContact(contact=ContactId(contact), wrap_up_code=body.wrap_up_code, note_ref=note_ref)
    return await call.answered(await call.submit(command, command_id=command_id), "contact", contact)


@router.post("/v1/contacts/{contact}/requeue", responses=ANSWERS)
async def requeue(
    contact: str,
    call: Annotated[Call, allow(Role.AGENT, Role.SUPERVISOR)],
    body: Annotated[ReasonIn, json_body(ReasonIn, optional=True)],
) -> Response:
    """Give an assigned contact back to its queue, with its original age."""
    return await change(call, contact, RequeueContact(contact=ContactId(contact), reason=body.reason))


@router.post("/v1/contacts/{contact}/cancel", responses=ANSWERS)
async def cancel(
    contact: str,
    call: Annotated[Call, allow(Role.AGENT, Role.SUPERVISOR)],
    body: Annotated[ReasonIn, json_body(ReasonIn, optional=True)],
) -> Response:
    """End an open contact without an answer."""
    return await change(call, contact, CancelContact(contact=ContactId(contact), reason=body.reason))


@router.post("/v1/contacts/{contact}/abandon", responses=ANSWERS)
async def abandon(contact: str, call: Annotated[Call, allow(Role.ADAPTER)]) -> Response:
    """The customer left before an agent came."""
    return await change(call, contact, AbandonContact(contact=ContactId(contact)))


async def keep_note(call: Call, contact: str, command_id: str, note: str | None) -> str | None:
    """Store what a command has to say to colleagues, unless it is a repeat; returns where, None if it says nothing.
    Raises the same as `visible_contact`."""
    ref = f"n:{command_id}" if note else None
    if not await call.is_repeat(command_id):
        document = await visible_contact(call, contact)
        if ref is not None:
            await call.store(ref, encode({"text": note, "author": call.caller.id}), owner=owner_of(document))
    return ref


def may_see(call: Call, contact: Mapping[str, Any]) -> bool:
    """An agent sees what is assigned or offered to them, and what they are consulted about as long as that lasts; the
    other roles see their workspace."""
    if not call.is_agent:
        return True
    me = call.caller.id
    shown_to = (*contact.get("offers", ()), *contact.get("participants", ()))
    return contact.get("agent") == me or any(each["agent"] == me for each in shown_to)


async def visible_contact(call: Call, contact: str) -> Mapping[str, Any]:
    """The contact's document, or `404`: another agent's contact is as unknown as another workspace's."""
    document = await call.find("contact", contact, UnknownContact)
    if not may_see(call, document):
        # While the views are written anew, that an agent was told something earlier may be missing.
        raise NotReady() if await call.views_are_empty() else UnknownContact()
    return document


async def history_of(call: Call, contact: str, document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Its events out of the journal, all or none: a story without its beginning would be another one."""
    try:
        return await call.deps.history(call.workspace, contact, list(document.get("_seqs", ())))
    except EntriesGone as error:
        raise HistoryTrimmed(str(error)) from None


def owner_of(contact: Mapping[str, Any]) -> str:
    """Whose erasure takes content of this contact with it."""
    return str(contact.get("_sender") or contact["customer"])


async def change(call: Call, contact: str, command: Command) -> Response:
    """Change one contact that the caller may see; its document afterwards."""
    command_id = call.command_id()
    if not await call.is_repeat(command_id):
        try:
            await visible_contact(call, contact)
        except UnknownContact:
            # The first try of this very command may have taken it out of sight: its answer is written after that.
            if not await call.becomes_repeat(command_id):
                raise
    return await call.answered(await call.submit(command, command_id=command_id), "contact", contact)


async def _contact_command(call: Call, body: ContactIn, command_id: str) -> CreateContact:
    """The command; what the customer is called, and the text, lie in the content store first."""
    workspace, channel = call.workspace, body.channel
    account = body.account or await first_account(call, channel)
    source_key = body.source_key or f"api:{command_id}"
    customer: AddressKey | None = None
    if body.customer is not None:
        address = normal_address(channel, body.customer.id)
        customer = address_key(workspace, channel, address)
        known: dict[str, Any] = {
            "channel": channel,
            "account": account,
            "address": address,
            "name": body.customer.name,
            "native": {},
        }
        await call.store(address_ref(customer), encode(known), owner=customer)
    ref = content_ref(workspace, source_key) if body.text or body.subject else None
    if ref is not None and await call.content.get(workspace, ref) is None:
        text = {"text": body.text, "subject": body.subject, "received_at": call.deps.clock.now_ms()}
        await call.store(ref, encode(text), owner=customer or f"x{command_id}")
    return CreateContact(
        source_key=source_key,
        channel=channel,
        account=account,
        customer=customer,
        language=body.language,
        queue=body.queue,
        queues=body.queues,
        flow=body.flow,
        language_min=body.language_min,
        preferred=tuple(AgentId(agent) for agent in body.preferred_agents),
        profiles=body.capacity_profiles,
        scheduled_priority=body.scheduled_priority,
        skills=body.skills,
        priority=body.priority,
        attributes=body.attributes,
        scheduled_at=from_datetime(body.scheduled_at) if body.scheduled_at is not None else None,
        content_ref=ref,
    )


async def first_account(call: Call, kind: str) -> str:
    """The policy's first account of a kind; empty if there is none, which the engine then refuses by name."""
    document = await call.views.get(call.workspace, "policy", "current")
    channels = document["policy"]["channels"] if document is not None else ()
    return next((str(channel["account"]) for channel in channels if channel["kind"] == kind), "")


def _event(partition: int, event: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **public(event["data"]),
        "id": f"{partition}:{event['seq']}:{event['index']}",
        "seq": event["seq"],
        "type": event["type"],
        "at": rfc3339(event["at"]),
    }
