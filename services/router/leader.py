"""The router's leading part: a replica that leads one partition, what it publishes, and the gauges looked at."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from services.router.audit import Audit
from services.router.feed import JournalReader
from services.router.metrics import RouterMetrics
from services.router.perform import Publisher
from services.router.replica import Replica, ReplicaSettings
from services.router.snapshot import state_hash
from shared.clock import Clock
from shared.log.port import Log
from shared.views.port import Views
from shared.vocabulary import ContactState

logger = logging.getLogger(__name__)

LOOK_S = 5.0


class Leader:
    """One partition's router in this process."""

    def __init__(
        self,
        *,
        log: Log,
        views: Views,
        clock: Clock,
        metrics: RouterMetrics,
        partition: int = 0,
        name: str = "router-0",
        settings: ReplicaSettings | None = None,
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._publisher = Publisher(views, metrics, log.content)
        self.replica = Replica(
            partition=partition,
            name=name,
            log=log,
            clock=clock,
            performer=self._publisher,
            settings=settings or ReplicaSettings(),
        )
        self.reader = JournalReader(log.journal, partition)
        self.ready = asyncio.Event()
        self._audit = Audit()
        self._void_seen = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Recover, publish everything, lead until told to stop; then save a snapshot."""
        replica = self.replica
        await replica.recover()
        await self._publisher.start(replica)
        await replica.lead()
        self.ready.set()
        self._metrics.set_leading(replica.partition, True)
        try:
            async with asyncio.TaskGroup() as group:
                looking = group.create_task(self._look())
                while not stopping.is_set():
                    await replica.step()
                looking.cancel()
        finally:
            self._metrics.set_leading(replica.partition, False)
        await replica.stop()

    def why_not_ready(self) -> bool | str:
        """True while this process leads and decides; else the reason why not."""
        if not self.ready.is_set():
            return "recovering"
        if not self.replica.leading:
            return "not leading"
        return True

    async def replicas(self) -> list[dict[str, Any]]:
        """What `GET /v1/replicas` shows. The hash is of the folded state; while a proposal is out it is not told."""
        replica = self.replica
        return [
            {
                "replica": replica.name,
                "partition": replica.partition,
                "leader": replica.leading,
                "seq": replica.head.seq,
                "head": replica.head.hash,
                "state_hash": None if replica.proposing else state_hash(replica.engine.state),
            }
        ]

    async def _look(self) -> None:
        """Gauges that are looked at rather than counted, every few seconds."""
        while True:
            try:
                await self._look_once()
            except Exception:
                # A gauge must not take the router down; the log says which one.
                logger.exception("gauges could not be read")
            asked = self._clock.monotonic()
            await asyncio.sleep(LOOK_S)
            self._metrics.loop_lag.set(max(0.0, self._clock.monotonic() - asked - LOOK_S))

    async def _look_once(self) -> None:
        replica, metrics = self.replica, self._metrics
        metrics.journal_void.inc(replica.void_records - self._void_seen)
        self._void_seen = replica.void_records
        if not replica.proposing:
            found = self._audit.step(replica.engine.world)
            metrics.double_assign.inc(found.double_assigned)
            metrics.orphans.set(self._audit.orphans)
        end = await self._log.inputs.end(replica.partition)
        read = replica.positions
        metrics.set_lag(replica.partition, commands=end.commands - read.commands, inbound=end.inbound - read.inbound)
        open_contacts = dict.fromkeys((state.value for state in ContactState if state.is_open), 0)
        presences: dict[str, int] = {}
        reachable, used, total = 0, 0, 0
        now = self._clock.now_ms()
        world = replica.engine.world
        for name, workspace in world.state.workspaces.items():
            for queue, counts in world.indexes[name].queues.items():
                open_contacts["waiting"] += counts.waiting
                open_contacts["offered"] += counts.offered
                open_contacts["assigned"] += counts.assigned
                oldest = now - counts.pending.first()[0] if counts.pending else 0
                waiting = counts.waiting + counts.offered
                metrics.set_queue(queue, waiting=waiting, oldest_age_s=oldest / 1000, staffed=counts.staffed)
            for agent in workspace.agents.values():
                presences[agent.presence] = presences.get(agent.presence, 0) + 1
                reachable += agent.reachable
                used += agent.used
                total += agent.capacity_total if agent.takes_offers else 0
            for channel in workspace.channels.values():
                metrics.set_channel(channel.kind, channel.account, channel.state.value)
        metrics.set_contacts(open_contacts)
        metrics.set_agents(presences, reachable=reachable)
        metrics.set_capacity(used=used / 1000, total=total / 1000)
