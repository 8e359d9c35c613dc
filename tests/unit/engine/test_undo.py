"""Rollback brings every fact back exactly, whatever was decided; folding what was decided gives the same state."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.engine import engine as engine_module
from services.router.engine.outbound_records import Attempt, Outbound
from services.router.engine.records import Agent, ChannelState, Contact, Customer, Message, Offer, Thread
from services.router.engine.undo import Fact, Undo
from services.router.snapshot import dump, load, state_hash
from shared.contracts import commands as cmd
from shared.contracts.commands import Actor, Input
from shared.vocabulary import (
    AddressKey,
    AgentId,
    AutoClass,
    ChannelHealth,
    ContactId,
    Delivery,
    MessageId,
    MessageKind,
    OfferId,
    Role,
    ThreadKey,
)
from tests.builders import (
    ADAPTER,
    OPERATOR,
    START,
    SUPERVISOR,
    Centre,
    account_of,
    acting,
    agent,
    channel,
    contact,
    fallback,
    message,
    policy,
    presence,
    queue,
    reach,
)
from tests.derived import derived, recomputed


def test_saved_record_comes_back() -> None:
    undo, ana = Undo(), Agent(id=AgentId("ana"))
    mark = undo.mark()
    undo.save(ana)
    ana.presence, ana.missed = "available", 3
    undo.rollback(mark)
    assert ana == Agent(id=AgentId("ana"))


def test_put_delete_and_append_are_taken_back_newest_first() -> None:
    undo = Undo()
    table, items = {"kept": 1, "changed": 1}, [1]
    mark = undo.mark()
    undo.put(table, "new", 1)
    undo.put(table, "changed", 2)
    undo.put(table, "changed", 3)
    undo.delete(table, "kept")
    undo.append(items, 2)
    undo.delete(table, "new")
    undo.rollback(mark)
    assert (table, items) == ({"kept": 1, "changed": 1}, [1])


def test_rollback_stops_at_the_mark() -> None:
    undo = Undo()
    table: dict[str, int] = {}
    undo.put(table, "before", 1)
    mark = undo.mark()
    undo.put(table, "after", 2)
    undo.rollback(mark)
    assert table == {"before": 1}


def test_record_comes_back_as_it_was_at_each_mark_however_often_it_was_saved() -> None:
    undo, ana = Undo(), Agent(id=AgentId("ana"))
    marks = []
    for missed in (1, 2, 3):
        marks.append(undo.mark())
        for presence_now in ("away", "available"):
            undo.save(ana)
            ana.presence, ana.missed = presence_now, missed
    undo.rollback(marks[2])
    assert (ana.presence, ana.missed) == ("available", 2)
    undo.save(ana)
    ana.missed = 7
    undo.rollback(marks[2])
    assert ana.missed == 2
    undo.rollback(marks[0])
    assert ana == Agent(id=AgentId("ana"))


def test_record_that_was_saved_before_all_was_forgotten_is_saved_again() -> None:
    undo, ana = Undo(), Agent(id=AgentId("ana"))
    undo.save(ana)
    ana.missed = 1
    undo.forget()
    undo.save(ana)
    ana.missed = 2
    undo.rollback(0)
    assert ana.missed == 1


def test_new_record_goes_when_it_is_taken_back_and_is_saved_after_the_next_mark() -> None:
    undo, ana = Undo(), Agent(id=AgentId("ana"))
    agents: dict[AgentId, Agent] = {}
    undo.create(agents, ana.id, ana)
    undo.save(ana)
    assert undo.mark() == 1, "nothing of it has to be remembered"
    undo.save(ana)
    ana.missed = 3
    undo.rollback(1)
    assert agents == {ana.id: Agent(id=AgentId("ana"))}
    undo.rollback(0)
    assert not agents


def test_saving_a_record_again_costs_no_step() -> None:
    undo, ana = Undo(), Agent(id=AgentId("ana"))
    undo.save(ana)
    undo.save(ana)
    assert undo.mark() == 1


def test_what_is_forgotten_stays_done() -> None:
    undo = Undo()
    table: dict[str, int] = {}
    undo.put(table, "done", 1)
    undo.forget()
    undo.rollback(0)
    assert table == {"done": 1}


def test_deleting_what_is_not_there_is_an_error_and_no_step() -> None:
    undo = Undo()
    with pytest.raises(KeyError):
        undo.delete({}, "nothing")
    assert undo.mark() == 0


# Random lives

NAMES = ("ana", "ben", "cem")
CHANNELS = ("chat", "email", "telegram")
TIRES = {"after_misses": 3, "set_presence": "away"}
"""A day passes in some lives: offers that nobody answers must not go round for all of it."""
POLICIES = [
    policy(
        [queue("general", offer_timeout_s=10, wrap_up_s=5, on_miss={"after_misses": 2, "set_presence": "away"}),
         queue("cards", rank=2, strategy="best_skill", decline={"policy": "never"}, skills={"cards": 2})],
        [channel("chat", fallback=fallback("telegram", "email")), channel("telegram", fallback=fallback("email")),
         channel("email", to="cards")],
        lease={"grace_s": 10}, keep_ended_s=60,
    ),
    policy(
        [queue("general", retry_delay_s=3, strategy="least_active", on_miss=TIRES), queue("cards", on_miss=TIRES)],
        [channel("chat", fallback=fallback("email")), channel("telegram"), channel("email")],
        lease={"grace_s": 0, "on_lost": {"chat": "keep"}}, keep_ended_s=60,
    ),
    policy([queue("general", language_min=3, on_miss=TIRES)], [channel("chat"), channel("email")]),
]  # fmt: skip

Step = Callable[[Centre], tuple[cmd.Command, Actor] | float]
"""A command with who asks, made when its turn has come from what is there then; or seconds that pass."""

who = st.sampled_from(NAMES)
kind = st.sampled_from(CHANNELS)
pick = st.integers(0, 30)
levels = st.dictionaries(st.sampled_from(["fr", "en"]), st.integers(1, 5), max_size=2)
ways = st.lists(
    st.builds(reach, kind, who, verified=st.booleans(), consent=st.sampled_from([True, True, False])), max_size=2
).map(tuple)


def some(items: Any, number: int, otherwise: str) -> Any:
    """One of the ids there are, or one that nobody knows."""
    ids = list(items)
    return ids[number % len(ids)] if ids and number < 28 else otherwise


def step(make: Callable[..., Any], /, **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    def late(drawn: dict[str, Any]) -> Step:
        return lambda centre: make(centre, **drawn)

    return st.fixed_dictionaries(parts).map(late)


STEPS: st.SearchStrategy[Step] = st.one_of(
    step(lambda c, s: float(s), s=st.sampled_from([0, 1, 5, 20, 61, 90_000])),
    *[
        step(
            lambda c, n, **f: (message(f"m{n}", thread=f"t{n % 7}", **f), ADAPTER),
            n=st.integers(0, 60),
            channel=kind,
            customer=who,
            language=st.sampled_from([None, "fr", "en"]),
            detected=st.dictionaries(st.sampled_from(["fr", "en"]), st.sampled_from([0.4, 0.6, 0.9]), max_size=1),
            priority=st.integers(0, 2),
            kind=st.sampled_from([MessageKind.MESSAGE] * 5 + list(MessageKind)),
            auto=st.sampled_from([AutoClass.NONE] * 9 + [AutoClass.AUTO_REPLY, AutoClass.BOUNCE]),
            refers_to=st.sampled_from([None, "m1", "m2"]),
            queue=st.sampled_from([None, None, "general", "cards", "typo"]),
            reach=ways,
        )
    ]
    * 3,
    step(
        lambda c, n, **f: (contact(f"w{n}", **f), SUPERVISOR),
        n=st.integers(0, 9),
        channel=kind,
        customer=st.one_of(st.none(), who),
        at_s=st.sampled_from([None, 5, 30, 100]),
    ),
    step(
        lambda c, a, **f: (agent(a, **f), OPERATOR),
        a=who,
        languages=levels,
        skills=st.dictionaries(st.just("cards"), st.integers(1, 5), max_size=1),
        queues=st.sampled_from([(), ("general",), ("cards",)]),
        channels=st.sampled_from([(), ("chat",), ("email", "chat")]),
        capacity=st.sampled_from([0.5, 1, 2, 3]),
        per_channel=st.dictionaries(kind, st.integers(0, 2), max_size=1),
    ),
    step(
        lambda c, a, own, **f: (presence(a, **f), acting(a) if own else SUPERVISOR),
        a=who,
        own=st.booleans(),
        is_now=st.sampled_from(["available", "available", "available", "away", "offline", "typo"]),
        then=st.sampled_from([None, None, "away"]),
        channels=st.dictionaries(kind, st.booleans(), max_size=1),
    ),
    *[
        step(
            lambda c, n, a: (
                cmd.AcceptOffer(offer=OfferId(some([o.id for o in c.ws.offers.values() if not o.outcome], n, "o"))),
                acting(a) if n % 5 == 0 else holder(c, n),
            ),
            n=pick,
            a=who,
        )
    ]
    * 2,
    step(
        lambda c, n, r: (
            cmd.RejectOffer(
                offer=OfferId(some([o.id for o in c.ws.offers.values() if not o.outcome], n, "o")), retry_after=r
            ),
            holder(c, n),
        ),
        n=pick,
        r=st.sampled_from([None, 4_000]),
    ),
    step(
        lambda c, n, ending: (
            ending(contact=ContactId(some([x.id for x in c.ws.contacts.values() if x.state.is_open], n, "c"))),
            SUPERVISOR,
        ),
        n=pick,
        ending=st.sampled_from(
            [cmd.CompleteContact, cmd.CompleteContact, cmd.RequeueContact, cmd.CancelContact, cmd.AbandonContact]
        ),
    ),
    step(
        lambda c, n: (cmd.SendReply(contact=ContactId(some(c.ws.contacts, n, "c")), content_ref=f"r{n}"), SUPERVISOR),
        n=pick,
    ),
    step(
        lambda c, n, s: (
            cmd.ReportDelivery(message=MessageId(some([*c.ws.messages, *c.ws.attempts], n, "m")), status=s),
            ADAPTER,
        ),
        n=pick,
        s=st.sampled_from(list(Delivery)),
    ),
    *[
        step(
            lambda c, n, to, route, d: (
                cmd.SendOutbound(
                    source_key=f"o{n % 12}",
                    content_ref=f"o:{n}",
                    contact=ContactId(some(c.ws.contacts, n, "c")) if to else None,
                    route=tuple(
                        cmd.DeliveryStep(
                            channel=k,
                            account=account_of(k),
                            address=None if to else AddressKey(f"{k}/ana"),
                            until=until,
                            within=within,
                        )
                        for k, until, within in route
                    ),
                    deadline=d,
                ),
                SUPERVISOR,
            ),
            n=pick,
            to=st.booleans(),
            route=st.lists(
                st.tuples(
                    kind,
                    st.sampled_from([Delivery.DELIVERED, Delivery.READ]),
                    st.sampled_from([None, 0, 3_000, 40_000]),
                ),
                max_size=3,
                unique_by=lambda way: way[0],
            ),
            d=st.sampled_from([None, 10_000, 100_000]),
        )
    ]
    * 2,
    *[
        step(
            lambda c, n, a, make: (
                make(contact=ContactId(some([x.id for x in c.ws.contacts.values() if x.agent], n, "c")), agent=a),
                SUPERVISOR,
            ),
            n=pick,
            a=who.map(AgentId),
            make=st.sampled_from([cmd.StartConsult, cmd.StartConsult, cmd.EndConsult, cmd.TransferContact]),
        )
    ]
    * 2,
    step(
        lambda c, n, k: (
            cmd.TransferContact(
                contact=ContactId(some([x.id for x in c.ws.contacts.values() if x.agent], n, "c")),
                channel=k,
                account=account_of(k),
            ),
            SUPERVISOR,
        ),
        n=pick,
        k=kind,
    ),
    step(lambda c, n: (cmd.LeaveThread(thread=ThreadKey(some(c.ws.threads, n, "t"))), ADAPTER), n=pick),
    step(
        lambda c, a, lease: (lease(agent=AgentId(a)), ADAPTER),
        a=who,
        lease=st.sampled_from([cmd.LoseLease, cmd.RegainLease]),
    ),
    step(lambda c, a: (cmd.ExtendWrapUp(agent=AgentId(a), extend=3_000), acting(a)), a=who),
    step(lambda c, a: (cmd.FinishWrapUp(agent=AgentId(a), code="done"), acting(a)), a=who),
    step(
        lambda c, k, s: (
            cmd.ReportChannelHealth(channel=k, account=account_of(k), state=s, evidence="probe"),
            ADAPTER,
        ),
        k=kind,
        s=st.sampled_from(list(ChannelHealth)),
    ),
    step(lambda c, n: (cmd.AdoptPolicy(policy=POLICIES[n]), OPERATOR), n=st.integers(0, len(POLICIES) - 1)),
    step(
        lambda c, n: (cmd.CreateKey(key_id=f"k{n}", key_hash="ab" * 32, role=Role.ADAPTER), OPERATOR),
        n=st.integers(0, 2),
    ),
    step(lambda c, n: (cmd.RevokeKey(key_id=f"k{n}"), OPERATOR), n=st.integers(0, 2)),
)


def holder(centre: Centre, number: int) -> Actor:
    """Whoever the picked offer was made to."""
    offers = [offer for offer in centre.ws.offers.values() if not offer.outcome]
    return acting(offers[number % len(offers)].agent if offers else "ana")


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_rollback_and_refolding_are_exact_in_any_life(steps: list[Step]) -> None:
    """`Centre` holds the engine to it after every entry: this life only has to happen."""
    centre = Centre(POLICIES[0])
    centre.staff(agent("ana", capacity=2), agent("ben", languages={"fr": 5}))
    for make in steps:
        what = make(centre)
        if isinstance(what, float):
            centre.wait(what)
        else:
            command, by = what
            centre.do(command, by=by)
    again = load(dump(centre.engine.state))
    assert state_hash(again) == state_hash(centre.engine.state), "a snapshot holds everything"
    assert recomputed(again) == derived(centre.engine.world)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=15), st.lists(STEPS, min_size=1, max_size=15), st.integers(0, 30_000))
def test_batch_of_many_commands_is_taken_back_whole(before: list[Step], batch: list[Step], late: int) -> None:
    centre = Centre(POLICIES[0], checked=False)
    centre.staff(agent("ana", capacity=2), agent("ben", languages={"fr": 5}))
    for make in before:
        what = make(centre)
        if isinstance(what, float):
            centre.wait(what)
        else:
            centre.do(what[0], by=what[1])
    engine = centre.engine
    facts, indexes, mark = state_hash(engine.state), derived(engine.world), engine.world.mark()
    now, seq = centre.now + late, centre.seq + 1
    while (tick := engine.tick(now, seq, 0)) is not None:
        assert tick.events
    engine.resume(late, now, seq)
    for number, make in enumerate(batch):
        what = make(centre)
        if not isinstance(what, float):
            record = Input(id=f"b{number}", workspace="w", actor=what[1], received_at=now, command=what[0])
            engine.apply(record, now, seq)
            assert derived(engine.world) == recomputed(engine.state)
    engine.world.rollback(mark)
    assert state_hash(engine.state) == facts
    assert derived(engine.world) == indexes == recomputed(engine.state)


def test_policy_that_dropped_an_emptied_queue_is_taken_back_with_what_emptied_it() -> None:
    centre = Centre(POLICIES[0], checked=False)
    centre.write("c1", queue="cards")
    engine = centre.engine
    facts, indexes, mark = state_hash(engine.state), derived(engine.world), engine.world.mark()
    batch: list[cmd.Command] = [
        cmd.CancelContact(contact=centre.id_of("c1")),
        cmd.AdoptPolicy(policy=policy([queue("general")])),
    ]
    for number, command in enumerate(batch):
        engine.apply(
            Input(id=f"b{number}", workspace="w", actor=OPERATOR, received_at=centre.now, command=command),
            centre.now,
            9,
        )
    assert set(centre.ws.policy.queues) == {"general"}
    engine.world.rollback(mark)
    assert state_hash(engine.state) == facts
    assert derived(engine.world) == indexes == recomputed(engine.state)


def test_outbound_message_is_taken_back_with_the_health_of_the_channel_that_it_took() -> None:
    centre = Centre(POLICIES[0], checked=False)
    engine = centre.engine
    facts, indexes, mark = state_hash(engine.state), derived(engine.world), engine.world.mark()
    first = cmd.DeliveryStep(channel="chat", account=account_of("chat"), address=AddressKey("chat/ana"))
    batch: list[cmd.Command] = [
        cmd.ReportChannelHealth(
            channel="chat", account=account_of("chat"), state=ChannelHealth.HEALTHY, evidence="probe"
        ),
        cmd.SendOutbound(source_key="o1", content_ref="o:1", route=(first,)),
    ]
    for number, command in enumerate(batch):
        by = SUPERVISOR if number else ADAPTER
        record = Input(id=f"b{number}", workspace="w", actor=by, received_at=centre.now, command=command)
        engine.apply(record, centre.now, 9)
    assert centre.ws.outbounds
    engine.world.rollback(mark)
    assert state_hash(engine.state) == facts
    assert derived(engine.world) == indexes == recomputed(engine.state)


@settings(max_examples=30, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=12))
def test_workspace_that_began_in_a_lost_batch_never_was(batch: list[Step]) -> None:
    centre = Centre(POLICIES[0], checked=False)
    engine = centre.engine
    facts, mark = state_hash(engine.state), engine.world.mark()
    begin: list[cmd.Command] = [cmd.CreateWorkspace(name="v"), cmd.AdoptPolicy(policy=POLICIES[1]), agent("ana")]
    for number, command in enumerate(begin):
        engine.apply(
            Input(id=f"v{number}", workspace="v", actor=OPERATOR, received_at=START, command=command), START, 9
        )
    centre.workspace = "v"
    for number, make in enumerate(batch):
        what = make(centre)
        if not isinstance(what, float):
            record = Input(id=f"b{number}", workspace="v", actor=what[1], received_at=START, command=what[0])
            engine.apply(record, START, 9)
    engine.world.rollback(mark)
    assert state_hash(engine.state) == facts
    assert list(engine.world.indexes) == ["w"]
    assert derived(engine.world) == recomputed(engine.state)


WRITTEN: dict[str, type[Fact]] = {
    "agent": Agent,
    "attempt": Attempt,
    "channel": ChannelState,
    "contact": Contact,
    "customer": Customer,
    "message": Message,
    "offer": Offer,
    "outbound": Outbound,
    "thread": Thread,
}
"""What the variables that events write to hold."""


def written() -> Iterator[tuple[str, str]]:
    """(variable, field) of every assignment to a field of a fact in the modules that make events true."""
    for path in sorted(Path(engine_module.__file__).parent.glob("*.py")):
        if not re.match("evolve|truth|lines", path.name):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AugAssign | ast.AnnAssign) else targets
            for target in targets:
                if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                    yield target.value.id, target.attr


def test_whatever_an_event_writes_can_be_taken_back() -> None:
    found = [(name, field) for name, field in written() if name in WRITTEN]
    assert len(found) > 50
    forgotten = {f"{name}.{field}" for name, field in found if field not in WRITTEN[name].MUTABLE}
    assert not forgotten
