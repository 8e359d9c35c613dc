"""Presence, leases, capacity and wrap-up: whether an agent takes work, and what happens to what they hold."""

from __future__ import annotations

import pytest

from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import AgentId, ContactState
from tests.builders import (
    ADAPTER,
    OPERATOR,
    START,
    SUPERVISOR,
    Centre,
    acting,
    agent,
    channel,
    kinds,
    message,
    policy,
    presence,
    queue,
)

ANA = AgentId("ana")


def test_becoming_available_gets_the_longest_waiting_contact() -> None:
    centre = Centre()
    centre.write("c1")
    centre.write("c2")
    centre.staff(agent("ana"))
    assert centre.holds("ana") == ["c1"]


@pytest.mark.parametrize("gone", ["away", "offline", "lunch"])
def test_leaving_availability_withdraws_offers_and_keeps_assigned_work(gone: str) -> None:
    centre = Centre(policy(presences={"lunch": "At lunch"}))
    centre.staff(agent("ana", capacity=2))
    centre.write("c1")
    centre.accept("ana", "c1")
    centre.write("c2")
    decided = centre.do(presence("ana", gone), by=acting("ana"))
    assert kinds(decided.events) == ["AgentPresenceChanged", "OfferWithdrawn"]
    assert centre.holds("ana") == ["c1"]
    assert centre.contact("c2").declines == {}, "a withdrawn offer is no decline"


def test_unknown_presence_is_refused_by_name() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    assert centre.refused(presence("ana", "lunch"), by=acting("ana")) == ("unknown_presence", "presence")
    assert centre.refused(presence("ana", then="lunch"), by=acting("ana")) == ("unknown_presence", "next")


def test_unknown_agent_is_refused_by_name() -> None:
    centre = Centre()
    nobody = AgentId("nobody")
    for command in (
        presence("nobody"),
        cmd.LoseLease(agent=nobody),
        cmd.RegainLease(agent=nobody),
        cmd.ExtendWrapUp(agent=nobody, extend=1),
        cmd.FinishWrapUp(agent=nobody),
    ):
        assert centre.refused(command) == ("unknown_agent", "agent")


def test_agent_acts_only_for_themselves() -> None:
    centre = Centre()
    centre.staff(agent("ana"), agent("ben"))
    for command in (
        presence("ana", "away"),
        cmd.ExtendWrapUp(agent=ANA, extend=1),
        cmd.FinishWrapUp(agent=ANA),
    ):
        assert centre.refused(command, by=acting("ben")) == ("not_yours", None)


def test_supervisor_may_send_an_agent_away() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.do(presence("ana", "away"), by=SUPERVISOR)
    assert centre.last(ev.AgentPresenceChanged).cause == "supervisor"


def test_available_agent_without_a_desk_gets_nothing() -> None:
    centre = Centre()
    centre.do(agent("ana"))
    centre.do(presence("ana"), by=SUPERVISOR)
    centre.write("c1")
    assert centre.holds("ana") == []
    decided = centre.do(cmd.RegainLease(agent=ANA), by=ADAPTER)
    assert kinds(decided.events) == ["AgentRegained", "OfferMade"]


def test_declaring_a_presence_shows_that_the_desk_is_there() -> None:
    centre = Centre()
    centre.do(agent("ana"))
    assert kinds(centre.do(presence("ana"), by=acting("ana")).events) == ["AgentRegained", "AgentPresenceChanged"]


# Next presence


def test_next_presence_follows_when_nothing_is_held() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.write("c2")
    centre.accept("ana", "c1")
    centre.do(presence("ana", then="away"), by=acting("ana"))
    assert centre.agent("ana").presence == "available"
    decided = centre.complete("ana", "c1")
    assert kinds(decided.events) == ["ContactCompleted", "AgentPresenceChanged"]
    assert (centre.agent("ana").presence, centre.agent("ana").next_presence) == ("away", None)
    assert centre.contact("c2").state is ContactState.WAITING


def test_agent_with_a_next_presence_gets_no_new_offers() -> None:
    centre = Centre()
    centre.staff(agent("ana", capacity=2))
    centre.write("c1")
    centre.accept("ana", "c1")
    centre.do(presence("ana", then="away"), by=acting("ana"))
    centre.write("c2")
    assert centre.holds("ana") == ["c1"]


