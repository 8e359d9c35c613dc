"""Wiring of the router: the engine, the API in front of it, and the admin surface. The only place where they meet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI

from services.router.api.app import build_api
from services.router.api.deps import ApiDeps, Bystanders, MessageIntake, Replicas
from services.router.api.leases import Leases
from services.router.gauges import Gauges
from services.router.hours import HoursKeeper
from services.router.journals import Journals
from services.router.metrics import RouterMetrics
from services.router.partition import PartitionRouter
from services.router.replica import ReplicaSettings
from services.router.settings import RouterSettings
from services.router.snapshots import SnapshotKeeper, Taker
from services.router.web import web_routes
from shared.admin import Ready, admin_app
from shared.clock import Clock
from shared.leases.port import LeaseBook
from shared.log.port import Log
from shared.loop_lag import LoopLag
from shared.metrics import ProcessMetrics
from shared.quotas import Quotas
from shared.service import Part, Stage
from shared.views.port import Views

PARTITION = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """A router ready to run: `api` for the public port, `admin` for the other, `parts` to run beside them."""

    api: FastAPI
    admin: Any
    parts: Sequence[Part]
    ready: asyncio.Event
    partition: PartitionRouter
    metrics: RouterMetrics

    @property
    def process_metrics(self) -> ProcessMetrics:
        """For what runs beside the router in this process."""
        return self.metrics.process


def build_router(
    settings: RouterSettings,
    *,
    log: Log,
    views: Views,
    clock: Clock,
    intake: MessageIntake,
    partition_of: Callable[[str], int],
    routes: Sequence[APIRouter],
    stopping: asyncio.Event,
    take_snapshot: Taker | None = None,
    bystanders: Bystanders | None = None,
    healthy: Ready = lambda: True,
) -> Router:
    """Engine and API in one process, which has the only partition for itself. `routes` (chat, webhooks) are served
    beside the API and the pages. `healthy`: what the log says of itself.

    Without `take_snapshot` there is one at each orderly stop only.
    """
    metrics = RouterMetrics()
    name = settings.name or "router-1"
    partition = PartitionRouter(
        log=log,
        views=views,
        clock=clock,
        metrics=metrics,
        partition=PARTITION,
        name=name,
        settings=ReplicaSettings(max_open=settings.max_open_contacts),
    )

    async def workspaces() -> list[str]:
        await partition.ready.wait()
        return list(partition.replica.engine.state.workspaces)

    async def replicas() -> list[dict[str, Any]]:
        return [partition.describe()]

    api, front = build_front(
        settings,
        log=log,
        views=views,
        clock=clock,
        intake=intake,
        partition_of=partition_of,
        routes=routes,
        stopping=stopping,
        metrics=metrics,
        workspaces=workspaces,
        replicas=replicas,
        saves=healthy,
        bystanders=bystanders,
    )

    def why_not_ready() -> bool | str:
        return words if (words := healthy()) is not True else partition.why_not_ready()

    gauges = Gauges(metrics, log, clock, lambda: [partition], by_agent=settings.metrics_by_agent)
    hours = HoursKeeper(log.inputs, lambda: [partition.replica], clock)
    parts = [
        *front,
        Part(name="gauges", run=gauges.run),
        Part(name="loop", run=LoopLag(clock, metrics.process.loop_lag).run, stage=Stage.CORE),
        Part(name="hours", run=hours.run),
        Part(name="router", run=partition.run, stage=Stage.CORE),
    ]
    if take_snapshot is not None:
        keeper = SnapshotKeeper(log, lambda: [partition.replica], take_snapshot, settings.snapshot_every)
        parts.append(Part(name="snapshots", run=keeper.run))
    return Router(
        api=api,
        admin=admin_app(metrics.registry, why_not_ready, stopping),
        parts=parts,
        ready=partition.ready,
        partition=partition,
        metrics=metrics,
    )


def build_front(
    settings: RouterSettings,
    *,
    log: Log,
    views: Views,
    clock: Clock,
    intake: MessageIntake,
    partition_of: Callable[[str], int],
    routes: Sequence[APIRouter],
    stopping: asyncio.Event,
    metrics: RouterMetrics,
    workspaces: Callable[[], Awaitable[Sequence[str]]],
    replicas: Replicas,
    book: LeaseBook | None = None,
    saves: Ready | None = None,
    bystanders: Bystanders | None = None,
) -> tuple[FastAPI, list[Part]]:
    """The public application with the pages, and what runs beside it. `book`: where several such
    processes share them. `saves`: what desks are told of the log."""
    journals = Journals(log.journal, partition_of)
    leases = Leases(
        views=views, inputs=log.inputs, partition_of=partition_of, clock=clock, workspaces=workspaces, book=book
    )
    quotas = Quotas(settings, clock.monotonic)
    quotas.observe(metrics.process)
    api = build_api(
        ApiDeps(
            log=log,
            views=views,
            clock=clock,
            partition_of=partition_of,
            intake=intake,
            auth=settings.auth,
            metrics=metrics,
            leases=leases,
            history=journals.history,
            feed=journals.feed,
            adoptions=journals.adoptions,
            replicas=replicas,
            stopping=stopping,
            bystanders=bystanders,
            quotas=quotas,
            saves=saves or (lambda: True),
            wait_s=settings.wait_s,
            docs=settings.api_docs,
        )
    )
    for extra in routes:
        api.include_router(extra)
    api.router.routes.extend(web_routes())
    return api, [Part(name="leases", run=leases.run), Part(name="commands", run=api.state.api.gateway.run)]
