"""The tools for a data directory, on a real log that a leader has written, also while the leader has it open."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from services.router import cli, snapshot
from services.router.replica import Performed, Replica, ReplicaSettings
from services.router.snapshots import SnapshotKeeper, worker_on
from shared.clock import SystemClock
from shared.contracts.commands import Actor, AdoptPolicy, Command, CreateWorkspace, Input, PutAgent
from shared.contracts.policy import Policy
from shared.log.codec import encode_input
from shared.log.port import InputRecord
from shared.log.sqlite import SqliteLog
from shared.vocabulary import AgentId, Role, Topic
from tests.eventually import eventually

OPERATOR = Actor(role=Role.OPERATOR, id="test")
POLICY = Policy.model_validate(
    {"channels": [{"kind": "chat", "account": "web", "queue": "general"}], "queues": [{"name": "general"}]}
)


class Nobody:
    async def perform(self, replica: Replica, entry: Performed) -> None:
        return

    async def bury(self, replica: Replica, aside: Sequence[tuple[InputRecord, str]]) -> None:
        return


async def leading(log: SqliteLog) -> Replica:
    settings = ReplicaSettings(idle_s=0.01)
    replica = Replica(0, "test", log, SystemClock(), Nobody(), settings)
    await replica.recover()
    await replica.lead()
    return replica


async def told(log: SqliteLog, replica: Replica, *commands: Command) -> None:
    """Have each command decided in an entry of its own."""
    for command in commands:
        record = Input(id=f"test-{replica.head.seq}", workspace="w", actor=OPERATOR, received_at=0, command=command)
        await log.inputs.append(Topic.COMMANDS, 0, encode_input(record))
        await replica.step()


async def set_up(log: SqliteLog) -> Replica:
    replica = await leading(log)
    await told(log, replica, CreateWorkspace(name="w"), AdoptPolicy(policy=POLICY.model_dump(mode="json")))
    return replica


async def test_verify_agrees_on_a_log_that_is_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = SqliteLog(tmp_path)
    await log.open()
    try:
        replica = await set_up(log)
        assert await replica.save_snapshot()
        await told(log, replica, PutAgent(agent=AgentId("ana")))
        code = await asyncio.to_thread(cli.main, ["verify", str(tmp_path)])
        said = capsys.readouterr().out
        assert code == 0, said
        assert said.count(f"entry {replica.head.seq}, hash {replica.head.hash}") == 2
        assert said.count(snapshot.state_hash(replica.engine.state)) == 2
    finally:
        await log.close()


async def test_verify_notices_a_snapshot_that_is_not_the_journals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = SqliteLog(tmp_path)
    await log.open()
    try:
        replica = await set_up(log)
        replica.engine.state.workspaces["w"].sequence += 1
        await replica.save_snapshot()
    finally:
        await log.close()
    assert await asyncio.to_thread(cli.main, ["verify", str(tmp_path)]) == 1
    assert "DIFFER" in capsys.readouterr().out


def test_a_folder_without_a_log_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


async def test_worker_takes_a_snapshot_beside_the_leader(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    await log.open()
    stopping = asyncio.Event()
    try:
        replica = await set_up(log)
        keeper = SnapshotKeeper(log, lambda: [replica], worker_on(tmp_path), every=1)
        running = asyncio.create_task(keeper.run(stopping))

        async def saved() -> bool:
            newest = await log.snapshots.load_newest_valid(0, format=snapshot.FORMAT)
            return newest is not None and newest.seq == replica.head.seq

        await eventually(saved, within_s=30)
        stopping.set()
        await running
        again = Replica(0, "again", log, SystemClock(), Nobody())
        await again.recover()
        assert again.head == replica.head
        assert again.positions == replica.positions
        assert snapshot.state_hash(again.engine.state) == snapshot.state_hash(replica.engine.state)
    finally:
        await log.close()
