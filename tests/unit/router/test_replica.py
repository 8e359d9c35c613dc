"""The leader's loop on a log in memory: decide, propose, read back; and everything that can go wrong between these."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from services.router.chain import Diverged, Head, build_proposal, genesis_hash
from services.router.engine import engine, setup
from services.router.engine.context import Context
from services.router.engine.decide import decide
from services.router.engine.matching import Match
from services.router.engine.offers import make_offer
from services.router.replica import Performed, Replica, ReplicaSettings
from services.router.snapshot import state_hash
from services.router.turns import Pace
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.contracts.commands import Actor, Command, Input
from shared.log.codec import encode_input
from shared.log.memory import Call, Faults, MemoryLog, MemoryStore
from shared.log.port import InputRecord, LogCorrupt, LogUnavailable, Positions
from shared.vocabulary import ContactState, Topic
from tests.builders import ADAPTER, OPERATOR, START, acting, agent, kinds, message, policy, presence, queue
from tests.eventually import eventually

SETTINGS = ReplicaSettings(resend_s=0.02, idle_s=0.01)


class HandClock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self.ms = START
        self.mono = 0.0

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.mono

    def pass_s(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)
        self.mono += seconds


class Told:
    """Remembers every entry that became true."""

    def __init__(self) -> None:
        self.entries: list[Performed] = []
        self.buried: list[int] = []
        self.grave: Exception | None = None
        """What keeps inputs from being buried."""
        self.slow: asyncio.Event | None = None
        """Until when it takes."""

    async def perform(self, replica: Replica, entry: Performed) -> None:
        assert not replica.proposing, "nothing is told before it is true"
        self.entries.append(entry)

    async def bury(self, replica: Replica, aside: Sequence[tuple[InputRecord, str]]) -> None:
        if self.slow is not None:
            await self.slow.wait()
        if self.grave is not None:
            raise self.grave
        self.buried += [record.offset for record, _ in aside]

    def events(self) -> list[ev.Event]:
        return [event for entry in self.entries for decision in entry.decisions for event in decision.events]


@dataclass
class Desk:
    """One process: a replica with its own view of the log."""

    store: MemoryStore = field(default_factory=MemoryStore)
    clock: HandClock = field(default_factory=HandClock)
    faults: Faults | None = None
    settings: ReplicaSettings = SETTINGS
    name: str = "one"

    def __post_init__(self) -> None:
        self.told = Told()
        self.replica = Replica(
            partition=0,
            name=self.name,
            log=MemoryLog(self.store, self.faults),
            clock=self.clock,
            performer=self.told,
            settings=self.settings,
        )

    async def start(self) -> Desk:
        await self.replica.recover()
        await self.replica.lead()
        return self

    async def work(self) -> None:
        """Step until every input is taken and nothing is due."""
        replica = self.replica
        while (await replica.log.inputs.end(0)) != replica.positions or replica.engine.due(self.clock.ms):
            await replica.step()

    async def work_once(self) -> None:
        """One entry's worth of inputs."""
        seq = self.replica.head.seq
        while self.replica.head.seq == seq:
            await self.replica.step()

    def hash(self) -> str:
        return state_hash(self.replica.engine.state)

    def states(self) -> dict[str, ContactState]:
        return {c.source_key: c.state for c in self.replica.engine.state.workspaces["w"].contacts.values()}


def put(store: MemoryStore, command: Command, *, by: Actor = OPERATOR, id: str | None = None) -> None:
    """A command in its topic."""
    topic = Topic.INBOUND if isinstance(command, cmd.ReceiveMessage) else Topic.COMMANDS
    taken = len(store.inputs[topic, 0])
    record = Input(id=id or f"{topic}{taken}", workspace="w", actor=by, received_at=START, command=command)
    store.add_input(topic, 0, encode_input(record))


def open_for_work(store: MemoryStore, *, capacity: float = 1, queues: Sequence[dict[str, object]] = ()) -> None:
    """A workspace with a policy and one agent at their desk."""
    put(store, cmd.CreateWorkspace(name="w"))
    put(store, cmd.AdoptPolicy(policy=policy(queues or None)))
    put(store, agent("ana", capacity=capacity))
    put(store, presence("ana"), by=acting("ana"))


