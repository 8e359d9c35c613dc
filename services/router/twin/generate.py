"""Days of our own making, from a seed: an ordinary one, and days on which something is different.

Scenarios share random numbers. Every channel has one stream of people who might write, each with language, work,
patience and mood drawn once; a scenario only decides who of them does. So the same seed gives the same customers in all
scenarios of one shape, and what differs between two runs is what the scenario changed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

from services.router.twin.day import EMAIL, Agent, Arrival, Config, Day, UnreadableDay
from services.router.twin.dice import dice as dice_of
from services.router.twin.whatif import without_absent

HOUR: Final = 3_600_000
LANGUAGES: Final = (
    "en",
    "es",
    "fr",
    "de",
    "pt",
    "it",
    "nl",
    "pl",
    "sv",
    "tr",
    "cs",
    "ro",
    "el",
    "hu",
    "da",
    "fi",
    "bg",
    "hr",
)
PER_AGENT: Final = 15.2
"""Contacts in the busiest hour, for every agent of the ordinary day's roster."""
CEILING: Final = 3.5
"""No scenario makes more of a channel's peak than this."""
PRIORITY_SHARE: Final = 0.06
MOST_CONTACTS: Final = 400_000


@dataclass(frozen=True, slots=True)
class Traffic:
    """How people write on one channel: its share of all, seconds of work and of patience, its target."""

    share: float
    work_s: float
    spread: float
    patience_s: float | None
    target_s: float
    weight: float


CHANNELS: Final[Mapping[str, Traffic]] = {
    "chat": Traffic(0.37, 400, 0.75, 200, 60, 1),
    "messaging": Traffic(0.28, 290, 0.8, 1100, 300, 1),
    "social": Traffic(0.13, 190, 0.9, 3300, 900, 1),
    EMAIL: Traffic(0.22, 340, 1.0, None, 14_400, 2),
}
SLOWDOWN: Final = {1: 1.0, 2: 1.25, 3: 1.55}
Curve = tuple[tuple[float, float], ...]
"""(hour of the day, share of the peak), linear in between."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of day: its hours, how much is written when, who works when. `sites`: how many; `later_h`: by how much the
    second one's customers and agents are later."""

    hours: float
    drain_h: float
    begins_h: float
    curve: Curve
    starts_h: tuple[float, ...]
    shift_h: float
    staff: float = 1.0
    languages: tuple[str, ...] = LANGUAGES
    sites: int = 1
    later_h: float = 0.0


DAY_SHAPE: Final = Shape(
    hours=12,
    drain_h=16,
    begins_h=8,
    curve=((0, 0.3), (1.5, 0.62), (3, 0.97), (4.5, 0.88), (6, 1.0), (8, 0.84), (10, 0.5), (12, 0.25)),
    starts_h=(0, 1, 3, 4),
    shift_h=8,
)
NIGHT_SHAPE: Final = Shape(
    hours=8,
    drain_h=10,
    begins_h=22,
    curve=((0, 0.24), (2, 0.13), (4, 0.07), (6, 0.09), (8, 0.2)),
    starts_h=(0, 0, 2),
    shift_h=8,
    staff=0.16,
    languages=LANGUAGES[:6],
)
SITES_SHAPE: Final = replace(DAY_SHAPE, hours=18, drain_h=20, sites=2, later_h=6)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is different: `more` multiplies what is written, by time (ms) and rank of the language."""

    told: str
    shape: Shape = DAY_SHAPE
    more: Callable[[int, int], float] = lambda at, rank: 1.0
    absent: float = 0.0
    outage: tuple[str, int, int] | None = None


def _surge(at: int, rank: int) -> float:
    return 2.8 if 5 * HOUR <= at < 5.5 * HOUR else 1.0


def _rare(at: int, rank: int) -> float:
    return 3.0 if rank >= 12 and 4 * HOUR <= at < 6 * HOUR else 1.0


def _promotion(at: int, rank: int) -> float:
    """An offer goes out at hour 3 in the two largest languages; the interest halves every 40 minutes."""
    if rank > 1 or at < 3 * HOUR:
        return 1.0
    return 1.0 + 1.9 * math.exp2((3 * HOUR - at) / (40 * 60_000))


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "nominal": Scenario("an ordinary day"),
    "surge": Scenario("2.8 times as many contacts for half an hour", more=_surge),
    "outage": Scenario(
        "chat down for 20 minutes; its customers come by messaging or mail", outage=("chat", 5 * HOUR, 16 * HOUR // 3)
    ),
    "rare": Scenario("three times as many contacts in the rare languages for two hours", more=_rare),
    "absent": Scenario("15 % of the agents absent", absent=0.15),
    "promotion": Scenario("an offer goes out in the two largest languages at hour 3", more=_promotion),
    "night_shift": Scenario("a night with a few agents", shape=NIGHT_SHAPE),
    "two_sites": Scenario("two sites six hours apart, each with languages of its own", shape=SITES_SHAPE),
}


def generate(scenario: str, seed: int, *, agents: int = 100, load: float = 1.0) -> Day:
    """A day of the scenario. `agents`: how large the centre is, work included; `load`: the work alone, times this.
    Raises `UnreadableDay` for a scenario or size that there is none of."""
    if scenario not in SCENARIOS:
        raise UnreadableDay(f"there is no scenario {scenario!r}: one of {', '.join(SCENARIOS)}")
    if agents < len(LANGUAGES) or not 0 < load * agents * PER_AGENT * 12 <= MOST_CONTACTS:
        raise UnreadableDay(f"{agents} agents with load {load:g}: at least {len(LANGUAGES)} agents, and a sane load")
    what = SCENARIOS[scenario]
    roster = tuple(_roster(what.shape, seed, agents))
    arrivals = sorted(_arrivals(what, seed, agents * load), key=lambda each: (each.at, each.id))
    day = Day(tuple(arrivals), roster, config_of(what.shape))
    return without_absent(day, what.absent, seed)


def config_of(shape: Shape) -> Config:
    """The physics of a generated day."""
    return Config(
        weight={kind: each.weight for kind, each in CHANNELS.items()},
        slowdown=SLOWDOWN,
        sl_target_s={kind: each.target_s for kind, each in CHANNELS.items()},
        drain_until_s=shape.drain_h * 3600,
        mean_patience_s={kind: each.patience_s for kind, each in CHANNELS.items()},
        begins_s=shape.begins_h * 3600,
    )


def shares_of(shape: Shape) -> list[float]:
    """By language, its share of what is written."""
    weights = [1 / (rank + 1.6) ** 1.25 for rank in range(len(shape.languages))]
    return [weight / sum(weights) for weight in weights]


def _height(curve: Curve, hour: float) -> float:
    for (begin, low), (end, high) in pairwise(curve):
        if begin <= hour <= end:
            return low + (high - low) * (hour - begin) / (end - begin)
    return 0.0


def _arrivals(what: Scenario, seed: int, size: float) -> Iterator[Arrival]:
    shape = what.shape
    ladder = list(accumulate(shares_of(shape)))
    for kind, traffic in CHANNELS.items():
        peak = traffic.share * size * PER_AGENT / HOUR
        dice = dice_of("people", seed, kind)
        at, number = 0.0, 0
        while (at := at + dice.expovariate(peak * CEILING)) < shape.hours * HOUR:
            number += 1
            keen, tongue, vip = dice.random(), dice.random(), dice.random()
            effort, calm, way, second_calm = dice.gauss(0, 1), dice.expovariate(1), dice.random(), dice.expovariate(1)
            rank = next((place for place, edge in enumerate(ladder) if tongue < edge), len(ladder) - 1)
            height = _height(shape.curve, (at - _later(shape, rank)) / HOUR)
            if keen * CEILING >= height * what.more(int(at), rank):
                continue
            arrival = Arrival(
                id=f"{kind}-{number}",
                at=int(at),
                channel=kind,
                language=shape.languages[rank],
                work=_work(traffic, effort),
                patience=_patience(traffic, calm),
                priority=int(vip < PRIORITY_SHARE),
            )
            yield _during_outage(arrival, what.outage, way, second_calm)


def _later(shape: Shape, rank: int) -> float:
    """Customers of the second site's languages keep other hours; the largest language is spread over both."""
    return shape.later_h * HOUR if shape.sites > 1 and rank % 2 else 0.0


