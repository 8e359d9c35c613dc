"""With other processes: whatever was acknowledged is there after `kill -9`, and what one writes another sees."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path

from shared.log.port import LogUnavailable, Positions
from shared.log.sqlite import SqliteLog
from shared.log.sqlite_file import FILE_NAME
from shared.vocabulary import Topic
from tests.unit.log.replica import Replica

KILLS = 10
ROOT = Path(__file__).parents[3]


async def start(directory: Path, run: int, *options: str, stdout: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.unit.log.under_load", str(directory), f"run{run}", *options),
        cwd=ROOT,
        stdout=stdout,
    )


async def run_and_kill(directory: Path, run: int, lines: int) -> list[list[str]]:
    """What the process said before it was killed, some time after its first `lines` acknowledgements."""
    process = await start(directory, run, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    said = []
    try:
        for _ in range(lines):
            line = await asyncio.wait_for(process.stdout.readline(), 20)
            assert line, "the process ended by itself"
            said.append(line)
    finally:
        process.kill()
    said += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    return [line.decode().split() for line in said if line.endswith(b"\n")]


async def everything(log: SqliteLog) -> dict[tuple[str, int], str]:
    position = Positions(0, 0)
    found = {}
    while records := await log.inputs.read(0, position, limit=5_000, wait_s=0):
        for record in records:
            found[record.topic.value, record.offset] = record.data.decode()
            next_offset = record.offset + 1
            is_command = record.topic is Topic.COMMANDS
            position = position._replace(**{"commands" if is_command else "inbound": next_offset})
    return found


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    dice = random.Random(4)
    inputs: dict[tuple[str, int], str] = {}
    entries: dict[int, str] = {}
    contents: set[str] = set()
    for run in range(KILLS):
        for kind, *rest in await run_and_kill(tmp_path, run, dice.randrange(1, 400)):
            match kind:
                case "input":
                    place = (rest[0], int(rest[1]))
                    assert place not in inputs, "an offset was given twice"
                    inputs[place] = rest[2]
                case "entry":
                    assert entries.setdefault(int(rest[0]), rest[1]) == rest[1]
                case "content":
                    contents.add(rest[0])

    log = SqliteLog(tmp_path)
    await log.open()
    try:
        stored = await everything(log)
        replica = await Replica.start(log)
        await replica.catch_up()
        texts = await log.content.get_many("w1", sorted(contents))
    finally:
        await log.close()

    assert len(inputs) > 100
    assert entries
    assert contents
    assert {place: stored.get(place) for place in inputs} == inputs
    assert len(set(stored.values())) == len(stored), "a record is there twice"
    assert {seq: replica.entries[seq - 1] for seq in entries} == entries
    assert replica.chain.void_records == 0
    assert texts == {ref: ref.encode() * 100 for ref in contents}
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_what_another_process_writes_is_seen_and_its_death_disturbs_nobody(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path, exclusive=False)
    await log.open()
    process = await start(tmp_path, 0, "beside", stdout=asyncio.subprocess.DEVNULL)
    try:
        replica = await Replica.start(log, "here")
        async with asyncio.timeout(60):
            await replica.catch_up(wait_s=60)
            assert await log.inputs.read(0, Positions(0, 0), limit=1, wait_s=60)
            while replica.head.seq < 50:
                # The other one hardly ever lets go of the file: it may not be our turn within the time.
                with suppress(LogUnavailable):
                    await replica.propose()
                await replica.catch_up(wait_s=5)

        process.kill()
        await process.wait()

        await replica.catch_up()
        proposal = await replica.propose()
        assert (await replica.catch_up(wait_s=5)).hash == proposal.hash
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await log.close()
