"""Consults: who may be asked about a contact, that it costs them nothing, and when it is over."""

from __future__ import annotations

from typing import Any

import pytest

from services.router.engine.consult import MOST_CONSULTED
from services.router.snapshot import dump, load, state_hash
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.contracts.commands import Actor
from shared.vocabulary import AgentId, ContactId, ContactState
from tests.builders import ADAPTER, OPERATOR, SUPERVISOR, Centre, acting, agent, kinds, policy, presence, queue

ANA, BEN, CEM = AgentId("ana"), AgentId("ben"), AgentId("cem")


def asked(*colleagues: str, document: dict[str, object] | None = None) -> Centre:
    """Ana holds `c1` and asked these colleagues about it; they serve another queue, and are full or not there."""
    centre = Centre(document or policy([queue("general"), queue("cards")]))
    centre.staff(agent("ana", queues=("general",), capacity=2))
    centre.write("c1")
    centre.accept("ana")
    centre.staff(*(agent(name, queues=("cards",)) for name in colleagues or ("ben",)))
    for name in colleagues or ("ben",):
        ask(centre, name)
    return centre


def ask(centre: Centre, colleague: str, *, by: Actor | None = None, note_ref: str | None = None) -> list[ev.Event]:
    command = cmd.StartConsult(contact=centre.id_of("c1"), agent=AgentId(colleague), note_ref=note_ref)
    return list(centre.do(command, by=by or acting("ana")).events)


def ends(events: list[ev.Event]) -> list[tuple[str, str]]:
    """Whose consults ended, and why."""
    return [(event.agent, event.reason) for event in events if isinstance(event, ev.ConsultEnded)]


def end(centre: Centre, colleague: str, by: Actor) -> list[ev.Event]:
    return list(centre.do(cmd.EndConsult(contact=centre.id_of("c1"), agent=AgentId(colleague)), by=by).events)


def nobody_is_asked(centre: Centre) -> bool:
    agents = centre.ws.agents.values()
    contacts = centre.ws.contacts.values()
    return not any(each.consulting for each in agents) and not any(c.consulted or c.consult_notes for c in contacts)


# Asking


def test_a_colleague_is_asked_whatever_they_hold_and_serve() -> None:
    centre = asked()
    assert centre.last(ev.ConsultStarted) == ev.ConsultStarted(contact=centre.id_of("c1"), agent=BEN, by="ana")
    assert centre.contact("c1").consulted == (BEN,)
    assert centre.agent("ben").consulting == (centre.id_of("c1"),)
    assert centre.contact("c1").agent == ANA


def test_a_consult_takes_no_room() -> None:
    centre = asked()
    centre.write("c2", queue="cards")
    assert centre.offered_to("c2") == ["ben"]
    centre.accept("ben", "c2")
    assert (centre.holds("ben"), centre.agent("ben").used) == (["c2"], 1000)
    assert len(centre.agent("ben").consulting) == 1


def test_a_full_agent_may_be_asked() -> None:
    centre = asked()
    centre.staff(agent("cem", queues=("cards",)))
    centre.write("c2", queue="cards")
    centre.write("c3", queue="cards")
    centre.accept("cem", "c3")
    assert kinds(ask(centre, "cem")) == ["ConsultStarted"]


def test_the_first_choice_of_a_contact_stays_the_same() -> None:
    """Who is consulted waits as long as before: idle time counts from the last contact, not from a colleague's."""
    centre = asked("ben", "cem")
    centre.wait(5)
    end(centre, "ben", acting("ben"))
    centre.write("c2", queue="cards")
    assert centre.offered_to("c2") == ["ben"]


def test_the_same_again_changes_nothing() -> None:
    centre = asked()
    assert ask(centre, "ben") == [ev.CommandNoted(reason="unchanged", subject=centre.id_of("c1"))]
    assert centre.contact("c1").consulted == (BEN,)


def test_a_supervisor_asks_for_the_holder() -> None:
    centre = asked()
    centre.staff(agent("cem", queues=("cards",)))
    assert ask(centre, "cem", by=SUPERVISOR) == [ev.ConsultStarted(contact=centre.id_of("c1"), agent=CEM, by="sam")]


@pytest.mark.parametrize(
    ("colleague", "by", "reason"),
    [
        ("ana", acting("ana"), ("invalid", "agent")),
        ("nobody", acting("ana"), ("unknown_agent", "agent")),
        ("cem", acting("ben"), ("not_yours", None)),
        ("off", acting("ana"), ("not_there", "agent")),
        ("silent", acting("ana"), ("not_there", "agent")),
    ],
)
def test_who_cannot_be_asked_or_may_not_ask(colleague: str, by: Actor, reason: tuple[str, str | None]) -> None:
    centre = asked()
    centre.staff(agent("cem"), agent("off"), agent("silent"))
    centre.do(presence("off", "offline"), by=acting("off"))
    centre.do(cmd.LoseLease(agent=AgentId("silent")), by=ADAPTER)
    command = cmd.StartConsult(contact=centre.id_of("c1"), agent=AgentId(colleague))
    assert centre.refused(command, by=by) == reason


