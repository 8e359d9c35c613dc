"""Facebook Messenger pages: a handshake, HMAC over the raw bytes, batches, replies by the Send API."""

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
    mapping,
    native_id,
    pieces,
    read_json,
    source_key,
    text,
    whole,
)
from services.ingest_social.platforms.telegram import outcome_of
from services.ingest_social.settings import MessengerAccount
from shared.contracts.message import Attachment, InboundMessage, Sender
from shared.delivery import Delivered, Outcome, Reply, TryAgain
from shared.vocabulary import ChannelKind, MessageKind

_LONGEST_TEXT: Final = 2000
_MIMES: Final = {"image": "image/jpeg", "audio": "audio/mp4", "video": "video/mp4"}


class Messenger:
    """Pages by account name."""

    channel = ChannelKind.MESSENGER
    signature_header = "x-hub-signature-256"

    def __init__(self, accounts: Mapping[str, MessengerAccount], api: str, client: httpx.AsyncClient) -> None:
        self._accounts = accounts
        self._api = api.rstrip("/")
        self._client = client

    def workspace_of(self, account: str) -> str | None:
        return self._accounts[account].workspace if account in self._accounts else None

    def verify(self, account: str, headers: Mapping[str, str], body: bytes) -> None:
        """HMAC-SHA256 with the app's secret over the bytes as they came: JSON written again is other bytes."""
        given = headers.get(self.signature_header)
        if not given:
            raise BadSignature(f"{self.signature_header} is missing", missing=True)
        secret = self._accounts[account].app_secret.get_secret_value()
        expected = "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()
        if not hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode()):
            raise BadSignature(f"{self.signature_header} is wrong")

    def handshake(self, account: str, query: Mapping[str, str]) -> str | None:
        token = self._accounts[account].verify_token.get_secret_value()
        given = query.get("hub.verify_token", "")
        if query.get("hub.mode") != "subscribe":
            return None
        if not hmac.compare_digest(given.encode("utf-8", "replace"), token.encode()):
            return None
        return query.get("hub.challenge", "")[:1000]

    def parse(self, account: str, body: bytes) -> Batch:
        """All entries of a request. One that makes no sense costs itself, not its neighbours."""
        request = read_json(body)
        if request.get("object") != "page":
            raise Unreadable("object: not a page")
        entries = request.get("entry")
        if not isinstance(entries, list):
            raise Unreadable("entry: not a list")
        batch = Batch()
        for position, entry in enumerate(entries):
            events = entry.get("messaging") if isinstance(entry, dict) else None
            # `standby` and `changes` are for other receivers: another app has the conversation, or it is no message.
            for number, event in enumerate(events if isinstance(events, list) else ()):
                place = f"entry.{position}.messaging.{number}"
                try:
                    message = self._event(account, mapping(event, place))
                except Unreadable as error:
                    batch.unreadable.append(f"{place}: {error}")
                except ValidationError as error:
                    batch.unreadable.append(f"{place}: unusable {error.errors(include_input=False)[0]['loc']}")
                else:
                    if message is not None:
                        batch.messages.append(message)
        return batch

    def _event(self, account: str, event: Mapping[str, Any]) -> InboundMessage | None:
        """What the customer did; nothing for echoes of our own messages, receipts and the platform's housekeeping."""
        if "message" in event:
            return self._message(account, event, mapping(event["message"], "message"))
        if "message_edit" in event:
            return self._edit(account, event, mapping(event["message_edit"], "message_edit"))
        if "postback" in event:
            return self._postback(account, event, mapping(event["postback"], "postback"))
        if "reaction" in event:
            return self._reaction(account, event, mapping(event["reaction"], "reaction"))
        return None

    def _message(self, account: str, event: Mapping[str, Any], message: Mapping[str, Any]) -> InboundMessage | None:
        if message.get("is_echo") is True:
            return None
        sender, at = _sender(event), _at(event)
        mid = text(message.get("mid"), "message.mid")
        if message.get("is_deleted") is True:
            return InboundMessage(
                source_key=source_key(self.channel, account, "unsend", mid),
                channel=self.channel,
                account=account,
                thread=sender.id,
                sender=sender,
                kind=MessageKind.UNSEND,
                refers_to=source_key(self.channel, account, "message", mid),
                provider_time=_moment(at),
            )
        content = message.get("text")
        return InboundMessage(
            source_key=source_key(self.channel, account, "message", mid),
            channel=self.channel,
            account=account,
            thread=sender.id,
            sender=sender,
            text=None if content is None else text(content, "message.text"),
            attachments=_attachments(message, mid),
            provider_time=_moment(at),
            native={"psid": sender.id, "mid": mid[:400]},
        )

    def _edit(self, account: str, event: Mapping[str, Any], edit: Mapping[str, Any]) -> InboundMessage:
        sender, at = _sender(event), _at(event)
        mid = text(edit.get("mid"), "message_edit.mid")
        number = whole(edit.get("num_edit", at), "message_edit.num_edit")
        return InboundMessage(
            source_key=source_key(self.channel, account, "edit", mid, str(number)),
            channel=self.channel,
            account=account,
            thread=sender.id,
            sender=sender,
            kind=MessageKind.EDIT,
            refers_to=source_key(self.channel, account, "message", mid),
            text=text(edit.get("text", ""), "message_edit.text") or None,
            provider_time=_moment(at),
            native={"psid": sender.id},
        )

    def _postback(self, account: str, event: Mapping[str, Any], postback: Mapping[str, Any]) -> InboundMessage:
        sender, at = _sender(event), _at(event)
        mid = postback.get("mid")
        unique = (text(mid, "postback.mid"),) if mid is not None else (sender.id, str(at))
        return InboundMessage(
            source_key=source_key(self.channel, account, "postback", *unique),
            channel=self.channel,
            account=account,
            thread=sender.id,
            sender=sender,
            kind=MessageKind.POSTBACK,
            text=clipped(postback.get("title"), 200) or clipped(postback.get("payload"), 200),
            provider_time=_moment(at),
            native={"psid": sender.id},
        )

    def _reaction(self, account: str, event: Mapping[str, Any], reaction: Mapping[str, Any]) -> InboundMessage:
        sender, at = _sender(event), _at(event)
        mid = text(reaction.get("mid"), "reaction.mid")
        taken_back = reaction.get("action") == "unreact"
        return InboundMessage(
            source_key=source_key(self.channel, account, "reaction", mid, sender.id, str(at)),
            channel=self.channel,
            account=account,
            thread=sender.id,
            sender=sender,
            kind=MessageKind.REACTION,
            refers_to=source_key(self.channel, account, "message", mid),
            text=None if taken_back else clipped(reaction.get("emoji") or reaction.get("reaction"), 50),
            provider_time=_moment(at),
            native={"psid": sender.id},
        )

    async def send(self, reply: Reply) -> Outcome | None:
        token = self._accounts[reply.account].page_token
        if token is None:
            return None
        for piece in pieces(reply.text, _LONGEST_TEXT):
            try:
                answer = await self._client.post(
                    f"{self._api}/me/messages",
                    headers={"Authorization": f"Bearer {token.get_secret_value()}"},
                    json={**self.request_of(reply), "message": {"text": piece}},
                )
            except httpx.HTTPError as error:
                return TryAgain(type(error).__name__)
            outcome = outcome_of(answer)
            if not isinstance(outcome, Delivered):
                return outcome
        return Delivered("me/messages")

    def request_of(self, reply: Reply) -> Mapping[str, Any]:
        return {
            "recipient": {"id": reply.native.get("psid") or reply.address},
            "messaging_type": "RESPONSE",
            "message": {"text": reply.text},
        }


def _sender(event: Mapping[str, Any]) -> Sender:
    """The page-scoped id: one person is another one on every page."""
    return Sender(id=native_id(mapping(event.get("sender"), "sender").get("id"), "sender.id"), verified=True)


def _at(event: Mapping[str, Any]) -> int:
    return whole(event.get("timestamp", 0), "timestamp")


def _moment(milliseconds: int) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if 0 < milliseconds < 10**14 else None


def _attachments(message: Mapping[str, Any], mid: str) -> tuple[Attachment, ...]:
    """Files by place in the message; their addresses are never fetched here."""
    files = message.get("attachments")
    found = [file for file in files if isinstance(file, dict)][:20] if isinstance(files, list) else []
    return tuple(
        Attachment(
            ref=f"messenger:{mid[:200]}:{number}",
            mime=_MIMES.get(str(file.get("type")), "application/octet-stream"),
            size=0,
            name=clipped(file.get("type"), 50),
        )
        for number, file in enumerate(found)
    )
