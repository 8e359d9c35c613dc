"""A parsed mail as the message that everybody understands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from services.ingest_email.classify import classify
from services.ingest_email.parse import ParsedMail
from services.ingest_email.thread import SignedIds, thread_of
from shared.contracts.message import Attachment, InboundMessage, Sender
from shared.ids import content_ref
from shared.vocabulary import ChannelKind

_LONGEST_REFERENCES = 480


class Normalised(NamedTuple):
    """What `Intake.accept` takes, and what goes beside the text."""

    message: InboundMessage
    trusted_thread: bool
    extra: dict[str, str]


def source_key(account: str, mail: ParsedMail) -> str:
    """The Message-ID counts, whichever path the mail took."""
    return f"email:{account}:message:{mail.message_id}"


def attachment_ref(workspace: str, key: str, number: int) -> str:
    """Where a mail's file lies in the content store."""
    return content_ref(workspace, f"{key}#attachment:{number}")


def message_of(mail: ParsedMail, *, account: str, workspace: str, envelope_from: str, ids: SignedIds) -> Normalised:
    """The sender is whom the mail says it is from, which nothing proves: never verified."""
    thread = thread_of(mail, workspace, ids)
    sender = mail.from_address or envelope_from.strip("<> ").lower()[:250] or "unknown@invalid"
    key = source_key(account, mail)
    native = {"message_id": mail.message_id, "references": _references(mail), "subject": mail.subject[:400]}
    if mail.reply_to and mail.reply_to != sender:
        native["reply_to"] = mail.reply_to
    message = InboundMessage(
        source_key=key,
        channel=ChannelKind.EMAIL,
        account=account,
        thread=thread.native,
        sender=Sender(id=sender, name=mail.from_name or None, verified=False),
        text=mail.text or None,
        subject=mail.subject or None,
        html=mail.html,
        attachments=tuple(
            Attachment(
                ref=attachment_ref(workspace, key, number),
                mime=attached.mime,
                size=len(attached.data),
                name=attached.name,
            )
            for number, attached in enumerate(mail.attachments)
        ),
        auto=classify(mail, envelope_from),
        provider_time=None if mail.date_ms is None else datetime.fromtimestamp(mail.date_ms / 1000, UTC),
        native=native,
    )
    extra = {"text_full": mail.text_full} if mail.text_full != mail.text else {}
    return Normalised(message, thread.trusted, extra)


def _references(mail: ParsedMail) -> str:
    """What an answer's References begin with: the root and as many of the newest as fit."""
    known = list(dict.fromkeys((*mail.references, *((mail.in_reply_to,) if mail.in_reply_to else ()))))
    kept: list[str] = []
    room = _LONGEST_REFERENCES - (len(known[0]) + 3 if known else 0)
    for message_id in reversed(known[1:]):
        room -= len(message_id) + 3
        if room < 0:
            break
        kept.append(message_id)
    return " ".join(f"<{message_id}>" for message_id in (*known[:1], *reversed(kept)))