def deciding(monkeypatch: pytest.MonkeyPatch, *, raising_for: str) -> None:
    """A bug in deciding one message."""

    def broken(ctx: Context, command: Command) -> list[ev.Event]:
        if isinstance(command, cmd.ReceiveMessage) and command.source_key == raising_for:
            raise KeyError("the words of a customer")
        return decide(ctx, command)

    monkeypatch.setattr("services.router.engine.engine.decide", broken)


def offering(monkeypatch: pytest.MonkeyPatch, *, raising_for: str) -> None:
    """A bug in offering one contact."""

    def broken(ctx: Context, match: Match) -> list[ev.Event]:
        if match.contact.source_key == raising_for:
            raise KeyError("the words of a customer")
        return make_offer(ctx, match)

    monkeypatch.setattr("services.router.engine.engine.make_offer", broken)


def cancel(store: MemoryStore, desk: Desk, *keys: str) -> None:
    """Those contacts end by command."""
    contacts = desk.replica.engine.state.workspaces["w"].contacts
    for contact in [contact for contact in contacts.values() if contact.source_key in keys]:
        put(store, cmd.CancelContact(contact=contact.id))


# The plain way


async def test_inputs_become_entries_and_are_told_once_they_are_true() -> None:
    store = MemoryStore()
    open_for_work(store)
    put(store, message("c1"), by=ADAPTER)
    desk = await Desk(store).start()
    await desk.work()
    assert desk.states() == {"c1": ContactState.OFFERED}
    assert kinds(desk.told.events())[-3:] == ["ContactCreated", "MessageReceived", "OfferMade"]
    assert [entry.seq for entry in desk.told.entries] == list(range(1, desk.replica.head.seq + 1))
    assert all(entry.own for entry in desk.told.entries)


async def test_many_inputs_share_an_entry_and_commands_come_before_messages() -> None:
    store = MemoryStore()
    put(store, message("c1"), by=ADAPTER)
    open_for_work(store)
    desk = await Desk(store).start()
    before = desk.replica.head.seq
    await desk.work()
    assert desk.replica.head.seq == before + 1
    assert desk.states() == {"c1": ContactState.OFFERED}, "the message found the workspace that a command had begun"


async def test_input_sees_what_the_inputs_before_it_in_the_batch_did() -> None:
    store = MemoryStore()
    open_for_work(store)
    desk = await Desk(store).start()
    await desk.work()
    put(store, message("c1"), by=ADAPTER, id="m1")
    await desk.work()
    ws = desk.replica.engine.state.workspaces["w"]
    put(store, cmd.AcceptOffer(offer=next(iter(ws.offers))), by=acting("ana"))
    put(store, cmd.CompleteContact(contact=next(iter(ws.contacts))), by=acting("ana"))
    await desk.work()
    assert desk.states() == {"c1": ContactState.COMPLETED}


async def test_timer_fires_without_any_input() -> None:
    store = MemoryStore()
    open_for_work(store, queues=[queue(offer_timeout_s=20, decline={"policy": "never"})])
    put(store, message("c1"), by=ADAPTER)
    desk = await Desk(store).start()
    await desk.work()
    desk.clock.pass_s(19.9)
    await desk.replica.step()
    assert desk.states() == {"c1": ContactState.OFFERED}
    desk.clock.pass_s(0.1)
    await desk.replica.step()
    assert desk.states() == {"c1": ContactState.WAITING}


async def test_nothing_to_do_makes_no_entry() -> None:
    desk = await Desk().start()
    seq = desk.replica.head.seq
    await desk.replica.step()
    assert desk.replica.head.seq == seq