def test_next_presence_of_a_free_agent_follows_at_once() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    decided = centre.do(presence("ana", then="away"), by=acting("ana"))
    assert kinds(decided.events) == ["AgentPresenceChanged", "AgentPresenceChanged"]
    assert centre.agent("ana").presence == "away"


def test_next_presence_waits_for_the_end_of_wrap_up() -> None:
    centre = Centre(policy([queue(wrap_up_s=30)]))
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.accept("ana", "c1")
    centre.do(presence("ana", then="away"), by=acting("ana"))
    centre.complete("ana", "c1")
    assert centre.agent("ana").presence == "available"
    assert kinds(centre.wait(30)) == ["WrapUpEnded", "AgentPresenceChanged"]


def test_next_presence_is_given_up_by_declaring_another() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.accept("ana", "c1")
    centre.do(presence("ana", then="away"), by=acting("ana"))
    centre.do(presence("ana"), by=acting("ana"))
    centre.complete("ana", "c1")
    assert centre.agent("ana").presence == "available"


# Channel switches


def test_switched_off_channel_gets_no_offers_until_switched_on() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.do(presence("ana", channels={"chat": False}), by=acting("ana"))
    centre.write("c1", channel="chat")
    centre.write("c2", channel="email")
    assert centre.holds("ana") == ["c2"]
    centre.handle("ana", "c2")
    centre.do(presence("ana", channels={"chat": True}), by=acting("ana"))
    assert centre.holds("ana") == ["c1"]


def test_switching_a_channel_off_withdraws_its_offers_only() -> None:
    centre = Centre()
    centre.staff(agent("ana", capacity=2))
    centre.write("c1", channel="chat")
    centre.write("c2", channel="email")
    centre.do(presence("ana", channels={"chat": False}), by=acting("ana"))
    assert centre.holds("ana") == ["c2"]


def test_switch_of_one_channel_keeps_the_others_as_they_were() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.do(presence("ana", channels={"chat": False}), by=acting("ana"))
    centre.do(presence("ana", channels={"email": False}), by=acting("ana"))
    assert centre.agent("ana").channel_switch == {"chat": False, "email": False}


# Capacity


def test_total_capacity_bounds_what_is_offered_and_assigned_together() -> None:
    centre = Centre()
    centre.staff(agent("ana", capacity=3))
    for n in range(5):
        centre.write(f"c{n}")
    assert centre.holds("ana") == ["c0", "c1", "c2"]
    centre.accept("ana", "c0")
    assert centre.holds("ana") == ["c0", "c1", "c2"]


def test_capacity_per_channel_leaves_room_for_the_others() -> None:
    centre = Centre()
    centre.staff(agent("ana", capacity=3, per_channel={"chat": 1}))
    centre.write("c1", channel="chat")
    centre.write("c2", channel="chat")
    centre.write("c3", channel="email")
    assert centre.holds("ana") == ["c1", "c3"]


def test_channel_with_no_capacity_is_never_offered() -> None:
    centre = Centre()
    centre.staff(agent("ana", capacity=3, per_channel={"chat": 0}))
    centre.write("c1", channel="chat")
    assert centre.holds("ana") == []


def test_weights_say_how_much_a_contact_takes() -> None:
    centre = Centre()
    centre.staff(agent("ana", capacity=1, weights={"email": 0.3, "chat": 0.7}))
    centre.write("c1", channel="email")
    centre.write("c2", channel="chat")
    centre.write("c3", channel="email")
    assert centre.holds("ana") == ["c1", "c2"]
    centre.handle("ana", "c2")
    assert centre.holds("ana") == ["c1", "c3"]


def test_contact_heavier_than_the_whole_capacity_is_not_offered() -> None:
    centre = Centre()
    centre.staff(agent("ana", capacity=1, weights={"chat": 1.5}))
    centre.write("c1", channel="chat")
    assert centre.holds("ana") == []


def test_lowered_capacity_keeps_the_work_and_gets_none() -> None:
    centre = Centre()
    centre.staff(agent("ana", capacity=2))
    for name in ("c1", "c2", "c3"):
        centre.write(name)
    centre.accept("ana", "c1")
    centre.accept("ana", "c2")
    centre.do(agent("ana", capacity=1))
    assert centre.holds("ana") == ["c1", "c2"]
    centre.complete("ana", "c1")
    assert centre.holds("ana") == ["c2"]
    centre.complete("ana", "c2")
    assert centre.holds("ana") == ["c3"]


