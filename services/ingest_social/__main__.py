"""`python -m services.ingest_social`: Telegram and Messenger as their own process. `… config` prints its settings."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from services.ingest_social.app import build_social
from services.ingest_social.settings import SocialSettings
from shared.admin import Ready
from shared.ingest_process import run_ingest
from shared.intake import Intake
from shared.process import Backends, ProcessSettings
from shared.service import Part
from shared.web_server import WebServer, listen, web_app


def assemble(
    settings: ProcessSettings, backends: Backends, intake: Intake, sockets: ExitStack, stopping: asyncio.Event
) -> tuple[Sequence[Part], Ready]:
    """Webhooks on the public port, and the way out for replies."""
    social = build_social(
        SocialSettings.read(),
        intake=intake,
        inputs=backends.log.inputs,
        content=backends.log.content,
        views=backends.views,
        clock=backends.clock,
        partition_of=backends.partition_of,
    )
    socket = sockets.enter_context(listen(settings.host, settings.port, setting="PORT"))
    web = WebServer(web_app([social.routes]), socket)
    parts = [Part(name="web", run=web.run), Part(name="social", run=social.run)]
    return parts, lambda: True if web.ready.is_set() else "the web server is starting"


if __name__ == "__main__":
    sys.exit(run_ingest("ingest_social", ProcessSettings, SocialSettings, assemble, sys.argv[1:]))
