"""A real server on a real socket, memory behind it, and a stand-in for the router."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from services.router.api.access import Runtime
from services.router.api.app import ApiDeps, Limits, build_api
from services.router.api.auth import AuthSettings, NewKey, issue_token, new_key
from services.router.api.deps import MessageIntake
from services.router.api.gateway import CommandGateway
from services.router.api.leases import Leases
from services.router.journals import Journals
from services.router.metrics import RouterMetrics
from shared.clock import SystemClock
from shared.contracts.commands import LanguageCandidate
from shared.intake import Intake
from shared.log.memory import MemoryLog
from shared.log.port import Log
from shared.views.memory import MemoryViews
from shared.vocabulary import ChannelKind, Role
from tests.unit.api.standin import Doc, StandIn

WORKSPACE = "wallet"
SECRET = "a test's secret, long enough for HS256 to be glad"
AUTH = AuthSettings(jwt_secret=SECRET)
EMAIL = {"channel": "email", "account": "support"}
POLICY: dict[str, Any] = {
    "channels": [
        {
            "kind": "chat",
            "account": "web",
            "queue": "billing",
            "fallback": [{"channel": "email", "account": "support"}],
        },
        {"kind": "email", "account": "support", "queue": "billing"},
    ],
    "queues": [{"name": "billing", "offer_timeout_s": 30}],
    "lease": {"lease_s": 30},
}


class NoDetector:
    """Knows no language: these tests are not about that."""

    def detect(self, text: str) -> tuple[LanguageCandidate, ...]:
        return ()


def contact_doc(id: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": id,
        "workspace": WORKSPACE,
        "source_key": f"chat:web:message:{id}",
        "channel": "chat",
        "account": "web",
        "queue": "billing",
        "state": "waiting",
        "agent": None,
        "offers": [],
        "customer": "c1",
        "_sender": "a1",
        "_seqs": [3, 5],
        **fields,
    }


def work_doc(**fields: Any) -> dict[str, Any]:
    empty = {
        "presence": "available",
        "capacity": {"total": 3},
        "load": 0,
        "offers": [],
        "assignments": [],
        "wrap_up": None,
    }
    return {**empty, **fields}


def seed(agents: Sequence[str] = ("ana", "ben")) -> list[Doc]:
    docs: list[Doc] = [
        ("workspace", "self", {"name": WORKSPACE}),
        ("policy", "current", {"version": 1, "policy": POLICY}),
        ("queue", "billing", {"name": "billing", "waiting": 1}),
        ("contact", "c-waiting", contact_doc("c-waiting")),
        ("contact", "c-ana", contact_doc("c-ana", state="assigned", agent="ana")),
        ("contact", "c-ben", contact_doc("c-ben", state="offered", offers=[{"id": "o-ben", "agent": "ben"}])),
    ]
    for kind, account in (("chat", "web"), ("email", "support")):
        channel = {
            "channel": f"{kind}:{account}",
            "kind": kind,
            "account": account,
            "state": "healthy",
            "evidence": "e",
        }
        docs.append(("channel", f"{kind}:{account}", channel))
    for agent in agents:
        docs.append(("agent", agent, {"id": agent, "name": agent.title(), "reachable": True, "presence": "available"}))
        docs.append(("work", agent, work_doc()))
    return docs


@dataclass(slots=True)
class World:
    """Everything that a test holds on to."""

    deps: ApiDeps
    log: Log
    views: MemoryViews
    router: StandIn
    client: httpx.AsyncClient
    keys: Mapping[str, NewKey]
    base_url: str
    app: FastAPI
    feed: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)

    @property
    def gateway(self) -> CommandGateway:
        runtime: Runtime = self.app.state.api
        return runtime.gateway

    def with_intake(self, intake: MessageIntake) -> ApiDeps:
        return replace(self.deps, intake=intake)

    def token(self, role: Role, subject: str, *, workspace: str = WORKSPACE, ttl_s: int = 600) -> str:
        now_ms = self.deps.clock.now_ms()
        return issue_token(AUTH, workspace=workspace, role=role, subject=subject, now_ms=now_ms, ttl_s=ttl_s)[0]

    def as_(self, who: str) -> dict[str, str]:
        """The header of an adapter, operator, supervisor, or else of the agent of that name."""
        if who in self.keys:
            return {"Authorization": f"Bearer {self.keys[who].token}"}
        return {"Authorization": f"Bearer {self.token(Role.AGENT, who)}"}


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """The application on a free port of this machine; yields its address."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # 0 would mean Nagle
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=3)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listening])
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        # uvicorn's own shutdown sleeps a tenth of a second, which a hundred tests would feel; one test does use it.
        for each in server.servers:
            each.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        if server.server_state.tasks:
            _, late = await asyncio.wait(server.server_state.tasks, timeout=3)
            for task in late:
                task.cancel()
        listening.close()