async def test_what_is_due_comes_in_entries_of_bounded_size_before_any_input() -> None:
    store = MemoryStore()
    rules = [queue(offer_timeout_s=20, decline={"policy": "never"})]
    open_for_work(store, capacity=9, queues=rules)
    for n in range(9):
        put(store, message(f"c{n}"), by=ADAPTER)
    desk = await Desk(store, settings=ReplicaSettings(resend_s=0.02, idle_s=0.01, max_events=4)).start()
    await desk.work()
    told = len(desk.told.entries)
    desk.clock.pass_s(20)
    put(store, message("late"), by=ADAPTER)
    await desk.work()
    sizes = [sum(len(d.events) for d in entry.decisions) for entry in desk.told.entries[told:]]
    assert len(sizes) > 2
    assert max(sizes) <= 4 + 3, "an entry is closed by the first decision that fills it"
    happened = [event for event in desk.told.events() if isinstance(event, ev.OfferExpired | ev.ContactCreated)]
    assert kinds(happened) == ["ContactCreated"] * 9 + ["OfferExpired"] * 9 + ["ContactCreated"]


async def flooded(store: MemoryStore, max_open: int) -> Desk:
    """Sixty customers have written to a leader with that bound, and it had ten turns."""
    open_for_work(store)
    desk = await Desk(store, settings=replace(SETTINGS, max_open=max_open, max_inputs=10)).start()
    await desk.work()
    for number in range(60):
        put(store, message(f"c{number}", thread=f"t{number}"), by=ADAPTER)
    for _ in range(10):
        await desk.replica.step()
    return desk


async def test_messages_stay_in_the_log_while_too_many_contacts_are_open_and_commands_go_on() -> None:
    store = MemoryStore()
    desk = await flooded(store, max_open=40)
    assert list(desk.states()) == [f"c{number}" for number in range(40)], "the oldest first"
    assert desk.replica.positions.inbound == 40
    assert desk.replica.holds_messages

    # 38 are 95 of 100; so one that ends lets nobody in, and three do.
    cancel(store, desk, "c7")
    for _ in range(3):
        await desk.replica.step()
    assert desk.states()["c7"] is ContactState.CANCELLED
    assert (len(desk.states()), desk.replica.holds_messages) == (40, True)
    cancel(store, desk, "c8", "c9")
    for _ in range(3):
        await desk.replica.step()
    assert not desk.replica.holds_messages or desk.replica.positions.inbound > 40
    assert list(desk.states())[40:43] == ["c40", "c41", "c42"]

    # What was left is decided in the end, each once.
    while desk.replica.positions.inbound < 60:
        cancel(store, desk, *[key for key, state in desk.states().items() if state.is_open][:20])
        await desk.replica.step()
    assert list(desk.states()) == [f"c{number}" for number in range(60)]


async def test_what_one_turn_brings_in_may_pass_the_bound_and_no_more() -> None:
    desk = await flooded(MemoryStore(), max_open=25)
    assert len(desk.states()) == 30


async def test_contacts_that_commands_open_count_as_well() -> None:
    store = MemoryStore()
    open_for_work(store)
    desk = await Desk(store, settings=replace(SETTINGS, max_open=2)).start()
    await desk.work()
    for number in range(3):
        put(store, cmd.CreateContact(source_key=f"made-{number}", channel="chat", account="web", queue="general"))
    await desk.work()
    put(store, message("c1"), by=ADAPTER)
    for _ in range(3):
        await desk.replica.step()
    assert (len(desk.states()), desk.replica.holds_messages) == (3, True)


async def test_who_does_not_lead_any_more_holds_nothing_back() -> None:
    store = MemoryStore()
    open_for_work(store)
    settings = replace(SETTINGS, max_open=1, pace=Pace())
    one, two = Desk(store, settings=settings), Desk(store, settings=settings, name="two")
    for desk in (one, two):
        await desk.replica.recover()
        desk.replica.listen(Pace())
    await one.replica.lead()
    for name in ("c1", "c2"):
        put(store, message(name, thread=name), by=ADAPTER)
    for _ in range(4):
        await one.replica.step()
    assert one.replica.holds_messages
    await two.replica.follow()
    assert not two.replica.holds_messages, "it only follows"
    await two.replica.lead()
    await one.replica._read_back(wait_s=0, perform=True)
    assert not one.replica.leading
    assert not one.replica.holds_messages
    await two.replica.step()
    assert two.replica.holds_messages, "it counts for itself"


