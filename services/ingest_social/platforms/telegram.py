"""Telegram bots: a secret token in a header, one update a request, replies by `sendMessage`."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import httpx
from pydantic import ValidationError

from services.ingest_social.platforms.port import (
    BadSignature,
    Batch,
    Unreadable,
    clipped,
    join_names,
    mapping,
    native_id,
    pieces,
    read_json,
    source_key,
    text,
    whole,
)
from services.ingest_social.settings import TelegramAccount
from shared.contracts.message import Attachment, InboundMessage, Sender
from shared.delivery import Delivered, Failed, Outcome, Reply, TryAgain
from shared.vocabulary import ChannelKind, MessageKind

_LONGEST_TEXT: Final = 4096
_FILES: Final = {
    "document": "application/octet-stream",
    "voice": "audio/ogg",
    "audio": "audio/mpeg",
    "video": "video/mp4",
    "video_note": "video/mp4",
    "animation": "video/mp4",
    "sticker": "image/webp",
}
_WORDLESS: Final = ("poll", "dice", "venue", "story", "game", "paid_media", "checklist")
"""Messages that an agent should know of, although there is nothing to show."""


class Telegram:
    """Bots by account name."""

    channel = ChannelKind.TELEGRAM
    signature_header = "x-telegram-bot-api-secret-token"

    def __init__(self, accounts: Mapping[str, TelegramAccount], api: str, client: httpx.AsyncClient) -> None:
        self._accounts = accounts
        self._api = api.rstrip("/")
        self._client = client

    def workspace_of(self, account: str) -> str | None:
        return self._accounts[account].workspace if account in self._accounts else None

    def verify(self, account: str, headers: Mapping[str, str], body: bytes) -> None:
        """Telegram signs nothing: it repeats the secret that the webhook was set with."""
        given = headers.get(self.signature_header)
        if not given:
            raise BadSignature(f"{self.signature_header} is missing", missing=True)
        expected = self._accounts[account].webhook_secret.get_secret_value()
        if not hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode()):
            raise BadSignature(f"{self.signature_header} is wrong")

    def handshake(self, account: str, query: Mapping[str, str]) -> str | None:
        return None

    def parse(self, account: str, body: bytes) -> Batch:
        """Messages, edits and pressed buttons; everything else is none of a contact's business."""
        update = read_json(body)
        try:
            if "message" in update:
                return _one(self._message(account, mapping(update["message"], "message")))
            if "edited_message" in update:
                return _one(self._edit(account, mapping(update["edited_message"], "edited_message")))
            if "callback_query" in update:
                return _one(self._pressed(account, mapping(update["callback_query"], "callback_query")))
        except ValidationError as error:
            raise Unreadable(f"message: unusable {error.errors(include_input=False)[0]['loc']}") from None
        if "update_id" not in update:
            raise Unreadable("update_id: missing")
        return Batch()

    def _message(self, account: str, message: Mapping[str, Any]) -> InboundMessage | None:
        sender = _sender(message.get("from"))
        if sender is None:
            return None
        chat = _chat(message)
        number = native_id(message.get("message_id"), "message.message_id")
        content = message.get("text", message.get("caption", _described(message)))
        files = _files(message)
        if content is None and not files and not any(kind in message for kind in _WORDLESS):
            # Somebody joined, the title changed: events of the chat, not something a customer said.
            return None
        return InboundMessage(
            source_key=source_key(self.channel, account, "message", chat, number),
            channel=self.channel,
            account=account,
            thread=chat,
            sender=sender,
            text=None if content is None else text(content, "message.text"),
            attachments=files,
            attributes=_locale(message),
            provider_time=_moment(message.get("date")),
            native={"chat_id": chat, "message_id": number},
        )

    def _edit(self, account: str, message: Mapping[str, Any]) -> InboundMessage | None:
        sender = _sender(message.get("from"))
        if sender is None:
            return None
        chat = _chat(message)
        number = native_id(message.get("message_id"), "edited_message.message_id")
        edited_at = whole(message.get("edit_date", message.get("date", 0)), "edited_message.edit_date")
        return InboundMessage(
            source_key=source_key(self.channel, account, "edit", chat, number, str(edited_at)),
            channel=self.channel,
            account=account,
            thread=chat,
            sender=sender,
            kind=MessageKind.EDIT,
            refers_to=source_key(self.channel, account, "message", chat, number),
            text=text(message.get("text", message.get("caption", "")), "edited_message.text") or None,
            provider_time=_moment(edited_at),
            native={"chat_id": chat, "message_id": number},
        )

    def _pressed(self, account: str, query: Mapping[str, Any]) -> InboundMessage | None:
        """A button under a message of the bot's: `message` in it is the bot's own text and nobody's words."""
        sender = _sender(query.get("from"))
        if sender is None:
            return None
        about = query.get("message")
        chat = _chat(mapping(about, "callback_query.message")) if about is not None else sender.id
        return InboundMessage(
            source_key=source_key(self.channel, account, "postback", native_id(query.get("id"), "callback_query.id")),
            channel=self.channel,
            account=account,
            thread=chat,
            sender=sender,
            kind=MessageKind.POSTBACK,
            text=clipped(query.get("data"), 200),
            native={"chat_id": chat},
        )

    async def send(self, reply: Reply) -> Outcome | None:
        token = self._accounts[reply.account].bot_token
        if token is None:
            return None
        chat = self._chat_of(reply)
        for piece in pieces(reply.text, _LONGEST_TEXT):
            try:
                answer = await self._client.post(
                    f"{self._api}/bot{token.get_secret_value()}/sendMessage", json={"chat_id": chat, "text": piece}
                )
            except httpx.HTTPError as error:
                return TryAgain(type(error).__name__)
            outcome = outcome_of(answer)
            if not isinstance(outcome, Delivered):
                return outcome
        return Delivered("sendMessage")

    def request_of(self, reply: Reply) -> Mapping[str, Any]:
        return {"method": "sendMessage", "chat_id": self._chat_of(reply), "text": reply.text}

    @staticmethod
    def _chat_of(reply: Reply) -> str:
        return reply.native.get("chat_id") or reply.address


