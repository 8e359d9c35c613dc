"""Opening hours for years: continued by the leader, through the journal, under the policy that rules."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.router import hours, snapshot
from services.router.app import build_router
from services.router.engine.world import World
from services.router.hours import HoursKeeper, Ruling, missing
from services.router.replica import Replica
from services.router.settings import RouterSettings
from shared.clock import SystemClock
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.contracts.opening import NEAR_DAYS, intervals, known_until, with_opening
from shared.log.codec import decode_input
from shared.log.memory import Call, Faults, MemoryLog
from shared.log.port import LogUnavailable
from shared.service import run_parts
from shared.views.memory import MemoryViews
from shared.vocabulary import Topic
from tests.builders import START, Centre, policy, queue
from tests.derived import derived
from tests.eventually import eventually
from tests.unit.router.test_replica import Desk, put

DAY = 86_400_000
BERLIN = ZoneInfo("Europe/Berlin")
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def table(span: str, *closed: str) -> dict[str, Any]:
    """Every day alike."""
    return {"tz": "Europe/Berlin", "weekly": dict.fromkeys(WEEK, span), "closed_dates": list(closed)}


OFFICE = table("09:00-17:00", "2026-01-01")
NIGHT = table("22:00-03:30")
ALWAYS = table("00:00-24:00")


def rules(**changes: Any) -> dict[str, Any]:
    """Three queues with hours and one without, as they would be adopted at the beginning."""
    queues = [
        queue("office", business_hours=OFFICE, **changes),
        queue("night", business_hours=NIGHT),
        queue("always", business_hours=ALWAYS),
        queue("plain"),
    ]
    return with_opening(policy(queues), START)


def keeper_of(desk: Desk) -> HoursKeeper:
    return HoursKeeper(desk.replica.log.inputs, lambda: [desk.replica], desk.clock)


class Away(Faults):
    """A log that takes no inputs while it is away."""

    def __init__(self) -> None:
        self.away = False

    async def before(self, call: Call) -> None:
        if self.away and call.name == "inputs.append":
            raise LogUnavailable("away")
        await super().before(call)


async def led() -> Desk:
    desk = await Desk().start()
    put(desk.store, cmd.CreateWorkspace(name="w"))
    put(desk.store, cmd.AdoptPolicy(policy=rules()))
    await desk.work()
    return desk


async def pass_to(desk: Desk, until: int) -> None:
    """Let time pass, from one timer to the next."""
    while (due := desk.replica.engine.next_due()) is not None and due <= until:
        desk.clock.pass_s(max(0, due - desk.clock.ms) / 1000)
        await desk.work()
    desk.clock.pass_s((until - desk.clock.ms) / 1000)
    await desk.work()


def local(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, BERLIN)


async def test_queues_open_and_close_by_their_table_for_more_than_two_years() -> None:
    desk = await led()
    keeper = keeper_of(desk)
    turns: dict[str, list[tuple[int, bool]]] = {"office": [], "night": [], "always": []}
    end = START + 800 * DAY
    seen = 0
    while desk.clock.ms < end:
        await keeper.look_at(desk.replica)
        await pass_to(desk, desk.clock.ms + DAY)
        for entry in desk.told.entries[seen:]:
            for decided in entry.decisions:
                for event in decided.events:
                    if isinstance(event, ev.QueueHours):
                        turns[event.queue].append((entry.at, event.open))
        seen = len(desk.told.entries)

    for name, weekly in (("office", OFFICE), ("night", NIGHT)):
        wanted: list[tuple[int, bool]] = []
        for day in range(0, 800, 200):
            for begin, close in intervals(weekly, START + day * DAY):
                wanted += [(begin, True), (close, False)]
        wanted = sorted({each for each in wanted if START < each[0] <= end})
        assert turns[name][1:] == wanted
    assert [is_open for _, is_open in turns["always"]] == [True], "never closed, not even at a horizon"
    closings = [local(at) for at, is_open in turns["night"] if not is_open]
    for change in ("2025-03-30", "2025-10-26", "2026-03-29", "2026-10-25"):
        assert [f"{at:%H:%M}" for at in closings if f"{at:%Y-%m-%d}" == change] == ["03:30"]
    extended = [event for event in desk.told.events() if isinstance(event, ev.HoursExtended)]
    assert 5 <= len(extended) <= 9, "about every hundred days, not every day"
    assert max(entry.size for entry in desk.told.entries[3:]) < 40_000
    (office, *_) = desk.replica.engine.state.workspaces["w"].policy_document["queues"]  # type: ignore[index]
    assert len(office["open_ms"]) < 420, "what is over is forgotten"


async def test_recovery_from_the_journal_and_from_a_snapshot_know_the_same_hours() -> None:
    desk = await led()
    await pass_to(desk, START + 150 * DAY)
    await keeper_of(desk).look_at(desk.replica)
    await desk.work()
    (extended,) = [event for event in desk.told.events() if isinstance(event, ev.HoursExtended)]

    again = Desk(store=desk.store)
    await again.replica.recover()
    loaded = snapshot.load(snapshot.dump(desk.replica.engine.state))

    assert again.hash() == desk.hash()
    assert snapshot.state_hash(loaded) == desk.hash()
    for state in (again.replica.engine.state, loaded):
        found = state.workspaces["w"].policy.queues["office"].hours
        assert found == desk.replica.engine.state.workspaces["w"].policy.queues["office"].hours
        assert found is not None
        assert found[-1] == tuple(extended.hours["office"][-1])
        assert derived(World(state)) == derived(desk.replica.engine.world)


async def test_the_same_days_asking_is_one_command_whoever_asks() -> None:
    desk = await led()
    await pass_to(desk, START + 150 * DAY)
    other = Desk(store=desk.store, clock=desk.clock, name="two")
    await other.replica.recover()
    for each in (desk, other, desk):
        await keeper_of(each).look_at(each.replica)
    assert len(desk.store.inputs[Topic.COMMANDS, 0]) == 2 + 3
    await desk.work()
    assert len([event for event in desk.told.events() if isinstance(event, ev.HoursExtended)]) == 1

    before = len(desk.store.inputs[Topic.COMMANDS, 0])
    await keeper_of(desk).look_at(desk.replica)
    assert len(desk.store.inputs[Topic.COMMANDS, 0]) == before, "nothing is missing any more"


async def test_hours_of_a_version_that_rules_no_more_are_not_taken() -> None:
    desk = await led()
    await pass_to(desk, START + 150 * DAY)
    await keeper_of(desk).look_at(desk.replica)
    # Adopted between the asking and the deciding, with other hours.
    newer = with_opening(policy([queue("office", business_hours={**OFFICE, "tz": "Asia/Jakarta"})]), desk.clock.ms)
    stale = desk.store.inputs[Topic.COMMANDS, 0].pop()
    put(desk.store, cmd.AdoptPolicy(policy=newer))
    desk.store.add_input(Topic.COMMANDS, 0, stale)
    await desk.work()

    (noted,) = [event for event in desk.told.events() if isinstance(event, ev.CommandNoted)]
    assert noted.reason == "other_policy_version"
    assert not [event for event in desk.told.events() if isinstance(event, ev.HoursExtended)]
    assert desk.replica.engine.state.workspaces["w"].policy_document == newer


async def test_a_log_that_is_away_is_asked_again_later() -> None:
    faults = Away()
    desk = await Desk(faults=faults).start()
    put(desk.store, cmd.CreateWorkspace(name="w"))
    put(desk.store, cmd.AdoptPolicy(policy=rules()))
    await desk.work()
    await pass_to(desk, START + 150 * DAY)
    keeper = keeper_of(desk)
    faults.away = True
    await keeper.look_at(desk.replica)
    assert len(desk.store.inputs[Topic.COMMANDS, 0]) == 2
    faults.away = False
    await keeper.look_at(desk.replica)
    assert len(desk.store.inputs[Topic.COMMANDS, 0]) == 3


async def test_after_a_sleep_longer_than_the_hours_the_queue_opens_again() -> None:
    desk = await led()
    desk.clock.pass_s(500 * 86_400)
    await desk.work()
    index = desk.replica.engine.world.indexes["w"]
    assert index.closed == {"office", "night", "always"}
    await keeper_of(desk).look_at(desk.replica)
    await desk.work()
    assert "always" not in index.closed
    assert ("office" in index.closed) != (9 <= local(desk.clock.ms).hour < 17)


# Beside a running router


async def test_a_standby_asks_for_nothing_and_a_leader_once_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hours, "BEGIN_S", 0.01)
    desk = await led()
    await pass_to(desk, START + 150 * DAY)
    taken = desk.store.inputs[Topic.COMMANDS, 0]
    keeper, stopping = keeper_of(desk), asyncio.Event()
    desk.replica.leading = False
    running = asyncio.create_task(keeper.run(stopping))
    await asyncio.sleep(0.1)
    assert len(taken) == 2
    desk.replica.leading = True
    await eventually(lambda: len(taken) == 3)
    # Nothing decides it, so it would be asked for again.
    await asyncio.sleep(0.1)
    assert len(taken) == 3
    desk.clock.pass_s(hours.CHECK_S)
    await eventually(lambda: len(taken) == 4)
    stopping.set()
    await running
    assert len({decode_input(each).id for each in taken}) == 3


async def test_a_router_has_old_hours_continued_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hours, "BEGIN_S", 0.05)
    now = SystemClock().now_ms()
    log = MemoryLog()
    put(log.store, cmd.CreateWorkspace(name="w"))
    put(
        log.store,
        cmd.AdoptPolicy(policy=with_opening(policy([queue("office", business_hours=OFFICE)]), now - 150 * DAY)),
    )
    stopping = asyncio.Event()
    router = build_router(
        RouterSettings.read(below={"jwt_secret": "0123456789abcdef0123456789abcdef"}),
        log=log,
        views=MemoryViews(),
        clock=SystemClock(),
        intake=None,  # type: ignore[arg-type]  # nobody writes here
        partition_of=lambda _: 0,
        routes=[],
        stopping=stopping,
    )
    running = asyncio.create_task(run_parts(router.parts, stopping))
    try:
        await eventually(lambda: _reaches(router.partition.replica, now + 390 * DAY))
    finally:
        stopping.set()
        await running


def _reaches(replica: Replica, until: int) -> bool:
    workspace = replica.engine.state.workspaces.get("w")
    if workspace is None or workspace.policy_document is None:
        return False
    return known_until(workspace.policy_document["queues"][0]) >= until


# The engine alone


def extension(document: dict[str, Any], now: int, version: int = 1) -> cmd.ExtendHours:
    (record,) = missing([Ruling("w", version, document)], now)
    assert isinstance(record.command, cmd.ExtendHours)
    return record.command


def test_an_extension_is_taken_back_and_followed_like_any_event() -> None:
    centre = Centre(rules())
    before = known_until(centre.ws.policy_document["queues"][0])  # type: ignore[index]
    command = extension(rules(), START + 150 * DAY)
    decided = centre.do(command)
    assert [type(event) for event in decided.events] == [ev.HoursExtended]
    assert known_until(centre.ws.policy_document["queues"][0]) == command.until > before  # type: ignore[index]
    assert centre.ws.policy_version == 1
    again = centre.do(command)
    assert [event.reason for event in again.events if isinstance(event, ev.CommandNoted)] == ["unchanged"]


def test_queues_that_are_unknown_or_always_open_get_no_hours() -> None:
    centre = Centre(rules())
    until = START + 900 * DAY
    piece = ((until - 1000, until - 500),)
    command = cmd.ExtendHours(policy_version=1, until=until, hours={"plain": piece, "nowhere": piece})
    assert isinstance(centre.do(command).events[0], ev.CommandNoted)
    assert centre.ws.policy.queues["plain"].hours is None


def test_an_extension_is_no_event_of_the_public_feed() -> None:
    centre = Centre(rules())
    sequence = centre.ws.sequence
    centre.do(extension(rules(), START + 150 * DAY))
    assert centre.ws.sequence == sequence


def test_nothing_is_missing_while_there_is_time() -> None:
    document = rules()
    assert missing([Ruling("w", 1, document)], START + (397 - NEAR_DAYS) * DAY) == []
