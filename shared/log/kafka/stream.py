"""One partition without gaps, read by several tasks at any places at once.

Whoever reads near the end shares one tail: a task follows the partition with a waiting request, keeps the newest
records in memory and rings a bell. All other places are read page by page with requests that do not wait. No reader has
a position here, so a rewind costs nothing and readers cannot disturb each other.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import Final

from shared.ending import ended
from shared.log.bell import Bell
from shared.log.kafka.cluster import BACKOFF_S, Cluster
from shared.log.kafka.reader import PAGE_BYTES, STREAM_BYTES, Page, Reader, Record
from shared.log.port import LogCorrupt, LogUnavailable
from shared.log.tail import Tail

log = logging.getLogger(__name__)

FETCH_WAIT_MS: Final = 500
# A follower hears from its broker every half second; two in a row are missing after this.
DEAF_S: Final = 1.5
# Nobody reads at the end any more: the next reader begins again.
UNREAD_S: Final = 30.0
# So far ahead of the readers the follower waits for them. A tail keeps more records than that, so that it does not drop
# what is unread unless the records are large.
AHEAD: Final = 4_096
KEPT_PAGES: Final = 2
# A single entry out of the middle is not worth a page.
SINGLE_BYTES: Final = 64 * 1024
FEW: Final = 8


class Stream:
    """The records of one partition. Its bell rings when there may be something new, or trouble."""

    def __init__(self, cluster: Cluster, topic: str, partition: int, bell: Bell | None = None) -> None:
        self.bell = bell or Bell()
        self._pages: deque[Page] = deque(maxlen=KEPT_PAGES)
        self._direct = Reader(cluster, topic, partition)
        self._waiting = Reader(cluster, topic, partition)
        self._tail: Tail[Record] | None = None
        self._follower: asyncio.Task[None] | None = None
        self._acknowledged = 0
        self._read_to = 0
        self._read_at = 0.0
        self._heard_at = 0.0
        self._wanted = asyncio.Event()
        self._closed = False

    def acknowledged(self, offset: int) -> None:
        """A record of this process is stored at `offset`: no read from now on ends before it without need."""
        self._acknowledged = max(self._acknowledged, offset + 1)

    async def all_there_is(self, offset: int, limit: int) -> list[Record]:
        """The records from `offset` on that are stored at this moment, up to `limit` (or some MiB of them).

        Raises `LogCorrupt` for an offset that the partition does not hold, `LogUnavailable` if no broker can say.
        """
        found: list[Record] = []
        size = 0
        while len(found) < limit and size < PAGE_BYTES:
            at = offset + len(found)
            more, end = self._kept(at, limit - len(found)), None
            if not more:
                page = await self._page(at, limit)
                more, end = page.records[: limit - len(found)], page.end
            found += more
            size += sum(len(record.data) for record in more)
            if not more or (end is not None and at + len(more) >= end):
                break
        self._mark_read(offset + len(found))
        return found

    async def at_hand(self, offset: int, limit: int) -> list[Record]:
        """What is in memory from `offset` on, or a page if none is there; from now on the bell rings for what follows.

        Holds at least what was `acknowledged`. Raises like `all_there_is`.
        """
        self._mark_read(offset)
        found = self._kept(offset, limit)
        if found:
            if offset + len(found) < min(self._acknowledged, offset + limit):
                return await self.all_there_is(offset, limit)
            # A reader that always finds something must not keep everybody else from running.
            await asyncio.sleep(0)
        elif self._tail is None or offset != self._tail.end:
            found = await self.all_there_is(offset, limit)
            if not found and limit > 0:
                self._follow(offset)
        self._mark_read(offset + len(found))
        return found

    def check_heard(self) -> None:
        """Raises `LogUnavailable` if nothing was found because no broker was heard."""
        if self._closed:
            raise LogUnavailable("the log is not open")
        if self.deaf_s:
            raise LogUnavailable(f"{self._direct}: no broker was heard for {self.deaf_s:.1f} s")

    @property
    def deaf_s(self) -> float:
        """For how long the follower has heard no broker, in seconds; 0 if it has a moment ago, waits for its readers,
        or does not run."""
        silent_s = asyncio.get_running_loop().time() - self._heard_at
        asks = self._follower is not None and self._tail is not None and not self._is_ahead(self._tail)
        return silent_s if asks and silent_s > DEAF_S else 0.0

    async def start(self) -> int:
        return await self._direct.start()

    async def end(self) -> int:
        return await self._direct.end()

    async def delete_before(self, offset: int) -> None:
        """Delete the records before `offset`. Raises `LogUnavailable`: then they may be gone or not."""
        await self._direct.delete_before(offset)
        self._pages.clear()
        if self._tail is not None:
            self._tail.forget(offset)

    async def close(self) -> None:
        """Wakes whoever waits. Idempotent."""
        self._closed = True
        follower, self._follower = self._follower, None
        if follower is not None:
            await ended(follower)
        await self._direct.close()
        await self._waiting.close()
        self.bell.ring()

    def _kept(self, offset: int, limit: int) -> list[Record]:
        tail = self._tail
        if tail is not None and tail.start <= offset < tail.end:
            return tail.read(offset, limit)
        for page in self._pages:
            if page.start <= offset < page.next:
                return page.records[offset - page.start : offset - page.start + limit]
        return []

    async def _page(self, offset: int, limit: int) -> Page:
        if self._closed:
            raise LogUnavailable("the log is not open")
        page = await self._direct.page(offset, max_bytes=SINGLE_BYTES if limit <= FEW else PAGE_BYTES)
        self._check_contiguous(page)
        tail = self._tail
        if tail is not None and page.start <= tail.end < page.next:
            for record in page.records:
                tail.add(record)
        elif page.records:
            self._pages.append(page)
        return page

    def _check_contiguous(self, page: Page) -> None:
        if page.next - page.start != len(page.records):
            raise LogCorrupt(f"{self._direct} lacks records between offsets {page.start} and {page.next}")

    def _mark_read(self, to: int) -> None:
        self._read_at = asyncio.get_running_loop().time()
        if to > self._read_to:
            self._read_to = to
            self._wanted.set()

    def _follow(self, offset: int) -> None:
        """Follow the partition from its end, `offset`; one follower is enough."""
        if self._follower is not None and not self._follower.done():
            if self._tail is not None and self._tail.end >= offset:
                return
            # It fell behind what was read in pages; here begins a new one.
            self._follower.cancel()
        self._tail = Tail(offset)
        self._heard_at = asyncio.get_running_loop().time()
        self._follower = asyncio.create_task(self._run(self._tail), name=f"follow {self._direct}")

    async def _run(self, tail: Tail[Record]) -> None:
        loop = asyncio.get_running_loop()
        complained = False
        try:
            while loop.time() - self._read_at < UNREAD_S:
                if self._is_ahead(tail):
                    await self._until_wanted()
                    continue
                try:
                    page = await self._waiting.page(tail.end, wait_ms=FETCH_WAIT_MS, max_bytes=STREAM_BYTES)
                    self._check_contiguous(page)
                except LogUnavailable as error:
                    if not complained:
                        log.warning("the log cannot be followed", extra={"reason": str(error)})
                        complained = True
                    await asyncio.sleep(BACKOFF_S)
                    continue
                complained = False
                self._heard_at = loop.time()
                for record in page.records:
                    tail.add(record)
                if page.records:
                    self.bell.ring()
        except LogCorrupt as error:
            log.error("the log cannot be followed any more", extra={"reason": str(error)})
        finally:
            if self._tail is tail:
                # Readers go on with pages, and meet there whatever ended this.
                self._tail = self._follower = None
            self.bell.ring()

    def _is_ahead(self, tail: Tail[Record]) -> bool:
        return tail.end - self._read_to > AHEAD

    async def _until_wanted(self) -> None:
        self._wanted.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(UNREAD_S):
                await self._wanted.wait()
        self._heard_at = asyncio.get_running_loop().time()
