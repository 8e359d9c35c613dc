"""The SQLite log keeps what every log keeps, alone on its directory and with another process beside it."""

from __future__ import annotations

import asyncio
import random
import resource
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast

import pytest

from services.router.chain import Head
from shared.log.port import InputRecord, Log, LogCorrupt, LogLocked, LogUnavailable
from shared.log.sqlite import SqliteLog
from shared.log.sqlite_file import FILE_NAME
from shared.log.sqlite_writer import Transaction
from shared.vocabulary import Topic
from tests.unit.log.replica import Replica
from tests.unit.log.suite import (
    START,
    ContentSuite,
    InputsSuite,
    JournalSuite,
    Reopen,
    SnapshotsSuite,
    fill,
    large,
    snapshot,
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


class SqliteSuite(InputsSuite, JournalSuite, SnapshotsSuite, ContentSuite):
    exclusive: bool

    @pytest.fixture
    async def log(self, directory: Path) -> AsyncIterator[Log]:
        log = SqliteLog(directory, exclusive=self.exclusive)
        await log.open()
        yield log
        await log.close()

    @pytest.fixture
    async def reopen(self, directory: Path) -> AsyncIterator[Reopen]:
        opened: list[SqliteLog] = []

        async def reopen(log: Log) -> Log:
            await log.close()
            opened.append(SqliteLog(directory, exclusive=self.exclusive))
            await opened[-1].open()
            return opened[-1]

        yield reopen
        for one in opened:
            await one.close()

    async def damage_newest(self, log: Log) -> None:
        def flip(transaction: Transaction) -> None:
            where = "WHERE seq = (SELECT max(seq) FROM snapshot) AND part = 1"
            data = bytearray(transaction.connection.execute(f"SELECT data FROM snapshot_chunk {where}").fetchone()[0])
            data[100] ^= 1
            transaction.connection.execute(f"UPDATE snapshot_chunk SET data = ? {where}", (bytes(data),))

        await sqlite(log).writer.submit(flip)

    async def lose_a_chunk_of_newest(self, log: Log) -> None:
        await run(sqlite(log), "DELETE FROM snapshot_chunk WHERE part = 1 AND seq = (SELECT max(seq) FROM snapshot)")

    async def kept(self, log: Log, partition: int) -> list[int]:
        rows = await run(
            sqlite(log),
            "SELECT seq FROM snapshot WHERE partition = ?1 UNION SELECT seq FROM snapshot_chunk WHERE partition = ?1",
            (partition,),
        )
        return sorted(cast(int, seq) for (seq,) in rows)


class TestAlone(SqliteSuite):
    exclusive = True

    @pytest.fixture
    def other(self, log: Log) -> Log:
        return log


class TestBesideAnother(SqliteSuite):
    exclusive = False

    @pytest.fixture
    async def other(self, log: Log, directory: Path) -> AsyncIterator[Log]:
        other = SqliteLog(directory, exclusive=False)
        await other.open()
        yield other
        await other.close()


def sqlite(log: Log) -> SqliteLog:
    assert isinstance(log, SqliteLog)
    return log


async def run(log: SqliteLog, statement: str, values: tuple[object, ...] = ()) -> list[tuple[object]]:
    """Run a statement on the writer's connection."""
    return await log.writer.submit(
        lambda transaction: cast("list[tuple[object]]", transaction.connection.execute(statement, values).fetchall())
    )


def modes_of_others(directory: Path) -> dict[str, int]:
    """What everybody but the owner may do with the directory and its files."""
    return {path.name: path.stat().st_mode & 0o077 for path in (directory, *directory.iterdir())}


def files_with(wanted: bytes, directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if wanted in path.read_bytes()]


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The system itself refuses to write: for this process, until the end of the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
async def log(directory: Path) -> AsyncIterator[SqliteLog]:
    log = SqliteLog(directory)
    await log.open()
    yield log
    await log.close()


async def test_what_waits_together_is_committed_together(log: SqliteLog) -> None:
    before = log.writer.commits

    await asyncio.gather(*(log.inputs.append(Topic.INBOUND, 0, b"x" * 500) for _ in range(1_000)))

    assert log.writer.commits - before <= 3


async def test_one_after_the_other_is_committed_one_by_one(log: SqliteLog) -> None:
    before = log.writer.commits

    await fill(log, commands=5)

    assert log.writer.commits - before == 5


async def test_an_operation_that_cannot_work_fails_alone(log: SqliteLog) -> None:
    results = await asyncio.gather(
        log.inputs.append(Topic.INBOUND, 0, b"good"),
        log.inputs.append(Topic.INBOUND, 0, cast(bytes, ["not bytes"])),
        log.content.put("w1", "m:\ud800", b"a ref that cannot be encoded", owner="ana"),
        log.inputs.append(Topic.INBOUND, 0, b"good too"),
        return_exceptions=True,
    )

    assert [isinstance(result, Exception) for result in results] == [False, True, True, False]
    stored = await log.inputs.read(0, START, limit=10, wait_s=0)
    assert [(r.offset, r.data) for r in stored] == [(0, b"good"), (1, b"good too")]


async def test_appends_that_were_given_up_leave_no_gap(log: SqliteLog) -> None:
    position, dice = START, random.Random(1)
    for _ in range(50):
        appends = [asyncio.create_task(log.inputs.append(Topic.COMMANDS, 0, b"x")) for _ in range(20)]
        await asyncio.sleep(dice.random() * 0.002)
        for append in appends[::2]:
            append.cancel()
        acknowledged = [one for one in await asyncio.gather(*appends, return_exceptions=True) if isinstance(one, int)]
        await log.inputs.append(Topic.COMMANDS, 0, b"last")

        records = await log.inputs.read(0, position, limit=100, wait_s=5)
        offsets = [record.offset for record in records]
        assert offsets == list(range(position.commands, position.commands + len(offsets)))
        assert set(acknowledged) <= set(offsets)
        assert records[-1].data == b"last"
        position = position._replace(commands=offsets[-1] + 1)


async def test_void_proposals_are_not_stored(log: SqliteLog) -> None:
    replica = await Replica.start(log)
    await replica.propose()
    void = replica.build()
    for proposal in (void, replica.build(Head(void.seq, void.hash)), replica.build(Head(5, "unheard of"))):
        await replica.send(proposal)

    assert await log.journal.bounds(0) == (0, 1)
    assert (await replica.catch_up()).seq == 1


async def test_a_commit_waits_for_the_disk(log: SqliteLog) -> None:
    """No kill of a process can show this, only a power cut."""
    assert await run(log, "PRAGMA journal_mode") == [("wal",)]
    assert await run(log, "PRAGMA synchronous") == [(2,)]


async def test_a_full_disk_is_unavailability_and_passes(log: SqliteLog) -> None:
    await fill(log, inbound=3)
    (pages,) = (await run(log, "PRAGMA page_count"))[0]
    await run(log, f"PRAGMA max_page_count = {cast(int, pages) + 5}")

    results = await asyncio.gather(
        *(log.inputs.append(Topic.INBOUND, 0, bytes(4_000)) for _ in range(50)), return_exceptions=True
    )

    assert {type(result) for result in results} == {LogUnavailable}
    assert (await log.inputs.end(0)).inbound == 3
    assert len(await log.inputs.read(0, START, limit=100, wait_s=0)) == 3
    await run(log, "PRAGMA max_page_count = 1000000")
    assert await log.inputs.append(Topic.INBOUND, 0, b"room again") == 3


async def test_a_write_that_the_system_refuses_is_unavailability_and_passes(log: SqliteLog, directory: Path) -> None:
    await fill(log, inbound=3)

    with files_no_larger_than((directory / "log.db-wal").stat().st_size + 20_000):
        results = await asyncio.gather(
            *(log.inputs.append(Topic.INBOUND, 0, bytes(4_000)) for _ in range(50)), return_exceptions=True
        )

    assert {type(result) for result in results} == {LogUnavailable}
    assert await log.inputs.append(Topic.INBOUND, 0, b"room again") == 3
    assert len(await log.inputs.read(0, START, limit=100, wait_s=0)) == 4


async def test_a_log_that_could_not_be_written_is_not_healthy_until_something_was(
    log: SqliteLog, directory: Path
) -> None:
    await fill(log, inbound=3)
    assert log.healthy() is True
    with files_no_larger_than((directory / "log.db-wal").stat().st_size + 20_000):
        with pytest.raises(LogUnavailable):
            await log.inputs.append(Topic.INBOUND, 0, bytes(100_000))
        assert str(log.healthy()).startswith("writing to the log: ")
        with pytest.raises(LogUnavailable):
            await log.prove()
        assert log.healthy() is not True
    await log.prove()
    assert log.healthy() is True
    assert (await log.inputs.end(0)).inbound == 3
    assert await run(log, "SELECT key FROM meta") == [("identity",)]


@pytest.mark.parametrize("name", [FILE_NAME, f"{FILE_NAME}-wal"])
@pytest.mark.parametrize("how", ["removed", "replaced"])
async def test_nothing_is_acknowledged_into_a_file_that_no_start_will_find(
    log: SqliteLog, directory: Path, name: str, how: str
) -> None:
    await fill(log, inbound=3)
    assert log.healthy() is True
    (directory / name).rename(directory / "aside")
    if how == "replaced":
        shutil.copy(directory / "aside", directory / name)

    assert f"{name} was removed or replaced" in str(log.healthy())
    appends = [log.inputs.append(Topic.INBOUND, 0, b"lost") for _ in range(3)]
    results = await asyncio.gather(*appends, return_exceptions=True)
    assert {type(result) for result in results} == {LogUnavailable}

    (directory / "aside").rename(directory / name)
    assert await log.inputs.append(Topic.INBOUND, 0, b"found") == 3
    assert log.healthy() is True


async def test_an_append_is_given_up_in_time_while_another_process_holds_the_file(directory: Path) -> None:
    log = SqliteLog(directory, exclusive=False, deadline_s=0.2)
    await log.open()
    try:
        await fill(log, commands=1)
        with closing(sqlite3.connect(directory / FILE_NAME, isolation_level=None)) as blocker:
            blocker.execute("BEGIN IMMEDIATE")
            async with asyncio.timeout(4):
                with pytest.raises(LogUnavailable, match="may still become durable"):
                    await log.inputs.append(Topic.COMMANDS, 0, b"stuck")
            assert "may still become durable" in str(log.healthy())
            blocker.execute("ROLLBACK")

        # Whether the first one made it is unknown by contract; the log itself goes on.
        assert await log.inputs.append(Topic.COMMANDS, 0, b"free") in (1, 2)
        assert log.healthy() is True
    finally:
        await log.close()


async def test_a_second_process_is_refused_by_name_and_remedy(log: SqliteLog, directory: Path) -> None:
    for exclusive in (True, False):
        second = SqliteLog(directory, exclusive=exclusive)
        with pytest.raises(LogLocked, match=r"data directory .*/data: stop it, or choose another"):
            await second.open()
        await second.close()

    await log.close()
    third = SqliteLog(directory)
    await third.open()
    await third.close()


async def test_nobody_but_the_owner_may_read_the_files(log: SqliteLog, directory: Path) -> None:
    await fill(log, commands=1)

    modes = modes_of_others(directory)

    assert modes == dict.fromkeys(["data", "lock", "log.db", "log.db-wal", "log.db-shm"], 0)


async def test_each_file_has_an_identity_of_its_own(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two", "one"):
        log = SqliteLog(tmp_path / name)
        await log.open()
        found.append(await log.journal.identity(0))
        await log.close()

    assert found[0] == found[2] != found[1]


@pytest.mark.parametrize(
    ("place", "damage"), [(20 * 4096, b"\xff" * 2048), (36, b"\0\0\0\7")], ids=["page", "freelist"]
)
async def test_a_damaged_file_is_not_opened(log: SqliteLog, directory: Path, place: int, damage: bytes) -> None:
    await asyncio.gather(*(log.inputs.append(Topic.INBOUND, 0, b"x" * 500) for _ in range(500)))
    await log.close()
    path = directory / FILE_NAME
    data = path.read_bytes()
    path.write_bytes(data[:place] + damage + data[place + len(damage) :])

    with pytest.raises(LogCorrupt):
        await SqliteLog(directory).open()


@pytest.mark.parametrize("content", [b"this is not a database" * 500, b"SQLite format 3\0" + bytes(4080)])
async def test_what_is_no_log_file_is_not_opened(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)

    with pytest.raises(LogCorrupt):
        await SqliteLog(tmp_path).open()


async def test_a_file_of_another_format_is_not_opened(log: SqliteLog, directory: Path) -> None:
    await log.close()
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        connection.execute("PRAGMA user_version = 99")

    with pytest.raises(LogCorrupt, match="format 99"):
        await SqliteLog(directory).open()


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(LogUnavailable, match="file/data"):
        await SqliteLog(tmp_path / "file" / "data").open()


async def test_closing_commits_what_was_submitted_and_answers_it(directory: Path) -> None:
    log = SqliteLog(directory)
    await log.open()
    appends = [asyncio.create_task(log.inputs.append(Topic.COMMANDS, 0, b"%d" % n)) for n in range(100)]
    await asyncio.sleep(0)

    await log.close()
    await log.close()

    assert await asyncio.gather(*appends) == list(range(100))
    again = SqliteLog(directory)
    await again.open()
    assert (await again.inputs.end(0)).commands == 100
    await again.close()


async def test_a_log_that_is_not_open_says_so(directory: Path) -> None:
    log = SqliteLog(directory)
    with pytest.raises(LogUnavailable):
        await log.inputs.append(Topic.COMMANDS, 0, b"early")
    await log.open()
    waiting = asyncio.create_task(log.inputs.read(0, START, limit=1, wait_s=60))
    await log.inputs.end(0)
    await log.close()

    with pytest.raises(LogUnavailable):
        await asyncio.wait_for(waiting, 5)
    with pytest.raises(LogUnavailable):
        await log.journal.bounds(0)
    with pytest.raises(LogUnavailable):
        await log.content.put("w1", "m:1", b"late", owner="ana")


async def test_what_is_erased_is_in_no_file_any_more(log: SqliteLog, directory: Path) -> None:
    secret = b"my card number is 4929-1234"
    await log.content.put("w1", "m:1", secret + b" (first)", owner="ana")
    await log.content.put("w1", "m:1", secret + b" (edited)", owner="ana")
    await log.content.put("w1", "m:2", secret * 1_000, owner="ana")
    assert files_with(secret, directory)

    await log.content.erase("w1", "ana")

    assert files_with(secret, directory) == []


async def test_records_beyond_the_memory_of_the_tail_are_read_from_the_file(log: SqliteLog) -> None:
    bodies = [b"%d " % n + bytes(40_000) for n in range(400)]
    for start in range(0, 400, 50):
        await asyncio.gather(*(log.inputs.append(Topic.INBOUND, 0, body) for body in bodies[start : start + 50]))

    position, found = START, list[InputRecord]()
    while records := await log.inputs.read(0, position, limit=37, wait_s=0):
        found += records
        position = position._replace(inbound=records[-1].offset + 1)

    assert [record.offset for record in found] == list(range(400))
    assert [record.data for record in found] == bodies


async def test_an_append_is_not_held_up_by_a_large_snapshot(log: SqliteLog) -> None:
    saving = asyncio.create_task(log.snapshots.save(snapshot(1, data=large(1) * 8)))
    appended = 0
    while not saving.done():
        await log.inputs.append(Topic.COMMANDS, 0, b"meanwhile")
        appended += 1

    await saving
    assert appended >= 10
