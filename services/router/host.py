"""One engine process: runs a replica of each partition that is its by rendezvous, and lets go of those that are not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.router.chain import Diverged, TooNew
from services.router.engine.engine import where
from services.router.membership import BEAT_S, COPIES, Roster, rank_of, replicas_of
from services.router.metrics import RouterMetrics
from services.router.partition import PartitionRouter
from services.router.release import COMPARED, differences
from shared.log.port import LogCorrupt
from shared.service import run_until

logger = logging.getLogger(__name__)

LINGER_S: Final = 10.0
"""A partition that is no longer this router's is kept for so long: others may still be folding it."""
LISTEN_S: Final = 1.5
"""How long a new router listens who is there before it takes partitions."""
BYE_S: Final = 0.5
"""So long the last word may take."""
AGAIN_S: Final = 30.0
"""So long after a bug ended a partition here it is begun anew, from its snapshot. Meanwhile its standby leads."""
DEAF_LISTEN_S: Final = 5.0
"""The same for one that hears nothing, not even itself. Then it takes what it must take for its own: contacts that two
fold cost less than contacts that nobody does."""


CLOSE_ENTRIES: Final = 1_000
"""How far behind the newest replica one may be and still count as ready: what is heard of it is a beat old."""


def ready_replicas(told: Iterable[Mapping[str, Any]]) -> dict[int, int]:
    """By partition, how many replicas fold close to its head, of what routers told of theirs; only those that have
    recovered are told of at all, and those of a release too old for the journal are none that could take over."""
    told = [each for each in told if not each.get("outdated")]
    heads: dict[int, int] = {}
    for replica in told:
        heads[replica["partition"]] = max(replica["seq"], heads.get(replica["partition"], 0))
    return Counter(each["partition"] for each in told if each["seq"] >= heads[each["partition"]] - CLOSE_ENTRIES)


@dataclass(slots=True)
class _Running:
    partition: PartitionRouter
    stop: asyncio.Event
    task: asyncio.Task[None]
    unwanted_since: float | None = None


class Host:
    """Runs `make(partition)` for each partition of this router. A partition that contradicts itself is stopped and told
    about, one that a bug ended begins anew after a while; the others go on."""

    def __init__(
        self,
        name: str,
        partitions: int,
        roster: Roster,
        metrics: RouterMetrics,
        make: Callable[[int], PartitionRouter],
    ) -> None:
        self._name = name
        self._count = partitions
        self._roster = roster
        self._metrics = metrics
        self._make = make
        self._running: dict[int, _Running] = {}
        self._broken: dict[int, str] = {}
        """Why they do not run here, in words for `/readyz`."""
        self._again: dict[int, float] = {}
        """When those that a bug ended are begun anew, by the loop's time."""
        self._settled = False
        self._failure: Exception | None = None

    @property
    def partitions(self) -> Sequence[PartitionRouter]:
        """What runs here now."""
        return [running.partition for _, running in sorted(self._running.items())]

    def why_not_ready(self) -> bool | str:
        """True once every partition of this router is folded to its end; else the first reason why not."""
        if self._broken:
            return next(iter(self._broken.values()))
        if not self._settled:
            return "looking which partitions are ours"
        for partition in self.partitions:
            if (reason := partition.why_not_ready()) is not True:
                return reason
        return True

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; then every partition is handed over, all at once."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            while not stopping.is_set():
                if self._failure is not None:
                    raise self._failure
                # A log that does not answer must not hold up the stop.
                await run_until(stopping, self._roster.speak(self._name, [each.describe() for each in self._ready()]))
                if loop.time() - begun >= (LISTEN_S if self._roster.hears else DEAF_LISTEN_S):
                    self._settle(loop.time())
                    self._settled = True
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_S):
                        await stopping.wait()
        finally:
            await self._stop_all()
            # Whoever does not hear it notices the silence.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BYE_S):
                    await self._roster.speak(self._name, [], bye=True)

    def _ready(self) -> list[PartitionRouter]:
        return [partition for partition in self.partitions if partition.ready.is_set()]

    def _settle(self, now: float) -> None:
        """Start what is ours and does not run; stop what has not been ours for a while."""
        for partition in [partition for partition, at in self._again.items() if at <= now]:
            del self._again[partition], self._broken[partition]
        alive = sorted({*self._roster.alive(), self._name})
        told = self._roster.replicas()
        ready, differ = ready_replicas(told), differences(told)
        for partition in range(self._count):
            owners = replicas_of(partition, alive, COPIES)
            running = self._running.get(partition)
            self._metrics.replicas.labels(str(partition)).set(ready.get(partition, 0))
            for what in COMPARED:
                self._metrics.replicas_differ.labels(str(partition), what).set(what in differ.get(partition, ()))
            if self._name in owners:
                if running is None and partition not in self._broken:
                    running = self._start(partition)
                if running is not None:
                    running.unwanted_since = None
                    replica = running.partition.replica
                    replica.set_rank(rank_of(self._name, owners, leader=replica.author))
            elif running is not None:
                running.unwanted_since = running.unwanted_since or now
                if now - running.unwanted_since > LINGER_S:
                    running.stop.set()

    def _start(self, number: int) -> _Running:
        partition, stop = self._make(number), asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._keep(number, partition, stop), name=f"partition-{number}")
        running = self._running[number] = _Running(partition, stop, task)
        self._metrics.set_stopped(number, False)
        self._metrics.set_outdated(number, False)
        return running

    async def _keep(self, number: int, partition: PartitionRouter, stop: asyncio.Event) -> None:
        try:
            await partition.run(stop)
            self._metrics.set_outdated(number, False)
        except TooNew as error:
            # Nothing contradicts itself: whoever wrote it goes on, and this process waits for its upgrade.
            self._broken[number] = f"partition {number}: {error}"
            self._metrics.set_outdated(number, True)
            logger.error("a partition is left to a newer release", extra={"partition": number, "reason": str(error)})
        except (LogCorrupt, Diverged) as error:
            # Going on would do harm; the other partitions are not concerned.
            self._broken[number] = f"partition {number} is stopped: {error}"
            self._metrics.set_stopped(number, True)
            logger.critical("a partition is stopped", extra={"partition": number, "reason": str(error)})
        except MemoryError as error:
            # Nobody knows what else is missing.
            self._failure = error
        except Exception as error:
            # A bug: where it was, not what it said, may be told to everybody.
            self._broken[number] = f"partition {number} is stopped: {where(error)}"
            self._again[number] = asyncio.get_running_loop().time() + AGAIN_S
            self._metrics.set_stopped(number, True)
            logger.critical("a partition is stopped by a bug", exc_info=True, extra={"partition": number})
        finally:
            self._running.pop(number, None)

    async def _stop_all(self) -> None:
        for running in self._running.values():
            running.stop.set()
        tasks = [running.task for running in self._running.values()]
        await asyncio.gather(*tasks, return_exceptions=True)
