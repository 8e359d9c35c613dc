"""Deleting the oldest part of a journal: how far, when not, and what is told of it afterwards."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from services.router import cli, explain, snapshot
from services.router.chain import TooNew
from services.router.feed import EntriesGone
from services.router.journals import Journals
from services.router.reading import reading
from services.router.release import CONTRACTS
from services.router.replica import Performed, Replica, ReplicaSettings
from services.router.trim import CannotTrim, examined, trim
from services.router.twin.day import UnreadableDay
from services.router.twin.replay import recorded
from shared.clock import SystemClock
from shared.contracts import commands as cmd
from shared.log.codec import encode_input
from shared.log.content_table import MemoryContentTable
from shared.log.kafka import KafkaLog
from shared.log.memory import MemoryLog
from shared.log.port import InputRecord, Log, LogCorrupt, LogUnavailable
from shared.log.sqlite import SqliteLog
from shared.log.sqlite_file import FILE_NAME
from shared.vocabulary import Topic
from tests import journaled
from tests.builders import ADAPTER, OPERATOR, Centre, agent, message, policy
from tests.eventually import eventually
from tests.unit.router.test_replica import Desk, open_for_work, put


class Nobody:
    async def perform(self, replica: Replica, entry: Performed) -> None:
        return

    async def bury(self, replica: Replica, aside: Sequence[tuple[InputRecord, str]]) -> None:
        return


@dataclass
class Office:
    """A leader on a log that counts its contacts."""

    log: Log
    replica: Replica
    partition: int
    contacts: int = 0

    async def do(self, command: cmd.Command, by: cmd.Actor = OPERATOR) -> None:
        number = self.replica.head.seq
        record = cmd.Input(id=f"x{number}", workspace="w", actor=by, received_at=0, command=command)
        await self.log.inputs.append(Topic.COMMANDS, self.partition, encode_input(record))
        await self.replica.step()

    async def write(self, count: int) -> None:
        """Contacts, each in an entry of its own."""
        for _ in range(count):
            self.contacts += 1
            await self.do(message(f"c{self.contacts}"), by=ADAPTER)

    async def save(self) -> None:
        assert await self.replica.save_snapshot()


@asynccontextmanager
async def office(log: Log, partition: int = 0) -> AsyncIterator[Office]:
    """With six contacts, a snapshot after the third of them and one after the fifth."""
    await log.open()
    try:
        replica = Replica(partition, "test", log, SystemClock(), Nobody(), ReplicaSettings(idle_s=0.01))
        await replica.recover()
        await replica.lead()
        made = Office(log, replica, partition)
        await made.do(cmd.CreateWorkspace(name="w"))
        await made.do(cmd.AdoptPolicy(policy=policy()))
        await made.do(agent("ana"))
        await made.write(3)
        await made.save()
        await made.write(2)
        await made.save()
        await made.write(1)
        yield made
    finally:
        await log.close()


async def bounds(address: str, partition: int = 0) -> tuple[int, int]:
    async with reading(address) as log:
        return await log.journal.bounds(partition)


async def begun(log: Log, partition: int = 0) -> Replica:
    """A replica that starts now."""
    replica = Replica(partition, "again", log, SystemClock(), Nobody())
    await replica.recover()
    return replica


async def test_what_two_snapshots_can_do_without_is_deleted_and_no_more(tmp_path: Path) -> None:
    async with office(SqliteLog(tmp_path)) as made:
        head, state = made.replica.head, snapshot.state_hash(made.replica.engine.state)
        newest = made.replica.snapshot_seq
    older = newest - 2
    assert await bounds(str(tmp_path)) == (0, head.seq)

    said = await trim(str(tmp_path), "w", dry_run=True)
    assert f"before entry {older} (offset {older - 1})" in said[0]
    assert said[0].startswith(f"partition 0 (w): {older - 1} records with ")
    assert said[1] == "nothing is deleted (--dry-run)"
    assert await bounds(str(tmp_path)) == (0, head.seq)

    assert (await trim(f"sqlite:///{tmp_path}", "0", dry_run=False))[1:] == [
        f"deleted; the journal begins at offset {older - 1}"
    ]
    assert await bounds(str(tmp_path)) == (older - 1, head.seq)
    log = SqliteLog(tmp_path)
    await log.open()
    try:
        again = await begun(log)
        assert (again.head, snapshot.state_hash(again.engine.state)) == (head, state)
    finally:
        await log.close()
    with pytest.raises(CannotTrim, match="there is nothing to delete: the journal begins at offset"):
        await trim(str(tmp_path), "0", dry_run=False)


async def test_a_file_gives_back_what_was_deleted(tmp_path: Path) -> None:
    async with office(SqliteLog(tmp_path)) as made:
        for number in range(60):
            await made.do(agent(f"a{number}", name="n" * 50_000))
        await made.save()
        await made.write(1)
        await made.save()
    before = (tmp_path / FILE_NAME).stat().st_size
    said = await trim(str(tmp_path), "0", dry_run=False)
    freed = int(re.findall(r"([\d,]+) bytes", said[0])[0].replace(",", ""))
    assert freed > 50 * 50_000
    assert before - (tmp_path / FILE_NAME).stat().st_size > freed / 2


async def test_a_journal_is_trimmed_again_when_there_are_new_snapshots(tmp_path: Path) -> None:
    async with office(SqliteLog(tmp_path)):
        pass
    await trim(str(tmp_path), "0", dry_run=False)
    log = SqliteLog(tmp_path)
    await log.open()
    try:
        replica = Replica(0, "test", log, SystemClock(), Nobody(), ReplicaSettings(idle_s=0.01))
        await replica.recover()
        await replica.lead()
        made = Office(log, replica, 0, contacts=10)
        await made.save()
        await made.write(2)
        await made.save()
        older = replica.head.seq - 2
    finally:
        await log.close()
    await trim(str(tmp_path), "0", dry_run=False)
    assert (await bounds(str(tmp_path)))[0] == older - 1
    assert (await cli.verify(str(tmp_path)))[-1] == "the two agree"


async def test_a_log_that_is_in_use_is_looked_at_and_not_trimmed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with office(SqliteLog(tmp_path)):
        assert await asyncio.to_thread(cli.main, ["trim", str(tmp_path), "w", "--dry-run"]) == 0
        assert "nothing is deleted" in capsys.readouterr().out
        assert await asyncio.to_thread(cli.main, ["trim", str(tmp_path), "w"]) == 2
        assert "another process is using the data directory" in capsys.readouterr().err
    with pytest.raises(LogUnavailable, match="there is no log in"):
        await trim(str(tmp_path / "nothing"), "0", dry_run=False)
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("target", ["1", "nobody"])
async def test_what_is_not_there_is_not_trimmed(tmp_path: Path, target: str) -> None:
    async with office(SqliteLog(tmp_path)):
        pass
    with pytest.raises(CannotTrim, match=target):
        await trim(str(tmp_path), target, dry_run=False)
    assert (await bounds(str(tmp_path)))[0] == 0


# When not


async def desk_with_two(**release: Any) -> tuple[Desk, MemoryLog]:
    desk = Desk()
    desk.replica.release = replace(desk.replica.release, **release)
    open_for_work(desk.store)
    await desk.start()
    await desk.work()
    for number in range(2):
        await desk.replica.save_snapshot()
        put(desk.store, message(f"c{number}"), by=ADAPTER)
        await desk.work()
    await desk.replica.save_snapshot()
    return desk, MemoryLog(desk.store)


async def test_one_snapshot_is_not_enough() -> None:
    desk = Desk()
    open_for_work(desk.store)
    await desk.start()
    await desk.work()
    log = MemoryLog(desk.store)
    with pytest.raises(CannotTrim, match="has no snapshot"):
        await examined(log, 0)
    await desk.replica.save_snapshot()
    with pytest.raises(CannotTrim, match="has one snapshot"):
        await examined(log, 0)


async def test_two_snapshots_are_enough() -> None:
    desk, log = await desk_with_two()
    found = await examined(log, 0)
    saved = sorted(each.seq for each in desk.store.snapshots)
    assert (found.older, found.newest) == (saved[-2], saved[-1])
    assert found.records == found.before == saved[-2] - 1
    assert found.size == sum(len(data) for data in desk.store.journal[0][: found.before])


async def test_a_snapshot_that_cannot_be_read_does_not_count() -> None:
    desk, log = await desk_with_two()
    desk.store.snapshots[-1].chunks[0] = b"spoilt"
    with pytest.raises(CannotTrim, match="has one snapshot"):
        await examined(log, 0)


@pytest.mark.parametrize("which", [0, 1])
async def test_a_snapshot_that_is_not_what_the_journal_folds_to_stops_it(which: int) -> None:
    desk, log = await desk_with_two()
    newest = await log.snapshots.load_newest_valid(0, format=snapshot.FORMAT)
    assert newest is not None
    older = await log.snapshots.load_newest_valid(0, format=snapshot.FORMAT, before=newest.seq)
    assert older is not None
    state = snapshot.load((older, newest)[which].data)
    state.workspaces["w"].sequence += 1
    desk.store.snapshots.clear()
    for number, saved in enumerate((older, newest)):
        await log.snapshots.save(replace(saved, data=snapshot.dump(state)) if number == which else saved)
    with pytest.raises(CannotTrim, match=f"entry {(older, newest)[which].seq} is not what the journal folds to"):
        await examined(log, 0)


async def test_a_snapshot_of_another_history_stops_it() -> None:
    desk, log = await desk_with_two()
    await log.journal.trim(0, 1)
    older = sorted(desk.store.snapshots, key=lambda each: each.seq)[-2]
    assert older.manifest is not None
    saved = await log.snapshots.load_newest_valid(0, format=snapshot.FORMAT, before=older.seq + 1)
    assert saved is not None
    desk.store.snapshots.remove(older)
    await log.snapshots.save(replace(saved, hash="f" * 64))
    with pytest.raises(CannotTrim, match=f"entry {older.seq} is not what the journal folds to"):
        await examined(log, 0)


async def test_a_journal_that_was_trimmed_too_far_loses_no_more() -> None:
    desk, log = await desk_with_two()
    await log.journal.trim(0, len(desk.store.journal[0]) - 1)
    with pytest.raises(CannotTrim, match="behind the older snapshot"):
        await examined(log, 0)


async def test_a_journal_that_ends_before_its_snapshot_is_none_to_trim() -> None:
    desk, log = await desk_with_two()
    del desk.store.journal[0][-1]
    with pytest.raises(LogCorrupt, match="the journal ends at offset"):
        await examined(log, 0)


async def test_an_older_release_trims_nothing() -> None:
    _, log = await desk_with_two(contracts=CONTRACTS + 1, switchdesk="0.9")
    with pytest.raises(TooNew, match=r"release 0\.9.*it trims nothing"):
        await examined(log, 0)


# What is told afterwards


@pytest.fixture
async def trimmed(tmp_path: Path) -> str:
    """The address of a log whose journal was trimmed; its older snapshot is of the third contact's entry."""
    async with office(SqliteLog(tmp_path)):
        pass
    await trim(str(tmp_path), "0", dry_run=False)
    return str(tmp_path)


