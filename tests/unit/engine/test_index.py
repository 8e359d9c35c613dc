"""What is derived from the facts: kept in step, shared by class, bounded, and never looked through."""

from __future__ import annotations

from typing import Any

import pytest

from services.router.engine import index as indexing
from services.router.engine import registry
from services.router.engine.ordered import OrderedSet
from services.router.engine.records import Contact
from shared.contracts import commands as cmd
from shared.vocabulary import AgentId, ContactId
from tests.builders import ADAPTER, SUPERVISOR, Centre, acting, agent, channel, message, policy, presence, queue


def test_agents_of_the_same_abilities_share_a_class() -> None:
    centre = Centre()
    centre.staff(
        agent("ana", languages={"fr": 3, "en": 5}, capacity=1),
        agent("ben", languages={"en": 5, "fr": 3}, capacity=4, name="Ben"),
        agent("cem", languages={"fr": 4, "en": 5}),
    )
    assert len(centre.engine.world.indexes["w"].registry.classes) == 2


def test_classes_of_profiles_that_nobody_has_any_more_do_not_pile_up() -> None:
    centre = Centre(policy([queue(skills={"cards": 1})]))
    centre.staff(agent("ana"), agent("ben", skills={"cards": 5}))
    seen = 0
    for number in range(200):
        centre.do(agent("ana", skills={f"s{number}": 1 + number % 5}))
        seen = max(seen, len(centre.engine.world.indexes["w"].registry.classes))
    assert 2 < seen <= 3 * 2 + 64 + 1
    centre.write("c1")
    assert centre.offered_to("c1") == ["ben"]


def test_contacts_that_ask_for_the_same_share_a_requirement() -> None:
    centre = Centre(policy([queue("general", skills={"cards": 2}), queue("other")]))
    centre.write("c1", language="pt-BR", skills={"cards": 1})
    centre.write("c2", language="pt-PT", priority=3, customer="kim")
    centre.write("c3", language="pt", skills={"cards": 3})
    centre.write("c4", language="pt", channel="email")
    centre.write("c5", language="pt", queue="other")
    waiting = [len(r.waiting) for r in centre.engine.world.indexes["w"].registry.requirements.values()]
    assert sorted(waiting) == [1, 1, 1, 2]


def test_requirements_that_nobody_waits_under_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MAX_IDLE_REQUIREMENTS", 5)
    centre = Centre()
    centre.staff(agent("ana", skills={f"s{n}": 5 for n in range(40)}))
    centre.write("stays", skills={"nobody": 5})
    for n in range(40):
        centre.write(f"c{n}", skills={f"s{n}": 1})
        centre.handle("ana", f"c{n}")
    index = centre.engine.world.indexes["w"]
    assert len(index.registry.requirements) <= 6
    assert all(len(known.requirements) <= 6 for known in index.registry.classes.values())
    centre.staff(agent("ben", skills={"nobody": 5}))
    assert centre.holds("ben") == ["stays"]


@pytest.mark.interpreted
def test_requirements_that_all_have_somebody_waiting_are_not_looked_through_for_each_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "MAX_IDLE_REQUIREMENTS", 5)
    looked: list[int] = []
    forget = registry.Registry._forget_idle_requirements

    def counted(known: registry.Registry) -> None:
        looked.append(len(known.requirements))
        forget(known)

    monkeypatch.setattr(registry.Registry, "_forget_idle_requirements", counted)
    centre = Centre(checked=False)
    for n in range(100):
        centre.write(f"c{n}", skills={f"s{n}": 1})
    assert looked == [5, 10, 20, 40, 80]
    for n in range(100):
        centre.do(cmd.CancelContact(contact=centre.id_of(f"c{n}")))
    for n in range(70):
        centre.write(f"d{n}", skills={f"t{n}": 1})
    # At 160 the first hundred are forgotten, and the bound comes down with what is left.
    assert looked == [5, 10, 20, 40, 80, 160]
    assert len(centre.engine.world.indexes["w"].registry.requirements) <= 2 * 70


