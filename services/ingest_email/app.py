"""Wiring of the mail service: an SMTP listener and the replies' way out, run together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from services.ingest_email.listener import ACTOR, Mailboxes, SmtpListener
from services.ingest_email.outbound import MailCarrier
from services.ingest_email.reader import MailReader
from services.ingest_email.settings import EmailSettings
from services.ingest_email.thread import SignedIds
from shared.clock import Clock
from shared.delivery import DeliveryDesk
from shared.intake import Intake
from shared.log.port import Content, Inputs
from shared.metrics import ProcessMetrics
from shared.quotas import Quotas
from shared.views.port import Views
from shared.vocabulary import ChannelKind


@dataclass(slots=True)
class Email:
    """The running service. `listen` binds (and tells the port); `run` does so if it has not been done."""

    _listener: SmtpListener
    _reader: MailReader
    _desk: DeliveryDesk
    _quotas: Quotas
    port: int | None = None
    """Where the listener is, once it is."""

    def observe(self, metrics: ProcessMetrics) -> None:
        """Count there what is refused."""
        self._quotas.observe(metrics)

    async def listen(self) -> int:
        """Bind now, so that a busy port is found out before anything else starts. Raises `OSError`."""
        if self.port is None:
            self.port = await self._listener.start()
        return self.port

    async def run(self, stopping: asyncio.Event) -> None:
        """Receives mails and sends replies until `stopping`."""
        await self.listen()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._desk.run(stopping))
                await stopping.wait()
        finally:
            await self._listener.stop()
            await self._reader.close()
            self.port = None


def build_email(
    settings: EmailSettings,
    *,
    intake: Intake,
    inputs: Inputs,
    content: Content,
    views: Views,
    clock: Clock,
    partition_of: Callable[[str], int],
) -> Email:
    """The mail service over these ports."""
    ids = SignedIds(settings.signing_secret.get_secret_value())
    reader = MailReader(settings.parse_timeout_s)
    desk = DeliveryDesk(
        views=views,
        content=content,
        inputs=inputs,
        clock=clock,
        partition_of=partition_of,
        actor=ACTOR,
        carriers={ChannelKind.EMAIL: MailCarrier(settings, ids, clock)},
        workspaces=sorted(set(settings.accounts.values())),
        accounts={(workspace, ChannelKind.EMAIL, account) for account, workspace in settings.accounts.items()},
        give_up_after_s=settings.give_up_after_s,
    )
    quotas = Quotas(settings, clock.monotonic)
    listener = SmtpListener(settings, Mailboxes(settings, intake, content, reader, ids, quotas))
    return Email(listener, reader, desk, quotas)
