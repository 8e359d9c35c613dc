"""Which of several eligible agents gets a contact: the strategies, as numbers of which the lower is better.

A chain is a queue's strategy with its tie-breaks. What is the same for all agents of a capability class is scored for
the class and a demand; the rest orders the agents of the class.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final, NamedTuple

from services.router.engine.demand import Demand
from services.router.engine.policy import BY_ATTRIBUTE, BY_LANGUAGE, BY_SKILL, PREFERS, QueuePolicy
from services.router.engine.records import UNIT, Agent
from services.router.engine.rooms import free_room
from services.router.engine.slo import SloRule, slowing

Number = int | float
"""A part of a score. A whole one is recorded as such: of a `float` compiled code makes a fraction, whatever it was."""
Score = tuple[Number, ...]

NEVER = -1.0
NO_TOTAL = 1 << 40
"""Capacity of an agent without a total, in thousandths: more than anybody else's."""
LOT = 1_000_000
"""How finely lots are told apart: this much is one exponential time of somebody with room for one."""
LAST = 99.0
"""A level for who does not have the skill or language: behind everybody, in either direction."""
NO_VALUE = 1 << 40
"""The same for an attribute, whose numbers may be greater than levels."""


class Chain(NamedTuple):
    """The part of a queue's chain that orders the agents of a class. `queue` is empty unless a strategy in it looks at
    what the agent did in that queue, so that most queues share a chain."""

    strategies: tuple[str, ...]
    queue: str
    slowdown: tuple[float, ...] = ()
    """For the strategy `slo`."""


_BY_CLASS = frozenset({"best_skill", "best_language", "nearest_skill", "most_skills"})


def by_class(strategy: str) -> bool:
    """Whether all agents of a class score alike."""
    return strategy in _BY_CLASS or strategy.startswith((BY_SKILL, BY_LANGUAGE, PREFERS))


def chain_of(queue: QueuePolicy, *, positioned: bool) -> Chain:
    """The chain that orders agents inside a class. `positioned`: some agent has a position of their own in it."""
    strategies = tuple(name for name in queue.chain if not by_class(name))
    slowdown = queue.slo.slowdown if queue.slo is not None and "slo" in strategies else ()
    of_queue = positioned or "round_robin" in strategies or draws_lots(queue)
    return Chain(strategies, queue.name if of_queue else "", slowdown)


def draws_lots(queue: QueuePolicy) -> bool:
    """Whether chance has a part in who gets contacts of this queue."""
    return "weighted_random" in queue.chain


def agent_score(agent: Agent, chain: Chain) -> Score:
    """An agent's part of the score."""
    return tuple([MEASURES[strategy](agent, chain) for strategy in chain.strategies])


def position_in(agent: Agent, chain: Chain) -> int:
    """The agent's position in the chain's queue, else in general."""
    queue = chain.queue
    if queue and agent.memberships:
        return next((m.position for m in agent.memberships if m.queue == queue and m.position), agent.position)
    return agent.position


def _total(agent: Agent) -> int:
    return max(agent.capacity_total, 1) if agent.capacity_total is not None else NO_TOTAL


def lot_of(agent: Agent, queue: str) -> int:
    """The agent's lot in a queue: the least of the free ones wins, with a share of its weight w, the free capacity.

    A lot is a time in a race: the last winner's time plus -ln(u)/w, drawn anew for the winner alone. As what is left of
    an exponential time is exponential again, that is one independent draw for each offer, and nobody has to look at all
    the others. (Efraimidis and Spirakis, 2006, for one draw.) u comes from what the journal knows.
    """
    since, number = agent.lots.get(queue, (0, 0))
    drawn = hashlib.sha256(f"{agent.id}|{queue}|{agent.signed_in_at}|{number}".encode()).digest()
    share = (int.from_bytes(drawn[:7], "big") + 1) / (1 << 56)
    return since + round(-math.log(share) * LOT * UNIT / max(free_room(agent), 1))


def _valued(attribute: str, sign: int, agent: Agent, chain: Chain) -> Number:
    value = agent.attributes.get(attribute)
    return NO_VALUE if value is None else sign * value


