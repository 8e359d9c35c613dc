"""A state to bytes and back: every fact survives, in any order of arrival, and damage is noticed."""

from __future__ import annotations

import zlib

import pytest

from services.router.engine.engine import Engine
from services.router.engine.state import State
from services.router.snapshot import dump, load, state_hash
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.contracts.commands import Input
from shared.log.port import LogCorrupt
from shared.vocabulary import ContactState, Delivery
from tests.builders import (
    ADAPTER,
    SUPERVISOR,
    Centre,
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
from tests.derived import derived


def busy() -> Centre:
    """A centre with something in every table and every state."""
    both = [channel("chat", fallback=fallback("email")), channel("email")]
    centre = Centre(policy([queue(wrap_up_s=60, retry_delay_s=600), queue("cards")], both))
    centre.do(cmd.CreateKey(key_id="k", key_hash="ab" * 32, role=ADAPTER.role, label="mail"))
    centre.staff(
        agent("ana", capacity=3, languages={"fr": 4}),
        agent("ben", skills={"cards": 2}),
        agent("cem", languages={"tr": 1}),
    )
    centre.write("assigned", language="fr", customer="kim", reach=(reach("email", "kim"),))
    centre.accept("ana", "assigned")
    centre.reply("ana", "assigned")
    centre.delivered(centre.last(ev.ReplyQueued).message, Delivery.ACCEPTED)
    centre.write("ended", skills={"cards": 1})
    centre.handle("ben", "ended")
    centre.write("declined", language="tr")
    centre.decline("cem", "declined")
    centre.write("offered", language="tr")
    centre.do(contact("later", channel="chat", at_s=9_000), by=SUPERVISOR)
    centre.write("down", channel="email", queue="cards", skills={"cards": 5})
    centre.down("email")
    ask = cmd.StartConsult(contact=centre.id_of("assigned"), agent=centre.agent("cem").id, note_ref="n:1")
    centre.do(ask, by=acting("ana"))
    centre.do(presence("ana", then="away", channels={"email": False}), by=acting("ana"))
    centre.do(cmd.LoseLease(agent=centre.agent("ben").id))
    states = {each.state for each in centre.ws.contacts.values()}
    assert states == {
        ContactState.ASSIGNED,
        ContactState.COMPLETED,
        ContactState.WAITING,
        ContactState.OFFERED,
        ContactState.SCHEDULED,
    }
    return centre


def test_state_comes_back_whole() -> None:
    centre = busy()
    again = load(dump(centre.engine.state))
    here, there = centre.ws, again.workspaces["w"]
    assert there.contacts == here.contacts
    assert there.agents == here.agents
    assert there.offers == here.offers
    assert (there.threads, there.customers, there.identities) == (here.threads, here.customers, here.identities)
    assert (there.keys, there.channels, there.policy) == (here.keys, here.channels, here.policy)
    assert (there.sequence, there.policy_version, there.health_version) == (
        here.sequence,
        here.policy_version,
        here.health_version,
    )
    assert (again.answers, again.seen) == (centre.engine.state.answers, centre.engine.state.seen)
    assert (again.at, again.positions) == (centre.engine.state.at, centre.engine.state.positions)
    assert state_hash(again) == state_hash(centre.engine.state)
    assert derived(Engine(again).world) == derived(centre.engine.world)


def test_reply_in_the_message_table_is_the_one_in_its_contact() -> None:
    again = load(dump(busy().engine.state)).workspaces["w"]
    ((message_id, (contact_id, reply)),) = again.messages.items()
    assert reply is next(m for m in again.contacts[contact_id].messages if m.id == message_id)


def test_engine_goes_on_from_a_snapshot_as_if_it_had_never_stopped() -> None:
    centre = busy()
    other = Engine(load(dump(centre.engine.state)))
    now, seq = centre.now + 700_000, centre.seq + 1
    for engine in (centre.engine, other):
        number = 0
        while engine.tick(now, seq, number) is not None:
            number += 1
        record = Input(id="n1", workspace="w", actor=ADAPTER, received_at=now, command=message("new"))
        engine.apply(record, now, seq)
        engine.settle(now, (seq, 0))
    assert state_hash(other.state) == state_hash(centre.engine.state)
    assert derived(other.world) == derived(centre.engine.world)


def test_hash_does_not_depend_on_the_order_in_which_facts_came() -> None:
    one, two = Centre(), Centre()
    one.do(agent("ana"), id="a")
    one.do(agent("ben"), id="b")
    two.do(agent("ben"), id="b")
    two.do(agent("ana"), id="a")
    for centre in (one, two):
        for answers in centre.engine.state.answers.values():
            answers.clear()
    assert state_hash(one.engine.state) == state_hash(two.engine.state)


def test_hash_tells_any_fact_apart() -> None:
    centre = busy()
    before = state_hash(centre.engine.state)
    centre.contact("offered").priority += 1
    assert state_hash(centre.engine.state) != before


def test_empty_state_comes_back_too() -> None:
    assert state_hash(load(dump(State()))) == state_hash(State())


@pytest.mark.parametrize("cut", [0, 1, 10, -1])
def test_damaged_bytes_are_noticed(cut: int) -> None:
    data = dump(busy().engine.state)
    with pytest.raises(LogCorrupt):
        load(data[:cut])


@pytest.mark.parametrize("inside", [b"", b"{}", b"[]", b'{"at":"now"}', b"\xff"])
def test_bytes_of_something_else_are_refused(inside: bytes) -> None:
    with pytest.raises(LogCorrupt):
        load(zlib.compress(inside))
