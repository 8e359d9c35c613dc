"""The router as one of several processes: `--role engine` decides, `--role api` answers, `--role all` does both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, aclosing
from enum import StrEnum
from typing import Any

from services.router.app import build_front
from services.router.bystanders import AgentsWorker
from services.router.gauges import Gauges
from services.router.host import Host
from services.router.hours import HoursKeeper
from services.router.membership import Roster
from services.router.metrics import RouterMetrics
from services.router.partition import PartitionRouter
from services.router.replica import Replica, ReplicaSettings
from services.router.settings import EngineSettings, RouterSettings
from services.router.snapshots import SnapshotKeeper, worker_on
from services.router.turns import Pace
from shared.admin import Ready
from shared.ingest_process import intake_of
from shared.log.kafka import KafkaLog
from shared.metrics import ProcessMetrics
from shared.process import Backends, ProcessSettings, process_name, run_process
from shared.service import Part, Stage
from shared.web_server import WebServer, listen


class Role(StrEnum):
    """What a router process does."""

    API = "api"
    ENGINE = "engine"
    ALL = "all"


class KafkaRosterTopic:
    """The roster on the topic `routers`."""

    def __init__(self, kafka: KafkaLog) -> None:
        self._kafka = kafka

    async def announce(self, key: str, value: bytes) -> None:
        await self._kafka.announce("routers", key, value)

    async def follow(self) -> AsyncIterator[tuple[str, bytes]]:
        async with aclosing(self._kafka.follow("routers", from_end=True)) as told:
            async for key, value, _ in told:
                yield key, value


async def serve(role: Role, settings: ProcessSettings, stopping: asyncio.Event) -> None:
    """Run one router process until `stopping`. Raises `CannotStart`."""
    metrics = RouterMetrics()
    engine = EngineSettings.read()
    front = RouterSettings.read() if role is not Role.ENGINE else None
    name = engine.name or process_name(f"router-{role.value}")

    async def build(
        backends: Backends, sockets: ExitStack, _: ProcessMetrics, stop: asyncio.Event
    ) -> tuple[Sequence[Part], Ready]:
        assert backends.kafka is not None
        roster = Roster(KafkaRosterTopic(backends.kafka), backends.clock)
        parts = [Part(name="roster", run=roster.listen, stage=Stage.CORE)]
        ready: list[Ready] = []
        if role is not Role.API:
            host = _host(name, engine, backends, backends.kafka, roster, metrics)

            def replicas() -> list[Replica]:
                return [each.replica for each in host.partitions if each.ready.is_set()]

            keeper = SnapshotKeeper(backends.log, replicas, worker_on(settings.log), engine.snapshot_every)
            hours = HoursKeeper(backends.log.inputs, replicas, backends.clock)
            lag = backends.kafka.content.lag
            gauges = Gauges(
                metrics, backends.log, backends.clock, lambda: host.partitions, lag, by_agent=engine.metrics_by_agent
            )
            parts += [
                # All at once: where there is no edge, nothing holds up the leader's goodbye.
                Part(name="gauges", run=gauges.run, stage=Stage.CORE),
                Part(name="snapshots", run=keeper.run, stage=Stage.CORE),
                Part(name="hours", run=hours.run, stage=Stage.CORE),
                Part(name="router", run=host.run, stage=Stage.CORE),
            ]
            ready.append(host.why_not_ready)
        if front is not None:
            web, beside = _front(front, settings, backends, backends.kafka, roster, metrics, sockets, stop)
            parts += [*beside, Part(name="web", run=web.run)]
            ready.append(lambda: True if web.ready.is_set() else "the web server is starting")
        return parts, _all_of(ready)

    await run_process(settings, name, metrics.process, build, stopping)


def _host(
    name: str,
    settings: EngineSettings,
    backends: Backends,
    kafka: KafkaLog,
    roster: Roster,
    metrics: RouterMetrics,
) -> Host:
    def make(partition: int) -> PartitionRouter:
        return PartitionRouter(
            log=backends.log,
            views=backends.views,
            clock=backends.clock,
            metrics=metrics,
            partition=partition,
            name=name,
            settings=ReplicaSettings(max_inputs=500, max_open=settings.max_open_contacts, pace=Pace()),
            beside=kafka.content.materialise,
        )

    return Host(name, backends.partitions, roster, metrics, make)


def _front(
    front: RouterSettings,
    settings: ProcessSettings,
    backends: Backends,
    kafka: KafkaLog,
    roster: Roster,
    metrics: RouterMetrics,
    sockets: ExitStack,
    stopping: asyncio.Event,
) -> tuple[WebServer, list[Part]]:
    """The public port with the API and the pages."""
    intake = intake_of(backends)

    async def workspaces() -> list[str]:
        return [name for number in range(backends.partitions) for name in kafka.placement.workspaces(number)]

    async def replicas() -> list[dict[str, Any]]:
        return roster.replicas()

    api, beside = build_front(
        front,
        log=backends.log,
        views=backends.views,
        clock=backends.clock,
        intake=intake,
        partition_of=backends.partition_of,
        routes=(),
        stopping=stopping,
        metrics=metrics,
        workspaces=workspaces,
        replicas=replicas,
        book=backends.leases,
        saves=backends.healthy,
        bystanders=AgentsWorker(settings.log),
    )
    return WebServer(api, sockets.enter_context(listen(settings.host, settings.port, setting="PORT"))), beside


def _all_of(ready: Sequence[Ready]) -> Ready:
    def why() -> bool | str:
        return next((words for each in ready if (words := each()) is not True), True)

    return why