def test_raised_capacity_takes_effect_at_once() -> None:
    centre = Centre()
    centre.staff(agent("ana", capacity=1))
    centre.write("c1")
    centre.write("c2")
    centre.accept("ana", "c1")
    centre.do(agent("ana", capacity=2))
    assert centre.holds("ana") == ["c1", "c2"]


# Wrap-up


def test_wrap_up_holds_offers_back_until_its_end() -> None:
    centre = Centre(policy([queue(wrap_up_s=30)]))
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.write("c2")
    centre.accept("ana", "c1")
    centre.complete("ana", "c1")
    assert centre.contact("c1").state is ContactState.COMPLETED, "the contact is done, the agent is not"
    assert centre.wait(29.999) == []
    assert kinds(centre.wait(0.001)) == ["WrapUpEnded", "OfferMade"]


def test_wrap_up_that_keeps_room_alone_is_extended_and_ended_early() -> None:
    centre = Centre(policy([queue(wrap_up_s=30, wrap_up_holds="capacity")]))
    centre.staff(agent("ana", capacity=2))
    for contact in ("c1", "c2"):
        centre.write(contact)
        centre.accept("ana", contact)
    centre.complete("ana", "c1")
    centre.wait(10)
    second = centre.complete("ana", "c2")
    assert centre.agent("ana").used == 2000
    assert centre.agent("ana").takes_offers
    centre.do(cmd.ExtendWrapUp(agent=ANA, extend=15_000), by=acting("ana"))
    assert kinds(centre.wait(20)) == ["WrapUpEnded"], "the one of c1, which was not extended"
    assert centre.agent("ana").used == 1000
    decided = centre.do(cmd.FinishWrapUp(agent=ANA, code="refund"), by=acting("ana"))
    assert kinds(decided.events) == ["WrapUpEnded"]
    assert centre.agent("ana").used == 0
    assert (centre.contact("c1").wrap_up_code, centre.contact("c2").wrap_up_code) == (None, "refund")
    assert kinds(second.events) == ["ContactCompleted"]
    assert centre.wait(60) == []


def test_wrap_up_towards_a_queue_is_extended_and_ended_early_with_a_code() -> None:
    centre = Centre(
        policy([queue(wrap_up_s=30, wrap_up_scope="queue"), queue("cards", wrap_up_s=60, wrap_up_scope="queue")])
    )
    centre.staff(agent("ana", capacity=2))
    for contact, name in (("c1", "general"), ("c2", "cards")):
        centre.write(contact, queue=name)
        centre.accept("ana", contact)
        centre.complete("ana", contact)
    centre.do(cmd.ExtendWrapUp(agent=ANA, extend=15_000), by=acting("ana"))
    assert centre.last(ev.WrapUpExtended) == ev.WrapUpExtended(agent=ANA, until=START + 75_000, queue="cards")
    assert kinds(centre.wait(30)) == ["WrapUpEnded"], "the one of the general queue, which was not extended"
    centre.wait(44)
    assert centre.agent("ana").queue_wrap_up == {"cards": (centre.id_of("c2"), START + 75_000)}
    decided = centre.do(cmd.FinishWrapUp(agent=ANA, code="refund"), by=acting("ana"))
    assert kinds(decided.events) == ["WrapUpEnded"]
    assert (centre.contact("c1").wrap_up_code, centre.contact("c2").wrap_up_code) == (None, "refund")
    assert centre.agent("ana").queue_wrap_up == {}
    assert centre.wait(60) == []


def test_wrap_up_is_extended_from_its_present_end() -> None:
    centre = Centre(policy([queue(wrap_up_s=30)]))
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.accept("ana", "c1")
    centre.complete("ana", "c1")
    centre.wait(10)
    centre.do(cmd.ExtendWrapUp(agent=ANA, extend=15_000), by=acting("ana"))
    assert centre.wait(34.999) == []
    assert kinds(centre.wait(0.001)) == ["WrapUpEnded"]


def test_wrap_up_is_finished_early_with_a_code() -> None:
    centre = Centre(policy([queue(wrap_up_s=30)]))
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.accept("ana", "c1")
    centre.complete("ana", "c1")
    decided = centre.do(cmd.FinishWrapUp(agent=ANA, code="refund"), by=acting("ana"))
    assert kinds(decided.events) == ["WrapUpEnded"]
    assert centre.contact("c1").wrap_up_code == "refund"
    assert centre.wait(60) == []


