"""The SMTP listener: a mail is accepted (250) once it is durable, refused for good (5xx) or for now (451)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import ValidationError

from services.ingest_email.mime import Unparsable
from services.ingest_email.normalise import Normalised, attachment_ref, message_of
from services.ingest_email.parse import ParsedMail
from services.ingest_email.reader import MailReader, ParserBusy
from services.ingest_email.settings import EmailSettings
from services.ingest_email.thread import SignedIds
from shared.contracts.commands import Actor
from shared.contracts.message import InboundMessage
from shared.ids import address_key
from shared.intake import Intake, UnknownChannel
from shared.log.port import Content, LogUnavailable
from shared.quotas import Quotas, account_of, source_of
from shared.vocabulary import ChannelKind, Role

log = logging.getLogger(__name__)
# aiosmtpd writes every command with its addresses.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)

ACTOR: Final = Actor(role=Role.ADAPTER, id="ingest_email")
STORED: Final = "250 2.0.0 stored"
LATER: Final = "451 4.3.0 not stored for certain, please try again"
MAILBOX_BUSY: Final = "450 4.2.1 too many mails for this mailbox at the moment, please try again later"
SENDER_BUSY: Final = "451 4.7.1 too many mails from this sender at the moment, please try again later"


class Mailboxes:
    """aiosmtpd's handler: who has a mailbox here, and what happens to a mail."""

    def __init__(
        self,
        settings: EmailSettings,
        intake: Intake,
        content: Content,
        reader: MailReader,
        ids: SignedIds,
        quotas: Quotas,
    ) -> None:
        self._settings = settings
        self._intake = intake
        self._content = content
        self._reader = reader
        self._ids = ids
        self._quotas = quotas

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        account = self._account_of(address)
        if account is None:
            return "550 5.1.1 there is no such mailbox here"
        if len(envelope.rcpt_tos) >= self._settings.most_recipients:
            return "452 4.5.3 too many recipients"
        name = account_of(self._settings.accounts[account], ChannelKind.EMAIL, account)
        if self._quotas.account(ChannelKind.EMAIL, name) is not None:
            # Before the mail is sent and parsed, and for this mailbox alone: the others of the mail get it now.
            return MAILBOX_BUSY
        envelope.rcpt_tos.append(account)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        raw = envelope.content or b""
        data = raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else raw
        try:
            mail = await self._reader.read(data)
            made = [self._made(mail, account, envelope.mail_from or "") for account in dict.fromkeys(envelope.rcpt_tos)]
            if not self._admits([each.message for each in made]):
                return SENDER_BUSY
            for each in made:
                await self._accept(mail, each)
        except LogUnavailable:
            return LATER
        except ParserBusy:
            log.warning("a mail could not be read in time", extra={"bytes": len(data)})
            return LATER
        except Unparsable as error:
            log.warning("a mail was refused", extra={"why": str(error), "bytes": len(data)})
            return f"554 5.6.0 this mail cannot be read: {error}"
        except UnknownChannel:
            return "550 5.1.1 there is no such mailbox here"
        return STORED

    async def handle_exception(self, error: Exception) -> str:
        """What nobody thought of is our fault, so the sender keeps the mail and tries again."""
        log.error("the SMTP listener failed", extra={"error": type(error).__name__})
        return LATER

    def _account_of(self, address: str) -> str | None:
        """The mailbox behind a recipient; `support+anything@…` is `support@…`."""
        local, _, domain = address.strip("<> ").lower().rpartition("@")
        for candidate in (f"{local}@{domain}", f"{local.partition('+')[0]}@{domain}"):
            if candidate in self._settings.accounts:
                return candidate
        return None

    def _made(self, mail: ParsedMail, account: str, envelope_from: str) -> Normalised:
        workspace = self._settings.accounts[account]
        try:
            return message_of(mail, account=account, workspace=workspace, envelope_from=envelope_from, ids=self._ids)
        except ValidationError as error:
            raise Unparsable(f"unusable {error.errors(include_input=False)[0]['loc'][0]}") from None

    def _admits(self, messages: Sequence[InboundMessage]) -> bool:
        """Whether the sender may send these now. There is one answer to a mail: all of its mailboxes get it or none."""
        sources = [source_of(self._workspace_of(message), message) for message in messages]
        if any(self._quotas.sender(source) is not None for source in sources):
            return False
        for source in sources:
            self._quotas.charge(source)
        return True

    async def _accept(self, mail: ParsedMail, made: Normalised) -> None:
        workspace, message = self._workspace_of(made.message), made.message
        owner = address_key(workspace, ChannelKind.EMAIL, message.sender.id.lower())
        for number, attached in enumerate(mail.attachments):
            ref = attachment_ref(workspace, message.source_key, number)
            await self._content.put(workspace, ref, attached.data, owner=owner)
        await self._intake.accept(workspace, message, actor=ACTOR, trusted_thread=made.trusted_thread, extra=made.extra)

    def _workspace_of(self, message: InboundMessage) -> str:
        assert message.account is not None
        return self._settings.accounts[message.account]


class _Connection(SMTP):
    """One client. Too many at once are told so, and hung up on."""

    # RFC 5321 allows 1,000; what programs make of HTML is longer, and not the customer's fault.
    line_length_limit = 262_144

    def __init__(self, listener: SmtpListener, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._listener.take(transport):
            assert isinstance(transport, asyncio.WriteTransport)
            transport.write(b"421 4.7.0 too many connections, please come back later\r\n")
            transport.close()
            return
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._listener.give_back(self.transport):
            super().connection_lost(error)


class SmtpListener:
    """Listens, counts connections, and closes them at the end."""

    def __init__(self, settings: EmailSettings, mailboxes: Mailboxes) -> None:
        self._settings = settings
        self._mailboxes = mailboxes
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.BaseTransport] = set()

    async def start(self) -> int:
        """Bind; returns the port. Raises `OSError` when it is taken."""
        settings = self._settings
        loop = asyncio.get_running_loop()

        def connection() -> _Connection:
            return _Connection(
                self,
                self._mailboxes,
                data_size_limit=settings.largest_mail,
                hostname=settings.hostname,
                ident="Switchdesk",
                enable_SMTPUTF8=True,
                timeout=settings.timeout_s,
                loop=loop,
            )

        self._server = await loop.create_server(connection, settings.host, settings.port)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """No new connections; open ones are cut: what was not answered with 250 comes again."""
        if self._server is None:
            return
        self._server.close()
        for transport in list(self._open):
            transport.close()
        await self._server.wait_closed()
        self._server = None

    def take(self, transport: asyncio.BaseTransport) -> bool:
        if len(self._open) >= self._settings.most_connections:
            return False
        self._open.add(transport)
        return True

    def give_back(self, transport: asyncio.BaseTransport | None) -> bool:
        if transport not in self._open:
            return False
        self._open.discard(transport)
        return True
