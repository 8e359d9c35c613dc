"""How long anybody waits at most where a bound on starvation is set, whatever arrives meanwhile; and what policies that
change mean for it."""

from __future__ import annotations

import random

import pytest

from shared.contracts import commands as cmd
from shared.vocabulary import ContactState
from tests.builders import SUPERVISOR, Centre, agent, policy, presence, queue

BOUND_S = 60
WORK_S = 4


@pytest.mark.parametrize("seed", range(6))
def test_starvation_is_bounded_as_declared(seed: int) -> None:
    """One agent, nearly twice as much work as they can do, priorities and ranks at random: whoever is past the bound
    waits only for those who are older, one piece of work each, and for the one in hand."""
    dice = random.Random(seed)
    queues = [queue("general", rank=2, starvation_s=BOUND_S), queue("sales", rank=1, starvation_s=BOUND_S)]
    centre = Centre(policy(queues), checked=False)
    centre.staff(agent("ana"))
    waited: dict[str, float] = {}
    ahead: dict[str, int] = {}
    busy = 0
    for second in range(800):
        if dice.random() < 0.4 and second < 240:
            name = f"c{second}"
            centre.write(name, queue=dice.choice(("general", "sales")), priority=dice.choice((0, 0, 5, 50)))
        for contact in centre.ws.contacts.values():
            if centre.now - contact.age_from == BOUND_S * 1000 and contact.state is ContactState.WAITING:
                older = [c for c in centre.ws.contacts.values() if c.state is ContactState.WAITING]
                ahead[contact.source_key] = sum(c.age_from < contact.age_from for c in older)
        for name in centre.holds("ana"):
            contact = centre.contact(name)
            if contact.state is ContactState.OFFERED:
                waited[name] = (centre.now - contact.age_from) / 1000
                centre.accept("ana", name)
                busy = second
            elif second - busy >= WORK_S:
                centre.complete("ana", name)
        centre.wait(1)
    assert ahead, "somebody waits as long as the bound"
    for name, count in ahead.items():
        assert waited[name] <= BOUND_S + (count + 1) * (WORK_S + 2), name


def test_another_bound_holds_for_those_who_wait_already() -> None:
    centre = Centre(policy([queue("general", starvation_s=60)]))
    centre.write("c1")
    centre.wait(60)
    centre.write("c2", priority=9)
    first, second = centre.id_of("c1"), centre.id_of("c2")
    assert _in_order(centre) == [first, second]
    centre.do(cmd.AdoptPolicy(policy=policy([queue("general", starvation_s=90)])))
    assert _in_order(centre) == [second, first]
    centre.wait(30)
    assert _in_order(centre) == [first, second]
    centre.do(cmd.AdoptPolicy(policy=policy([queue("general")])))
    assert _in_order(centre) == [second, first]
    centre.do(cmd.AdoptPolicy(policy=policy([queue("general", starvation_s=10)])))
    assert _in_order(centre) == [first, second]


def test_a_contact_made_younger_starves_no_more() -> None:
    centre = Centre(policy([queue("general", starvation_s=60)]))
    centre.write("c1")
    centre.wait(60)
    centre.write("c2", priority=9)
    centre.do(cmd.AdjustAge(contact=centre.id_of("c1"), add=-30_000), by=SUPERVISOR)
    assert _in_order(centre) == [centre.id_of("c2"), centre.id_of("c1")]
    centre.wait(30)
    assert _in_order(centre) == [centre.id_of("c1"), centre.id_of("c2")]


def _in_order(centre: Centre) -> list[str]:
    """Who would be offered to agents who come in one after the other; they leave again."""
    found: list[str] = []
    names = [f"z{len(centre.ws.agents)}{letter}" for letter in "ab"]
    for name in names:
        centre.staff(agent(name))
        found += [centre.id_of(contact) for contact in centre.holds(name)]
    for name in names:
        centre.do(presence(name, "offline"), by=SUPERVISOR)
    return found
