"""Several replicas on one log: who listens, who takes over and when, who steps down; and whose clock counts."""

from __future__ import annotations

from services.router.replica import ReplicaSettings
from services.router.turns import Change, Pace
from shared.contracts import events as ev
from shared.log.memory import Call, Faults, MemoryStore
from shared.log.port import LogUnavailable
from shared.vocabulary import ContactState
from tests.builders import ADAPTER, message, queue
from tests.unit.router.test_replica import Desk, HandClock, open_for_work, put

PACE = Pace(beat_s=0.5, silence_s=1.5)
TURNS = ReplicaSettings(resend_s=0.02, idle_s=0.01, pace=PACE)


async def standby(store: MemoryStore, name: str, clock: HandClock, *, rank: int = 0) -> Desk:
    """A recovered replica that listens."""
    desk = Desk(store, clock=clock, settings=TURNS, name=name)
    await desk.replica.recover()
    await desk.replica.begin()
    desk.replica.set_rank(rank)
    return desk


async def turns(*desks: Desk) -> None:
    for desk in desks:
        await desk.replica.turn()


async def test_a_replica_among_others_listens_before_it_leads() -> None:
    store, clock = MemoryStore(), HandClock()
    one = await standby(store, "one", clock)
    clock.pass_s(1.4)
    await one.replica.turn()
    assert not one.replica.leading
    assert store.journal[0] == []
    clock.pass_s(0.2)
    await one.replica.turn()
    assert one.replica.leading
    assert one.replica.changes[Change.STARTED] == 1
    assert len(store.journal[0]) == 1, "whoever leads is the author of the head"


async def test_the_lower_rank_takes_over_first_and_the_other_goes_on_listening() -> None:
    store, clock = MemoryStore(), HandClock()
    first, second = await standby(store, "first", clock), await standby(store, "second", clock, rank=1)
    clock.pass_s(1.6)
    await turns(second, first, second)
    assert (first.replica.leading, second.replica.leading) == (True, False)


async def test_a_silent_leader_beats_and_beats_keep_standbys_quiet() -> None:
    store, clock = MemoryStore(), HandClock()
    leader, other = await standby(store, "leader", clock), await standby(store, "other", clock, rank=1)
    clock.pass_s(1.6)
    await turns(leader, other)
    for _ in range(20):
        clock.pass_s(0.5)
        await turns(leader, other)
    assert leader.replica.leading
    assert not other.replica.leading
    assert other.replica.head == leader.replica.head
    assert 20 <= leader.replica.head.seq <= 22, "a beat is one small entry each half second"


async def test_a_standby_takes_over_after_the_silence_and_shifts_what_ran_meanwhile() -> None:
    store, clock = MemoryStore(), HandClock()
    open_for_work(store, queues=[queue(offer_timeout_s=20)])
    put(store, message("c1"), by=ADAPTER)
    leader, other = await standby(store, "leader", clock), await standby(store, "other", clock, rank=1)
    clock.pass_s(1.6)
    await turns(leader)
    await leader.work()
    await turns(other)
    expires_at = next(iter(other.replica.engine.state.workspaces["w"].offers.values())).expires_at
    clock.pass_s(1.7)
    await other.replica.turn()
    assert not other.replica.leading
    clock.pass_s(0.2)
    await other.replica.turn()
    assert other.replica.leading
    assert other.replica.changes[Change.TIMED_OUT] == 1
    offer = next(iter(other.replica.engine.state.workspaces["w"].offers.values()))
    assert offer.expires_at == expires_at + 1_900


async def test_a_leader_that_wakes_takes_its_proposal_back_and_steps_down() -> None:
    store, clock = MemoryStore(), HandClock()
    open_for_work(store)
    leader, other = await standby(store, "leader", clock), await standby(store, "other", clock, rank=1)
    clock.pass_s(1.6)
    await turns(leader)
    await leader.work()
    await turns(other)
    clock.pass_s(2)
    put(store, message("c1"), by=ADAPTER)
    await turns(other)
    assert other.replica.leading
    await other.work()
    await turns(leader)
    assert not leader.replica.leading
    assert leader.replica.changes[Change.DEPOSED] == 1
    await turns(leader)
    assert (leader.hash(), leader.replica.head) == (other.hash(), other.replica.head)
    told = [event for event in leader.told.events() if isinstance(event, ev.ContactCreated)]
    assert len(told) == 1
    assert not leader.told.entries[-1].own, "only its author performs an entry"


