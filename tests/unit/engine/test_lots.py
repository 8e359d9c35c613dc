"""Drawing lots: every offer is a draw of its own, by free capacity, also for who comes back."""

from __future__ import annotations

from collections import Counter
from itertools import groupby, pairwise

from services.router.engine.chains import lot_of
from services.router.engine.records import Agent
from services.router.snapshot import dump, load
from shared.vocabulary import AgentId
from tests.builders import Centre, acting, agent, policy, presence, queue


def lottery(*agents: int) -> Centre:
    """One queue that draws lots, and agents with so much capacity."""
    centre = Centre(policy([queue(strategy="weighted_random", auto_accept=True)]))
    centre.staff(*[agent(f"a{number}", capacity=capacity) for number, capacity in enumerate(agents)])
    return centre


def drawn(centre: Centre, times: int, name: str = "c") -> list[str]:
    """Who gets each of so many contacts, one after the other."""
    got: list[str] = []
    for number in range(times):
        contact = f"{name}{number}"
        centre.write(contact)
        got.append(str(centre.contact(contact).agent))
        centre.complete(got[-1], contact)
    return got


def test_four_alike_share_evenly_and_in_no_order() -> None:
    got = drawn(lottery(1, 1, 1, 1), 100)
    assert all(15 <= count <= 35 for count in Counter(got).values())
    assert max(len(list(run)) for _, run in groupby(got)) < 10
    again = sum(one == other for one, other in pairwise(got))
    assert 12 <= again <= 38, "a quarter of the time the same one twice running; never would be taking turns"


def test_free_capacity_is_the_weight() -> None:
    """The race itself, many times: shares of 1, 1, 2 and 4 eighths within four standard deviations."""
    agents = [Agent(id=AgentId(f"a{n}"), capacity_total=total) for n, total in enumerate((1000, 1000, 2000, 4000))]
    wins = Counter[str]()
    for _ in range(4_000):
        winner = min(agents, key=lambda each: lot_of(each, "general"))
        since, number = lot_of(winner, "general"), winner.lots.get("general", (0, 0))[1]
        winner.lots = {"general": (since, number + 1)}
        wins[winner.id] += 1
    for each, share in zip(agents, (1, 1, 2, 4), strict=True):
        expected = 4_000 * share / 8
        assert abs(wins[each.id] - expected) < 4 * (expected * (1 - share / 8)) ** 0.5


def test_who_comes_back_from_a_break_does_not_win_for_what_they_missed() -> None:
    centre = lottery(1, 1)
    assert set(drawn(centre, 10)) == {"a0", "a1"}
    centre.do(presence("a1", "away"), by=acting("a1"))
    assert set(drawn(centre, 20, "d")) == {"a0"}
    missed = lot_of(centre.agent("a1"), "general")
    assert missed < centre.ws.races["general"], "it would win at once"
    centre.do(presence("a1"), by=acting("a1"))
    assert lot_of(centre.agent("a1"), "general") >= centre.ws.races["general"]
    assert 8 <= drawn(centre, 30, "e").count("a1") <= 22


def test_the_race_is_in_the_snapshot() -> None:
    centre = lottery(1, 1)
    drawn(centre, 5)
    again = load(dump(centre.engine.state)).workspaces["w"]
    assert again.races == centre.ws.races
    assert {name: each.lots for name, each in again.agents.items()} == {
        name: each.lots for name, each in centre.ws.agents.items()
    }
    assert centre.ws.races["general"] == max(since for each in again.agents.values() for since, _ in each.lots.values())
