"""One partition in this process: its replica, what it publishes, and what it tells of itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from services.router.fairness import Fairness
from services.router.metrics import RouterMetrics
from services.router.perform import Publisher
from services.router.replica import Performed, Replica, ReplicaSettings
from services.router.snapshot import state_hash
from shared.clock import Clock
from shared.ending import ended
from shared.log.port import InputRecord, Log, LogUnavailable
from shared.views.port import Views

logger = logging.getLogger(__name__)

AGAIN_S: Final = 0.5
BUSY: Final = 20
"""Where no entry of so many stretches was a quiet one, the state is hashed all the same."""
LAST_TURN_S: Final = 2.0
"""How long a turn may go on once the process is to stop; a log that is away would hold it up for ever."""
STOP_S: Final = 4.0
"""How long goodbye and snapshot may take. With the last turn it stays well below the limit of a whole stop."""
DEAF_S: Final = 10.0
"""A journal that could not be read for so long is not followed any more. One request gives up after less than five
seconds, and electing another broker takes some: this is no hiccup, and a leader would have been heard twenty times.
The same for inputs that are not read any more."""


Beside = Callable[[int, asyncio.Event], Coroutine[Any, Any, None]]
"""`(partition, stopping)`: something that only the leader of a partition does."""


@dataclass(frozen=True, slots=True)
class StateMark:
    """The hash of the folded state after entry `seq`: equal on every replica, or somebody diverged."""

    seq: int
    hash: str


class PartitionRouter:
    """A replica that runs: recovers, follows or leads, and publishes what it leads."""

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
        beside: Beside | None = None,
    ) -> None:
        """`beside` runs for as long as this replica leads."""
        self._metrics = metrics
        self._log = log
        self._publisher = Publisher(views, metrics, log.content)
        self._settings = settings or ReplicaSettings()
        self._mark: StateMark | None = None
        self._hashed_stretch = -1
        self._beside = beside
        self._besides: tuple[asyncio.Event, asyncio.Task[None]] | None = None
        self.replica = Replica(
            partition=partition, name=name, log=log, clock=clock, performer=self, settings=self._settings
        )
        self.ready = asyncio.Event()
        """Set once the journal is folded to its end and, where nobody else leads, all documents are written."""

    @property
    def fairness(self) -> Fairness:
        """How this partition's agents fared."""
        return self._publisher.fairness

    async def perform(self, replica: Replica, entry: Performed) -> None:
        """`Performer` of the replica."""
        await self._publisher.perform(replica, entry)
        stretch = _stretch(replica)
        is_quiet = entry.beat and self._hashed_stretch != entry.seq // stretch
        if is_quiet or entry.seq % (stretch * BUSY) == 0:
            # Not in a thread: until it is done the next entry must not be folded, so the turns wait either way, and
            # nearly all of it is in calls that let no other thread run meanwhile.
            self._mark = StateMark(entry.seq, state_hash(replica.engine.state))
            self._hashed_stretch = entry.seq // stretch

    async def bury(self, replica: Replica, aside: Sequence[tuple[InputRecord, str]]) -> None:
        """`Performer` of the replica."""
        await self._publisher.bury(replica, aside)

    async def run(self, stopping: asyncio.Event) -> None:
        """Recover, take turns until told to stop; then say goodbye and save a snapshot.

        Raises what the turns raised, without goodbye and snapshot: a state that contradicts the journal is worth
        neither. However it ends, nothing of a leader goes on.
        """
        try:
            await self._take_turns(stopping)
            await self._say_goodbye()
        finally:
            self.replica.leading = False
            self._metrics.set_leading(self.replica.partition, False)
            await self._end_beside()
            await self._publisher.close()

    async def _take_turns(self, stopping: asyncio.Event) -> None:
        running = asyncio.get_running_loop().create_task(self._run(stopping))
        told = asyncio.get_running_loop().create_task(stopping.wait())
        try:
            await asyncio.wait({running, told}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done() and not self.replica.waiting:
                await asyncio.wait({running}, timeout=LAST_TURN_S)
        finally:
            await ended(running, told)
        if not running.cancelled():
            running.result()

    async def _say_goodbye(self) -> None:
        try:
            if self.ready.is_set():
                async with asyncio.timeout(STOP_S):
                    await self.replica.stop()
        except (LogUnavailable, TimeoutError) as error:
            logger.warning("no snapshot at the end", extra={"reason": str(error) or "the log takes too long"})

    async def _run(self, stopping: asyncio.Event) -> None:
        replica = self.replica
        await self._recover()
        await replica.begin()
        if replica.leading:
            await self._publisher.catch_up(replica)
        self.ready.set()
        while not stopping.is_set():
            await replica.turn()
            replica.hurry = await self._publisher.tend(replica)
            if self._beside is not None and replica.leading != (self._besides is not None):
                await self._change_beside(self._beside)

    async def _change_beside(self, beside: Beside) -> None:
        if not self.replica.leading:
            await self._end_beside()
            return
        stop = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._keep(beside, stop))
        self._besides = (stop, task)

    async def _keep(self, beside: Beside, stop: asyncio.Event) -> None:
        """What runs beside the leader runs for as long as it leads, even if it fails in between."""
        while not stop.is_set():
            try:
                await beside(self.replica.partition, stop)
            except Exception:
                logger.exception("what runs beside the leader failed and begins again")
            await asyncio.sleep(AGAIN_S)

    async def _end_beside(self) -> None:
        if self._besides is not None:
            stop, task = self._besides
            self._besides = None
            stop.set()
            await ended(task)

    async def _recover(self) -> None:
        """From the newest snapshot and the journal, however long the log is away meanwhile."""
        while True:
            try:
                self._publisher.epoch = await self._log.journal.identity(self.replica.partition)
                await self.replica.recover()
                return
            except LogUnavailable as error:
                logger.warning("recovery waits for the log", extra={"reason": str(error)})
                await asyncio.sleep(AGAIN_S)

    def why_not_ready(self) -> bool | str:
        """True while this process leads and reads what comes in, or follows a journal that it can read; else the reason
        why not."""
        replica = self.replica
        if not self.ready.is_set():
            return f"partition {replica.partition} is recovering"
        if self._settings.pace is None and not replica.leading:
            return "not leading"
        if replica.outdated is not None:
            return f"partition {replica.partition}: {replica.outdated}"
        for what, unread_s in (("journal", replica.unread_s), ("inputs", replica.inputs_unread_s)):
            if unread_s > DEAF_S:
                return f"partition {replica.partition} could not read its {what} for {unread_s:.0f} s"
        return True

    def describe(self) -> dict[str, Any]:
        """What `GET /v1/replicas` shows: where this replica is, and the newest state that it has a hash of.

        Where nobody else has the partition the hash is taken now, unless a proposal is out: then it is not told.
        """
        replica = self.replica
        mark = self._mark
        if self._settings.pace is None:
            mark = None if replica.proposing else StateMark(replica.head.seq, state_hash(replica.engine.state))
        return {
            "replica": replica.name,
            "partition": replica.partition,
            "leader": replica.leading,
            "seq": replica.head.seq,
            "head": replica.head.hash,
            "state_seq": mark.seq if mark else None,
            "state_hash": mark.hash if mark else None,
            "release": asdict(replica.release),
            "outdated": replica.outdated is not None,
        }


def _stretch(replica: Replica) -> int:
    """How many entries a stretch has, in which the state is hashed once: at the first entry that says nothing but that
    somebody leads. For 20 microseconds a contact nothing is decided, and then nobody waits for it. It depends on the
    state alone, so that all replicas hash the same entries."""
    contacts = sum(len(workspace.contacts) for workspace in replica.engine.state.workspaces.values())
    return 100 if contacts <= 1_000 else 1_000 if contacts <= 20_000 else 20_000
