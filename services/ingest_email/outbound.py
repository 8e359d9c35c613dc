"""Agents' replies and outbound messages as mails: built with `EmailMessage`, sent by a relay or put into the outbox."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from pathlib import Path
from typing import Final

import aiosmtplib

from services.ingest_email.classify import LOOP_HEADER
from services.ingest_email.settings import EmailSettings
from services.ingest_email.thread import SignedIds
from shared.clock import Clock
from shared.delivery import Delivered, Failed, Outcome, Reply, TryAgain, file_name, write_private

_ADDRESS: Final = re.compile(r"[^\s<>()\[\],;:\"\\@\x00-\x1f]{1,64}@[^\s<>()\[\],;:\"\\@\x00-\x1f]{1,190}")
_REPLY_PREFIX: Final = re.compile(
    r"^(?:(?:re|aw|sv|antw|rv|odp|ynt|回复|回覆|답장|bls)\s{0,2}[:：]\s{0,2}){1,10}", re.IGNORECASE
)
_ID: Final = re.compile(r"<[^<>\s]{1,400}>")


class Unaddressable(Exception):
    """There is no usable mail address behind the reply."""


class MailCarrier:
    """Sends one reply; the same reply is always the same mail."""

    def __init__(self, settings: EmailSettings, ids: SignedIds, clock: Clock) -> None:
        self._settings = settings
        self._ids = ids
        self._clock = clock

    async def carry(self, reply: Reply) -> Outcome:
        try:
            mail = self.mail_of(reply)
        except Unaddressable:
            return Failed("no usable address")
        if self._settings.relay_host is None:
            path = self._settings.data_dir / "outbox" / f"{file_name(reply.message)}.eml"
            return await _into(path, mail)
        return await self._send(mail)

    def mail_of(self, reply: Reply) -> EmailMessage:
        """The answer to the customer's last mail, in its thread. No header can carry a second line."""
        to = _one_line(reply.native.get("reply_to") or reply.address)
        if _ADDRESS.fullmatch(to) is None:
            raise Unaddressable
        domain = reply.account.rpartition("@")[2] or "switchdesk.invalid"
        mail = EmailMessage(policy=SMTP_POLICY)
        mail["From"] = _with_name(self._settings.sender_name, reply.account)
        mail["To"] = to
        mail["Subject"] = _subject_of(reply)
        mail["Date"] = format_datetime(datetime.fromtimestamp((reply.queued_at or self._clock.now_ms()) / 1000, UTC))
        mail["Message-ID"] = f"<{self._ids.make(reply.workspace, reply.message, reply.thread, domain)}>"
        answered = _one_line(reply.native.get("message_id", ""))
        if answered and not answered.startswith(("none-", "long-")) and _ID.fullmatch(f"<{answered}>"):
            mail["In-Reply-To"] = f"<{answered}>"
            references = [*_ID.findall(reply.native.get("references", "")), f"<{answered}>"]
            mail["References"] = " ".join(dict.fromkeys(references))
        mail[LOOP_HEADER] = "1"
        mail.set_content(reply.text, cte="quoted-printable")
        return mail

    async def _send(self, mail: EmailMessage) -> Outcome:
        settings = self._settings
        try:
            await aiosmtplib.send(
                mail,
                hostname=settings.relay_host,
                port=settings.relay_port,
                username=settings.relay_user,
                password=settings.relay_password.get_secret_value() if settings.relay_password else None,
                use_tls=settings.relay_tls == "tls",
                start_tls=settings.relay_tls == "starttls",
                timeout=settings.relay_timeout_s,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            return _refused(max(recipient.code for recipient in error.recipients))
        except aiosmtplib.SMTPAuthenticationError as error:
            # Our own credentials are wrong: somebody mends that, and then the mail can go.
            return TryAgain(f"the relay does not know us: {error.code}")
        except aiosmtplib.SMTPResponseException as error:
            return _refused(error.code)
        except (aiosmtplib.SMTPException, OSError) as error:
            return TryAgain(type(error).__name__)
        return Delivered("relay")


def _subject_of(reply: Reply) -> str:
    if reply.title:
        return _one_line(reply.title)
    subject = _one_line(reply.subject or reply.native.get("subject") or "")
    return f"Re: {_REPLY_PREFIX.sub('', subject)}".strip()


def _refused(code: int) -> Outcome:
    return Failed(f"the relay refused: {code}") if code >= 500 else TryAgain(f"the relay said {code}")


async def _into(path: Path, mail: EmailMessage) -> Outcome:
    try:
        await asyncio.to_thread(write_private, path, mail.as_bytes())
    except OSError as error:
        return TryAgain(f"outbox: {type(error).__name__}")
    return Delivered("outbox")


def _one_line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _with_name(name: str, address: str) -> str:
    plain = _one_line(name).replace("\\", "").replace('"', "")
    return f'"{plain}" <{address}>' if plain else address
