"""Releases side by side: what a leader tells of itself, who must not lead after it, and what operators are told."""

from __future__ import annotations

import json
import platform
import tomllib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.router import cli, host
from services.router.chain import Head, TooNew, build_proposal, decode_entry, genesis_hash, hello_of
from services.router.gauges import Gauges
from services.router.host import ready_replicas
from services.router.release import CONTRACTS, SWITCHDESK, Release, differences, this_release, tzdata_version
from services.router.replica import ReplicaSettings
from services.router.turns import Change
from shared.log.memory import MemoryLog, MemoryStore
from shared.log.port import JournalRecord, LogCorrupt, Positions
from shared.log.sqlite import SqliteLog
from shared.views.memory import MemoryViews
from tests.builders import ADAPTER, message
from tests.eventually import eventually
from tests.unit.router.test_host import House
from tests.unit.router.test_perform import Seat
from tests.unit.router.test_replica import Desk, HandClock, open_for_work, put
from tests.unit.router.test_turns import TURNS, standby, turns

REPOSITORY = Path(__file__).resolve().parents[3]
NEXT = Release(switchdesk="0.2.0", contracts=CONTRACTS + 1, python="3.12.1", tzdata="2026a", compiled=False)
WHY = (
    f"its journal holds contracts {CONTRACTS + 1} (release 0.2.0), this release {SWITCHDESK} understands contracts "
    f"{CONTRACTS}: it does not lead"
)


def test_the_release_is_the_package() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["version"] == SWITCHDESK
    mine = this_release()
    assert (mine.contracts, mine.python) == (CONTRACTS, platform.python_version())


