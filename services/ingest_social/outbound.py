"""Agents' replies and outbound messages over social channels: by the provider's API, or as a file in the outbox where
we have no token."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from services.ingest_social.platforms.port import Platform
from shared.delivery import Delivered, Outcome, Reply, TryAgain, file_name, write_private


class PlatformCarrier:
    """One provider's way out."""

    def __init__(self, platform: Platform, outbox: Path) -> None:
        self._platform = platform
        self._outbox = outbox

    async def carry(self, reply: Reply) -> Outcome:
        outcome = await self._platform.send(reply)
        return outcome if outcome is not None else await self._keep(reply)

    async def _keep(self, reply: Reply) -> Outcome:
        request = {
            "message": reply.message,
            "channel": reply.channel,
            "account": reply.account,
            "request": self._platform.request_of(reply),
        }
        data = json.dumps(request, ensure_ascii=False, indent=2).encode() + b"\n"
        try:
            await asyncio.to_thread(write_private, self._outbox / f"{file_name(reply.message)}.json", data)
        except OSError as error:
            return TryAgain(f"outbox: {type(error).__name__}")
        return Delivered("outbox")
