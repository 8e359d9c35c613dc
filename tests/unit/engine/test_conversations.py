"""Which contact a message belongs to, in which language, and the agents' replies."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import AutoClass, ContactState, Delivery, MessageId, MessageKind
from tests.builders import (
    ADAPTER,
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
    presence,
    queue,
    reach,
)

# One conversation, one contact


def test_message_on_a_live_thread_joins_its_contact() -> None:
    centre = Centre()
    first = centre.write("c1")
    second = centre.write_again("c1b", to="c1")
    assert first.id == second.id
    assert [m.ref for m in second.messages] == ["m:c1", "m:c1b"]
    assert [m.thread_seq for m in second.messages] == [1, 2]
    assert len(centre.ws.contacts) == 1


def test_messages_on_two_threads_are_two_contacts_even_of_one_customer() -> None:
    centre = Centre()
    assert centre.write("c1", customer="kim").id != centre.write("c2", customer="kim").id
    assert len(centre.ws.customers) == 1


def test_same_source_key_twice_is_one_message() -> None:
    centre = Centre()
    centre.write("c1")
    decided = centre.do(message("c1"), by=ADAPTER)
    assert kinds(decided.events) == ["CommandNoted"]
    assert decided.answer is not None
    assert decided.answer.subject == centre.id_of("c1")
    assert len(centre.contact("c1").messages) == 1


def test_source_keys_of_two_workspaces_do_not_meet() -> None:
    centre = Centre()
    here = centre.write("c1")
    centre.move_to("v")
    there = centre.write("c1")
    assert here.id != there.id
    assert [len(ws.contacts) for ws in centre.engine.state.workspaces.values()] == [1, 1]


def test_message_after_the_end_opens_a_new_contact_that_names_the_previous() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    first = centre.write("c1")
    centre.handle("ana", "c1")
    second = centre.write_again("c2", to="c1")
    assert (second.id != first.id, second.previous) == (True, first.id)
    assert second.messages[0].thread_seq == 2, "the thread's numbers go on"


def test_message_while_the_agent_talks_reaches_the_same_agent() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.accept("ana", "c1")
    decided = centre.do(message("c1b", thread=centre.contact("c1").thread), by=ADAPTER)
    assert kinds(decided.events) == ["MessageReceived"]
    assert centre.contact("c1").agent == "ana"


@pytest.mark.parametrize("auto", [a for a in AutoClass if a is not AutoClass.NONE])
def test_what_a_machine_wrote_opens_no_contact(auto: AutoClass) -> None:
    centre = Centre()
    decided = centre.do(message("c1", auto=auto), by=ADAPTER)
    assert decided.events == (ev.MessageIgnored(source_key="c1", reason=auto.value),)
    assert centre.ws.contacts == {}
    again = centre.do(message("c1", auto=auto), by=ADAPTER)
    assert kinds(again.events) == ["CommandNoted"], "and it counts once"


@pytest.mark.parametrize(
    ("auto", "joins"),
    [(AutoClass.AUTO_REPLY, True), (AutoClass.OUT_OF_OFFICE, True), (AutoClass.BOUNCE, False), (AutoClass.LIST, False)],
)
def test_automatic_reply_joins_a_live_contact_and_a_bounce_does_not(auto: AutoClass, joins: bool) -> None:
    centre = Centre()
    first = centre.write("c1")
    decided = centre.do(message("c1b", auto=auto, thread=first.thread), by=ADAPTER)
    assert kinds(decided.events) == (["MessageReceived"] if joins else ["MessageIgnored"])


@pytest.mark.parametrize("kind", [MessageKind.EDIT, MessageKind.UNSEND, MessageKind.REACTION])
def test_what_refers_to_nothing_opens_nothing(kind: MessageKind) -> None:
    centre = Centre()
    decided = centre.do(message("c1", kind=kind, refers_to="gone"), by=ADAPTER)
    assert decided.events == (ev.MessageIgnored(source_key="c1", reason="refers_to_nothing"),)


def test_edit_joins_the_contact_of_what_it_edits_even_after_the_end() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    first = centre.write("c1")
    centre.handle("ana", "c1")
    centre.write_again("c2", to="c1")
    edited = centre.write_again("edit", to="c1", kind=MessageKind.EDIT, refers_to="c1")
    assert edited.id == first.id
    assert edited.state is ContactState.COMPLETED
    assert edited.messages[-1].refers_to == "c1"


def test_postback_opens_a_contact_like_a_message() -> None:
    assert Centre().write("c1", kind=MessageKind.POSTBACK).state is ContactState.WAITING


def test_unknown_channel_and_queue_are_refused_by_name() -> None:
    centre = Centre()
    assert centre.refused(message(channel="telegram"), by=ADAPTER) == ("unknown_channel", "channel")
    assert centre.refused(message(account="elsewhere"), by=ADAPTER) == ("unknown_channel", "channel")
    assert centre.refused(message(queue="typo"), by=ADAPTER) == ("unknown_queue", "queue")
    assert centre.refused(contact(channel="callback"), by=ADAPTER) == ("unknown_channel", "channel")
    assert centre.refused(contact(channel="chat", queue="typo"), by=ADAPTER) == ("unknown_queue", "queue")


def test_refused_message_may_come_again_and_count() -> None:
    centre = Centre()
    centre.refused(message("c1", queue="typo"), by=ADAPTER)
    assert centre.write("c1").state is ContactState.WAITING


def test_contact_takes_queue_and_priority_of_its_channel() -> None:
    centre = Centre(policy([queue("general"), queue("vip")], [channel("chat", to="vip", priority=5)]))
    assert (centre.write("c1", priority=2).queue, centre.contact("c1").priority) == ("vip", 7)
    assert centre.write("c2", queue="general").queue == "general"


# Languages

KNOWN: dict[str, Any] = {"language_confidence": 0.8, "language_profile_confidence": 0.5}


@pytest.mark.parametrize(
    ("stated", "detected", "profile", "default", "expected"),
    [
        ("pt-BR", {"es": 0.99}, "fr", "en", ("pt", "stated")),
        ("und", {"es": 0.99}, None, "en", ("es", "detected")),
        (None, {"es": 0.8}, "fr", "en", ("es", "detected")),
        (None, {"es": 0.79}, "fr", "en", ("fr", "profile")),
        (None, {"fr": 0.5}, "fr", "en", ("fr", "profile")),
        (None, {"es": 0.79}, None, "en", ("en", "channel_default")),
        (None, {}, "fr", "en", ("fr", "profile")),
        (None, {}, None, "en", ("en", "channel_default")),
        (None, {"es": 0.3, "en": 0.9}, None, "und", ("und", "channel_default")),
        (None, {}, None, "und", ("und", "channel_default")),
    ],
)
def test_language_is_stated_else_detected_else_the_profiles_else_the_channels(
    stated: str | None, detected: dict[str, float], profile: str | None, default: str, expected: tuple[str, str]
) -> None:
    centre = Centre(policy(channels=[channel("chat", language=default)], **KNOWN))
    if profile is not None:
        centre.write("earlier", customer="kim", language=profile)
    centre.write("c1", customer="kim", language=stated, detected=detected)
    created = centre.last(ev.ContactCreated)
    assert (created.language, created.language_reason) == expected
    assert [c.language for c in created.candidates] == list(detected), "what the detector thought is recorded"


def test_agreeing_detection_keeps_its_confidence() -> None:
    centre = Centre(policy(**KNOWN))
    centre.write("earlier", customer="kim", language="fr")
    assert centre.write("c1", customer="kim", detected={"fr": 0.6}).language_confidence == 0.6


def test_clearer_second_line_gives_a_waiting_contact_its_language() -> None:
    centre = Centre()
    centre.write("c1", detected={"id": 0.2})
    centre.staff(agent("tom", languages={"en": 5}, channels=("email",)))
    assert centre.contact("c1").language == "und"
    found = centre.write_again("c1b", to="c1", detected={"id": 0.95})
    assert (found.language, found.language_confidence) == ("id", 0.95)
    centre.staff(agent("eva", languages={"en": 5}), agent("iwan", languages={"id": 5}))
    assert centre.offered_to("c1") == ["iwan"]


def test_second_line_does_not_change_a_language_that_is_known() -> None:
    centre = Centre()
    centre.write("c1", language="fr")
    assert centre.write_again("c1b", to="c1", detected={"en": 0.99}).language == "fr"


def test_customers_language_is_remembered_from_what_was_stated_or_detected_only() -> None:
    centre = Centre(policy(channels=[channel("chat", language="en")]))
    centre.write("c1", customer="kim")
    centre.write("c2", customer="lee", detected={"vi": 0.9})
    assert centre.ws.customers[centre.contact("c1").customer].language is None
    assert centre.ws.customers[centre.contact("c2").customer].language == "vi"


# The customer on more than one channel

BOTH = [channel("chat", fallback=fallback("email")), channel("email")]


def redirected() -> Centre:
    """A centre whose chat is down: c1 of kim has gone on by e-mail."""
    centre = Centre(policy(channels=BOTH))
    centre.write("c1", customer="kim", reach=(reach("email", "kim"),))
    centre.down("chat")
    assert centre.contact("c1").channel == "email"
    return centre


def test_customer_who_writes_on_the_other_channel_joins_the_redirected_contact() -> None:
    centre = redirected()
    joined = centre.write("mail", channel="email", customer="kim")
    assert joined.id == centre.id_of("c1")
    assert joined.thread == "email-thread-of-mail", "the answer goes to the customer's own thread now"
    assert centre.write_again("mail2", to="mail").id == joined.id


def test_stranger_on_the_other_channel_does_not_join() -> None:
    centre = redirected()
    assert centre.write("mail", channel="email", customer="lee").id != centre.id_of("c1")


def test_customer_on_the_other_channel_without_a_redirect_is_a_contact_of_its_own() -> None:
    centre = Centre(policy(channels=BOTH))
    first = centre.write("c1", customer="kim", reach=(reach("email", "kim"),))
    second = centre.write("mail", channel="email", customer="kim")
    assert (first.id != second.id, first.customer) == (True, second.customer)


def test_unverified_address_identifies_nobody() -> None:
    centre = Centre(policy(channels=BOTH))
    first = centre.write("c1", customer="kim", reach=(reach("email", "kim", verified=False),))
    assert centre.write("mail", channel="email", customer="kim").customer != first.customer


def test_answers_follow_the_customer_back_to_the_recovered_channel() -> None:
    centre = redirected()
    centre.up("chat")
    back = centre.write("c1b", customer="kim", thread="chat-thread-of-c1")
    assert (back.id, back.channel, back.thread) == (centre.id_of("c1"), "chat", "chat-thread-of-c1")


def test_answers_do_not_follow_to_a_channel_that_is_down() -> None:
    centre = redirected()
    still = centre.write("c1b", customer="kim", thread="chat-thread-of-c1")
    assert (still.id, still.channel) == (centre.id_of("c1"), "email")


def test_answers_do_not_follow_while_an_offer_for_the_other_channel_is_out() -> None:
    centre = redirected()
    centre.up("chat")
    centre.staff(agent("ana"))
    assert centre.offered_to("c1") == ["ana"]
    assert centre.write("c1b", customer="kim", thread="chat-thread-of-c1").channel == "email"


def test_answers_follow_to_the_customers_own_thread_even_while_an_offer_is_out() -> None:
    centre = redirected()
    centre.staff(agent("ana"))
    centre.write("mail", channel="email", customer="kim")
    assert centre.offered_to("c1") == ["ana"]
    centre.accept("ana", "c1")
    centre.reply("ana", "c1")
    assert centre.last(ev.ReplyQueued).thread == "email-thread-of-mail"


@pytest.mark.parametrize("kind", [MessageKind.REACTION, MessageKind.EDIT])
def test_reactions_and_edits_move_no_conversation(kind: MessageKind) -> None:
    centre = redirected()
    centre.up("chat")
    moved = centre.write("c1b", customer="kim", thread="chat-thread-of-c1", kind=kind, refers_to="c1")
    assert (moved.id, moved.channel) == (centre.id_of("c1"), "email")


# Work without a message


def test_scheduled_contact_waits_for_its_time_and_ages_from_then() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.do(contact("later", channel="chat", at_s=600), by=SUPERVISOR)
    assert centre.contact("later").state is ContactState.SCHEDULED
    centre.wait(599)
    assert centre.holds("ana") == []
    centre.wait(1)
    assert centre.holds("ana") == ["later"]
    assert centre.contact("later").age_from == centre.now


def test_contact_scheduled_for_the_past_waits_at_once() -> None:
    centre = Centre()
    centre.wait(10)
    centre.do(contact("late", channel="chat", at_s=5), by=SUPERVISOR)
    assert centre.contact("late").state is ContactState.WAITING
    assert centre.contact("late").age_from == centre.now


def test_created_contact_twice_is_one() -> None:
    centre = Centre()
    centre.do(contact("callback", channel="chat"), by=SUPERVISOR)
    again = centre.do(contact("callback", channel="chat"), by=SUPERVISOR)
    assert kinds(again.events) == ["CommandNoted"]
    assert len(centre.ws.contacts) == 1


def test_scheduled_contact_can_be_cancelled_and_abandoned() -> None:
    centre = Centre()
    for name, ending in (("one", cmd.CancelContact), ("two", cmd.AbandonContact)):
        centre.do(contact(name, channel="chat", at_s=600), by=SUPERVISOR)
        centre.do(ending(contact=centre.id_of(name)), by=SUPERVISOR)
        assert not centre.contact(name).state.is_open
    centre.wait(600)
    assert centre.all(ev.ContactQueued) == []


# Replies


def test_reply_goes_out_where_the_contact_is() -> None:
    centre = redirected()
    centre.staff(agent("ana"))
    centre.accept("ana", "c1")
    decided = centre.reply("ana", "c1")
    queued = centre.last(ev.ReplyQueued)
    assert (queued.channel, queued.address, queued.agent) == ("email", "email/kim", "ana")
    assert decided.answer is not None
    assert decided.answer.subject == queued.message


def test_reply_takes_the_next_number_of_the_thread() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.accept("ana", "c1")
    centre.reply("ana", "c1")
    centre.write_again("c1b", to="c1")
    assert [(m.direction, m.thread_seq) for m in centre.contact("c1").messages] == [
        ("customer", 1),
        ("agent", 2),
        ("customer", 3),
    ]


def test_only_who_holds_the_contact_may_answer() -> None:
    centre = Centre()
    centre.staff(agent("ana"), agent("ben"))
    centre.write("c1")
    answer = cmd.SendReply(contact=centre.id_of("c1"), content_ref="r")
    assert centre.refused(answer, by=acting("ana")) == ("not_yours", None)
    centre.accept("ana", "c1")
    assert centre.refused(answer, by=acting("ben")) == ("not_yours", None)


def test_contact_without_a_conversation_cannot_be_answered() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.do(contact("callback", channel="chat"), by=SUPERVISOR)
    centre.accept("ana", "callback")
    answer = cmd.SendReply(contact=centre.id_of("callback"), content_ref="r")
    assert centre.refused(answer, by=acting("ana")) == ("cannot_reply", None)


def test_delivery_only_gets_further() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.accept("ana", "c1")
    centre.reply("ana", "c1")
    reply = centre.last(ev.ReplyQueued).message
    for status, outcome in (
        (Delivery.ACCEPTED, "DeliveryReported"),
        (Delivery.ACCEPTED, "CommandNoted"),
        (Delivery.READ, "DeliveryReported"),
        (Delivery.DELIVERED, "CommandNoted"),
        (Delivery.FAILED, "CommandNoted"),
    ):
        assert kinds(centre.delivered(reply, status).events) == [outcome], status
    assert centre.contact("c1").messages[-1].status == "read"


def test_report_on_an_unknown_reply_is_refused_by_name() -> None:
    centre = Centre()
    first = centre.write("c1")
    for unknown in (MessageId("m9"), first.messages[0].id):
        report = cmd.ReportDelivery(message=unknown, status=Delivery.READ)
        assert centre.refused(report, by=ADAPTER) == ("unknown_message", "message")


def test_agent_who_went_away_still_answers_what_they_hold() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.accept("ana", "c1")
    centre.do(presence("ana", "away"), by=acting("ana"))
    assert kinds(centre.reply("ana", "c1").events) == ["ReplyQueued"]


def test_contact_cannot_be_reopened_later_than_it_is_kept() -> None:
    with pytest.raises(ValidationError, match=r"channels\.0\.reopen_s"):
        policy(channels=[channel("chat", reopen_s=7_200)], keep_ended_s=3_600)


def test_what_a_machine_writes_reopens_nothing() -> None:
    centre = Centre(policy(channels=[channel("email", reopen_s=600)]))
    centre.staff(agent("ana"))
    centre.write("c1", channel="email")
    centre.accept("ana")
    centre.complete("ana")
    thread = centre.contact("c1").thread
    centre.do(message("c2", channel="email", thread=thread, auto=AutoClass.AUTO_REPLY), by=ADAPTER)
    assert centre.contact("c1").state is ContactState.COMPLETED
