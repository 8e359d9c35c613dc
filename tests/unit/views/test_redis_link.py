"""The link to Redis under the loop that services run on."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from shared.redis_link import RedisLink, RedisUrl
from tests.support.redis import RedisServer


class Away(Exception):
    pass


@pytest.mark.integration
def test_a_connection_that_was_reset_is_redis_being_away_and_not_a_bug() -> None:
    """uvloop refuses to write on it with a `RuntimeError`, where asyncio's own loop keeps quiet."""

    async def talk(server: RedisServer) -> None:
        link = RedisLink(RedisUrl.parse(server.url), name="test", connections=1, away=Away)
        try:
            await link.call("SET", "name", "value")
            for _ in range(3):
                connection = link._client.connection_pool._available_connections[-1]
                assert connection._writer is not None
                connection._writer.transport.abort()
                with pytest.raises(Away):
                    await link.call("GET", "name")
                assert await link.call("GET", "name") == b"value"
        finally:
            await link.close()

    with RedisServer() as server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        server.start()
        runner.run(talk(server))