async def test_verify_compares_the_two_snapshots_that_are_left(trimmed: str) -> None:
    said = await cli.verify(trimmed)
    assert said[0].startswith("older snapshot, tail: ")
    assert said[-1] == "the two agree"
    log = SqliteLog(Path(trimmed))
    await log.open()
    try:
        newest = await log.snapshots.load_newest_valid(0, format=snapshot.FORMAT)
        assert newest is not None
        older = await log.snapshots.load_newest_valid(0, format=snapshot.FORMAT, before=newest.seq)
        assert older is not None
        state = snapshot.load(newest.data)
        state.workspaces["w"].sequence += 1
        with closing(sqlite3.connect(Path(trimmed) / FILE_NAME)) as behind, behind:
            behind.execute("DELETE FROM snapshot")
        await log.snapshots.save(older)
        await log.snapshots.save(replace(newest, data=snapshot.dump(state)))
    finally:
        await log.close()
    assert "DIFFER" in (await cli.verify(trimmed))[-1]


async def test_verify_says_where_the_journal_begins_if_there_is_nothing_to_compare(trimmed: str) -> None:
    start, _ = await bounds(trimmed)
    log = SqliteLog(Path(trimmed))
    await log.open()
    try:
        newest = await log.snapshots.load_newest_valid(0, format=snapshot.FORMAT)
        assert newest is not None
        # Two of one entry: there is no older one.
        await log.snapshots.save(newest)
    finally:
        await log.close()
    with pytest.raises(LogCorrupt, match=f"begins at offset {start}, and there are no two snapshots"):
        await cli.verify(trimmed)


