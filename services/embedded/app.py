"""Wiring of everything in one process. The only place that names the adapters: SQLite for the log, memory for views."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from fastapi import APIRouter

from services.embedded import demo
from services.embedded.banner import Addresses, banner, demo_facts, write_facts
from services.embedded.keys import DemoSecrets, load_or_make
from services.embedded.settings import EmbeddedSettings
from services.ingest_chat.app import build_chat
from services.ingest_chat.settings import ChatSettings
from services.ingest_email.app import Email, build_email
from services.ingest_email.settings import EmailSettings
from services.ingest_social.app import build_social
from services.ingest_social.settings import SocialSettings
from services.router.api.auth import AuthSettings, issue_token
from services.router.bystanders import AgentsWorker
from services.router.settings import RouterSettings
from services.router.snapshots import Taker, worker_on
from shared.admin import Ready
from shared.clock import Clock, SystemClock
from shared.intake import Intake, first_account_of
from shared.language import language_detector
from shared.log.port import Log, LogLocked
from shared.log.sqlite import SqliteLog
from shared.metrics import ProcessMetrics
from shared.process import health_of, look_at
from shared.service import CannotStart, Part, Stage, run_parts
from shared.views.memory import MemoryViews
from shared.views.port import Views
from shared.vocabulary import Role
from shared.web_server import WebServer, cannot_listen, listen, url_of

TOKEN_LIFE_S = 30 * 86_400


class RunningRouter(Protocol):
    """What the composition needs of a router."""

    @property
    def api(self) -> Any:
        """The public application: API, pages, and the routes that were handed in."""
        ...

    @property
    def admin(self) -> Any:
        """Metrics and probes."""
        ...

    @property
    def process_metrics(self) -> ProcessMetrics:
        """What is told of this process on the admin port, also for what runs beside the router."""
        ...

    @property
    def parts(self) -> Sequence[Part]: ...

    @property
    def ready(self) -> asyncio.Event:
        """Set once this process leads and the views are written."""
        ...


class RouterFactory(Protocol):
    """`services.router.app.build_router`."""

    def __call__(
        self,
        settings: RouterSettings,
        *,
        log: Log,
        views: Views,
        clock: Clock,
        intake: Intake,
        partition_of: Callable[[str], int],
        routes: Sequence[APIRouter],
        stopping: asyncio.Event,
        take_snapshot: Taker | None = None,
        bystanders: AgentsWorker | None = None,
        healthy: Ready = ...,
    ) -> RunningRouter: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the process stands on, opened before any part is built."""

    log: Log
    views: Views
    clock: Clock
    http: socket.socket
    admin: socket.socket


async def serve(
    settings: EmbeddedSettings,
    stopping: asyncio.Event,
    build_router: RouterFactory,
    *,
    announce: Callable[[str], None] = print,
) -> None:
    """Run everything until `stopping`. Raises `CannotStart` with the remedy for what a person must put right."""
    clock = SystemClock()
    _prepare(settings.data_dir)
    with ExitStack() as sockets:
        http = sockets.enter_context(listen(settings.host, settings.port, setting="PORT"))
        admin = sockets.enter_context(listen(settings.host, settings.admin_port, setting="ADMIN_PORT"))
        log = SqliteLog(settings.data_dir)
        try:
            await log.open()
        except LogLocked:
            raise CannotStart(
                f"{settings.data_dir} belongs to a running process (DATA_DIR); stop that one, or set DATA_DIR=…"
            ) from None
        try:
            # After the lock is ours, so that two processes cannot make different secrets.
            keys = load_or_make(
                settings.data_dir, demo.WORKSPACE, now_s=clock.now_ms() // 1000, token_life_s=TOKEN_LIFE_S
            )
            ports = Ports(log=log, views=MemoryViews(), clock=clock, http=http, admin=admin)
            await run_parts(await build(settings, ports, keys, build_router, stopping, announce), stopping)
        finally:
            await log.close()


