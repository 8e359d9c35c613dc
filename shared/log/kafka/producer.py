"""Sending that says within a few seconds what it knows: an offset, or that nothing is known.

aiokafka's producer without idempotence: the rule of the journal voids what arrives twice, ids do it for inputs, and the
idempotent one can die for good after a partition was without a leader for some seconds. The other known way to die is
never to hear an acknowledgement again; so one that has sent for a while without any is replaced.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaProducer, errors
from aiokafka.structs import RecordMetadata

from shared.log.port import LogUnavailable

log = logging.getLogger(__name__)

DEADLINE_S: Final = 5.0
REPLACE_AFTER_S: Final = 15.0
REQUEST_TIMEOUT_MS: Final = 3000
RETRY_BACKOFF_MS: Final = 100
MAX_REQUEST_BYTES: Final = 9 * 1024 * 1024
# A burst of small records should go with a few requests; a batch takes no longer to fill for being allowed to grow.
BATCH_BYTES: Final = 256 * 1024
# So many records of a partition are in aiokafka's hands at a time, about as many as fill two batches. Whoever finds a
# batch full there is woken with all the others whenever one has gone, so a crowd would be busy with being woken.
UNDER_WAY: Final = 1_000
CLOSE_S: Final = 5.0
FORGET_S: Final = 10.0
# What Kafka adds to a record's key and value, generously.
OVERHEAD_BYTES: Final = 128


class SafeProducer:
    """One producer at a time. Belongs to one event loop; `start` before the first `send`."""

    def __init__(
        self,
        bootstrap: Sequence[str],
        *,
        client: str,
        deadline_s: float = DEADLINE_S,
        replace_after_s: float = REPLACE_AFTER_S,
    ) -> None:
        self._bootstrap = list(bootstrap)
        self._client = client
        self._deadline_s = deadline_s
        self._replace_after_s = replace_after_s
        self._producer: AIOKafkaProducer | None = None
        self._room: defaultdict[tuple[str, int], asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(UNDER_WAY))
        self._changing = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()
        self._unheard_since: float | None = None
        self._failed_at = 0.0
        self._looked_after_at = 0.0
        self._under_way = 0
        self._closed = False
        self.replacements = 0
        """How often a producer was replaced because nothing was acknowledged any more."""

    async def start(self) -> None:
        """Connect. Raises `LogUnavailable` if no broker answers; may be tried again. Idempotent."""
        async with self._changing:
            if self._producer is None and not self._closed:
                self._producer = await self._made()

    async def send(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, *, max_bytes: int = MAX_REQUEST_BYTES
    ) -> int:
        """Store one record; its offset. It is durable when this returns.

        Raises `LogUnavailable` within the deadline if that is not known: it may be stored all the same, or still later.
        Raises ValueError for a record of more than `max_bytes`: such a one is never stored.
        """
        (offset,) = await self.send_all(topic, partition, [(key, value)], max_bytes=max_bytes)
        return offset

    async def send_all(
        self,
        topic: str,
        partition: int,
        records: Sequence[tuple[bytes | None, bytes | None]],
        *,
        max_bytes: int = MAX_REQUEST_BYTES,
    ) -> list[int]:
        """Store several records, keys and values, in order; their offsets. As `send`, with one deadline for all: if it
        raises, each of them may be stored or not."""
        size = max((len(key or b"") + len(value or b"") for key, value in records), default=0) + OVERHEAD_BYTES
        if size > max_bytes:
            raise ValueError(f"a record of {size} bytes is too large for {topic}, which takes {max_bytes}")
        loop = asyncio.get_running_loop()
        if self._unheard_since is None:
            self._unheard_since = loop.time()
        self._under_way += 1
        sent: list[asyncio.Future[RecordMetadata]] = []
        try:
            async with asyncio.timeout(self._deadline_s):
                await self.start()
                if self._producer is None:
                    raise LogUnavailable("the log is not open")
                for key, value in records:
                    sent.append(await self._hand_over(self._producer, topic, partition, key, value))
                offsets = [int((await one).offset) for one in sent]
        except (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError) as error:
            self._unheard_since = None
            raise ValueError(f"a record of {size} bytes is too large for {topic}: {error}") from error
        except (errors.KafkaError, OSError, TimeoutError) as error:
            self._failed_at = loop.time()
            self._look_after(loop.time())
            raise LogUnavailable(f"not known whether a record for {topic}/{partition} is stored: {error!r}") from error
        finally:
            self._under_way -= 1
            for one in sent:
                one.cancel()
        self._unheard_since = None
        return offsets

    def silent_s(self) -> float:
        """How long sends have been going on without an acknowledgement; 0 if the last one was acknowledged.

        0 too some seconds after the last one was given up: nobody may be sending because this says that it is silent.
        """
        now = asyncio.get_running_loop().time()
        if self._unheard_since is None or (not self._under_way and now - self._failed_at > FORGET_S):
            return 0.0
        return now - self._unheard_since

    async def close(self) -> None:
        """Wait a few seconds for what is under way. Idempotent."""
        async with self._changing:
            self._closed = True
            producer, self._producer = self._producer, None
        if producer is not None:
            await _stop(producer)
        if self._ending:
            await asyncio.wait(list(self._ending))

    async def _hand_over(
        self, producer: AIOKafkaProducer, topic: str, partition: int, key: bytes | None, value: bytes | None
    ) -> asyncio.Future[RecordMetadata]:
        """Give one record to aiokafka, when there is room; the future of its acknowledgement."""
        room = self._room[topic, partition]
        await room.acquire()
        try:
            sent: asyncio.Future[RecordMetadata] = await producer.send(topic, value, key, partition)
        except BaseException:
            room.release()
            raise
        sent.add_done_callback(lambda _: room.release())
        return sent

    def _look_after(self, now: float) -> None:
        """Replace a producer that hears nothing. One at a time, in the background: who sends has a deadline."""
        if self._unheard_since is None or self._changing.locked():
            return
        if now - max(self._unheard_since, self._looked_after_at) < self._replace_after_s:
            return
        self._looked_after_at = now
        self._in_background(self._replace())

    async def _replace(self) -> None:
        async with self._changing:
            old = self._producer
            if old is None or self._closed:
                return
            try:
                # That a new one can connect shows that it is the old one's fault.
                self._producer = await self._made()
            except LogUnavailable as error:
                log.warning("no producer can connect", extra={"reason": str(error)})
                return
        self.replacements += 1
        log.error("the producer was replaced, nothing was acknowledged any more", extra={"client": self._client})
        await _stop(old)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"{self._client} replacement")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _made(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            client_id=self._client,
            acks="all",
            enable_idempotence=False,
            linger_ms=0,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            retry_backoff_ms=RETRY_BACKOFF_MS,
            max_request_size=MAX_REQUEST_BYTES,
            max_batch_size=BATCH_BYTES,
            metadata_max_age_ms=30_000,
        )
        try:
            await producer.start()
        except BaseException as error:
            await _stop(producer)
            if isinstance(error, errors.KafkaError | OSError | TimeoutError):
                raise LogUnavailable(f"no producer can connect: {error!r}") from error
            raise
        return producer


async def _stop(producer: AIOKafkaProducer) -> None:
    """Whatever is pending fails or is sent within the time; then the connections are closed in any case."""
    stopping = asyncio.create_task(producer.stop())
    done, _ = await asyncio.wait([stopping], timeout=CLOSE_S)
    if not done:
        stopping.cancel()
        with suppress(asyncio.CancelledError):
            await stopping
        await producer.client.close()
        return
    error = stopping.exception()
    if error is not None:
        log.warning("a producer did not stop in order", extra={"reason": repr(error)})
        await producer.client.close()
