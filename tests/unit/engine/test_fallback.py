"""A channel is down: its contacts go on by the next channel the customer can be reached on, or stay."""

from __future__ import annotations

import pytest

from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import ChannelHealth, ContactState
from tests.builders import (
    ADAPTER,
    SUPERVISOR,
    Centre,
    acting,
    address,
    agent,
    channel,
    contact,
    fallback,
    kinds,
    message,
    policy,
    reach,
)

CHAIN = [
    channel("chat", fallback=fallback("telegram", "email")),
    channel("telegram", fallback=fallback("email")),
    channel("email"),
]


def reachable(*ways: str) -> tuple[cmd.Reach, ...]:
    return tuple(reach(kind, "kim") for kind in ways)


def test_waiting_contact_goes_on_by_the_first_channel_that_reaches_its_customer() -> None:
    centre = Centre(policy(channels=CHAIN))
    centre.write("c1", customer="kim", reach=reachable("email", "telegram"))
    centre.wait(5)
    arrived = centre.contact("c1").age_from
    centre.health("chat", ChannelHealth.DOWN, evidence="5 sends failed")
    hop = centre.last(ev.ContactRedirected)
    assert (hop.from_channel, hop.channel, hop.address) == ("chat", "telegram", "telegram/kim")
    assert (hop.rule, hop.evidence, hop.refused) == ("channel_fallback", "5 sends failed", ())
    assert centre.contact("c1").age_from == arrived


def test_redirected_contact_keeps_its_place() -> None:
    centre = Centre(policy(channels=CHAIN))
    centre.write("c1", customer="kim", reach=reachable("email"))
    centre.wait(5)
    centre.write("c2", channel="email")
    centre.down("chat")
    centre.staff(agent("ana", channels=("email",)))
    assert centre.holds("ana") == ["c1"]


@pytest.mark.parametrize(
    ("way", "why"),
    [
        (None, "no_address"),
        (reach("telegram", "kim", verified=False), "not_verified"),
        (reach("telegram", "kim", consent=False), "no_consent"),
    ],
)
def test_channel_that_may_not_be_used_is_passed_over_with_the_reason(way: cmd.Reach | None, why: str) -> None:
    centre = Centre(policy(channels=CHAIN))
    ways = reachable("email") if way is None else (way, *reachable("email"))
    centre.write("c1", customer="kim", reach=ways)
    centre.down("chat")
    hop = centre.last(ev.ContactRedirected)
    assert (hop.channel, hop.refused) == ("email", (("telegram:telegram-1", why),))


def test_channel_that_is_down_itself_is_passed_over() -> None:
    centre = Centre(policy(channels=CHAIN))
    centre.down("telegram")
    centre.write("c1", customer="kim", reach=reachable("email", "telegram"))
    centre.down("chat")
    hop = centre.last(ev.ContactRedirected)
    assert (hop.channel, hop.refused) == ("email", (("telegram:telegram-1", "channel_down"),))


def test_contact_that_nothing_reaches_stays_and_is_announced() -> None:
    centre = Centre(policy(channels=CHAIN))
    centre.staff(agent("ana"))
    centre.do(agent("ana", channels=("email",)))
    centre.write("c1")
    centre.down("chat")
    stays = centre.last(ev.RedirectRefused)
    assert stays.refused == (("telegram:telegram-1", "no_address"), ("email:support@example.org", "no_address"))
    assert (centre.contact("c1").state, centre.contact("c1").channel) == (ContactState.WAITING, "chat")
    assert len(centre.all(ev.RedirectRefused)) == 1, "once, not at every tick"


def test_contacts_of_a_channel_that_is_down_are_not_offered_until_it_is_up() -> None:
    centre = Centre()
    centre.down("chat")
    centre.staff(agent("ana"))
    centre.write("c1")
    assert centre.holds("ana") == []
    centre.up("chat")
    assert centre.holds("ana") == ["c1"]


def test_contact_of_a_channel_that_is_down_blocks_nobody() -> None:
    centre = Centre()
    centre.write("c1", channel="chat")
    centre.write("c2", channel="email")
    centre.down("chat")
    centre.staff(agent("ana"))
    assert centre.holds("ana") == ["c2"]


def test_offered_contact_is_taken_back_and_moved() -> None:
    centre = Centre(policy(channels=CHAIN))
    centre.staff(agent("ana"))
    centre.write("c1", customer="kim", reach=reachable("email"))
    before = len(centre.history)
    centre.down("chat")
    moved = [event for played in centre.history[before:] for d in played.decided for event in d.events]
    assert kinds(moved) == ["ChannelHealthChanged", "OfferWithdrawn", "ContactRedirected", "OfferMade"]
    assert centre.contact("c1").declines == {}
    assert centre.offered_to("c1") == ["ana"]


def test_assigned_work_is_not_torn_away() -> None:
    centre = Centre(policy(channels=CHAIN))
    centre.staff(agent("ana"))
    centre.write("c1", customer="kim", reach=reachable("email"))
    centre.accept("ana", "c1")
    centre.down("chat")
    assert (centre.contact("c1").agent, centre.contact("c1").channel) == ("ana", "chat")
    assert centre.all(ev.ContactRedirected) == []


def test_assigned_contact_that_goes_back_to_its_queue_is_moved_then() -> None:
    centre = Centre(policy(channels=CHAIN))
    centre.staff(agent("ana"))
    centre.write("c1", customer="kim", reach=reachable("email"))
    centre.accept("ana", "c1")
    centre.down("chat")
    centre.do(cmd.RequeueContact(contact=centre.id_of("c1")), by=SUPERVISOR)
    assert centre.contact("c1").channel == "email"


