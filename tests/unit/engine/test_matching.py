"""The matching rule: who gets what, next. The plain cases first; then the rule in its plainest form as the judge."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import AgentId
from tests.builders import ADAPTER, Centre, acting, agent, channel, message, policy, presence, queue
from tests.oracle import pairs

# Contacts


def test_longest_waiting_contact_comes_first() -> None:
    centre = Centre()
    centre.write("late")
    centre.wait(1)
    centre.write("later")
    centre.staff(agent("ana"))
    assert centre.holds("ana") == ["late"]


def test_higher_priority_comes_first() -> None:
    centre = Centre()
    centre.write("c1")
    centre.write("c2", priority=1)
    centre.write("c3", priority=-1)
    centre.staff(agent("ana"))
    assert centre.holds("ana") == ["c2"]


@pytest.mark.parametrize("order", ["priority", "score", "slo"])
def test_of_one_instant_who_came_first_is_first_whatever_the_ids(order: str) -> None:
    centre = Centre(policy([queue(contact_order=order)]))
    came = [centre.write(f"c{n}").id for n in range(12)]
    assert came != sorted(came)
    assert len({centre.ws.contacts[contact_id].age_from for contact_id in came}) == 1
    centre.staff(agent("ana", capacity=12))
    assert [event.contact for event in centre.all(ev.OfferMade)] == came


def test_lower_rank_comes_before_any_wait_in_another_queue() -> None:
    centre = Centre(policy([queue("general", rank=2), queue("urgent", rank=1)]))
    centre.write("c1", queue="general", priority=9)
    centre.wait(600)
    centre.write("c2", queue="urgent")
    centre.staff(agent("ana"))
    assert centre.holds("ana") == ["c2"]


def test_ineligible_contact_never_blocks_those_behind_it() -> None:
    centre = Centre(policy([queue("general"), queue("cards")]))
    centre.write("c1", language="xx")
    centre.write("c2", skills={"rare": 5})
    centre.write("c3", queue="cards")
    centre.write("c4", channel="email")
    centre.write("c5", language="fr")
    centre.staff(agent("ana", languages={"fr": 1}, queues=("general",), channels=("chat",)))
    assert centre.holds("ana") == ["c5"]


def test_already_offered_contact_never_blocks_those_behind_it() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    centre.write("c2")
    centre.staff(agent("ben"))
    assert (centre.holds("ana"), centre.holds("ben")) == (["c1"], ["c2"])


# Agents


def test_language_is_required_at_the_queues_level() -> None:
    centre = Centre(policy([queue(language_min=3)]))
    centre.staff(agent("ana", languages={"fr": 2}), agent("ben", languages={"fr": 3}), agent("cem"))
    centre.write("c1", language="fr")
    assert centre.offered_to("c1") == ["ben"]


def test_unknown_language_asks_for_none() -> None:
    centre = Centre(policy([queue(language_min=5)]))
    centre.staff(agent("ana"))
    centre.write("c1")
    assert centre.contact("c1").language == "und"
    assert centre.offered_to("c1") == ["ana"]


def test_regions_do_not_divide_a_language() -> None:
    centre = Centre()
    centre.staff(agent("ana", languages={"pt-PT": 4}))
    centre.write("c1", language="pt-BR")
    assert centre.offered_to("c1") == ["ana"]


def test_every_required_skill_is_needed_at_its_level() -> None:
    centre = Centre(policy([queue(skills={"cards": 2})]))
    centre.staff(
        agent("ana", skills={"cards": 5}),
        agent("ben", skills={"fraud": 5}),
        agent("cem", skills={"cards": 1, "fraud": 5}),
        agent("dil", skills={"cards": 2, "fraud": 3}),
    )
    centre.write("c1", skills={"fraud": 3})
    assert centre.offered_to("c1") == ["dil"]


def test_queues_skill_level_never_lowers_the_contacts() -> None:
    centre = Centre(policy([queue(skills={"cards": 2})]))
    centre.staff(agent("ana", skills={"cards": 3}), agent("ben", skills={"cards": 4}))
    centre.write("c1", skills={"cards": 4})
    assert centre.offered_to("c1") == ["ben"]


def test_agent_of_named_queues_serves_no_others() -> None:
    centre = Centre(policy([queue("general"), queue("cards")]))
    centre.staff(agent("ana", queues=("cards",)), agent("ben"))
    centre.write("c1", queue="general")
    assert centre.offered_to("c1") == ["ben"]


def test_longest_idle_agent_gets_it() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.wait(10)
    centre.staff(agent("ben"))
    centre.write("c1")
    centre.wait(10)
    centre.handle("ana", "c1")
    centre.write("c2")
    assert centre.offered_to("c2") == ["ben"]


def test_equal_agents_are_taken_in_the_order_of_their_ids() -> None:
    centre = Centre()
    centre.staff(agent("ben"), agent("ana"))
    centre.write("c1")
    assert centre.offered_to("c1") == ["ana"]


def test_declining_does_not_make_an_agent_look_busier() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.wait(10)
    centre.staff(agent("ben"))
    centre.write("c1")
    centre.decline("ana", "c1")
    centre.write("c2")
    assert centre.offered_to("c2") == ["ana"]


def test_least_active_counts_capacity_in_use() -> None:
    centre = Centre(policy([queue(strategy="least_active")]))
    centre.staff(agent("ana", capacity=3), agent("ben", capacity=3))
    for name in ("c1", "c2", "c3", "c4"):
        centre.write(name)
    assert (centre.holds("ana"), centre.holds("ben")) == (["c1", "c3"], ["c2", "c4"])


def test_least_active_counts_weights_not_heads() -> None:
    centre = Centre(policy([queue(strategy="least_active")]))
    weights = {"chat": 1, "email": 0.25}
    centre.staff(agent("ana", capacity=3, weights=weights), agent("ben", capacity=3, weights=weights))
    centre.write("mail1", channel="email")
    centre.write("chat1")
    centre.write("mail2", channel="email")
    assert (centre.holds("ana"), centre.holds("ben")) == (["mail1", "mail2"], ["chat1"])


def test_best_skill_is_the_mean_over_the_required_skills() -> None:
    centre = Centre(policy([queue(strategy="best_skill")]))
    centre.staff(
        agent("ana", languages={"fr": 5}, skills={"cards": 2, "fees": 5, "chess": 5}),
        agent("ben", languages={"fr": 1}, skills={"cards": 4, "fees": 4}),
    )
    centre.write("c1", language="fr", skills={"cards": 1, "fees": 1})
    assert centre.offered_to("c1") == ["ben"]
    record = centre.last(ev.OfferMade).decision
    assert [head[:4] for head in record.considered] == [("ben", 0, 1, -4.0), ("ana", 0, 1, -3.5)]


def test_best_language_is_the_level_of_the_language_that_is_spoken() -> None:
    centre = Centre(policy([queue(strategy="best_language")]))
    centre.staff(agent("ana", languages={"fr": 3, "en": 5}), agent("ben", languages={"fr": 4}))
    centre.write("c1", language="fr")
    assert centre.offered_to("c1") == ["ben"]
    record = centre.last(ev.OfferMade).decision
    assert [head[:4] for head in record.considered] == [("ben", 0, 1, -4), ("ana", 0, 1, -3)]


def test_best_skill_falls_back_to_longest_idle_when_nothing_is_required() -> None:
    centre = Centre(policy([queue(strategy="best_skill")]))
    centre.staff(agent("zoe", skills={"cards": 1}))
    centre.wait(1)
    centre.staff(agent("ana", skills={"cards": 5}))
    centre.write("c1")
    assert centre.offered_to("c1") == ["zoe"]


# The whole rule

LANGUAGES = ("en", "fr", "id")
KINDS = ("chat", "email")
QUEUES = ("general", "cards")


def levels(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, int]]:
    return st.dictionaries(st.sampled_from(names), st.integers(1, 5), max_size=len(names))


def subset(names: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.sets(st.sampled_from(names), max_size=len(names)).map(lambda chosen: tuple(sorted(chosen)))


ABILITIES = st.fixed_dictionaries(
    {
        "languages": levels(LANGUAGES),
        "skills": levels(("refunds",)),
        "queues": subset(QUEUES),
        "channels": subset(KINDS),
    }
)
ROOM = st.fixed_dictionaries(
    {
        "capacity": st.sampled_from([0.5, 1, 2, 3]),
        "per_channel": st.dictionaries(st.sampled_from(KINDS), st.integers(0, 2), max_size=2),
        "weights": st.dictionaries(st.sampled_from(KINDS), st.sampled_from([0.5, 1, 1.5]), max_size=2),
    }
)


@st.composite
def staffs(draw: st.DrawFn, room: st.SearchStrategy[dict[str, Any]]) -> list[dict[str, Any]]:
    """Agents of few abilities, so that many share a class, with room that differs inside a class."""
    abilities = draw(st.lists(ABILITIES, min_size=1, max_size=3))
    return [{**draw(st.sampled_from(abilities)), **draw(room)} for _ in range(draw(st.integers(1, 6)))]


CONTACTS = st.fixed_dictionaries(
    {
        "channel": st.sampled_from(KINDS),
        "language": st.sampled_from([None, *LANGUAGES]),
        "skills": levels(("refunds",)),
        "queue": st.sampled_from(QUEUES),
        "priority": st.integers(0, 1),
    }
)


def rules(ranks: st.SearchStrategy[int]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "rank": ranks,
            "strategy": st.sampled_from(["longest_idle", "least_active", "best_skill"]),
            "decline": st.sampled_from([{"policy": "others_first"}, {"policy": "never"}]),
            "language_min": st.integers(1, 3),
        }
    )


def one_pass(
    profiles: list[dict[str, Any]],
    contacts: list[dict[str, Any]],
    declines: list[tuple[int, int]],
    queue_rules: list[dict[str, Any]],
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Builds a centre in which nobody may serve anything, then adopts the policy that lets them: one routing pass over
    everything. Returns the rule's pairs and the engine's."""
    shut = policy([queue(name, skills={"nobody": 5}) for name in QUEUES])
    centre = Centre(shut, checked=False)
    for number, profile in enumerate(profiles):
        centre.staff(agent(f"a{number}", **profile))
        centre.wait(number % 3)
    for number, fields in enumerate(contacts):
        centre.write(f"c{number}", **fields)
        centre.wait(number % 2)
    for number, who in declines:
        contact = centre.contact(f"c{number % len(contacts)}")
        who_id = AgentId(f"a{who % len(profiles)}")
        contact.declines = {**contact.declines, who_id: contact.declines.get(who_id, 0) + 1}
    opened = policy([queue(name, **fields) for name, fields in zip(QUEUES, queue_rules, strict=True)])
    ws = centre.ws
    ws.set_policy(1, opened)
    expected = pairs(ws)
    ws.set_policy(1, shut)
    decided = centre.do(cmd.AdoptPolicy(policy=opened))
    made = [(event.contact, event.agent) for event in decided.events if isinstance(event, ev.OfferMade)]
    assert pairs(ws) == [], "no pair is left"
    return expected, [(str(contact), str(who)) for contact, who in made]


