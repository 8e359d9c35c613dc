"""The brokers and servers that other tests stand on: they serve, die, come back and keep what they should."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis.asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError

from tests.support import jars
from tests.support.kafka import KafkaCluster
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(700)]


async def _make_topic(bootstrap: str, topic: str, replication: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=replication)])
    finally:
        await admin.close()


async def _write(bootstrap: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", request_timeout_ms=20_000)
    try:
        await producer.start()
        await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()


async def _read(bootstrap: str, topic: str, count: int) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False)
    await consumer.start()
    try:
        place = TopicPartition(topic, 0)
        consumer.assign([place])
        consumer.seek(place, 0)
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def test_a_broker_serves(kafka: str, prefix: str) -> None:
    await _make_topic(kafka, prefix, 1)
    await _write(kafka, prefix, b"one")
    assert await _read(kafka, prefix, 1) == [b"one"]


async def test_three_brokers_keep_a_record_over_the_death_of_one(three_brokers: KafkaCluster, prefix: str) -> None:
    await _make_topic(three_brokers.bootstrap, prefix, 3)
    await _write(three_brokers.bootstrap, prefix, b"one")
    three_brokers.kill(2)
    try:
        await _write(three_brokers.bootstrap, prefix, b"two")
    finally:
        three_brokers.start_node(2)
        await three_brokers.until_ready()
    await three_brokers.until_in_sync()
    assert await _read(three_brokers.bootstrap, prefix, 2) == [b"one", b"two"]


async def _redis(url: str, *command: str) -> object:
    async with redis.asyncio.from_url(url) as client:
        return await client.execute_command(*command)  # type: ignore[no-untyped-call]


async def test_redis_forgets_when_it_is_killed_and_when_it_is_flushed() -> None:
    with RedisServer() as server:
        server.start()
        for forget in (server.restart, server.flush):
            await _redis(server.url, "SET", "name", "value")
            assert await _redis(server.url, "GET", "name") == b"value"
            forget()
            assert await _redis(server.url, "GET", "name") is None


async def test_redis_that_keeps_a_file_remembers_over_a_kill() -> None:
    with RedisServer(append_only=True) as server:
        server.start()
        await _redis(server.url, "SET", "name", "value")
        server.restart()
        assert await _redis(server.url, "GET", "name") == b"value"


def test_another_pom_makes_another_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled: list[Path] = []
    monkeypatch.setenv("SWITCHDESK_CACHE", str(tmp_path))
    monkeypatch.setattr(jars, "_fill", lambda home: filled.append(home.folder))
    jars.kafka_home()
    jars.kafka_home()
    assert len(filled) == 1
    pom = tmp_path / "pom.xml"
    pom.write_text(jars.POM.read_text() + "<!-- changed -->")
    monkeypatch.setattr(jars, "POM", pom)
    jars.kafka_home()
    assert len(filled) == 2


def test_a_cache_that_was_not_finished_is_filled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHDESK_CACHE", str(tmp_path))

    def dies_half_way(home: jars.KafkaHome) -> None:
        (home.folder / "jars").mkdir()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(jars, "_fill", dies_half_way)
        with pytest.raises(KeyboardInterrupt):
            jars.kafka_home()
    filled: list[jars.KafkaHome] = []
    monkeypatch.setattr(jars, "_fill", filled.append)
    jars.kafka_home()
    assert len(filled) == 1


async def test_a_lane_leads_through_its_proxy_and_nothing_else_does(prefix: str) -> None:
    with KafkaCluster(lanes=("router",)) as cluster:
        cluster.start()
        await _make_topic(cluster.bootstrap, prefix, 1)
        ((advertised, target),) = cluster.lane("router").ports
        async with Proxy(target, port=advertised) as proxy:
            await _write(cluster.lane("router").bootstrap, prefix, b"one")
            proxy.refuse()
            with pytest.raises(KafkaConnectionError):
                await _write(cluster.lane("router").bootstrap, prefix, b"two")
            await _write(cluster.bootstrap, prefix, b"three")
            proxy.pass_all()
            assert await _read(cluster.lane("router").bootstrap, prefix, 2) == [b"one", b"three"]