def test_requirement_that_came_back_is_served_like_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MAX_IDLE_REQUIREMENTS", 2)
    centre = Centre()
    centre.staff(agent("ana", languages={"fr": 1, "en": 1, "de": 1}))
    for n, language in enumerate(["fr", "en", "de", "fr", "en", "de"]):
        centre.write(f"c{n}", language=language)
        assert centre.offered_to(f"c{n}") == ["ana"]
        centre.handle("ana", f"c{n}")


def test_new_policy_keeps_everybody_waiting_however_much_they_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MAX_IDLE_REQUIREMENTS", 2)
    centre = Centre(policy([queue("general")]))
    for n in range(6):
        centre.write(f"c{n}", skills={f"s{n}": 1})
    centre.do(cmd.AdoptPolicy(policy=policy([queue("general", offer_timeout_s=7)])))
    waiting = [len(each.waiting) for each in centre.engine.world.indexes["w"].registry.requirements.values()]
    assert sum(waiting) == 6
    centre.staff(agent("ana", skills={f"s{n}": 5 for n in range(6)}, capacity=6))
    assert len(centre.holds("ana")) + sum(centre.offered_to(f"c{n}") == ["ana"] for n in range(6)) >= 6


def test_counts_of_a_queue_follow_its_contacts_and_its_people() -> None:
    centre = Centre(policy([queue("general"), queue("cards")]))
    counts = centre.engine.world.indexes["w"].queues
    centre.do(agent("ana", capacity=2))
    centre.do(agent("ben", queues=("cards",)))
    for name in ("c1", "c2", "c3"):
        centre.write(name)
    general = counts["general"]
    assert (general.waiting, general.offered, general.assigned, general.staffed, general.available) == (3, 0, 0, 0, 0)
    centre.do(presence("ana"), by=acting("ana"))
    centre.accept("ana", "c1")
    assert (general.waiting, general.offered, general.assigned, general.staffed, general.available) == (1, 1, 1, 1, 1)
    centre.do(presence("ana", "away"), by=acting("ana"))
    assert (general.waiting, general.offered, general.assigned, general.staffed, general.available) == (2, 0, 1, 1, 0)
    centre.do(presence("ben"), by=acting("ben"))
    assert (general.staffed, counts["cards"].staffed) == (1, 2)
    centre.complete("ana", "c1")
    assert (general.assigned, len(general.pending)) == (0, 2)


def test_oldest_pending_contact_of_a_queue_is_the_first() -> None:
    centre = Centre()
    centre.write("c1")
    centre.wait(5)
    centre.write("c2", priority=9)
    general = centre.engine.world.indexes["w"].queues["general"]
    assert general.pending.first()[1] == centre.id_of("c1")


def test_indexes_of_workspaces_are_apart() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.move_to("v")
    centre.write("c1")
    assert centre.contact("c1").offers == ()
    assert centre.engine.world.indexes["w"].queues["general"].waiting == 0


def test_timers_of_workspaces_share_one_order() -> None:
    centre = Centre(policy([queue(offer_timeout_s=20)]))
    for workspace in ("w", "v"):
        centre.move_to(workspace)
        centre.staff(agent("ana"))
        centre.write("c1")
        centre.wait(5)
    assert [timer[:3:2] for timer in centre.engine.world.timers] == [
        (centre.now + 10_000, "w"),
        (centre.now + 15_000, "v"),
    ]