def _work(traffic: Traffic, effort: float) -> float:
    """Lognormal with the channel's mean and coefficient of variation; nobody is done within five seconds."""
    sigma = math.sqrt(math.log1p(traffic.spread**2))
    return round(max(5.0, traffic.work_s * math.exp(sigma * effort - sigma * sigma / 2)), 2)


def _patience(traffic: Traffic, calm: float) -> int | None:
    return None if traffic.patience_s is None else round(calm * traffic.patience_s * 1000)


def _during_outage(arrival: Arrival, outage: tuple[str, int, int] | None, way: float, calm: float) -> Arrival:
    if outage is None or arrival.channel != outage[0] or not outage[1] <= arrival.at < outage[2]:
        return arrival
    kind = "messaging" if way < 0.7 else EMAIL
    return replace(arrival, channel=kind, patience=_patience(CHANNELS[kind], calm))


def _roster(shape: Shape, seed: int, size: int) -> Iterator[Agent]:
    """Agents by their first language, about as many as it is written; rare ones by two at least. Nearly all know the
    largest language, many a third."""
    dice = dice_of("roster", seed)
    languages = shape.languages
    heads = _heads(shares_of(shape), max(2 * len(languages), round(size * shape.staff)))
    number = 0
    for rank, count in enumerate(heads):
        for each in range(count):
            known = {languages[rank]: 1.0}
            if rank and dice.random() < 0.75:
                known[languages[0]] = _learnt(dice)
            if dice.random() < 0.4:
                known.setdefault(dice.choice(languages), _learnt(dice))
            begin = shape.starts_h[each % len(shape.starts_h)] * HOUR + _later(shape, rank)
            until = shape.drain_h * HOUR if each == count - 1 else begin + shape.shift_h * HOUR
            yield Agent(
                id=f"agent-{number:03d}",
                languages=known,
                channels=_handled(dice, count, each),
                capacity=3,
                shifts=((round(begin), round(max(begin + HOUR, until))),),
            )
            number += 1


def _heads(shares: list[float], size: int) -> list[int]:
    softened = [share**0.85 for share in shares]
    heads = [max(2, round(size * each / sum(softened))) for each in softened]
    while sum(heads) > size and max(heads) > 2:
        heads[heads.index(max(heads))] -= 1
    heads[0] += size - sum(heads)
    return heads


def _learnt(dice: random.Random) -> float:
    return dice.choice((0.7, 0.78, 0.84, 0.9, 0.96))


def _handled(dice: random.Random, count: int, each: int) -> tuple[str, ...]:
    """The channels of an agent: the last of a language, who stays to the end, takes all."""
    luck = dice.random()
    if count <= 3 or each == count - 1 or luck > 0.25:
        return tuple(CHANNELS)
    return tuple(CHANNELS)[1:] if luck < 0.12 else tuple(CHANNELS)[:3]
