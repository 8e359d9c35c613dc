"""Small days through the production engine, with what must become of everybody computed by hand."""

from __future__ import annotations

import pytest

from services.router.twin.day import UnreadableDay
from services.router.twin.generate import generate
from services.router.twin.measure import measure
from services.router.twin.play import Outage, play
from services.router.twin.policies import policy_for
from tests.unit.twin.days import agent, arrival, by_id, played

HOUR_MS = 3_600_000


def test_a_free_agent_answers_at_once_and_the_next_customer_waits_for_the_end() -> None:
    run = played([arrival(10, 100), arrival(20, 50)], [agent()])
    assert [case.answered for case in run.cases] == [10_000, 110_000]
    assert run.busy == {"ana": 150_000}


def test_two_at_once_go_slower() -> None:
    """The first has 60 of its 100 s left when the second comes: 75 s at 1/1.25. A third waits until then."""
    run = played([arrival(0, 100), arrival(40, 100), arrival(50, 10)], [agent(capacity=2.0)])
    assert [case.answered for case in run.cases] == [0, 40_000, 115_000]


def test_who_loses_patience_leaves_and_is_not_answered() -> None:
    run = played([arrival(0, 100), arrival(10, 50, patience_s=30), arrival(20, 50)], [agent()])
    first, second, third = run.cases
    assert (second.answered, second.left) == (None, 40_000)
    assert third.answered == 100_000
    assert not first.waits


def test_the_end_of_a_shift_stops_new_work_and_what_is_in_hand_is_finished() -> None:
    run = played([arrival(3590, 60), arrival(3595, 10)], [agent(hours=(0, 1)), agent("bea", hours=(2, 3))])
    assert run.cases[0].answered == 3_590_000
    assert (run.cases[1].answered, run.cases[1].agent) == (7_200_000, "bea")
    # Ten seconds of the work lie in the shift.
    assert run.busy["ana"] == 10_000


def test_who_waits_at_the_end_of_the_day_is_unserved_and_missed() -> None:
    run = played([arrival(0, 10_000), arrival(5, 10)], [agent()], drain_until_s=3600)
    assert run.cases[1].waits
    figures = measure(run)
    assert figures.sl == 0.5
    assert figures.unserved == 1
    assert figures.ch["chat"].max == 3595


def test_weights_take_room() -> None:
    mail = arrival(0, 100, id="mail", channel="email")
    run = played([mail, arrival(1, 10, id="chat"), arrival(2, 10, id="late")], [agent(capacity=3.0)])
    cases = by_id(run)
    assert cases["chat"].answered == 1_000
    # Two units are the mail's, one is the first chat's: it needs 12.5 s beside the mail.
    assert cases["late"].answered == 13_500


def test_nobody_who_does_not_speak_the_language_gets_the_contact() -> None:
    run = played([arrival(0, 10, language="fr")], [agent()])
    assert run.cases[0].waits


def test_priority_outranks_age_within_a_channel_and_the_channel_comes_first() -> None:
    waiting = [
        arrival(0, 100, id="first"),
        arrival(1, 10, id="mail", channel="email", priority=1),
        arrival(2, 10, id="plain"),
        arrival(3, 10, id="vip", priority=1),
    ]
    fifo = by_id(played(waiting, [agent(capacity=2.0, languages={"en": 1.0})], "fifo_longest_idle"))
    assert fifo["plain"].answered == 2_000
    ranked = by_id(played(waiting, [agent()], "priority_longest_idle", weight={"chat": 1, "email": 1}))
    assert ranked["vip"].answered == 100_000
    assert ranked["plain"].answered == 110_000
    assert ranked["mail"].answered == 120_000


def test_bullseye_opens_to_the_less_proficient_in_time() -> None:
    """Chat's target is 60 s: the second ring opens after 15 s, the third after 30."""
    skilled, middling, slow = (
        agent(name, languages={"en": value}) for name, value in (("a", 0.95), ("b", 0.85), ("c", 0.6))
    )
    arrivals = [arrival(0, 1000, id="one"), arrival(1, 1000, id="two"), arrival(2, 1000, id="three")]
    cases = by_id(played(arrivals, [slow, middling, skilled], "bullseye"))
    assert [(case.agent, case.answered) for case in cases.values()] == [("a", 0), ("b", 16_000), ("c", 32_000)]


