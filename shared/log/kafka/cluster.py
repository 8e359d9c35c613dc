"""Which brokers there are and which of them leads which partition; and connections to ask them on.

Readers do not share aiokafka's client, because it opens its connections one after the other: a broker that hangs would
hold up everybody who wants to talk to the others. Here each reader has a `Lane` of its own, and metadata comes from
whichever broker answers first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import errors
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.protocol.api import Request

from shared.connection_loss import says_closed
from shared.ending import ended
from shared.log.kafka.wire import TopicsRequest
from shared.log.port import LogUnavailable

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_MS: Final = 3500
IDLE_MS: Final = 300_000
# The next broker is asked too when the one before has not answered for so long.
HEDGE_S: Final = 0.3
BACKOFF_S: Final = 0.1
REFRESH_S: Final = 10.0

TROUBLE: Final = (errors.KafkaError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker's number and address."""

    node: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What metadata tells of a topic: its id as hexadecimal, and per partition the leader's node (-1: none now)."""

    id: str
    leaders: dict[int, int]
    replicas: dict[int, int]
    """Number of replicas per partition."""
    in_sync: dict[int, int] = field(default_factory=dict)
    """How many of them are in sync, by partition."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """One broker's answer."""

    cluster_id: str
    brokers: dict[int, Broker]
    topics: dict[str, TopicFacts] = field(default_factory=dict)


