"""The distributed deployment as processes: brokers, Redis, routers, APIs and ingest, each of ours behind proxies of its
own. The one place that knows how they are started and wired.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from shared.log.kafka.topics import JOURNAL
from shared.log.kafka.url import KafkaUrl
from tests.faults.customers import Webhooks
from tests.faults.process import REPOSITORY, Process
from tests.faults.roads import Roads
from tests.support.kafka import KafkaCluster
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer

BOT: Final = "bot"
PAGE: Final = "web"
MAILBOX: Final = "support@shop.example"
WORKSPACE: Final = "shop"
OTHER: Final = "bank"
"""A workspace that lies on another partition."""
PARTITIONS: Final = 3


class Cluster:
    """Everything that one deployment consists of. Leaving the context ends it all.

    `lanes[name]` are the proxies between the process `name` and Kafka; `ways[name]` the one between it and Redis.
    """

    def __init__(
        self,
        folder: Path,
        *,
        brokers: int = 3,
        engines: int = 2,
        apis: int = 2,
        ingest: int = 1,
        chat_and_mail: bool = False,
        settings: Mapping[str, str] | None = None,
        builds: Mapping[str, Path] | None = None,
    ) -> None:
        """`builds`: folders of other builds that routers may be started from, by name; `this` is the checkout."""
        self.folder = folder
        self.builds = {"this": REPOSITORY, **(builds or {})}
        self.engine_names = [f"engine-{number}" for number in range(1, engines + 1)]
        self.api_names = [f"api-{number}" for number in range(1, apis + 1)]
        self.ingest_names = [f"social-{number}" for number in range(1, ingest + 1)]
        self.other_names = ["chat-1", "mail-1"] if chat_and_mail else []
        names = [*self.engine_names, *self.api_names, *self.ingest_names, *self.other_names]
        self.prefix = f"faults-{secrets.token_hex(3)}"
        self.kafka = KafkaCluster(nodes=brokers, lanes=names)
        self.redis = RedisServer()
        self.lanes = {
            name: [Proxy(target, port=port) for port, target in self.kafka.lane(name).ports] for name in names
        }
        self.ways = {name: Proxy(self.redis.port, port=free_port()) for name in names}
        self.journal_topic = KafkaUrl.parse(self.log_url(self.kafka.bootstrap)).topic(JOURNAL)
        self._secret = secrets.token_hex(16)
        self._ports = {name: free_port() for name in names}
        self.smtp = free_port()
        self._common = {
            "ROUTER_JWT_SECRET": secrets.token_hex(32),
            "CHAT_SESSION_SECRET": secrets.token_hex(16),
            "LOG_LEVEL": "info",
            **(settings or {}),
        }
        self.processes: dict[str, Process] = {}
        for name in self.engine_names:
            self._add(name, ["services.router", "--role", "engine"])
        for name in self.api_names:
            self._add(name, ["services.router", "--role", "api"])
        for name in self.ingest_names:
            accounts = {BOT: {"workspace": WORKSPACE, "webhook_secret": self._secret}}
            data_dir = str(folder / f"{name}-data")
            self._add(name, ["services.ingest_social"], SOCIAL_TELEGRAM=json.dumps(accounts), SOCIAL_DATA_DIR=data_dir)

        if chat_and_mail:
            self._add(
                "chat-1",
                ["services.ingest_chat"],
                CHAT_ACCOUNTS=json.dumps({PAGE: WORKSPACE}),
                # All customers have one address here.
                CHAT_SOCKETS_PER_IP="1000",
                CHAT_SESSIONS_PER_IP_MINUTE="100000",
            )
            self._add(
                "mail-1",
                ["services.ingest_email"],
                MAIL_ACCOUNTS=json.dumps({MAILBOX: WORKSPACE}),
                MAIL_PORT=str(self.smtp),
                MAIL_SIGNING_SECRET=secrets.token_hex(16),
                MAIL_DATA_DIR=str(folder / "mail-data"),
            )

    def log_url(self, bootstrap: str) -> str:
        """The `LOG` of a process that reaches the brokers at these addresses."""
        nodes = len(self.kafka.numbers)
        durable = f"replication={nodes}&min_isr={nodes // 2 + 1}"
        return f"kafka://{bootstrap}?prefix={self.prefix}&partitions={PARTITIONS}&{durable}"

    @property
    def bases(self) -> list[str]:
        """The addresses of the APIs."""
        return [f"http://127.0.0.1:{self._ports[name]}" for name in self.api_names]

    @property
    def chat(self) -> str:
        """Where a customer's page connects to, if there is chat."""
        return f"ws://127.0.0.1:{self._ports['chat-1']}/chat/{PAGE}"

    @property
    def hooks(self) -> Webhooks | None:
        """Where a provider delivers to, if there is ingest."""
        bases = [f"http://127.0.0.1:{self._ports[name]}" for name in self.ingest_names]
        return Webhooks(bases, BOT, self._secret) if bases else None

    @property
    def roads(self) -> Roads | None:
        """Where pages connect to and mail is delivered, if there are chat and mail."""
        return Roads(chat=self.chat, page=PAGE, smtp=self.smtp, mailbox=MAILBOX) if self.other_names else None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self.kafka.keep = self.redis.keep = kind is not None
        await self.close()

    async def start(self) -> None:
        """Start everything and wait until every process says that it is ready."""
        await self.start_network()
        self.redis.start()
        await asyncio.to_thread(self.kafka.start)
        await self.start_processes()
        await self.until_ready()

    async def start_network(self) -> None:
        """Start the proxies alone."""
        for proxy in self._proxies:
            await proxy.start()

    async def start_processes(self) -> None:
        """Start every process of ours; they may have to wait for what they need."""
        for process in self.processes.values():
            await process.start()

    async def until_ready(self) -> None:
        """Returns when every process of ours says that it is ready."""
        for process in self.processes.values():
            await process.until_ready()

    @property
    def _proxies(self) -> list[Proxy]:
        return [*(proxy for lane in self.lanes.values() for proxy in lane), *self.ways.values()]

    async def found(self, workspace: str = WORKSPACE) -> tuple[str, str]:
        """Make a workspace; its operator's and its adapter's key."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.router",
            "workspace",
            workspace,
            cwd=REPOSITORY,
            env=self.processes[self.api_names[0]].environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, words = await process.communicate()
        assert process.returncode == 0, words.decode()
        keys = json.loads(out)
        return keys["operator_key"], keys["adapter_key"]

    async def close(self) -> None:
        """End every process, server and proxy; idempotent."""
        for process in self.processes.values():
            process.resume()
            await process.kill()
        self.kafka.close()
        self.redis.close()
        for proxy in self._proxies:
            with contextlib.suppress(OSError):
                await proxy.close()

    def _add(self, name: str, module: Sequence[str], **env: str) -> None:
        self.processes[name] = Process(
            name,
            module,
            {
                **self._common,
                "LOG": self.log_url(self.kafka.lane(name).bootstrap),
                "VIEWS": f"redis://127.0.0.1:{self.ways[name].port}/0?prefix={self.prefix}",
                "ROUTER_NAME": name,
                "PORT": str(self._ports[name]),
                **env,
            },
            free_port(),
            self.folder,
        )
