"""Where workspaces lie is recorded once and counts for ever; and small announcements that everybody reads."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import msgspec
import pytest

from shared.log.kafka import KafkaLog
from shared.log.kafka.content import stable_partition
from shared.log.port import LogMisconfigured, UnknownWorkspace
from tests.eventually import eventually
from tests.unit.log.conftest import Open
from tests.unit.log.kafka_topics import Topics


def place(partition: int, partitions: int = 9) -> bytes:
    return msgspec.json.encode({"partition": partition, "partitions": partitions})


async def test_a_workspace_is_placed_once(open_log: Open, topics: Topics) -> None:
    log = await open_log()
    with pytest.raises(UnknownWorkspace, match="acme"):
        log.placement.partition_of("acme")

    placed = await log.placement.place("acme")

    assert placed == stable_partition("acme", 9) == await log.placement.place("acme")
    assert log.placement.partition_of("acme") == placed
    assert log.placement.workspaces(placed) == ["acme"]
    assert await topics.records("workspaces", 0) == {b"acme": place(placed)}


async def test_others_learn_of_it_now_and_later(open_log: Open) -> None:
    log, other = await open_log(), await open_log()
    placed = await log.placement.place("acme")

    await eventually(lambda: other.placement.workspaces(placed) == ["acme"])

    assert (await open_log()).placement.partition_of("acme") == placed


async def test_a_race_has_one_winner(open_log: Open, monkeypatch: pytest.MonkeyPatch, topics: Topics) -> None:
    logs = [await open_log() for _ in range(3)]
    proposals = iter((1, 2, 3))
    monkeypatch.setattr("shared.log.kafka.placement.stable_partition", lambda *_: next(proposals))

    placed = await asyncio.gather(*(log.placement.place("acme") for log in logs))

    assert len(set(placed)) == 1
    late = await open_log()
    assert {log.placement.partition_of("acme") for log in (*logs, late)} == set(placed)
    # Compaction keeps the last record of a key, so that must say the same.
    assert await topics.records("workspaces", 0) == {b"acme": place(placed[0])}


async def test_another_number_of_partitions_is_refused(open_log: Open, topics: Topics) -> None:
    log = await open_log()
    assert log.healthy() is True
    await topics.write("workspaces", 0, b"acme", place(3, partitions=12))

    await eventually(lambda: "among 12 partitions" in str(log.healthy()))
    with pytest.raises(LogMisconfigured, match=r"'acme' was placed among 12 partitions, there must be 9"):
        await open_log()
    with pytest.raises(LogMisconfigured):
        await log.placement.place("another")


async def test_a_record_that_cannot_be_read_is_refused(open_log: Open, topics: Topics) -> None:
    await open_log()
    await topics.write("workspaces", 0, b"acme", b"{}")

    with pytest.raises(LogMisconfigured, match="acme"):
        await open_log()


async def test_announcements_are_followed_from_the_beginning_or_from_now_on(open_log: Open) -> None:
    log, other = await open_log(), await open_log()
    heard: dict[bool, list[tuple[str, bytes, int]]] = {True: [], False: []}
    first = await log.announce("routers", "r1", b"early")

    async def listen(to: KafkaLog, from_end: bool) -> None:
        async with aclosing(to.follow("routers", from_end=from_end)) as announcements:
            async for announcement in announcements:
                heard[from_end].append(announcement)

    async with asyncio.TaskGroup() as group:
        listening = [group.create_task(listen(other, True)), group.create_task(listen(log, False))]
        await eventually(lambda: heard[False])

        async def announced() -> bool:
            await log.announce("routers", "r2", b"late")
            return bool(heard[True])

        await eventually(announced)
        for task in listening:
            task.cancel()

    assert heard[False][0] == ("r1", b"early", first)
    assert heard[True][0][:2] == ("r2", b"late")
    with pytest.raises(KeyError):
        await log.announce("journal", "r1", b"")


async def test_announcements_that_retention_took_away_are_passed_over(open_log: Open, topics: Topics) -> None:
    log = await open_log()
    offsets = [await log.announce("routers", "r1", b"%d" % n) for n in range(5)]
    await topics.trim("routers", 0, before=offsets[3])

    async with aclosing(log.follow("routers", from_end=False)) as announcements:
        heard = [(await anext(announcements))[1] for _ in range(2)]

    assert heard == [b"3", b"4"]