async def test_histories_and_explanations_say_what_is_gone(trimmed: str, capsys: pytest.CaptureFixture[str]) -> None:
    start, _ = await bounds(trimmed)
    async with reading(trimmed) as log:
        replica = await begun(log)
        contacts = list(replica.engine.state.workspaces["w"].contacts)
        journals = Journals(log.journal, lambda workspace: 0)
        with pytest.raises(EntriesGone, match=f"entry 4 was deleted: the journal begins at entry {start + 1}"):
            await journals.history("w", contacts[0], [4])
        assert await journals.history("w", contacts[-1], [replica.head.seq])
        adoptions = journals.adoptions("w")
        assert (await adoptions.of("w"), await adoptions.begins()) == ([], start + 1)
    words = f"the journal begins at offset {start}; what happened to the contact before is gone"
    assert await asyncio.to_thread(cli.main, ["explain", trimmed, "w", contacts[-1]]) == 0
    assert words not in capsys.readouterr().out
    assert await asyncio.to_thread(cli.main, ["explain", trimmed, "w", contacts[1]]) == 2
    assert f"the journal, which begins at offset {start}, tells of no contact" in capsys.readouterr().err


async def test_a_contact_whose_beginning_is_gone_is_explained_with_a_word_about_it(tmp_path: Path) -> None:
    centre = Centre()
    centre.staff(agent("ana", capacity=3))
    centre.write("c1")
    began = centre.seq
    centre.accept("ana", "c1")
    centre.write_again("c1b", to="c1")
    log = SqliteLog(tmp_path)
    await log.open()
    try:
        await journaled.write(centre, log.journal)
        for seq in (began + 1, centre.seq):
            await log.snapshots.save(journaled.snapshot_at(centre, seq, await log.journal.identity(0)))
    finally:
        await log.close()
    contact = centre.id_of("c1")
    told, _ = await cli.explain_contact(str(tmp_path), centre.workspace, contact)
    assert "trimmed" not in told
    await trim(str(tmp_path), "0", dry_run=False)
    told, _ = await cli.explain_contact(str(tmp_path), centre.workspace, contact)
    assert next(iter(explain.lines(told, {}))).startswith(f"the journal begins at offset {began}; what happened")


