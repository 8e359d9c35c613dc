"""Consults: asking a colleague about a contact, what they were told, and the end of it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Response

from services.router.api.access import Call, allow
from services.router.api.answers import json_answer
from services.router.api.bodies import json_body
from services.router.api.contacts import ANSWERS, change, keep_note, visible_contact
from services.router.api.schemas import ConsultIn, ConsultOut
from shared.contracts.commands import EndConsult, StartConsult
from shared.vocabulary import AgentId, ContactId, Role

router = APIRouter(tags=["contacts"])


@router.get("/v1/contacts/{contact}/consult", responses={200: {"model": ConsultOut}})
async def get_consult(contact: str, call: Annotated[Call, allow(Role.AGENT, Role.SUPERVISOR)]) -> Response:
    """Who has to do with a contact, and what those who are consulted were told: a colleague reads their own note."""
    document = await visible_contact(call, contact)
    reads_all = not call.is_agent or document.get("agent") == call.caller.id
    refs = {agent: ref for agent, ref in document.get("_notes", {}).items() if reads_all or agent == call.caller.id}
    texts = await call.content.get_many(call.workspace, list(refs.values()))
    items = [
        {**each, "note": _text(texts.get(refs.get(each["agent"], "")))} for each in document.get("participants", ())
    ]
    return json_answer({"contact": contact, "items": items, "seq": document["seq"]})


@router.post("/v1/contacts/{contact}/consult", responses=ANSWERS)
async def start_consult(
    contact: str,
    call: Annotated[Call, allow(Role.AGENT, Role.SUPERVISOR)],
    body: Annotated[ConsultIn, json_body(ConsultIn)],
) -> Response:
    """Ask a colleague about an assigned contact. It stays with its holder and takes none of the colleague's capacity;
    they may read it until the consult ends, and cannot answer, end or hand on."""
    command_id = call.command_id()
    note_ref = await keep_note(call, contact, command_id, body.note)
    command = StartConsult(contact=ContactId(contact), agent=AgentId(body.agent), note_ref=note_ref)
    return await call.answered(await call.submit(command, command_id=command_id), "contact", contact)


@router.delete("/v1/contacts/{contact}/consult/{agent}", responses=ANSWERS)
async def end_consult(contact: str, agent: str, call: Annotated[Call, allow(Role.AGENT, Role.SUPERVISOR)]) -> Response:
    """The colleague leaves, or is let go by whoever holds the contact."""
    return await change(call, contact, EndConsult(contact=ContactId(contact), agent=AgentId(agent)))


def _text(stored: bytes | None) -> Any:
    return msgspec.json.decode(stored).get("text") if stored is not None else None
