"""The ramp after signing in: what begins it, what does not, and how it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from services.router.engine.explain import why_not
from services.router.engine.world import World
from services.router.snapshot import dump, load
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import AgentId
from tests.builders import SUPERVISOR, Centre, acting, agent, contact, policy, presence, queue
from tests.derived import derived


def ramped(*steps: tuple[int, int], **rules: Any) -> dict[str, Any]:
    """A policy with these (until_s, max_open)."""
    return policy([queue(**rules)], ramp=[{"until_s": until, "max_open": most} for until, most in steps])


def with_backlog(*steps: tuple[int, int], count: int = 3, **rules: Any) -> Centre:
    """Contacts wait, then Ana comes in with room for all of them."""
    centre = Centre(ramped(*steps, **rules))
    for n in range(count):
        centre.write(f"c{n}")
        centre.wait(1)
    centre.staff(agent("ana", capacity=9))
    return centre


def test_a_step_ends_by_itself_and_the_last_one_lifts_the_ramp() -> None:
    centre = with_backlog((60, 1), (90, 2), count=4)
    assert centre.holds("ana") == ["c0"]
    centre.wait(59)
    assert centre.holds("ana") == ["c0"]
    centre.wait(1)
    assert centre.holds("ana") == ["c0", "c1"]
    centre.wait(30)
    assert len(centre.holds("ana")) == 4
    assert [event.steps for event in centre.all(ev.AgentRamped)] == [1, 2]


def test_a_lease_that_is_lost_and_regained_is_no_new_sign_in() -> None:
    centre = with_backlog((60, 1))
    signed_in = centre.agent("ana").signed_in_at
    centre.wait(50)
    centre.do(cmd.LoseLease(agent=AgentId("ana")), by=SUPERVISOR)
    centre.wait(300)
    centre.do(cmd.RegainLease(agent=AgentId("ana")), by=SUPERVISOR)
    assert centre.agent("ana").signed_in_at == signed_in
    assert len(centre.holds("ana")) == 3


def test_declaring_to_be_available_again_begins_nothing_anew() -> None:
    centre = with_backlog((60, 1))
    centre.wait(50)
    centre.do(presence("ana"), by=acting("ana"))
    centre.wait(10)
    assert len(centre.holds("ana")) == 3


def test_signing_out_by_a_next_presence_ends_the_ramp_with_the_shift() -> None:
    centre = with_backlog((600, 1), count=1)
    centre.accept("ana", "c0")
    centre.do(presence("ana", then="offline"), by=acting("ana"))
    centre.complete("ana", "c0")
    assert (centre.agent("ana").presence, centre.agent("ana").signed_in_at) == ("offline", None)
    assert not [timer for timer in centre.engine.world.timers if timer[3] == "ramp"]
    centre.wait(60)
    centre.do(presence("ana"), by=acting("ana"))
    assert centre.agent("ana").signed_in_at == centre.now


def test_a_snapshot_knows_where_on_the_ramp_somebody_is() -> None:
    centre = with_backlog((60, 1), (90, 2))
    centre.wait(70)
    loaded = load(dump(centre.engine.state))
    again = loaded.workspaces["w"].agents[AgentId("ana")]
    assert (again.signed_in_at, again.ramped) == (centre.agent("ana").signed_in_at, 60_000)
    assert derived(World(loaded)) == derived(centre.engine.world)


def test_a_ramp_that_is_adopted_later_holds_nobody_back_who_has_been_there_for_long() -> None:
    centre = Centre(policy([queue()]))
    centre.staff(agent("ana", capacity=9))
    centre.wait(75)
    centre.staff(agent("ben", capacity=9))
    centre.do(cmd.AdoptPolicy(policy=ramped((20, 0), (60, 1), (70, 2), (600, 3))))
    assert [(event.agent, event.steps) for event in centre.all(ev.AgentRamped)] == [("ana", 3)]
    for n in range(5):
        centre.write(f"c{n}")
    assert len(centre.holds("ana")) == 3
    assert centre.holds("ben") == []


def test_a_ramp_that_is_taken_away_lets_everybody_work() -> None:
    centre = with_backlog((600, 1))
    centre.do(cmd.AdoptPolicy(policy=policy([queue()])))
    assert len(centre.holds("ana")) == 3
    assert not [timer for timer in centre.engine.world.timers if timer[3] == "ramp"]


def test_an_explanation_tells_the_ramp_from_the_lasting_limit() -> None:
    centre = with_backlog((60, 1))
    index = centre.engine.world.indexes["w"]
    assert why_not(index, centre.contact("c1"), centre.agent("ana"), centre.now) == "ramp"
    centre.do(cmd.SetLimit(most=1, agent=AgentId("ana")))
    assert why_not(index, centre.contact("c1"), centre.agent("ana"), centre.now) == "limit"


def test_a_transfer_to_somebody_on_the_ramp_is_refused_like_to_anybody_full() -> None:
    centre = with_backlog((60, 1), count=2)
    centre.staff(agent("ben"))
    centre.accept("ben", "c1")
    command = cmd.TransferContact(contact=centre.id_of("c1"), agent=AgentId("ana"))
    reason, _ = centre.refused(command, by=acting("ben"))
    assert reason == "no_room"
    centre.wait(60)
    centre.do(command, by=acting("ben"))
    assert centre.holds("ana") == ["c0", "c1"]


def test_who_bypasses_capacity_bypasses_the_ramp() -> None:
    centre = with_backlog((60, 1), count=1, preferred={"wait_s": 600, "bypass": ["capacity"]})
    assert centre.holds("ana") == ["c0"]
    centre.do(replace(contact("known", channel="chat"), preferred=(AgentId("ana"),)))
    assert centre.holds("ana") == ["c0", "known"]


@pytest.mark.parametrize("steps", [((60, 1), (30, 2)), ((60, 1), (60, 2)), ((0, 1),), ((60, -1),)])
def test_a_ramp_that_cannot_be_is_refused(steps: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValidationError, match="ramp"):
        ramped(*steps)
