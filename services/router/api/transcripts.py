"""What was said on a contact, and the agent's reply. Texts lie in the content store; the rest only refers to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Response

from services.router.api.access import Call, allow
from services.router.api.answers import json_answer
from services.router.api.bodies import json_body
from services.router.api.contacts import Cursor, Limit, owner_of, visible_contact
from services.router.api.problems import Invalid, KeyReused
from services.router.api.schemas import PageOut, PendingOut, ReplyIn
from shared.contracts.commands import SendReply
from shared.log.codec import encode
from shared.vocabulary import ContactId, Role

router = APIRouter(tags=["contacts"])

_FACTS = ("id", "direction", "at", "kind", "author", "channel", "account", "status")


@router.get("/v1/contacts/{contact}/messages", responses={200: {"model": PageOut}})
async def get_messages(
    contact: str, call: Annotated[Call, allow(Role.AGENT, Role.SUPERVISOR)], cursor: Cursor = "0", limit: Limit = 200
) -> Response:
    """The transcript, oldest first. A message whose content was erased has `text: null` and `erased: true`."""
    document = await visible_contact(call, contact)
    thread: Mapping[str, Any] = await call.views.get(call.workspace, "messages", contact) or {}
    start = _offset(cursor)
    lines = thread.get("messages", ())
    shown = lines[start : start + limit]
    texts = await call.content.get_many(call.workspace, [line["ref"] for line in shown])
    messages = [_message(line, texts.get(line["ref"])) for line in shown]
    following = str(start + limit) if start + limit < len(lines) else None
    seq = thread.get("seq", document["seq"])
    return json_answer({"contact": contact, "seq": seq, "items": messages, "next_cursor": following})


@router.post("/v1/contacts/{contact}/messages", responses={201: {"model": PageOut}, 202: {"model": PendingOut}})
async def send_reply(
    contact: str, call: Annotated[Call, allow(Role.AGENT)], body: Annotated[ReplyIn, json_body(ReplyIn)]
) -> Response:
    """Write to the customer over the contact's channel; the transcript tells how far it got."""
    command_id = call.command_id()
    if not await call.is_repeat(command_id):
        await _store(call, body.text, command_id, owner_of(await visible_contact(call, contact)))
    answer = await call.submit(
        SendReply(contact=ContactId(contact), content_ref=f"r:{command_id}"), command_id=command_id
    )
    sent = {"id": answer.subject, "contact": contact, "status": "queued", "seq": answer.seq}
    return json_answer({**sent, **({"duplicate": True} if answer.duplicate else {})}, 200 if answer.duplicate else 201)


async def _store(call: Call, text: str, command_id: str, owner: str) -> None:
    """Put the reply's text where the command will point, before there is a command.

    A repeat under the same key finds it there. Another text under that key must not replace what may already be on
    its way to the customer, whatever is known of the first request.
    """
    ref = f"r:{command_id}"
    if call.idempotency_key is not None:
        stored = await call.content.get(call.workspace, ref)
        if stored is not None:
            if msgspec.json.decode(stored).get("text") != text:
                raise KeyReused("the first reply under this key had another text")
            return
    agent: Mapping[str, Any] = await call.views.get(call.workspace, "agent", call.caller.id) or {}
    reply = {"text": text, "author": call.caller.id, "author_name": agent.get("name") or call.caller.id}
    await call.store(ref, encode(reply), owner=owner)


def _message(line: Mapping[str, Any], stored: bytes | None) -> dict[str, Any]:
    """One line of the transcript. A mail's HTML stays behind: nobody has cleaned it, and the text says the same."""
    message: dict[str, Any] = {name: line.get(name) for name in _FACTS}
    if stored is None:
        return {**message, "text": None, "erased": True}
    content = msgspec.json.decode(stored)
    message["text"] = content.get("text")
    message["subject"] = content.get("subject")
    message["attachments"] = content.get("attachments") or []
    message["author_name"] = content.get("author_name") or (content.get("sender") or {}).get("name")
    return message


def _offset(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise Invalid([{"field": "cursor", "detail": "not one that this list gave out"}])
    return int(cursor)
