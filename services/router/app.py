"""Wiring of the router: the leader, the API in front of it, and the admin surface. The only place where they meet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI

from services.router.api.app import build_api
from services.router.api.deps import ApiDeps, MessageIntake
from services.router.api.leases import Leases
from services.router.leader import Leader
from services.router.metrics import RouterMetrics, admin_app
from services.router.settings import RouterSettings
from services.router.snapshots import SnapshotKeeper, Taker
from services.router.web import web_routes
from shared.clock import Clock
from shared.log.port import Log
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
    leader: Leader
    metrics: RouterMetrics


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
) -> Router:
    """The router on one partition. `routes` (chat, webhooks) are served beside the API and the pages.

    Without `take_snapshot` there is one at each orderly stop only.
    """
    metrics = RouterMetrics()
    leader = Leader(log=log, views=views, clock=clock, metrics=metrics, partition=PARTITION, name=settings.name)

    async def workspaces() -> list[str]:
        await leader.ready.wait()
        return list(leader.replica.engine.state.workspaces)

    leases = Leases(views=views, inputs=log.inputs, partition_of=partition_of, clock=clock, workspaces=workspaces)
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
            history=leader.reader.history,
            feed=leader.reader.feed,
            replicas=leader.replicas,
            stopping=stopping,
            wait_s=settings.wait_s,
            docs=settings.api_docs,
        )
    )
    for extra in routes:
        api.include_router(extra)
    api.router.routes.extend(web_routes())
    parts = [
        Part(name="leases", run=leases.run),
        Part(name="leader", run=leader.run, stage=Stage.CORE),
    ]
    if take_snapshot is not None:
        keeper = SnapshotKeeper(log, leader.replica, take_snapshot, settings.snapshot_every)
        parts.append(Part(name="snapshots", run=keeper.run))
    return Router(
        api=api,
        admin=admin_app(metrics.registry, leader.why_not_ready),
        parts=parts,
        ready=leader.ready,
        leader=leader,
        metrics=metrics,
    )
