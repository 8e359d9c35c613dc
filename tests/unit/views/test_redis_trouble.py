"""Redis flushed, restored, killed, silent, and publishers that should have stopped: the views become right again."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis.asyncio import Redis

from shared.views.port import ViewsUnavailable
from shared.views.redis import RedisViews
from shared.views.redis_queue import Batch
from tests.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer
from tests.unit.views.redis_lives import opened, publishing, write_anew
from tests.unit.views.suite import change, deletion, ids, publish


async def test_flushed_views_are_lost_with_the_next_entry_and_right_after_writing_anew(server: RedisServer) -> None:
    async with publishing(server.url) as views:
        await publish(views, change("c1", 5), deletion("c2", 6), seq=6)
        server.flush()
        await views.publish(0, 7, [change("c3", 7)])
        await views.flush()
        assert views.lost(0)
        assert views.losses == 1

        # Nothing that comes before the clearing is written any more.
        await publish(views, change("c4", 8))
        await write_anew(views, [change("c1", 5), change("c3", 7), change("c4", 8)], 8)
        assert not views.lost(0)
        assert await views.seq(0) == 8
        assert await ids(views) == ["c1", "c3", "c4"]
        assert await views.begin(0, "e1") == 8


async def test_flushed_views_of_a_quiet_partition_are_lost_too_and_readers_learn_it(server: RedisServer) -> None:
    async with publishing(server.url) as views, opened(server.url) as reader:
        await publish(views, change("c1", 5))
        assert await reader.wait_for(0, 5, 5)
        async with reader.watch("w1", "contact", "c1") as watch:
            server.flush()

            assert await watch.wait(5)
        assert not await reader.wait_for(0, 5, 0)
        await eventually(lambda: views.lost(0))


async def test_views_restored_from_an_older_copy_are_lost(lasting: RedisServer) -> None:
    async with publishing(lasting.url) as views, Redis.from_url(lasting.url) as client:
        await publish(views, change("c1", 5))
        old = {key: await client.dump(key) for key in await client.keys("*")}
        await publish(views, change("c1", 6, state="later"))
        await client.flushall()
        for key, value in old.items():
            assert value is not None
            await client.restore(key, 0, value)

        await views.publish(0, 7, [change("c2", 7)])
        await views.flush()
        assert views.lost(0)


async def test_redis_killed_and_back_with_its_data_has_lost_nothing(lasting: RedisServer) -> None:
    async with publishing(lasting.url) as views, opened(lasting.url) as reader:
        await publish(views, change("c1", 5))
        lasting.kill()
        for seq in range(6, 30):
            await views.publish(0, seq, [change(f"c{seq}", seq)])
        with pytest.raises(ViewsUnavailable):
            await reader.get("w1", "contact", "c1")
        assert isinstance(await eventually(lambda: reader.healthy() is not True and reader.healthy()), str)
        lasting.start()
        async with asyncio.timeout(10):
            await views.flush()

        assert await reader.wait_for(0, 29, 5)
        assert len(await ids(reader)) == 25
        assert (views.lost(0), views.losses) == (False, 0)
        assert views.retries > 0
        await eventually(lambda: reader.healthy() is True)


async def test_redis_killed_and_back_empty_is_lost(server: RedisServer) -> None:
    async with publishing(server.url) as views:
        await publish(views, change("c1", 5))
        server.restart()
        await views.publish(0, 6, [change("c2", 6)])
        async with asyncio.timeout(10):
            await views.flush()

        assert views.lost(0)
        await write_anew(views, [change("c1", 5), change("c2", 6)], 6)
        assert await ids(views) == ["c1", "c2"]


async def test_what_is_published_while_redis_is_silent_is_written_afterwards_in_order(server: RedisServer) -> None:
    async with publishing(server.url) as views:
        await publish(views, change("c1", 1))
        server.pause()
        began = time.monotonic()
        for seq in range(2, 502):
            await views.publish(0, seq, [change("c1", seq), change(f"d{seq}", seq)])
            if seq == 100:
                await views.publish(0, seq, [deletion("d50", 100)])
        assert time.monotonic() - began < 2
        assert views.queued > 400
        assert views.queued_bytes > 0
        # Long enough for a time-out, whose writes may or may not have happened.
        await eventually(lambda: views.retries >= 2, within_s=10)
        server.resume()
        async with asyncio.timeout(10):
            await views.flush()

        assert (views.queued, views.queued_bytes) == (0, 0)
        assert await views.get("w1", "contact", "c1") == {"id": "c1", "seq": 501}
        assert len(await ids(views, limit=1_000)) == 500
        assert await views.get("w1", "contact", "d50") is None
        assert not views.lost(0)


@pytest.mark.parametrize("limit", [{"max_queued": 100}, {"max_queued_bytes": 50_000}], ids=["entries", "bytes"])
async def test_a_queue_that_overflows_is_dropped_and_lost_once_redis_answers(
    server: RedisServer, limit: dict[str, int]
) -> None:
    async with publishing(server.url, **limit) as views:
        await publish(views, change("c1", 1))
        server.pause()
        for seq in range(2, 302):
            await views.publish(0, seq, [change(f"c{seq}", seq)])
        assert views.losses == 1
        assert views.queued == 0
        # Writing anew into an outage would only overflow again.
        assert not views.lost(0)
        async with asyncio.timeout(1):
            await views.flush()
        server.resume()

        await eventually(lambda: views.lost(0))
        await write_anew(views, [change("c9", 9)], 301)
        assert await ids(views) == ["c9"]
        assert not views.lost(0)


async def test_a_publisher_that_could_not_begin_writes_anew_when_it_can(server: RedisServer) -> None:
    server.kill()
    async with opened(server.url) as views:
        with pytest.raises(ViewsUnavailable):
            await views.begin(0, "e1")
        await views.publish(0, 3, [change("c1", 3)])
        assert not views.lost(0)
        server.start()
        await eventually(lambda: views.lost(0))
        await write_anew(views, [change("c1", 3)], 3)
        assert await views.begin(0, "e1") == 3


async def test_a_deposed_publisher_changes_nothing_and_loses_nothing(server: RedisServer) -> None:
    async with publishing(server.url) as old, publishing(server.url) as new:
        await publish(old, change("c1", 5), change("c2", 5))
        await new.begin(0, "e1")
        await publish(new, change("c1", 8, by="new"), deletion("c2", 8))

        await publish(old, change("c1", 7, by="old"), change("c2", 7), seq=7)
        assert await new.get("w1", "contact", "c1") == {"id": "c1", "seq": 8, "by": "new"}
        assert await ids(new) == ["c1"]
        assert await new.seq(0) == 8
        assert not old.lost(0)
        await publish(new, change("c1", 9))
        assert not new.lost(0)


async def test_a_deposed_publisher_brings_nothing_back_after_everything_was_written_anew(server: RedisServer) -> None:
    async with publishing(server.url) as old, publishing(server.url) as new:
        await publish(old, change("c1", 5), change("c2", 5))
        await new.begin(0, "e1")
        # `c2` has ended by now; the clearing forgets that it was ever deleted.
        await write_anew(new, [change("c1", 8, by="new")], 8)

        await publish(old, change("c1", 7, by="old"), change("c2", 7), change("c3", 7), seq=7)
        assert await ids(new) == ["c1"]
        assert not old.lost(0)

        # If it leads again, and is ahead, it goes on from what the other wrote.
        await publish(old, change("c3", 9), seq=9)
        assert await ids(new) == ["c1", "c3"]
        assert (old.lost(0), new.lost(0)) == (False, False)
        await publish(new, change("c4", 10), seq=10)
        assert await ids(new) == ["c1", "c3", "c4"]
        assert (old.losses, new.losses) == (0, 0)


async def test_a_workspace_that_was_cleared_is_closed_to_older_publishers_though_nothing_was_written_since(
    server: RedisServer,
) -> None:
    async with publishing(server.url) as old, publishing(server.url) as new:
        await publish(old, change("c1", 5), seq=5)
        await write_anew(new, [], 8)

        await publish(old, change("c1", 6), seq=6)
        assert await ids(new) == []


async def test_documents_that_redis_refuses_are_not_taken_for_written(server: RedisServer) -> None:
    async with publishing(server.url) as views, Redis.from_url(server.url) as client:
        await publish(views, change("c1", 1))
        await client.set("switchdesk:{w:w1}:d:agent", "in the way")
        await publish(views, change("a1", 2, kind="agent"))
        assert views.lost(0)

        await write_anew(views, [change("a1", 2, kind="agent")], 2)
        assert await views.get("w1", "agent", "a1") == {"id": "a1", "seq": 2}


async def test_who_is_cleared_away_by_an_older_publisher_notices(server: RedisServer) -> None:
    async with publishing(server.url) as old, publishing(server.url) as new:
        await publish(new, change("c1", 8))
        await write_anew(old, [change("c1", 5)], 5)

        await publish(new, change("c2", 9), seq=9)
        assert new.lost(0)
        await write_anew(new, [change("c1", 8), change("c2", 9)], 9)
        await publish(old, change("c1", 6), change("c9", 6), seq=6)
        assert await ids(new) == ["c1", "c2"]


async def test_clearing_reaches_workspaces_that_nobody_remembers(server: RedisServer) -> None:
    async with publishing(server.url) as views:
        await publish(views, change("c1", workspace="gone"), change("c1"))
        assert await views.begin(0, "e2") == 0
        await views.clear(0, ["w1"])
        await publish(views, change("c1", 1))

        assert await views.get("gone", "contact", "c1") is None
        async with Redis.from_url(server.url) as client:
            assert not [key for key in await client.keys("*") if b"{w:gone}" in key and b":generation" not in key]


async def test_clearing_in_an_outage_happens_afterwards_and_before_what_comes_later(server: RedisServer) -> None:
    async with publishing(server.url) as views:
        await publish(views, change("c1", 5), change("c2", 5))
        server.pause()
        await views.publish(0, 6, [change("c3", 6)])
        await eventually(lambda: views.retries >= 1, within_s=5)
        await views.clear(0, ["w1"])
        await views.publish(0, None, [change("c1", 5)])
        await views.publish(0, 7, [])
        server.resume()
        async with asyncio.timeout(10):
            await views.flush()

        # What was under way before the clearing may arrive behind it, and must not count.
        assert await ids(views) == ["c1"]
        assert await views.seq(0) == 7
        assert not views.lost(0)


async def test_what_an_older_write_finds_after_the_clearing_was_called_does_not_count(server: RedisServer) -> None:
    async with (
        Proxy(server.port) as proxy,
        publishing(f"redis://127.0.0.1:{proxy.port}/0") as views,
        opened(server.url) as reader,
    ):
        await publish(views, change("c1", 5))
        server.flush()
        proxy.swallow()
        await views.publish(0, 6, [change("c2", 6)])
        # Time to be sent into the hole; nobody out here can see that it was.
        await asyncio.sleep(0.1)
        assert views.queued == 1
        await views.clear(0, ["w1"])
        await views.publish(0, None, [change("c1", 5), change("c2", 6)])
        await views.publish(0, 6, [])
        proxy.pass_all()
        async with asyncio.timeout(10):
            await views.flush()

        assert await ids(reader) == ["c1", "c2"]
        assert (views.lost(0), views.losses) == (False, 0)


async def test_closing_does_not_wait_for_a_silent_redis(server: RedisServer) -> None:
    async with publishing(server.url) as views:
        await publish(views, change("c1", 1))
        server.pause()
        await views.publish(0, 2, [change(f"c{n}", 2, text="x" * 1_000) for n in range(20_000)])
        reading = asyncio.create_task(views.get("w1", "contact", "c1"))
        await eventually(lambda: views.retries >= 1)
        began = time.monotonic()
        await views.close()
        assert time.monotonic() - began < 3
        with pytest.raises(ViewsUnavailable):
            await reading


async def test_ten_thousand_documents_are_written_anew_in_slices_through_a_small_queue(server: RedisServer) -> None:
    async with publishing(server.url, max_queued_bytes=200_000) as views, opened(server.url) as reader:
        names = [f"c{n:05}" for n in range(10_000)]
        await publish(views, change("old", 1))
        await views.clear(0, ["w1"])
        async with reader.watch("w1", "contact", names[-1]) as watch:
            for place in range(0, len(names), 100):
                await views.publish(0, None, [change(name, 1, text="x" * 100) for name in names[place : place + 100]])
            await views.publish(0, 5, [])
            await views.flush()
            assert await watch.wait(5)

        assert views.losses == 0
        assert await reader.wait_for(0, 5, 5)
        assert await ids(reader, limit=20_000) == names


async def test_databases_and_prefixes_keep_apart(server: RedisServer) -> None:
    plain = server.url.removesuffix("/0")
    async with (
        publishing(f"{plain}/0?prefix=a") as views,
        opened(f"{plain}/0?prefix=b") as other,
        opened(f"{plain}/1?prefix=a") as elsewhere,
    ):
        async with other.watch("w1", "contact") as first, elsewhere.watch("w1", "contact") as second:
            await publish(views, change("c1", 1))
            assert not await first.wait(0.1)
            assert not await second.wait(0)
        assert await other.get("w1", "contact", "c1") is None
        assert await elsewhere.seq(0) == 0


@pytest.mark.parametrize(
    "url", ["http://h:1/0", "redis:///0", "redis://h:1/x", "redis://h:1/0?prefix=a{b", "redis://h:1/0?timeout=9"]
)
async def test_a_malformed_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"Redis address|prefix"):
        RedisViews(url, name="test")


async def test_a_redis_that_drops_what_it_likes_is_told_of(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(server.url):
        assert not caplog.records
    async with Redis.from_url(server.url) as client:
        await client.config_set("maxmemory-policy", "allkeys-lru")
    async with opened(server.url):
        assert "noeviction" in caplog.text


async def test_writing_that_dies_begins_again_and_everything_is_written_anew(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with publishing(server.url) as views:
        await publish(views, change("c1", 5))
        writer = views._writers[0]
        write = writer._write

        async def dies(batch: Batch) -> None:
            monkeypatch.setattr(writer, "_write", write)
            raise KeyError("nobody foresaw this")

        monkeypatch.setattr(writer, "_write", dies)
        await views.publish(0, 6, [change("c2", 6)])
        await eventually(lambda: "begin again" in str(views.healthy()))
        await eventually(lambda: views.healthy() is True)
        await eventually(lambda: views.lost(0))
        await write_anew(views, [change("c1", 5), change("c2", 6)], 6)

        assert await ids(views) == ["c1", "c2"]
        assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"]
