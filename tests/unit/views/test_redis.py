"""The Redis views keep what every view store keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.views.port import Views
from shared.views.redis import RedisViews
from tests.unit.views.suite import ViewsSuite


class TestRedisViews(ViewsSuite):
    @pytest.fixture
    async def views(self, redis_url: str, prefix: str) -> AsyncIterator[Views]:
        views = RedisViews(f"{redis_url}?prefix={prefix}", name="suite")
        await views.open()
        try:
            await views.begin(0, "e1")
            yield views
        finally:
            await views.close()