async def test_bye_hands_over_at_once() -> None:
    store, clock = MemoryStore(), HandClock()
    open_for_work(store)
    leader, other = await standby(store, "leader", clock), await standby(store, "other", clock, rank=1)
    clock.pass_s(1.6)
    await turns(leader)
    await leader.work()
    await turns(other)
    await leader.replica.stop()
    assert not leader.replica.leading
    assert store.snapshots[-1].seq == leader.replica.head.seq
    await turns(other)
    clock.pass_s(0.11)
    await turns(other)
    assert other.replica.leading
    assert other.replica.changes[Change.BYE] == 1


async def test_a_journal_that_cannot_be_read_is_no_silence() -> None:
    class Away(Faults):
        away = False

        async def before(self, call: Call) -> None:
            await super().before(call)
            if self.away and call.name == "journal.read":
                raise LogUnavailable("away")

    store, clock, faults = MemoryStore(), HandClock(), Away()
    desk = Desk(store, clock=clock, settings=TURNS, faults=faults)
    await desk.replica.recover()
    await desk.replica.begin()
    faults.away = True
    for _ in range(4):
        clock.pass_s(1)
        await desk.replica.turn()
    faults.away = False
    await desk.replica.turn()
    assert not desk.replica.leading
    clock.pass_s(1.6)
    await desk.replica.turn()
    assert desk.replica.leading


async def test_a_standby_with_a_fast_clock_does_not_carry_everybody_into_its_future() -> None:
    store, clock, fast = MemoryStore(), HandClock(), HandClock()
    fast.ms += 3_600_000
    open_for_work(store, queues=[queue(offer_timeout_s=20)])
    put(store, message("c1"), by=ADAPTER)
    leader, other = await standby(store, "leader", clock), await standby(store, "other", fast)
    clock.pass_s(1.6)
    await turns(leader)
    await leader.work()
    await turns(other)
    at = other.replica.engine.state.at
    fast.pass_s(2)
    await turns(other)
    assert other.replica.leading
    assert other.replica.engine.state.at == at + 2_000 + TURNS.clock_slack_ms
    assert other.replica.clock_steps == 1


async def test_entries_that_are_read_late_do_not_make_a_right_clock_look_wrong() -> None:
    store, clock = MemoryStore(), HandClock()
    leader, other = await standby(store, "leader", clock), await standby(store, "other", clock, rank=1)
    clock.pass_s(1.6)
    await turns(leader, other)
    # The standby stands still while the leader goes on and dies: what it reads afterwards is old.
    for _ in range(8):
        clock.pass_s(0.5)
        await turns(leader)
    clock.pass_s(30)
    await turns(other)
    clock.pass_s(2)
    await turns(other)
    assert other.replica.leading
    assert other.replica.clock_steps == 0
    assert other.replica.engine.state.at == clock.ms


async def test_a_leader_whose_clock_is_behind_goes_on_at_the_pace_of_a_steady_clock() -> None:
    store, clock, slow = MemoryStore(), HandClock(), HandClock()
    slow.ms -= 3_600_000
    open_for_work(store, queues=[queue(offer_timeout_s=20, decline={"policy": "never"})])
    put(store, message("c1"), by=ADAPTER)
    leader, other = await standby(store, "leader", clock), await standby(store, "other", slow)
    clock.pass_s(1.6)
    await turns(leader)
    await leader.work()
    await turns(other)
    slow.pass_s(2)
    await turns(other)
    assert other.replica.leading
    for _ in range(45):
        slow.pass_s(0.5)
        await turns(other)
    assert other.states() == {"c1": ContactState.WAITING}, "the offer ran out although the wall clock is an hour behind"
