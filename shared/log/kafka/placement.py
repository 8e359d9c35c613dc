"""Which partition a workspace lies in: recorded when it is made, and never changed.

The name's hash proposes and the record decides, so that a later release may propose differently. The first record of a
workspace counts; whoever finds that it came second writes the first one's answer again, so that compaction, which keeps
the last record of a key, keeps the same answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

import msgspec

from shared.ending import ended
from shared.log.bell import Bell
from shared.log.kafka.bulletin import Bulletin
from shared.log.kafka.content import stable_partition
from shared.log.kafka.reader import Record
from shared.log.port import LogMisconfigured, LogUnavailable, UnknownWorkspace

log = logging.getLogger(__name__)

WAIT_S: Final = 5.0


class _Place(msgspec.Struct, frozen=True):
    partition: int
    partitions: int


class KafkaPlacement:
    """The record of workspaces, followed from its beginning and held in memory."""

    def __init__(self, bulletin: Bulletin, partitions: int) -> None:
        self._bulletin = bulletin
        self._partitions = partitions
        self._places: dict[str, int] = {}
        self._read_to = 0
        self._bell = Bell()
        self._follower: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Read everything that is recorded.

        Raises `LogMisconfigured` for a record of another number of partitions, `LogUnavailable` if Kafka is away.
        """
        end = await self._bulletin.end()
        self._follower = asyncio.create_task(self._follow(), name="kafka-placement")
        await self._until_read(end)

    async def close(self) -> None:
        follower, self._follower = self._follower, None
        if follower is not None:
            await ended(follower)

    def trouble(self) -> str | None:
        """Why records are not followed any more, in words."""
        follower = self._follower
        if follower is None or not follower.done() or follower.cancelled():
            return None
        return str(follower.exception())

    def partition_of(self, workspace: str) -> int:
        """Raises `UnknownWorkspace`; one that another process has just recorded is known here a little later."""
        try:
            return self._places[workspace]
        except KeyError:
            raise UnknownWorkspace(workspace) from None

    def workspaces(self, partition: int) -> list[str]:
        """Those that lie in a partition, in order."""
        return sorted(workspace for workspace, place in self._places.items() if place == partition)

    async def place(self, workspace: str) -> int:
        """The workspace's partition, recorded now if it was not. Raises `LogUnavailable`."""
        known = self._places.get(workspace)
        if known is not None:
            return known
        proposed = stable_partition(workspace, self._partitions)
        await self._until_read(await self._record(workspace, proposed) + 1)
        recorded = self._places[workspace]
        if recorded != proposed:
            await self._record(workspace, recorded)
        return recorded

    async def _record(self, workspace: str, partition: int) -> int:
        return await self._bulletin.announce(workspace, msgspec.json.encode(_Place(partition, self._partitions)))

    async def _until_read(self, end: int) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WAIT_S
        while self._read_to < end:
            seen = self._bell.rings
            follower = self._follower
            if follower is None:
                raise LogUnavailable("the log is not open")
            if follower.done():
                follower.result()
            if not await self._bell.wait(seen, deadline - loop.time()):
                raise LogUnavailable("the record of workspaces was not read in time")

    async def _follow(self) -> None:
        try:
            async with contextlib.aclosing(self._bulletin.follow(from_end=False)) as records:
                async for record in records:
                    self._take(record)
                    self._read_to = record.offset + 1
                    self._bell.ring()
        finally:
            self._bell.ring()

    def _take(self, record: Record) -> None:
        workspace = (record.key or b"").decode()
        if record.tombstone:
            return
        try:
            place = msgspec.json.decode(record.data, type=_Place)
        except msgspec.DecodeError as error:
            raise LogMisconfigured(f"the record of workspace {workspace!r} cannot be read: {error}") from error
        if place.partitions != self._partitions:
            raise LogMisconfigured(
                f"workspace {workspace!r} was placed among {place.partitions} partitions, "
                f"there must be {self._partitions}"
            )
        known = self._places.setdefault(workspace, place.partition)
        if known != place.partition:
            log.warning("a workspace was placed twice, the first place counts", extra={"workspace": workspace})
