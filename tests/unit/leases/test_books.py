"""Both books of leases keep what a book keeps; the one in Redis is shared, and says when Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.clock import SystemClock
from shared.leases.memory import MemoryLeaseBook
from shared.leases.port import LeaseBook
from shared.leases.redis import RedisLeaseBook
from shared.views.port import ViewsUnavailable
from tests.eventually import eventually
from tests.support.redis import RedisServer
from tests.unit.leases.suite import STANDSTILL_S, LeaseBookSuite


class TestMemoryLeaseBook(LeaseBookSuite):
    @pytest.fixture
    def book(self) -> LeaseBook:
        return MemoryLeaseBook(SystemClock(), standstill_s=STANDSTILL_S)


class TestRedisLeaseBook(LeaseBookSuite):
    @pytest.fixture
    async def book(self, redis_url: str, prefix: str) -> AsyncIterator[LeaseBook]:
        book = RedisLeaseBook(f"{redis_url}?prefix={prefix}", name="suite", standstill_s=STANDSTILL_S)
        yield book
        await book.close()

    async def test_two_processes_share_a_book(self, book: LeaseBook, redis_url: str, prefix: str) -> None:
        other = RedisLeaseBook(f"{redis_url}?prefix={prefix}", name="other", standstill_s=STANDSTILL_S)
        try:
            await book.renew([("w1", "ana", 0.05)])
            await other.renew([("w1", "ana", 60), ("w1", "ben", 0)])

            assert await book.held("w1", "ana")
            assert await book.lapsed("w1") == ["ben"]
        finally:
            await other.close()


async def test_an_outage_of_redis_lapses_nobody_who_held_a_lease() -> None:
    with RedisServer() as server:
        server.start()
        book = RedisLeaseBook(server.url, name="test", standstill_s=STANDSTILL_S)
        await book.renew([("w1", "ana", 0.5), ("w1", "ben", 0)])
        server.pause()
        for call in (book.lapsed("w1"), book.held("w1", "ana"), book.renew([("w1", "ben", 60)])):
            async with asyncio.timeout(2):
                with pytest.raises(ViewsUnavailable):
                    await call
        server.resume()

        assert await book.held("w1", "ana")
        assert "ana" not in await book.lapsed("w1")
        await book.close()


async def test_a_lost_book_lapses_nobody() -> None:
    with RedisServer() as server:
        server.start()
        book = RedisLeaseBook(server.url, name="test")
        await book.renew([("w1", "ana", 0.1), ("w1", "ben", 0)])
        server.kill()
        with pytest.raises(ViewsUnavailable):
            await book.held("w1", "ana")
        server.start()

        assert await book.lapsed("w1") == []
        assert not await book.held("w1", "ana")
        await book.renew([("w1", "ana", 0.05)])

        async def lapsed() -> bool:
            return await book.lapsed("w1") == ["ana"]

        await eventually(lapsed)
        await book.close()