async def build(
    settings: EmbeddedSettings,
    ports: Ports,
    keys: DemoSecrets,
    build_router: RouterFactory,
    stopping: asyncio.Event,
    announce: Callable[[str], None],
) -> list[Part]:
    """All parts of the process, ready to run."""
    log, views, clock = ports.log, ports.views, ports.clock
    intake = Intake(log.inputs, log.content, clock, partition_of, language_detector(), first_account_of(views))
    chat = build_chat(
        _chat_settings(keys),
        intake=intake,
        inputs=log.inputs,
        content=log.content,
        views=views,
        clock=clock,
        partition_of=partition_of,
    )
    email = build_email(
        _email_settings(settings, keys),
        intake=intake,
        inputs=log.inputs,
        content=log.content,
        views=views,
        clock=clock,
        partition_of=partition_of,
    )
    social = build_social(
        _social_settings(settings, keys),
        intake=intake,
        inputs=log.inputs,
        content=log.content,
        views=views,
        clock=clock,
        partition_of=partition_of,
    )
    router_settings = RouterSettings.read(below={"jwt_secret": keys.jwt_secret})
    router = build_router(
        router_settings,
        log=log,
        views=views,
        clock=clock,
        intake=intake,
        partition_of=partition_of,
        routes=[chat.routes, social.routes],
        stopping=stopping,
        take_snapshot=worker_on(settings.data_dir),
        bystanders=AgentsWorker(str(settings.data_dir.resolve())),
        healthy=health_of(log),
    )
    social.observe(router.process_metrics)
    email.observe(router.process_metrics)
    web, admin = WebServer(router.api, ports.http), WebServer(router.admin, ports.admin)
    addresses = Addresses(
        base_url=settings.public_url or url_of(ports.http),
        admin_url=url_of(ports.admin),
        smtp_host="127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host,  # noqa: S104 - compared
        smtp_port=await _listen_for_mail(email, settings),
    )
    opening = _Opening(
        centre=demo.Demo(log.inputs, views, clock, keys, partition_of),
        facts=_facts(addresses, keys, router_settings.auth),
        data_dir=settings.data_dir,
        ready=(router.ready, web.ready, admin.ready),
        announce=announce,
    )
    return [
        Part(name="web", run=web.run),
        Part(name="chat", run=chat.run),
        Part(name="mail", run=email.run),
        Part(name="social", run=social.run),
        Part(name="demo", run=opening.run),
        Part(name="admin", run=admin.run, stage=Stage.CORE),
        Part(name="backends", run=partial(look_at, log, views, router.process_metrics), stage=Stage.CORE),
        *router.parts,
    ]


def partition_of(workspace: str) -> int:
    """One file, one partition."""
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opening:
    """Waits until everything answers, sets the demo centre up, and tells whoever started this where everything is."""

    centre: demo.Demo
    facts: dict[str, Any]
    data_dir: Path
    ready: Sequence[asyncio.Event]
    announce: Callable[[str], None]

    async def run(self, stopping: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            opening = group.create_task(self._open())
            told = group.create_task(stopping.wait())
            await asyncio.wait((opening, told), return_when=asyncio.FIRST_COMPLETED)
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                await stopping.wait()
            opening.cancel()
            told.cancel()

    async def _open(self) -> None:
        for event in self.ready:
            await event.wait()
        await self.centre.set_up()
        self.announce(banner(self.facts, write_facts(self.data_dir, self.facts)))


def _chat_settings(keys: DemoSecrets) -> ChatSettings:
    return ChatSettings.read(
        below={"accounts": {demo.CHAT_ACCOUNT: demo.WORKSPACE}, "session_secret": keys.chat_secret}
    )


def _email_settings(settings: EmbeddedSettings, keys: DemoSecrets) -> EmailSettings:
    return EmailSettings.read(
        below={
            "accounts": {demo.MAIL_ADDRESS: demo.WORKSPACE},
            "host": settings.host,
            "port": settings.smtp_port,
            "signing_secret": keys.mail_secret,
            "data_dir": settings.data_dir,
        }
    )


def _social_settings(settings: EmbeddedSettings, keys: DemoSecrets) -> SocialSettings:
    telegram = {"workspace": demo.WORKSPACE, "webhook_secret": keys.telegram_secret}
    messenger = {
        "workspace": demo.WORKSPACE,
        "app_secret": keys.messenger_secret,
        "verify_token": keys.messenger_verify_token,
    }
    return SocialSettings.read(
        below={
            "telegram": {demo.TELEGRAM_ACCOUNT: telegram},
            "messenger": {demo.MESSENGER_ACCOUNT: messenger},
            "data_dir": settings.data_dir,
        }
    )


def _facts(addresses: Addresses, keys: DemoSecrets, auth: AuthSettings) -> dict[str, Any]:
    def token(role: Role, subject: str) -> str:
        issued = keys.tokens_issued_at * 1000
        return issue_token(
            auth, workspace=demo.WORKSPACE, role=role, subject=subject, now_ms=issued, ttl_s=TOKEN_LIFE_S
        )[0]

    return demo_facts(
        addresses,
        keys,
        supervisor_token=token(Role.SUPERVISOR, demo.SUPERVISOR),
        agents={agent.agent: token(Role.AGENT, agent.agent) for agent in demo.AGENTS},
    )


async def _listen_for_mail(email: Email, settings: EmbeddedSettings) -> int:
    try:
        return await email.listen()
    except OSError as error:
        raise cannot_listen(error, settings.host, settings.smtp_port, setting="SMTP_PORT") from None


def _prepare(data_dir: Path) -> None:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStart(f"{data_dir} cannot be made ({error.strerror}); set DATA_DIR=…") from None
