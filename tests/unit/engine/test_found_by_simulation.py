"""Faults that simulated days found, each in its smallest form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.router.engine import engine
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.contracts.commands import Membership
from shared.vocabulary import AgentId, ContactId
from tests.builders import (
    ADAPTER,
    START,
    SUPERVISOR,
    Centre,
    acting,
    agent,
    channel,
    contact,
    kinds,
    message,
    policy,
    presence,
    queue,
)
from tests.oracle.judged import JudgedEngine

ANA, BEN = AgentId("ana"), AgentId("ben")


def test_policy_without_a_queue_in_which_an_agent_has_a_delay() -> None:
    centre = Centre(policy([queue("general"), queue("cards")]))
    centre.do(replace(agent("ana"), memberships=(Membership(queue="cards", delay=1_000),)))
    centre.do(cmd.AdoptPolicy(policy=policy([queue("general")])))
    assert list(centre.ws.policy.queues) == ["general"]


def test_new_leader_offers_nothing_of_a_queue_that_has_closed_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    document = policy([queue()])
    document["queues"][0]["business_hours"] = {"tz": "UTC", "weekly": {}, "closed_dates": []}
    document["queues"][0]["open_ms"] = [[START - 1, START + 10_000]]
    centre = Centre(document)
    centre.do(agent("ana", capacity=2))
    centre.write("c1")
    centre.write("c2")
    # The routing pass makes its first offer, and the leader ends before it can go on.
    monkeypatch.setattr(engine, "MOST_OFFERS", 1)
    monkeypatch.setattr(centre, "_fire", lambda: None)
    centre.do(presence("ana"), by=acting(ANA))
    made = centre.leave_unled(30)
    assert not any(isinstance(event, ev.OfferMade) for event in made)


def test_transfer_to_an_agent_without_room_is_refused_though_the_contact_prefers_another() -> None:
    centre = Centre(policy([queue(preferred={"wait_s": 60, "bypass": ["capacity"]})]))
    centre.staff(agent("ana"), agent("ben", capacity=0))
    centre.do(replace(message("c1"), preferred=(ANA,)), by=ADAPTER)
    contact = centre.contact("c1")
    centre.accept("ana")
    centre.do(cmd.TransferContact(contact=contact.id, agent=BEN), by=acting(ANA))
    assert centre.contact("c1").agent == ANA


def test_reopened_contact_can_be_parked_again() -> None:
    centre = Centre(policy([queue()]))
    centre.staff(agent("ana"))
    contact: ContactId = centre.write("c1").id
    centre.accept("ana")
    centre.do(cmd.SetContactActive(contact=contact, active=False), by=acting(ANA))
    centre.complete("ana")
    centre.do(cmd.ReopenContact(contact=contact), by=SUPERVISOR)
    centre.accept("ana")
    centre.do(cmd.SetContactActive(contact=contact, active=False), by=acting(ANA))
    assert centre.agent("ana").parked == (contact,)


def test_station_for_some_agents_leaves_the_preference_in_force() -> None:
    stations = [{"queue": "general", "only_agents": ["ben"]}]
    flow = {"name": "f", "default_queue": "general", "filters": [{"match": {}, "steps": stations}]}
    centre = Centre(policy([queue(preferred={"wait_s": 60})], flows=[flow]))
    centre.staff(agent("ana"), agent("ben"))
    centre.do(replace(message("c1"), preferred=(ANA,), flow="f"), by=ADAPTER)
    contact = centre.contact("c1")
    assert contact.offers == ()


def test_presence_towards_one_queue_lasts_until_the_agent_declares_another() -> None:
    on_miss = {"after_misses": 1, "set_presence": "away", "scope": "queue"}
    centre = Centre(policy([queue(on_miss=on_miss, offer_timeout_s=5)]))
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.wait(5)
    centre.do(cmd.AdoptPolicy(policy=policy([queue(on_miss=None)])))
    assert centre.agent("ana").queue_presence == {"general": "away"}
    assert centre.contact("c1").offers == ()


def test_wrap_up_towards_a_queue_outlasts_the_policy_that_it_came_from() -> None:
    centre = Centre(policy([queue(wrap_up_s=60, wrap_up_scope="queue")]))
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.accept("ana")
    centre.complete("ana")
    centre.do(cmd.AdoptPolicy(policy=policy([queue()])))
    centre.write("c2")
    assert centre.offered_to("c2") == []
    centre.wait(60)
    assert centre.offered_to("c2") == ["ana"]


def test_call_back_that_is_too_old_when_it_comes_due_is_offered_to_nobody_though_another_workspace_is_due_too() -> None:
    centre = Centre(policy([queue(max_age_s=5)]))
    centre.staff(agent("ana"))
    centre.do(contact("c1", channel="chat", at_s=60), by=SUPERVISOR)
    centre.move_to("v")
    centre.do(contact("c2", channel="chat", at_s=62), by=SUPERVISOR)
    events = [*centre.leave_unled(90), *centre.wait(0)]
    assert not any(isinstance(event, ev.OfferMade) for event in events)


def test_mail_that_waited_for_room_to_spare_comes_before_one_that_arrives_when_there_is_some() -> None:
    document = policy(
        [queue(contact_order="slo", strategy="slo")],
        slo={"reserve": {"channels": ["email"], "factor": 1.5, "until_share": 0.7}},
    )
    centre = Centre(document)
    centre.staff(agent("ana", capacity=1, languages={"en": 5}))
    centre.write("c0", channel="chat", language="en")
    centre.accept("ana", "c0")
    centre.complete("ana", "c0")
    centre.write("c1", channel="email")
    assert centre.offered_to("c1") == []
    centre.staff(agent("ben", capacity=9, channels=("chat",), languages={"en": 5}))
    centre.wait(1)
    centre.write("c2", channel="email")
    assert (centre.offered_to("c1"), centre.offered_to("c2")) == (["ana"], [])


@pytest.mark.interpreted
def test_whoever_is_to_get_mail_that_can_wait_is_not_in_the_running_for_chats() -> None:
    """Ben's best is the mail, of a queue with a better rank, so that the chat for him alone, though it is worth more
    than the one for Ana, does not come before hers. Both chats are past their targets, the mail is not."""
    rules = {"contact_order": "slo", "target_s": {"chat": 10, "email": 3600}}
    reserve = {"channels": ["email"], "factor": 0.0, "until_share": 0.7}

    def document(**each: bool) -> dict[str, Any]:
        queues = [queue("mail", rank=1, **rules, **each), queue("chat", rank=2, **rules, **each)]
        return policy(queues, [channel("chat", to="chat"), channel("email", to="mail")], slo={"reserve": reserve})

    centre = Centre(document(auto_assign=False), engine=JudgedEngine())
    centre.staff(agent("ana", queues=("chat",), capacity=1), agent("ben", skills={"tax": 5}, capacity=1))
    for name, rest in (("c1", {"skills": {"tax": 5}}), ("c2", {}), ("c3", {"channel": "email"})):
        centre.write(name, customer=name, **rest)
        centre.wait(1)
    centre.wait(20)
    centre.do(cmd.AdoptPolicy(policy=document()))
    offers = [(event.contact, event.agent) for event in centre.all(ev.OfferMade)]
    assert offers == [(centre.id_of("c2"), "ana"), (centre.id_of("c3"), "ben")]


def test_contact_that_comes_back_too_old_was_not_declined_by_everybody() -> None:
    """Both become due in one instant: who is offered to nobody for their age has nobody to decline them."""
    centre = Centre(policy([queue(auto_accept=True)]))
    centre.staff(agent("ana"))
    contact: ContactId = centre.write("c1").id
    centre.wait(5)
    centre.do(cmd.AdoptPolicy(policy=policy([queue(max_age_s=4, decline={"policy": "never"})])))
    made = centre.do(cmd.RequeueContact(contact=contact), by=acting(ANA))
    assert [kind for kind in kinds(made.events) if kind != "ContactRequeued"] == ["ContactAgedOut"]
    assert not centre.contact("c1").exhausted
