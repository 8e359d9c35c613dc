"""The proxy does what it says to real sockets; a fault suite on a proxy that only passes would prove nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.eventually import eventually
from tests.support.proxy import Proxy

SILENCE_S = 0.15


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """A proxy before a server that says everything back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with Proxy(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy
    server.close()
    await server.wait_closed()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, words: bytes) -> None:
        self.writer.write(words)

    async def hear(self, within_s: float = 5.0) -> bytes:
        async with asyncio.timeout(within_s):
            return await self.reader.read(1000)


@contextlib.asynccontextmanager
async def connected(proxy: Proxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_passes_both_ways(proxy: Proxy) -> None:
    async with connected(proxy) as client:
        client.say(b"hello")
        assert await client.hear() == b"hello"


async def test_the_end_of_one_side_reaches_the_other(proxy: Proxy) -> None:
    async with connected(proxy) as client:
        client.say(b"last")
        client.writer.write_eof()
        assert await client.hear() == b"last"
        assert await client.hear() == b""
    await eventually(lambda: not proxy.passages)


async def test_a_cut_is_a_reset_and_the_next_connection_passes(proxy: Proxy) -> None:
    async with connected(proxy) as client:
        client.say(b"hello")
        await client.hear()
        assert proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            await client.hear()
    async with connected(proxy) as client:
        client.say(b"again")
        assert await client.hear() == b"again"


async def test_a_hole_keeps_connections_and_moves_nothing_until_it_passes(proxy: Proxy) -> None:
    async with connected(proxy) as before:
        before.say(b"one")
        await before.hear()
        proxy.swallow()
        before.say(b"two")
        async with connected(proxy) as during:
            during.say(b"three")
            for client in (before, during):
                with pytest.raises(TimeoutError):
                    await client.hear(SILENCE_S)
            proxy.pass_all()
            assert (await before.hear(), await during.hear()) == (b"two", b"three")


async def test_one_connection_of_several_can_be_hit(proxy: Proxy) -> None:
    async with connected(proxy) as one:
        one.say(b"one")
        await one.hear()
        (passage,) = proxy.passages
        async with connected(proxy) as other:
            proxy.swallow([passage])
            one.say(b"one")
            other.say(b"other")
            assert await other.hear() == b"other"
            with pytest.raises(TimeoutError):
                await one.hear(SILENCE_S)
            proxy.cut([passage])
            with pytest.raises(ConnectionResetError):
                await one.hear()
            other.say(b"still")
            assert await other.hear() == b"still"


async def test_refuses_until_it_passes(proxy: Proxy) -> None:
    async with connected(proxy) as client:
        client.say(b"hello")
        await client.hear()
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            await client.hear()
    with pytest.raises(ConnectionResetError):
        async with connected(proxy) as client:
            await client.hear()
    proxy.pass_all()
    async with connected(proxy) as client:
        client.say(b"hello")
        assert await client.hear() == b"hello"


async def test_a_delay_is_added_each_way(proxy: Proxy) -> None:
    async with connected(proxy) as client:
        proxy.delay_s = 0.05
        asked = asyncio.get_running_loop().time()
        client.say(b"hello")
        await client.hear()
        assert asyncio.get_running_loop().time() - asked >= 0.1


async def test_where_nobody_listens_the_client_is_reset() -> None:
    async with Proxy(1) as proxy:
        with pytest.raises(ConnectionResetError):
            async with connected(proxy) as client:
                await client.hear()