def outcome_of(answer: httpx.Response) -> Outcome:
    """What a provider's HTTP answer means for the reply. The body is not passed on: it may quote the customer."""
    if answer.is_success:
        return Delivered(str(answer.status_code))
    if answer.status_code == 429 or answer.status_code >= 500:
        return TryAgain(f"HTTP {answer.status_code}", _retry_after(answer))
    return Failed(f"HTTP {answer.status_code}")


def _retry_after(answer: httpx.Response) -> float | None:
    given = answer.headers.get("retry-after", "")
    return min(float(given), 3600.0) if given.isascii() and given.isdigit() and len(given) < 6 else None


def _one(message: InboundMessage | None) -> Batch:
    return Batch([message] if message is not None else [])


def _sender(value: Any) -> Sender | None:
    """Who wrote; nobody for bots and for messages in a channel's name."""
    if value is None:
        return None
    user = mapping(value, "from")
    if user.get("is_bot") is True:
        return None
    return Sender(
        id=native_id(user.get("id"), "from.id"),
        name=join_names((user.get("first_name"), user.get("last_name"))),
        verified=True,
    )


def _chat(message: Mapping[str, Any]) -> str:
    return native_id(mapping(message.get("chat"), "chat").get("id"), "chat.id")


def _locale(message: Mapping[str, Any]) -> dict[str, str]:
    """The app's language: a hint, for most telephones speak English."""
    code = mapping(message["from"], "from").get("language_code")
    return {"locale": code[:35]} if isinstance(code, str) and code else {}


def _moment(seconds: Any) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(whole(seconds, "date") % 10**11, UTC)


def _described(message: Mapping[str, Any]) -> str | None:
    """Words for what a customer shared instead of writing: a place, a telephone number."""
    match message:
        case {"location": {"latitude": float() | int() as latitude, "longitude": float() | int() as longitude}}:
            return f"geo:{latitude},{longitude}"
        case {"contact": {"phone_number": str() as number}}:
            return f"tel:{number[:50]}"
        case _:
            return None


def _files(message: Mapping[str, Any]) -> tuple[Attachment, ...]:
    """Files by Telegram's id; their bytes are not fetched. The sizes of one photo are one file, the largest last."""
    found: list[Attachment] = []
    photos = message.get("photo")
    if isinstance(photos, list) and photos:
        found.append(_file(mapping(photos[-1], "photo"), "image/jpeg"))
    for name, mime in _FILES.items():
        if isinstance(message.get(name), dict):
            found.append(_file(message[name], mime))
    return tuple(found)


def _file(file: Mapping[str, Any], mime: str) -> Attachment:
    declared, size = file.get("mime_type"), file.get("file_size", 0)
    return Attachment(
        ref=f"telegram:{text(file.get('file_id'), 'file_id')}"[:256],
        mime=declared if isinstance(declared, str) and len(declared) < 100 and declared.count("/") == 1 else mime,
        size=min(whole(size, "file_size"), 100_000_000),
        name=clipped(file.get("file_name"), 200),
    )
