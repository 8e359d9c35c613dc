"""The commands of the compose files with their environment, as processes: only addresses and folders are other ones.

One walk through all of docker-compose.yml, its broker included: a workspace is made, a policy adopted, an agent hired;
a message by every road becomes an offer; accepted, completed, counted; and everything ends in order when it is told to.
One on three brokers: topics have the copies that they should, and a contact is served.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import smtplib
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from shared.service import STOP_LIMIT_S
from tests.eventually import eventually
from tests.support.compose import (
    DISTRIBUTED,
    REPOSITORY,
    THREE_BROKERS,
    Composition,
    Service,
    compose,
    example_environment,
    image_environment,
)
from tests.support.composed_kafka import ComposedKafka
from tests.support.ports import free_port

pytestmark = pytest.mark.integration

WORKSPACE = "support"
BOT_SECRET = secrets.token_urlsafe(16)
PORTS = ("PORT", "SMTP_PORT", "ADMIN_PORT")
TOPICS = ("commands", "inbound", "journal", "snapshots", "content", "routers", "workspaces")
START_S = 90.0
POLICY = {
    "channels": [
        {"kind": "chat", "account": "web", "queue": "help", "language": "en"},
        {"kind": "email", "account": "support@shop.example", "queue": "help", "language": "en"},
        {"kind": "telegram", "account": "shop_bot", "queue": "help", "language": "en"},
    ],
    "queues": [{"name": "help", "offer_timeout_s": 60}],
}


@dataclass(slots=True)
class Running:
    """One process, its own environment, and where its output goes."""

    environment: Mapping[str, str]
    process: asyncio.subprocess.Process
    log: Path

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self.environment['ADMIN_PORT']}"

    def port(self, name: str = "PORT") -> int:
        return int(self.environment[name])


class Here:
    """Where everything of the composition is on this machine."""

    def __init__(self, kafka: ComposedKafka, redis: str, prefix: str, folder: Path) -> None:
        self._folder = folder
        self._table = {
            **kafka.addresses,
            "prefix=switchdesk": f"prefix={prefix}",
            "redis://redis:6379/0": f"{redis}?prefix={prefix}",
            "0.0.0.0": "127.0.0.1",
        }

    def environment(self, service: Service) -> dict[str, str]:
        """What the container would have, with this machine's addresses, and nothing from around the test."""
        given = image_environment() | service.environment
        here = {name: self._here(value) for name, value in given.items()}
        ports = {name: str(free_port()) for name in PORTS if name in given}
        data = {name: str(self._folder / service.name) for name, value in given.items() if value == "/data"}
        return {**here, **ports, **data, "PATH": os.environ["PATH"]}

    def _here(self, value: str) -> str:
        for there, here in self._table.items():
            value = value.replace(there, here)
        return value


def declared(files: tuple[str, ...]) -> Composition:
    """A composition as compose would run it, with a bot added to the example."""
    bots = {"shop_bot": {"workspace": WORKSPACE, "webhook_secret": BOT_SECRET}}
    return compose(files, example_environment() | {"SOCIAL_TELEGRAM": json.dumps(bots)})


@asynccontextmanager
async def everything(
    composition: Composition, here: Here, folder: Path, *, only: tuple[str, ...] = ()
) -> AsyncIterator[dict[str, Running]]:
    """All services of ours that `docker compose up` starts, or `only` some, ready; killed at the end if they still
    run."""
    running: dict[str, Running] = {}
    try:
        for service in composition.ours:
            name = service.name
            if name in only or (service.runs_on and not only):
                running[name] = await start(service, here.environment(service), folder / f"{name}.log")
        for name, one in running.items():
            await until_ready(name, one)
        yield running
    finally:
        for one in running.values():
            if one.process.returncode is None:
                one.process.kill()
                await one.process.wait()


async def start(service: Service, environment: Mapping[str, str], log: Path) -> Running:
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            # The image's entry point.
            *(sys.executable, "-m", *service.command),
            cwd=REPOSITORY,
            env=dict(environment),
            stdout=output,
            stderr=output,
        )
    return Running(environment, process, log)


