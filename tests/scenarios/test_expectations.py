"""What an expectation cannot be is refused with file, line and key, for it would hold whatever the router did."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.router.scenarios.file import read
from services.router.scenarios.play import play
from services.router.scenarios.vocabulary import UnreadableScenarios

CENTRE = """\
- id: desk
  intent: One contact is offered, one waits, one is done with, and a message is on its way.
  setup:
    queues: [{name: help}]
    agents: [{name: ana}, {name: ben, presence: away}]
  timeline:
    - {at: 0, do: contact, id: c1, queue: help}
    - {at: 1, do: contact, id: c2, queue: help}
    - {at: 2, do: contact, id: c3, queue: help}
    - {at: 3, do: cancel, contact: c3, ref: gone}
    - {at: 4, do: send, id: m1, route: [{channel: chat}]}
    - {at: 9, do: contact, id: c4, queue: help}
  expect:
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "desk.yaml"


def failures(file: Path, entry: str) -> list[tuple[dict[str, object], dict[str, object]]]:
    """What differs from this one expectation, as (expected, got)."""
    file.write_text(CENTRE + f"    - {{{entry}}}\n")
    (scenario,) = read(file)
    return [(failure.expected, failure.got) for failure in play(scenario, file).failures]


def test_null_is_nobody_and_no_position(file: Path) -> None:
    assert failures(file, "at: 5, contact: c1, assigned_to: null") == []
    assert failures(file, "at: 5, contact: c3, position: null") == []
    assert failures(file, "at: 5, contact: c2, position: null") == [({"position": None}, {"position": 2})]
    file.write_text(
        CENTRE.replace(
            "queue: help}\n    - {at: 1",
            "queue: help}\n    - {at: 0, do: accept, contact: c1, agent: ana}\n    - {at: 1",
        )
        + "    - {at: 5, contact: c1, assigned_to: ~}\n"
    )
    (scenario,) = read(file)
    (failure,) = play(scenario, file).failures
    assert (failure.expected, failure.got) == ({"assigned_to": None}, {"assigned_to": "ana"})


