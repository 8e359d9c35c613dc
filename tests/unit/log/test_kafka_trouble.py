"""Brokers that are killed, hang, or elect another leader; producers that hear nothing any more."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast
from unittest.mock import AsyncMock

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.conn import AIOKafkaConnection

from shared.admin import Ready
from shared.log.content_table import MemoryContentTable
from shared.log.kafka import KafkaLog
from shared.log.kafka import log as log_module
from shared.log.kafka.cluster import Broker, Cluster, Metadata
from shared.log.kafka.producer import SafeProducer
from shared.log.kafka.reader import Page, Reader
from shared.log.port import LogUnavailable, Positions
from shared.metrics import Catalogue, ProcessMetrics
from shared.process import ProcessSettings, run_process
from shared.service import Part
from shared.vocabulary import Topic
from tests.eventually import eventually
from tests.support.kafka import KafkaCluster
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.unit.log.replica import Replica
from tests.unit.log.suite import START

# The time that a port promises, and some for a machine with other things to do.
DEADLINE_S = 5.0 + 0.7


@pytest.fixture(scope="module")
def one_broker() -> Iterator[KafkaCluster]:
    """One that these tests may kill, and a lane on which it can be cut off."""
    with KafkaCluster(lanes=["proxy", "nowhere"]) as cluster:
        cluster.start()
        yield cluster


@pytest.fixture
def log_url(one_broker: KafkaCluster, prefix: str) -> str:
    return f"kafka://{one_broker.bootstrap}?prefix={prefix}&partitions=2&replication=1&min_isr=1"


@pytest.fixture
async def proxy(one_broker: KafkaCluster) -> AsyncIterator[Proxy]:
    """What lies between the broker and whoever takes `lane_url`."""
    ((advertised, listens),) = one_broker.lane("proxy").ports
    async with Proxy(listens, port=advertised) as proxy:
        yield proxy


@pytest.fixture
def lane_url(one_broker: KafkaCluster, proxy: Proxy, prefix: str) -> str:
    return f"kafka://{one_broker.lane('proxy').bootstrap}?prefix={prefix}&partitions=2&replication=1&min_isr=1"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(url, table=MemoryContentTable())
    await log.open()
    try:
        yield log
    finally:
        await log.close()


async def unavailable_within(log: KafkaLog, seconds: float) -> None:
    """Every way to change something says within the time that nothing is known."""
    calls = [
        log.inputs.append(Topic.COMMANDS, 0, b"lost?"),
        log.journal.propose(0, b"lost?", seq=1, prev="", entry_hash=""),
        log.content.put("w1", "m:1", b"lost?", owner="ana"),
        log.placement.place("lost?"),
    ]
    began = time.monotonic()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [LogUnavailable] * len(calls)
    assert time.monotonic() - began < seconds


async def unreadable_within(log: KafkaLog, seconds: float) -> None:
    for wait_s in (0.0, 0.5):
        began = time.monotonic()
        with pytest.raises(LogUnavailable):
            await log.journal.read(0, 1, limit=10, wait_s=wait_s)
        assert time.monotonic() - began < seconds


async def works(log: KafkaLog) -> bool:
    try:
        await log.inputs.append(Topic.COMMANDS, 0, b"works")
        await log.journal.propose(0, b"works", seq=1, prev="", entry_hash="")
    except LogUnavailable:
        return False
    return True


async def test_a_broker_that_is_killed_is_unknown_in_time_and_later_works(
    one_broker: KafkaCluster, log_url: str
) -> None:
    async with opened(log_url) as log:
        await log.inputs.append(Topic.COMMANDS, 0, b"before")
        waiting = asyncio.create_task(log.inputs.read(0, Positions(1, 0), limit=10, wait_s=1.8))
        await eventually(lambda: log.inputs._partition(0)[Topic.INBOUND]._tail is not None)
        one_broker.kill(1)

        # Silence means nothing while no broker can be heard.
        with pytest.raises(LogUnavailable):
            await waiting
        await unavailable_within(log, DEADLINE_S)
        await unreadable_within(log, DEADLINE_S)
        await eventually(lambda: "acknowledged" in str(log.healthy()))

        one_broker.start()
        await eventually(lambda: works(log), within_s=20)

        records = await log.inputs.read(0, START, limit=10, wait_s=5)
        assert records[0].data == b"before"
        assert records[-1].data == b"works"
        # Nobody sends a text or a place again: that those can be written is proved in another way.
        await eventually(lambda: log.healthy() is True, within_s=10)


async def test_a_topic_that_is_not_heard_is_told_though_the_other_is_read(
    one_broker: KafkaCluster, log_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(log_url) as log:
        assert log.inputs.deaf_s(0) == 0
        assert await log.inputs.read(0, START, limit=10, wait_s=0.1) == []
        away = AsyncMock(side_effect=LogUnavailable("the broker that leads it is out of reach"))
        reader = log.inputs._partition(0)[Topic.COMMANDS]._waiting
        with monkeypatch.context() as broken:
            broken.setattr(reader, "page", away)
            for offset in range(200):
                await log.inputs.append(Topic.INBOUND, 0, b"heard")
                (record,) = await log.inputs.read(0, Positions(0, offset), limit=10, wait_s=5)
                assert (record.topic, record.offset) == (Topic.INBOUND, offset)
                if log.inputs.deaf_s(0) > 2:
                    break
                await asyncio.sleep(0.1)
            assert log.inputs.deaf_s(0) > 2
            with pytest.raises(LogUnavailable, match="commands"):
                await log.inputs.read(0, Positions(0, offset + 1), limit=10, wait_s=0.1)
        await eventually(lambda: log.inputs.deaf_s(0) == 0)


async def test_a_broker_that_hangs_is_unknown_in_time_and_later_works(one_broker: KafkaCluster, log_url: str) -> None:
    async with opened(log_url) as log:
        await works(log)
        one_broker.pause(1)
        try:
            await unavailable_within(log, DEADLINE_S)
            await unreadable_within(log, DEADLINE_S)
        finally:
            one_broker.resume(1)

        await eventually(lambda: works(log), within_s=20)
        stored = [record.data for record in await log.inputs.read(0, START, limit=100, wait_s=0)]
        # What was sent while the broker hung is unknown: it may be there, even behind what was sent later.
        assert stored[0] == b"works"
        assert stored.count(b"works") >= 2
        assert set(stored) <= {b"works", b"lost?"}


async def test_a_log_waits_for_a_broker_that_comes_later(lane_url: str, proxy: Proxy) -> None:
    proxy.refuse()
    log = KafkaLog(lane_url)
    opening = asyncio.create_task(log.open())
    await asyncio.sleep(1)
    assert log.healthy() == "no broker has answered yet"
    assert not opening.done()

    proxy.pass_all()
    await opening

    assert log.healthy() is True
    await log.content.put("w1", "m:1", b"text", owner="ana")
    assert await log.content.get("w1", "m:1") == b"text"
    await log.close()


async def test_closing_does_not_wait_for_a_broker_that_is_silent(lane_url: str, proxy: Proxy) -> None:
    async with opened(lane_url) as log:
        await works(log)
        proxy.swallow()
        sending = asyncio.create_task(works(log))
        reading = asyncio.create_task(log.journal.read(0, 0, limit=10, wait_s=0))
        await asyncio.sleep(0.1)
        began = time.monotonic()

    assert time.monotonic() - began < 8
    assert not await sending
    with pytest.raises(LogUnavailable):
        await reading
    proxy.pass_all()


async def test_a_connection_that_is_cut_again_and_again_loses_nothing(lane_url: str, proxy: Proxy) -> None:
    acknowledged: dict[int, bytes] = {}
    read: dict[int, bytes] = {}
    async with opened(lane_url) as log:

        async def append(name: str) -> None:
            for n in range(40):
                with suppress(LogUnavailable):
                    body = f"{name}-{n}".encode()
                    acknowledged[await log.inputs.append(Topic.INBOUND, 0, body)] = body

        async def follow() -> None:
            while True:
                with suppress(LogUnavailable):
                    for record in await log.inputs.read(0, Positions(0, len(read)), limit=50, wait_s=1):
                        assert record.offset == len(read)
                        read[record.offset] = record.data

        async with asyncio.TaskGroup() as group:
            following = group.create_task(follow())
            appending = [group.create_task(append(name)) for name in "abc"]
            while not all(task.done() for task in appending):
                await asyncio.sleep(0.15)
                proxy.cut()
            await eventually(lambda: acknowledged.items() <= read.items(), within_s=10)
            following.cancel()
        assert len(acknowledged) > 40


async def test_a_producer_that_hears_nothing_is_replaced(
    one_broker: KafkaCluster, log_url: str, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    producer = SafeProducer([one_broker.bootstrap], client="test", deadline_s=0.3, replace_after_s=0.8)
    topic = f"{prefix}.inbound"
    async with opened(log_url):
        await producer.start()
        await eventually(lambda: sent(producer, topic))
        broken = producer._producer
        assert broken is not None
        # What a client that has lost its way looks like: it takes records and nothing ever comes of them.
        broken._sender.sender_task.cancel()
        with suppress(asyncio.CancelledError):
            await broken._sender.sender_task

        assert not await sent(producer, topic)
        assert producer.replacements == 0
        await eventually(lambda: sent(producer, topic))

        assert producer.replacements == 1
        assert producer.silence() == (0.0, "")
        assert [record.levelname for record in caplog.records if "replaced" in record.message] == ["ERROR"]
        await producer.close()


async def test_a_producer_is_not_replaced_while_no_broker_is_there(lane_url: str, prefix: str, proxy: Proxy) -> None:
    producer = SafeProducer([f"127.0.0.1:{proxy.port}"], client="test", deadline_s=0.3, replace_after_s=0.5)
    topic = f"{prefix}.inbound"
    async with opened(lane_url):
        await producer.start()
        await eventually(lambda: sent(producer, topic))
        proxy.refuse()
        for _ in range(5):
            assert not await sent(producer, topic)

        assert producer.replacements == 0
        assert producer.silence()[0] > 1
        # Its last word stands until there is a better one, also when nobody sends.
        assert producer.doubted() == [(topic, 0)]
        proxy.pass_all()
        await eventually(lambda: sent(producer, topic), within_s=20)
        assert producer.doubted() == []
        await producer.close()


class _Deaf:
    """Takes records for one partition and never hears of them; all else goes to a real producer."""

    def __init__(self, real: AIOKafkaProducer, partition: int) -> None:
        self._real = real
        self._partition = partition
        self.client = real.client

    async def send(self, topic: str, value: bytes | None, key: bytes | None, partition: int) -> asyncio.Future[Any]:
        if partition == self._partition:
            return asyncio.get_running_loop().create_future()
        sent: asyncio.Future[Any] = await self._real.send(topic, value, key, partition)
        return sent

    async def stop(self) -> None:
        await self._real.stop()


async def test_a_producer_that_is_deaf_on_one_partition_is_replaced_though_others_are_well(
    one_broker: KafkaCluster, log_url: str, prefix: str
) -> None:
    producer = SafeProducer([one_broker.bootstrap], client="test", deadline_s=0.3, replace_after_s=0.8)
    topic = f"{prefix}.inbound"
    async with opened(log_url):
        await producer.start()
        assert producer._producer is not None
        producer._producer = cast(AIOKafkaProducer, _Deaf(producer._producer, 1))
        began = time.monotonic()
        while producer.replacements == 0 and time.monotonic() - began < 10:
            if not await sent(producer, topic, partition=1) and producer.replacements == 0:
                silent_s, place = producer.silence()
                assert place == f"{topic}/1"
                assert silent_s > 0.2
            # The other one's success says nothing of this one.
            assert await sent(producer, topic, partition=0)

        assert producer.replacements == 1
        await eventually(lambda: sent(producer, topic, partition=1))
        assert producer.silence() == (0.0, "")
        await producer.close()


async def test_an_outage_in_which_nobody_sends_stays_one_until_a_write_succeeds(
    lane_url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "UNHEARD_S", math.inf)
    async with opened(lane_url) as log:
        await works(log)
        proxy.refuse()
        assert not await works(log)
        await eventually(lambda: "acknowledged" in str(log.healthy()))
        until = time.monotonic() + 12
        while time.monotonic() < until:
            assert "acknowledged" in str(log.healthy())
            await asyncio.sleep(0.2)

        proxy.pass_all()
        await eventually(lambda: log.healthy() is True, within_s=20)


async def test_a_log_that_can_be_read_and_not_written_is_not_open(
    log_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: SafeProducer, *_: object, **__: object) -> list[int]:
        raise LogUnavailable("too few in sync")

    async with opened(log_url):
        pass
    monkeypatch.setattr(SafeProducer, "send_all", refuse)
    with pytest.raises(LogUnavailable, match="too few in sync"):
        await KafkaLog(log_url, table=MemoryContentTable(), patience_s=1.0).open()


async def sent(producer: SafeProducer, topic: str, *, partition: int = 0) -> bool:
    with suppress(LogUnavailable):
        await producer.send(topic, partition, None, b"x")
        return True
    return False


async def test_a_connection_that_uvloop_calls_closed_is_away_and_comes_back(
    log_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    def fail(*_: object, **__: object) -> None:
        raise closed

    async with opened(log_url) as log:
        await works(log)
        with monkeypatch.context() as patch:
            patch.setattr(AIOKafkaConnection, "send", fail)
            with pytest.raises(LogUnavailable):
                await log._cluster.refresh()
            with pytest.raises(LogUnavailable):
                await log.journal.read(0, 5, limit=10, wait_s=0.5)
        with monkeypatch.context() as patch:
            patch.setattr(AIOKafkaProducer, "send", fail)
            await unavailable_within(log, DEADLINE_S)
        await eventually(lambda: works(log))
        await log._cluster.refresh()


async def test_a_crowd_of_senders_is_served_in_time(log_url: str) -> None:
    async with opened(log_url) as log:
        offsets = await asyncio.gather(*(log.inputs.append(Topic.INBOUND, 0, bytes(400)) for _ in range(10_000)))

    assert sorted(offsets) == list(range(10_000))


async def test_proposers_go_on_when_a_leader_is_killed(three_brokers: KafkaCluster, prefix: str) -> None:
    url = f"kafka://{three_brokers.bootstrap}?prefix={prefix}&partitions=3&replication=3&min_isr=2"
    logs = [KafkaLog(url, table=MemoryContentTable()) for _ in range(2)]
    for log in logs:
        await log.open()
    replicas = [await Replica.start(log, f"r{n}", partition=1) for n, log in enumerate(logs)]
    acknowledged: list[bytes] = []
    stopping = asyncio.Event()

    async def append() -> None:
        n = 0
        while not stopping.is_set():
            n += 1
            with suppress(LogUnavailable):
                await logs[0].inputs.append(Topic.INBOUND, 1, b"%d" % n)
                acknowledged.append(b"%d" % n)

    async def lead(replica: Replica) -> None:
        while not stopping.is_set():
            with suppress(LogUnavailable):
                await replica.propose()
            with suppress(LogUnavailable):
                await replica.catch_up(wait_s=1)

    async with asyncio.TaskGroup() as group:
        for replica in replicas:
            group.create_task(lead(replica))
        group.create_task(append())
        await eventually(lambda: replicas[0].head.seq > 50 and len(acknowledged) > 50, within_s=20)
        metadata = await logs[0]._cluster.metadata()
        victim = metadata.topics[f"{prefix}.journal"].leaders[1]
        three_brokers.kill(victim)
        killed_at, seq, count = time.monotonic(), replicas[0].head.seq, len(acknowledged)
        await eventually(lambda: replicas[0].head.seq > seq + 50 and len(acknowledged) > count + 50, within_s=30)
        gap_s = time.monotonic() - killed_at
        stopping.set()

    three_brokers.start_node(victim)
    await three_brokers.until_ready()
    await three_brokers.until_in_sync()
    for replica in replicas:
        await replica.catch_up()
    assert replicas[0].entries == replicas[1].entries
    stored: list[bytes] = []
    while more := await logs[1].inputs.read(1, Positions(0, len(stored)), limit=500, wait_s=0):
        stored += [record.data for record in more]
    assert set(acknowledged) <= set(stored)
    assert gap_s < 20
    assert all(log.replacements == 0 for log in logs)
    for log in logs:
        await log.close()


def misled_url(one_broker: KafkaCluster, prefix: str) -> tuple[str, int, int]:
    """An address that answers and sends everybody to another one, with both ports."""
    ((advertised, listens),) = one_broker.lane("nowhere").ports
    url = f"kafka://127.0.0.1:{listens}?prefix={prefix}&partitions=2&replication=1&min_isr=1"
    return url, listens, advertised


async def test_a_broker_that_advertises_an_address_where_nobody_answers_is_waited_for_with_words(
    one_broker: KafkaCluster, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    url, listens, advertised = misled_url(one_broker, prefix)
    told: list[str] = []
    log = KafkaLog(url, patience_s=2.0, waits=told.append)
    with pytest.raises(LogUnavailable) as caught:
        await log.open()
    words = (
        f"no broker answers at 127.0.0.1:{advertised}, which is what Kafka at 127.0.0.1:{listens} advertises "
        "(advertised.listeners)"
    )
    assert str(caught.value) == words
    assert set(told) == {words}
    waiting = [record for record in caplog.records if record.message == "waiting for the log"]
    assert [(record.reason, record.exc_info) for record in waiting] == [(words, None)], "once, not twice a second"  # type: ignore[attr-defined]


async def test_a_process_with_such_a_broker_says_so_and_is_ready_once_it_is_reached(
    one_broker: KafkaCluster, prefix: str
) -> None:
    url, _, advertised = misled_url(one_broker, prefix)
    admin_port, stopping = free_port(), asyncio.Event()

    async def build(*_: object) -> tuple[list[Part], Ready]:
        async def run(stop: asyncio.Event) -> None:
            await stop.wait()

        return [Part(name="work", run=run)], lambda: True

    settings = ProcessSettings(log=url, views="memory:", admin_port=admin_port)
    running = asyncio.create_task(
        run_process(settings, "test", ProcessMetrics(Catalogue()), build, stopping, shares=False)
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{admin_port}") as http:

        async def says() -> str:
            try:
                answer = await http.get("/readyz")
            except httpx.TransportError:
                return ""
            return f"{answer.status_code} {answer.text}"

        async def says_where() -> bool:
            words = f"503 waiting for the log: no broker answers at 127.0.0.1:{advertised}, which is what"
            return (await says()).startswith(words)

        await eventually(says_where)
        async with Proxy(one_broker.lane("nowhere").ports[0][1], port=advertised):
            await eventually(lambda: _is(says, "200 ready\n"), within_s=20)
            stopping.set()
            await asyncio.wait_for(running, 12)


async def _is(says: Callable[[], Awaitable[str]], wanted: str) -> bool:
    return await says() == wanted


async def test_a_log_that_takes_records_and_gives_none_back_is_not_open(
    log_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(reader: Reader, offset: int, **_: int) -> Page:
        raise LogUnavailable(f"{reader} cannot be read now")

    monkeypatch.setattr(Reader, "page", nothing)
    log = KafkaLog(log_url, table=MemoryContentTable(), patience_s=2.0)
    with pytest.raises(LogUnavailable, match=r"\.routers/0 cannot be read now"):
        await log.open()


async def test_of_several_brokers_one_that_is_not_where_it_says_is_told_of_and_not_waited_for(
    one_broker: KafkaCluster, caplog: pytest.LogCaptureFixture
) -> None:
    ((_, listens),) = one_broker.lane("nowhere").ports
    gone = free_port()
    cluster = Cluster([("127.0.0.1", listens)], [], client="test")
    cluster._metadata = Metadata("c", {1: Broker(1, "127.0.0.1", gone), 2: Broker(2, "127.0.0.1", listens)})
    await cluster.reach()
    await cluster.close()
    (told,) = [record for record in caplog.records if record.message == "a broker does not answer where it says it is"]
    assert told.advertised == f"127.0.0.1:{gone}"  # type: ignore[attr-defined]
