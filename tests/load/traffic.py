"""A client that costs little: prepared requests over kept connections, and streams of events read as lines.

It shares the machine with what it measures, so every microsecond that it takes is missing there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

LINE_BYTES: Final = 4 * 1024 * 1024
REPEAT_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request got, and how long it took."""

    status: int
    body: bytes
    took_s: float


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A request as bytes; underscores in the names of headers become dashes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connections:
    """Kept connections to one port; each carries one request at a time."""

    def __init__(self, free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
        self._free = free
        self.repeats = 0

    async def ask(self, raw: bytes) -> Answer:
        """Send on the next free connection. Raises OSError, or AssertionError if the answer has no length."""
        reader, writer = await self._free.get()
        try:
            began = time.perf_counter()
            writer.write(raw)
            head = await reader.readuntil(b"\r\n\r\n")
            _, found, rest = head.lower().partition(b"content-length: ")
            assert found, head
            body = await reader.readexactly(int(rest.split(b"\r\n", 1)[0]))
            return Answer(int(head.split(b" ", 2)[1]), body, time.perf_counter() - began)
        finally:
            self._free.put_nowait((reader, writer))

    async def insist(self, raw: bytes) -> Answer:
        """Send again as long as the answer is 503, as a provider would. Raises AssertionError for other refusals."""
        while (answer := await self.ask(raw)).status == 503:
            self.repeats += 1
            await asyncio.sleep(REPEAT_S)
        assert answer.status in (200, 201, 202), answer
        return answer


@asynccontextmanager
async def connections(port: int, count: int) -> AsyncIterator[Connections]:
    """`count` connections to a port of this machine."""
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    writers = []
    try:
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writers.append(writer)
            free.put_nowait((reader, writer))
        yield Connections(free)
    finally:
        for writer in writers:
            writer.close()


async def closed_loop(to: Connections, raws: Sequence[bytes], width: int, sent: Callable[[int, float], None]) -> None:
    """All requests, `width` at a time, as fast as they are answered. `sent(number, at)` before each."""
    numbers = iter(range(len(raws)))

    async def work() -> None:
        for number in numbers:
            sent(number, time.perf_counter())
            await to.insist(raws[number])

    async with asyncio.TaskGroup() as group:
        for _ in range(width):
            group.create_task(work())


async def open_loop(to: Connections, raws: Sequence[bytes], rate: float, sent: Callable[[int, float], None]) -> None:
    """All requests at `rate` a second, whether or not the ones before were answered."""
    began = time.perf_counter()

    async def one(number: int) -> None:
        sent(number, time.perf_counter())
        await to.insist(raws[number])

    async with asyncio.TaskGroup() as group:
        for number in range(len(raws)):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            group.create_task(one(number))


@dataclass(slots=True)
class Streams:
    """Many open event streams; `heard(stream, data, at)` is called for each event's data."""

    heard: Callable[[int, bytes, float], None]
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def open(self, number: int, port: int, raw: bytes) -> None:
        """Ask for a stream and read it from now on. Raises AssertionError unless it is one."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=LINE_BYTES)
        writer.write(raw)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head.split(b"\r\n", 1)[0], head
        self._tasks.append(asyncio.create_task(self._read(number, reader, writer)))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _read(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                # Sizes of chunks are lines as well; no event is cut by one, because each is written at once.
                if line.startswith(b"data: "):
                    self.heard(number, line[6:], time.perf_counter())
        finally:
            writer.close()
