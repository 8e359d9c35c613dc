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
from collections.abc import Awaitable, Callable
from pathlib import Path

from services.router import snapshot
from services.router.replica import Replica
from shared.log.port import Log, LogCorrupt, LogUnavailable, Snapshot

logger = logging.getLogger(__name__)

CHECK_S = 2.0
WORKER_S = 600.0
REPOSITORY = Path(__file__).resolve().parents[2]

Taker = Callable[[], Awaitable[Snapshot]]


def worker_on(directory: Path) -> Taker:
    """Takes a snapshot of the log in `directory` in a process of its own, at low priority."""

    directory = directory.resolve()

    async def take() -> Snapshot:
        with tempfile.TemporaryDirectory(prefix="switchdesk-") as folder:
            target = Path(folder) / "snapshot"
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "services.router",
                "snapshot",
                str(directory),
                str(target),
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
    """Has a snapshot taken whenever so many entries came since the last."""

    def __init__(self, log: Log, replica: Replica, take: Taker, every: int) -> None:
        self._log = log
        self._replica = replica
        self._take = take
        self._every = every

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; a failed attempt is logged and made again later."""
        saved = self._replica.snapshot_seq
        while not stopping.is_set():
            saved = max(saved, self._replica.snapshot_seq)
            if self._replica.leading and self._replica.head.seq - saved >= self._every:
                saved = await self._keep(saved)
            await asyncio.sleep(CHECK_S)

    async def _keep(self, saved: int) -> int:
        try:
            taken = await self._take()
            await self._log.snapshots.save(taken)
        except (LogUnavailable, LogCorrupt, TimeoutError, OSError) as error:
            logger.error("no snapshot could be taken", extra={"reason": str(error)})
            # Not again at once: the same fault would only burn time.
            return saved + self._every // 10
        logger.info("snapshot saved", extra={"seq": taken.seq, "bytes": len(taken.data)})
        return taken.seq