class Cluster:
    """The newest metadata of the topics of one log, refreshed when somebody finds it wrong and every ten seconds."""

    def __init__(self, servers: Sequence[tuple[str, int]], topics: Sequence[str], *, client: str) -> None:
        self._servers = servers
        self._topics = list(topics)
        self._client = client
        self._metadata: Metadata | None = None
        self._refreshing: asyncio.Task[Metadata] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._closed = False
        self.heard_at: float | None = None
        """When a broker answered last, by the loop's clock."""

    def start(self) -> None:
        """Keep the metadata fresh from now on."""
        self._keeping = asyncio.create_task(self._keep_fresh(), name="kafka-metadata")

    async def close(self) -> None:
        """From now on nobody gets an answer or a connection. Idempotent."""
        self._closed = True
        await ended(*(task for task in (self._keeping, self._refreshing) if task is not None))
        self._keeping = self._refreshing = None

    async def metadata(self) -> Metadata:
        """What is known. Raises `LogUnavailable` if nothing is and nobody answers."""
        return self._metadata or await self.refresh()

    async def refresh(self) -> Metadata:
        """Ask now; several who ask at once share the answer. Raises `LogUnavailable`."""
        refreshing = self.refresh_soon()
        if refreshing is None:
            raise LogUnavailable("the log is not open")
        await asyncio.wait([refreshing])
        if refreshing.cancelled():
            raise LogUnavailable("the log is not open")
        return refreshing.result()

    def refresh_soon(self) -> asyncio.Task[Metadata] | None:
        """Ask now without waiting for the answer. None once this is closed."""
        if self._closed:
            return None
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh(), name="kafka-metadata-refresh")
            # Whoever asked may have given up, and then nobody wants to know of its failure.
            self._refreshing.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._refreshing

    async def leader(self, topic: str, partition: int) -> Broker | None:
        """Who leads a partition, as far as is known; None for nobody. Raises `LogUnavailable` if nobody answers."""
        metadata = await self.metadata()
        facts = metadata.topics.get(topic)
        return metadata.brokers.get(facts.leaders.get(partition, -1)) if facts is not None else None

    async def writable(self, topic: str, partition: int, *, min_isr: int) -> None:
        """Whether a partition could take a record now, as its leader says itself: it leads, and enough are in sync.

        Raises `LogUnavailable` with words if not, or if the leader does not answer.
        """
        await self.refresh()
        broker = await self.leader(topic, partition)
        if broker is None:
            raise LogUnavailable(f"{topic}/{partition} has no leader")
        facts = (await self._ask(broker.host, broker.port)).topics.get(topic)
        if facts is None or facts.leaders.get(partition) != broker.node:
            raise LogUnavailable(f"{topic}/{partition} is changing its leader")
        if facts.in_sync[partition] < min_isr:
            raise LogUnavailable(f"{topic}/{partition} has {facts.in_sync[partition]} replicas in sync of {min_isr}")

    async def reach(self) -> None:
        """Whether brokers answer where they say they are. Whoever answers at the address that we were given may
        advertise another one, to which everything but that first question goes.

        Raises `LogUnavailable` with words if none does. Where one does the others are only told of: it may be away.
        """
        brokers = (await self.metadata()).brokers.values()
        tried = {asyncio.create_task(self._reaches(broker)): broker for broker in brokers}
        waiting, reached = set(tried), False
        try:
            while waiting:
                done, waiting = await asyncio.wait(
                    waiting, timeout=HEDGE_S if reached else None, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    break
                reached = reached or any(task.result() for task in done)
            lost = [broker for task, broker in tried.items() if task in waiting or not task.result()]
        finally:
            await ended(*tried)
        if not reached:
            asked, told = _addresses(self._servers), _addresses((broker.host, broker.port) for broker in lost)
            raise LogUnavailable(
                f"no broker answers at {told or 'any address'}, which is what Kafka at {asked} advertises "
                "(advertised.listeners)"
            )
        for broker in lost:
            log.warning(
                "a broker does not answer where it says it is",
                extra={"broker": broker.node, "advertised": _addresses([(broker.host, broker.port)])},
            )

    async def connect(self, host: str, port: int) -> AIOKafkaConnection:
        """A new connection. Raises `LogUnavailable`."""
        try:
            with _losses():
                connection = await create_conn(
                    host, port, client_id=self._client, request_timeout_ms=REQUEST_TIMEOUT_MS, max_idle_ms=IDLE_MS
                )
        except TROUBLE as error:
            raise LogUnavailable(f"no connection to the broker {host}:{port}: {error!r}") from error
        if self._closed:
            await close_connection(connection)
            raise LogUnavailable("the log is not open")
        return connection

    def heard(self) -> None:
        """A broker answered."""
        self.heard_at = asyncio.get_running_loop().time()

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            with suppress(LogUnavailable):
                await self.refresh()

    async def _refresh(self) -> Metadata:
        known = [(broker.host, broker.port) for broker in self._metadata.brokers.values()] if self._metadata else []
        addresses = list(dict.fromkeys([*known, *self._servers]))
        asking: set[asyncio.Task[Metadata]] = set()
        trouble: list[str] = []
        try:
            for place, (host, port) in enumerate(addresses):
                asking.add(asyncio.create_task(self._ask(host, port)))
                last = place == len(addresses) - 1
                while asking:
                    done, asking = await asyncio.wait(
                        asking, timeout=None if last else HEDGE_S, return_when=asyncio.FIRST_COMPLETED
                    )
                    for task in done:
                        error = task.exception()
                        if error is None:
                            self._metadata = task.result()
                            return self._metadata
                        if not isinstance(error, LogUnavailable):
                            raise error
                        trouble.append(str(error))
                    if not done:
                        break
            raise LogUnavailable(f"no broker answers: {'; '.join(trouble)}")
        finally:
            await ended(*asking)

    async def _reaches(self, broker: Broker) -> bool:
        try:
            await close_connection(await self.connect(broker.host, broker.port))
        except LogUnavailable:
            return False
        return True

    async def _ask(self, host: str, port: int) -> Metadata:
        connection = await self.connect(host, port)
        try:
            with _losses():
                answer = await connection.send(TopicsRequest(self._topics))
        except TROUBLE as error:
            raise LogUnavailable(f"the broker {host}:{port} does not answer: {error!r}") from error
        finally:
            await close_connection(connection)
        self.heard()
        return _metadata(answer)


class Lane:
    """One connection to whoever leads one partition, or to any broker: for requests that may wait for each other."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._connection: AIOKafkaConnection | None = None
        self._broker: Broker | None = None
        self._connecting = asyncio.Lock()

    async def ask(self, broker: Broker, request: Request[Any]) -> Any:
        """The answer of this broker. Raises `LogUnavailable`; whether the request was carried out is then unknown."""
        connection = await self._connected(broker)
        try:
            with _losses():
                answer = await connection.send(request)
        except TROUBLE as error:
            # A broker answers a connection's requests in order: behind one that it does not answer, none would be.
            await self._drop(connection)
            raise LogUnavailable(f"the broker {broker.host}:{broker.port} does not answer: {error!r}") from error
        self._cluster.heard()
        return answer

    async def ask_any(self, request: Request[Any]) -> Any:
        """The answer of the first broker that answers. Raises `LogUnavailable`."""
        metadata = await self._cluster.metadata()
        trouble = LogUnavailable("no broker is known")
        for broker in metadata.brokers.values():
            try:
                return await self.ask(broker, request)
            except LogUnavailable as error:
                trouble = error
        raise trouble

    async def close(self) -> None:
        """Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await close_connection(connection)

    async def _connected(self, broker: Broker) -> AIOKafkaConnection:
        async with self._connecting:
            connection = self._connection
            if connection is not None and (self._broker != broker or not connection.connected()):
                await self._drop(connection)
                connection = None
            if connection is None:
                connection = await self._cluster.connect(broker.host, broker.port)
                self._connection, self._broker = connection, broker
            return connection

    async def _drop(self, connection: AIOKafkaConnection) -> None:
        if self._connection is connection:
            self._connection = None
        await close_connection(connection)


@contextmanager
def _losses() -> Iterator[None]:
    """Within it a lost connection is one of `TROUBLE`, on every loop."""
    try:
        yield
    except RuntimeError as error:
        if not says_closed(error):
            raise
        raise errors.KafkaConnectionError(f"connection closed: {error}") from error


async def close_connection(connection: AIOKafkaConnection) -> None:
    """Close, and wait until the socket is closed too."""
    closing = connection.close()
    if closing is not None:
        await asyncio.wait([closing], timeout=1.0)


def _addresses(servers: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{host}:{port}" for host, port in servers)


def _metadata(answer: Any) -> Metadata:
    topics = {}
    for _error, name, topic_id, _internal, partitions, *_ in answer.topics:
        if partitions:
            topics[name] = TopicFacts(
                id=topic_id.hex(),
                leaders={partition: leader for _, partition, leader, *_ in partitions},
                replicas={partition: len(replicas) for _, partition, _, _, replicas, *_ in partitions},
                in_sync={partition: len(in_sync) for _, partition, _, _, _, in_sync, *_ in partitions},
            )
    return Metadata(
        cluster_id=answer.cluster_id or "",
        brokers={node: Broker(node, host, port) for node, host, port, *_ in answer.brokers},
        topics=topics,
    )