async def test_a_day_is_not_replayed_from_a_journal_without_its_beginning(trimmed: str) -> None:
    start, _ = await bounds(trimmed)
    async with reading(trimmed) as log:
        with pytest.raises(UnreadableDay, match=f"the journal begins at offset {start}: it was trimmed"):
            await recorded(log, 0, None, None)


# On Kafka


@pytest.mark.integration
async def test_on_kafka_it_is_done_beside_those_who_lead_and_follow(
    kafka: str, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"kafka://{kafka}?prefix={prefix}&partitions=2&replication=1&min_isr=1"
    log = KafkaLog(address, table=MemoryContentTable())
    async with office(log, partition=1) as made:
        with pytest.raises(CannotTrim, match="there is no workspace 'w'"):
            await trim(address, "w", dry_run=True)
        assert await log.placement.place("w") in (0, 1)
        follower = await begun(log, 1)
        older = await log.snapshots.load_newest_valid(1, format=snapshot.FORMAT, before=made.replica.snapshot_seq)
        assert older is not None

        assert await asyncio.to_thread(cli.main, ["trim", address, "1", "--dry-run"]) == 0
        assert f"(offset {older.offset})" in capsys.readouterr().out
        assert await log.journal.bounds(1) == (0, made.replica.next_offset)
        assert await asyncio.to_thread(cli.main, ["trim", address, "1"]) == 0
        said = capsys.readouterr().out
        assert f"deleted; the journal begins at offset {older.offset}" in said
        assert "whole segments" in said

        assert (await log.journal.bounds(1))[0] == older.offset
        assert await log.journal.bounds(0) == (0, 0)
        await made.write(2)
        await eventually(lambda: _caught_up(follower, made.replica))
        again = await begun(log, 1)
        assert again.head == made.replica.head
        assert snapshot.state_hash(again.engine.state) == snapshot.state_hash(made.replica.engine.state)
        assert (await cli.verify(address, 1))[-1] == "the two agree"
        with pytest.raises(CannotTrim, match="there is no partition 2"):
            await trim(address, "2", dry_run=False)


async def _caught_up(follower: Replica, leader: Replica) -> bool:
    await follower.read_on()
    return follower.head == leader.head
