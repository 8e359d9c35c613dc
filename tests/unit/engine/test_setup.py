"""Setting up: workspaces, keys, policies, agents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import AgentId, ContactState, Role
from tests.builders import (
    ADAPTER,
    OPERATOR,
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
)


def test_workspace_begins_once() -> None:
    centre = Centre()
    again = centre.do(cmd.CreateWorkspace(name="w"))
    assert kinds(again.events) == ["CommandNoted"]


def test_unknown_workspace_is_refused_and_makes_nothing() -> None:
    centre = Centre()
    centre.workspace = "nowhere"
    assert centre.refused(message(), by=ADAPTER) == ("unknown_workspace", None)
    assert list(centre.engine.state.workspaces) == ["w"]


def test_ids_of_another_workspace_are_unknown_here() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    offer, contact_id = centre.offer("c1", "ana").id, centre.id_of("c1")
    centre.move_to("v")
    assert centre.refused(cmd.AcceptOffer(offer=offer), by=acting("ana")) == ("unknown_offer", "offer")
    assert centre.refused(cmd.CancelContact(contact=contact_id), by=SUPERVISOR) == ("unknown_contact", "contact")
    assert centre.refused(cmd.LoseLease(agent=AgentId("ana"))) == ("unknown_agent", "agent")
    centre.workspace = "w"
    assert centre.offered_to("c1") == ["ana"]


# Keys

KEY = cmd.CreateKey(key_id="k-1", key_hash="ab" * 32, role=Role.AGENT, agent=AgentId("ana"))


def test_key_is_created_used_and_revoked() -> None:
    centre = Centre()
    decided = centre.do(KEY)
    assert kinds(decided.events) == ["KeyCreated"]
    assert decided.answer is not None
    assert decided.answer.subject == "k-1", "the answer names the key, not whom it is for"
    assert centre.ws.keys["k-1"].role is Role.AGENT
    centre.do(cmd.RevokeKey(key_id="k-1"))
    assert centre.ws.keys == {}


def test_same_key_again_is_noted_and_another_under_its_name_is_refused() -> None:
    centre = Centre()
    centre.do(KEY)
    assert kinds(centre.do(KEY).events) == ["CommandNoted"]
    other = cmd.CreateKey(key_id="k-1", key_hash="cd" * 32, role=Role.AGENT)
    assert centre.refused(other) == ("duplicate_key", "key_id")


def test_unknown_key_cannot_be_revoked() -> None:
    assert Centre().refused(cmd.RevokeKey(key_id="k-9")) == ("unknown_key", "key_id")


# Policy


def test_policy_versions_count_up_and_the_same_policy_is_noted() -> None:
    centre = Centre(policy())
    assert centre.ws.policy_version == 1
    assert kinds(centre.do(cmd.AdoptPolicy(policy=policy())).events) == ["CommandNoted"]
    centre.do(cmd.AdoptPolicy(policy=policy([queue(offer_timeout_s=99)])))
    assert centre.ws.policy_version == 2


def test_policy_that_cannot_be_read_is_refused() -> None:
    for broken in ({}, {"queues": "many"}, {**policy(), "queues": [{"name": "x"}]}):
        assert Centre().refused(cmd.AdoptPolicy(policy=broken)) == ("policy_invalid", "policy")


def states() -> list[Any]:
    return ["waiting", "offered", "assigned", "scheduled"]


def in_state(centre: Centre, state: str, **where: Any) -> None:
    """Brings contact c1 into a state, in the queue or on the channel that `where` says."""
    if state == "scheduled":
        where.setdefault("channel", "chat")
        centre.do(contact("c1", at_s=600, **where), by=SUPERVISOR)
    else:
        if state != "waiting":
            centre.staff(agent("ana"))
        centre.write("c1", **where)
        if state == "assigned":
            centre.accept("ana", "c1")
    assert centre.contact("c1").state.value == state


@pytest.mark.parametrize("state", states())
def test_policy_without_the_queue_of_an_open_contact_is_refused(state: str) -> None:
    centre = Centre(policy([queue("general"), queue("cards")]))
    in_state(centre, state, queue="cards")
    assert centre.refused(cmd.AdoptPolicy(policy=policy([queue("general")]))) == ("policy_invalid", "queues")


@pytest.mark.parametrize("state", states())
def test_policy_without_the_channel_of_an_open_contact_is_refused(state: str) -> None:
    centre = Centre(policy(channels=[channel("chat"), channel("email")]))
    in_state(centre, state, channel="chat")
    without = policy(channels=[channel("email")])
    assert centre.refused(cmd.AdoptPolicy(policy=without)) == ("policy_invalid", "channels")


def test_policy_may_drop_what_only_ended_contacts_used() -> None:
    centre = Centre(policy([queue("general"), queue("cards")], [channel("chat"), channel("email")]))
    centre.staff(agent("ana"))
    centre.write("c1", queue="cards", channel="email")
    centre.handle("ana", "c1")
    lean = policy([queue("general")], [channel("chat")])
    assert kinds(centre.do(cmd.AdoptPolicy(policy=lean)).events) == ["PolicyAdopted"]
    assert list(centre.ws.channels) == ["chat:web"]
    centre.wait(2 * 86_400)
    assert centre.ws.contacts == {}, "and they are forgotten as usual"


def test_new_policy_takes_back_offers_that_it_does_not_allow() -> None:
    centre = Centre()
    centre.staff(agent("ana", skills={"cards": 2}), agent("ben", skills={"cards": 4}))
    centre.write("c1")
    strict = policy([queue(skills={"cards": 3})])
    decided = centre.do(cmd.AdoptPolicy(policy=strict))
    assert kinds(decided.events) == ["PolicyAdopted", "OfferWithdrawn", "OfferMade"]
    assert centre.offered_to("c1") == ["ben"]


@pytest.mark.parametrize(
    "fields",
    [{"language_min": 4}, {"skills": {"cards": 3}}],
)
def test_new_policy_keeps_offers_that_it_allows(fields: dict[str, Any]) -> None:
    centre = Centre()
    centre.staff(agent("ana", languages={"fr": 4}, skills={"cards": 3}))
    centre.write("c1", language="fr")
    assert kinds(centre.do(cmd.AdoptPolicy(policy=policy([queue(**fields)]))).events) == ["PolicyAdopted"]
    assert centre.offered_to("c1") == ["ana"]


@pytest.mark.parametrize(
    "rules",
    [
        {"accepts_presence": ["on_call"]},
        {"auto_assign": False},
        {"exclude": [{"vip": "no"}]},
        {"initial_tier": 1},
        {"steps": [{"after_s": 5, "only_agents": ["ben"]}]},
    ],
    ids=lambda rules: next(iter(rules)),
)
def test_new_policy_takes_back_what_it_would_not_offer(rules: dict[str, Any]) -> None:
    ana = replace(agent("ana"), memberships=(cmd.Membership(queue="general", tier=2),))
    centre = Centre(policy([queue(steps=[{"after_s": 5, "drop_language": True}])], presences={"on_call": "On call"}))
    centre.staff(ana)
    centre.write("c1", attributes={"vip": "no"})
    centre.wait(10)
    assert centre.offered_to("c1") == ["ana"]
    under = policy([queue(**rules)], presences={"on_call": "On call"})
    assert kinds(centre.do(cmd.AdoptPolicy(policy=under)).events) == ["PolicyAdopted", "OfferWithdrawn"]
    assert centre.contact("c1").state is ContactState.WAITING


def test_new_policy_that_looks_at_presence_takes_back_what_was_offered_on_a_break() -> None:
    anyway: dict[str, Any] = {"offer_timeout_s": None, "preferred": {"wait_s": 30, "bypass": ["presence"]}}
    centre = Centre(policy([queue(**anyway)]))
    centre.staff(agent("ana"))
    centre.do(presence(AgentId("ana"), "away"), by=acting(AgentId("ana")))
    centre.do(replace(message("c1"), preferred=(AgentId("ana"),)), by=ADAPTER)
    assert centre.offered_to("c1") == ["ana"]
    assert kinds(centre.do(cmd.AdoptPolicy(policy=policy([queue(rank=3, **anyway)]))).events) == ["PolicyAdopted"]
    plain = policy([queue(rank=3, offer_timeout_s=None, preferred={"wait_s": 30})])
    assert kinds(centre.do(cmd.AdoptPolicy(policy=plain)).events) == ["PolicyAdopted", "OfferWithdrawn"]


def test_new_policy_keeps_an_offer_that_the_customer_wished() -> None:
    bypassing: dict[str, Any] = {
        "skills": {"cards": 5},
        "offer_timeout_s": None,
        "preferred": {"wait_s": 30, "bypass": ["skills"]},
    }
    centre = Centre(policy([queue(**bypassing)]))
    centre.staff(agent("ana", skills={"cards": 1}))
    centre.do(replace(message("c1"), preferred=(AgentId("ana"),)), by=ADAPTER)
    assert centre.offered_to("c1") == ["ana"]
    centre.wait(31)
    decided = centre.do(cmd.AdoptPolicy(policy=policy([queue(rank=3, **bypassing)])))
    assert kinds(decided.events) == ["PolicyAdopted"]
    assert centre.offered_to("c1") == ["ana"]


def test_limits_by_hand_hold_until_a_policy_says_something_new_about_them() -> None:
    centre = Centre(policy([queue(max_per_agent=3), queue("cards")], max_per_agent=5))
    for most, of in ((1, "general"), (2, "cards"), (2, None)):
        centre.do(cmd.SetLimit(most=most, agent=None, queue=of), by=SUPERVISOR)
    centre.do(cmd.AdoptPolicy(policy=policy([queue(max_per_agent=3, rank=2), queue("cards")], max_per_agent=5)))
    assert (dict(centre.ws.queue_limits), centre.ws.agent_limit) == ({"general": 1, "cards": 2}, (2,))
    centre.do(cmd.AdoptPolicy(policy=policy([queue(max_per_agent=4, rank=2), queue("cards")], max_per_agent=6)))
    assert (dict(centre.ws.queue_limits), centre.ws.agent_limit) == ({"cards": 2}, None)
    centre.do(cmd.AdoptPolicy(policy=policy([queue(max_per_agent=4)], max_per_agent=6)))
    assert centre.ws.queue_limits == {}


def test_new_policy_routes_at_once_who_can_be_routed_now() -> None:
    centre = Centre(policy([queue(skills={"cards": 3})]))
    centre.staff(agent("ana"))
    centre.write("c1")
    assert centre.holds("ana") == []
    assert kinds(centre.do(cmd.AdoptPolicy(policy=policy())).events) == ["PolicyAdopted", "OfferMade"]


def test_offers_already_made_keep_their_deadline_under_a_new_policy() -> None:
    centre = Centre(policy([queue(offer_timeout_s=20)]))
    centre.staff(agent("ana"))
    centre.write("c1")
    deadline = centre.offer("c1", "ana").expires_at
    centre.do(cmd.AdoptPolicy(policy=policy([queue(offer_timeout_s=90)])))
    assert centre.offer("c1", "ana").expires_at == deadline


def test_channels_health_survives_a_new_policy() -> None:
    centre = Centre()
    centre.down("chat")
    centre.do(cmd.AdoptPolicy(policy=policy(description="other")))
    assert centre.ws.channels["chat:web"].state.value == "down"


def test_new_fallback_moves_contacts_that_wait_on_a_channel_that_is_down() -> None:
    centre = Centre()
    way = cmd.Reach(channel="email", account="support@example.org", key=message().sender, verified=True, consent=True)
    centre.write("c1", reach=(way,))
    centre.down("chat")
    assert centre.contact("c1").channel == "chat"
    centre.do(cmd.AdoptPolicy(policy=policy(channels=[channel("chat", fallback=fallback("email")), channel("email")])))
    assert centre.contact("c1").channel == "email"


def test_before_the_first_policy_agents_are_known_and_nothing_routes() -> None:
    centre = Centre(None)
    centre.staff(agent("ana"))
    assert centre.refused(message(), by=ADAPTER) == ("unknown_channel", "channel")
    centre.do(cmd.AdoptPolicy(policy=policy()))
    centre.write("c1")
    assert centre.contact("c1").state is ContactState.OFFERED


# What answers say


def test_answer_names_what_the_command_was_about_whatever_routing_followed() -> None:
    centre = Centre()
    centre.write("c1")
    centre.do(agent("ana"))
    decided = centre.do(cmd.SetPresence(agent=AgentId("ana"), presence="available"), by=acting("ana"))
    assert kinds(decided.events)[-1] == "OfferMade"
    assert decided.answer is not None
    assert decided.answer.subject == "ana"
    adopted = centre.do(cmd.AdoptPolicy(policy=policy(description="new")), by=OPERATOR)
    assert adopted.answer is not None
    assert adopted.answer.subject is None


def test_public_numbers_count_what_tells_of_the_centre() -> None:
    centre = Centre()
    before = centre.ws.sequence
    centre.do(message("c1"), by=ADAPTER)
    centre.do(message("c1"), by=ADAPTER)
    centre.refused(message("c2", queue="typo"), by=ADAPTER)
    made = centre.do(agent("ana"))
    assert made.sequence == before + 2, "a note and a refusal take no number"
    assert centre.ws.sequence == before + 3


def test_all_events_of_a_workspace_are_numbered_without_a_gap() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    for n in range(3):
        centre.write(f"c{n}")
    centre.wait(100)
    silent = (ev.CommandRefused, ev.CommandRejected, ev.CommandNoted, ev.Resumed, ev.DayTurned)
    following = 0
    for played in centre.history:
        for d in played.decided:
            public = [event for event in d.events if not isinstance(event, silent)]
            if public:
                assert d.sequence == following
                following += len(public)
    assert centre.ws.sequence == following