def test_a_parked_contact_is_assigned_to_its_holder(file: Path) -> None:
    file.write_text(
        CENTRE.replace(
            "    - {at: 1, do: contact, id: c2",
            "    - {at: 0, do: accept, contact: c1, agent: ana}\n"
            "    - {at: 0, do: contact_active, contact: c1, active: false}\n"
            "    - {at: 1, do: contact, id: c2",
        )
        + "    - {at: 5, contact: c1, state: assigned, assigned_to: ana}\n"
    )
    (scenario,) = read(file)
    assert play(scenario, file).failures == []


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("at: 5, contact: c1", "contact: nothing is said of 'c1'; name any of state, queue"),
        ("at: 5, agent: ana", "agent: nothing is said of 'ana'; name any of presence, open"),
        ("at: 5, op: gone", "op: nothing is said of 'gone'; name any of refused"),
        ("at: 5, state: waiting", "name one of contact, agent, message, op"),
        ("at: 5, contact: c1, agent: ana, open: 1", "name one of contact, agent, message, op, not agent and contact"),
        ("at: 5, contact: null, agent: ana, open: 1", "not agent and contact"),
        ("at: 5, contact: ~, state: waiting", "contact: names nothing"),
        ("at: 5, contact: c1, presence: available", "presence: is no fact of contact"),
        ("at: 5, agent: ana, state: offered", "state: is no fact of agent"),
        ("at: 5, contact: c1, state: pending", "state: that of contact is one of waiting, offered"),
        ("at: 5, message: m1, state: offered", "state: that of message is one of pending"),
        ("at: 5, contact: c1, state: null", "state: null says nothing"),
        ("at: 5, contact: c1, offered_to: null", "offered_to: null says nothing"),
        ("at: 5, agent: ana, open: null", "open: null says nothing"),
        ("at: 5, op: gone, refused: null", "refused: null says nothing"),
        ("at: 5, contact: c1, not_offered_to: []", "not_offered_to: nobody always holds"),
        ("at: 5, contact: c1, contact: c2, state: waiting", "the key 'contact' is there twice"),
    ],
)
def test_what_would_always_hold_is_refused(file: Path, entry: str, told: str) -> None:
    with pytest.raises(UnreadableScenarios) as refused:
        failures(file, entry)
    assert str(refused.value).startswith(f"{file}:14: ")
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("at: 5, contact: c5, state: waiting", "contact: there is no contact 'c5' (the nearest name is 'c"),
        ("at: 5, contact: c4, state: waiting", "contact: there is no contact 'c4' yet"),
        ("at: 5, agent: anna, open: 1", "agent: there is no agent 'anna' (the nearest name is 'ana')"),
        ("at: 5, agent: ana, consulting: [c9]", "consulting.0: there is no contact 'c9'"),
        ("at: 5, message: m, attempts: [chat]", "message: there is no message 'm' (the nearest name is 'm1')"),
        ("at: 3, message: m1, attempts: [chat]", "message: there is no message 'm1' yet"),
        ("at: 5, op: gnoe, refused: true", "op: there is no ref 'gnoe' (the nearest name is 'gone')"),
        ("at: 2, op: gone, refused: true", "op: there is no ref 'gone' yet"),
        ("at: 5, contact: c1, queue: hlep", "queue: there is no queue 'hlep' (the nearest name is 'help')"),
        (
            "at: 5, contact: c1, offered_to: [ana, bne]",
            "offered_to.1: there is no agent 'bne'",
        ),
        ("at: 5, contact: c1, not_offered_to: [bne]", "not_offered_to.0: there is no agent 'bne'"),
        ("at: 5, contact: c1, assigned_to: bne", "assigned_to: there is no agent 'bne'"),
        ("at: 5, contact: c1, consulted: bne", "consulted.0: there is no agent 'bne'"),
    ],
)
def test_a_name_that_nothing_has_is_refused_with_the_nearest(file: Path, entry: str, told: str) -> None:
    with pytest.raises(UnreadableScenarios) as refused:
        failures(file, entry)
    assert f"{file}:14: desk.expect.0.{told}" in str(refused.value)


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("cancel, contact: c3", "cancel, contact: c33", ":10: desk.timeline.3.contact: there is no contact 'c33'"),
        ("cancel, contact: c3", "cancel, contact: c4", ":10: desk.timeline.3.contact: there is no contact 'c4' yet"),
        ("cancel, contact: c3", "complete, agent: an, contact: c3", ":10: desk.timeline.3.agent: there is no agent"),
        ("id: c2, queue: help", "id: c2, queue: [help, hepl]", ":8: desk.timeline.1.queue.1: there is no queue 'hepl'"),
        ("id: c2, queue: help", "id: c2, workflow: w", ":8: desk.timeline.1.workflow: there is no flow 'w' (there is"),
        ("{name: help}", "{name: help, steps: [{after_s: 1, move_to: hepl}]}",
         ":4: desk.setup.queues.0.steps.0.move_to: there is no queue 'hepl'"),
        ("{name: ana}", "{name: ana, load: [{queue: hepl}]}", ":5: desk.setup.agents.0.load.0.queue: there is no"),
        ("{name: ana}", "{name: ana, last_assigned_s: {hepl: 4}}", ":5: desk.setup.agents.0.last_assigned_s.hepl: "),
        ("id: c3, queue: help", "id: c3, queue: help, scheduled_priority: 3", ":9: desk.timeline.2.contact: sched"),
        ("id: c3, queue: help", "id: c3, thread: t, waited_s: 3", ":9: desk.timeline.2.contact: thread: it comes with"),
        ("id: c3, queue: help", "id: c3, queue: help, workflow: w", ":9: desk.timeline.2.contact: workflow: it says"),
        ("do: cancel, contact: c3", "do: transfer, contact: c3, agent: ana", ":10: desk.timeline.3.transfer: to_queue"),
        ("do: cancel, contact: c3", "do: transfer, contact: c3, agent: ana, to_queue: help, account: a",
         ":10: desk.timeline.3.transfer: account: goes with to_channel"),
        ("do: cancel, contact: c3", "do: set_limit, agent: ana, queue: help, max: 1",
         ":10: desk.timeline.3.set_limit: queue: name an agent or a queue"),
        ("{name: ana}", "{name: ana, load: [{queue: help, count: 1, ids: [a, b]}]}",
         ":5: desk.setup.agents.0.load.0: count: there are 2 ids"),
        ("{name: help}", "{name: help, steps: [{after_s: 1, only_agents: []}]}",
         ":4: desk.setup.queues.0.steps.0.only_agents: an empty list leaves nobody"),
        ("{name: ana}", "{name: ana, load: [{queue: help, ids: [a]}, {queue: help, ids: [a]}]}",
         ":5: desk.setup.agents.0.load.1.ids.0: contact 'a' is there twice"),
        ("queues: [", "clock: {start: '2026-03-02T10:00:00Z'}\n    queues: [", ":4: desk.setup.clock.start: a local"),
        ("queues: [", "clock: {start: 2026-03-02T10, tz: Jakarta}\n    queues: [", ":4: desk.setup.clock.tz: there"),
        ("{name: ben, ", "{name: ana, ", ":5: desk.setup.agents.1.name: agent 'ana' is there twice"),
    ],
)  # fmt: skip
def test_what_setup_and_timeline_cannot_mean_is_refused(file: Path, right: str, wrong: str, told: str) -> None:
    assert right in CENTRE
    file.write_text(CENTRE.replace(right, wrong) + "    - {at: 5, contact: c1, state: offered}\n")
    with pytest.raises(UnreadableScenarios) as refused:
        read(file)
    assert f"{file}{told}" in str(refused.value)