def test_the_time_zones_are_those_that_are_used(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    second.mkdir()
    (second / "tzdata.zi").write_text("# version 2025b\n# This zic input file is in the public domain.\n")
    assert tzdata_version([str(first), str(second)]) == "2025b"
    (second / "tzdata.zi").write_text("R d 1916 o - Jun 14 23s 1 S\n")
    assert tzdata_version([str(second)]) == tzdata_version([]), "what says nothing is not guessed at"


def entries(store: MemoryStore) -> list[dict[str, Any]]:
    return [json.loads(data) for data in store.journal[0]]


def hellos(store: MemoryStore) -> list[tuple[str, str]]:
    """Whose entries say what their author is made of, and its release."""
    return [(entry["by"], entry["hello"]["switchdesk"]) for entry in entries(store) if "hello" in entry]


async def test_whoever_takes_the_lead_tells_it_once() -> None:
    store, clock = MemoryStore(), HandClock()
    open_for_work(store)
    leader, other = await standby(store, "leader", clock), await standby(store, "other", clock, rank=1)
    clock.pass_s(1.6)
    await turns(leader)
    await leader.work()
    await turns(other)
    assert hellos(store) == [("leader", SWITCHDESK)]
    assert entries(store)[0]["hello"] == asdict(this_release())

    await leader.replica.stop()
    await turns(other)
    clock.pass_s(0.1)
    await turns(other)
    assert other.replica.leading
    assert hellos(store) == [("leader", SWITCHDESK), ("other", SWITCHDESK)]
    assert leader.replica.engine.state.contracts == other.replica.engine.state.contracts == CONTRACTS


async def test_one_that_is_alone_tells_it_with_the_first_thing_that_it_decides() -> None:
    store = MemoryStore()
    open_for_work(store)
    desk = await Desk(store).start()
    await desk.work()
    seq = desk.replica.head.seq
    again = await Desk(store, clock=desk.clock).start()
    assert again.replica.head.seq == seq, "a start alone is no entry"
    for number in range(2):
        put(store, message(f"c{number}"), by=ADAPTER)
        await again.work()
    assert again.replica.head.seq > seq + 1
    assert [entry["n"] for entry in entries(store) if "hello" in entry] == [1, seq + 1]


async def test_an_introduction_that_was_lost_is_made_again() -> None:
    store, clock = MemoryStore(), HandClock()
    one, two = await standby(store, "one", clock), await standby(store, "two", clock)
    clock.pass_s(1.6)
    await turns(one, two)
    assert not two.replica.leading
    clock.pass_s(2)
    await two.replica.lead(Change.TIMED_OUT)
    assert hellos(store)[-1] == ("two", SWITCHDESK)


def test_entries_of_older_releases_say_nothing_of_it_and_newer_ones_may_say_more() -> None:
    genesis = Head(0, genesis_hash("memory", 0))
    plain = build_proposal(genesis, at=1, by="one", positions=Positions(0, 0), decisions=())
    assert b"hello" not in plain.data
    assert decode_entry(JournalRecord(0, plain.data), plain.hash).hello is None

    told = json.loads(build_proposal(genesis, at=1, by="one", positions=Positions(0, 0), decisions=(), hello=NEXT).data)
    told["hello"]["regex"] = "2027.1"
    record = JournalRecord(0, json.dumps(told).encode())
    assert decode_entry(record, "h").hello == NEXT
    assert hello_of(record) == NEXT
    assert hello_of(JournalRecord(0, b"\xff")) is None


async def led_by_the_next(store: MemoryStore, clock: HandClock) -> Desk:
    """A leader of a newer release, which has said so."""
    leader = Desk(store, clock=clock, settings=TURNS, name="next")
    leader.replica.release = NEXT
    await leader.replica.recover()
    await leader.replica.begin()
    clock.pass_s(1.6)
    await turns(leader)
    await leader.work()
    assert leader.replica.leading
    return leader


async def test_a_router_that_is_too_old_for_the_journal_follows_and_never_leads() -> None:
    store, clock = MemoryStore(), HandClock()
    open_for_work(store)
    old = await standby(store, "old", clock)
    leader = await led_by_the_next(store, clock)
    await turns(old)
    assert old.replica.outdated == WHY
    assert leader.replica.outdated is None

    put(store, message("c1"), by=ADAPTER)
    await leader.work()
    await leader.replica.stop()
    records = len(store.journal[0])
    for _ in range(20):
        clock.pass_s(1)
        await turns(old)
    assert not old.replica.leading
    assert len(store.journal[0]) == records, "not even a proposal that is void"
    assert old.replica.head == leader.replica.head, "it folds what it understands"
    with pytest.raises(TooNew, match="does not lead"):
        old.replica.snapshot()

    again = await standby(store, "again", clock)
    assert again.replica.snapshot_seq > 0, "it began at the snapshot, behind the introduction"
    assert again.replica.outdated == WHY
    clock.pass_s(10)
    await turns(again)
    assert not again.replica.leading

    upgraded = Desk(store, clock=clock, settings=TURNS, name="upgraded")
    upgraded.replica.release = replace(NEXT, switchdesk="0.2.1")
    await upgraded.replica.recover()
    await upgraded.replica.begin()
    clock.pass_s(2)
    await turns(upgraded)
    assert upgraded.replica.leading


async def test_a_leader_that_is_overtaken_by_a_newer_release_does_not_come_back() -> None:
    store, clock = MemoryStore(), HandClock()
    open_for_work(store)
    old = await standby(store, "old", clock)
    clock.pass_s(1.6)
    await turns(old)
    assert old.replica.leading
    leader = await led_by_the_next(store, clock)
    await turns(old)
    assert not old.replica.leading
    await leader.replica.stop()
    clock.pass_s(10)
    await turns(old, old)
    assert not old.replica.leading


async def test_releases_with_the_same_contracts_take_turns_both_ways() -> None:
    store, clock = MemoryStore(), HandClock()
    open_for_work(store)
    old, new = await standby(store, "old", clock), await standby(store, "new", clock, rank=1)
    new.replica.release = replace(NEXT, contracts=CONTRACTS)
    clock.pass_s(1.6)
    await turns(old)
    await old.work()
    for goes, comes in ((old, new), (new, old)):
        await goes.replica.stop()
        clock.pass_s(0.2)
        await turns(comes, comes)
        clock.pass_s(0.2)
        await turns(comes)
        assert comes.replica.leading
        await turns(goes)
    assert hellos(store) == [("old", SWITCHDESK), ("new", "0.2.0"), ("old", SWITCHDESK)]
    assert old.replica.head == new.replica.head
    assert old.hash() == new.hash()


async def test_one_that_is_alone_does_not_start_on_a_journal_that_is_too_new() -> None:
    store, clock = MemoryStore(), HandClock()
    open_for_work(store)
    await led_by_the_next(store, clock)
    alone = Desk(store, clock=clock)
    await alone.replica.recover()
    with pytest.raises(TooNew, match="partition 0: its journal holds contracts"):
        await alone.replica.begin()


def of_the_next(store: MemoryStore, number: int, *, introduced: bool) -> None:
    """An entry of a newer release with an event that nobody here knows, as the first one of its author or not."""
    head = Head(0, genesis_hash("memory", number))
    at = {"at": 1, "by": "next", "positions": Positions(0, 0)}
    if not introduced:
        first = build_proposal(head, decisions=(), hello=NEXT, **at)  # type: ignore[arg-type]  # of one mapping
        store.add_proposal(number, first.data)
        head = Head(first.seq, first.hash)
    event = msgspec.Raw(b'["c1","w","operator:o","d",0,[["ContactTeleported",{"contact":"c1"}]]]')
    made = build_proposal(head, decisions=[event], hello=NEXT if introduced else None, **at)  # type: ignore[arg-type]
    store.add_proposal(number, made.data)


@pytest.mark.parametrize("introduced", [True, False])
async def test_what_a_newer_release_wrote_and_nobody_here_knows_stops_the_folding(introduced: bool) -> None:
    store = MemoryStore()
    of_the_next(store, 0, introduced=introduced)
    with pytest.raises(TooNew, match=r"release 0\.2\.0.*event of unknown type 'ContactTeleported'"):
        await Desk(store).replica.recover()


async def test_what_nobody_knows_is_a_contradiction_where_no_newer_release_spoke() -> None:
    store = MemoryStore()
    event = msgspec.Raw(b'["c1","w","operator:o","d",0,[["ContactTeleported",{"contact":"c1"}]]]')
    head = Head(0, genesis_hash("memory", 0))
    made = build_proposal(head, at=1, by="x", positions=Positions(0, 0), decisions=[event], hello=this_release())
    store.add_proposal(0, made.data)
    with pytest.raises(LogCorrupt) as raised:
        await Desk(store).replica.recover()
    assert not isinstance(raised.value, TooNew)


async def test_an_engine_leaves_what_it_cannot_read_to_the_newer_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "LISTEN_S", 0.05)
    monkeypatch.setattr(host, "BEAT_S", 0.02)
    house = House()
    of_the_next(house.store, 0, introduced=False)
    async with house.running():
        await eventually(lambda: house.value("switchdesk_partition_outdated", 0) == 1 and house.leads() == {1})
        assert house.value("switchdesk_partition_stopped", 0) == 0, "nobody is woken: nothing contradicts itself"
        assert house.value("switchdesk_partition_outdated", 1) == 0
        words = str(house.host.why_not_ready())
        assert words.startswith("partition 0: its journal holds contracts")
        assert "event of unknown type" in words
    assert house.value("switchdesk_partition_outdated", 0) == 1


