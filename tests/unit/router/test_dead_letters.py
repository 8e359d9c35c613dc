"""Inputs that were put aside: kept once, listed in order, taken once more under another id."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.router import cli
from services.router.dead_letters import PLACE, DeadLetters, Letter
from shared.contracts import commands as cmd
from shared.contracts.commands import Input
from shared.log.codec import decode_input, encode_input
from shared.log.memory import MemoryLog
from shared.log.port import InputRecord, LogCorrupt
from shared.log.sqlite import SqliteLog
from shared.vocabulary import Topic
from tests.builders import ADAPTER, START, message

READABLE = encode_input(Input(id="m1", workspace="w", actor=ADAPTER, received_at=START, command=message("c1")))
BYTES = b'{"v":1'


def record(offset: int, data: bytes = READABLE) -> InputRecord:
    return InputRecord(topic=Topic.INBOUND, offset=offset, data=data)


async def kept(letters: DeadLetters) -> list[str]:
    return [letter.position for letter in await letters.all()]


async def test_each_is_kept_once_and_listed_in_order_of_its_partition() -> None:
    log = MemoryLog()
    for offset in (7, 3, 7):
        await DeadLetters(log.content, 0).put(record(offset), "KeyError at offers.py:1")
    await DeadLetters(log.content, 1).put(record(3), "KeyError at offers.py:1")
    letters = DeadLetters(log.content, 0)
    assert await letters.put(record(9, BYTES), "not JSON") == "0:inbound:9"
    assert await kept(letters) == ["0:inbound:3", "0:inbound:7", "0:inbound:9"]
    found = await letters.all()
    assert found[2] == Letter("0:inbound:9", "not JSON", BYTES)
    await letters.remove(found[1])
    assert await kept(letters) == ["0:inbound:3", "0:inbound:9"]
    assert await log.content.get(PLACE, "dead:0:inbound:7") is None, "nothing of it is left"
    await letters.put(record(11), "again")
    assert await kept(DeadLetters(log.content, 0)) == ["0:inbound:3", "0:inbound:9", "0:inbound:11"]
    assert await kept(DeadLetters(log.content, 1)) == ["1:inbound:3"]


def test_a_command_is_taken_once_more_under_an_id_of_its_own_that_is_always_the_same() -> None:
    letter = Letter("0:inbound:7", "KeyError at offers.py:1", READABLE)
    again = decode_input(letter.again())
    assert again.id != "m1"
    assert again == decode_input(letter.again())
    assert again.command == decode_input(READABLE).command
    assert decode_input(Letter("0:inbound:8", "", READABLE).again()).id != again.id
    with pytest.raises(LogCorrupt):
        Letter("0:inbound:9", "", BYTES).again()


def test_letters_are_listed_and_replayed_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOG", f"sqlite:///{tmp_path}")
    monkeypatch.setenv("VIEWS", "memory:")

    async def put_aside() -> None:
        log = SqliteLog(tmp_path)
        await log.open()
        letters = DeadLetters(log.content, 0)
        await letters.put(record(0), "KeyError at offers.py:1")
        await letters.put(record(1, BYTES), "not JSON")
        await log.close()

    async def inbound() -> list[cmd.Command]:
        log = SqliteLog(tmp_path)
        await log.open()
        try:
            end = (await log.inputs.end(0))._replace(commands=0, inbound=0)
            return [decode_input(each.data).command for each in await log.inputs.read(0, end, limit=9, wait_s=0)]
        finally:
            await log.close()

    asyncio.run(put_aside())
    assert cli.main(["dead-letters", "list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert listed == [f"0:inbound:0  {len(READABLE)} bytes  KeyError at offers.py:1", "0:inbound:1  6 bytes  not JSON"]
    assert cli.main(["dead-letters", "list", "--raw"]) == 0
    assert BYTES.decode() in capsys.readouterr().out
    assert cli.main(["dead-letters", "replay"]) == 1, "one is left"
    assert asyncio.run(inbound()) == [message("c1")]
    capsys.readouterr()
    assert cli.main(["dead-letters", "replay", "0:inbound:0"]) == 0, "it is there no more"
    assert cli.main(["dead-letters", "list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["0:inbound:1"]
    assert len(asyncio.run(inbound())) == 1
