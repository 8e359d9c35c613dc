"""Small topics of one partition that everybody reads: which workspace lies where, which routers are alive."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Final

from shared.log.kafka.cluster import BACKOFF_S, Cluster
from shared.log.kafka.producer import SafeProducer
from shared.log.kafka.reader import Reader, Record
from shared.log.port import LogCorrupt, LogUnavailable

log = logging.getLogger(__name__)

FOLLOW_WAIT_MS: Final = 500


class Bulletin:
    """One such topic."""

    def __init__(self, cluster: Cluster, producer: SafeProducer, topic: str) -> None:
        self._cluster = cluster
        self._producer = producer
        self._topic = topic

    async def announce(self, key: str, value: bytes | None) -> int:
        """Write one record, durable when this returns its offset. Without a value, the key is forgotten in time."""
        return await self._producer.send(self._topic, 0, key.encode(), value)

    async def follow(self, *, from_end: bool) -> AsyncGenerator[Record, None]:
        """Every record from the beginning, or from now on, for ever. Outlives any trouble with Kafka.

        What retention took away before it was read is passed over. Close the iterator (`contextlib.aclosing`).
        """
        reader = Reader(self._cluster, self._topic, 0)
        position: int | None = None
        try:
            while True:
                try:
                    if position is None:
                        position = await (reader.end() if from_end else reader.start())
                    page = await reader.page(position, wait_ms=FOLLOW_WAIT_MS)
                except LogUnavailable as error:
                    log.warning("announcements cannot be read now", extra={"topic": self._topic, "reason": str(error)})
                    await asyncio.sleep(BACKOFF_S)
                    continue
                except LogCorrupt as error:
                    log.warning("announcements were missed", extra={"topic": self._topic, "reason": str(error)})
                    position, from_end = None, False
                    await asyncio.sleep(BACKOFF_S)
                    continue
                for record in page.records:
                    yield record
                position = page.next
        finally:
            await reader.close()

    async def give_back(self, offset: int) -> None:
        """Read the record at `offset`, which was written a moment ago. Raises `LogUnavailable`."""
        reader = Reader(self._cluster, self._topic, 0)
        try:
            page = await reader.page(offset, wait_ms=FOLLOW_WAIT_MS)
        except LogCorrupt as error:
            # Whoever leads since may not know yet how far it may be read.
            raise LogUnavailable(f"what was just written cannot be read: {error}") from error
        finally:
            await reader.close()
        if not page.records:
            raise LogUnavailable(f"what was just written to {reader} cannot be read yet")

    async def end(self) -> int:
        """The offset that the next record will get."""
        reader = Reader(self._cluster, self._topic, 0)
        try:
            return await reader.end()
        finally:
            await reader.close()
