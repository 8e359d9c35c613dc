"""Wiring of the social channels: webhooks in, replies out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from fastapi import APIRouter

from services.ingest_social.dead_letters import DeadLetters
from services.ingest_social.outbound import PlatformCarrier
from services.ingest_social.platforms.messenger import Messenger
from services.ingest_social.platforms.port import Platform
from services.ingest_social.platforms.telegram import Telegram
from services.ingest_social.settings import SocialSettings
from services.ingest_social.webhook import ACTOR, Webhooks
from shared.clock import Clock
from shared.delivery import DeliveryDesk
from shared.intake import Intake
from shared.log.port import Content, Inputs
from shared.metrics import ProcessMetrics
from shared.quotas import Quotas
from shared.views.port import Views

# httpx writes whole addresses at INFO, and Telegram's carry the bot's token.
logging.getLogger("httpx").setLevel(logging.WARNING)


@dataclass(slots=True)
class Social:
    """The running service: mount `routes`, run `run` in the process's task group."""

    routes: APIRouter
    _desk: DeliveryDesk
    _client: httpx.AsyncClient
    _dead_letters: DeadLetters
    _quotas: Quotas

    def observe(self, metrics: ProcessMetrics) -> None:
        """Count dead letters and what is refused there."""
        self._dead_letters.observe(metrics)
        self._quotas.observe(metrics)

    async def run(self, stopping: asyncio.Event) -> None:
        """Sends replies until `stopping`."""
        try:
            await self._desk.run(stopping)
        finally:
            await self._client.aclose()


def build_social(
    settings: SocialSettings,
    *,
    intake: Intake,
    inputs: Inputs,
    content: Content,
    views: Views,
    clock: Clock,
    partition_of: Callable[[str], int],
) -> Social:
    """The social channels over these ports."""
    client = httpx.AsyncClient(timeout=settings.send_timeout_s, follow_redirects=False)
    platforms = platforms_of(settings, client)
    accounts = {
        (account.workspace, kind, name)
        for kind, known in (("telegram", settings.telegram), ("messenger", settings.messenger))
        for name, account in known.items()
    }
    desk = DeliveryDesk(
        views=views,
        content=content,
        inputs=inputs,
        clock=clock,
        partition_of=partition_of,
        actor=ACTOR,
        carriers={
            platform.channel: PlatformCarrier(platform, settings.data_dir / "outbox") for platform in platforms.values()
        },
        workspaces=sorted({workspace for workspace, _, _ in accounts}),
        accounts=accounts,
        give_up_after_s=settings.give_up_after_s,
    )
    dead_letters = DeadLetters(settings.data_dir, "ingest_social", clock)
    quotas = Quotas(settings, clock.monotonic)
    routes = APIRouter()
    Webhooks(platforms, intake, dead_letters, settings.largest_body, quotas).add_to(routes)
    return Social(routes, desk, client, dead_letters, quotas)


def platforms_of(settings: SocialSettings, client: httpx.AsyncClient) -> dict[str, Platform]:
    """Providers by name."""
    return {
        "telegram": Telegram(settings.telegram, settings.telegram_api, client),
        "messenger": Messenger(settings.messenger, settings.messenger_api, client),
    }
