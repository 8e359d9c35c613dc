"""Who joins a line, who leaves it, and what that teaches: facts of the workspace, played through the engine.

`Centre` holds every entry to an exact rollback and to a follower with the same state, the lines among them.
"""

from __future__ import annotations

import random

import pytest

from services.router import documents
from services.router.engine.waits import NO_LINE, Line
from services.router.snapshot import dump, load, state_hash
from shared.contracts import commands as cmd
from shared.times import rfc3339
from shared.vocabulary import ContactState
from tests.builders import ADAPTER, SUPERVISOR, Centre, acting, agent, channel, contact, fallback, policy, queue, reach

CHAT = "chat:general"


def seen(centre: Centre, name: str = CHAT) -> tuple[int, int, int, int]:
    """Of a line: who is in it, who were served and gave up (rounded: they fade by the second), how many were judged."""
    line = centre.ws.lines[name]
    return line.waiting, round(line.served), round(line.left), line.judged


def knowing(centre: Centre) -> None:
    """The line of a workspace with a history: calibrated, moving on every ten seconds."""
    line = Line(served=999.0, busy=9_940.0, stood=20_000.0, judged=500, half_kept=0.5, most_kept=0.9)
    for engine in (centre.engine, centre.follower):
        engine.state.workspaces[centre.workspace].lines[CHAT] = line


def test_who_is_offered_to_somebody_at_once_has_no_wait_and_teaches_nothing() -> None:
    centre = Centre()
    centre.staff(agent("ana"))
    centre.write("c1")
    assert seen(centre) == (0, 0, 0, 0)
    centre.wait(20)
    centre.accept("ana", "c1")
    assert seen(centre) == (0, 0, 0, 0)
    assert centre.contact("c1").promise is None


def test_who_waited_is_judged_when_answered() -> None:
    centre = Centre()
    centre.write("c1")
    centre.wait(30)
    centre.write("c2")
    assert seen(centre) == (2, 0, 0, 0)
    first, second = centre.contact("c1").promise, centre.contact("c2").promise
    assert first is not None
    assert second is not None
    assert first.estimate == pytest.approx(60_000)
    assert (first.half, first.most) == (42_000, 138_000)
    # Thirty seconds in which nobody was served are behind it.
    assert second.estimate == pytest.approx(2 * 90_000, rel=1e-3)
    centre.wait(70)
    centre.staff(agent("ana"))
    assert seen(centre) == (1, 1, 0, 0)
    centre.wait(10)
    centre.accept("ana", "c1")
    # 110 seconds: above the half, under the most.
    line = centre.ws.lines[CHAT]
    assert (line.judged, line.half_kept, line.most_kept) == (1, 0.0, 1.0)
    assert line.half > NO_LINE.half
    assert line.most < NO_LINE.most
    assert centre.contact("c1").promise is None


def test_who_gives_up_counts_as_leaving_and_past_the_bound_as_exceeding() -> None:
    centre = Centre()
    centre.write("early")
    centre.write("late")
    centre.wait(20)
    centre.do(cmd.AbandonContact(contact=centre.id_of("early")), by=ADAPTER)
    assert seen(centre) == (1, 0, 1, 0)
    centre.wait(1_000)
    centre.do(cmd.AbandonContact(contact=centre.id_of("late")), by=ADAPTER)
    assert seen(centre) == (0, 0, 2, 1)
    assert centre.ws.lines[CHAT].most_kept == 0.0


def test_who_is_cancelled_neither_was_served_nor_gave_up() -> None:
    centre = Centre()
    centre.write("c1")
    centre.wait(1_000)
    centre.do(cmd.CancelContact(contact=centre.id_of("c1")), by=SUPERVISOR)
    assert seen(centre) == (0, 0, 0, 0)
    assert centre.contact("c1").promise is None


def test_who_is_declined_goes_on_waiting_under_the_same_bounds() -> None:
    centre = Centre(policy([queue(retry_delay_s=600)]))
    centre.write("c1")
    told = centre.contact("c1").promise
    assert told is not None
    centre.wait(50)
    centre.staff(agent("ana"))
    centre.decline("ana", "c1")
    assert centre.contact("c1").state is ContactState.WAITING
    assert centre.contact("c1").promise == told._replace(waited=True)
    assert seen(centre) == (1, 1, 0, 0)


def test_who_is_moved_waits_in_another_line_under_bounds_of_its_own() -> None:
    centre = Centre(policy([queue(steps=[{"after_s": 500, "move_to": "cards"}]), queue("cards")]))
    centre.write("c1")
    centre.wait(500)
    assert seen(centre) == (0, 0, 0, 0)
    assert seen(centre, "chat:cards") == (1, 0, 0, 0)
    told = centre.contact("c1").promise
    assert told is not None
    assert (told.line, told.at) == ("chat:cards", centre.now)


