"""Tools that look at a data directory: `python -m services.router verify|snapshot DIR`.

Both read beside the running process and change nothing in the log.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from services.router import snapshot
from services.router.chain import Diverged
from services.router.replica import Performed, Replica
from shared.clock import SystemClock
from shared.log.port import Log, LogCorrupt, LogUnavailable, Snapshot
from shared.log.sqlite_reading import SqliteReadingLog

PARTITION = 0


class _Silent:
    """Folding for a look performs nothing."""

    async def perform(self, replica: Replica, entry: Performed) -> None:
        return


class _FromGenesis:
    """A log without its snapshots, so that recovery folds the journal from the first entry."""

    def __init__(self, log: Log) -> None:
        self.inputs, self.journal, self.content = log.inputs, log.journal, log.content
        self.snapshots = self

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def save(self, saved: Snapshot) -> None:
        raise AssertionError("a look saves nothing")

    async def load_newest_valid(self, partition: int, *, format: int) -> Snapshot | None:
        return None


async def _folded(log: Log) -> Replica:
    replica = Replica(partition=PARTITION, name="tool", log=log, clock=SystemClock(), performer=_Silent())
    await replica.recover()
    return replica


async def write_snapshot(directory: Path, target: Path) -> None:
    """Fold the directory's log and write the snapshot of its newest entry to `target`, for the owner to store.

    Raises `LogCorrupt`, `LogUnavailable`, `Diverged`.
    """
    log = SqliteReadingLog(directory)
    await log.open()
    try:
        replica = await _folded(log)
        await asyncio.to_thread(target.write_bytes, snapshot.to_bytes(replica.snapshot()))
    finally:
        await log.close()


async def verify(directory: Path) -> list[str]:
    """Fold the whole journal, and the newest snapshot with its tail; sentences about both. Raises as `write_snapshot`.

    The two states must be one (invariant 7); if they are not, the last sentence says so.
    """
    log = SqliteReadingLog(directory)
    await log.open()
    try:
        whole = await _folded(_FromGenesis(log))
        quick = await _folded(log)
        while quick.head.seq < whole.head.seq:
            quick = await _folded(log)
        hashes = snapshot.state_hash(whole.engine.state), snapshot.state_hash(quick.engine.state)
        same = whole.head == quick.head and hashes[0] == hashes[1]
        return [
            f"journal from the start: entry {whole.head.seq}, hash {whole.head.hash}, state {hashes[0]}",
            f"snapshot and tail:      entry {quick.head.seq}, hash {quick.head.hash}, state {hashes[1]}",
            "the two agree" if same else "THE TWO DIFFER: stop, keep the files, and report it",
        ]
    finally:
        await log.close()


def main(arguments: list[str]) -> int:
    """0 if all is well, 1 if a check failed, 2 for wrong arguments or an unreadable log."""
    parser = argparse.ArgumentParser(prog="python -m services.router", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("verify", help="fold the journal and compare it with the newest snapshot")
    check.add_argument("directory", type=Path, help="the data directory (DATA_DIR)")
    take = commands.add_parser("snapshot", help="fold the log and write a snapshot to a file")
    take.add_argument("directory", type=Path, help="the data directory (DATA_DIR)")
    take.add_argument("target", type=Path, help="the file to write")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "snapshot":
            asyncio.run(write_snapshot(chosen.directory, chosen.target))
            return 0
        sentences = asyncio.run(verify(chosen.directory))
    except (LogCorrupt, LogUnavailable, Diverged) as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(sentences))
    return 0 if sentences[-1] == "the two agree" else 1
