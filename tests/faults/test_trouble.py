"""What the processes of a deployment do while Kafka or Redis is away, or is not as it must be."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiosmtplib
import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from websockets.asyncio.client import ClientConnection, connect

from shared.log.kafka.topics import plans
from shared.log.kafka.url import KafkaUrl
from tests.eventually import eventually
from tests.faults.cluster import BOT, MAILBOX, PAGE, Cluster
from tests.faults.process import Process
from tests.faults.single import client, message, running
from tests.support.ports import free_port

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(240),
    # See `conftest.py`: the collector may find a cut connection while the test still runs.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

HOOK = f"/webhooks/telegram/{BOT}"
PROMISED_S = 5.0
MARGIN_S = 1.5
"""For a machine that is busy with other tests."""


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path, brokers=1, engines=1, apis=1) as cluster:
        await cluster.start_network()
        yield cluster


def _update(number: int) -> dict[str, Any]:
    chat = {"id": 7, "type": "private"}
    sender = {"id": 7, "is_bot": False, "first_name": "C"}
    return {
        "update_id": number,
        "message": {"message_id": number, "date": 1_700_000_000, "chat": chat, "from": sender, "text": "Hello there"},
    }


def _hook(cluster: Cluster) -> httpx.AsyncClient:
    hooks = cluster.hooks
    assert hooks is not None
    headers = {"X-Telegram-Bot-Api-Secret-Token": hooks.secret}
    return httpx.AsyncClient(base_url=hooks.bases[0], headers=headers, timeout=30)


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
            # The admin port answers as soon as it listens, a moment before the first attempt has failed and is told of.
            return reason is not None and "log" in reason and "waiting for the log" in process.tail()

        await eventually(says_why, within_s=30)
        assert process.alive
    await asyncio.to_thread(cluster.kafka.start)
    await cluster.until_ready()
    assert all(process.died is None for process in cluster.processes.values())


@pytest.fixture
async def with_all_roads(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path, brokers=1, engines=1, apis=1, chat_and_mail=True) as cluster:
        await cluster.start_network()
        yield cluster


async def _say(page: ClientConnection) -> str:
    """Say the same on a page, under the same id; what comes of it: `ack`, or the code of an error."""
    await page.send(json.dumps({"type": "say", "data": {"client_message_id": "m1", "text": "Hello there"}}))
    while True:
        frame = json.loads(await page.recv())
        if frame["type"] in ("ack", "error"):
            return str(frame["data"].get("code", frame["type"]))


async def _mail(cluster: Cluster) -> int:
    """Hand the same mail over; the code of the answer."""
    raw = (
        f"From: c@example.org\r\nTo: {MAILBOX}\r\nMessage-ID: <1@example.org>\r\nSubject: Hello\r\n\r\nHello there\r\n"
    )
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=cluster.smtp, start_tls=False, timeout=30) as smtp:
        try:
            await smtp.sendmail("c@example.org", [MAILBOX], raw)
        except aiosmtplib.SMTPResponseException as error:
            return error.code
    return 250


async def test_while_the_broker_is_away_changes_are_refused_in_time_and_later_nothing_is_lost(
    with_all_roads: Cluster,
) -> None:
    cluster = with_all_roads
    staff = await running(cluster)
    async with client(cluster, staff.adapter_key) as http, _hook(cluster) as hook, connect(cluster.chat) as page:
        await page.send(json.dumps({"type": "hello", "data": {}}))
        first = await http.post("/v1/messages", json=message(1))
        assert first.status_code == 201, first.text
        cluster.kafka.kill(1)
        for number in (2, 3):
            answer, seconds = await _timed(http, "POST", "/v1/messages", json=message(number))
            assert answer.status_code == 503, answer.text
            assert answer.headers["retry-after"]
            assert seconds < PROMISED_S + MARGIN_S
        answer, seconds = await _timed(hook, "POST", HOOK, json=_update(1))
        assert answer.status_code == 503, answer.text
        assert seconds < PROMISED_S + MARGIN_S
        for say, wanted in ((_say(page), "unavailable"), (_mail(cluster), 451)):
            asked = time.monotonic()
            assert await say == wanted
            assert time.monotonic() - asked < PROMISED_S + MARGIN_S
        cluster.kafka.start_node(1)
        await cluster.kafka.until_ready()

        async def taken() -> bool:
            answer = await http.post("/v1/messages", json=message(2))
            return answer.status_code in (200, 201)

        await eventually(taken, within_s=30, every_s=0.3)
        again = await http.post("/v1/messages", json=message(1))
        assert again.json()["contact_id"] == first.json()["contact_id"]

        async def taken_by_all() -> bool:
            hooked = (await hook.post(HOOK, json=_update(1))).status_code
            return (hooked, await _say(page), await _mail(cluster)) == (200, "ack", 250)

        await eventually(taken_by_all, within_s=30, every_s=0.3)
    # Each was sent again and again, and is there once.
    known = [*(f"telegram:{BOT}:message:{key}" for key in ("1", "2", "7:1")), f"email:{MAILBOX}:message:1@example.org"]
    async with client(cluster, staff.access.supervisor_key) as supervisor:

        async def all_there() -> bool:
            keys = sorted(each["source_key"] for each in (await supervisor.get("/v1/contacts")).json()["items"])
            assert len(keys) == len(set(keys)), keys
            return set(known) <= set(keys) and sum(key.startswith(f"chat:{PAGE}:") for key in keys) == 1

        await eventually(all_there, within_s=30, every_s=0.3)
    await cluster.until_ready()


async def test_while_redis_is_away_messages_and_commands_go_on_and_reads_are_refused(cluster: Cluster) -> None:
    staff = await running(cluster)
    agent, token = next(iter(staff.tokens.items()))
    async with (
        client(cluster, token) as desk,
        client(cluster, staff.access.supervisor_key) as supervisor,
        _hook(cluster) as hook,
    ):
        cluster.redis.kill()
        answer, seconds = await _timed(supervisor, "GET", "/v1/contacts")
        assert answer.status_code == 503, answer.text
        assert seconds < PROMISED_S + MARGIN_S

        # The agent's word is durable, but nobody can tell yet what became of it.
        path, body, key = f"/v1/agents/{agent}/presence", {"presence": "available"}, {"Idempotency-Key": "arrived"}
        answer, seconds = await _timed(desk, "PUT", path, json=body, headers=key)
        assert answer.status_code == 202, answer.text
        assert seconds < PROMISED_S + MARGIN_S
        answer, seconds = await _timed(hook, "POST", HOOK, json=_update(1))
        assert answer.status_code == 200, answer.text
        assert seconds < PROMISED_S + MARGIN_S
        cluster.redis.start()

        async def told(client: httpx.AsyncClient, method: str, path: str, body: dict[str, Any]) -> bool:
            answer = await client.request(method, path, json=body, headers=key)
            return answer.status_code == 200

        await eventually(lambda: told(desk, "PUT", path, body), within_s=30, every_s=0.2)
        await eventually(lambda: told(hook, "POST", HOOK, _update(1)), within_s=30, every_s=0.2)

        async def offered() -> bool:
            answer = await desk.get(f"/v1/agents/{agent}/work")
            return answer.status_code == 200 and len(answer.json()["offers"]) == 1

        await eventually(offered, within_s=30, every_s=0.2)
        contacts = (await supervisor.get("/v1/contacts")).json()["items"]
        assert [contact["source_key"] for contact in contacts] == [f"telegram:{BOT}:message:7:1"]


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
