"""A TCP proxy that does to connections what networks do: pass, cut, swallow, delay.

It stands between our processes and Kafka or Redis and runs in the test's own loop. What it is told counts at once for
every connection there is and for those to come.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Final, Self

CHUNK: Final = 65_536


class Mode(Enum):
    """What happens to bytes."""

    PASS = "pass"
    HOLE = "hole"
    """Connections are accepted and stay open; no byte moves. What was sent meanwhile arrives when it passes again."""
    REFUSE = "refuse"
    """Every new connection is reset as soon as it is there."""


@dataclass(eq=False, slots=True)
class Passage:
    """One client's connection and the one made for it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    mode: Mode = Mode.PASS
    moved: int = 0
    """Bytes carried so far, both ways."""
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear while this passage is a hole."""


class Proxy:
    """One port that leads to another. `delay_s` is added to every piece of bytes, each way."""

    def __init__(self, target: int, *, port: int = 0, host: str = "127.0.0.1") -> None:
        self.target = target
        self.port = port
        self.mode = Mode.PASS
        self.delay_s = 0.0
        self.passages: set[Passage] = set()
        self._host = host
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen on `port`, or on a free one, which `port` then names."""
        self._server = await asyncio.start_server(self._accepted, self._host, self.port, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and cut what is open."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    def cut(self, passages: Sequence[Passage] | None = None) -> int:
        """Reset these connections (all, if none are named) on both sides; how many. New ones are not affected."""
        chosen = list(self.passages) if passages is None else list(passages)
        for passage in chosen:
            for writer in (passage.client, passage.server):
                _reset(writer)
            passage.opened.set()
        return len(chosen)

    def pass_all(self) -> None:
        """Let everything through again."""
        self.mode = Mode.PASS
        self.delay_s = 0.0
        self.pass_these(list(self.passages))

    def pass_these(self, passages: Sequence[Passage]) -> None:
        for passage in passages:
            passage.mode = Mode.PASS
            passage.opened.set()

    def swallow(self, passages: Sequence[Passage] | None = None) -> None:
        """Make a hole of these connections; without naming any, of all there are and all to come."""
        if passages is None:
            self.mode = Mode.HOLE
        for passage in list(self.passages) if passages is None else passages:
            passage.mode = Mode.HOLE
            passage.opened.clear()

    def refuse(self) -> None:
        """Cut everything and let nobody in."""
        self.mode = Mode.REFUSE
        self.cut()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        task = asyncio.ensure_future(self._serve(reader, ends))
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            # However it ended, even before it began, neither side must be left open.
            self._tasks.discard(task)
            for end in ends:
                _reset(end)

        task.add_done_callback(done)

    async def _serve(self, reader: asyncio.StreamReader, ends: list[asyncio.StreamWriter]) -> None:
        """One passage from its beginning to its end. `ends` are what has to be closed afterwards."""
        if self.mode is Mode.REFUSE:
            return
        try:
            behind, onward = await asyncio.open_connection(self._host, self.target)
        except OSError:
            return
        ends.append(onward)
        passage = Passage(ends[0], onward)
        if self.mode is Mode.HOLE:
            passage.mode = Mode.HOLE
        else:
            passage.opened.set()
        self.passages.add(passage)
        try:
            await asyncio.gather(self._carry(passage, reader, onward), self._carry(passage, behind, ends[0]))
            for end in ends:
                end.close()
            await asyncio.gather(*(end.wait_closed() for end in ends))
        except (OSError, EOFError):
            # One side is gone without a word; the other learns of it in the same way.
            self.cut([passage])
        finally:
            self.passages.discard(passage)

    async def _carry(self, passage: Passage, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await passage.opened.wait()
            sink.write(data)
            await sink.drain()
            passage.moved += len(data)
        await passage.opened.wait()
        if sink.can_write_eof() and not sink.is_closing():
            sink.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN: lingering for no time throws away what is not yet sent."""
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() != -1:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
