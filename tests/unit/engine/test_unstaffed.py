"""A station that is left as soon as nobody is there: when, for whom, and at what cost."""

from __future__ import annotations

from typing import Any

import pytest

from services.router.engine.index import Index
from services.router.engine.world import World
from services.router.snapshot import dump, load
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import AgentId, ContactId, ContactState
from tests.builders import SUPERVISOR, Centre, acting, agent, channel, policy, presence, queue
from tests.derived import derived


def two_stations(*, skip: bool = True, **rules: Any) -> dict[str, Any]:
    """Cards until a contact is ten minutes old, then everybody's queue."""
    stations = [{"queue": "cards", "until_age_s": 600, "skip_if_none_available": skip}, {"queue": "general"}]
    flow = {"name": "menu", "default_queue": "general", "filters": [{"steps": stations}]}
    chat = channel("chat", to="general", flow="menu")
    return policy([queue("cards", **rules), queue("general")], [chat], flows=[flow])


def with_one_who_is_busy(**rules: Any) -> Centre:
    """Ana serves the cards station, and is full."""
    centre = Centre(two_stations(**rules))
    centre.staff(agent("ana", queues=("cards",)))
    centre.write("busy")
    centre.accept("ana", "busy")
    centre.write("c1")
    assert (centre.contact("c1").queue, centre.contact("c1").state) == ("cards", ContactState.WAITING)
    return centre


def test_a_desk_that_falls_silent_is_nobody() -> None:
    centre = with_one_who_is_busy()
    centre.do(cmd.LoseLease(agent=AgentId("ana")), by=SUPERVISOR)
    assert centre.contact("c1").queue == "general"
    assert centre.last(ev.ContactMoved).reason == "flow"


def test_wrap_up_a_full_desk_and_a_coming_end_of_shift_are_somebody() -> None:
    centre = with_one_who_is_busy(wrap_up_s=60)
    centre.do(presence("ana", "available", then="away"), by=acting("ana"))
    assert centre.contact("c1").queue == "cards"
    centre.complete("ana", "busy")
    assert centre.contact("c1").queue == "cards"
    centre.wait(60)
    assert centre.agent("ana").presence == "away"
    assert centre.contact("c1").queue == "general"


def test_the_last_of_several_counts() -> None:
    centre = with_one_who_is_busy()
    centre.do(agent("ben", queues=("cards",), channels=("email",)))
    centre.do(presence("ben"), by=acting("ben"))
    centre.do(presence("ana", "away"), by=acting("ana"))
    assert centre.contact("c1").queue == "cards"
    centre.do(agent("ben", queues=("general",), channels=("email",)))
    assert centre.contact("c1").queue == "general"


def test_an_offer_that_was_declined_was_one() -> None:
    centre = Centre(two_stations(decline={"policy": "never", "when_exhausted": "stay"}))
    centre.staff(agent("ana", queues=("cards",)))
    centre.write("c1")
    centre.decline("ana", "c1")
    centre.do(presence("ana", "away"), by=acting("ana"))
    assert centre.contact("c1").queue == "cards"
    reloaded = load(dump(centre.engine.state))
    assert reloaded.workspaces["w"].contacts[centre.id_of("c1")].asked
    assert derived(World(reloaded)) == derived(centre.engine.world)


def test_a_policy_that_begins_to_say_so_moves_those_who_wait() -> None:
    centre = Centre(two_stations(skip=False))
    for name in ("c1", "c2"):
        centre.write(name)
        assert centre.contact(name).queue == "cards"
    centre.do(cmd.AdoptPolicy(policy=two_stations()))
    assert [centre.contact(name).queue for name in ("c1", "c2")] == ["general", "general"]


def test_a_transfer_elsewhere_is_left_in_peace() -> None:
    centre = with_one_who_is_busy()
    centre.do(cmd.TransferContact(contact=centre.id_of("busy"), queue="general"), by=acting("ana"))
    assert centre.offered_to("c1") == ["ana"]
    centre.do(presence("ana", "away"), by=acting("ana"))
    assert centre.contact("busy").queue == "general"
    assert centre.contact("busy").flow_step == 0


def test_very_many_move_in_decisions_of_bounded_size_each_once() -> None:
    centre = Centre(two_stations(), checked=False)
    centre.staff(agent("ana", queues=("cards",), channels=("email",)))
    for n in range(1_000):
        centre.write(f"c{n}")
    before = len(centre.history)
    centre.do(presence("ana", "away"), by=acting("ana"))
    decided = [d for played in centre.history[before:] for d in played.decided]
    assert max(len(d.events) for d in decided) < 100
    moved = [event.contact for event in centre.all(ev.ContactMoved)]
    assert sorted(moved) == sorted(centre.id_of(f"c{n}") for n in range(1_000))
    assert centre.engine.world.indexes["w"].queues["cards"].waiting == 0


@pytest.mark.interpreted
def test_only_those_who_may_leave_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    centre = Centre(two_stations(), checked=False)
    centre.staff(agent("ana", queues=("cards",), channels=("email",)))
    for n in range(200):
        centre.write(f"plain{n}", queue="cards")
    centre.write("c1")
    looked: list[ContactId] = []
    sync = Index.sync_contact

    def counted(index: Index, contact_id: ContactId) -> None:
        looked.append(contact_id)
        sync(index, contact_id)

    monkeypatch.setattr(Index, "sync_contact", counted)
    centre.do(presence("ana", "away"), by=acting("ana"))
    assert set(looked) == {centre.id_of("c1")}
    assert centre.contact("c1").queue == "general"
