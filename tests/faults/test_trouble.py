"""What the processes of a deployment do while Kafka or Redis is away, or is not as it must be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.log.kafka.topics import plans
from shared.log.kafka.url import KafkaUrl
from tests.eventually import eventually
from tests.faults.cluster import BOT, Cluster
from tests.faults.process import Process
from tests.faults.staff import Staff, hire
from tests.support.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

PROMISED_S = 5.0
MARGIN_S = 1.5
"""For a machine that is busy with other tests."""


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path, brokers=1, engines=1, apis=1) as cluster:
        await cluster.start_network()
        yield cluster


async def _running(cluster: Cluster) -> Staff:
    cluster.redis.start()
    await asyncio.to_thread(cluster.kafka.start)
    await cluster.start_processes()
    await cluster.until_ready()
    return await hire(cluster.bases[0], *await cluster.found())


def _message(number: int) -> dict[str, Any]:
    return {
        "source_key": f"telegram:{BOT}:message:{number}",
        "channel": "telegram",
        "account": BOT,
        "sender": {"id": f"customer-{number}"},
        "text": "Where is my money?",
    }


async def _timed(http: httpx.AsyncClient, method: str, path: str, **request: Any) -> tuple[httpx.Response, float]:
    asked = time.monotonic()
    answer = await http.request(method, path, **request)
    return answer, time.monotonic() - asked


async def test_processes_wait_with_words_for_a_broker_that_is_away_at_their_start(cluster: Cluster) -> None:
    cluster.redis.start()
    await cluster.start_processes()
    for process in cluster.processes.values():

        async def says_why(process: Process = process) -> bool:
            reason = await process.ready()
            return reason is not None and "log" in reason

        await eventually(says_why, within_s=30)
        assert process.alive
    await asyncio.to_thread(cluster.kafka.start)
    await cluster.until_ready()
    assert all(process.died is None for process in cluster.processes.values())


async def test_while_the_broker_is_away_changes_are_refused_in_time_and_later_nothing_is_lost(
    cluster: Cluster,
) -> None:
    staff = await _running(cluster)
    headers = {"Authorization": f"Bearer {staff.adapter_key}"}
    async with httpx.AsyncClient(base_url=cluster.bases[0], headers=headers, timeout=30) as http:
        first = await http.post("/v1/messages", json=_message(1))
        assert first.status_code == 201, first.text
        cluster.kafka.kill(1)
        for number in (2, 3):
            answer, seconds = await _timed(http, "POST", "/v1/messages", json=_message(number))
            assert answer.status_code == 503, answer.text
            assert answer.headers["retry-after"]
            assert seconds < PROMISED_S + MARGIN_S
        cluster.kafka.start_node(1)
        await cluster.kafka.until_ready()

        async def taken() -> bool:
            answer = await http.post("/v1/messages", json=_message(2))
            return answer.status_code in (200, 201)

        await eventually(taken, within_s=30, every_s=0.3)
        again = await http.post("/v1/messages", json=_message(1))
        assert again.json()["contact_id"] == first.json()["contact_id"]
    await cluster.until_ready()


async def test_while_redis_is_away_messages_are_taken_and_reads_are_refused(cluster: Cluster) -> None:
    staff = await _running(cluster)
    hooks = cluster.hooks
    assert hooks is not None
    update = {
        "update_id": 1,
        "message": {"message_id": 1, "chat": {"id": 7}, "from": {"id": 7, "is_bot": False}, "text": "Hello"},
    }
    headers = {"Authorization": f"Bearer {staff.access.supervisor_key}"}
    async with httpx.AsyncClient(base_url=cluster.bases[0], headers=headers, timeout=30) as http:
        cluster.redis.kill()
        answer, seconds = await _timed(http, "GET", "/v1/contacts")
        assert answer.status_code == 503, answer.text
        assert seconds < PROMISED_S + MARGIN_S
        secret = {"X-Telegram-Bot-Api-Secret-Token": hooks.secret}
        hook = f"{hooks.bases[0]}/webhooks/telegram/{hooks.account}"
        answer, seconds = await _timed(http, "POST", hook, headers=secret, json=update)
        assert answer.status_code == 200, answer.text
        assert answer.json()["accepted"] == 1
        assert seconds < PROMISED_S + MARGIN_S
        cluster.redis.start()

        async def is_there() -> bool:
            answer = await http.get("/v1/contacts")
            return answer.status_code == 200 and len(answer.json()["items"]) == 1

        await eventually(is_there, within_s=30, every_s=0.2)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("retention.ms", "1000"), ("cleanup.policy", "compact"), ("unclean.leader.election.enable", "true")],
)
async def test_a_topic_that_safety_cannot_rest_on_is_refused_by_name(
    kafka: str, redis_url: str, prefix: str, tmp_path: Path, setting: str, value: str
) -> None:
    address = f"kafka://{kafka}?prefix={prefix}&partitions=2&replication=1&min_isr=1"
    journal = next(plan for plan in plans(KafkaUrl.parse(address)) if plan.name.endswith("journal"))
    settings = {each.name: each.wanted for each in journal.settings} | {setting: value}
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        topic = NewTopic(journal.name, num_partitions=2, replication_factor=1, topic_configs=settings)
        await admin.create_topics([topic])
    finally:
        await admin.close()
    env = {"LOG": address, "VIEWS": f"{redis_url}?prefix={prefix}"}
    process = Process("engine", ["services.router", "--role", "engine"], env, free_port(), tmp_path)
    await process.start()
    try:
        assert await process.wait(60) == 2
    finally:
        await process.kill()
    last = process.tail().splitlines()[-1]
    assert journal.name in last
    assert f"{setting} is {value}" in last
