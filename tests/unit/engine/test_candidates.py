"""Who may serve a demand, found by levels alone, against a look at each class; and the heads that come of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from services.router.engine.candidates import Candidates
from services.router.engine.classes import BestFree, CapabilityClass, Requirement
from services.router.engine.demand import Demand
from services.router.engine.index import Index
from services.router.engine.records import Agent
from shared.contracts.commands import Membership
from shared.vocabulary import AgentId
from tests.builders import Centre, agent, policy, queue

LANGUAGES, SKILLS, KINDS = ("fr", "en", "pt-BR", "pt"), ("cards", "tax"), ("chat", "email")


def _agents(dice: random.Random, *, placed: bool) -> Iterator[Agent]:
    for number in range(40):
        yield Agent(
            id=AgentId(f"a{number}"),
            languages={code: dice.randint(1, 5) for code in dice.sample(LANGUAGES, dice.randint(0, 3))},
            skills={skill: dice.randint(1, 5) for skill in dice.sample(SKILLS, dice.randint(0, 2))},
            queues=("general",) if placed and dice.random() < 0.2 else (),
            channels=("chat",) if placed and dice.random() < 0.2 else (),
            memberships=(Membership(queue="general", tier=2),) if placed and dice.random() < 0.2 else (),
        )


def _demand(dice: random.Random) -> Demand:
    return Demand(
        queue=dice.choice(("general", "cards")),
        kind=dice.choice(KINDS),
        language=dice.choice(("", "fr", "en", "pt", "xx")),
        language_min=dice.randint(1, 5),
        skills=tuple((skill, dice.randint(1, 5)) for skill in sorted(dice.sample(SKILLS, dice.randint(0, 2)))),
        any_agent=dice.random() < 0.1,
        tier=dice.choice((None, None, 1, 2)),
        also=("en",) if dice.random() < 0.1 else (),
    )


def _looked_through(classes: list[CapabilityClass], demand: Demand, few: set[int]) -> tuple[list[int], dict[str, int]]:
    able: list[int] = []
    excluded: dict[str, int] = {}
    for known in classes:
        reason = known.why_not(demand)
        if known.number in few and reason is not None:
            excluded[reason] = excluded.get(reason, 0) + 1
        elif reason is None:
            able.append(known.number)
    return able, excluded


@pytest.mark.parametrize("placed", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_whoever_may_serve_a_demand_is_found(seed: int, placed: bool) -> None:
    dice = random.Random(seed)
    classes = [CapabilityClass(n, each, named=False) for n, each in enumerate(_agents(dice, placed=placed))]
    candidates = Candidates()
    for known in classes:
        candidates.add(known)
    index = Centre(policy([queue("general"), queue("cards", strategy="best_skill")])).engine.world.indexes["w"]
    for number in range(20):
        demand = _demand(dice)
        rules = index.workspace.policy.queues[demand.queue]
        requirement = Requirement(
            number, demand, rules, "", index.registry._chain_of[demand.queue], BestFree(index.registry.chains)
        )
        candidates.relate(requirement, demand)
        few, beside = candidates._of(demand)
        able, excluded = _looked_through(classes, demand, set(few))
        assert sorted(requirement.by_number) == able
        for reason, count in beside.items():
            excluded = {reason: count} | excluded | {reason: count + excluded.get(reason, 0)}
        assert list(requirement.excluded.items()) == list(excluded.items())
        assert all(number in classes[known].requirements for known in able)
        parts = dict(requirement.parts)
        requirement.parts.clear()
        assert all(parts[known] == classes[known].parts(requirement) for known in parts)


def _best(index: Index, requirement: Requirement) -> list[Any]:
    """The heads of all classes by a look at each of them."""
    heads = [
        known.head(requirement, item)
        for known in index.registry.classes.values()
        if known.why_not(requirement.demand) is None and (item := known.best_item(requirement)) is not None
    ]
    return sorted(heads)


@pytest.mark.interpreted
@pytest.mark.parametrize("seed", range(12))
def test_heads_that_were_taken_over_are_those_of_a_look_at_each_class(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    plain = Requirement.take_heads

    def counted(requirement: Requirement, wider: Requirement) -> None:
        taken.append(requirement.number)
        plain(requirement, wider)

    monkeypatch.setattr(Requirement, "take_heads", counted)
    dice = random.Random(seed)
    centre = Centre(policy([queue("general"), queue("cards")]))
    for number in range(12):
        skills = {skill: dice.randint(1, 5) for skill in dice.sample(SKILLS, dice.randint(0, 2))}
        centre.staff(agent(f"a{number}", languages={"fr": dice.randint(1, 5)}, skills=skills, capacity=2))
        centre.wait(1)
    index = centre.engine.world.indexes["w"]
    for number in range(30):
        skills = {skill: dice.randint(1, 4) for skill in dice.sample(SKILLS, dice.choice((0, 0, 1, 2)))}
        centre.write(f"c{number}", language="fr", skills=skills, queue=dice.choice(("general", "cards")))
        if dice.random() < 0.5 and (who := centre.offered_to(f"c{number}")):
            centre.handle(who[0], f"c{number}")
        centre.wait(1)
        index.settle_heads()
        for requirement in index.registry.requirements.values():
            assert requirement.best_heads(5) == _best(index, requirement)[:5]
    assert taken
