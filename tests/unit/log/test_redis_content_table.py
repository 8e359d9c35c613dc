"""The content table in Redis keeps what every content table keeps, and says when Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from shared.log.content_table import Progress
from shared.log.port import LogUnavailable
from shared.log.redis_content_table import RedisContentTable
from tests.support.redis import RedisServer
from tests.unit.log.content_table_suite import ContentTableSuite, Lose, get, text, tombstone


class TestRedisContentTable(ContentTableSuite):
    @pytest.fixture
    async def table(self, redis_url: str, prefix: str) -> AsyncIterator[RedisContentTable]:
        table = RedisContentTable(f"{redis_url}?prefix={prefix}", name="suite")
        yield table
        await table.close()

    @pytest.fixture
    def lose(self, redis_url: str, prefix: str) -> Lose:
        async def lose() -> None:
            async with Redis.from_url(redis_url) as client:
                async for key in client.scan_iter(match=f"{prefix}:*"):
                    await client.delete(key)

        return lose

    async def test_what_was_begun_anew_meanwhile_is_not_advanced(
        self, table: RedisContentTable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await table.reset(0, 0)
        write = table.apply

        async def slow(partition: int, changes: object) -> None:
            await write(0, [text(0)])
            # Another process finds the table wanting, and begins at the same place.
            await table.reset(0, 0)

        monkeypatch.setattr(table, "apply", slow)
        assert not await table.advance(0, [text(0)], since=0, position=1, complete=True)

        assert await table.progress(0) == Progress(0, complete=False)
        assert await get(table) is None

    async def test_tombstones_go_when_nobody_can_need_them(
        self, table: RedisContentTable, redis_url: str, prefix: str
    ) -> None:
        await table.apply(0, [text(0), text(1, "m:2"), tombstone(2), tombstone(3, "m:2")])
        begin = f"{prefix}:content:{{w:w1}}"
        async with Redis.from_url(redis_url) as client:
            assert await client.zcard(f"{begin}:tombstones") == 2
            await client.zincrby(f"{begin}:tombstones", -16 * 60, "m:1")
            await table.apply(0, [text(4, "m:3")])

            assert set(await client.hkeys(f"{begin}:rows")) == {b"m:2", b"m:3"}
            assert await client.zrange(f"{begin}:tombstones", 0, -1) == [b"m:2"]
            assert await client.zrange(f"{begin}:owners", 0, -1) == [b"ana\0m:3"]


async def test_a_redis_that_is_away_is_said_to_be_within_a_second_and_a_half() -> None:
    with RedisServer() as server:
        server.start()
        table = RedisContentTable(server.url, name="test")
        await table.reset(0, 0)
        await table.apply(0, [text(0)])
        server.pause()
        try:
            for call in (
                table.get_many("w1", ["m:1"]),
                table.refs_of("w1", "ana"),
                table.progress(0),
                table.apply(0, [text(1)]),
                table.advance(0, [], since=0, position=1, complete=True),
                table.reset(0, 0),
            ):
                async with asyncio.timeout(2):
                    with pytest.raises(LogUnavailable):
                        await call
        finally:
            server.resume()
        assert await get(table) == b"text"
        server.kill()
        with pytest.raises(LogUnavailable):
            await table.get_many("w1", ["m:1"])
        server.start()
        assert await table.progress(0) is None
        await table.close()