def test_a_channel_that_is_down_sends_its_customers_on_by_the_engines_fallback() -> None:
    outage = Outage("chat", 10_000, 20_000)
    arrivals = [arrival(0, 100, id="held"), arrival(5, 10, id="waits"), arrival(15, 10, id="comes"), arrival(25, 10)]
    run = played(
        arrivals, [agent(capacity=1.0)], outages=[outage], weight={"chat": 1, "email": 1}, reach={"email": 1.0}
    )
    channels = {name: case.channel for name, case in by_id(run).items()}
    assert channels == {"held": "chat", "waits": "email", "comes": "email", "x25": "chat"}
    assert measure(run).moved == 2


def test_whom_the_fallback_cannot_reach_stays_where_they_are() -> None:
    run = played(
        [arrival(0, 100), arrival(5, 10)], [agent()], outages=[Outage("chat", 10_000, 20_000)], reach={"email": 0.0}
    )
    assert [case.channel for case in run.cases] == ["chat", "chat"]
    assert run.cases[1].answered == 100_000


def test_a_moved_customer_has_the_patience_of_the_new_channel() -> None:
    """The mean patience on e-mail is next to nothing here, so the customer leaves soon after the move; without it they
    would have waited for ever."""
    run = played(
        [arrival(0, 3000), arrival(5, 10)],
        [agent()],
        outages=[Outage("chat", 10_000, 20_000)],
        reach={"email": 1.0},
        mean_patience_s={"email": 0.001},
    )
    assert run.cases[1].left == 10_000


def test_who_arrives_while_the_channel_is_down_has_the_patience_of_the_new_one_alone() -> None:
    """By chat they would wait ten seconds; by mail, for ever."""
    run = played(
        [arrival(0, 3000), arrival(15, 10, patience_s=10)],
        [agent()],
        outages=[Outage("chat", 10_000, 20_000)],
        reach={"email": 1.0},
        weight={"chat": 1, "email": 1},
    )
    assert (run.cases[1].channel, run.cases[1].left, run.cases[1].answered) == ("email", None, 3_000_000)


def test_the_same_day_twice_is_the_same() -> None:
    arrivals = [arrival(number * 7.3, 60 + number % 13, patience_s=120) for number in range(200)]
    agents = [agent(name, capacity=3.0) for name in ("a", "b")]
    first, second = (played(arrivals, agents, "round_robin") for _ in range(2))
    assert first.cases == second.cases
    assert first.busy == second.busy


@pytest.mark.parametrize("policy", ["fifo_longest_idle", "priority_longest_idle", "most_available", "round_robin"])
def test_on_a_whole_night_nobody_has_too_much_and_nobody_waits_before_a_free_agent(policy: str) -> None:
    day = generate("night_shift", 7, load=1.2)
    run = play(day, policy_for(policy, day.config))
    agents = {each.id: each for each in day.agents}
    held = {name: [case for case in run.cases if case.agent == name] for name in agents}

    def room(name: str, at: int) -> float:
        weights = day.config.weight
        now = [c for c in held[name] if (c.answered or 0) <= at and (c.done is None or at < c.done)]
        return agents[name].capacity - sum(weights[case.channel] for case in now)

    def on_shift(name: str, at: int) -> bool:
        return any(begin <= at < end for begin, end in agents[name].shifts)

    for case in run.cases:
        if case.answered is not None and case.agent is not None:
            able = agents[case.agent]
            assert case.arrival.language in able.languages
            assert case.channel in able.channels
            assert on_shift(able.id, case.answered)
            assert room(able.id, case.answered) >= 0
    for at in range(100_001, 8 * HOUR_MS, 240_007):
        for case in run.cases:
            until = next((end for end in (case.answered, case.left) if end is not None), day.end)
            if case.arrival.at < at < until:
                could = [
                    name
                    for name, each in agents.items()
                    if case.arrival.language in each.languages and case.channel in each.channels and on_shift(name, at)
                ]
                assert all(room(name, at) < day.config.weight[case.channel] for name in could), (at, case)


def test_an_arrival_that_the_engine_refuses_is_named() -> None:
    with pytest.raises(UnreadableDay, match="arrival 'x1': there is no queue 'nowhere'"):
        played([arrival(1, 10, queue="nowhere")], [agent()])