async def test_a_standby_that_must_not_lead_is_not_ready_and_is_told_of() -> None:
    store, clock = MemoryStore(), HandClock()
    open_for_work(store)
    await led_by_the_next(store, clock)
    seat = await Seat(store, MemoryViews(), clock, "old").start()
    seat.router.ready.set()
    await seat.turn()
    assert seat.router.why_not_ready() == f"partition 0: {WHY}"
    described = seat.router.describe()
    assert described["outdated"] is True
    assert described["release"] == asdict(this_release())
    gauges = Gauges(seat.metrics, MemoryLog(store), clock, lambda: [seat.router])
    await gauges.look()
    value = seat.metrics.registry.get_sample_value
    assert value("switchdesk_partition_outdated", {"partition": "0"}) == 1


def test_a_replica_that_must_not_lead_is_no_standby() -> None:
    told = [
        {"partition": 0, "seq": 5_000, "outdated": False},
        {"partition": 0, "seq": 5_000, "outdated": True},
        {"partition": 1, "seq": 7},
    ]
    assert ready_replicas(told) == {0: 1, 1: 1}


def test_replicas_of_a_partition_are_compared() -> None:
    mine = asdict(this_release())
    other = {**mine, "python": "3.9.0", "compiled": not mine["compiled"]}
    told: list[dict[str, Any]] = [
        {"partition": 0, "release": mine},
        {"partition": 0, "release": other},
        {"partition": 1, "release": mine},
        {"partition": 1, "release": {**mine, "tzdata": "1999z", "switchdesk": "9"}},
        {"partition": 2, "release": mine},
        {"partition": 2},
    ]
    assert differences(told) == {0: ["python"], 1: ["switchdesk", "tzdata"], 2: []}


async def test_engines_tell_in_what_the_replicas_of_a_partition_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "LISTEN_S", 0.05)
    monkeypatch.setattr(host, "BEAT_S", 0.02)
    house = House(count=1)
    open_for_work(house.store)

    def differs(what: str) -> float | None:
        labels = {"partition": "0", "what": what}
        return house.metrics.registry.get_sample_value("switchdesk_replicas_differ", labels)

    async with house.running():
        await eventually(lambda: house.leads() == {0} and differs("tzdata") == 0)
        stranger = {**house.host.partitions[0].describe(), "replica": "two", "leader": False}
        stranger["release"] = {**stranger["release"], "tzdata": "1999z"}
        await house.wire.announce("two", json.dumps({"replicas": [stranger], "bye": False}).encode())
        await eventually(lambda: differs("tzdata") == 1)
        assert (differs("python"), differs("switchdesk")) == (0, 0)


async def test_tools_of_an_older_release_say_that_they_cannot_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SqliteLog(tmp_path)
    await log.open()
    try:
        leader = Desk(settings=ReplicaSettings(resend_s=0.02, idle_s=0.01))
        leader.replica.log, leader.replica.release = log, NEXT
        await leader.replica.recover()
        await leader.replica.begin()
        await leader.replica.stop()
        head = leader.replica.head
        first = build_proposal(head, at=1, by="next", positions=Positions(0, 0), decisions=(), hello=NEXT)
        await log.journal.propose(0, first.data, seq=first.seq, prev=first.prev, entry_hash=first.hash)
    finally:
        await log.close()
    for tool in (cli.verify(str(tmp_path)), cli.write_snapshot(str(tmp_path), tmp_path / "snapshot")):
        with pytest.raises(TooNew, match="understands contracts"):
            await tool
    assert not (tmp_path / "snapshot").exists()