class _Measures(dict[str, Callable[[Agent, Chain], Number]]):
    """By strategy; those of attributes come when they are asked for first."""

    def __missing__(self, strategy: str) -> Callable[[Agent, Chain], Number]:
        assert strategy.startswith(BY_ATTRIBUTE), strategy
        attribute, _, direction = strategy.removeprefix(BY_ATTRIBUTE).rpartition(":")
        measure = self[strategy] = partial(_valued, attribute, 1 if direction == "asc" else -1)
        return measure


MEASURES: Final = _Measures(
    {
        "slo": lambda agent, chain: slowing(chain.slowdown, len(agent.held) - len(agent.parked)),
        "longest_idle": lambda agent, _: agent.idle_since,
        "round_robin": lambda agent, chain: agent.assigned_last.get(chain.queue, NEVER),
        "fixed_order": position_in,
        "least_active": lambda agent, _: agent.used,
        "most_available": lambda agent, _: agent.used - _total(agent),
        "lowest_utilisation": lambda agent, _: agent.used / _total(agent),
        "fewest_completed": lambda agent, _: agent.completed,
        "least_talk_time": lambda agent, _: agent.talk_time,
        "weighted_random": lambda agent, chain: lot_of(agent, chain.queue),
    }
)
"""What each strategy over agents looks at; lower is better."""


def class_score(strategy: str, demand: Demand, languages: Mapping[str, int], skills: Mapping[str, int]) -> Number:
    """A class's part of the score for a demand."""
    if strategy == "best_skill":
        return -mean_level(demand, skills)
    if strategy == "best_language":
        return -_level_spoken(demand, languages) if demand.language else 0
    if strategy == "nearest_skill":
        return _distance(demand, skills)
    if strategy == "most_skills":
        return -sum(1 for skill, _ in demand.skills if skill in skills)
    if strategy.startswith(PREFERS):
        return -sum(skills.get(skill, 0) >= level for skill, level in _preferred(strategy))
    if strategy.startswith(BY_LANGUAGE):
        levels, named = languages, strategy.removeprefix(BY_LANGUAGE)
    else:
        levels, named = skills, strategy.removeprefix(BY_SKILL)
    name, _, direction = named.rpartition(":")
    level = levels.get(name)
    if level is None:
        return LAST
    return level if direction == "asc" else -level


def _preferred(strategy: str) -> Iterator[tuple[str, int]]:
    for each in strategy.removeprefix(PREFERS).split(","):
        skill, _, level = each.partition("=")
        yield skill, int(level)


def mean_level(demand: Demand, skills: Mapping[str, int]) -> float:
    """Mean level over the skills that the demand names; 0 if it names none."""
    levels = [skills.get(skill, 0) for skill, _ in demand.skills]
    return sum(levels) / len(levels) if levels else 0.0


def _level_spoken(demand: Demand, languages: Mapping[str, int]) -> int:
    """Of the first language that will do; 0 if none is spoken well enough."""
    level = languages.get(demand.language, 0)
    if level >= demand.language_min:
        return level
    codes = (demand.language, *demand.also)
    return next((languages[code] for code in codes if languages.get(code, 0) >= demand.language_min), 0)


def fitness(rule: SloRule, demand: Demand, languages: Mapping[str, int], skills: Mapping[str, int]) -> float:
    """How fast somebody with these abilities serves the demand: the least value over its language and skills, 1 if it
    asks for nothing."""
    values = [rule.value(skills.get(skill, 0)) for skill, _ in demand.skills]
    if demand.language:
        values.append(rule.value(_level_spoken(demand, languages)))
    return min(values, default=1.0)


def _distance(demand: Demand, skills: Mapping[str, int]) -> int:
    """Total shortfall first, then total surplus: a shortfall of one weighs more than any surplus."""
    short = sum(max(0, level - skills.get(skill, 0)) for skill, level in demand.skills)
    over = sum(max(0, skills.get(skill, 0) - level) for skill, level in demand.skills)
    return short * 1_000 + over