MANY: dict[str, st.SearchStrategy[Any]] = {
    "contacts": st.lists(CONTACTS, min_size=1, max_size=10),
    "declines": st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), max_size=6),
}


@settings(max_examples=200, deadline=None)
@given(**MANY, profiles=staffs(ROOM), queue_rules=st.lists(rules(st.just(1)), min_size=2, max_size=2))
def test_pass_over_everything_makes_the_pairs_of_the_rule(
    profiles: list[dict[str, Any]],
    contacts: list[dict[str, Any]],
    declines: list[tuple[int, int]],
    queue_rules: list[dict[str, Any]],
) -> None:
    expected, made = one_pass(profiles, contacts, declines, queue_rules)
    assert made == expected


@settings(max_examples=200, deadline=None)
@given(
    contacts=MANY["contacts"],
    profiles=staffs(ROOM),
    queue_rules=st.lists(rules(st.integers(1, 2)), min_size=2, max_size=2),
)
def test_pass_over_queues_of_different_rank_makes_the_pairs_of_the_rule(
    profiles: list[dict[str, Any]], contacts: list[dict[str, Any]], queue_rules: list[dict[str, Any]]
) -> None:
    expected, made = one_pass(profiles, contacts, [], queue_rules)
    assert made == expected


def test_agents_of_one_class_with_room_for_different_channels_have_bests_of_their_own() -> None:
    shut = [queue("general", skills={"nobody": 5}), queue("cards", skills={"nobody": 5})]
    centre = Centre(policy(shut), checked=False)
    centre.staff(agent("ana"), agent("ben", per_channel={"chat": 0}))
    centre.wait(1)
    centre.staff(agent("cem", skills={"other": 1}, channels=("email",)))
    centre.write("c1", queue="general", channel="chat")
    centre.write("mail", queue="cards", channel="email", priority=1)
    centre.do(cmd.AdoptPolicy(policy=policy([queue("general", rank=1), queue("cards", rank=2)])))
    # Ana's best is c1 by its queue's rank; the mail is Ben's best and Cem's, and Ben is idle longer.
    assert (centre.holds("ana"), centre.holds("ben"), centre.holds("cem")) == (["c1"], ["mail"], [])


