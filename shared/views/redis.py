"""Views in Redis, for several processes: routers write, API processes read.

Redis may be stopped, flushed or replaced at any moment. Publishing never waits for it (`redis_writer`), reading says
within a second and a half that it is away, and whoever watches is woken once more rather than once too few
(`redis_hints`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from shared.ending import ended
from shared.log.codec import decode
from shared.redis_link import Call, RedisLink, RedisUrl, member
from shared.restarting import Restarting
from shared.views.port import Change, ViewsUnavailable
from shared.views.redis_hints import RedisHints
from shared.views.redis_keys import Keys
from shared.views.redis_queue import MAX_BYTES, MAX_ENTRIES, PartitionQueue
from shared.views.redis_reads import Reads
from shared.views.redis_scripts import CLAIM
from shared.views.redis_writer import PartitionWriter
from shared.views.watches import BellWatch

log = logging.getLogger(__name__)

READERS: Final = 16
WRITERS: Final = 8
LIST_AT_ONCE: Final = 200
REREAD_S: Final = 0.25
"""So often somebody looks for a seq that others wait for: a hint can be lost."""

Document = Mapping[str, Any]


class RedisViews:
    """The views port on Redis; `open` before use, `close` after. `name` is what Redis calls this process's connections.

    What the queue of a partition may hold is settable for tests.
    """

    def __init__(
        self, url: str, *, name: str, max_queued: int = MAX_ENTRIES, max_queued_bytes: int = MAX_BYTES
    ) -> None:
        """Raises ValueError for a malformed `url` (see `RedisUrl`)."""
        parsed = RedisUrl.parse(url)
        self.keys = Keys(parsed)
        self._reading = RedisLink(parsed, name=f"{name}-reads", connections=READERS, away=ViewsUnavailable)
        self._reads = Reads(self._reading)
        self._writing = RedisLink(parsed, name=f"{name}-writes", connections=WRITERS, away=ViewsUnavailable)
        # No second try: a subscription that ended must be noticed, not mended behind our back.
        self._listening = RedisLink(parsed, name=f"{name}-hints", connections=2, away=ViewsUnavailable, retries=0)
        self._hints = RedisHints(self._listening, self.keys, name=name)
        self._writers: dict[int, PartitionWriter] = {}
        self._max_queued = max_queued
        self._max_queued_bytes = max_queued_bytes
        self._parts: list[Restarting] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._reread_at: dict[int, float] = {}

    async def open(self) -> None:
        """Start listening. Redis may be away: then whoever reads is told, and it is tried again."""
        self._start(Restarting("hints of the views", self._hints.run))
        await self._hints.tried.wait()
        try:
            memory = await self._reading.call("INFO", "memory")
        except ViewsUnavailable:
            return
        policy = str(memory.get("maxmemory_policy", ""))
        if policy.startswith("allkeys"):
            log.error("this Redis drops documents as it likes, set maxmemory-policy noeviction", extra={"is": policy})

    async def close(self) -> None:
        """End at once; what is still queued, another publisher writes. Idempotent."""
        tasks, self._tasks = self._tasks, []
        await ended(*tasks)
        self._parts = []
        await self._reads.close()
        for link in (self._reading, self._writing, self._listening):
            await link.close()

    def healthy(self) -> bool | str:
        """True, or what is wrong in words."""
        down = [part.name for part in self._parts if part.down]
        if down:
            return f"died and will begin again: {', '.join(down)}"
        return self._hints.healthy()

    @property
    def queued(self) -> int:
        """How many entries (or parts of large ones) wait to be written."""
        return sum(len(writer.queue) for writer in self._writers.values())

    @property
    def queued_bytes(self) -> int:
        return sum(writer.queue.bytes for writer in self._writers.values())

    @property
    def losses(self) -> int:
        """How often a partition was found to be lost."""
        return sum(writer.losses for writer in self._writers.values())

    @property
    def retries(self) -> int:
        """How many attempts to write failed."""
        return sum(writer.retries for writer in self._writers.values())

    @property
    def reconnects(self) -> int:
        """How often the subscription was made anew."""
        return self._hints.reconnects

    @property
    def hints_missed(self) -> int:
        return self._hints.missed

    async def begin(self, partition: int, epoch: str) -> int:
        writer = self._writers.get(partition)
        if writer is None:
            queue = PartitionQueue(max_entries=self._max_queued, max_bytes=self._max_queued_bytes)
            writer = PartitionWriter(self._writing, self.keys, partition, wrote=self._hints.wrote, queue=queue)
            self._writers[partition] = writer
            self._start(Restarting(f"writing of partition {partition}", writer.run, died=writer.died))
        return await writer.begin(epoch)

    async def publish(self, partition: int, seq: int | None, changes: Sequence[Change]) -> None:
        """After `begin`. What is handed over is written soon; `flush` waits for that.

        A part of writing anew may wait up to 50 ms for room in the queue, if Redis answers; else nothing here waits.
        """
        writer = self._writers[partition]
        if seq is None:
            await writer.room()
        writer.publish(seq, changes)

    def lost(self, partition: int) -> bool:
        """As the port says; False as long as Redis does not answer, because nothing could be written anew."""
        writer = self._writers.get(partition)
        return writer is not None and writer.lost

    async def clear(self, partition: int, workspaces: Sequence[str]) -> None:
        """After `begin`. In order with what is published: it happens before what comes later."""
        self._writers[partition].clear(workspaces)

    async def flush(self) -> None:
        """As the port says; that may be long, while Redis is away."""
        for writer in list(self._writers.values()):
            await writer.flush()

    async def claim(self, name: str, owner: str, ttl_s: float) -> bool:
        milliseconds = max(round(ttl_s * 1000), 1)
        call = Call(CLAIM, [self.keys.claim(name)], [member(owner), milliseconds])
        return bool(await self._reading.run(call))

    async def get(self, workspace: str, kind: str, id: str) -> Document | None:
        return _document(await self._reads.call("HGET", self.keys.documents(workspace, kind), member(id)))

    async def list(
        self,
        workspace: str,
        kind: str,
        *,
        after: str = "",
        limit: int = 100,
        where: Callable[[Document], bool] | None = None,
    ) -> list[Document]:
        found: list[Document] = []
        place = member(after)
        while len(found) < limit:
            count = LIST_AT_ONCE if where is not None else min(limit - len(found), LIST_AT_ONCE)
            ids = await self._reading.call(
                "ZRANGEBYLEX", self.keys.ids(workspace, kind), b"(" + place, "+", "LIMIT", 0, count
            )
            if not ids:
                break
            stored = await self._reading.call("HMGET", self.keys.documents(workspace, kind), *ids)
            # One that was deleted between the two reads is not there.
            documents = [document for document in map(_document, stored) if document is not None]
            found += documents if where is None else filter(where, documents)
            place = ids[-1]
            if len(ids) < count:
                break
        return found[:limit]

    async def seq(self, partition: int) -> int:
        seq = int(await self._reading.call("HGET", self.keys.partition(partition), "seq") or 0)
        self._hints.know(partition, seq)
        return seq

    async def wait_for(self, partition: int, seq: int, timeout_s: float) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        risen = self._hints.risen(partition)
        look = True
        while True:
            rings = risen.rings
            if self._hints.seq(partition) >= seq or (look and await self._look_up(partition) >= seq):
                return True
            left_s = deadline - loop.time()
            if left_s <= 0:
                return False
            rang = await risen.wait(rings, min(left_s, REREAD_S))
            # One look is for all who wait.
            look = not rang and loop.time() - self._reread_at.get(partition, 0.0) >= REREAD_S

    def watch(self, workspace: str, kind: str, id: str | None = None) -> AbstractAsyncContextManager[BellWatch]:
        return self._hints.watches.watch((workspace, kind, id))

    async def _look_up(self, partition: int) -> int:
        self._reread_at[partition] = asyncio.get_running_loop().time()
        return await self.seq(partition)

    def _start(self, part: Restarting) -> None:
        self._parts.append(part)
        self._tasks.append(asyncio.create_task(part.run(), name=part.name))


def _document(stored: bytes | None) -> Document | None:
    """A field of the hash: its seq and a space stand before the document."""
    if stored is None:
        return None
    document: Document = decode(stored[stored.index(b" ") + 1 :])
    return document
