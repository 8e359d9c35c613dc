"""`python -m services.ingest_email`: mail as a process of its own. `… config` prints its settings."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from pydantic import Field

from services.ingest_email.app import build_email
from services.ingest_email.settings import EmailSettings
from shared.admin import Ready
from shared.ingest_process import run_ingest
from shared.intake import Intake
from shared.metrics import ProcessMetrics
from shared.process import Backends, Port, ProcessSettings
from shared.service import Part
from shared.web_server import cannot_listen


class EmailProcessSettings(ProcessSettings):
    """A process whose public port speaks SMTP."""

    smtp_port: Port = Field(2525, description="Mail comes in here.")


def assemble(
    settings: EmailProcessSettings,
    backends: Backends,
    intake: Intake,
    sockets: ExitStack,
    metrics: ProcessMetrics,
    stopping: asyncio.Event,
) -> tuple[Sequence[Part], Ready]:
    """The SMTP listener, and the way out for replies."""
    email = build_email(
        EmailSettings.read(below={"host": settings.host, "port": settings.smtp_port}),
        intake=intake,
        inputs=backends.log.inputs,
        content=backends.log.content,
        views=backends.views,
        clock=backends.clock,
        partition_of=backends.partition_of,
    )
    email.observe(metrics)
    listening = asyncio.Event()

    async def run(stop: asyncio.Event) -> None:
        try:
            await email.listen()
        except OSError as error:
            raise cannot_listen(error, settings.host, settings.smtp_port, setting="SMTP_PORT") from None
        listening.set()
        await email.run(stop)

    return [Part(name="mail", run=run)], lambda: True if listening.is_set() else "SMTP is starting"


if __name__ == "__main__":
    sys.exit(run_ingest("ingest_email", EmailProcessSettings, EmailSettings, assemble, sys.argv[1:]))