@pytest.mark.interpreted
def test_no_decision_walks_through_waiting_contacts_or_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Iterating over an ordered set of many is what must never happen; taking its first item is free."""
    centre = Centre(
        policy([queue("general", strategy="least_active"), queue("cards", strategy="best_skill")]), checked=False
    )
    for n in range(300):
        centre.staff(agent(f"a{n}", languages={"fr": 3}, capacity=2))
    for n in range(300):
        centre.write(f"w{n}", language="xx")

    steps = 0
    plain = OrderedSet.__iter__

    def counted(self: OrderedSet[tuple[object, ...]]) -> object:
        nonlocal steps
        for item in plain(self):
            steps += 1
            yield item

    monkeypatch.setattr(OrderedSet, "__iter__", counted)
    for n in range(50):
        centre.do(message(f"c{n}", language="fr", queue=("general", "cards")[n % 2]), by=ADAPTER)
        who = centre.offered_to(f"c{n}")[0]
        if n % 3:
            centre.decline(who, f"c{n}")
            who = centre.offered_to(f"c{n}")[0]
        centre.handle(who, f"c{n}")
    centre.do(cmd.LoseLease(agent=AgentId("a7")), by=SUPERVISOR)
    assert steps < 50 * 20


def test_policy_that_drops_a_channel_leaves_nothing_of_it_behind() -> None:
    centre = Centre(policy(channels=[channel("chat"), channel("email")]))
    centre.staff(agent("ana"))
    centre.write("c1", channel="email")
    centre.handle("ana", "c1")
    centre.do(cmd.AdoptPolicy(policy=policy(channels=[channel("chat")])))
    index = centre.engine.world.indexes["w"]
    assert index.rooms.kinds == ("callback", "chat")
    assert not any(index.pending_on.values())


def _many() -> Centre:
    """Contacts in every state and for every rule that looks at them singly; everything derived is checked after each
    command, against what the facts give anew."""
    centre = Centre(policy([queue("general"), queue("other"), queue("gone")]))
    centre.staff(agent("ana", skills={"cards": 2}), agent("ben", languages={"en": 3, "fr": 3}))
    for name in ("held", "declined", "offered"):
        centre.write(name, customer=name)
    centre.accept(centre.offered_to("held")[0], "held")
    centre.decline(centre.offered_to("declined")[0], "declined")
    for number, name in enumerate(("general", "general", "other", "gone")):
        language = "de" if number else "en"
        centre.write(f"w{number}", queue=name, language=language, priority=number, customer=f"k{number}")
        centre.wait(1)
    return centre


def _adopt(centre: Centre, *queues: dict[str, Any]) -> None:
    centre.do(cmd.AdoptPolicy(policy=policy([*queues])))


CHANGES: tuple[dict[str, Any], ...] = (
    {"rank": 9},
    {"strategy": "best_skill"},
    {"steps": [{"after_s": 60, "drop_language": True}]},
    {"max_wait_s": 600},
    {"contact_order": "score"},
    {"contact_order": "slo"},
    {"strict_priority": 1},
    {"starvation_s": 30},
    {"language_min": 3},
    {"skills": {"cards": 1}},
    {"skill_match": "ignore"},
    {"accepts_presence": ["available", "away"]},
    {"max_age_s": 900},
    {"overflow": [{"when": {"wait_exceeds_s": 300}, "action": "move_to", "queue": "other"}]},
    {"decline": {"policy": "after_s", "after_s": 60}},
    {"max_waiting": 50},
    {"default_skills": {"cards": 2}},
    {"excluded_skills": ["cards"]},
    {"initial_tier": 1},
    {"contact_order": "score", "priority_unit_s": 1, "language_min": 3},
    {"contact_order": "buckets", "buckets": [{"match": {}, "order_attr": "due"}], "skills": {"cards": 1}},
    {"contact_order": "score", "max_wait_s": 600},
    {"language_min": 3, "steps": [{"after_s": 60, "set_min": {"cards": 1}, "open_tier": 2}], "initial_tier": 1},
)


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_policy_is_derived_anew_whatever_it_changes(change: dict[str, Any]) -> None:
    """And back, where the earlier index is one that took over from another."""
    centre = _many()
    _adopt(centre, queue("general", **change), queue("other"), queue("gone"))
    centre.write("after", queue="other")
    _adopt(centre, queue("general"), queue("other", **change), queue("gone"))
    centre.wait(120)
    centre.write("late", queue="general")


def test_what_a_step_did_is_derived_anew_where_a_policy_has_other_steps() -> None:
    centre = _many()
    for skills in ({"drop_language": True}, {"any_agent": True}, {"set_priority": 4}):
        _adopt(centre, queue("general", steps=[{"after_s": 60, **skills}]), queue("other"), queue("gone"))
        centre.wait(120)
        assert centre.contact("w1").steps == 1, "each time something else follows from it"


def test_a_queue_that_costs_by_deadlines_may_begin_to_serve_by_them() -> None:
    centre = _many()
    for order in ("priority", "slo", "score"):
        _adopt(centre, queue("general", contact_order=order, strategy="slo"), queue("other"), queue("gone"))
        contact = centre.write(f"by-{order}", queue="general", customer=order)
        assert centre.engine.world.indexes["w"].requirement_of(contact).by_deadline == (order == "slo")


@pytest.mark.interpreted
def test_contacts_of_which_a_policy_changes_nothing_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    centre = _many()
    index = centre.engine.world.indexes["w"]
    kept = {name: index._contacts[centre.id_of(name)] for name in ("w0", "w1", "w2", "w3")}
    looked: list[str] = []
    look = indexing.Index._contact_place

    def counted(self: indexing.Index, contact: Contact) -> Any:
        if self.timers is centre.engine.world.timers:  # Not the index that everything is checked against.
            looked.append(contact.id)
        return look(self, contact)

    monkeypatch.setattr(indexing.Index, "_contact_place", counted)
    _adopt(centre, queue("general", rank=5), queue("other", max_wait_s=600), queue("gone"))
    assert centre.id_of("w2") not in looked, "only what is due there is another now"
    now = centre.engine.world.indexes["w"]
    assert all(now._contacts[centre.id_of(name)] is kept[name] for name in ("w1", "w2", "w3"))
    assert centre.id_of("w2") in now._contact_timers
    _adopt(centre, queue("general", rank=5), queue("other", max_wait_s=600, skills={"cards": 1}), queue("gone"))
    assert centre.id_of("w2") not in looked, "only what it asks for is something else"
    now = centre.engine.world.indexes["w"]
    assert all(now._contacts[centre.id_of(name)] is kept[name] for name in ("w1", "w3"))
    assert now._contacts[centre.id_of("w2")].requirement is not kept["w2"].requirement
    _adopt(centre, queue("general", rank=5), queue("other", max_wait_s=600, max_age_s=900), queue("gone"))
    assert centre.id_of("w2") in looked


def test_a_contact_whose_number_is_none_is_found_again_behind_the_numbers() -> None:
    centre = Centre(policy([queue("general", contact_order="buckets", buckets=[{"match": {}, "order_attr": "due"}])]))
    for name, due in (("word", "nan"), ("late", "9"), ("soon", "2.5"), ("other", "-NaN"), ("gone", "nan")):
        centre.write(name, attributes={"due": due})
    centre.do(cmd.CancelContact(contact=centre.id_of("gone")))
    centre.staff(agent("ana", capacity=2))
    assert [name for name in ("word", "late", "soon", "other") if centre.offered_to(name)] == ["late", "soon"]


@pytest.mark.interpreted
def test_who_goes_is_no_news_to_contacts_that_others_may_still_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Declined contacts are looked at again only if the class that had somebody left for them loses one."""
    centre = Centre(policy([queue("general", decline={"policy": "never"}, max_per_agent=1), queue("other")]))
    for name, other in (("ben", "en"), ("cem", "id")):
        centre.staff(agent(name, languages={"fr": 4, other: 4}))
        centre.write(f"busy-{name}", language=other, queue="other")
        centre.accept(name, f"busy-{name}")
    centre.staff(agent("ana", languages={"fr": 4}))
    for number in range(4):
        centre.write(f"c{number}", language="fr")
        centre.decline("ana", f"c{number}")
    here = centre.engine.world.indexes["w"]
    looked: list[ContactId] = []
    sync = indexing.Index.sync_contact

    def noted(index: indexing.Index, contact_id: ContactId) -> None:
        if index is here:
            looked.append(contact_id)
        sync(index, contact_id)

    monkeypatch.setattr(indexing.Index, "sync_contact", noted)

    def looks_at(name: str, is_now: str) -> int:
        looked.clear()
        centre.do(presence(name, is_now), by=acting(name))
        return len(looked)

    assert looks_at("ana", "away") == 0
    assert looks_at("cem", "away") == 0, "ben is left, and was all the time"
    assert looks_at("cem", "available") == 0
    assert looks_at("ben", "away") == 4, "cem is left, who has to be found"
    assert looks_at("cem", "away") >= 4, "nobody is there, so nobody has declined"
    assert not centre.contact("c0").exhausted
    assert looks_at("ana", "available") >= 4
    assert all(centre.contact(f"c{number}").exhausted for number in range(4))