async def until_ready(name: str, one: Running) -> None:
    async def ready() -> bool:
        assert one.process.returncode is None, f"{name} ended:\n{one.log.read_text()[-3000:]}"
        try:
            async with httpx.AsyncClient(timeout=5) as http:
                return (await http.get(f"{one.admin}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    try:
        await eventually(ready, within_s=START_S, every_s=0.2)
    except AssertionError as error:
        raise AssertionError(f"{name}: {error}\n{one.log.read_text()[-3000:]}") from None


async def make_workspace(composition: Composition, here: Here) -> dict[str, str]:
    """What `docker compose run --rm workspace` prints."""
    service = composition.services["workspace"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *service.command),
        cwd=REPOSITORY,
        env=here.environment(service),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, words = await process.communicate()
    assert process.returncode == 0, words.decode()
    keys: dict[str, str] = json.loads(said)
    return keys


class Client:
    """One caller of the API."""

    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"}

    async def __call__(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer = await self._http.request(method, path, json=body, headers=self._headers)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        told: dict[str, Any] = answer.json()
        return told


async def write_by_every_road(running: dict[str, Running], http: httpx.AsyncClient) -> None:
    """A customer each by chat, mail and Telegram, at the ports of their services."""
    chat = f"http://127.0.0.1:{running['ingest-chat'].port()}/chat/web"
    session = (await http.post(f"{chat}/sessions", json={})).raise_for_status().json()
    told = {"Authorization": f"Bearer {session['token']}"}
    line = {"client_message_id": "1", "text": "Where is my parcel? It should have been here on Monday."}
    (await http.post(f"{chat}/messages", json=line, headers=told)).raise_for_status()
    update = {
        "update_id": 1,
        "message": {
            "message_id": 1,
            "date": 1_700_000_000,
            "chat": {"id": 4711, "type": "private"},
            "from": {"id": 4711, "is_bot": False, "first_name": "C"},
            "text": "My card was blocked this morning. What can I do?",
        },
    }
    hook = f"http://127.0.0.1:{running['ingest-social'].port()}/webhooks/telegram/shop_bot"
    headers = {"X-Telegram-Bot-Api-Secret-Token": BOT_SECRET}
    (await http.post(hook, json=update, headers=headers)).raise_for_status()
    await asyncio.to_thread(send_mail, running["ingest-email"].port("SMTP_PORT"))


def send_mail(port: int) -> None:
    mail = (
        "From: customer@example.net\r\nTo: support@shop.example\r\nMessage-ID: <1@example.net>\r\n"
        "Subject: Invoice\r\n\r\nPlease send me the invoice of last month again.\r\n"
    )
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as smtp:
        smtp.sendmail("customer@example.net", ["support@shop.example"], mail)


async def test_the_commands_of_the_composition_work_together(redis_url: str, prefix: str, tmp_path: Path) -> None:
    composition = declared(DISTRIBUTED)
    async with ComposedKafka(composition, tmp_path) as kafka:
        assert await kafka.misunderstood() == {}
        here = Here(kafka, redis_url, prefix, tmp_path)
        async with everything(composition, here, tmp_path) as running:
            keys = await make_workspace(composition, here)
            base = f"http://127.0.0.1:{running['api'].port()}"
            async with httpx.AsyncClient(base_url=base, timeout=40) as http:
                await serve_a_contact(http, keys)
                await write_by_every_road(running, http)
                await all_arrive(http, keys)
                await figures_show_it(running, http)
            await all_stop(running)


async def test_a_contact_is_served_on_three_brokers(redis_url: str, prefix: str, tmp_path: Path) -> None:
    composition = declared(THREE_BROKERS)
    async with ComposedKafka(composition, tmp_path, small=True) as kafka:
        assert await kafka.misunderstood() == {}
        here = Here(kafka, redis_url, prefix, tmp_path)
        async with everything(composition, here, tmp_path, only=("engine-1", "api")) as running:
            keys = await make_workspace(composition, here)
            base = f"http://127.0.0.1:{running['api'].port()}"
            async with httpx.AsyncClient(base_url=base, timeout=40) as http:
                await serve_a_contact(http, keys)
            topics = await copies(kafka.bootstrap)
            assert topics == {f"{prefix}.{topic}": (3, "2") for topic in TOPICS}
            await all_stop(running)


async def test_a_setting_that_kafka_does_not_know_is_noticed(tmp_path: Path) -> None:
    """It is not by its start: a broker takes no notice of what it does not know."""
    broker = declared(DISTRIBUTED).services["kafka"]
    misspelt = {**broker.environment, "KAFKA_UNCLEAN_LEADER_ELECTON_ENABLE": "false"}
    composition = Composition({"kafka": Service("kafka", {**broker.content, "environment": misspelt})}, frozenset())
    async with ComposedKafka(composition, tmp_path, small=True) as kafka:
        assert await kafka.misunderstood() == {"kafka": {"unclean.leader.electon.enable": None}}


async def copies(bootstrap: str) -> dict[str, tuple[int, str]]:
    """By topic: how many copies its partitions have, the fewest, and how many must be in sync."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        topics = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics()}
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in topics])
        settings = {name: {entry[0]: entry[1] for entry in entries} for _, _, _, name, entries in answer.resources}
    finally:
        await admin.close()
    return {
        name: (min(len(partition["replicas"]) for partition in partitions), settings[name]["min.insync.replicas"])
        for name, partitions in topics.items()
    }


async def serve_a_contact(http: httpx.AsyncClient, keys: dict[str, str]) -> None:
    """From the first policy to a completed contact, over the API alone."""
    operator, adapter = Client(http, keys["operator_key"]), Client(http, keys["adapter_key"])
    await operator("PUT", "/v1/policy", POLICY)
    await operator("PUT", "/v1/agents/ana", {"languages": {"en": 5}, "capacity": {"total": 1}})
    ana = Client(http, (await operator("POST", "/v1/agents/ana/token", {}))["token"])
    message = {
        "source_key": "walk:1",
        "channel": "chat",
        "sender": {"id": "c1"},
        "text": "Where is my parcel?",
        "language": "en",
    }
    contact = (await adapter("POST", "/v1/messages", message))["contact_id"]
    work = await ana("GET", "/v1/agents/ana/work")
    assert work["offers"] == []
    await ana("PUT", "/v1/agents/ana/presence", {"presence": "available"})

    async def offered() -> list[dict[str, Any]]:
        offers: list[dict[str, Any]] = (await ana("GET", "/v1/agents/ana/work?wait=5"))["offers"]
        return offers

    (offer,) = await eventually(offered, within_s=20)
    assert offer["contact"]["id"] == contact
    await ana("POST", f"/v1/offers/{offer['id']}/accept")
    lines = await ana("GET", f"/v1/contacts/{contact}/messages")
    assert "Where is my parcel?" in json.dumps(lines)
    done = await ana("POST", f"/v1/contacts/{contact}/complete")
    assert done["state"] == "completed"


async def all_arrive(http: httpx.AsyncClient, keys: dict[str, str]) -> None:
    """One contact more by every road."""
    operator = Client(http, keys["operator_key"])
    supervisor = Client(http, (await operator("POST", "/v1/keys", {"role": "supervisor"}))["key"])

    async def channels() -> bool:
        contacts = (await supervisor("GET", "/v1/contacts"))["items"]
        return sorted(contact["channel"] for contact in contacts) == ["chat", "chat", "email", "telegram"]

    await eventually(channels, within_s=20)


async def figures_show_it(running: dict[str, Running], http: httpx.AsyncClient) -> None:
    """Every process tells its figures, and the leader's count what happened."""

    async def told() -> bool:
        completed = leaders = 0.0
        for one in running.values():
            page = (await http.get(f"{one.admin}/metrics")).raise_for_status().text
            assert "\nswitchdesk_log_up 1.0" in page
            assert "\nswitchdesk_views_up 1.0" in page
            found = re.findall(r'^switchdesk_contacts_ended_total\{.*outcome="completed".*\} (\S+)', page, re.MULTILINE)
            completed += sum(map(float, found))
            leaders += sum(map(float, re.findall(r"^switchdesk_leading\{.*\} (\S+)", page, re.MULTILINE)))
        return (completed, leaders) == (1.0, 6.0)

    await eventually(told, within_s=20, every_s=0.5)


async def all_stop(running: dict[str, Running]) -> None:
    """SIGTERM to all at once; each ends in order and in time."""
    for one in running.values():
        one.process.send_signal(signal.SIGTERM)
    for name, one in running.items():
        async with asyncio.timeout(STOP_LIMIT_S):
            code = await one.process.wait()
        assert code == 0, f"{name}: {one.log.read_text()[-3000:]}"
