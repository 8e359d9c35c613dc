"""`python -m services.router`: runs a router process, creates workspaces, looks into a log, plays scenarios.

The tools that look (`verify`, `snapshot`) read beside running processes and change nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.router import cluster, snapshot
from services.router.chain import Diverged
from services.router.provision import create_workspace
from services.router.replica import Performed, Replica
from services.router.scenarios import report
from shared import json_logging
from shared.clock import SystemClock
from shared.log.content_table import MemoryContentTable
from shared.log.kafka import KafkaLog
from shared.log.port import Log, LogCorrupt, LogMisconfigured, LogUnavailable, Snapshot
from shared.log.sqlite_reading import SqliteReadingLog
from shared.process import ProcessSettings, sqlite_directory
from shared.service import CannotStart, run_service
from shared.settings import SettingsError, config_file


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


@asynccontextmanager
async def _reading(address: str) -> AsyncIterator[Log]:
    """The log at an address (as in LOG, or a folder), for reading only."""
    log: Log
    if address.startswith("kafka:"):
        # With a table of its own the log would read all texts first; nobody asks for them here.
        log = KafkaLog(address, table=MemoryContentTable())
    else:
        log = SqliteReadingLog(sqlite_directory(address) if address.startswith("sqlite:") else Path(address))
    await log.open()
    try:
        yield log
    finally:
        await log.close()


async def _folded(log: Log, partition: int) -> Replica:
    replica = Replica(partition=partition, name="tool", log=log, clock=SystemClock(), performer=_Silent())
    await replica.recover()
    return replica


async def write_snapshot(address: str, target: Path, partition: int = 0) -> None:
    """Fold the log and write the snapshot of its newest entry to `target`, for the owner to store.

    Raises `LogCorrupt`, `LogUnavailable`, `Diverged`, ValueError for an address that cannot be read.
    """
    async with _reading(address) as log:
        replica = await _folded(log, partition)
        await asyncio.to_thread(target.write_bytes, snapshot.to_bytes(replica.snapshot()))


async def verify(address: str, partition: int = 0) -> list[str]:
    """Fold the whole journal, and the newest snapshot with its tail; sentences about both. Raises as `write_snapshot`.

    The two states must be one (invariant 7); if they are not, the last sentence says so.
    """
    async with _reading(address) as log:
        whole = await _folded(_FromGenesis(log), partition)
        quick = await _folded(log, partition)
        # What was journaled between the two readings is folded by the first one as well.
        while whole.head.seq < quick.head.seq:
            await whole.read_on()
        while quick.head.seq < whole.head.seq:
            await quick.read_on()
        hashes = snapshot.state_hash(whole.engine.state), snapshot.state_hash(quick.engine.state)
        same = whole.head == quick.head and hashes[0] == hashes[1]
        return [
            f"journal from the start: entry {whole.head.seq}, hash {whole.head.hash}, state {hashes[0]}",
            f"snapshot and tail:      entry {quick.head.seq}, hash {quick.head.hash}, state {hashes[1]}",
            "the two agree" if same else "THE TWO DIFFER: stop, keep the files, and report it",
        ]


def main(arguments: list[str]) -> int:
    """0 if all is well, 1 if a check or the service failed, 2 for wrong arguments, settings or an unreadable log."""
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.role is not None and chosen.command is None:
            return _serve(cluster.Role(chosen.role))
        match chosen.command:
            case "snapshot":
                asyncio.run(write_snapshot(chosen.log, chosen.target, chosen.partition))
            case "verify":
                sentences = asyncio.run(verify(chosen.log, chosen.partition))
                print("\n".join(sentences))
                return 0 if sentences[-1] == "the two agree" else 1
            case "workspace":
                keys = asyncio.run(create_workspace(ProcessSettings.read(config_file()), chosen.name, chosen.title))
                print(json.dumps(keys, indent=2))
            case "scenarios":
                return report.run(chosen.files, as_json=chosen.json)
            case _:
                _parser().print_usage(sys.stderr)
                return 2
    except (
        LogCorrupt,
        LogMisconfigured,
        LogUnavailable,
        Diverged,
        CannotStart,
        ValueError,
    ) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.router", description=__doc__)
    parser.add_argument("--role", choices=[role.value for role in cluster.Role], help="run a router process")
    commands = parser.add_subparsers(dest="command")
    check = commands.add_parser("verify", help="fold the journal and compare it with the newest snapshot")
    take = commands.add_parser("snapshot", help="fold the log and write a snapshot to a file")
    for tool in (check, take):
        tool.add_argument("log", help="the address of the log as in LOG, or a data directory")
        tool.add_argument("--partition", type=int, default=0, help="which partition")
    take.add_argument("target", type=Path, help="the file to write")
    workspace = commands.add_parser("workspace", help="create a workspace and print its first keys")
    workspace.add_argument("name", help="the workspace's name")
    workspace.add_argument("--title", default="", help="what people call it")
    scenarios = commands.add_parser("scenarios", help="play policy tests through the engine")
    scenarios.add_argument("files", nargs="+", type=Path, help="YAML files, or folders of them")
    scenarios.add_argument("--json", action="store_true", help="one object a line")
    return parser


def _serve(role: cluster.Role) -> int:
    try:
        settings = ProcessSettings.read(config_file())
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    json_logging.configure(f"router-{role.value}", level=settings.log_level)
    return run_service(lambda stopping: cluster.serve(role, settings, stopping))
