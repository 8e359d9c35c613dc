"""One process of a deployment: its admin port first, then its log and views, then its parts.

The admin port answers from the first moment on, so that whoever watches sees what a start waits for. The log is waited
for with words; nothing else is served before it is there.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from shared import collector
from shared.admin import Ready, admin_app
from shared.clock import Clock, SystemClock
from shared.ending import ended
from shared.leases.memory import MemoryLeaseBook
from shared.leases.port import LeaseBook
from shared.leases.redis import RedisLeaseBook
from shared.log.kafka import KafkaLog
from shared.log.port import Log, LogCorrupt, LogLocked, LogMisconfigured, LogUnavailable, UnknownWorkspace
from shared.log.redis_content_table import RedisContentTable
from shared.log.sqlite import SqliteLog
from shared.loop_lag import LoopLag
from shared.loop_watchdog import Patience
from shared.metrics import ProcessMetrics
from shared.service import CannotStart, Part, Stage, run_parts, run_until
from shared.settings import Settings
from shared.views.memory import MemoryViews
from shared.views.port import Views
from shared.views.redis import RedisViews
from shared.web_server import WebServer, listen

LOOK_S: Final = 2.0
INNER_LIMIT_S: Final = 9.0
Port = Annotated[int, Field(ge=0, le=65_535)]


class LoopSettings(Settings):
    """How long the event loop of a process may stand still."""

    blocked_log_s: Annotated[float, Field(ge=0)] = Field(
        10.0, description="An event loop that has not turned for so long: where it hangs is logged; 0: never."
    )
    blocked_end_s: Annotated[float, Field(ge=0)] = Field(
        30.0, description="The process is ended with exit code 3, for its supervisor to start another; 0: never."
    )

    @property
    def patience(self) -> Patience:
        return Patience(log_s=self.blocked_log_s, end_s=self.blocked_end_s)


class ProcessSettings(LoopSettings):
    """What every process of a deployment is told. A port of 0 takes a free one."""

    log: str = Field(
        "sqlite:///.data",
        description="`sqlite:///DIR` (one process) or `kafka://HOST:PORT,…?prefix=…&partitions=…&replication=…`.",
    )
    views: str = Field("memory:", description="`memory:` (one process) or `redis://HOST:PORT/DB?prefix=…`.")
    host: str = Field("127.0.0.1", description="Address to listen on, for all ports.")
    port: Port = Field(8080, description="What the public reaches; the mail service has SMTP_PORT.")
    admin_port: Port = Field(9091, description="Metrics and probes; keep it away from the public.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="How much is logged.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backends:
    """What a process stands on. `healthy` is True, or words about what is away."""

    log: Log
    views: Views
    leases: LeaseBook
    clock: Clock
    partitions: int
    partition_of: Callable[[str], int]
    """Raises `LogUnavailable` for a workspace that has no place."""
    place: Callable[[str], Awaitable[int]]
    """Gives a workspace its place if it has none."""
    healthy: Ready
    kafka: KafkaLog | None = None
    redis: RedisViews | None = None


Build = Callable[[Backends, ExitStack, ProcessMetrics, asyncio.Event], Awaitable[tuple[Sequence[Part], Ready]]]
"""`(backends, sockets, metrics, stopping)`: the parts of the process, and what they say of their readiness."""


async def run_process(
    settings: ProcessSettings,
    name: str,
    metrics: ProcessMetrics,
    build: Build,
    stopping: asyncio.Event,
    *,
    shares: bool = True,
) -> None:
    """Run one process until `stopping`. With `shares`, log and views must be such that other processes can have them.

    Raises `CannotStart` for what a person has to put right.
    """
    if shares and (settings.log.startswith("sqlite:") or settings.views.startswith("memory:")):
        raise CannotStart(
            "several processes need a log and views that they can share (LOG, VIEWS); set LOG=kafka://… and "
            "VIEWS=redis://…, or run everything in one process: python -m services.embedded"
        )
    state = _Readiness()
    with ExitStack() as sockets:
        admin_socket = sockets.enter_context(listen(settings.host, settings.admin_port, setting="ADMIN_PORT"))
        admin = WebServer(admin_app(metrics.catalogue.registry, state.why, stopping), admin_socket)
        service = _Service(settings, name, metrics, build, sockets, state)
        lag = LoopLag(SystemClock(), metrics.loop_lag)
        parts = [
            Part(name="service", run=service.run),
            Part(name="admin", run=admin.run, stage=Stage.CORE),
            Part(name="loop", run=lag.run, stage=Stage.CORE),
        ]
        await run_parts(parts, stopping)


class _Readiness:
    """What `/readyz` says, from the first moment on."""

    def __init__(self) -> None:
        self.waits_for = "starting"
        self.backends: Ready | None = None
        self.parts: Ready | None = None

    def why(self) -> bool | str:
        if self.backends is None or self.parts is None:
            return self.waits_for
        healthy = self.backends()
        return healthy if healthy is not True else self.parts()


@dataclass(frozen=True, slots=True)
class _Service:
    """Everything but the admin port."""

    settings: ProcessSettings
    name: str
    metrics: ProcessMetrics
    build: Build
    sockets: ExitStack
    state: _Readiness

    async def run(self, stopping: asyncio.Event) -> None:
        opened = asyncio.Event()
        serving = asyncio.get_running_loop().create_task(self._serve(stopping, opened))
        waiting = asyncio.get_running_loop().create_task(stopping.wait())
        try:
            await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not opened.is_set():
                # Still waiting for the log: there is nothing to stop in order.
                serving.cancel()
            await asyncio.wait({serving})
        finally:
            await ended(waiting, serving)
        if not serving.cancelled():
            serving.result()

    async def _serve(self, stopping: asyncio.Event, opened: asyncio.Event) -> None:
        async with open_backends(self.settings, self.name, self._waits) as backends:
            opened.set()
            parts, ready = await self.build(backends, self.sockets, self.metrics, stopping)
            self.state.backends, self.state.parts = backends.healthy, ready
            collector.keep()
            looking = Part(
                name="backends", run=partial(look_at, backends.log, backends.views, self.metrics), stage=Stage.CORE
            )
            await run_parts([*parts, looking], stopping, limit_s=INNER_LIMIT_S)

    def _waits(self, words: str) -> None:
        self.state.waits_for = words


@asynccontextmanager
async def open_backends(
    settings: ProcessSettings, name: str, waits: Callable[[str], None] = lambda words: None
) -> AsyncIterator[Backends]:
    """Log and views as the settings name them; waits for a log that is away, telling `waits` why.

    Raises `CannotStart` for addresses that cannot be read and logs that must not be used.
    """
    clock = SystemClock()
    redis = _redis_views(settings.views, name) if _is_redis(settings.views) else None
    if redis is None and settings.views != "memory:":
        raise CannotStart("VIEWS cannot be used: it is memory: or begins with redis:// or rediss://")
    views: Views = redis or MemoryViews()
    leases: LeaseBook = RedisLeaseBook(settings.views, name=name) if redis else MemoryLeaseBook(clock)
    async with _opened_log(settings, name, waits) as (log, kafka):
        try:
            if redis is not None:
                await redis.open()
            yield Backends(
                log=log,
                views=views,
                leases=leases,
                clock=clock,
                partitions=kafka.url.partitions if kafka else 1,
                partition_of=_recorded(kafka) if kafka else _only_partition,
                place=kafka.placement.place if kafka else _place_in_the_only_one,
                healthy=health_of(log),
                kafka=kafka,
                redis=redis,
            )
        finally:
            if isinstance(leases, RedisLeaseBook):
                await leases.close()
            if redis is not None:
                await redis.close()


def process_name(role: str) -> str:
    """What a process calls itself where the settings give no name: unlike any other, also after a restart."""
    return f"{role}-{socket.gethostname()}-{os.getpid()}"


async def look_at(log: Log, views: Views, metrics: ProcessMetrics, stopping: asyncio.Event) -> None:
    """Keep the gauges of log and views until `stopping`."""
    await run_until(stopping, _look_at(log, views, metrics))


async def _look_at(log: Log, views: Views, metrics: ProcessMetrics) -> None:
    replaced = missed = 0
    healthy = health_of(log)
    while True:
        metrics.log_up.set(healthy() is True)
        metrics.views_up.set(not isinstance(views, RedisViews) or views.healthy() is True)
        if isinstance(log, KafkaLog):
            metrics.producer_replacements.inc(log.replacements - replaced)
            replaced = log.replacements
        if isinstance(views, RedisViews):
            metrics.hints_missed.inc(views.hints_missed - missed)
            missed = views.hints_missed
            metrics.views_queue.set(views.queued)
            metrics.views_queue_bytes.set(views.queued_bytes)
        await asyncio.sleep(LOOK_S)
        if isinstance(log, SqliteLog) and log.healthy() is not True:
            # What failed counts until something succeeds; so somebody has to try while nobody sends.
            with suppress(LogUnavailable, LogCorrupt):
                await log.prove()


@asynccontextmanager
async def _opened_log(
    settings: ProcessSettings, name: str, waits: Callable[[str], None]
) -> AsyncIterator[tuple[Log, KafkaLog | None]]:
    kafka: KafkaLog | None = None
    log: Log
    if settings.log.startswith("kafka:"):
        table = RedisContentTable(settings.views, name=name) if _is_redis(settings.views) else None
        try:
            log = kafka = KafkaLog(
                settings.log,
                table=table,
                patience_s=math.inf,
                waits=lambda why: waits(f"waiting for the log: {why}"),
            )
        except ValueError as error:
            raise CannotStart(f"LOG cannot be used: {error}") from None
    elif settings.log.startswith("sqlite:///"):
        table = None
        log = SqliteLog(sqlite_directory(settings.log))
    else:
        raise CannotStart("LOG cannot be used: it begins with sqlite:/// or kafka://")
    try:
        waits("waiting for the log, which does not answer")
        await _opened(log)
        yield log, kafka
    finally:
        await log.close()
        if table is not None:
            await table.close()


async def _opened(log: Log) -> None:
    try:
        await log.open()
    except LogLocked:
        raise CannotStart("the log belongs to a running process (LOG); stop that one, or set LOG=…") from None
    except LogMisconfigured as error:
        raise CannotStart(f"the log must not be used like this: {error}") from None


def sqlite_directory(url: str) -> Path:
    """The folder of a `sqlite:///` address: relative, or absolute with a fourth slash."""
    return Path(url.removeprefix("sqlite:///"))


def _is_redis(url: str) -> bool:
    return url.startswith(("redis:", "rediss:"))


def _redis_views(url: str, name: str) -> RedisViews:
    try:
        return RedisViews(url, name=name)
    except ValueError as error:
        raise CannotStart(f"VIEWS cannot be used: {error}") from None


def _recorded(kafka: KafkaLog) -> Callable[[str], int]:
    def partition_of(workspace: str) -> int:
        try:
            return kafka.placement.partition_of(workspace)
        except UnknownWorkspace:
            # Recorded by another process a moment ago, or by nobody yet: whoever asks may ask again.
            raise LogUnavailable(f"workspace {workspace!r} has no place in the log yet") from None

    return partition_of


def _only_partition(workspace: str) -> int:
    return 0


async def _place_in_the_only_one(workspace: str) -> int:
    return 0


def health_of(log: Log) -> Ready:
    """What a log says of itself. Views that are away do not make a process useless: commands go on, and metrics tell of
    the views."""

    def healthy() -> bool | str:
        if isinstance(log, KafkaLog | SqliteLog) and (words := log.healthy()) is not True:
            return f"log: {words}"
        return True

    return healthy
