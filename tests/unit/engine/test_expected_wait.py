"""Overflow by the wait that is to be expected: only where it is known, and never past somebody who is free."""

from __future__ import annotations

import dataclasses

from services.router.engine.waits import Line
from shared.contracts import commands as cmd
from shared.vocabulary import AgentId
from tests.builders import ADAPTER, Centre, agent, channel, policy, queue

CHAT = "chat:general"
RULE = {"when": {"expected_wait_exceeds_s": 30}, "action": "move_to", "queue": "other"}


def desk(**fields: object) -> Centre:
    """Agents of `general` alone get what overflows nowhere."""
    chats = [channel("chat", to="general"), channel("email", to="general")]
    return Centre(policy([queue("general", overflow=[RULE], **fields), queue("other")], chats))


def knowing(centre: Centre, **facts: float) -> None:
    """The line for chats moves on every ten seconds, and half of the waits have been under .7 of the estimate."""
    line = Line(served=999.0, busy=9_940.0, stood=20_000.0, judged=500, half_kept=0.5, most_kept=0.9)
    for engine in (centre.engine, centre.follower):
        engine.state.workspaces[centre.workspace].lines[CHAT] = line._replace(**facts)  # type: ignore[arg-type]


def queues(centre: Centre, *names: str) -> list[str]:
    return [centre.contact(name).queue for name in names]


def test_arrivals_go_elsewhere_from_the_place_where_half_would_wait_longer() -> None:
    centre = desk()
    knowing(centre)
    for number in range(1, 7):
        centre.write(f"c{number}")
    # 7 s a place: the fifth would wait for 35 s.
    assert queues(centre, "c1", "c2", "c3", "c4", "c5", "c6") == ["general"] * 4 + ["other"] * 2


def test_nothing_overflows_before_the_bounds_are_to_be_trusted() -> None:
    centre = desk()
    knowing(centre, judged=49)
    for number in range(1, 9):
        centre.write(f"c{number}")
    assert set(queues(centre, *(f"c{number}" for number in range(1, 9)))) == {"general"}
    untrue = desk()
    knowing(untrue, most_kept=0.5)
    for number in range(1, 9):
        untrue.write(f"c{number}")
    assert set(queues(untrue, *(f"c{number}" for number in range(1, 9)))) == {"general"}


def test_each_kind_of_channel_has_a_line_of_its_own() -> None:
    centre = desk()
    knowing(centre)
    for number in range(1, 7):
        centre.write(f"m{number}", channel="email")
    assert set(queues(centre, *(f"m{number}" for number in range(1, 7)))) == {"general"}


def test_a_contact_for_which_somebody_is_free_stays_however_long_the_line_of_others_is() -> None:
    centre = desk()
    knowing(centre)
    for number in range(1, 6):
        centre.write(f"f{number}", language="fr")
    centre.staff(agent("ana", languages={"en": 5}, queues=("general",)))
    centre.write("e1", language="en")
    centre.write("e2", language="en")
    assert queues(centre, "f5", "e1", "e2") == ["other", "general", "other"]
    assert centre.offered_to("e1") == ["ana"]


def test_a_preferred_agent_who_is_free_is_somebody() -> None:
    centre = desk(preferred={"wait_s": 60})
    knowing(centre)
    for number in range(1, 5):
        centre.write(f"f{number}", language="fr")
    centre.staff(agent("ana", languages={"en": 5}, queues=("general",)))
    for name, wished in (("c1", "ana"), ("c2", "ana")):
        asked = cmd.CreateContact(
            source_key=name, channel="chat", account="web", language="en", preferred=(AgentId(wished),)
        )
        centre.do(asked, by=ADAPTER)
    assert queues(centre, "c1", "c2") == ["general", "other"]


def test_the_first_of_several_queues_that_would_take_it_counts_the_expected_wait_too() -> None:
    centre = desk()
    knowing(centre)
    for number in range(1, 5):
        centre.write(f"c{number}")
    asked = cmd.CreateContact(source_key="c5", channel="chat", account="web", queues=("general", "other"))
    centre.do(asked, by=ADAPTER)
    assert queues(centre, "c4", "c5") == ["general", "other"]
    plain = dataclasses.replace(asked, source_key="c6", queues=("other", "general"))
    centre.do(plain, by=ADAPTER)
    assert queues(centre, "c6") == ["other"]