@pytest.mark.parametrize("first", [True, False])
def test_every_arrival_and_every_freed_agent_is_routed_as_the_rule_says(first: bool) -> None:
    centre = Centre(policy([queue("general", strategy="best_skill"), queue("cards")]), checked=False)
    people = [agent(f"a{n}", languages={LANGUAGES[n % 3]: 1 + n % 5}, capacity=1 + n % 2) for n in range(5)]
    for person in people:
        centre.staff(person)
    for n in range(40):
        centre.do(message(f"c{n}", language=LANGUAGES[n % 3], queue=QUEUES[n % 2], priority=n % 4), by=ADAPTER)
        assert pairs(centre.ws) == []
        if n % 3 == 0 or first:
            offers = [offer for offer in centre.ws.offers.values() if not offer.outcome]
            for offer in offers[:2]:
                centre.do(cmd.AcceptOffer(offer=offer.id), by=acting(offer.agent))
                centre.do(cmd.CompleteContact(contact=offer.contact), by=acting(offer.agent))
                assert pairs(centre.ws) == []
    centre.do(presence("a0", "away"), by=acting("a0"))
    assert pairs(centre.ws) == []


def test_channel_of_a_kind_that_no_agent_has_waits_for_ever() -> None:
    centre = Centre(policy(channels=[channel("chat"), channel("telegram")]))
    centre.staff(agent("ana", channels=("chat",)))
    centre.write("c1", channel="telegram")
    centre.wait(86_400)
    assert centre.contact("c1").age_from < centre.now
    assert centre.offered_to("c1") == []


