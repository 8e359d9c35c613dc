"""Who is alive, and whose partitions are whose."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from services.router.membership import ALIVE_S, Roster, rank_of, replicas_of
from shared.log.port import LogUnavailable
from tests.eventually import eventually

ROUTERS = [f"router-{number}" for number in range(6)]


class HandClock:
    def __init__(self) -> None:
        self.at = 0.0

    def now_ms(self) -> int:
        return round(self.at * 1000)

    def monotonic(self) -> float:
        return self.at


class Wire:
    """What all routers hear."""

    def __init__(self) -> None:
        self.ears: list[asyncio.Queue[tuple[str, bytes]]] = []
        self.away = False
        self.stuck = False

    async def announce(self, key: str, value: bytes) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        if self.away:
            raise LogUnavailable("away")
        for ear in self.ears:
            ear.put_nowait((key, value))

    async def follow(self) -> AsyncIterator[tuple[str, bytes]]:
        ear: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self.ears.append(ear)
        while True:
            yield await ear.get()


def test_each_partition_has_two_routers_and_everybody_draws_the_same_conclusion() -> None:
    for partition in range(50):
        owners = replicas_of(partition, ROUTERS)
        assert len(set(owners)) == 2
        assert owners == replicas_of(partition, list(reversed(ROUTERS)))
    assert replicas_of(0, ["alone"]) == ["alone"]
    assert replicas_of(0, []) == []


def test_partitions_are_spread_and_a_router_that_goes_moves_its_own_share_only() -> None:
    before = {partition: replicas_of(partition, ROUTERS) for partition in range(600)}
    shares = Counter(owner for owners in before.values() for owner in owners)
    assert min(shares.values()) > 600 * 2 / 6 * 0.7
    gone = ROUTERS[2]
    after = {partition: replicas_of(partition, [r for r in ROUTERS if r != gone]) for partition in range(600)}
    for partition, owners in before.items():
        kept = [owner for owner in owners if owner != gone]
        assert [owner for owner in after[partition] if owner in kept] == kept


async def test_a_router_is_alive_as_long_as_it_is_heard_and_leaves_at_once_when_it_says_so() -> None:
    wire, clock = Wire(), HandClock()
    roster, stopping = Roster(wire, clock), asyncio.Event()
    listening = asyncio.create_task(roster.listen(stopping))
    await eventually(lambda: len(wire.ears) == 1)
    other = Roster(wire, clock)
    await other.speak("router-1", [{"replica": "router-1", "partition": 0, "seq": 5}])
    await other.speak("router-2", [{"replica": "router-2", "partition": 1, "seq": 7}])
    await wire.announce("router-3", b"not json")
    await wire.announce("router-4", b'{"bye": false}')
    await eventually(lambda: roster.alive() == ["router-1", "router-2"])
    assert [replica["seq"] for replica in roster.replicas()] == [5, 7]
    await other.speak("router-2", [], bye=True)
    await eventually(lambda: roster.alive() == ["router-1"])
    clock.at += ALIVE_S
    assert roster.alive() == []
    stopping.set()
    await asyncio.wait_for(listening, 2)


async def settled() -> None:
    """Everybody has heard what was said."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_topic_that_stalls_is_nobodys_death_and_a_death_is_noticed_while_it_is_heard() -> None:
    wire, clock, stopping = Wire(), HandClock(), asyncio.Event()
    rosters = {name: Roster(wire, clock) for name in ("ana", "ben", "cleo")}
    listening = [asyncio.create_task(roster.listen(stopping)) for roster in rosters.values()]
    await eventually(lambda: len(wire.ears) == 3)

    async def beat(*names: str, seconds: int) -> None:
        for _ in range(seconds):
            for name in names:
                await rosters[name].speak(name, [])
            await settled()
            clock.at += 1

    await beat("ana", "ben", "cleo", seconds=3)
    wire.away = True
    for _ in range(60):
        await beat("ana", "ben", "cleo", seconds=1)
        assert [roster.alive() for roster in rosters.values()] == [["ana", "ben", "cleo"]] * 3
    wire.away = False
    await rosters["ana"].speak("ana", [])
    await settled()
    assert rosters["ana"].alive() == ["ana", "ben", "cleo"], "the first word after a silence is no news of the others"

    await beat("ana", "ben", seconds=2)
    assert rosters["ana"].alive() == ["ana", "ben", "cleo"]
    await beat("ana", "ben", seconds=4)
    assert rosters["ana"].alive() == rosters["ben"].alive() == ["ana", "ben"]
    await beat("ana", seconds=6)
    assert rosters["ana"].alive() == ["ana"], "the last one takes everything"
    stopping.set()
    await asyncio.wait_for(asyncio.gather(*listening), 2)


async def test_a_log_that_is_away_does_not_end_a_router() -> None:
    wire = Wire()
    wire.away = True
    roster = Roster(wire, HandClock())
    await roster.speak("router-1", [])
    assert roster.alive() == ["router-1"], "it knows of itself"


def test_the_leader_stands_before_nobody() -> None:
    owners = ["ana", "ben", "cleo"]
    assert [rank_of(name, owners, leader="ana") for name in ("ben", "cleo")] == [0, 1]
    assert [rank_of(name, owners, leader="ben") for name in ("ana", "cleo")] == [0, 1]
    assert [rank_of(name, owners, leader="somebody who was here before") for name in owners] == [0, 1, 2]
    assert rank_of("ben", owners, leader="ben") == 1
