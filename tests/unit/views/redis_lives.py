"""Redis views for tests, opened and closed, and what a publisher does after a loss."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from shared.views.port import Change
from shared.views.redis import RedisViews

AWAY_S: Final = 2.0
"""Within this a reader learns that Redis is away: 1.2 s, and something for a loaded machine."""


@asynccontextmanager
async def opened(url: str, *, name: str = "test", **options: int) -> AsyncIterator[RedisViews]:
    views = RedisViews(url, name=name, **options)
    await views.open()
    try:
        yield views
    finally:
        await views.close()


@asynccontextmanager
async def publishing(url: str, **options: int) -> AsyncIterator[RedisViews]:
    async with opened(url, name="publisher", **options) as views:
        await views.begin(0, "e1")
        yield views


async def write_anew(views: RedisViews, changes: Sequence[Change], seq: int) -> None:
    await views.clear(0, ["w1"])
    for one in changes:
        await views.publish(0, None, [one])
    await views.publish(0, seq, [])
    await views.flush()