async def test_poisoned_bytes_are_passed_over_and_told() -> None:
    store = MemoryStore()
    open_for_work(store)
    store.add_input(Topic.INBOUND, 0, b'{"v":1')
    put(store, message("c1"), by=ADAPTER)
    desk = await Desk(store).start()
    await desk.work()
    assert desk.states() == {"c1": ContactState.OFFERED}
    poisoned = [record.offset for entry in desk.told.entries for record, _ in entry.poisoned]
    assert poisoned == [0]
    assert desk.told.buried == [0]


async def test_no_entry_passes_poisoned_bytes_over_before_they_are_kept() -> None:
    store = MemoryStore()
    open_for_work(store)
    desk = await Desk(store).start()
    await desk.work()
    seq, before = desk.replica.head.seq, desk.hash()
    store.add_input(Topic.INBOUND, 0, b'{"v":1')
    put(store, message("c1"), by=ADAPTER)
    desk.told.grave = LogUnavailable("nobody keeps texts")
    for _ in range(3):
        await desk.replica.step()
    assert (desk.replica.head.seq, desk.hash()) == (seq, before), "neither the bytes nor what came behind them"
    other = await Desk(store, name="two").start()
    await other.work()
    assert other.told.buried == [0], "whoever leads next finds them where they were"
    desk.told.grave = None
    await desk.work()
    assert desk.hash() == other.hash()


async def test_who_stops_while_bytes_are_being_kept_holds_nothing_of_that_turn_for_true() -> None:
    store = MemoryStore()
    open_for_work(store)
    desk = await Desk(store).start()
    await desk.work()
    before = desk.hash()
    store.add_input(Topic.INBOUND, 0, b'{"v":1')
    put(store, message("c1"), by=ADAPTER)
    desk.told.slow = asyncio.Event()
    turn = asyncio.create_task(desk.replica.step())
    await eventually(lambda: not desk.replica.engine.world.settled)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    await desk.replica.stop()
    assert desk.hash() == before, "what was decided and never proposed is taken back"
    other = await Desk(store, name="two").start()
    await other.work()
    assert other.states() == {"c1": ContactState.OFFERED}
    assert other.told.buried == [0]


@pytest.mark.interpreted
async def test_a_command_that_cannot_be_decided_is_put_aside_and_the_next_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    open_for_work(store)
    desk = await Desk(store).start()
    await desk.work()
    deciding(monkeypatch, raising_for="c1")
    put(store, message("c1"), by=ADAPTER)
    put(store, message("c2"), by=ADAPTER)
    desk.told.grave = LogUnavailable("nobody keeps texts")
    await desk.replica.step()
    assert desk.replica.positions.inbound == 0, "not before it is kept"
    desk.told.grave = None
    await desk.work()
    assert desk.states() == {"c2": ContactState.OFFERED}
    assert desk.told.buried == [0]
    (rejected,) = [event for event in desk.told.events() if isinstance(event, ev.CommandRejected)]
    assert rejected.reason.startswith("KeyError at test_replica.py:"), "where it was; what it said may be a customer's"
    assert rejected.input_position == "inbound:0"
    assert next(each for entry in desk.told.entries for each in entry.rejected)[1] == rejected.reason


@pytest.mark.interpreted
async def test_what_leads_to_something_undecidable_is_taken_back_and_put_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    open_for_work(store, capacity=3)
    desk = await Desk(store).start()
    await desk.work()
    offering(monkeypatch, raising_for="c2")
    for name in ("c1", "c2", "c3"):
        put(store, message(name), by=ADAPTER)
    await desk.work()
    assert desk.states() == {"c1": ContactState.OFFERED, "c3": ContactState.OFFERED}
    assert desk.told.buried == [1]
    answer = desk.replica.engine.state.answer_of("inbound1")
    assert answer is not None
    assert answer.refused is not None
    assert answer.refused[0] == "rejected"
    other = Desk(store, name="two")
    await other.replica.recover()
    assert other.hash() == desk.hash()


@pytest.mark.interpreted
async def test_what_is_undecidable_though_nobody_asked_ends_the_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    open_for_work(store)
    put(store, message("c1"), by=ADAPTER)
    desk = await Desk(store).start()
    await desk.work()
    offering(monkeypatch, raising_for="c1")
    desk.clock.pass_s(31)  # The offer runs out, and the contact is offered again.
    with pytest.raises(KeyError):
        await desk.replica.step()


