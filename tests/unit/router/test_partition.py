"""What a partition of a process says of being ready."""

from __future__ import annotations

import asyncio

import pytest

from services.router.partition import DEAF_S
from shared.log.memory import Call, Faults, MemoryInputs, MemoryStore
from shared.log.port import LogUnavailable
from shared.views.memory import MemoryViews
from tests.eventually import eventually
from tests.unit.router.test_perform import Seat
from tests.unit.router.test_replica import HandClock, open_for_work


class Deaf(Faults):
    """The journal of one process cannot be read, as if only its own way to the broker were cut."""

    def __init__(self) -> None:
        self.away: set[str] = set()

    async def before(self, call: Call) -> None:
        await super().before(call)
        if call.name in self.away:
            raise LogUnavailable("away")


class Stuck(Faults):
    """Reads of inputs neither fail nor end."""

    def __init__(self) -> None:
        self.stuck = asyncio.Event()
        self.stuck.set()

    async def before(self, call: Call) -> None:
        await super().before(call)
        if call.name == "inputs.read":
            await self.stuck.wait()


async def two(faults: Faults) -> tuple[Seat, Seat]:
    """A leader, and a standby with the faults."""
    store, views, clock = MemoryStore(), MemoryViews(), HandClock()
    open_for_work(store)
    leader = await Seat(store, views, clock, "leader").start()
    standby = await Seat(store, views, clock, "standby", faults).start()
    standby.replica.set_rank(1)
    for seat in (leader, standby):
        seat.router.ready.set()
    await leader.lead()
    await standby.turn()
    return leader, standby


async def pass_s(seconds: float, *seats: Seat) -> None:
    """Time as it is with a leader that beats."""
    clock = seats[0].clock
    until = clock.monotonic() + seconds
    while clock.monotonic() < until:
        clock.pass_s(0.5)
        for seat in seats:
            await seat.turn()


async def test_a_standby_that_cannot_read_its_journal_is_not_ready_until_it_can() -> None:
    faults = Deaf()
    leader, standby = await two(faults)
    await pass_s(2 * DEAF_S, leader, standby)
    assert standby.router.why_not_ready() is True

    faults.away.add("journal.read")
    await pass_s(DEAF_S, leader, standby)
    assert standby.router.why_not_ready() is True, "a broker may have to be elected"
    await pass_s(2, leader, standby)
    assert standby.router.why_not_ready() == "partition 0 could not read its journal for 12 s"
    assert leader.router.why_not_ready() is True
    faults.away.clear()
    await pass_s(0.5, leader, standby)
    assert standby.router.why_not_ready() is True


async def test_a_leader_that_cannot_read_its_inputs_is_not_ready_until_it_can() -> None:
    faults = Deaf()
    leader, standby = await two(faults)
    await leader.replica.stop()
    await standby.turn()
    await standby.lead()
    await pass_s(2 * DEAF_S, standby)
    assert standby.router.why_not_ready() is True

    faults.away.add("inputs.read")
    seq = standby.replica.head.seq
    await pass_s(DEAF_S, standby)
    assert standby.router.why_not_ready() is True
    await pass_s(2, standby)
    assert standby.router.why_not_ready() == "partition 0 could not read its inputs for 12 s"
    assert standby.replica.leading
    assert standby.replica.head.seq > seq, "it beats, and reads its beats"
    faults.away.clear()
    await pass_s(0.5, standby)
    assert standby.router.why_not_ready() is True


async def test_a_leader_whose_inputs_do_not_answer_at_all_is_not_ready() -> None:
    faults = Stuck()
    leader, standby = await two(faults)
    await leader.replica.stop()
    await standby.turn()
    await standby.lead()
    faults.stuck.clear()
    turning = asyncio.create_task(standby.turn())
    await eventually(lambda: standby.replica.waiting)
    standby.clock.pass_s(DEAF_S)
    assert standby.router.why_not_ready() is True
    standby.clock.pass_s(1)
    assert standby.router.why_not_ready() == "partition 0 could not read its inputs for 11 s"
    faults.stuck.set()
    await turning
    assert standby.router.why_not_ready() is True


async def test_a_leader_that_reads_one_of_its_topics_and_not_the_other_is_not_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leader, standby = await two(Faults())
    deaf_s = DEAF_S + 2
    monkeypatch.setattr(MemoryInputs, "deaf_s", lambda _, partition: deaf_s)
    assert leader.router.why_not_ready() == "partition 0 could not read its inputs for 12 s"
    assert standby.router.why_not_ready() is True, "it reads none"
    deaf_s = 0.0
    assert leader.router.why_not_ready() is True


async def test_a_standby_is_ready_while_nobody_speaks_in_a_journal_that_it_can_read() -> None:
    _, standby = await two(Faults())
    standby.replica.set_rank(1_000_000)
    await pass_s(2 * DEAF_S, standby)
    assert not standby.replica.leading
    assert standby.router.why_not_ready() is True


async def test_a_leader_that_cannot_read_what_became_of_its_proposal_is_not_ready() -> None:
    faults = Deaf()
    leader, standby = await two(faults)
    await leader.replica.stop()
    await standby.turn()
    await standby.lead()
    standby.clock.pass_s(2 * DEAF_S)
    assert standby.router.why_not_ready() is True, "it has proposed nothing that it would have to read"

    faults.away.add("journal.read")
    turning = asyncio.create_task(standby.turn())
    await eventually(lambda: standby.replica.proposing)
    assert standby.router.why_not_ready() is True
    standby.clock.pass_s(DEAF_S + 1)
    assert standby.router.why_not_ready() == "partition 0 could not read its journal for 11 s"
    faults.away.clear()
    await turning
    assert standby.router.why_not_ready() is True
