"""`python -m services.router`: runs a router process, creates workspaces, looks into a log, plays scenarios and days.

The tools that look (`verify`, `snapshot`, `explain`) read beside running processes and change nothing; `trim` deletes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.router import bystanders, cluster, dead_letters_command, explain, policy_lint, snapshot, trim
from services.router.chain import Diverged, TooNew
from services.router.provision import create_workspace
from services.router.reading import reading
from services.router.replica import Performed, Replica
from services.router.scenarios import report
from shared import json_logging
from shared.clock import SystemClock
from shared.contracts.events import ContactCreated
from shared.log.codec import encode
from shared.log.port import InputRecord, Log, LogCorrupt, LogLocked, LogMisconfigured, LogUnavailable, Snapshot
from shared.process import ProcessSettings
from shared.service import CannotStart, run_service
from shared.settings import SettingsError, config_file


class _Silent:
    """Folding for a look performs nothing."""

    async def perform(self, replica: Replica, entry: Performed) -> None:
        return

    async def bury(self, replica: Replica, aside: Sequence[tuple[InputRecord, str]]) -> None:
        return


class _FromBeginning:
    """A log without its snapshots, so that recovery folds the journal from the first entry; with the `older` one where
    the journal was trimmed."""

    def __init__(self, log: Log, older: Snapshot | None = None) -> None:
        self.inputs, self.journal, self.content = log.inputs, log.journal, log.content
        self.snapshots = self
        self._older = older

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def save(self, saved: Snapshot) -> None:
        raise AssertionError("a look saves nothing")

    async def load_newest_valid(self, partition: int, *, format: int, before: int | None = None) -> Snapshot | None:
        return self._older if self._older is not None and (before is None or self._older.seq < before) else None


async def _folded(log: Log, partition: int) -> Replica:
    replica = Replica(partition=partition, name="tool", log=log, clock=SystemClock(), performer=_Silent())
    await replica.recover()
    if replica.outdated is not None:
        # What was folded may lack what this release does not know.
        raise TooNew(f"partition {partition}: {replica.outdated}")
    return replica


async def write_snapshot(address: str, target: Path, partition: int = 0) -> None:
    """Fold the log and write the snapshot of its newest entry to `target`, for the owner to store.

    Raises `LogCorrupt`, `LogUnavailable`, `Diverged`, ValueError for an address that cannot be read.
    """
    async with reading(address) as log:
        replica = await _folded(log, partition)
        await asyncio.to_thread(target.write_bytes, snapshot.to_bytes(replica.snapshot()))


async def verify(address: str, partition: int = 0) -> list[str]:
    """Fold the whole journal, and the newest snapshot with its tail; sentences about both. Raises as `write_snapshot`.

    The two states must be one (invariant 7); if they are not, the last sentence says so. A journal that was trimmed is
    folded from the older of its snapshots; where there is one alone nothing can be compared, and `LogCorrupt` says so.
    """
    async with reading(address) as log:
        older = await _older_snapshot(log, partition)
        whole = await _folded(_FromBeginning(log, older), partition)
        quick = await _folded(log, partition)
        # What was journaled between the two readings is folded by the first one as well.
        while whole.head.seq < quick.head.seq:
            await whole.read_on()
        while quick.head.seq < whole.head.seq:
            await quick.read_on()
        hashes = snapshot.state_hash(whole.engine.state), snapshot.state_hash(quick.engine.state)
        same = whole.head == quick.head and hashes[0] == hashes[1]
        first = "journal from the start:" if older is None else "older snapshot, tail:  "
        return [
            f"{first} entry {whole.head.seq}, hash {whole.head.hash}, state {hashes[0]}",
            f"snapshot and tail:      entry {quick.head.seq}, hash {quick.head.hash}, state {hashes[1]}",
            "the two agree" if same else "THE TWO DIFFER: stop, keep the files, and report it",
        ]


async def _older_snapshot(log: Log, partition: int) -> Snapshot | None:
    """The one before the newest where the journal was trimmed: the nearest to its beginning that is left. None where it
    begins with its first entry. Raises `LogCorrupt`."""
    start, _ = await log.journal.bounds(partition)
    if start == 0:
        return None
    newest = await log.snapshots.load_newest_valid(partition, format=snapshot.FORMAT)
    older = newest and await log.snapshots.load_newest_valid(partition, format=snapshot.FORMAT, before=newest.seq)
    if older is None:
        raise LogCorrupt(
            f"the journal begins at offset {start}, and there are no two snapshots that this release can read: nothing "
            "can be compared"
        )
    return older


async def explain_contact(
    address: str, workspace: str, contact: str, *, partition: int = 0, decision: int | None = None, agents: bool = False
) -> tuple[dict[str, Any], dict[str | None, dict[str, Any]]]:
    """Every decision about a contact, or one of them, as `explain.explained` tells it, and with `agents` who was there:
    by event id, None for now while the contact waits. Raises as `write_snapshot`, and ValueError for what is not
    there."""
    async with reading(address) as log:
        start, _ = await log.journal.bounds(partition)
        begins = f", which begins at offset {start}," if start else ""
        events, policies = await explain.read_whole(log, partition, workspace, contact)
        if not events:
            raise ValueError(f"the journal{begins} tells of no contact {contact!r} in workspace {workspace!r}")
        told = explain.only(explain.explained(contact, partition, events, policies), decision)
        if start and events[0]["type"] != ContactCreated.__name__:
            told["trimmed"] = f"the journal begins at offset {start}; what happened to the contact before is gone"
        if not agents:
            return told, {}
        places = [explain.place_of(each["id"]) for each in told["decisions"]]
        try:
            there = await bystanders.agents_at(log, partition, workspace, contact, places)
            found: dict[str | None, dict[str, Any]] = {each["id"]: each for each in there}
            if decision is None and explain.waits(events):
                found[None] = await bystanders.agents_now(log, partition, workspace, contact)
        except bystanders.CannotExplain as error:
            raise ValueError(str(error)) from None
        return told, found


async def explain_moment(address: str, workspace: str, contact: str, moment: str, partition: int) -> dict[str, Any]:
    """Who was there at an event (`partition:seq:index`) or is `now`; `{cannot}` if that cannot be found out."""
    async with reading(address) as log:
        try:
            if moment == "now":
                return await bystanders.agents_now(log, partition, workspace, contact)
            places = [explain.place_of(moment)]
            return (await bystanders.agents_at(log, partition, workspace, contact, places))[0]
        except bystanders.CannotExplain as error:
            return {"cannot": str(error)}


def main(arguments: list[str]) -> int:
    """0 if all is well, 1 if a check or the service failed, 2 for wrong arguments, settings or an unreadable log."""
    try:
        if arguments[:1] == ["twin"]:
            # Not loaded above: a router that serves has no use for tables and bars.
            from services.router.twin import command

            return command.main(arguments[1:])
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
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
            case "explain":
                _explain(chosen)
            case "trim":
                print("\n".join(asyncio.run(trim.trim(chosen.log, chosen.target, dry_run=chosen.dry_run))))
            case "dead-letters":
                return dead_letters_command.run(chosen)
            case "scenarios":
                return report.run(chosen.files, as_json=chosen.json)
            case "policy":
                now = SystemClock().now_ms()
                return policy_lint.run(chosen.file, strict=chosen.strict, as_json=chosen.json, now=now)
            case _:
                _parser().print_usage(sys.stderr)
                return 2
    except (
        LogCorrupt,
        LogLocked,
        LogMisconfigured,
        LogUnavailable,
        Diverged,
        CannotStart,
        ValueError,
    ) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _explain(chosen: argparse.Namespace) -> None:
    whose = (chosen.log, chosen.workspace, chosen.contact)
    if chosen.at is not None:
        print(encode(asyncio.run(explain_moment(*whose, chosen.at, chosen.partition))).decode())
        return
    told, agents = asyncio.run(
        explain_contact(*whose, partition=chosen.partition, decision=chosen.decision, agents=chosen.agents)
    )
    if chosen.json:
        print(json.dumps({**told, "agents": list(agents.values())}, indent=2))
    else:
        print("\n".join(explain.lines(told, agents)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.router", description=__doc__)
    parser.add_argument("--role", choices=[role.value for role in cluster.Role], help="run a router process")
    commands = parser.add_subparsers(dest="command")
    check = commands.add_parser("verify", help="fold the journal and compare it with the newest snapshot")
    take = commands.add_parser("snapshot", help="fold the log and write a snapshot to a file")
    why = commands.add_parser("explain", help="tell why a contact went to these agents")
    for tool in (check, take, why):
        tool.add_argument("log", help="the address of the log as in LOG, or a data directory")
        tool.add_argument("--partition", type=int, default=0, help="which partition")
    take.add_argument("target", type=Path, help="the file to write")
    why.add_argument("workspace", help="the contact's workspace")
    why.add_argument("contact", help="the contact's id")
    why.add_argument("--agents", action="store_true", help="how every agent stood each time, and now if it waits")
    why.add_argument("--decision", type=int, help="only this decision, counted from 1")
    why.add_argument("--json", action="store_true", help="one object")
    why.add_argument("--at", help=argparse.SUPPRESS)
    cut = commands.add_parser("trim", help="delete what two snapshots can do without of a journal")
    cut.add_argument("log", help="the address of the log as in LOG, or a data directory")
    cut.add_argument("target", metavar="WORKSPACE-or-PARTITION", help="a workspace, or the number of its partition")
    cut.add_argument("--dry-run", action="store_true", help="only say what it would be")
    workspace = commands.add_parser("workspace", help="create a workspace and print its first keys")
    workspace.add_argument("name", help="the workspace's name")
    workspace.add_argument("--title", default="", help="what people call it")
    aside = commands.add_parser("dead-letters", help="inputs that were put aside: list them, take them once more")
    dead_letters_command.add_to(aside)
    scenarios = commands.add_parser("scenarios", help="play policy tests through the engine")
    scenarios.add_argument("files", nargs="+", type=Path, help="YAML files, or folders of them")
    scenarios.add_argument("--json", action="store_true", help="one object a line")
    commands.add_parser("twin", help="play a day through the engine, under one policy or several", add_help=False)
    policy = commands.add_parser("policy", help="look at a policy before it is adopted")
    looks = policy.add_subparsers(dest="tool", required=True)
    lint = looks.add_parser("lint", help="what it will not do as it seems to")
    lint.add_argument("file", type=Path, help="YAML, or JSON if it ends in .json")
    lint.add_argument("--strict", action="store_true", help="warnings count as errors")
    lint.add_argument("--json", action="store_true", help="one object a line")
    return parser


def _serve(role: cluster.Role) -> int:
    try:
        settings = ProcessSettings.read(config_file())
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    json_logging.configure(f"router-{role.value}", level=settings.log_level)
    return run_service(lambda stopping: cluster.serve(role, settings, stopping), patience=settings.patience)