# Starting again


async def test_new_process_folds_the_journal_to_the_same_state() -> None:
    store = MemoryStore()
    open_for_work(store)
    put(store, message("c1"), by=ADAPTER)
    desk = await Desk(store).start()
    await desk.work()
    other = Desk(store)
    await other.replica.recover()
    assert (other.hash(), other.replica.head) == (desk.hash(), desk.replica.head)
    assert other.replica.positions == desk.replica.positions


async def test_snapshot_and_the_journal_behind_it_give_the_same_state() -> None:
    store = MemoryStore()
    open_for_work(store)
    desk = await Desk(store).start()
    await desk.work()
    assert await desk.replica.save_snapshot()
    assert not await desk.replica.save_snapshot(), "nothing new to save"
    put(store, message("c1"), by=ADAPTER)
    await desk.work()
    store.journal_start[0] = len(store.journal[0]) - 1
    store.journal[0][:-1] = [b"gone"] * (len(store.journal[0]) - 1)
    other = Desk(store)
    await other.replica.recover()
    assert (other.hash(), other.replica.head) == (desk.hash(), desk.replica.head)


async def test_torn_snapshot_is_passed_over() -> None:
    store = MemoryStore()
    open_for_work(store)
    desk = await Desk(store).start()
    await desk.work()
    await desk.replica.save_snapshot()
    store.snapshots[-1].chunks[-1] = b"torn"
    other = Desk(store)
    await other.replica.recover()
    assert other.hash() == desk.hash()


def unreadable(good: bytes, how: str) -> bytes:
    """A snapshot's bytes as they would be if another program had made them: whole, but not of a state."""
    if how == "not compressed":
        return b"something else"
    state = json.loads(zlib.decompress(good))
    workspace = state["workspaces"][0]
    match how:
        case "a field is missing":
            del state["positions"]
        case "a policy that is none":
            workspace["policy"] = {"queues": 3}
        case "an agent in a queue of nobody":
            workspace["offers"] = [{"id": "o", "contact": "nobody", "agent": "nobody"}]
    return zlib.compress(json.dumps(state).encode())


HOW = ["not compressed", "a field is missing", "a policy that is none", "an agent in a queue of nobody"]