def test_new_arrival_on_a_channel_that_is_down_is_moved_at_once() -> None:
    centre = Centre(policy(channels=CHAIN))
    centre.down("chat")
    assert centre.write("c1", customer="kim", reach=reachable("email")).channel == "email"


def test_contact_under_retry_delay_is_moved_too() -> None:
    centre = Centre(policy(channels=CHAIN))
    centre.staff(agent("ana"))
    centre.write("c1", customer="kim", reach=reachable("email"))
    centre.decline("ana", "c1", retry_after_s=60)
    centre.down("chat")
    assert centre.contact("c1").channel == "email"
    centre.wait(60)
    assert centre.offered_to("c1") == ["ana"]


def test_scheduled_contact_is_moved_when_it_is_due() -> None:
    centre = Centre(policy(channels=CHAIN))
    centre.do(contact("later", channel="chat", customer="kim", at_s=60), by=SUPERVISOR)
    centre.down("chat")
    assert centre.all(ev.RedirectRefused) == []
    centre.wait(60)
    assert [event.contact for event in centre.all(ev.RedirectRefused)] == [centre.id_of("later")]


def test_contact_goes_on_along_the_chain_and_never_back_in_circles() -> None:
    centre = Centre(policy(channels=CHAIN))
    centre.write("c1", customer="kim", reach=reachable("email", "telegram"))
    for kind in ("chat", "telegram", "email"):
        centre.down(kind)
    assert [hop.channel for hop in centre.contact("c1").redirects] == [
        "telegram:telegram-1",
        "email:support@example.org",
    ]
    assert centre.last(ev.RedirectRefused).refused == ()
    for kind in ("chat", "telegram", "email"):
        centre.up(kind)
        centre.down(kind)
    assert len(centre.contact("c1").redirects) == 2


def test_new_policy_that_turns_the_chain_round_sends_nobody_back() -> None:
    centre = Centre(policy(channels=[channel("chat", fallback=fallback("email")), channel("email")]))
    centre.write("c1", customer="kim", reach=reachable("email", "chat"))
    centre.down("chat")
    centre.up("chat")
    turned = policy(channels=[channel("chat"), channel("email", fallback=fallback("chat"))])
    centre.do(cmd.AdoptPolicy(policy=turned))
    centre.down("email")
    assert centre.last(ev.RedirectRefused).refused == (("chat:web", "visited"),)
    assert centre.contact("c1").channel == "email"


def test_contact_moved_stays_where_it_is_when_the_channel_recovers() -> None:
    centre = Centre(policy(channels=CHAIN))
    centre.write("c1", customer="kim", reach=reachable("email"))
    centre.down("chat")
    centre.up("chat")
    assert centre.contact("c1").channel == "email"


def test_contact_without_a_way_goes_when_another_channel_recovers() -> None:
    centre = Centre(policy(channels=CHAIN))
    centre.down("telegram")
    centre.write("c1", customer="kim", reach=reachable("telegram"))
    centre.down("chat")
    assert centre.contact("c1").channel == "chat"
    centre.up("telegram")
    assert centre.contact("c1").channel == "telegram"


@pytest.mark.parametrize("state", [ChannelHealth.DEGRADED, ChannelHealth.RECOVERING])
def test_only_down_moves_contacts(state: ChannelHealth) -> None:
    centre = Centre(policy(channels=CHAIN))
    centre.write("c1", customer="kim", reach=reachable("email"))
    centre.health("chat", state)
    assert centre.contact("c1").channel == "chat"


def test_health_told_again_is_noted_and_new_evidence_is_recorded() -> None:
    centre = Centre(policy(channels=CHAIN))
    centre.write("c1")
    centre.down("chat")
    assert kinds(centre.health("chat", ChannelHealth.DOWN).events) == ["CommandNoted"]
    told = centre.health("chat", ChannelHealth.DOWN, evidence="still down")
    assert kinds(told.events) == ["ChannelHealthChanged"]
    assert len(centre.all(ev.RedirectRefused)) == 1, "more evidence is no reason to look again"


def test_health_of_an_unknown_channel_is_refused_by_name() -> None:
    report = cmd.ReportChannelHealth(channel="chat", account="typo", state=ChannelHealth.DOWN)
    assert Centre().refused(report, by=ADAPTER) == ("unknown_channel", "channel")


def test_redirect_makes_the_reply_go_to_the_other_address() -> None:
    centre = Centre(policy(channels=CHAIN))
    centre.write("c1", customer="kim", reach=reachable("email"))
    centre.down("chat")
    centre.staff(agent("ana"))
    centre.accept("ana", "c1")
    centre.reply("ana", "c1")
    queued = centre.last(ev.ReplyQueued)
    assert (queued.channel, queued.address) == ("email", address("email", "kim"))


def test_many_contacts_move_one_by_one_and_none_is_left() -> None:
    centre = Centre(policy(channels=CHAIN))
    for n in range(12):
        centre.do(message(f"c{n}", customer=f"kim{n}", reach=(reach("email", f"kim{n}"),)), by=ADAPTER)
    centre.down("chat")
    assert {contact.channel for contact in centre.ws.contacts.values()} == {"email"}
    assert len(centre.all(ev.ContactRedirected)) == 12


def test_redirected_contact_is_offered_only_to_agents_of_the_new_channel() -> None:
    centre = Centre(policy(channels=CHAIN))
    centre.staff(agent("ana", channels=("chat",)), agent("ben", channels=("email",)))
    centre.write("c1", customer="kim", reach=reachable("email"))
    assert centre.offered_to("c1") == ["ana"]
    centre.down("chat")
    assert centre.offered_to("c1") == ["ben"]
    centre.accept("ben", "c1")
    assert centre.refused(cmd.AcceptOffer(offer=centre.offer("c1", "ana").id), by=acting("ana"))[0] == "offer_withdrawn"
