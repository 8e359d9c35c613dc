"""Whoever watches or waits learns of a change though hints are lost, late or silent."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from shared.views.port import ViewsUnavailable
from tests.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer
from tests.unit.views.redis_lives import AWAY_S, opened, publishing
from tests.unit.views.suite import change, publish


async def test_a_silent_redis_is_away_for_readers_in_time_and_hints_come_back_with_it(server: RedisServer) -> None:
    async with publishing(server.url) as views, opened(server.url) as reader:
        await publish(views, change("c1", 1))
        await reader.get("w1", "contact", "c1")
        async with reader.watch("w1", "contact", "c2") as watch:
            server.pause()
            calls = [
                reader.get("w1", "contact", "c1"),
                reader.list("w1", "contact"),
                reader.seq(0),
                reader.wait_for(0, 9, 0),
                reader.claim("rounds", "a", 1),
                views.begin(0, "e1"),
            ]
            began = time.monotonic()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [ViewsUnavailable] * len(calls)
            assert time.monotonic() - began < AWAY_S
            await eventually(lambda: reader.healthy() is not True, within_s=10)
            await eventually(lambda: reader.reconnects == 0 and "subscription" in str(reader.healthy()), within_s=10)
            server.resume()

            # The subscription is made anew, and that alone wakes whoever watches.
            assert await watch.wait(5)
            await eventually(lambda: reader.healthy() is True)
            assert reader.reconnects == 1
            await views.begin(0, "e1")
            await publish(views, change("c2", 2))
            assert await watch.wait(1)


async def test_a_lost_connection_for_hints_wakes_whoever_watches(server: RedisServer) -> None:
    async with (
        publishing(server.url) as views,
        opened(server.url, name="reader") as reader,
        Redis.from_url(server.url) as client,
        reader.watch("w1", "contact", "c1") as watch,
    ):
        found = [one for one in await client.client_list() if one["name"] == "reader-hints" and one["psub"] == "1"]
        assert len(found) == 1
        await client.client_kill_filter(_id=found[0]["id"])
        await publish(views, change("c1", 1))

        assert await watch.wait(3)
        await eventually(lambda: reader.reconnects == 1)
        await publish(views, change("c1", 2))
        assert await watch.wait(1)


async def test_a_hint_that_was_lost_is_missed_with_the_next_beat(server: RedisServer) -> None:
    async with publishing(server.url) as views, opened(server.url) as reader, Redis.from_url(server.url) as client:
        await publish(views, change("c1", 1))
        assert await reader.wait_for(0, 1, 5)
        async with reader.watch("w1", "contact", "c1") as watch:
            # As if one had been published while nobody was listening.
            await client.hincrby("switchdesk:{p:0}:state", "number", 1)

            assert await watch.wait(5)
        assert reader.hints_missed == 1
        # Its publisher listens too, and nobody is woken twice.
        async with reader.watch("w1", "contact", "c1") as watch:
            await publish(views, change("c1", 2))
            assert await watch.wait(5)
            assert not await watch.wait(0.1)
        assert reader.hints_missed == 1


async def test_a_seq_that_no_hint_told_of_is_found_by_looking(server: RedisServer) -> None:
    async with opened(server.url) as reader, Redis.from_url(server.url) as client:

        async def looks() -> int:
            count = (await client.info("commandstats")).get("cmdstat_hget", {"calls": 0})["calls"]
            return int(count)

        async def all_have_looked() -> bool:
            return await looks() >= 20

        waiting = [asyncio.create_task(reader.wait_for(0, 5, 20)) for _ in range(20)]
        await eventually(all_have_looked)
        before = await looks()
        await asyncio.sleep(1)
        again = await looks() - before
        await client.hset("switchdesk:{p:0}:state", "seq", "5")

        began = time.monotonic()
        assert all(await asyncio.gather(*waiting))
        assert time.monotonic() - began < 1
        # One look is for all who wait.
        assert 2 <= again <= 6


async def test_a_swallowed_connection_is_noticed_though_nothing_fails(server: RedisServer) -> None:
    async with (
        Proxy(server.port) as proxy,
        publishing(server.url) as views,
        opened(f"redis://127.0.0.1:{proxy.port}/0") as reader,
    ):
        await publish(views, change("c1", 1))
        assert await reader.get("w1", "contact", "c1")
        proxy.swallow()
        began = time.monotonic()
        with pytest.raises(ViewsUnavailable):
            await reader.get("w1", "contact", "c1")
        assert time.monotonic() - began < AWAY_S
        await publish(views, change("c1", 2))
        await eventually(lambda: reader.healthy() is not True, within_s=8)
        proxy.cut()
        proxy.pass_all()

        assert await reader.wait_for(0, 2, 5)
        assert await reader.get("w1", "contact", "c1") == {"id": "c1", "seq": 2}
        await eventually(lambda: reader.healthy() is True)


async def test_a_publisher_that_watches_is_woken_once_by_its_own_write_though_the_hint_comes_late(
    server: RedisServer,
) -> None:
    async with Proxy(server.port) as proxy, opened(f"redis://127.0.0.1:{proxy.port}/0") as views:
        hints = list(proxy.passages)
        await views.begin(0, "e1")
        await publish(views, change("c1", 1))
        async with views.watch("w1", "contact", "c1") as watch:
            proxy.swallow(hints)
            await publish(views, change("c1", 2))
            assert await watch.wait(0)
            assert await views.wait_for(0, 2, 0)
            proxy.pass_these(hints)

            assert not await watch.wait(0.3)
        assert (views.hints_missed, views.reconnects) == (0, 0)


async def test_two_readers_see_the_same_and_are_both_woken(server: RedisServer) -> None:
    async with publishing(server.url) as views, opened(server.url) as one, opened(server.url) as two:
        async with one.watch("w1", "contact", "c1") as first, two.watch("w1", "contact") as second:
            await publish(views, change("c1", 1))
            assert await first.wait(5)
            assert await second.wait(5)
        for reader in (one, two):
            assert await reader.wait_for(0, 1, 5)
            assert await reader.get("w1", "contact", "c1") == {"id": "c1", "seq": 1}


@pytest.mark.parametrize(
    ("error", "deaths"),
    [
        (RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed"), 0),
        (RuntimeError("nobody foresaw this"), 1),
    ],
    ids=["closed", "unforeseen"],
)
async def test_hints_come_back_after_errors_of_any_kind(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, error: RuntimeError, deaths: int
) -> None:
    async with publishing(server.url) as views, opened(server.url) as reader:
        hints = reader._hints
        listen = hints._listen

        async def fails(subscriber: PubSub) -> None:
            monkeypatch.setattr(hints, "_listen", listen)
            raise error

        async with reader.watch("w1", "contact", "c1") as watch:
            monkeypatch.setattr(hints, "_listen", fails)
            await eventually(lambda: hints.reconnects == 1)
            assert await watch.wait(5)
        assert [part.deaths for part in reader._parts] == [deaths]
        await eventually(lambda: reader.healthy() is True)
        async with reader.watch("w1", "contact", "c1") as watch:
            await publish(views, change("c1", 1))
            assert await watch.wait(1)
