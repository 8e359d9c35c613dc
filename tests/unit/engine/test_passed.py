"""What an agent is out for is not looked at again with every contact they end, and comes back as soon as it may."""

from __future__ import annotations

from typing import Any

import pytest

from services.router.engine.records import Contact
from shared.contracts import commands as cmd
from shared.vocabulary import AgentId
from tests.builders import SUPERVISOR, Centre, agent, policy, queue

SLO: dict[str, Any] = {"contact_order": "slo", "target_s": {"chat": 20}}


def who_declined_everything(*, checked: bool = True, **rules: Any) -> Centre:
    """Ana, who has declined five contacts of a queue for good, and has a sixth."""
    centre = Centre(
        policy([queue(decline={"policy": "never", "reset_on_login": True}, on_miss=None, **rules)]), checked=checked
    )
    centre.staff(agent("ana"))
    for number in range(5):
        centre.write(f"c{number}")
        centre.decline("ana", f"c{number}")
    centre.write("mine")
    centre.accept("ana", "mine")
    return centre


@pytest.mark.interpreted
@pytest.mark.parametrize("rules", [{}, SLO], ids=["priority", "slo"])
def test_work_done_does_not_grow_with_what_they_declined(
    rules: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    centre = who_declined_everything(checked=False, **rules)
    index = centre.engine.world.indexes[centre.workspace]
    looked_at: list[str] = []
    bars = index.bars

    def noted(contact: Contact, who: AgentId) -> bool:
        looked_at.append(contact.id)
        return bars(contact, who)

    monkeypatch.setattr(index, "bars", noted)
    centre.complete("ana", "mine")
    assert looked_at == []
    assert centre.agent("ana").used == 0


@pytest.mark.parametrize("rules", [{}, SLO], ids=["priority", "slo"])
def test_contact_that_comes_before_them_is_found(rules: dict[str, Any]) -> None:
    centre = who_declined_everything(**rules)
    centre.write("late")
    centre.do(cmd.AdjustAge(contact=centre.id_of("late"), add=3_600_000), by=SUPERVISOR)
    centre.complete("ana", "mine")
    assert centre.offered_to("late") == ["ana"]


def test_contact_that_they_may_have_again_is_found() -> None:
    centre = who_declined_everything()
    centre.do(cmd.SetPresence(agent=AgentId("ana"), presence="offline"))
    centre.do(cmd.SetPresence(agent=AgentId("ana"), presence="available"))
    centre.complete("ana", "mine")
    assert centre.offered_to("c0") == ["ana"]


def test_colleague_is_not_out_for_what_somebody_else_declined() -> None:
    centre = who_declined_everything()
    centre.staff(agent("ben"))
    centre.complete("ana", "mine")
    assert (centre.offered_to("c0"), centre.agent("ana").used) == (["ben"], 0)