@pytest.mark.parametrize("how", HOW)
async def test_a_snapshot_that_cannot_be_read_is_passed_over(how: str, caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    open_for_work(store)
    desk = await Desk(store).start()
    await desk.work()
    await desk.replica.save_snapshot()
    older = desk.replica.head.seq
    put(store, message("c1"), by=ADAPTER)
    await desk.work()
    good = desk.replica.snapshot()
    await desk.replica.log.snapshots.save(replace(good, data=unreadable(good.data, how)))

    other = Desk(store)
    await other.replica.recover()
    assert (other.hash(), other.replica.head) == (desk.hash(), desk.replica.head)
    assert other.replica.snapshot_seq == older
    passed = [record for record in caplog.records if "cannot be read" in record.message]
    assert [(record.levelname, record.__dict__["seq"]) for record in passed] == [("ERROR", good.seq)]


async def test_the_journal_is_folded_where_no_snapshot_can_be_read() -> None:
    store = MemoryStore()
    open_for_work(store)
    desk = await Desk(store).start()
    await desk.work()
    good = desk.replica.snapshot()
    await desk.replica.log.snapshots.save(replace(good, data=b"something else"))
    other = Desk(store)
    await other.replica.recover()
    assert (other.hash(), other.replica.snapshot_seq) == (desk.hash(), 0)
    store.journal_start[0] = 1
    with pytest.raises(LogCorrupt, match="no snapshot reaches it"):
        await Desk(store).replica.recover()


async def test_journal_whose_beginning_is_gone_needs_a_snapshot() -> None:
    store = MemoryStore()
    desk = await Desk(store).start()
    open_for_work(store)
    await desk.work()
    store.journal_start[0] = 1
    with pytest.raises(LogCorrupt, match="no snapshot reaches it"):
        await Desk(store).replica.recover()


async def test_a_journal_that_is_shorter_than_its_snapshot_has_lost_entries_and_is_not_led() -> None:
    store = MemoryStore()
    open_for_work(store)
    desk = await Desk(store).start()
    await desk.work()
    await desk.replica.save_snapshot()
    del store.journal[0][1:]
    with pytest.raises(LogCorrupt, match="ends at offset 1"):
        await Desk(store).replica.recover()


async def test_stopping_saves_a_snapshot() -> None:
    store = MemoryStore()
    open_for_work(store)
    desk = Desk(store)
    stopping = asyncio.Event()
    running = asyncio.create_task(desk.replica.run(stopping))
    await eventually(lambda: "AgentPresenceChanged" in kinds(desk.told.events()))
    stopping.set()
    await asyncio.wait_for(running, 2)
    assert store.snapshots[-1].seq == desk.replica.head.seq
    assert not desk.replica.leading


async def test_a_standby_saves_no_snapshot_when_it_stops() -> None:
    store = MemoryStore()
    open_for_work(store)
    leader = await Desk(store).start()
    await leader.work()
    standby = Desk(store, name="two", settings=replace(SETTINGS, pace=Pace()))
    await standby.replica.recover()
    await standby.replica.begin()
    await standby.replica.turn()
    assert standby.replica.head == leader.replica.head
    await standby.replica.stop()
    assert store.snapshots == []
    await leader.replica.stop()
    assert [saved.seq for saved in store.snapshots] == [leader.replica.head.seq]


async def test_journal_that_contradicts_itself_stops_the_replica() -> None:
    store = MemoryStore()
    desk = await Desk(store).start()
    stranger = build_proposal(Head(7, "ab"), at=1, by="x", positions=Positions(0, 0), decisions=[])
    store.add_proposal(0, stranger.data)
    open_for_work(store)
    with pytest.raises(Diverged):
        await desk.work()


async def test_journal_of_another_log_is_refused_from_the_start() -> None:
    store = MemoryStore()
    foreign = build_proposal(Head(0, genesis_hash("other", 0)), at=1, by="x", positions=Positions(0, 0), decisions=[])
    store.add_proposal(0, foreign.data)
    with pytest.raises(Diverged):
        await Desk(store).replica.recover()


# Time


async def test_gap_without_a_leader_shifts_deadlines() -> None:
    store = MemoryStore()
    open_for_work(store, queues=[queue(offer_timeout_s=20)])
    put(store, message("c1"), by=ADAPTER)
    desk = await Desk(store).start()
    await desk.work()
    clock = HandClock()
    clock.ms = desk.clock.ms + 300_000
    other = await Desk(store, clock=clock).start()
    assert [event for event in other.told.events() if isinstance(event, ev.Resumed)] == [ev.Resumed(gap=300_000)]
    await other.work()
    assert other.states() == {"c1": ContactState.OFFERED}


async def test_short_gap_shifts_nothing() -> None:
    store = MemoryStore()
    open_for_work(store)
    desk = await Desk(store).start()
    await desk.work()
    clock = HandClock()
    clock.ms = desk.clock.ms + 1_500
    other = await Desk(store, clock=clock).start()
    assert other.told.events() == []


async def test_clock_that_jumps_ahead_is_believed_only_so_far() -> None:
    store = MemoryStore()
    open_for_work(store)
    desk = await Desk(store).start()
    await desk.work()
    at = desk.replica.engine.state.at
    desk.clock.ms += 86_400_000
    desk.clock.mono += 1
    put(store, message("c1"), by=ADAPTER)
    await desk.work_once()
    assert desk.replica.engine.state.at == at + 1_000 + SETTINGS.clock_slack_ms


async def test_clock_that_goes_back_never_moves_entries_back() -> None:
    store = MemoryStore()
    open_for_work(store)
    desk = await Desk(store).start()
    await desk.work()
    at = desk.replica.engine.state.at
    desk.clock.ms -= 60_000
    put(store, message("c1"), by=ADAPTER)
    await desk.work_once()
    assert desk.replica.engine.state.at == at


# What goes wrong


class LostProposals(Faults):
    """The first so many proposals never arrive."""

    def __init__(self, count: int) -> None:
        self.left = count

    async def before(self, call: Call) -> None:
        await super().before(call)
        if call.name == "journal.propose" and self.left:
            self.left -= 1
            raise LogUnavailable("lost on the way")


class LostAcknowledgements(Faults):
    """Proposals arrive, and nobody says so."""

    async def after(self, call: Call) -> None:
        if call.name == "journal.propose":
            raise LogUnavailable("no answer")


class Doubled(Faults):
    """Everything that is sent arrives twice."""

    def copies(self, call: Call) -> int:
        return 2


class Unreadable(Faults):
    """Every second read of the journal or the inputs fails."""

    def __init__(self) -> None:
        self.calls = 0

    async def before(self, call: Call) -> None:
        await super().before(call)
        if call.name in ("journal.read", "inputs.read"):
            self.calls += 1
            if self.calls % 2:
                raise LogUnavailable("away")


@pytest.mark.parametrize(
    "faults", [LostProposals(2), LostAcknowledgements(), Doubled(), Unreadable()], ids=lambda f: type(f).__name__
)
async def test_every_input_is_decided_once_whatever_becomes_of_proposals(faults: Faults) -> None:
    store = MemoryStore()
    open_for_work(store)
    for n in range(3):
        put(store, message(f"c{n}"), by=ADAPTER)
    desk = Desk(store, faults=faults)
    await desk.replica.recover()
    await desk.replica.lead()
    for n in range(3, 6):
        put(store, message(f"c{n}"), by=ADAPTER)
        await desk.work()
    created = [event.source_key for event in desk.told.events() if isinstance(event, ev.ContactCreated)]
    assert created == [f"c{n}" for n in range(6)]
    judge = Desk(store)
    await judge.replica.recover()
    assert judge.hash() == desk.hash()


async def test_lost_proposal_is_sent_again_with_the_same_bytes() -> None:
    store = MemoryStore()
    open_for_work(store)
    sent: list[bytes] = []

    class Watched(LostProposals):
        async def before(self, call: Call) -> None:
            if call.name == "journal.propose":
                sent.append(call.data)
            await super().before(call)

    desk = await Desk(store, faults=Watched(2)).start()
    assert len(sent) == 3
    assert len(set(sent)) == 1
    assert desk.replica.head.seq == 1


async def test_loser_takes_its_decisions_back_and_folds_the_winners() -> None:
    store = MemoryStore()
    open_for_work(store)
    one = await Desk(store, name="one").start()
    await one.work()
    two = await Desk(store, name="two").start()
    put(store, message("c1"), by=ADAPTER)
    await one.work()
    assert two.states() == {}
    await two.work()
    assert two.replica.void_records >= 1
    assert two.hash() == one.hash()
    assert [entry.own for entry in two.told.entries][-1] is False
    created = [event for event in two.told.events() if isinstance(event, ev.ContactCreated)]
    assert len(created) == 1, "the winner's decision is told, the loser's never was"


async def test_two_leaders_at_once_do_no_harm() -> None:
    store = MemoryStore()
    open_for_work(store, capacity=3)
    desks = [await Desk(store, name=name).start() for name in ("one", "two")]
    for n in range(40):
        put(store, message(f"c{n}"), by=ADAPTER)
        await asyncio.gather(*(desk.replica.step() for desk in desks))
    await asyncio.gather(*(desk.work() for desk in desks))
    for desk in desks:
        while desk.replica.head.seq < max(d.replica.head.seq for d in desks):
            put(store, message("more"), by=ADAPTER)
            await desk.work()
    judge = Desk(store)
    await judge.replica.recover()
    contacts = judge.replica.engine.state.workspaces["w"].contacts.values()
    assert sorted(c.source_key for c in contacts if c.source_key != "more") == sorted(f"c{n}" for n in range(40))
    assert judge.replica.void_records > 0, "they did meet"


async def test_no_snapshot_while_a_proposal_is_out() -> None:
    store = MemoryStore()
    open_for_work(store)
    desk = Desk(store)
    await desk.replica.recover()
    seen: list[bool] = []

    class Peeking(Faults):
        async def before(self, call: Call) -> None:
            if call.name == "journal.propose":
                seen.append(await desk.replica.save_snapshot())

    desk.replica.log = MemoryLog(store, Peeking())
    await desk.replica.lead()
    assert seen == [False]
    assert store.snapshots == []


# Entries of bounded size


async def test_an_entry_is_closed_at_its_bytes_and_the_rest_comes_in_the_next() -> None:
    store = MemoryStore()
    open_for_work(store)
    for n in range(50):
        put(store, message(f"c{n}"), by=ADAPTER)
    desk = await Desk(store, settings=ReplicaSettings(resend_s=0.02, idle_s=0.01, max_bytes=4_000)).start()
    await desk.work()
    sizes = [entry.size for entry in desk.told.entries]
    assert len(sizes) > 5
    assert max(sizes) < 4_000 + 2_500
    assert len(desk.states()) == 50


async def test_a_policy_that_takes_many_offers_back_is_carried_out_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "MOST_WITHDRAWN", 3)
    monkeypatch.setattr(engine, "MOST_OFFERS", 2)
    store = MemoryStore()
    open_for_work(store, capacity=10)
    for n in range(10):
        put(store, message(f"c{n}"), by=ADAPTER)
    desk = await Desk(store, settings=ReplicaSettings(resend_s=0.02, idle_s=0.01, max_events=3)).start()
    await desk.work()
    assert list(desk.states().values()) == [ContactState.OFFERED] * 10
    told = len(desk.told.entries)
    put(store, cmd.AdoptPolicy(policy=policy([queue(skills={"gold": 1})])))
    put(store, agent("zoe", capacity=10, skills={"gold": 1}))
    put(store, presence("zoe"), by=acting("zoe"))
    await desk.work()
    entries = desk.told.entries[told:]
    assert max(sum(len(d.events) for d in entry.decisions) for entry in entries) <= 8
    assert len(entries) > 4
    offers = desk.replica.engine.state.workspaces["w"].offers.values()
    assert sorted(offer.agent for offer in offers if not offer.outcome) == ["zoe"] * 10


