"""Snapshots beside the running leader: another process folds the log, so that the loop never stands still for it.

The worker reads what is already there (the newest snapshot and the journal behind it) and hands over bytes; only the
owner of the log writes. A worker that fails costs nothing but the time of the next recovery.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from services.router import snapshot
from services.router.replica import Replica
from shared.log.port import Log, LogCorrupt, LogUnavailable, Snapshot
from shared.service import run_until

logger = logging.getLogger(__name__)

CHECK_S = 2.0
WORKER_S = 600.0
REPOSITORY = Path(__file__).resolve().parents[2]

Taker = Callable[[int], Awaitable[Snapshot]]
"""Takes a snapshot of a partition."""


def worker_on(log: Path | str) -> Taker:
    """Takes snapshots of the log (a folder, or an address as in LOG) in a process of their own, at low priority."""

    address = str(log.resolve()) if isinstance(log, Path) else log

    async def take(partition: int) -> Snapshot:
        with tempfile.TemporaryDirectory(prefix="switchdesk-") as folder:
            target = Path(folder) / "snapshot"
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "services.router",
                "snapshot",
                address,
                str(target),
                "--partition",
                str(partition),
                cwd=REPOSITORY,
                preexec_fn=lambda: os.nice(10),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                async with asyncio.timeout(WORKER_S):
                    _, said = await process.communicate()
            except BaseException:
                process.kill()
                await process.wait()
                raise
            if process.returncode != 0:
                raise LogUnavailable(f"the snapshot worker ended with {process.returncode}: {said.decode()[-500:]}")
            return snapshot.from_bytes(await asyncio.to_thread(target.read_bytes))

    return take


class SnapshotKeeper:
    """Has a snapshot taken whenever so many entries came since the last, of each partition that is led here; one at a
    time, because each costs a core for a while."""

    def __init__(self, log: Log, replicas: Callable[[], Sequence[Replica]], take: Taker, every: int) -> None:
        self._log = log
        self._replicas = replicas
        self._take = take
        self._every = every
        self._not_before: dict[int, int] = {}

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; a failed attempt is logged and made again later."""
        await run_until(stopping, self._run())

    async def _run(self) -> None:
        while True:
            for replica in self._replicas():
                if replica.leading:
                    await self._look_at(replica)
            await asyncio.sleep(CHECK_S)

    async def _look_at(self, replica: Replica) -> None:
        partition = replica.partition
        saved = max(replica.snapshot_seq, self._not_before.get(partition, 0))
        if replica.head.seq - saved < self._every:
            return
        try:
            taken = await self._take(partition)
            await self._log.snapshots.save(taken)
        except (LogUnavailable, LogCorrupt, TimeoutError, OSError) as error:
            logger.error("no snapshot could be taken", extra={"partition": partition, "reason": str(error)})
            # Not again at once: the same fault would only burn time.
            self._not_before[partition] = saved + self._every // 10
            return
        replica.snapshot_seq = max(replica.snapshot_seq, taken.seq)
        replica.snapshot_offset = max(replica.snapshot_offset, taken.offset)
        logger.info("snapshot saved", extra={"partition": partition, "seq": taken.seq, "bytes": len(taken.data)})