def test_who_changes_the_channel_waits_in_another_line() -> None:
    centre = Centre(policy([queue()], [channel("chat", fallback=fallback("email")), channel("email")]))
    centre.write("c1", customer="kim", reach=(reach("email", "kim"),))
    centre.down("chat")
    assert centre.contact("c1").channel == "email"
    assert seen(centre)[0] == 0
    assert seen(centre, "email:general")[0] == 1


def test_who_is_scheduled_joins_when_due_and_who_is_given_back_joins_anew() -> None:
    centre = Centre(policy([queue()], [channel("chat"), channel("callback")]))
    centre.do(contact("later", at_s=600), by=SUPERVISOR)
    assert centre.ws.lines == {}
    centre.wait(600)
    assert seen(centre, "callback:general") == (1, 0, 0, 0)
    centre.wait(60)
    centre.staff(agent("ana"))
    centre.accept("ana", "later")
    centre.do(presence_away(), by=acting("ana"))
    centre.do(cmd.RequeueContact(contact=centre.id_of("later")), by=SUPERVISOR)
    told = centre.contact("later").promise
    assert told is not None
    assert told.at == centre.now
    assert seen(centre, "callback:general") == (1, 1, 0, 1)


def presence_away() -> cmd.SetPresence:
    return cmd.SetPresence(agent=agent("ana").agent, presence="away")


def test_lines_of_queues_that_went_are_forgotten() -> None:
    centre = Centre(policy([queue(), queue("cards")]))
    centre.staff(agent("ana"))
    centre.write("c1", queue="cards")
    centre.write("c2")
    assert set(centre.ws.lines) == {CHAT, "chat:cards"}
    centre.handle("ana", "c1")
    centre.do(cmd.AdoptPolicy(policy=policy([queue()])))
    assert set(centre.ws.lines) == {CHAT}


def test_snapshot_holds_lines_and_promises() -> None:
    centre = Centre()
    knowing(centre)
    centre.write("c1")
    state = centre.engine.state
    again = load(dump(state))
    assert state_hash(again) == state_hash(state)
    assert again.workspaces["w"].lines == centre.ws.lines
    assert again.workspaces["w"].contacts[centre.id_of("c1")].promise == centre.contact("c1").promise


def test_line_has_as_many_as_wait_in_it_whatever_happens() -> None:
    dice = random.Random(7)
    centre = Centre(policy([queue(offer_timeout_s=20, max_wait_s=300), queue("cards", require_staff=False)]))
    centre.staff(agent("ana", capacity=2), agent("ben"))
    for number in range(40):
        name = f"c{number}"
        centre.write(name, channel=dice.choice(["chat", "email"]), queue=dice.choice(["general", "cards"]))
        centre.wait(dice.choice([0, 3, 25]))
        for who in ("ana", "ben"):
            for held in centre.holds(who):
                if centre.contact(held).state is ContactState.OFFERED:
                    dice.choice([centre.accept, centre.decline])(who, held)
                elif dice.random() < 0.5:
                    centre.complete(who, held)
        lines: dict[str, int] = dict.fromkeys(centre.ws.lines, 0)
        for each in centre.ws.contacts.values():
            if each.state is ContactState.WAITING:
                lines[f"{each.channel}:{each.queue}"] += 1
            assert (each.promise is not None) == (each.state in (ContactState.WAITING, ContactState.OFFERED))
        assert {name: line.waiting for name, line in centre.ws.lines.items()} == lines
    assert sum(line.judged for line in centre.ws.lines.values()) > 10


# Documents


def test_queue_says_nothing_of_a_line_that_is_not_calibrated() -> None:
    centre = Centre()
    centre.write("c1")
    index = centre.engine.world.indexes["w"]
    assert documents.queue_doc(centre.ws, index, "general")["wait_ranges"] == {"chat": None}
    assert documents.contact_doc(centre.ws, centre.contact("c1"))["_promise"] is None
    thread = centre.ws.threads[centre.contact("c1").thread]
    assert documents.thread_doc(centre.ws, thread)["wait_range"] is None


def test_queue_contact_and_customer_are_told_what_is_calibrated() -> None:
    centre = Centre()
    knowing(centre)
    centre.write("c1")
    centre.write("c2")
    index = centre.engine.world.indexes["w"]
    told = {"usually_under_s": 30, "nearly_always_under_s": 60}
    assert documents.queue_doc(centre.ws, index, "general")["wait_ranges"] == {"chat": told}
    second = centre.contact("c2")
    given = documents.contact_doc(centre.ws, second)["_promise"]
    assert given == {"since": centre.now, "half": 14_000, "most": 46_000}
    thread = documents.thread_doc(centre.ws, centre.ws.threads[second.thread])
    assert thread["wait_range"] == {
        **told,
        "since": rfc3339(centre.now),
    }
    centre.staff(agent("ana"))
    centre.accept("ana", "c1")
    assert documents.contact_doc(centre.ws, centre.contact("c1"))["_promise"] is None
