"""Writing one partition's documents to Redis, behind the publisher's back and in order.

Documents first, then the partition's seq, then the hint, in one round trip. The publisher never waits: what cannot be
written is kept and tried again. Two comparisons tell that something is wrong with what was written before: the seq that
lies there against the one written last (Redis was flushed or restored), and the generation (somebody wrote anew).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError

from shared.log.codec import encode
from shared.redis_link import Call, RedisLink, member, text_of
from shared.views.port import Change, ViewsUnavailable
from shared.views.redis_keys import Keys
from shared.views.redis_queue import Batch, Clearing, Document, PartitionQueue, encoded
from shared.views.redis_scripts import BEGIN, CLEAR, FENCE, MARK, WRITE

log = logging.getLogger(__name__)

IDLE_S: Final = 1.0
"""So often a publisher with nothing to write looks whether what it wrote is still there."""
FIRST_PAUSE_S: Final = 0.05
LAST_PAUSE_S: Final = 1.0
ROOM_S: Final = 0.05
CLEAR_AT_ONCE: Final = 100
NAMED_CHANGES: Final = 200
NAMED_BYTES: Final = 16 * 1024
"""What a hint names one by one: a subscriber that is behind has its hints in the server's memory."""

Changed = Sequence[Sequence[str]] | None
"""Each `[workspace, kind, id]`, or `[workspace]` if much of it changed; None if anything may have."""

Wrote = Callable[[int, int, int | None, Changed], None]
"""Told of what was written: partition, number of the hint, seq, what changed."""


