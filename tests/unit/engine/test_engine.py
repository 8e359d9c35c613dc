"""The engine as its drivers see it: ids, answers, repeats, poisoned commands, gaps, days, and what is forgotten."""

from __future__ import annotations

from typing import Any, cast

import pytest

from services.router.engine import decide as deciding
from services.router.engine.engine import Engine
from services.router.engine.state import DAY
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import ContactId, ContactState, MessageKind
from tests.builders import (
    ADAPTER,
    OPERATOR,
    START,
    SUPERVISOR,
    Centre,
    acting,
    agent,
    channel,
    contact,
    fallback,
    kinds,
    message,
    policy,
    queue,
    reach,
)
from tests.derived import nothing_left, residue

# Ids and answers


def test_ids_derive_from_the_commands_id() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    decided = centre.do(message("c1"), by=ADAPTER, id="m42")
    created, received, offered = decided.events
    assert isinstance(created, ev.ContactCreated)
    assert isinstance(received, ev.MessageReceived)
    assert isinstance(offered, ev.OfferMade)
    assert (created.contact, received.message, offered.offer) == ("m42.0", "m42.1", "m42.m.0")


def test_same_command_twice_gets_the_first_answer_and_decides_nothing() -> None:
    centre = Centre()
    first = centre.do(message("c1"), by=ADAPTER, id="m42", digest="d1")
    centre.wait(5)
    before = centre.facts()
    again = centre.do(message("c1"), by=ADAPTER, id="m42", digest="d1")
    assert (again.answer, again.events, again.fresh) == (first.answer, (), False)
    assert centre.facts() == before


def test_refusal_is_remembered_like_any_answer() -> None:
    centre = Centre()
    refused = centre.do(message("c1", queue="typo"), by=ADAPTER, id="m42")
    centre.do(cmd.AdoptPolicy(policy=policy([queue("general"), queue("typo")])))
    again = centre.do(message("c1", queue="typo"), by=ADAPTER, id="m42")
    assert again.answer == refused.answer
    assert centre.ws.contacts == {}


def test_same_id_with_another_digest_is_refused_and_the_first_answer_stays() -> None:
    centre = Centre()
    first = centre.do(message("c1"), by=ADAPTER, id="m42", digest="d1")
    before = centre.facts()
    other = centre.do(message("c2"), by=ADAPTER, id="m42", digest="d2")
    assert other.answer is not None
    assert other.answer.refused is not None
    assert (other.answer.refused[0], other.events) == ("id_reused", ())
    assert centre.facts() == before
    assert centre.do(message("c1"), by=ADAPTER, id="m42", digest="d1").answer == first.answer


def test_digest_matters_only_where_both_have_one() -> None:
    centre = Centre()
    first = centre.do(message("c1"), by=ADAPTER, id="m42")
    assert centre.do(message("c1"), by=ADAPTER, id="m42", digest="d1").answer == first.answer


