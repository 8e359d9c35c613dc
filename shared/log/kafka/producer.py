"""Sending that says within a few seconds what it knows: an offset, or that nothing is known.

aiokafka's producer without idempotence: the rule of the journal voids what arrives twice, ids do it for inputs, and the
idempotent one can die for good after a partition was without a leader for some seconds. The other known way to die is
never to hear an acknowledgement again, on all partitions or on one; so one that has sent to any partition for a while
without any is replaced. What others of its partitions hear says nothing about that one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaProducer, errors
from aiokafka.structs import RecordMetadata, TopicPartition

from shared.connection_loss import says_closed
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
# With what comes before it in a stop, this stays below the limit of a whole one.
CLOSE_S: Final = 2.0
# Who gives a send up sooner than this has not waited long enough to say anything about the broker.
HASTY_S: Final = 1.0
# What Kafka adds to a record's key and value, generously.
OVERHEAD_BYTES: Final = 128

_Place = tuple[str, int]
"""Topic and partition."""


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
        self._unheard_since: dict[_Place, float] = {}
        """Where sends have been going on without an acknowledgement, and since when."""
        self._doubted_since: dict[_Place, float] = {}
        """The same, without what was proved to be writable in another way."""
        self._failed_at: dict[_Place, float] = {}
        self._looked_after_at = 0.0
        self._under_way: Counter[_Place] = Counter()
        self._closed = False
        self.replacements = 0
        """How often a producer was replaced because nothing was acknowledged any more."""

    async def start(self) -> None:
        """Connect. Raises `LogUnavailable` if no broker answers; may be tried again. Idempotent."""
        if self._producer is not None:
            # Whoever sends to a partition that is well does not wait for a replacement because of another.
            return
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
        place = (topic, partition)
        for since in (self._unheard_since, self._doubted_since):
            since.setdefault(place, loop.time())
        self._under_way[place] += 1
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
            self._heard(place)
            raise ValueError(f"a record of {size} bytes is too large for {topic}: {error}") from error
        except (errors.KafkaError, OSError, TimeoutError) as error:
            self._failed(place)
            raise LogUnavailable(f"not known whether a record for {topic}/{partition} is stored: {error!r}") from error
        except RuntimeError as error:
            if not says_closed(error):
                raise
            self._failed(place)
            raise LogUnavailable(f"not known whether a record for {topic}/{partition} is stored: {error!r}") from error
        except asyncio.CancelledError:
            self._given_up(place)
            raise
        finally:
            self._under_way[place] -= 1
            for one in sent:
                one.cancel()
        self._heard(place)
        return offsets

    def silence(self) -> tuple[float, str]:
        """How long sends to a partition have been going on without an acknowledgement, in seconds, and which: the worst
        one. (0, "") if the last send to each was acknowledged.

        A send that failed counts until one to the same partition is acknowledged, or `trust` is told of a proof.
        """
        now = asyncio.get_running_loop().time()
        doubted = {
            place: since
            for place, since in self._doubted_since.items()
            if place in self._failed_at or self._under_way[place]
        }
        if not doubted:
            return 0.0, ""
        (topic, partition), since = min(doubted.items(), key=lambda one: one[1])
        return now - since, f"{topic}/{partition}"

    def doubted(self) -> list[tuple[str, int]]:
        """Partitions on which the last send failed and none is under way, which would tell by itself."""
        return [place for place in self._failed_at if place in self._doubted_since and not self._under_way[place]]

    def trust(self, topic: str, partition: int, *, asked_at: float) -> None:
        """Since `asked_at`, by the loop's clock, it was proved that a partition takes records. A failure since counts
        more, and so does a send under way. The watchdog does not trust: only an acknowledgement shows that *this*
        producer still hears of this partition."""
        place = (topic, partition)
        if not self._under_way[place] and self._failed_at.get(place, 0.0) < asked_at:
            self._doubted_since.pop(place, None)
            self._failed_at.pop(place, None)

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

    def _heard(self, place: _Place) -> None:
        for known in (self._unheard_since, self._doubted_since, self._failed_at):
            known.pop(place, None)

    def _failed(self, place: _Place) -> None:
        now = asyncio.get_running_loop().time()
        self._failed_at[place] = now
        # Another send may have been acknowledged while this one waited; then its own silence begins with its failure.
        for since in (self._unheard_since, self._doubted_since):
            since.setdefault(place, now)
        self._look_after(place, now)

    def _given_up(self, place: _Place) -> None:
        """Whoever sent does not wait any longer. After a while that says as much as a deadline of ours."""
        since = self._doubted_since.get(place)
        if since is None:
            return
        if asyncio.get_running_loop().time() - since >= HASTY_S:
            self._failed(place)
        elif self._under_way[place] == 1 and place not in self._failed_at:
            self._heard(place)

    def _look_after(self, place: _Place, now: float) -> None:
        """Replace a producer that hears nothing. One at a time, in the background: who sends has a deadline."""
        if self._changing.locked():
            return
        if now - max(self._unheard_since[place], self._looked_after_at) < self._replace_after_s:
            return
        self._looked_after_at = now
        self._in_background(self._replace(place))

    async def _replace(self, place: _Place) -> None:
        async with self._changing:
            old = self._producer
            if old is None or self._closed:
                return
            try:
                # That a new one can connect, and finds a leader, shows that it is the old one's fault.
                new = await self._made()
            except LogUnavailable as error:
                log.warning("no producer can connect", extra={"reason": str(error)})
                return
            if not await _finds_leader(new, *place):
                log.warning("a partition has no leader", extra={"topic": place[0], "partition": place[1]})
                await _stop(new)
                return
            self._producer = new
        self.replacements += 1
        log.error(
            "the producer was replaced, nothing was acknowledged any more",
            extra={"client": self._client, "topic": place[0], "partition": place[1]},
        )
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


async def _finds_leader(producer: AIOKafkaProducer, topic: str, partition: int) -> bool:
    try:
        async with asyncio.timeout(DEADLINE_S):
            await producer.partitions_for(topic)
    except (errors.KafkaError, OSError, TimeoutError):
        return False
    leader = producer.client.cluster.leader_for_partition(TopicPartition(topic, partition))
    return leader is not None and leader >= 0


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
