"""Offers: made, accepted, declined, expired, withdrawn; and what follows an assignment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import AgentId, ContactId, ContactState, OfferId
from tests.builders import ADAPTER, SUPERVISOR, Centre, acting, agent, kinds, message, policy, presence, queue


def test_arriving_contact_is_offered_at_once() -> None:
    centre = Centre(policy([queue(offer_timeout_s=20)]))
    centre.staff(agent("ana"))
    decided = centre.do(message("c1"), by=ADAPTER)
    assert kinds(decided.events) == ["ContactCreated", "MessageReceived", "OfferMade"]
    assert centre.offered_to("c1") == ["ana"]
    assert centre.last(ev.OfferMade).expires_at == centre.now + 20_000
    assert centre.contact("c1").state is ContactState.OFFERED


def test_accepted_offer_assigns_the_contact() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.wait(3)
    decided = centre.accept("ana", "c1")
    assert kinds(decided.events) == ["OfferAccepted"]
    contact = centre.contact("c1")
    assert (contact.state, contact.agent, contact.answered_at) == (ContactState.ASSIGNED, "ana", centre.now)
    assert decided.answer is not None
    assert decided.answer.subject == contact.id


def test_accepting_twice_is_noted_and_changes_nothing() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.accept("ana", "c1")
    decided = centre.accept("ana", "c1")
    assert kinds(decided.events) == ["CommandNoted"]
    assert decided.answer is not None
    assert (decided.answer.refused, decided.answer.subject) == (None, centre.id_of("c1"))


def test_expired_offer_returns_contact_to_its_place() -> None:
    centre = Centre(policy([queue(offer_timeout_s=20)]))
    centre.write("c1")
    centre.wait(1)
    centre.write("c2")
    centre.staff(agent("ana"))
    assert centre.holds("ana") == ["c1"]
    arrived = centre.contact("c1").age_from
    centre.do(presence("ana", then="away"), by=acting("ana"))
    centre.wait(20)
    assert centre.contact("c1").state is ContactState.WAITING
    assert centre.contact("c1").age_from == arrived
    centre.staff(agent("ben"))
    assert centre.holds("ben") == ["c1"], "c1 is still before c2"


def test_offer_expires_at_its_deadline_and_not_before() -> None:
    centre = Centre(policy([queue(offer_timeout_s=20)]))
    centre.staff(agent("ana"))
    centre.write("c1")
    assert centre.wait(19.999) == []
    assert kinds(centre.wait(0.001)) == ["OfferExpired", "ContactExhausted", "OfferMade"]


def test_accept_decided_before_the_timer_counts() -> None:
    centre = Centre(policy([queue(offer_timeout_s=20)]))
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.wait(19.999)
    centre.accept("ana", "c1")
    assert centre.wait(60) == []
    assert centre.contact("c1").agent == "ana"


def test_accept_at_the_very_deadline_finds_the_offer_expired() -> None:
    centre = Centre(policy([queue(offer_timeout_s=20, decline={"policy": "never"})]))
    centre.staff(agent("ana"))
    centre.write("c1")
    offer = centre.offer("c1", "ana").id
    centre.now += 20_000
    decided = centre.do(cmd.AcceptOffer(offer=offer), by=acting("ana"))
    assert decided.answer is not None
    assert decided.answer.refused is not None
    assert decided.answer.refused[0] == "offer_expired"
    assert centre.contact("c1").agent is None


def test_only_the_agent_it_was_made_to_may_answer_an_offer() -> None:
    centre = Centre()
    centre.staff(agent("ana"), agent("ben"))
    centre.write("c1")
    offer = centre.offer("c1", "ana").id
    for who in (acting("ben"), SUPERVISOR, ADAPTER):
        assert centre.refused(cmd.AcceptOffer(offer=offer), by=who) == ("not_yours", None)
        assert centre.refused(cmd.RejectOffer(offer=offer), by=who) == ("not_yours", None)
    assert centre.offered_to("c1") == ["ana"]


def test_a_key_named_like_the_agent_is_not_the_agent() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    impostor = cmd.Actor(role=SUPERVISOR.role, id="ana")
    assert centre.refused(cmd.AcceptOffer(offer=centre.offer("c1", "ana").id), by=impostor) == ("not_yours", None)


def test_unknown_offer_is_refused_by_name() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    assert centre.refused(cmd.AcceptOffer(offer=OfferId("o9")), by=acting("ana")) == ("unknown_offer", "offer")
    assert centre.refused(cmd.RejectOffer(offer=OfferId("o9")), by=acting("ana")) == ("unknown_offer", "offer")


@pytest.mark.parametrize("ending", ["expired", "declined", "withdrawn"])
def test_stale_offer_is_refused_with_the_true_reason(ending: str) -> None:
    centre = Centre(policy([queue(offer_timeout_s=20, decline={"policy": "never"})]))
    centre.staff(agent("ana"))
    centre.write("c1")
    offer = centre.offer("c1", "ana").id
    if ending == "expired":
        centre.wait(20)
    elif ending == "declined":
        centre.decline("ana", "c1")
    else:
        centre.do(presence("ana", "away"), by=acting("ana"))
    assert centre.refused(cmd.AcceptOffer(offer=offer), by=acting("ana")) == (f"offer_{ending}", None)
    assert centre.refused(cmd.RejectOffer(offer=offer), by=acting("ana")) == (f"offer_{ending}", None)


def test_stale_reason_is_told_even_after_the_contact_was_completed() -> None:
    centre = Centre(policy([queue(decline={"policy": "never"})]))
    centre.staff(agent("ana"), agent("ben"))
    centre.write("c1")
    stale = centre.offer("c1", "ana").id
    centre.decline("ana", "c1")
    centre.handle("ben", "c1")
    assert centre.refused(cmd.AcceptOffer(offer=stale), by=acting("ana")) == ("offer_declined", None)


def test_accepted_offer_cannot_be_declined_any_more() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.accept("ana", "c1")
    decline = cmd.RejectOffer(offer=centre.offer("c1", "ana").id)
    assert centre.refused(decline, by=acting("ana")) == ("wrong_state", None)


def test_declined_contact_goes_to_another_agent_first() -> None:
    centre = Centre()
    centre.staff(agent("ana"), agent("ben"))
    centre.write("c1")
    assert centre.offered_to("c1") == ["ana"]
    centre.decline("ana", "c1")
    assert centre.offered_to("c1") == ["ben"]


def test_decliner_gets_the_contact_again_when_nobody_else_can() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    decided = centre.decline("ana", "c1")
    assert kinds(decided.events) == ["OfferDeclined", "ContactExhausted", "OfferMade"]
    assert centre.offered_to("c1") == ["ana"]


def test_fewest_declines_come_before_longest_idle() -> None:
    centre = Centre()
    centre.staff(agent("ana"), agent("ben"))
    centre.write("c1")
    for who in ("ana", "ben", "ana"):
        assert centre.offered_to("c1") == [who]
        centre.decline(who, "c1")
    assert centre.contact("c1").declines == {"ana": 2, "ben": 1}
    assert centre.offered_to("c1") == ["ben"]


def test_never_again_means_never_to_that_agent() -> None:
    centre = Centre(policy([queue(decline={"policy": "never"})]))
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.decline("ana", "c1")
    centre.wait(600)
    assert centre.contact("c1").state is ContactState.WAITING
    centre.staff(agent("ben"))
    assert centre.offered_to("c1") == ["ben"]


def test_contact_that_everybody_declined_for_good_does_not_block_the_next() -> None:
    centre = Centre(policy([queue(decline={"policy": "never"})]))
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.write("c2")
    centre.decline("ana", "c1")
    assert centre.holds("ana") == ["c2"]
    assert centre.contact("c1").state is ContactState.WAITING


def test_expiry_counts_as_a_decline() -> None:
    centre = Centre(policy([queue(offer_timeout_s=20)]))
    centre.staff(agent("ana"), agent("ben"))
    centre.write("c1")
    centre.wait(20)
    assert centre.offered_to("c1") == ["ben"]
    assert centre.contact("c1").declines == {"ana": 1}


def test_retry_delay_holds_the_contact_back_and_keeps_its_age() -> None:
    centre = Centre(policy([queue(retry_delay_s=60)]))
    centre.staff(agent("ana"), agent("ben"))
    centre.write("c1")
    arrived = centre.contact("c1").age_from
    centre.decline("ana", "c1")
    assert centre.offered_to("c1") == []
    assert centre.wait(59.999) == []
    assert kinds(centre.wait(0.001)) == ["RetryDue", "OfferMade"]
    assert centre.offered_to("c1") == ["ben"]
    assert centre.contact("c1").age_from == arrived


def test_contact_under_retry_delay_blocks_nobody() -> None:
    centre = Centre(policy([queue(retry_delay_s=60)]))
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.write("c2")
    centre.decline("ana", "c1")
    assert centre.holds("ana") == ["c2"]


def test_agents_own_retry_time_counts_when_it_is_longer_than_the_queues() -> None:
    centre = Centre(policy([queue(retry_delay_s=10)]))
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.decline("ana", "c1", retry_after_s=90)
    assert centre.contact("c1").retry_at == centre.now + 90_000
    centre.wait(90)
    centre.decline("ana", "c1", retry_after_s=1)
    assert centre.contact("c1").retry_at == centre.now + 10_000


def test_completed_contact_frees_the_agent_for_the_next() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.write("c2")
    centre.accept("ana", "c1")
    decided = centre.complete("ana", "c1", code="solved")
    assert kinds(decided.events) == ["ContactCompleted", "OfferMade"]
    assert centre.contact("c1").state is ContactState.COMPLETED
    assert centre.contact("c1").wrap_up_code == "solved"
    assert centre.holds("ana") == ["c2"]


def test_only_its_agent_or_a_supervisor_completes_a_contact() -> None:
    centre = Centre()
    centre.staff(agent("ana"), agent("ben"))
    centre.write("c1")
    complete = cmd.CompleteContact(contact=centre.id_of("c1"))
    assert centre.refused(complete, by=acting("ana")) == ("not_yours", None)
    assert centre.refused(complete, by=SUPERVISOR) == ("wrong_state", None)
    centre.accept("ana", "c1")
    assert centre.refused(complete, by=acting("ben")) == ("not_yours", None)
    decided = centre.do(complete, by=SUPERVISOR)
    assert kinds(decided.events) == ["ContactCompleted"]


def test_ended_contact_cannot_be_ended_again() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.handle("ana", "c1")
    contact = centre.id_of("c1")
    ana = acting("ana")
    assert centre.refused(cmd.CompleteContact(contact=contact), by=ana) == ("wrong_state", None)
    assert centre.refused(cmd.RequeueContact(contact=contact), by=ana) == ("wrong_state", None)
    assert centre.refused(cmd.CancelContact(contact=contact), by=SUPERVISOR) == ("wrong_state", None)
    assert centre.refused(cmd.AbandonContact(contact=contact), by=ADAPTER) == ("wrong_state", None)
    assert centre.refused(cmd.SendReply(contact=contact, content_ref="r"), by=ana) == ("wrong_state", None)


def test_unknown_contact_is_refused_by_name() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    nobody = ContactId("m9.0")
    for command in (
        cmd.CompleteContact(contact=nobody),
        cmd.RequeueContact(contact=nobody),
        cmd.CancelContact(contact=nobody),
        cmd.AbandonContact(contact=nobody),
        cmd.SendReply(contact=nobody, content_ref="r"),
    ):
        assert centre.refused(command, by=acting("ana")) == ("unknown_contact", "contact")


def test_requeued_contact_waits_with_its_original_age() -> None:
    centre = Centre()
    centre.write("c1")
    centre.wait(10)
    centre.write("c2")
    centre.staff(agent("ana"))
    centre.accept("ana", "c1")
    arrived = centre.contact("c1").age_from
    centre.wait(100)
    centre.do(presence("ana", "away"), by=acting("ana"))
    centre.do(cmd.RequeueContact(contact=centre.id_of("c1")), by=acting("ana"))
    assert (centre.contact("c1").agent, centre.contact("c1").age_from) == (None, arrived)
    centre.staff(agent("ben"))
    assert centre.holds("ben") == ["c1"], "c1 is still before c2"


def test_agent_who_gives_a_contact_back_is_not_its_first_choice_again() -> None:
    centre = Centre()
    centre.staff(agent("ana", capacity=2), agent("ben"))
    centre.write("c1")
    centre.accept("ana", "c1")
    centre.do(cmd.RequeueContact(contact=centre.id_of("c1")), by=acting("ana"))
    assert centre.offered_to("c1") == ["ben"]


@pytest.mark.parametrize(("fallback", "next_one"), [("any", "ben"), ("hold", "ana")])
def test_wish_is_over_with_the_answer_but_where_contacts_are_held(fallback: str, next_one: str) -> None:
    centre = Centre(policy([queue(preferred={"wait_s": 600, "fallback": fallback})]))
    centre.staff(agent("ana"), agent("ben"))
    centre.do(replace(message("c1"), preferred=(AgentId("ana"),)), by=ADAPTER)
    centre.accept("ana", "c1")
    centre.do(cmd.RequeueContact(contact=centre.id_of("c1")), by=acting("ana"))
    assert centre.offered_to("c1") == [next_one]


def test_supervisors_requeue_is_no_decline() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.accept("ana", "c1")
    centre.do(cmd.RequeueContact(contact=centre.id_of("c1")), by=SUPERVISOR)
    assert centre.contact("c1").declines == {}
    assert centre.offered_to("c1") == ["ana"]


def test_cancelled_contact_withdraws_its_offer_and_frees_the_agent() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.write("c2")
    decided = centre.do(cmd.CancelContact(contact=centre.id_of("c1"), reason="spam"), by=SUPERVISOR)
    assert kinds(decided.events) == ["OfferWithdrawn", "ContactCancelled", "OfferMade"]
    assert (centre.contact("c1").state, centre.contact("c1").end_reason) == (ContactState.CANCELLED, "spam")
    assert centre.holds("ana") == ["c2"]


def test_cancelling_an_assigned_contact_frees_its_agent() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.accept("ana", "c1")
    centre.do(cmd.CancelContact(contact=centre.id_of("c1")), by=SUPERVISOR)
    assert centre.holds("ana") == []


@pytest.mark.parametrize("offered", [False, True])
def test_abandoned_contact_tells_how_long_it_waited(offered: bool) -> None:
    centre = Centre()
    if offered:
        centre.staff(agent("ana"))
    centre.write("c1")
    centre.wait(7)
    centre.do(cmd.AbandonContact(contact=centre.id_of("c1")), by=ADAPTER)
    assert centre.last(ev.ContactAbandoned).waited == 7_000
    assert centre.contact("c1").state is ContactState.ABANDONED
    assert centre.offered_to("c1") == []


def test_assigned_contact_is_not_abandoned_its_agent_ends_it() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.accept("ana", "c1")
    assert centre.refused(cmd.AbandonContact(contact=centre.id_of("c1")), by=ADAPTER) == ("wrong_state", None)


def test_leaving_a_thread_abandons_what_waits_on_it() -> None:
    centre = Centre()
    centre.write("c1", thread="sofa")
    centre.write("c2")
    leave = cmd.LeaveThread(thread=centre.contact("c1").thread)
    assert kinds(centre.do(leave, by=ADAPTER).events) == ["ContactAbandoned"]
    assert kinds(centre.do(leave, by=ADAPTER).events) == ["CommandNoted"]
    assert centre.contact("c2").state is ContactState.WAITING


def test_leaving_a_thread_keeps_what_an_agent_has() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.accept("ana", "c1")
    decided = centre.do(cmd.LeaveThread(thread=centre.contact("c1").thread), by=ADAPTER)
    assert kinds(decided.events) == ["CommandNoted"]
    assert centre.contact("c1").state is ContactState.ASSIGNED


def test_decision_record_tells_who_was_considered_and_why_others_were_out() -> None:
    centre = Centre(policy([queue(strategy="best_language")]))
    centre.staff(
        agent("ana", languages={"fr": 3}),
        agent("ben", languages={"fr": 5}),
        agent("cem", languages={"tr": 5}),
    )
    centre.write("c1", language="fr")
    record = centre.last(ev.OfferMade).decision
    assert (record.strategy, record.policy_version) == ("best_language", 1)
    assert [head[0] for head in record.considered] == ["ben", "ana"]
    assert record.excluded == {"language": 1}
