"""Which documents an entry changes."""

from __future__ import annotations

from services.router import documents
from services.router.projection import Projection
from shared.contracts import commands as cmd
from shared.vocabulary import AgentId
from tests.builders import Centre, account_of, acting, agent, channel, policy, queue, reach


def changed_by_the_last_entry(centre: Centre, seq: int) -> list[tuple[str, str, str]]:
    touched = centre.engine.settle(centre.now, (seq, 0))
    return Projection().changed(centre.engine.world, seq, [], touched)


def test_queue_that_a_step_takes_a_contact_out_of_is_told_anew() -> None:
    centre = Centre(policy([queue(steps=[{"after_s": 5, "move_to": "cards"}]), queue("cards")]))
    centre.write("c1")
    centre.now += 5_000
    centre.engine.tick(centre.now, centre.seq + 1, 0)
    changed = changed_by_the_last_entry(centre, centre.seq + 1)
    assert ("queue", "w", "general") in changed
    assert ("queue", "w", "cards") in changed


def test_queue_that_an_agent_hands_a_contact_on_from_is_told_anew() -> None:
    centre = Centre(policy([queue(), queue("cards")]))
    centre.staff(agent("ana", queues=("general",)))
    centre.write("c1")
    centre.accept("ana", "c1")
    handed = cmd.TransferContact(contact=centre.id_of("c1"), queue="cards")
    record = cmd.Input(id="t", workspace="w", actor=acting("ana"), received_at=centre.now, command=handed)
    decided = centre.engine.apply(record, centre.now, centre.seq + 1)
    assert decided.answer is not None
    assert decided.answer.refused is None
    assert ("queue", "w", "general") in changed_by_the_last_entry(centre, centre.seq + 1)


def consulting() -> Centre:
    """Ana holds `c1` and asked ben about it."""
    centre = Centre()
    centre.staff(agent("ana"), agent("ben"))
    centre.write("c1")
    centre.accept("ana", "c1")
    ask = cmd.StartConsult(contact=centre.id_of("c1"), agent=AgentId("ben"), note_ref="n:1")
    centre.do(ask, by=acting("ana"))
    return centre


def test_desks_show_whom_they_asked_and_what_they_are_asked() -> None:
    centre = consulting()
    (held,) = documents.work_doc(centre.ws, centre.agent("ana"))["assignments"]
    assert held["consulted"] == ["ben"]
    work = documents.work_doc(centre.ws, centre.agent("ben"))
    (asked,) = work["consults"]
    assert (asked["contact"]["id"], asked["owner"], asked["note"]) == (centre.id_of("c1"), "ana", True)
    assert (work["assignments"], work["load"]["used"]) == ([], 0)
    assert documents.participants(centre.contact("c1")) == [
        {"agent": "ana", "role": "owner"},
        {"agent": "ben", "role": "consult"},
    ]


def test_nobody_has_to_do_with_what_is_over() -> None:
    centre = consulting()
    centre.complete("ana", "c1")
    assert documents.participants(centre.contact("c1")) == []
    assert documents.work_doc(centre.ws, centre.agent("ben"))["consults"] == []


def test_an_agents_work_names_the_channels_by_which_they_could_go_on() -> None:
    centre = Centre(policy(channels=[channel("chat"), channel("email"), channel("telegram"), channel("messenger")]))
    centre.staff(agent("ana"))
    ways = (reach("email", "kim"), reach("telegram", "kim", consent=False), reach("chat", "kim"))
    centre.write("c1", customer="kim", reach=ways)
    centre.accept("ana", "c1")
    (held,) = documents.work_doc(centre.ws, centre.agent("ana"))["assignments"]
    assert held["ways"] == ["email:support@example.org"]
    to_email = cmd.TransferContact(contact=centre.id_of("c1"), channel="email", account=account_of("email"))
    centre.do(to_email, by=acting("ana"))
    (held,) = documents.work_doc(centre.ws, centre.agent("ana"))["assignments"]
    assert (held["ways"], held["contact"]["redirects"][0]["rule"]) == (["chat:web"], "transfer")


def test_a_colleagues_desk_follows_the_contact_and_its_end() -> None:
    centre = consulting()
    for command in (
        cmd.SendReply(contact=centre.id_of("c1"), content_ref="r:1"),
        cmd.CompleteContact(contact=centre.id_of("c1")),
    ):
        record = cmd.Input(
            id=f"x-{type(command).__name__}",
            workspace="w",
            actor=acting("ana"),
            received_at=centre.now,
            command=command,
        )
        centre.engine.apply(record, centre.now, centre.seq + 1)
        assert ("work", "w", "ben") in changed_by_the_last_entry(centre, centre.seq + 1)
