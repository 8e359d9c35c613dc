"""A Redis Cluster could keep all of it: no script and no command of ours touches two hash slots.

One node with all slots refuses what several nodes could not do. The suites run on it as they are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.leases.port import LeaseBook
from shared.leases.redis import RedisLeaseBook
from shared.log.redis_content_table import RedisContentTable
from shared.views.port import Views
from shared.views.redis import RedisViews
from tests.support.redis import RedisServer
from tests.unit.leases.suite import STANDSTILL_S, LeaseBookSuite
from tests.unit.log.content_table_suite import ContentTableSuite, Lose
from tests.unit.views.suite import ViewsSuite


@pytest.fixture(scope="module")
def node() -> Iterator[str]:
    with RedisServer(cluster=True) as server:
        server.start()
        yield server.url


@pytest.fixture
def url(node: str, prefix: str) -> str:
    return f"{node}?prefix={prefix}"


class TestRedisViewsInACluster(ViewsSuite):
    @pytest.fixture
    async def views(self, url: str) -> AsyncIterator[Views]:
        views = RedisViews(url, name="suite")
        await views.open()
        await views.begin(0, "e1")
        yield views
        await views.close()


class TestRedisContentTableInACluster(ContentTableSuite):
    @pytest.fixture
    async def table(self, url: str) -> AsyncIterator[RedisContentTable]:
        table = RedisContentTable(url, name="suite")
        yield table
        await table.close()

    @pytest.fixture
    def lose(self, node: str) -> Lose:
        async def lose() -> None:
            async with Redis.from_url(node) as client:
                await client.flushall()

        return lose


class TestRedisLeaseBookInACluster(LeaseBookSuite):
    @pytest.fixture
    async def book(self, url: str) -> AsyncIterator[LeaseBook]:
        book = RedisLeaseBook(url, name="suite", standstill_s=STANDSTILL_S)
        yield book
        await book.close()


async def test_a_node_of_a_cluster_refuses_two_slots_at_once(node: str) -> None:
    async with Redis.from_url(node) as client:
        with pytest.raises(ResponseError, match="same slot"):
            await client.mget(["{w:one}", "{w:two}"])
