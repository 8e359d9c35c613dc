"""A request that its client gave up is watched to its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.eventually import eventually
from tests.faults import patience
from tests.faults.history import History
from tests.faults.patience import PatientClient

ANSWER = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "ANSWER_S", 0.1)
    monkeypatch.setattr(patience, "HANG_S", 0.6)


@contextlib.asynccontextmanager
async def _server(after_s: float, answer: bytes) -> AsyncIterator[str]:
    """Says the same to everybody; with no bytes to say it hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(after_s):
                await reader.read()
        with contextlib.suppress(ConnectionError):
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@pytest.mark.parametrize(("after_s", "status"), [(0.3, 503), (5.0, 0)])
async def test_an_answer_that_nobody_waits_for_any_more_is_noted(after_s: float, status: int) -> None:
    history = History()
    async with _server(after_s, ANSWER) as url, PatientClient("ana", history, {}) as client:
        assert await client.send("GET", url) is None
        assert history.lates == []
        (late,) = await eventually(lambda: history.lates)
        assert (late.who, late.what, late.status) == ("ana", f"GET {url}", status)
        assert min(after_s, patience.HANG_S) <= late.seconds < min(after_s, patience.HANG_S) + 2.0


async def test_an_answer_in_time_and_a_broken_connection_are_not_noted() -> None:
    history = History()
    async with PatientClient("ana", history, {}) as client:
        async with _server(0.0, ANSWER) as url:
            answer = await client.send("GET", url, wait_s=5.0)
            assert answer is not None
            assert answer.status_code == 503
        async with _server(0.3, b"") as url:
            assert await client.send("GET", url) is None
            await asyncio.sleep(0.6)
        assert await client.send("GET", url) is None
    assert history.lates == []
