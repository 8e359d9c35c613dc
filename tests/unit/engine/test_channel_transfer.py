"""A contact goes on by another channel, with its agent: if the customer may be written to there, and there is room."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.router import documents
from services.router.snapshot import dump, load, state_hash
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import AgentId, ContactState, ThreadKey
from tests.builders import (
    SUPERVISOR,
    Centre,
    account_of,
    acting,
    agent,
    channel,
    fallback,
    kinds,
    policy,
    presence,
    queue,
    reach,
)

CHANNELS = [
    channel("chat", fallback=fallback("telegram", "email")),
    channel("telegram", fallback=fallback("email")),
    channel("email"),
]


def held(profile: cmd.PutAgent | None = None, *ways: cmd.Reach, **rules: Any) -> Centre:
    """Ana holds `c1`, a chat whose customer has a verified e-mail address that may be used."""
    centre = Centre(policy([queue(**rules)], CHANNELS))
    centre.staff(profile or agent("ana", capacity=2))
    centre.write("c1", customer="kim", reach=ways or (reach("email", "kim"),))
    centre.accept("ana")
    return centre


def by(kind: str, name: str = "c1", centre: Centre | None = None, **fields: Any) -> cmd.TransferContact:
    assert centre is not None
    return cmd.TransferContact(contact=centre.id_of(name), channel=kind, account=account_of(kind), **fields)


def refusal(centre: Centre, kind: str, name: str = "c1") -> tuple[str, str | None]:
    return centre.refused(by(kind, name, centre), by=acting("ana"))


def go_on(centre: Centre, kind: str, name: str = "c1") -> list[ev.Event]:
    return list(centre.do(by(kind, name, centre), by=acting("ana")).events)


def test_the_agent_goes_on_by_the_other_channel() -> None:
    centre = held()
    before = centre.contact("c1").age_from, centre.contact("c1").state_since
    centre.wait(30)
    assert kinds(go_on(centre, "email")) == ["ContactRedirected"]
    contact = centre.contact("c1")
    assert (contact.state, contact.agent, contact.queue) == (ContactState.ASSIGNED, "ana", "general")
    assert (contact.channel, contact.account, contact.sender) == ("email", account_of("email"), "email/kim")
    assert (contact.age_from, contact.state_since) == before
    hop = centre.last(ev.ContactRedirected)
    assert (hop.from_channel, hop.channel, hop.rule, hop.refused) == ("chat", "email", "transfer", ())


def test_answers_go_the_new_way_and_the_customers_own_come_back_to_it() -> None:
    centre = held()
    go_on(centre, "email")
    centre.reply("ana")
    sent = centre.last(ev.ReplyQueued)
    assert (sent.channel, sent.address, sent.thread) == ("email", "email/kim", centre.contact("c1").thread)
    assert centre.write("again", channel="email", customer="kim").id == centre.id_of("c1")


def test_what_the_agent_holds_counts_as_the_new_kind() -> None:
    centre = held(agent("ana", capacity=3, weights={"chat": 1, "email": 2}))
    assert centre.agent("ana").used == 1000
    go_on(centre, "email")
    assert dict(centre.agent("ana").held) == {centre.id_of("c1"): "email"}
    assert centre.agent("ana").used == 2000


def test_the_room_that_it_gives_back_is_offered_at_once() -> None:
    centre = held(agent("ana", capacity=5, per_channel={"chat": 1}))
    centre.write("c2")
    assert centre.offered_to("c2") == []
    go_on(centre, "email")
    assert centre.offered_to("c2") == ["ana"]


def test_its_own_room_is_given_back_first() -> None:
    centre = held(agent("ana", capacity=1))
    assert kinds(go_on(centre, "email")) == ["ContactRedirected"]


@pytest.mark.parametrize(
    ("profile", "others"),
    [
        (agent("ana", capacity=2, weights={"chat": 1, "email": 2}), ["chat"]),
        (agent("ana", capacity=5, per_channel={"email": 1}), ["email"]),
        (agent("ana", channels=("chat",)), []),
        (replace(agent("ana", capacity=5), while_on={"email": ("chat",)}), ["email"]),
        (
            replace(agent("ana"), memberships=(cmd.Membership(queue="general", channels=("chat",)),)),
            [],
        ),
    ],
    ids=["weight", "maximum", "profile", "beside", "membership"],
)
def test_without_room_for_the_new_kind_nothing_changes(profile: cmd.PutAgent, others: list[str]) -> None:
    centre = held(agent("ana", capacity=5))
    centre.do(profile)
    for number, kind in enumerate(others):
        centre.write(f"other{number}", channel=kind)
        centre.do(cmd.AssignContact(contact=centre.id_of(f"other{number}"), agent=AgentId("ana")), by=SUPERVISOR)
    assert refusal(centre, "email") == ("no_room", "channel")


def test_a_kind_that_the_agent_switched_off_is_not_handled() -> None:
    centre = held()
    centre.do(presence("ana", channels={"email": False}), by=acting("ana"))
    assert refusal(centre, "email") == ("no_room", "channel")


def test_who_is_over_their_limit_gets_no_other_kind() -> None:
    centre = held(agent("ana", capacity=5))
    centre.write("c2")
    centre.accept("ana", "c2")
    for most, answer in ((1, ["CommandRefused"]), (2, ["ContactRedirected"])):
        centre.do(cmd.SetLimit(most=most, agent=AgentId("ana")))
        assert kinds(go_on(centre, "email")) == answer


def test_a_queues_limit_counts_the_others_alone() -> None:
    centre = held(agent("ana", capacity=5), max_per_agent=1)
    assert kinds(go_on(centre, "email")) == ["ContactRedirected"]


def test_a_break_or_a_wrap_up_is_no_obstacle() -> None:
    centre = held()
    centre.do(presence("ana", "away"), by=acting("ana"))
    assert kinds(go_on(centre, "email")) == ["ContactRedirected"]


def test_parked_it_stays_parked_and_takes_its_share_alone() -> None:
    profile = replace(agent("ana", capacity=1, weights={"email": 5}), capacity_parked=250)
    centre = held(profile)
    centre.do(cmd.SetContactActive(contact=centre.id_of("c1"), active=False), by=acting("ana"))
    go_on(centre, "email")
    assert (centre.contact("c1").active, centre.agent("ana").used) == (False, 250)
    assert centre.agent("ana").parked == (centre.id_of("c1"),)


@pytest.mark.parametrize(
    "way", [reach("email", "kim", verified=False), reach("email", "kim", consent=False), reach("telegram", "kim")]
)
def test_only_a_verified_address_with_consent_will_do(way: cmd.Reach) -> None:
    assert refusal(held(None, way), "email") == ("unreachable", "channel")


def test_other_refusals() -> None:
    centre = held()
    assert refusal(centre, "pigeon") == ("unknown_channel", "channel")
    assert refusal(centre, "chat") == ("invalid", "channel")
    centre.down("email")
    assert refusal(centre, "email") == ("channel_down", "channel")
    both = cmd.TransferContact(contact=centre.id_of("c1"), channel="email", account="x", queue="general")
    assert centre.refused(both, by=acting("ana")) == ("invalid", "queue")
    assert centre.refused(by("email", "c1", centre), by=acting("ben")) == ("not_yours", None)
    centre.complete("ana")
    assert centre.refused(by("email", "c1", centre), by=SUPERVISOR) == ("wrong_state", None)


def test_those_who_are_consulted_stay() -> None:
    centre = held()
    centre.staff(agent("ben"))
    centre.do(cmd.StartConsult(contact=centre.id_of("c1"), agent=AgentId("ben")), by=acting("ana"))
    go_on(centre, "email")
    assert centre.contact("c1").consulted == ("ben",)


def test_by_hand_it_may_come_back_where_it_was() -> None:
    centre = held(None, reach("email", "kim"), reach("chat", "kim"))
    go_on(centre, "email")
    go_on(centre, "chat")
    assert [hop.channel for hop in centre.contact("c1").redirects] == [
        f"email:{account_of('email')}",
        f"chat:{account_of('chat')}",
    ]
    assert len(set(centre.contact("c1").threads)) == 3


def test_given_back_it_waits_on_the_new_channel_and_no_rule_takes_it_to_the_old_one() -> None:
    centre = Centre(policy(channels=CHANNELS))
    centre.staff(agent("ana"))
    centre.write("c1", channel="email", customer="kim", reach=(reach("email", "kim"), reach("chat", "kim")))
    centre.accept("ana")
    go_on(centre, "chat")
    centre.do(cmd.RequeueContact(contact=centre.id_of("c1")), by=SUPERVISOR)
    assert centre.contact("c1").channel == "chat"
    centre.down("chat")
    assert centre.last(ev.RedirectRefused).refused == (
        ("telegram:telegram-1", "no_address"),
        ("email:support@example.org", "visited"),
    )


def test_the_old_conversation_says_where_it_goes_on() -> None:
    centre = held()
    go_on(centre, "email")
    told = documents.thread_doc(centre.ws, centre.ws.threads[ThreadKey("chat-thread-of-c1")])
    assert (told["state"], told["redirected_to"]) == ("assigned", "email")


def test_a_customer_who_writes_on_the_old_conversation_is_answered_there() -> None:
    centre = held()
    go_on(centre, "email")
    late = centre.write_again("late", "c1", thread="chat-thread-of-c1", channel="chat", account=account_of("chat"))
    assert (late.id, late.channel, late.agent) == (centre.id_of("c1"), "chat", "ana")


def test_room_follows_a_customer_who_writes_on_the_old_conversation() -> None:
    weights = {"chat": 1, "email": 0.5}
    centre = held(agent("ana", capacity=1.5, weights=weights, per_channel={"chat": 2, "email": 1}))
    go_on(centre, "email")
    centre.write("c2")
    assert centre.offered_to("c2") == ["ana"]
    centre.accept("ana", "c2")
    centre.write_again("late", "c1", thread="chat-thread-of-c1", channel="chat", account=account_of("chat"))
    # Two chats now: over the total, and what is held stays.
    assert centre.ws.agents[AgentId("ana")].used == 2000
    centre.write("m1", channel="email")
    assert centre.offered_to("m1") == []
    centre.complete("ana", "c2")
    assert centre.offered_to("m1") == ["ana"]


def test_a_snapshot_holds_it() -> None:
    centre = held()
    go_on(centre, "email")
    again = load(dump(centre.engine.state))
    assert dict(again.workspaces["w"].agents[AgentId("ana")].held) == {centre.id_of("c1"): "email"}
    assert state_hash(again) == state_hash(centre.engine.state)