async def test_whoever_folds_anothers_entry_goes_on_with_what_its_author_left(monkeypatch: pytest.MonkeyPatch) -> None:
    # No simulated world shows it reliably: somebody must die in the one moment between two pieces of work.
    monkeypatch.setattr(engine, "MOST_OFFERS", 1)
    store = MemoryStore()
    put(store, cmd.CreateWorkspace(name="w"))
    put(store, cmd.AdoptPolicy(policy=policy()))
    put(store, agent("ana", capacity=10))
    for n in range(5):
        put(store, message(f"c{n}"), by=ADAPTER)
    small = ReplicaSettings(resend_s=0.02, idle_s=0.01, max_events=1)
    author, other = await Desk(store, settings=small).start(), await Desk(store, settings=small, name="other").start()
    await author.work()
    put(store, presence("ana"), by=acting("ana"))
    await author.work_once()
    assert list(author.states().values()).count(ContactState.OFFERED) == 1
    put(store, cmd.RevokeKey(key_id="unknown"))
    await other.work()
    assert list(other.states().values()) == [ContactState.OFFERED] * 5


async def test_a_new_leader_goes_on_with_what_the_old_one_had_not_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "MOST_WITHDRAWN", 3)
    store = MemoryStore()
    open_for_work(store, capacity=10)
    for n in range(10):
        put(store, message(f"c{n}"), by=ADAPTER)
    small = ReplicaSettings(resend_s=0.02, idle_s=0.01, max_events=3)
    desk = await Desk(store, settings=small).start()
    await desk.work()
    put(store, cmd.AdoptPolicy(policy=policy([queue(skills={"gold": 1})])))
    await desk.work_once()
    assert sum(not offer.outcome for offer in desk.replica.engine.state.workspaces["w"].offers.values()) == 7
    other = await Desk(store, settings=small, name="other").start()
    await other.work()
    assert not any(not offer.outcome for offer in other.replica.engine.state.workspaces["w"].offers.values())
