"""Redis servers that a test may stop, flush and silence."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.redis import RedisServer


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        server.start()
        yield server


@pytest.fixture
def lasting() -> Iterator[RedisServer]:
    """One that finds its data again after a kill."""
    with RedisServer(append_only=True) as server:
        server.start()
        yield server