def test_wrap_up_that_does_not_run_cannot_be_changed() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    assert centre.refused(cmd.ExtendWrapUp(agent=ANA, extend=1), by=acting("ana")) == ("no_wrap_up", None)
    assert centre.refused(cmd.FinishWrapUp(agent=ANA), by=acting("ana")) == ("no_wrap_up", None)


def test_second_completion_makes_a_wrap_up_longer_never_shorter() -> None:
    centre = Centre(policy([queue("general", wrap_up_s=60), queue("quick", wrap_up_s=5)]))
    centre.staff(agent("ana", capacity=2))
    centre.write("c1")
    centre.write("c2", queue="quick")
    centre.accept("ana", "c1")
    centre.accept("ana", "c2")
    centre.complete("ana", "c1")
    ends = centre.agent("ana").wrap_up_until
    centre.wait(10)
    centre.complete("ana", "c2")
    assert centre.agent("ana").wrap_up_until == ends


def test_offers_already_out_stay_during_wrap_up() -> None:
    centre = Centre(policy([queue(wrap_up_s=60)]))
    centre.staff(agent("ana", capacity=2))
    centre.write("c1")
    centre.write("c2")
    centre.accept("ana", "c1")
    centre.complete("ana", "c1")
    assert centre.offered_to("c2") == ["ana"]


# Missed offers


def test_agent_who_keeps_missing_offers_is_set_away() -> None:
    centre = Centre(policy([queue(offer_timeout_s=20, on_miss={"after_misses": 2, "set_presence": "away"})]))
    centre.staff(agent("ana"))
    centre.write("c1")
    assert kinds(centre.wait(20)) == ["OfferExpired", "ContactExhausted", "OfferMade"]
    assert kinds(centre.wait(20)) == ["OfferExpired", "AgentPresenceChanged"]
    changed = centre.last(ev.AgentPresenceChanged)
    assert (changed.presence, changed.cause) == ("away", "missed_offers")
    assert centre.last(ev.OfferExpired).missed == 2


def test_presence_after_misses_withdraws_the_agents_other_offers() -> None:
    rule = {"after_misses": 1, "set_presence": "away"}
    centre = Centre(policy([queue(offer_timeout_s=20, on_miss=rule)]))
    centre.staff(agent("ana", capacity=2))
    centre.write("c1")
    centre.wait(5)
    centre.write("c2")
    assert kinds(centre.wait(15)) == ["OfferExpired", "AgentPresenceChanged", "OfferWithdrawn"]
    assert centre.contact("c2").declines == {}


def test_accepting_resets_the_misses_and_declining_does_not() -> None:
    centre = Centre(policy([queue(offer_timeout_s=20)]))
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.wait(20)
    centre.decline("ana", "c1")
    assert centre.agent("ana").missed == 1
    centre.accept("ana", "c1")
    assert centre.agent("ana").missed == 0


def test_coming_back_resets_the_misses() -> None:
    centre = Centre(policy([queue(offer_timeout_s=20)]))
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.wait(20)
    centre.do(presence("ana", "away"), by=acting("ana"))
    centre.do(presence("ana"), by=acting("ana"))
    assert centre.agent("ana").missed == 0


# Leases


def test_lost_lease_withdraws_offers_at_once_and_keeps_work_for_the_grace() -> None:
    centre = Centre(policy(lease={"grace_s": 60}))
    centre.staff(agent("ana", capacity=2))
    centre.write("c1")
    centre.accept("ana", "c1")
    centre.write("c2")
    decided = centre.do(cmd.LoseLease(agent=ANA), by=ADAPTER)
    assert kinds(decided.events) == ["AgentLost", "OfferWithdrawn"]
    assert centre.holds("ana") == ["c1"]
    assert kinds(centre.wait(60)) == ["AgentGraceEnded", "ContactRequeued"]
    assert centre.contact("c1").state is ContactState.WAITING


def test_work_lost_with_an_agent_waits_with_its_original_age_and_is_no_decline() -> None:
    centre = Centre(policy(lease={"grace_s": 60}))
    centre.staff(agent("ana"))
    centre.write("c1")
    arrived = centre.contact("c1").age_from
    centre.accept("ana", "c1")
    centre.do(cmd.LoseLease(agent=ANA), by=ADAPTER)
    centre.wait(60)
    assert (centre.contact("c1").age_from, centre.contact("c1").declines) == (arrived, {})


