"""The gauges that are looked at every few seconds rather than counted, over all partitions that this process leads."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from services.router.audit import Audit
from services.router.engine.deadlines import overdue
from services.router.engine.index import Index
from services.router.engine.policy import spoken
from services.router.engine.waits import Line, kind_of
from services.router.fairness import Share, jain_by_queue
from services.router.metrics import QueueNow, RouterMetrics
from services.router.partition import PartitionRouter
from services.router.replica import Replica
from services.router.snapshot import FORMAT
from shared.clock import Clock
from shared.log.port import Log, LogUnavailable
from shared.service import run_until
from shared.vocabulary import ContactState

logger = logging.getLogger(__name__)

LOOK_S: Final = 5.0
FAIRNESS_S: Final = 30.0
"""What is told of the last hour is told anew after so long."""


class Gauges:
    """One process's look at its own replicas."""

    def __init__(
        self,
        metrics: RouterMetrics,
        log: Log,
        clock: Clock,
        partitions: Callable[[], Sequence[PartitionRouter]],
        content_lag: Callable[[int], Awaitable[int]] | None = None,
        *,
        by_agent: bool = False,
    ) -> None:
        """`content_lag`: how far the content table is behind, where the content is materialised in one. `by_agent`:
        tell of every agent's occupancy."""
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._partitions = partitions
        self._content_lag = content_lag
        self._by_agent = by_agent
        self._fairness_at = -FAIRNESS_S
        self._audits: dict[int, Audit] = {}
        self._looked_for: dict[int, int] = {}
        """By partition, the beginning of its journal for which a newer snapshot was looked for."""
        self._told: set[int] = set()
        """The partitions that ran here at the last look."""
        self._seen: Counter[tuple[object, ...]] = Counter()

    async def run(self, stopping: asyncio.Event) -> None:
        """Look until `stopping`."""
        await run_until(stopping, self._run())

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                # A gauge must not take the router down; the log says which one.
                logger.exception("gauges could not be read")
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Every gauge once."""
        self._forget_others(self._partitions())
        partitions = [partition for partition in self._partitions() if partition.ready.is_set()]
        for partition in partitions:
            self._look_at(partition.replica)
            await asyncio.sleep(0)
        # All at once: each of them may wait for seconds for a log that is away.
        await asyncio.gather(*(self._ask_about(partition.replica) for partition in partitions))
        # What was found in a partition that does not run here any more is not found any more.
        for gone in self._audits.keys() - {partition.replica.partition for partition in partitions}:
            del self._audits[gone]
        self._sum_up([partition.replica for partition in partitions if partition.replica.leading])
        asked = self._clock.monotonic()
        if asked - self._fairness_at >= FAIRNESS_S:
            self._fairness_at = asked
            await self._tell_fairness(partitions)

    def _forget_others(self, running: Sequence[PartitionRouter]) -> None:
        """A partition that was given up or stopped since the last look has no replica here to tell of."""
        told, self._told = self._told, {partition.replica.partition for partition in running}
        for gone in told - self._told:
            self._metrics.forget_partition(gone)

    def _look_at(self, replica: Replica) -> None:
        metrics, partition = self._metrics, replica.partition
        label = str(partition)
        self._add(metrics.journal_void.inc, ("void", partition), replica.void_records)
        self._add(metrics.clock_steps.inc, ("steps", partition), replica.clock_steps)
        for change, count in replica.changes.items():
            counter = metrics.leader_changes.labels(label, change.value)
            self._add(counter.inc, ("change", partition, change), count)
        metrics.set_leading(partition, replica.leading)
        metrics.messages_held.labels(label).set(replica.holds_messages)
        metrics.set_outdated(partition, replica.outdated is not None)
        metrics.snapshot_age.labels(label).set(replica.head.seq - replica.snapshot_seq)
        if replica.leading and not replica.proposing:
            audit = self._audits.setdefault(partition, Audit())
            metrics.double_assign.inc(audit.step(replica.engine.world).double_assigned)
        elif not replica.leading:
            self._audits.pop(partition, None)
        metrics.orphans.set(sum(audit.orphans for audit in self._audits.values()))

    async def _ask_about(self, replica: Replica) -> None:
        """What only the log can tell. What it does not tell now is not told: the last figure that was good would look
        good for as long as the log is away."""
        metrics, partition = self._metrics, replica.partition
        try:
            end, read = await self._log.inputs.end(partition), replica.positions
            metrics.set_lag(partition, commands=end.commands - read.commands, inbound=end.inbound - read.inbound)
        except LogUnavailable:
            metrics.forget_lag(partition)
        try:
            start, stored = await self._log.journal.bounds(partition)
            if start > replica.snapshot_offset + 1:
                await self._look_for_snapshot(replica, start)
            behind, gap = stored - replica.next_offset, start - replica.snapshot_offset - 1
            metrics.set_journal_lag(partition, behind=max(0, behind), gap=max(0, gap))
        except LogUnavailable:
            metrics.forget_journal_lag(partition)
        content_lag = metrics.process.content_lag
        try:
            if self._content_lag is not None and replica.leading:
                content_lag.labels(str(partition)).set(await self._content_lag(partition))
            else:
                content_lag.remove(str(partition))
        except LogUnavailable:
            content_lag.remove(str(partition))

    async def _look_for_snapshot(self, replica: Replica, start: int) -> None:
        """A standby knows the snapshot that it began with; the leader has saved others since, and a journal that was
        trimmed behind those has lost nothing. Looked for once for each beginning, because it is read whole."""
        if self._looked_for.get(replica.partition) == start:
            return
        saved = await self._log.snapshots.load_newest_valid(replica.partition, format=FORMAT)
        self._looked_for[replica.partition] = start
        if saved is not None and saved.offset > replica.snapshot_offset:
            replica.snapshot_seq, replica.snapshot_offset = saved.seq, saved.offset

    def _add(self, inc: Callable[[float], None], key: tuple[object, ...], total: int) -> None:
        """A count that lives in the replica becomes a counter; one that began anew counts from nothing."""
        before = self._seen[key]
        inc(total - before if total >= before else total)
        self._seen[key] = total

    def _sum_up(self, leading: Sequence[Replica]) -> None:
        metrics = self._metrics
        open_contacts = dict.fromkeys((state.value for state in ContactState if state.is_open), 0)
        presences: dict[str, int] = {}
        reachable, used, total = 0, 0, 0
        now = self._clock.now_ms()
        dated: dict[tuple[str, str], tuple[int, float]] = {}
        languages: set[str] = set()
        lines: list[tuple[str, Line]] = []
        queues: list[QueueNow] = []
        for replica in leading:
            world = replica.engine.world
            for name, workspace in world.state.workspaces.items():
                for queue, counts in world.indexes[name].queues.items():
                    open_contacts["waiting"] += counts.waiting
                    open_contacts["offered"] += counts.offered
                    open_contacts["assigned"] += counts.assigned
                    oldest = now - counts.pending.first()[0] if counts.pending else 0
                    waiting = counts.waiting + counts.offered
                    queues.append(QueueNow(queue, waiting, oldest / 1000, counts.staffed))
                lines += ((kind_of(line), known) for line, known in workspace.lines.items())
                add_dated(dated, world.indexes[name], now)
                for agent in workspace.agents.values():
                    languages.update(spoken(agent.languages))
                    presences[agent.presence] = presences.get(agent.presence, 0) + 1
                    reachable += agent.reachable
                    used += agent.used
                    total += agent.capacity_total or 0 if agent.takes_offers else 0
                for channel in workspace.channels.values():
                    metrics.set_channel(channel.kind, channel.account, channel.state.value)
        metrics.set_queues(queues)
        metrics.fairness.set_languages(frozenset(languages))
        metrics.set_wait_bounds(lines)
        metrics.set_deadlines(dated, frozenset(languages))
        metrics.set_contacts(open_contacts)
        metrics.set_agents(presences, reachable=reachable)
        metrics.set_capacity(used=used / 1000, total=total / 1000)

    async def _tell_fairness(self, partitions: Sequence[PartitionRouter]) -> None:
        """Of the agents of partitions that this process leads. The others are followed for when it takes over."""
        now = self._clock.now_ms()
        metrics, shares, indexes = self._metrics.fairness, list[Share](), dict[str, float]()
        for partition in partitions:
            fairness, world = partition.fairness, partition.replica.engine.world
            found: list[Share] = []
            for some in fairness.look(world, now):
                found += some
                await asyncio.sleep(0)
            spent = fairness.take_spent()
            if not partition.replica.leading:
                continue
            metrics.add_spent(spent)
            shares += found
            for queue, index in jain_by_queue(world, found).items():
                indexes[queue] = min(index, indexes.get(queue, 1.0))
        metrics.set_agents(shares, by_agent=self._by_agent)
        metrics.set_jain(indexes)


def add_dated(found: dict[tuple[str, str], tuple[int, float]], index: Index, now: int) -> None:
    """By (kind of channel, language): of queues by deadlines, how many wait past their target and the oldest age."""
    for requirement in index.registry.requirements.values():
        if requirement.demand.target and requirement.waiting:
            key = (requirement.demand.kind, requirement.demand.language)
            count, age = found.get(key, (0, 0.0))
            oldest = (now - int(requirement.waiting.first()[0])) / 1000
            found[key] = (count + overdue(requirement, now), max(age, oldest))