def test_answer_is_forgotten_two_days_later_and_the_source_key_still_guards() -> None:
    centre = Centre(policy(keep_ended_s=600))
    first = centre.do(message("c1"), by=ADAPTER, id="m42")
    centre.wait_until((START // DAY + 1) * DAY + DAY - 1)
    assert centre.do(message("c1"), by=ADAPTER, id="m42").answer == first.answer
    centre.wait(0.001)
    again = centre.do(message("c1"), by=ADAPTER, id="m42")
    assert kinds(again.events) == ["CommandNoted"]
    assert again.answer is not None
    assert again.answer.note == "duplicate"


def test_source_key_guards_for_eight_days_at_least() -> None:
    centre = Centre()
    centre.do(message("c1"), by=ADAPTER)
    centre.wait_until(START + 8 * DAY)
    assert kinds(centre.do(message("c1"), by=ADAPTER).events) == ["CommandNoted"]
    centre.wait_until((START // DAY + 9) * DAY - 1)
    assert kinds(centre.do(message("c1"), by=ADAPTER).events) == ["CommandNoted"]
    centre.wait(0.001)
    assert kinds(centre.do(message("c1"), by=ADAPTER).events) == ["MessageReceived"], "it joins the live contact"


def test_day_turns_once_and_before_anything_else_of_the_day() -> None:
    centre = Centre()
    centre.wait_until((START // DAY + 3) * DAY + 5)
    turned = [(played.at, event.day) for played in centre.history for d in played.decided for event in d.events
              if isinstance(event, ev.DayTurned)]  # fmt: skip
    assert [day for _, day in turned] == [START // DAY, START // DAY + 3]
    assert len(centre.engine.state.seen) <= 9
    assert len(centre.engine.state.answers) <= 2


# Poisoned commands


def test_poisoned_command_is_rejected_and_the_state_untouched() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    before = centre.facts()
    poisoned = cmd.ReceiveMessage(**{**fields_of(message("c1")), "candidates": cast(Any, (None,))})
    decided = centre.do(poisoned, by=ADAPTER)
    (rejected,) = decided.events
    assert isinstance(rejected, ev.CommandRejected)
    assert rejected.reason.startswith("AttributeError")
    assert decided.answer is not None
    assert decided.answer.refused is not None
    assert decided.answer.refused[0] == "rejected"
    assert "AttributeError" not in decided.answer.refused[1], "the caller is not told of our insides"
    assert centre.facts() == before
    assert centre.write("c1").state is ContactState.OFFERED, "and the next command is decided as if nothing had been"


def test_command_of_a_type_that_nobody_knows_is_rejected() -> None:
    centre = Centre()
    decided = centre.do(cast(Any, object()))
    assert kinds(decided.events) == ["CommandRejected"]


def test_memory_error_stops_the_partition() -> None:
    centre = Centre()

    def exhausted(ctx: object, command: object) -> list[ev.Event]:
        raise MemoryError

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(deciding._DECIDE, cmd.CancelContact, exhausted)
        with pytest.raises(MemoryError):
            centre.do(cmd.CancelContact(contact=ContactId("m1.0")))


def fields_of(command: cmd.ReceiveMessage) -> dict[str, Any]:
    return {name: getattr(command, name) for name in command.__dataclass_fields__}


# Time without a leader


def test_offer_deadline_is_shifted_by_the_time_nobody_led() -> None:
    centre = Centre(policy([queue(offer_timeout_s=20)]))
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.wait(15)
    assert kinds(centre.leave_unled(60)) == ["Resumed"]
    assert centre.offered_to("c1") == ["ana"]
    assert centre.wait(4.999) == []
    assert kinds(centre.wait(0.001))[0] == "OfferExpired"


def test_grace_is_shifted_by_the_time_nobody_led() -> None:
    centre = Centre(policy(lease={"grace_s": 60}))
    centre.staff(agent("ana"))
    centre.do(cmd.LoseLease(agent=centre.agent("ana").id), by=ADAPTER)
    centre.leave_unled(600)
    assert centre.wait(59.999) == []
    assert kinds(centre.wait(0.001)) == ["AgentGraceEnded"]


def test_ended_offers_are_not_shifted() -> None:
    centre = Centre(policy([queue(offer_timeout_s=20)]))
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.accept("ana", "c1")
    deadline = centre.offer("c1", "ana").expires_at
    centre.leave_unled(60)
    assert centre.offer("c1", "ana").expires_at == deadline


def test_times_that_are_nobodys_fault_are_not_shifted() -> None:
    centre = Centre(policy([queue(wrap_up_s=30)]))
    centre.staff(agent("ana"))
    centre.do(contact("later", channel="chat", at_s=40), by=SUPERVISOR)
    centre.write("c1")
    centre.accept("ana", "c1")
    centre.complete("ana", "c1")
    centre.leave_unled(60)
    assert kinds(centre.wait(0)) == ["WrapUpEnded", "ContactQueued", "OfferMade"]


def test_new_leader_routes_whoever_the_last_one_did_not_get_to() -> None:
    centre = Centre(checked=False)
    centre.do(agent("ana"))
    centre.write("c1")
    ana = centre.agent("ana").id
    half: list[ev.Event] = [
        ev.AgentRegained(agent=ana),
        ev.AgentPresenceChanged(agent=ana, presence="available", cause="agent"),
    ]
    centre.engine.fold("k99", "w", "agent:ana", "", half, centre.now, centre.seq + 1)
    centre.engine.settle(centre.now, (99, 0))
    assert centre.offered_to("c1") == []
    (decided,) = centre.engine.rematch(centre.now, centre.seq + 2)
    assert kinds(decided.events) == ["OfferMade"]
    assert centre.engine.rematch(centre.now, centre.seq + 2) == []


# Timers


def test_all_timers_of_one_instant_fire_before_the_routing_pass() -> None:
    centre = Centre(policy([queue(offer_timeout_s=20, wrap_up_s=15)]))
    centre.staff(agent("ana"), agent("ben"))
    centre.write("c0")
    centre.accept("ana", "c0")
    centre.write("c1")
    assert centre.offered_to("c1") == ["ben"]
    centre.wait(5)
    centre.complete("ana", "c0")
    happened = centre.wait(15)
    assert kinds(happened) == ["WrapUpEnded", "OfferExpired", "OfferMade"]
    assert centre.offered_to("c1") == ["ana"]


def test_timers_of_one_instant_fire_by_kind_agents_first() -> None:
    centre = Centre(policy([queue(offer_timeout_s=20, wrap_up_s=20, retry_delay_s=20)], lease={"grace_s": 20}))
    centre.do(contact("later", channel="chat", at_s=20), by=SUPERVISOR)
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.decline("ana", "c1")
    centre.write("c2")
    centre.handle("ana", "c2")
    centre.staff(agent("ben"))
    centre.do(cmd.LoseLease(agent=centre.agent("ben").id), by=ADAPTER)
    centre.staff(agent("cem"))
    centre.write("c3")
    happened = kinds(centre.wait(20))
    assert happened[:5] == ["WrapUpEnded", "AgentGraceEnded", "OfferExpired", "ContactQueued", "RetryDue"]


def test_timers_that_were_late_fire_in_the_order_in_which_they_were_due() -> None:
    centre = Centre(policy([queue(offer_timeout_s=20, retry_delay_s=5)]))
    centre.staff(agent("ana"), agent("ben"))
    centre.write("c2")
    centre.wait(1)
    centre.write("c1")
    centre.now += 60_000
    centre.write("c3")
    expired = [event.contact for event in centre.all(ev.OfferExpired)]
    assert expired == [centre.id_of("c2"), centre.id_of("c1")]


def test_engine_says_when_it_wants_to_be_woken() -> None:
    centre = Centre(policy([queue(offer_timeout_s=20)]))
    assert centre.engine.next_due() is None
    centre.staff(agent("ana"))
    centre.write("c1")
    assert centre.engine.next_due() == centre.now + 20_000
    assert not centre.engine.due(centre.now + 19_999)
    assert centre.engine.due(centre.now + 20_000)


def test_engine_without_a_workspace_only_turns_the_day() -> None:
    engine = Engine()
    assert engine.next_due() is None
    assert engine.due(START)
    turned = engine.tick(START, 1, 0)
    assert turned is not None
    assert kinds(turned.events) == ["DayTurned"]
    assert engine.tick(START, 1, 1) is None


# Forgetting


def test_forgetting_ended_contacts_leaves_no_residue() -> None:
    both = [channel("chat", fallback=fallback("email")), channel("email")]
    rules = [queue("general", wrap_up_s=10, offer_timeout_s=20), queue("cards", retry_delay_s=5)]
    centre = Centre(policy(rules, both, keep_ended_s=60))
    centre.staff(agent("ana", capacity=2, languages={"fr": 3}), agent("ben", skills={"cards": 2}))
    centre.write("c1", customer="kim", language="fr", reach=(reach("email", "kim"),))
    centre.write("c2", skills={"cards": 1}, queue="cards")
    centre.write("c3", language="xx", customer="lee")
    centre.do(contact("later", channel="chat", at_s=30), by=SUPERVISOR)
    centre.accept("ana", "c1")
    centre.reply("ana", "c1")
    centre.write_again("c1b", to="c1")
    centre.decline("ben", "c2")
    centre.wait(6)
    centre.down("chat")
    centre.write("c1c", customer="kim", channel="email")
    centre.wait(60)
    centre.up("chat")
    for held in list(centre.ws.contacts.values()):
        if held.state.is_open:
            centre.do(cmd.CancelContact(contact=held.id), by=SUPERVISOR)
    centre.wait(30)
    assert not nothing_left(residue(centre.engine.world)), "ended contacts stay readable for a while"
    ended = len(centre.ws.contacts)
    centre.wait(61)
    assert len(centre.all(ev.ContactForgotten)) == ended
    assert nothing_left(residue(centre.engine.world)), residue(centre.engine.world)


def test_customer_is_known_as_long_as_one_of_their_contacts_is() -> None:
    centre = Centre(policy(keep_ended_s=60))
    centre.staff(agent("ana", languages={"fr": 1}))
    centre.write("c1", customer="kim", language="fr")
    centre.handle("ana", "c1")
    centre.wait(30)
    assert centre.write("c2", customer="kim").language == "fr"
    centre.handle("ana", "c2")
    centre.wait(40)
    assert list(centre.ws.contacts) == [centre.id_of("c2")]
    assert centre.write("c3", customer="kim").language == "fr"


def test_forgotten_contacts_offer_is_unknown() -> None:
    centre = Centre(policy(keep_ended_s=60))
    centre.staff(agent("ana"))
    centre.write("c1")
    offer = centre.offer("c1", "ana").id
    centre.handle("ana", "c1")
    centre.wait(60)
    assert centre.refused(cmd.AcceptOffer(offer=offer), by=acting("ana")) == ("unknown_offer", "offer")


def test_edit_of_a_forgotten_message_opens_nothing() -> None:
    centre = Centre(policy(keep_ended_s=60))
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.handle("ana", "c1")
    centre.wait(60)
    decided = centre.do(message("edit", kind=MessageKind.EDIT, refers_to="c1"), by=ADAPTER)
    assert kinds(decided.events) == ["MessageIgnored"]


def test_wrap_up_outlives_its_forgotten_contact() -> None:
    centre = Centre(policy([queue(wrap_up_s=600)], keep_ended_s=60))
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.handle("ana", "c1")
    centre.wait(60)
    assert centre.ws.contacts == {}
    done = cmd.FinishWrapUp(agent=centre.agent("ana").id, code="late")
    assert kinds(centre.do(done, by=acting("ana")).events) == ["WrapUpEnded"]


def test_contact_knows_the_entries_that_tell_its_story() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    first = centre.write("c1")
    born = centre.seq
    centre.do(agent("ben"), by=OPERATOR)
    centre.accept("ana", "c1")
    assert first.seqs == [born, centre.seq]
