"""Documents that are asked for at a time are asked for together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from shared.redis_link import DEADLINE_S, Argument, RedisLink, RedisUrl
from shared.views.redis_reads import MOST, Reads
from tests.support.redis import RedisServer

pytestmark = pytest.mark.integration


class Away(Exception):
    pass


class Watched(RedisLink):
    """A link that notes how many commands went together."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__(RedisUrl.parse(server.url), name="test", connections=2, away=Away)
        self.together: list[int] = []

    async def call(self, *command: Argument) -> Any:
        self.together.append(1)
        return await super().call(*command)

    async def call_many(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        self.together.append(len(commands))
        return await super().call_many(commands)


async def test_whoever_asks_while_an_answer_is_out_is_answered_with_others(server: RedisServer) -> None:
    link = Watched(server)
    reads = Reads(link)
    for number in range(MOST + 50):
        await link.call("HSET", "documents", str(number), f"text {number}")
    link.together.clear()
    answers = await asyncio.gather(*(reads.call("HGET", "documents", str(number)) for number in range(MOST + 50)))
    assert answers == [f"text {number}".encode() for number in range(MOST + 50)]
    assert link.together == [MOST, 50]
    assert await reads.call("HGET", "documents", "nobody") is None
    assert link.together == [MOST, 50, 1]
    await reads.close()
    await link.close()


async def test_whoever_gives_up_holds_nobody_else_up(server: RedisServer) -> None:
    link = Watched(server)
    reads = Reads(link)
    await link.call("HSET", "documents", "a", "text")
    first, second, third = (asyncio.create_task(reads.call("HGET", "documents", "a")) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    assert (await first, await third) == (b"text", b"text")
    with pytest.raises(asyncio.CancelledError):
        await second
    await reads.close()
    await link.close()


async def test_who_asks_of_a_redis_that_hangs_is_told_in_time_and_answered_when_it_goes_on(
    server: RedisServer,
) -> None:
    link = Watched(server)
    reads = Reads(link)
    await link.call("HSET", "documents", "a", "text")
    server.pause()
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        asked = [asyncio.create_task(reads.call("HGET", "documents", "a"))]
        await asyncio.sleep(DEADLINE_S / 2)
        asked += [asyncio.create_task(reads.call("HGET", "documents", "a")) for _ in range(2)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Away, Away, Away]
        assert loop.time() - began < 2 * DEADLINE_S, "nobody waits for a time-out and then for one of their own"
    finally:
        server.resume()
    assert await reads.call("HGET", "documents", "a") == b"text"
    await reads.close()
    await link.close()


async def test_closing_leaves_nobody_waiting(server: RedisServer) -> None:
    link = Watched(server)
    reads = Reads(link)
    server.pause()
    try:
        asked = [asyncio.create_task(reads.call("HGET", "documents", "a")) for _ in range(3)]
        await asyncio.sleep(0.05)
        await reads.close()
        answers = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), DEADLINE_S)
    finally:
        server.resume()
    assert [type(answer) for answer in answers] == [asyncio.CancelledError] * 3
    await link.close()
