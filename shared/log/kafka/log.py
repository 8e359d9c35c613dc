"""All ports of one log on Kafka, opened and closed together."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from shared.ending import ended
from shared.log.content_table import ContentTable, MemoryContentTable
from shared.log.kafka import topics
from shared.log.kafka.bulletin import Bulletin
from shared.log.kafka.cluster import Cluster
from shared.log.kafka.content import KafkaContent
from shared.log.kafka.inputs import KafkaInputs
from shared.log.kafka.journal import KafkaJournal
from shared.log.kafka.placement import KafkaPlacement
from shared.log.kafka.producer import SafeProducer
from shared.log.kafka.snapshots import KafkaSnapshots
from shared.log.kafka.url import KafkaUrl
from shared.log.port import LogUnavailable
from shared.vocabulary import Topic

logger = logging.getLogger(__name__)

PATIENCE_S: Final = 60.0
RETRY_S: Final = 0.5
# Who waits says so at once, whenever the reason is another, and so often.
REPEAT_S: Final = 10.0
# Metadata is refreshed every ten seconds, and takes a few if brokers hang.
UNHEARD_S: Final = 20.0
UNACKNOWLEDGED_S: Final = 5.0
# So often it is looked whether partitions can be written again to which nobody dares to send.
PROVE_S: Final = 2.0
PROOF: Final = "proof"
"""Key of a record without a value: nobody who follows announcements is told of it."""


class KafkaLog:
    """Opened once, closed once.

    Without a `table` the content lies in a table of this process, which `open` fills. With one, `content.materialise`
    has to run for each partition in one process or another.
    """

    def __init__(
        self,
        url: str | KafkaUrl,
        *,
        table: ContentTable | None = None,
        patience_s: float = PATIENCE_S,
        waits: Callable[[str], None] = lambda why: None,
    ) -> None:
        """`patience_s` is how long `open` waits for Kafka, `waits` is told why it does. Raises ValueError that names
        what is wrong with the URL."""
        self.url = KafkaUrl.parse(url) if isinstance(url, str) else url
        self._patience_s = patience_s
        self._waits = waits
        client = f"switchdesk-{socket.gethostname()}-{os.getpid()}"
        name = self.url.topic
        plans = topics.plans(self.url)
        self._cluster = Cluster(self.url.servers, [plan.name for plan in plans], client=client)
        self._proposals = SafeProducer(self.url.bootstrap, client=f"{client}-journal")
        self._appends = SafeProducer(self.url.bootstrap, client=f"{client}-inputs")
        self._bulk = SafeProducer(self.url.bootstrap, client=f"{client}-snapshots")
        self._producers = (self._proposals, self._appends, self._bulk)
        self._own_table = table is None
        self._materialising: list[asyncio.Task[None]] = []
        self._proving: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._bulletins = {
            short: Bulletin(self._cluster, self._appends, name(short)) for short in (topics.ROUTERS, topics.WORKSPACES)
        }
        self.journal = KafkaJournal(self._cluster, self._proposals, name(topics.JOURNAL))
        self.inputs = KafkaInputs(
            self._cluster,
            self._appends,
            {Topic.COMMANDS: name(topics.COMMANDS), Topic.INBOUND: name(topics.INBOUND)},
        )
        self.snapshots = KafkaSnapshots(self._cluster, self._bulk, name(topics.SNAPSHOTS))
        self.content = KafkaContent(
            self._cluster,
            self._appends,
            name(topics.CONTENT),
            self.url.partitions,
            MemoryContentTable() if table is None else table,
        )
        self.placement = KafkaPlacement(self._bulletins[topics.WORKSPACES], self.url.partitions)

    @property
    def replacements(self) -> int:
        """Producers replaced because they heard nothing any more."""
        return self._proposals.replacements + self._appends.replacements + self._bulk.replacements

    async def open(self) -> None:
        """Waits for Kafka for as long as its patience lasts, makes and checks the topics.

        Raises `LogMisconfigured` at once for a topic that is not as it must be, or a workspace that was placed among
        another number of partitions; `LogUnavailable` if Kafka did not come in time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_s
        said, said_at = "", 0.0
        try:
            while True:
                try:
                    await self._open()
                    return
                except LogUnavailable as error:
                    if loop.time() + RETRY_S >= deadline:
                        raise
                    why = str(error)
                    self._waits(why)
                    if why != said or loop.time() - said_at >= REPEAT_S:
                        logger.warning("waiting for the log", extra={"reason": why})
                        said, said_at = why, loop.time()
                    await self.placement.close()
                    await asyncio.sleep(RETRY_S)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Waits a few seconds for what is under way; idempotent."""
        self._stopping.set()
        await ended(*self._materialising)
        self._materialising = []
        if self._proving is not None:
            await ended(self._proving)
            self._proving = None
        await self.placement.close()
        await asyncio.gather(self._proposals.close(), self._appends.close(), self._bulk.close())
        await self._cluster.close()
        await self.journal.close()
        await self.inputs.close()
        await self.snapshots.close()
        await self.content.close()

    async def announce(self, topic: str, key: str, value: bytes) -> int:
        """Tell everybody who follows `topic`, `routers` or `workspaces`. Returns the record's offset."""
        return await self._bulletins[topic].announce(key, value)

    async def follow(self, topic: str, *, from_end: bool) -> AsyncGenerator[tuple[str, bytes, int], None]:
        """(key, value, offset) of what is announced on `topic`, for ever; what was taken back is left out.

        Close the iterator (`contextlib.aclosing`).
        """
        async with aclosing(self._bulletins[topic].follow(from_end=from_end)) as records:
            async for record in records:
                if not record.tombstone:
                    yield (record.key or b"").decode(errors="replace"), record.data, record.offset

    def healthy(self) -> bool | str:
        """True, or why not, in words."""
        heard_at = self._cluster.heard_at
        if heard_at is None:
            return "no broker has answered yet"
        silent_s = asyncio.get_running_loop().time() - heard_at
        if silent_s > UNHEARD_S:
            return f"no broker has answered for {silent_s:.0f} s"
        silent_s, place = max(producer.silence() for producer in self._producers)
        if silent_s > UNACKNOWLEDGED_S:
            return f"nothing has been acknowledged for {silent_s:.0f} s by {place}"
        return self.placement.trouble() or True

    async def _open(self) -> None:
        metadata = await topics.prepare(self._cluster, self.url)
        journal = self.url.topic(topics.JOURNAL)
        await self._proposals.start()
        await self._appends.start()
        # A log that can be read and not written is no log: brokers answer long before enough of them are in sync. Nor
        # is one that takes what nobody can fetch.
        proofs = await asyncio.gather(self._prove(self._proposals), self._prove(self._appends))
        await self._bulletins[topics.ROUTERS].give_back(max(proofs))
        await self.placement.open()
        self._cluster.start()
        self.journal.opened(f"{metadata.cluster_id}:{metadata.topics[journal].id}")
        if self._own_table:
            await self._materialise()

        if self._proving is None:
            self._proving = asyncio.create_task(self._keep_proving(), name="kafka-proofs")

    async def _prove(self, producer: SafeProducer) -> int:
        """Write a record that says nothing; its offset. Raises `LogUnavailable`."""
        return await producer.send(self.url.topic(topics.ROUTERS), 0, PROOF.encode(), None)

    async def _keep_proving(self) -> None:
        """What failed counts until something succeeds; so somebody has to try while nobody sends."""
        while True:
            await asyncio.sleep(PROVE_S)
            for producer in self._producers:
                doubted = producer.doubted()
                if not doubted:
                    continue
                asked_at = asyncio.get_running_loop().time()
                try:
                    await self._prove(producer)
                    for topic, partition in doubted:
                        await self._cluster.writable(topic, partition, min_isr=self.url.min_isr)
                        producer.trust(topic, partition, asked_at=asked_at)
                except LogUnavailable as error:
                    logger.info("the log cannot be written yet", extra={"reason": str(error)})

    async def _materialise(self) -> None:
        """Fill the table of this process, and go on filling it."""
        if not self._materialising:
            self._materialising = [
                asyncio.create_task(self.content.materialise(partition, self._stopping), name=f"content {partition}")
                for partition in range(self.url.partitions)
            ]
        await self.content.until_complete()