def test_decision_says_for_good_what_was_so_when_it_was_made() -> None:
    centre = Centre()
    centre.staff(agent("ana", languages={"fr": 1}), agent("tom", languages={"en": 1}))
    centre.write("c1", language="fr")
    record = centre.last(ev.OfferMade).decision
    assert record.excluded == {"language": 1}
    centre.staff(agent("eva", languages={"de": 1}))
    assert record.excluded == {"language": 1}


def test_contacts_of_one_score_come_in_the_order_of_their_arrival() -> None:
    centre = Centre(policy([queue(contact_order="score", priority_unit_s=60)]))
    centre.do(message("early"), by=ADAPTER, id="z")
    centre.wait(60)
    centre.do(message("late", priority=1), by=ADAPTER, id="a")
    centre.staff(agent("ana"))
    assert centre.holds("ana") == ["early"]


def test_preferred_agent_who_joins_the_queue_later_gets_the_contact() -> None:
    wish = {"wait_s": 600, "fallback": "hold", "bypass": [], "skip_if_unavailable": False, "enabled": True}
    centre = Centre(policy([queue("general", preferred=wish), queue("cards")]))
    centre.staff(agent("ana", queues=("cards",)), agent("ben"))
    asked = cmd.CreateContact(
        source_key="c1", channel="chat", account="web", preferred=(AgentId("ana"), AgentId("eva"))
    )
    centre.do(asked, by=ADAPTER)
    assert centre.offered_to("c1") == []
    centre.do(agent("ana", queues=("cards", "general")))
    assert centre.offered_to("c1") == ["ana"]


def test_preferred_agent_who_is_new_gets_the_contact() -> None:
    wish = {"wait_s": 600, "fallback": "hold", "bypass": [], "skip_if_unavailable": False, "enabled": True}
    centre = Centre(policy([queue("general", preferred=wish)]))
    centre.staff(agent("ben"))
    centre.do(
        cmd.CreateContact(source_key="c1", channel="chat", account="web", preferred=(AgentId("eva"),)), by=ADAPTER
    )
    assert centre.offered_to("c1") == []
    centre.staff(agent("eva"))
    assert centre.offered_to("c1") == ["eva"]


def test_policy_that_allows_a_greater_age_brings_back_what_was_too_old() -> None:
    centre = Centre(policy([queue(max_age_s=10)]))
    centre.write("c1")
    centre.wait(20)
    centre.staff(agent("ana"))
    assert centre.offered_to("c1") == []
    centre.do(cmd.AdoptPolicy(policy=policy([queue(max_age_s=60)])))
    assert centre.offered_to("c1") == ["ana"]
    centre.wait(41)
    assert centre.offered_to("c1") == []
