"""The end of a run: nothing is broken any more, so every process must get ready and the replicas must agree again."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping
from typing import Final

import httpx

from services.router.membership import COPIES
from tests.eventually import eventually
from tests.faults.caller import Caller, Stop
from tests.faults.cluster import Cluster
from tests.faults.history import History, Mended, Standing
from tests.faults.outputs import Access, mark
from tests.faults.process import Process
from tests.faults.watchers import note_replicas

READY_S: Final = 90.0
"""A process that is mended must be ready after so long: recovery takes seconds, the rest is for a busy machine."""
AGREE_S: Final = 120.0
"""States are hashed once in a hundred or a thousand entries, and the entries up to the next stretch have to be made."""
QUIET_S: Final = 1.2
MARKS: Final = 100
"""So many entries with presences are made, then it is quiet for long enough that an entry says nothing."""
LOOK_S: Final = 0.5


async def watch_standing(processes: Mapping[str, Process], history: History) -> None:
    """Note whenever a process says something new of its readiness. Runs until cancelled."""
    async with asyncio.TaskGroup() as group:
        for process in processes.values():
            group.create_task(_watch(process, history))


async def _watch(process: Process, history: History) -> None:
    said: str | None = "nothing yet"
    while True:
        reason = await process.ready()
        if reason != said:
            history.add(Standing(process=process.name, reason=reason, at=history.now))
            said = reason
        await asyncio.sleep(LOOK_S)


async def stand(processes: Mapping[str, Process], history: History, *, within_s: float) -> None:
    """Wait until each process is ready, no longer than `within_s`, and note what each of them says then."""

    async def one(process: Process) -> None:
        until = history.now + within_s
        while True:
            reason = await process.ready()
            if reason is None or history.now >= until:
                break
            await asyncio.sleep(LOOK_S)
        history.add(Standing(process=process.name, reason=reason, at=history.now))

    await asyncio.gather(*(one(process) for process in processes.values()))


async def mended(cluster: Cluster, access: Access, history: History, partition: int) -> None:
    """To be called when the last fault is over: note from where on everything must be well, and wait for it."""
    at = history.now
    await stand(cluster.processes, history, within_s=READY_S)
    async with _auditor(access, history) as auditor:
        # What was told before may be old: some of those who tell had been cut off.
        with contextlib.suppress(AssertionError):
            await eventually(lambda: note_replicas(auditor), within_s=READY_S, every_s=LOOK_S)
    history.add(
        Mended(
            processes=tuple(cluster.processes),
            partition=partition,
            copies=min(COPIES, len(cluster.engine_names)),
            seq=max((seen.seq for seen in history.replicas if seen.partition == partition), default=0),
            at=at,
        )
    )


async def agree(access: Access, history: History, *, within_s: float = AGREE_S) -> None:
    """Have entries made until enough replicas hashed the state after the same new one. The checker tells if they did
    not: here it is only waited for."""
    with contextlib.suppress(TimeoutError):
        async with (
            asyncio.timeout(within_s),
            _auditor(access, history) as auditor,
            httpx.AsyncClient(base_url=access.base, timeout=30) as http,
        ):
            while not met(history):
                for _ in range(MARKS):
                    with contextlib.suppress(AssertionError, httpx.TransportError):
                        await mark(http, access)
                await asyncio.sleep(QUIET_S)
                await note_replicas(auditor)


def met(history: History) -> bool:
    """Whether enough replicas told of their state after one and the same entry that is newer than the last fault."""
    mended = history.mended
    if mended is None:
        return False
    names: dict[int, set[str]] = {}
    for seen in history.replicas:
        if seen.partition == mended.partition and seen.state_seq is not None and seen.state_seq > mended.seq:
            names.setdefault(seen.state_seq, set()).add(seen.replica)
    return any(len(found) >= mended.copies for found in names.values())


def leader_of(history: History, partition: int) -> str | None:
    """The replica that said last that it leads the partition."""
    for seen in reversed(history.replicas):
        if seen.partition == partition and seen.leader:
            return seen.replica
    return None


@contextlib.asynccontextmanager
async def _auditor(access: Access, history: History) -> AsyncIterator[Caller]:
    stop = Stop(asyncio.Event(), asyncio.Event())
    async with Caller("auditor", access.operator_key, [access.base], history, stop, random.Random(0)) as caller:
        yield caller