def test_an_agent_on_a_break_may_be_asked() -> None:
    centre = asked()
    centre.staff(agent("cem"))
    centre.do(presence("cem", "away"), by=acting("cem"))
    assert kinds(ask(centre, "cem")) == ["ConsultStarted"]


def test_only_about_an_assigned_contact() -> None:
    centre = Centre()
    centre.staff(agent("ana"), agent("ben"))
    centre.write("c1")
    command = cmd.StartConsult(contact=centre.id_of("c1"), agent=BEN)
    assert centre.refused(command, by=SUPERVISOR) == ("wrong_state", None)
    centre.handle("ana", "c1")
    assert centre.refused(command, by=SUPERVISOR) == ("wrong_state", None)
    nothing = cmd.StartConsult(contact=ContactId("nothing"), agent=BEN)
    assert centre.refused(nothing, by=SUPERVISOR) == ("unknown_contact", "contact")


def test_so_many_and_no_more() -> None:
    names = [f"b{number}" for number in range(MOST_CONSULTED)]
    centre = asked(*names)
    centre.staff(agent("cem"))
    command = cmd.StartConsult(contact=centre.id_of("c1"), agent=CEM)
    assert centre.refused(command, by=acting("ana")) == ("too_many", "agent")
    end(centre, names[0], acting("ana"))
    assert kinds(ask(centre, "cem")) == ["ConsultStarted"]


# Ending


@pytest.mark.parametrize(
    ("by", "reason"), [(acting("ben"), "left"), (acting("ana"), "ended"), (SUPERVISOR, "ended"), (OPERATOR, "ended")]
)
def test_it_is_ended_by_either_side_or_a_supervisor(by: Actor, reason: str) -> None:
    centre = asked("ben", "cem")
    assert end(centre, "ben", by) == [ev.ConsultEnded(contact=centre.id_of("c1"), agent=BEN, reason=reason)]
    assert (centre.contact("c1").consulted, centre.agent("ben").consulting) == ((CEM,), ())
    assert centre.contact("c1").state is ContactState.ASSIGNED


def test_nobody_else_ends_it() -> None:
    centre = asked("ben", "cem")
    command = cmd.EndConsult(contact=centre.id_of("c1"), agent=BEN)
    assert centre.refused(command, by=acting("cem")) == ("not_yours", None)


def test_ending_what_is_over_changes_nothing() -> None:
    centre = asked()
    end(centre, "ben", acting("ben"))
    noted = [ev.CommandNoted(reason="unchanged", subject=centre.id_of("c1"))]
    assert end(centre, "ben", acting("ben")) == noted
    assert end(centre, "ben", acting("ana")) == noted


ENDINGS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "completed": (cmd.CompleteContact, {}, "ended"),
    "cancelled": (cmd.CancelContact, {}, "ended"),
    "requeued": (cmd.RequeueContact, {}, "ended"),
    "moved": (cmd.TransferContact, {"queue": "cards"}, "transferred"),
    "handed to another": (cmd.TransferContact, {"agent": AgentId("dee")}, "transferred"),
    "handed to one of them": (cmd.TransferContact, {"agent": CEM}, "transferred"),
    "given to another": (cmd.AssignContact, {"agent": AgentId("dee")}, "transferred"),
}


@pytest.mark.parametrize("how", ENDINGS)
def test_it_ends_for_all_with_the_assignment(how: str) -> None:
    make, more, reason = ENDINGS[how]
    centre = asked("ben", "cem")
    centre.staff(agent("dee"))
    by = SUPERVISOR if make is cmd.AssignContact else acting("ana")
    decided = centre.do(make(contact=centre.id_of("c1"), **more), by=by)
    assert ends(list(decided.events)) == [("ben", reason), ("cem", reason)]
    assert nobody_is_asked(centre)
    assert decided.answer is not None
    assert decided.answer.subject == centre.id_of("c1")


def test_who_was_asked_takes_over_only_with_room() -> None:
    centre = asked()
    centre.write("c2", queue="cards")
    hand_over = cmd.TransferContact(contact=centre.id_of("c1"), agent=BEN)
    assert centre.refused(hand_over, by=acting("ana")) == ("no_room", "agent")
    assert centre.contact("c1").consulted == (BEN,)
    centre.decline("ben", "c2", retry_after_s=60)
    centre.do(hand_over, by=acting("ana"))
    assert (centre.holds("ana"), centre.holds("ben")) == ([], ["c1"])
    assert nobody_is_asked(centre)


