"""What follows an entry once it is true: documents, numbers, alarms. At-least-once, so all of it repeats well.

Only the entry's author performs it. A standby remembers which documents the newest entries changed; when it takes over,
it publishes what its predecessor had not, and the same memory helps over an outage of the views.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from services.router.dead_letters import DeadLetters
from services.router.fairness import Fairness, verdict
from services.router.metrics import RouterMetrics
from services.router.projection import Key, Projection
from services.router.replica import Performed, Replica
from shared.contracts import events as ev
from shared.ending import ended
from shared.log.port import Content, InputRecord
from shared.views.port import Views, ViewsUnavailable

logger = logging.getLogger(__name__)

REMEMBERED_ENTRIES: Final = 20_000
REMEMBERED_KEYS: Final = 200_000
SLICE: Final = 100
"""Documents written anew between two entries: a few milliseconds of the loop."""
BEGIN_AGAIN_S: Final = 0.5


class Publisher:
    """Publishes the entries of one replica to views and metrics, and keeps inputs that are put aside."""

    def __init__(self, views: Views, metrics: RouterMetrics, content: Content, *, epoch: str = "") -> None:
        self._views = views
        self._metrics = metrics
        self._content = content
        self.fairness = Fairness()
        self.epoch = epoch
        """The identity of the journal, once it is known."""
        self._projection = Projection()
        self._recent: deque[tuple[int, list[Key]]] = deque()
        self._recent_keys = 0
        self._up = False
        """Whether the views hold, or have in their queue, everything up to the newest entry."""
        self._beginning: asyncio.Task[int] | None = None
        self._begin_at = 0.0
        self._rewrite: Iterator[Key] | None = None

    @property
    def caught_up(self) -> bool:
        """Whether readers find everything that is true, or will as soon as the queue is written."""
        return self._up and self._rewrite is None

    async def perform(self, replica: Replica, entry: Performed) -> None:
        """Tell the world of one entry. Called in order, while no proposal is pending."""
        world = replica.engine.world
        keys = self._projection.changed(world, entry.seq, entry.decisions, entry.touched)
        self._remember(entry.seq, keys)
        if any(kind == "policy" for kind, _, _ in entry.touched):
            self._know_policies(replica)
        self._metrics.set_journal(replica.partition, seq=entry.seq)
        self.fairness.follow(world, entry.touched, entry.at)
        if not entry.own:
            # Its author tells of it; whoever takes over afterwards fills the gaps.
            self._up = False
            return
        self._count(replica, entry)
        self._metrics.dead_letters.inc(len(entry.poisoned) + len(entry.rejected))
        if self._up:
            seq = entry.seq if self._rewrite is None else None
            await self._views.publish(replica.partition, seq, self._projection.documents(world, keys, entry.seq))

    async def bury(self, replica: Replica, aside: Sequence[tuple[InputRecord, str]]) -> None:
        """The one road for a record that cannot be read or decided: kept with its place and the reason before it is
        passed over, counted once it was. Raises `LogUnavailable`."""
        letters = DeadLetters(self._content, replica.partition)
        for record, reason in aside:
            position = await letters.put(record, reason)
            logger.error("an input is put aside", extra={"position": position, "reason": reason})

    async def tend(self, replica: Replica) -> bool:
        """Between entries: bring the views up to date after a take-over or a loss, a slice at a time. Whether there is
        more to do."""
        if not replica.leading:
            await self._give_up()
            return False
        if not self._up:
            return await self._begin(replica)
        if self._views.lost(replica.partition):
            await self._begin_rewrite(replica)
        if self._rewrite is not None:
            await self._write_slice(replica, self._rewrite)
        return self._rewrite is not None

    async def catch_up(self, replica: Replica) -> None:
        """`tend` until the views are up to date: for a process that is useless before they are."""
        while not self.caught_up:
            if not await self.tend(replica):
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Nothing of this publisher goes on."""
        await self._give_up()

    # Taking the views over

    async def _begin(self, replica: Replica) -> bool:
        """Ask in the background how far the views are: a store that is away must not hold up the loop."""
        loop = asyncio.get_running_loop()
        if self._beginning is None:
            if loop.time() < self._begin_at:
                return False
            self._beginning = loop.create_task(self._views.begin(replica.partition, self.epoch))
            await asyncio.sleep(0)
        if not self._beginning.done():
            return False
        asked, self._beginning = self._beginning, None
        try:
            stored = asked.result()
        except ViewsUnavailable as error:
            self._begin_at = loop.time() + BEGIN_AGAIN_S
            logger.warning("the views cannot be reached", extra={"reason": str(error)})
            return False
        self._up = True
        self._know_policies(replica)
        self._projection.know_answers(replica.engine.state)
        if self._covers(replica, stored):
            await self._publish_since(replica, stored)
            return False
        await self._begin_rewrite(replica)
        return True

    async def _give_up(self) -> None:
        self._up, self._rewrite = False, None
        if self._beginning is not None:
            await ended(self._beginning)
            self._beginning = None

    def _covers(self, replica: Replica, stored: int) -> bool:
        """Whether what this replica remembers reaches back to what the views hold."""
        if not 0 < stored <= replica.head.seq:
            return False
        oldest = self._recent[0][0] if self._recent else replica.head.seq + 1
        return stored >= oldest - 1

    async def _publish_since(self, replica: Replica, stored: int) -> None:
        seq = replica.head.seq
        keys = dict.fromkeys(key for at, keys in self._recent if at > stored for key in keys)
        changes = self._projection.documents(replica.engine.world, keys, seq)
        await self._views.publish(replica.partition, seq, changes)

    async def _begin_rewrite(self, replica: Replica) -> None:
        workspaces = list(replica.engine.state.workspaces)
        self._metrics.views_rebuilds.labels(str(replica.partition)).inc()
        logger.info("views are written anew", extra={"partition": replica.partition, "seq": replica.head.seq})
        await self._views.clear(replica.partition, workspaces)
        self._rewrite = self._projection.all_keys(replica.engine.world)

    async def _write_slice(self, replica: Replica, rewrite: Iterator[Key]) -> None:
        keys = list(islice(rewrite, SLICE))
        seq = replica.head.seq
        await self._views.publish(replica.partition, None, self._projection.documents(replica.engine.world, keys, seq))
        if len(keys) < SLICE:
            self._rewrite = None
            await self._views.publish(replica.partition, seq, ())
            logger.info("views are whole again", extra={"partition": replica.partition, "seq": seq})

    def _remember(self, seq: int, keys: list[Key]) -> None:
        self._recent.append((seq, keys))
        self._recent_keys += len(keys)
        while len(self._recent) > REMEMBERED_ENTRIES or self._recent_keys > REMEMBERED_KEYS:
            _, forgotten = self._recent.popleft()
            self._recent_keys -= len(forgotten)

    # Numbers and alarms

    def _count(self, replica: Replica, entry: Performed) -> None:
        world = replica.engine.world
        for decision in entry.decisions:
            workspace = world.state.workspaces.get(decision.workspace)
            for event in decision.events:
                self._metrics.on_event(event, at_ms=entry.at, contact=_facts(workspace, event))
                judged = verdict(workspace, event, entry.at) if workspace is not None else None
                if judged is not None:
                    self._metrics.fairness.count(*judged)
                if isinstance(event, ev.CommandRejected):
                    # A bug, not the caller's doing: somebody has to look at it.
                    facts = {"position": f"{replica.partition}:{event.input_position}", "reason": event.reason}
                    logger.error("command rejected", extra={"command_id": decision.command_id, **facts})
        self._metrics.on_entry(size=entry.size, took_s=entry.took_s)
        for seconds in entry.decided_s:
            self._metrics.decision_seconds.observe(seconds)

    def _know_policies(self, replica: Replica) -> None:
        documents = [ws.policy_document for ws in replica.engine.state.workspaces.values()]
        self._metrics.set_policy([document for document in documents if document is not None])


def _facts(workspace: Any, event: ev.Event) -> Mapping[str, Any] | None:
    contact_id = getattr(event, "contact", None)
    if workspace is None or contact_id is None:
        return None
    contact = workspace.contacts.get(contact_id)
    if contact is None:
        return None
    return {
        "channel": contact.channel,
        "queue": contact.queue,
        "language": contact.language,
        "state": contact.state.value,
        "created_at": contact.created_at,
        "age_from": contact.age_from,
        "assigned_at": contact.answered_at,
    }