@asynccontextmanager
async def world(
    *, limits: Limits | None = None, wait_s: float = 5.0, views: MemoryViews | None = None, **changes: Any
) -> AsyncIterator[World]:
    log, views, clock = cast(Log, MemoryLog()), views or MemoryViews(), SystemClock()
    await log.open()
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def partition_of(_: str) -> int:
        return 0

    async def first_account(_: str, kind: ChannelKind) -> str | None:
        return {"chat": "web", "email": "support"}.get(kind.value)

    async def workspaces() -> list[str]:
        return [WORKSPACE]

    async def history(_: str, contact: str, seqs: list[int]) -> list[dict[str, Any]]:
        data = {"contact": contact, "_hidden": 1}
        return [{"seq": seq, "index": 0, "at": 1000 * seq, "type": "ContactQueued", "data": data} for seq in seqs]

    async def feed(_: str, after: str | None) -> AsyncIterator[dict[str, Any]]:
        if after == "0:1:0":
            raise LookupError(after)
        while True:
            yield await events.get()

    async def replicas() -> list[dict[str, Any]]:
        return [{"replica": "r1", "partition": 0, "leader": True, "seq": 7, "state_hash": "abc"}]

    deps = ApiDeps(
        log=log,
        views=views,
        clock=clock,
        partition_of=partition_of,
        intake=Intake(log.inputs, log.content, clock, partition_of, NoDetector(), first_account),
        auth=AUTH,
        metrics=RouterMetrics(),
        leases=Leases(
            views=views, inputs=log.inputs, partition_of=partition_of, clock=clock, workspaces=workspaces, check_s=0.02
        ),
        history=history,
        feed=feed,
        adoptions=Journals(log.journal, partition_of).adoptions,
        replicas=replicas,
        stopping=asyncio.Event(),
        limits=limits or Limits(),
        wait_s=wait_s,
    )
    deps = replace(deps, **changes)
    router = StandIn(log, views)
    await router.publish(WORKSPACE, seed())
    await router.publish("other", [("workspace", "self", {"name": "other"})])
    keys = {role: new_key(WORKSPACE) for role in ("adapter", "operator", "supervisor")}
    keys["stranger"] = new_key("other")
    for role, key in keys.items():
        workspace = "other" if role == "stranger" else WORKSPACE
        data = {"key_id": key.key_id, "key_hash": key.key_hash, "agent": None, "label": ""}
        data["role"] = "supervisor" if role == "stranger" else role
        await router.publish(workspace, [("key", key.key_id, data)])
    task = asyncio.ensure_future(router.run())
    try:
        app = build_api(deps)
        async with serving(app) as base_url, httpx.AsyncClient(base_url=base_url, timeout=10, verify=False) as client:
            yield World(deps, log, views, router, client, keys, base_url, app, events)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await log.close()


@pytest.fixture
async def api() -> AsyncIterator[World]:
    async with world() as made:
        yield made