def test_a_parked_contact_keeps_those_who_were_asked() -> None:
    centre = asked()
    centre.do(cmd.SetContactActive(contact=centre.id_of("c1"), active=False), by=acting("ana"))
    assert centre.contact("c1").consulted == (BEN,)


def test_it_ends_for_one_who_goes_offline() -> None:
    centre = asked("ben", "cem")
    decided = centre.do(presence("ben", "offline"), by=acting("ben"))
    assert ends(list(decided.events)) == [("ben", "lost")]
    assert decided.answer is not None
    assert decided.answer.subject == "ben"
    assert centre.contact("c1").consulted == (CEM,)


def test_it_lasts_over_a_break_and_ends_with_the_next_presence() -> None:
    centre = asked()
    assert ends(list(centre.do(presence("ben", "away"), by=acting("ben")).events)) == []
    decided = centre.do(presence("ben", "available", then="offline"), by=acting("ben"))
    assert ends(list(decided.events)) == [("ben", "lost")]
    assert nobody_is_asked(centre)


def test_it_ends_for_one_whose_desk_is_lost_for_good() -> None:
    centre = asked(document=policy([queue("general"), queue("cards")], lease={"grace_s": 10}))
    centre.do(cmd.LoseLease(agent=BEN), by=ADAPTER)
    assert ends(centre.wait(9)) == []
    assert centre.contact("c1").consulted == (BEN,)
    assert ends(centre.wait(1)) == [("ben", "lost")]
    assert nobody_is_asked(centre)


def test_a_desk_that_speaks_again_in_time_keeps_its_consults() -> None:
    centre = asked(document=policy([queue("general"), queue("cards")], lease={"grace_s": 10}))
    centre.do(cmd.LoseLease(agent=BEN), by=ADAPTER)
    centre.do(cmd.RegainLease(agent=BEN), by=ADAPTER)
    assert ends(centre.wait(60)) == []
    assert centre.contact("c1").consulted == (BEN,)


@pytest.mark.parametrize(("kept", "over"), [({}, [("ben", "ended")]), ({"chat": "keep"}, [])])
def test_the_holders_own_loss_ends_it_only_with_the_assignment(kept: dict[str, str], over: list[object]) -> None:
    centre = asked(document=policy([queue("general"), queue("cards")], lease={"grace_s": 10, "on_lost": kept}))
    centre.do(cmd.LoseLease(agent=ANA), by=ADAPTER)
    assert ends(centre.wait(10)) == over


def test_missed_offers_that_set_an_agent_offline_end_their_consults() -> None:
    missing = {"after_misses": 1, "set_presence": "offline"}
    rules = [queue("general"), queue("cards", offer_timeout_s=10, on_miss=missing)]
    centre = asked(document=policy(rules))
    centre.write("c2", queue="cards")
    assert ends(centre.wait(10)) == [("ben", "lost")]


def test_a_presence_towards_one_queue_alone_ends_nothing() -> None:
    missing = {"after_misses": 1, "set_presence": "offline", "scope": "queue"}
    rules = [queue("general"), queue("cards", offer_timeout_s=10, on_miss=missing)]
    centre = asked(document=policy(rules))
    centre.write("c2", queue="cards")
    assert ends(centre.wait(10)) == []
    assert centre.contact("c1").consulted == (BEN,)


# What is kept


def test_a_reopened_contact_begins_without_anybody() -> None:
    centre = asked()
    centre.complete("ana")
    centre.do(cmd.ReopenContact(contact=centre.id_of("c1")), by=SUPERVISOR)
    assert nobody_is_asked(centre)


def test_what_a_colleague_was_told_lasts_as_long_as_the_consult() -> None:
    centre = asked()
    centre.staff(agent("cem"))
    ask(centre, "cem", note_ref="n:1")
    assert dict(centre.contact("c1").consult_notes) == {CEM: "n:1"}
    end(centre, "cem", acting("cem"))
    assert dict(centre.contact("c1").consult_notes) == {}


def test_a_snapshot_holds_it() -> None:
    centre = asked()
    centre.staff(agent("cem"))
    ask(centre, "cem", note_ref="n:1")
    again = load(dump(centre.engine.state))
    assert again.workspaces["w"].contacts[centre.id_of("c1")].consulted == (BEN, CEM)
    assert again.workspaces["w"].agents[BEN].consulting == (centre.id_of("c1"),)
    assert again.workspaces["w"].contacts[centre.id_of("c1")].consult_notes == {CEM: "n:1"}
    assert state_hash(again) == state_hash(centre.engine.state)


def test_it_is_part_of_the_contacts_history() -> None:
    centre = asked()
    started = centre.seq
    end(centre, "ben", acting("ben"))
    assert {started, centre.seq} <= set(centre.contact("c1").seqs)
