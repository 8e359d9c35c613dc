"""Which documents an entry changes."""

from __future__ import annotations

from services.router.projection import Projection
from shared.contracts import commands as cmd
from tests.builders import Centre, acting, agent, policy, queue


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