class PartitionWriter:
    """Writes what it is handed. One process may have several, one each partition; `run` does the work."""

    def __init__(self, link: RedisLink, keys: Keys, partition: int, *, wrote: Wrote, queue: PartitionQueue) -> None:
        self.queue = queue
        self.losses = 0
        self.retries = 0
        self._link = link
        self._keys = keys
        self._partition = partition
        self._wrote = wrote
        self._busy = asyncio.Lock()
        self._epoch: str | None = None
        self._generation = 0
        self._last = 0
        self._known: set[str] = set()
        self._lost = False
        self._answering = False
        self._clearings = 0

    @property
    def lost(self) -> bool:
        """Whether everything has to be written anew, and can be: into an outage it would only overflow again."""
        return self._lost and self._answering

    async def begin(self, epoch: str) -> int:
        """See `Views.begin`. If Redis is away, this counts as lost: `clear` can be called as soon as `lost` says so."""
        async with self._busy:
            self._epoch = epoch
            self._lost = True
            self._answering = False
            self.queue.drop()
            self._known.clear()
            found = await self._link.run(
                Call(BEGIN, [self._keys.partition(self._partition)], [member(epoch), self._keys.hints(self._partition)])
            )
            self._last, self._generation = int(found[0]), int(found[1])
            self._lost = False
            self._answering = True
            return self._last

    async def room(self) -> None:
        """Waits a moment if much is queued and Redis takes it: whoever writes anew is faster than the writing."""
        if self.queue.crowded and self._answering:
            await self.queue.settling.wait(self.queue.settling.rings, ROOM_S)

    def publish(self, seq: int | None, changes: Sequence[Change]) -> None:
        """Queue an entry. What was handed over after a loss is not needed: everything will be written anew."""
        assert self._epoch is not None, "whoever publishes has begun"
        if not self._lost and not self.queue.put(seq, encoded(changes)):
            self._lose("more is waiting than may be kept")
            # Nothing answered in all that time.
            self._answering = False

    def clear(self, workspaces: Sequence[str]) -> None:
        """Queue the clearing, in place of everything queued before."""
        assert self._epoch is not None, "whoever clears has begun"
        self._clearings += 1
        self._lost = False
        self.queue.clear(workspaces)

    async def flush(self) -> None:
        """Wait until everything that was handed over before is written or dropped."""
        through = self.queue.handed
        while self.queue.settled < through:
            await self.queue.settling.wait(self.queue.settling.rings, IDLE_S)

    async def run(self) -> None:
        """Write until cancelled."""
        pause_s = FIRST_PAUSE_S
        idle = False
        while True:
            seen = self.queue.news.rings
            try:
                async with self._busy:
                    await self._step(idle=idle)
            except ViewsUnavailable as error:
                self._fail(error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LAST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            idle = not self.queue and not await self.queue.news.wait(seen, IDLE_S)

    def died(self) -> None:
        """`run` ended in the middle of something: what was written is not known, and what is queued may be at fault."""
        if self._epoch is not None:
            self._lose("the writing died")

    async def _step(self, *, idle: bool) -> None:
        todo = self.queue.next()
        if isinstance(todo, Batch):
            await self._write(todo)
        elif isinstance(todo, Clearing):
            await self._clear(todo)
        elif idle and self._epoch is not None:
            await self._look()
        else:
            return
        if not self._answering:
            self._answering = True
            log.info("the views' store answers", extra={"partition": self._partition})

    async def _write(self, batch: Batch) -> None:
        clearings = self._clearings
        changed = _changed(batch.documents)
        *documents, mark = await self._link.run_many(
            [*self._document_calls(batch.documents), self._mark_call(batch, changed)]
        )
        if isinstance(mark, Exception):
            raise ViewsUnavailable(f"Redis: {type(mark).__name__}") from mark
        if clearings != self._clearings:
            # The publisher starts anew meanwhile; whatever was found is of before.
            return
        outcome = text_of(mark[0])
        if outcome == "adopt":
            # Somebody else wrote everything anew, up to an earlier entry than ours. That is as good as ours was.
            self._generation = int(mark[1])
            return
        if outcome == "lost":
            self._lose("what was written is gone")
            return
        if outcome == "written":
            refused = next((one for one in documents if one != 1), None)
            if isinstance(refused, RedisConnectionError):
                # Redis was still reading its files, and has just finished: written again, it is right.
                raise ViewsUnavailable(f"Redis: {type(refused).__name__}") from refused
            if refused is not None:
                self._lose(f"documents were refused ({type(refused).__name__})")
                return
            self._last = max(self._last, batch.seq or 0)
            self._known.update(one.workspace for one in batch.documents)
            self._wrote(self._partition, int(mark[1]), batch.seq, changed)
        self.queue.settle(batch.through)

    async def _clear(self, clearing: Clearing) -> None:
        """May be tried again at any point of it: each try fences off what the one before may have under way."""
        epoch = member(self._epoch or "")
        generation, written = await self._link.run(
            Call(
                CLEAR,
                self._partition_keys(),
                [epoch, self._keys.hints(self._partition), *map(member, clearing.workspaces)],
            )
        )
        workspaces = [text_of(one) for one in written]
        for place in range(0, len(workspaces), CLEAR_AT_ONCE):
            await self._delete(workspaces[place : place + CLEAR_AT_ONCE], generation)
        self._generation, self._last = int(generation), 0
        self._known = set(workspaces)
        self.queue.settle(clearing.through)

    async def _delete(self, workspaces: Sequence[str], generation: bytes) -> None:
        fences = [Call(FENCE, [self._keys.generation(one), self._keys.kinds(one)], [generation]) for one in workspaces]
        found = await self._link.run_all(fences)
        unlinks: list[list[str]] = []
        for workspace, kinds in zip(workspaces, found, strict=True):
            keys = [key for kind in kinds for key in self._keys.of_kind(workspace, text_of(kind))]
            unlinks.append(["UNLINK", self._keys.kinds(workspace), *keys])
        await self._link.call_many(unlinks)

    async def _look(self) -> None:
        """Whether what was written last is still there: nobody would notice it on a quiet partition."""
        if self._lost:
            await self._link.call("PING")
            return
        epoch, seq, generation = await self._link.call(
            "HMGET", self._keys.partition(self._partition), "epoch", "seq", "generation"
        )
        if epoch == member(self._epoch or "") and int(generation or 0) > self._generation:
            # Somebody else wrote anew. Whether that concerns us, the next entry will tell, if there is one.
            return
        whole = epoch == member(self._epoch or "") and int(generation or 0) == self._generation
        if not self.queue and not (whole and int(seq or 0) >= self._last):
            self._lose("what was written is gone")

    def _document_calls(self, documents: Sequence[Document]) -> list[Call]:
        workspaces: dict[str, list[Document]] = {}
        for document in documents:
            workspaces.setdefault(document.workspace, []).append(document)
        return [self._document_call(workspace, of) for workspace, of in workspaces.items()]

    def _document_call(self, workspace: str, documents: Sequence[Document]) -> Call:
        kinds = {kind: place for place, kind in enumerate(dict.fromkeys(one.kind for one in documents), start=1)}
        keys = [self._keys.generation(workspace), self._keys.kinds(workspace)]
        args: list[Any] = [self._generation, len(kinds), *map(member, kinds)]
        for kind in kinds:
            keys += self._keys.of_kind(workspace, kind)
        for one in documents:
            args += (kinds[one.kind], member(one.id), one.seq, one.data)
        return Call(WRITE, keys, args)

    def _mark_call(self, batch: Batch, changed: Changed) -> Call:
        new = dict.fromkeys(one.workspace for one in batch.documents if one.workspace not in self._known)
        args: list[Any] = [
            member(self._epoch or ""),
            self._generation,
            self._last,
            "" if batch.seq is None else batch.seq,
        ]
        args += (self._keys.hints(self._partition), encode(changed), *map(member, new))
        return Call(MARK, self._partition_keys(), args)

    def _partition_keys(self) -> list[str]:
        return [self._keys.partition(self._partition), self._keys.workspaces(self._partition)]

    def _lose(self, reason: str) -> None:
        self.queue.drop()
        self._lost = True
        self.losses += 1
        log.warning("the views are lost and will be written anew", extra={"partition": self._partition, "why": reason})

    def _fail(self, error: ViewsUnavailable) -> None:
        self.retries += 1
        if self._answering:
            self._answering = False
            log.warning(
                "the views' store does not answer, keeping what changes",
                extra={"partition": self._partition, "why": str(error)},
            )


def _changed(documents: Sequence[Document]) -> Changed:
    if len(documents) <= NAMED_CHANGES and sum(len(one.id) for one in documents) <= NAMED_BYTES:
        return [one.key for one in documents]
    workspaces = dict.fromkeys(one.workspace for one in documents)
    if len(workspaces) <= NAMED_CHANGES and sum(map(len, workspaces)) <= NAMED_BYTES:
        return [[one] for one in workspaces]
    return None