def test_channels_that_the_policy_keeps_stay_with_the_lost_agent() -> None:
    centre = Centre(policy(lease={"grace_s": 60, "on_lost": {"email": "keep"}}))
    centre.staff(agent("ana", capacity=2))
    centre.write("c1", channel="chat")
    centre.write("c2", channel="email")
    centre.accept("ana", "c1")
    centre.accept("ana", "c2")
    centre.do(cmd.LoseLease(agent=ANA), by=ADAPTER)
    centre.wait(60)
    assert centre.holds("ana") == ["c2"]


def test_agent_back_within_the_grace_keeps_everything() -> None:
    centre = Centre(policy(lease={"grace_s": 60}))
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.accept("ana", "c1")
    centre.do(cmd.LoseLease(agent=ANA), by=ADAPTER)
    centre.wait(59)
    centre.do(cmd.RegainLease(agent=ANA), by=ADAPTER)
    assert centre.wait(120) == []
    assert centre.holds("ana") == ["c1"]


def test_agent_back_after_the_grace_takes_work_again() -> None:
    centre = Centre(policy(lease={"grace_s": 60}))
    centre.staff(agent("ana"))
    centre.do(cmd.LoseLease(agent=ANA), by=ADAPTER)
    centre.wait(60)
    centre.write("c1")
    assert kinds(centre.do(cmd.RegainLease(agent=ANA), by=ADAPTER).events) == ["AgentRegained", "OfferMade"]


def test_lease_lost_or_regained_twice_is_noted() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    assert kinds(centre.do(cmd.RegainLease(agent=ANA), by=ADAPTER).events) == ["CommandNoted"]
    centre.do(cmd.LoseLease(agent=ANA), by=ADAPTER)
    until = centre.agent("ana").grace_until
    centre.wait(5)
    assert kinds(centre.do(cmd.LoseLease(agent=ANA), by=ADAPTER).events) == ["CommandNoted"]
    assert centre.agent("ana").grace_until == until, "a repeat does not lengthen the grace"


def test_agent_who_came_back_is_idle_from_then_on() -> None:
    centre = Centre()
    centre.staff(agent("ana"), agent("ben"))
    centre.do(cmd.LoseLease(agent=ANA), by=ADAPTER)
    centre.wait(5)
    centre.do(cmd.RegainLease(agent=ANA), by=ADAPTER)
    centre.write("c1")
    assert centre.offered_to("c1") == ["ben"]


def test_lost_agent_is_routed_around() -> None:
    centre = Centre()
    centre.staff(agent("ana"), agent("ben"))
    centre.do(cmd.LoseLease(agent=ANA), by=ADAPTER)
    centre.write("c1")
    assert centre.offered_to("c1") == ["ben"]


# Profiles


def test_new_profile_takes_offers_back_that_no_longer_fit() -> None:
    centre = Centre()
    centre.staff(agent("ana", languages={"fr": 5}), agent("ben", languages={"fr": 5}))
    centre.write("c1", language="fr")
    decided = centre.do(agent("ana", languages={"en": 5}), by=OPERATOR)
    assert kinds(decided.events) == ["AgentProfileSet", "OfferWithdrawn", "OfferMade"]
    assert centre.offered_to("c1") == ["ben"]


def test_same_profile_again_changes_nothing() -> None:
    centre = Centre()
    centre.staff(agent("ana", languages={"fr": 5}))
    centre.write("c1")
    assert kinds(centre.do(agent("ana", languages={"fr": 5})).events) == ["CommandNoted"]
    assert centre.offered_to("c1") == ["ana"]


def test_profile_that_names_an_unknown_queue_is_refused() -> None:
    assert Centre().refused(agent("ana", queues=("general", "typo"))) == ("unknown_queue", "queues")


def test_agent_of_named_channels_gets_no_others() -> None:
    centre = Centre(policy(channels=[channel("chat"), channel("email")]))
    centre.staff(agent("ana", channels=("email",)))
    centre.do(message("c1", channel="chat"), by=ADAPTER)
    assert centre.holds("ana") == []
    centre.write("c2", channel="email")
    assert centre.holds("ana") == ["c2"]
