"""What the engine alone costs on this machine: `python -m tests.load.bench_engine [--quick] [--profile] [--json] …`.

A *decision* is one routing decision: an arriving contact that finds an agent, or a freed agent who finds a contact. It
is measured twice: through the whole of `Engine.apply` (decide, evolve, indexes, answer, its share of `settle`), and in
the matching alone (`matches`: the time between asking for a pair and getting it). The thread's CPU time counts, so
other people's load on the machine does not; p50 and p99 are of single commands, p99 by the wall as well.

The centre: 30 languages by Zipf's law, 4 queues, 3 channels, 8 skills, agents of 60 to 300 capability classes, three
contacts each. Every second language is overloaded: its contacts wait and its agents are full, so a freed agent chooses
among many contacts. The others are calm: their agents are free, so an arriving contact chooses among many agents.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import math
import pstats
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from services.router.engine import engine as engine_module
from services.router.engine.engine import Decided, Engine
from services.router.engine.index import Index
from services.router.engine.matching import Match, matches
from shared import collector
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.contracts.commands import Actor, Command, Input
from shared.vocabulary import AddressKey, AgentId, ContactId, ThreadKey
from tests.builders import ADAPTER, OPERATOR, START, account_of, acting, channel, policy, queue

SIZES = [(agents, waiting) for agents in (100, 1_000, 10_000) for waiting in (1_000, 100_000)]
GOAL_PER_SECOND = 50_000
GOAL_GROWTH = 3.0
LANGUAGES = [f"{a}{b}" for a in "abcdef" for b in "vwxyz"]
OVERLOADED, CALM = LANGUAGES[::2], LANGUAGES[1::2]
SKILLS = ("cards", "fraud", "limits", "login", "payments", "refunds", "tax", "transfers")
KINDS, KIND_SHARES = ("chat", "email", "telegram"), (6, 2, 2)
QUEUES, QUEUE_SHARES = ("general", "cards", "fraud", "payments"), (6, 2, 1, 1)
RULES: tuple[dict[str, Any], ...] = (
    {"rank": 2},
    {"rank": 2, "strategy": "least_active"},
    {"rank": 1, "strategy": "best_skill"},
    {"rank": 1},
)
CAPACITY = 3
BATCH = 100
"""Commands an entry: one `settle` for so many."""


@dataclass
class Figures:
    """CPU and wall times of one sort of command, in nanoseconds."""

    cpu: list[int] = field(default_factory=list)
    wall: list[int] = field(default_factory=list)
    matching: int = 0

    def per_second(self, settle_ns: float = 0) -> float:
        return len(self.cpu) / (sum(self.cpu) + settle_ns * len(self.cpu)) * 1e9

    def matchings_per_second(self) -> float:
        """NaN where the engine is compiled: nobody can stand between the engine and its matching then."""
        return len(self.cpu) / self.matching * 1e9 if self.matching else math.nan

    def cpu_us(self, share: float) -> float:
        return _quantile(self.cpu, share) / 1000

    def wall_us(self, share: float) -> float:
        return _quantile(self.wall, share) / 1000


def _quantile(times: list[int], share: float) -> int:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


class Floor:
    """A contact centre of a given size in the middle of its day."""

    def __init__(self, agents: int, waiting: int, seed: int = 1, *, unique: bool = False) -> None:
        """`unique`: no two agents share a capability class."""
        self.dice = random.Random(seed)
        self._unique = unique
        self.engine = Engine()
        self.now = START
        self.seq = 1
        self.number = 0
        self.settling = 0
        self.held: list[tuple[AgentId, ContactId]] = []
        """Agents of overloaded languages with a contact they hold; an agent is there once for each."""
        self.engine.tick(self.now, self.seq, 0)
        queues = [queue(name, **rules) for name, rules in zip(QUEUES, RULES, strict=True)]
        self.apply(cmd.CreateWorkspace(name="w"), OPERATOR)
        self.apply(cmd.AdoptPolicy(policy=policy(queues, [channel(kind) for kind in KINDS])), OPERATOR)
        self._staff(agents)
        for language in OVERLOADED:
            self.fill_up(language)
        while self.waiting < waiting:
            self.apply(self.message(OVERLOADED), ADAPTER)

    def _staff(self, agents: int) -> None:
        templates = [self._template(number) for number in range(max(60, min(300, agents // 10)))]
        for number in range(agents):
            agent = AgentId(f"a{number:05}")
            profile = templates[number % len(templates)]
            if self._unique:
                profile = profile | {"skills": {**profile["skills"], f"own-{number}": 1}}
            self.apply(cmd.PutAgent(agent=agent, **profile), OPERATOR)
            self.apply(cmd.SetPresence(agent=agent, presence="available"), acting(agent))
            self.now += 1

    def _template(self, number: int) -> dict[str, Any]:
        side = OVERLOADED if number % 2 else CALM
        # The first so many agents see to it that every language is spoken; then languages come by Zipf's law.
        spoken = {side[number // 2 % len(side)], *self._pick(side, self.dice.choice((0, 0, 1, 2)))}
        return {
            "languages": {language: self.dice.randint(2, 5) for language in sorted(spoken)},
            "skills": {skill: self.dice.randint(1, 5) for skill in sorted(self.dice.sample(SKILLS, 4))},
            "capacity_total": CAPACITY * 1000,
            "capacity_per_channel": {"chat": self.dice.choice((2, 3))},
        }

    def _pick(self, side: list[str], count: int) -> list[str]:
        return self.dice.choices(side, [1 / (rank + 1) for rank in range(len(side))], k=count)

    def fill_up(self, language: str) -> None:
        """Contacts of a language until nobody who speaks it has room."""
        while True:
            offer = offer_in(self.apply(self.message([language], skill=False, kind="email"), ADAPTER))
            if offer is None:
                return
            self.accept(offer)
            self.held.append((offer.agent, offer.contact))

    @property
    def waiting(self) -> int:
        return sum(counts.waiting for counts in self.engine.world.indexes["w"].queues.values())

    def message(self, side: list[str], *, skill: bool = True, kind: str = "") -> cmd.ReceiveMessage:
        """A customer's message in one of these languages."""
        dice = self.dice
        number = self.number
        kind = kind or dice.choices(KINDS, KIND_SHARES)[0]
        where = dice.choices(QUEUES, QUEUE_SHARES)[0] if skill else "general"
        asks = skill and where != "general" and dice.random() < 0.5
        return cmd.ReceiveMessage(
            source_key=f"{kind}:bench:{number}",
            channel=kind,
            account=account_of(kind),
            thread=ThreadKey(f"t{number}"),
            sender=AddressKey(f"s{number}"),
            content_ref=f"m:{number}",
            queue=where,
            candidates=(cmd.LanguageCandidate(language=self._pick(side, 1)[0], confidence=0.97),),
            skills={where: dice.randint(1, 3)} if asks else {},
        )

    def apply(self, command: Command, by: Actor, figures: Figures | None = None) -> Decided:
        """Decide one command; with `figures`, its times are noted there."""
        self.number += 1
        record = Input(id=f"k{self.number}", workspace="w", actor=by, received_at=self.now, command=command)
        wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
        decided = self.engine.apply(record, self.now, self.seq)
        cpu, wall = time.thread_time_ns() - cpu, time.perf_counter_ns() - wall
        if figures is not None:
            figures.cpu.append(cpu)
            figures.wall.append(wall)
        if self.number % BATCH == 0:
            began = time.thread_time_ns()
            self.engine.settle(self.now, (self.seq, 0))
            self.settling += time.thread_time_ns() - began
            self.seq += 1
            self.now += 1
        return decided

    def accept(self, offer: ev.OfferMade, figures: Figures | None = None) -> None:
        self.apply(cmd.AcceptOffer(offer=offer.offer), acting(offer.agent), figures)


def offer_in(decided: Decided) -> ev.OfferMade | None:
    """The offer that a decision made, if it made one."""
    return next((event for event in decided.events if isinstance(event, ev.OfferMade)), None)


@dataclass
class Measured:
    """One size of centre, measured."""

    agents: int
    waiting: int
    classes: int
    requirements: int
    arrived: Figures = field(default_factory=Figures)
    freed: Figures = field(default_factory=Figures)
    queued: Figures = field(default_factory=Figures)
    accepted: Figures = field(default_factory=Figures)
    idle: Figures = field(default_factory=Figures)
    settle_ns: float = 0

    def decisions(self) -> Figures:
        """Arrived and freed together: what the goal speaks of."""
        both = (self.arrived, self.freed)
        return Figures(
            cpu=[ns for figures in both for ns in figures.cpu],
            wall=[ns for figures in both for ns in figures.wall],
            matching=sum(figures.matching for figures in both),
        )


class Timed:
    """`matches`, with the CPU time between being asked for a pair and giving it, noted where `into` says."""

    def __init__(self) -> None:
        self.into: Figures | None = None

    def __call__(self, index: Index, most: int, now: int) -> Iterator[Match]:
        into = self.into
        pairs = matches(index, most, now)
        while True:
            began = time.thread_time_ns()
            match = next(pairs, None)
            if into is not None:
                into.matching += time.thread_time_ns() - began
            if match is None:
                return
            yield match


def round_of(floor: Floor, measured: Measured, timed: Timed | None = None) -> None:
    """A contact of a calm language arrives, is taken and done; an agent of an overloaded one is freed and takes the
    next; another contact joins those who wait."""

    def play(command: Command, by: Actor, figures: Figures) -> Decided:
        if timed is not None:
            timed.into = figures
        return floor.apply(command, by, figures)

    decided = play(floor.message(CALM), ADAPTER, measured.arrived)
    offer = offer_in(decided)
    if offer is None:
        # Nobody calm has the skill: not a decision of the kind that is measured.
        measured.arrived.cpu.pop()
        measured.arrived.wall.pop()
        contact = next(event.contact for event in decided.events if isinstance(event, ev.ContactCreated))
        floor.apply(cmd.CancelContact(contact=contact), OPERATOR)
    else:
        play(cmd.AcceptOffer(offer=offer.offer), acting(offer.agent), measured.accepted)
        play(cmd.CompleteContact(contact=offer.contact), acting(offer.agent), measured.idle)
    at = floor.dice.randrange(len(floor.held))
    agent, held = floor.held[at]
    offer = offer_in(play(cmd.CompleteContact(contact=held), acting(agent), measured.freed))
    if offer is None:
        # The last one of a rare language has been served: not a decision either. The agent is given work again.
        measured.freed.cpu.pop()
        measured.freed.wall.pop()
        floor.held.pop(at)
        floor.fill_up(next(iter(floor.engine.state.workspaces["w"].agents[agent].languages)))
    else:
        floor.accept(offer)
        floor.held[at] = (offer.agent, offer.contact)
    play(floor.message(OVERLOADED), ADAPTER, measured.queued)


def measure(agents: int, waiting: int, rounds: int, *, unique: bool = False) -> Measured:
    """Build a centre of this size and play some rounds, first as it is, then with the matching timed."""
    floor = Floor(agents, waiting, unique=unique)
    index = floor.engine.world.indexes["w"]
    measured = Measured(agents, floor.waiting, len(index.registry.classes), len(index.registry.requirements))
    for _ in range(rounds // 10):
        round_of(floor, Measured(0, 0, 0, 0))
    # As the leader does after its recovery: what is there now is not garbage.
    gc.collect()
    collector.settle()
    before, floor.settling = floor.number, 0
    for _ in range(rounds):
        round_of(floor, measured)
    measured.settle_ns = floor.settling / (floor.number - before)
    timed, alone = Timed(), Measured(0, 0, 0, 0)
    with mock.patch.object(engine_module, "matches", timed):
        for _ in range(rounds):
            round_of(floor, alone, timed)
    for name in ("arrived", "freed"):
        figures: Figures = getattr(measured, name)
        part: Figures = getattr(alone, name)
        figures.matching = round(part.matching / len(part.cpu) * len(figures.cpu))
    gc.unfreeze()
    return measured


HEAD = (
    f"{'agents':>7} {'waiting':>8} {'classes':>8} {'asked':>6} | {'decisions/s':>12} "
    f"{'p50 µs':>7} {'p99 µs':>7} {'(wall)':>7} | "
    f"{'arrived/s':>10} {'freed/s':>10} | {'matching alone/s':>17} {'arrived':>9} {'freed':>9} | "
    f"{'queued/s':>9} {'accept/s':>9} {'idle/s':>8}"
)


def line(m: Measured) -> str:
    both = m.decisions()
    return (
        f"{m.agents:>7,} {m.waiting:>8,} {m.classes:>8} {m.requirements:>6} | "
        f"{both.per_second(m.settle_ns):>12,.0f} "
        f"{both.cpu_us(0.5):>7.1f} {both.cpu_us(0.99):>7.1f} {both.wall_us(0.99):>7.1f} | "
        f"{m.arrived.per_second(m.settle_ns):>10,.0f} {m.freed.per_second(m.settle_ns):>10,.0f} | "
        f"{both.matchings_per_second():>17,.0f} "
        f"{m.arrived.matchings_per_second():>9,.0f} {m.freed.matchings_per_second():>9,.0f} | "
        f"{m.queued.per_second(m.settle_ns):>9,.0f} {m.accepted.per_second(m.settle_ns):>9,.0f} "
        f"{m.idle.per_second(m.settle_ns):>8,.0f}"
    )


def adoption(agents: int = 1_000, waiting: int = 100_000) -> None:
    """Policies come into force while so many wait, each with one kind of change: the rank of one queue; when steps are
    due; the least level of the language; the order of contacts. Between two of a kind all others stay as they are."""
    floor = Floor(agents, waiting)
    every = [dict(each) for each in RULES]
    first = every[0]
    changes: dict[str, Callable[[dict[str, Any], int], None]] = {
        "a rank of one queue": lambda rules, number: rules.update(rank=number) if rules is first else None,
        "steps of all queues": lambda rules, number: rules.update(steps=_steps(number)),
        "demands of all queues": lambda rules, number: rules.update(language_min=1 + number % 2),
        "order of all queues": lambda rules, number: rules.update(_order(number)),
    }
    for what, change in changes.items():
        took: list[int] = []
        for number in range(5, 10):
            for rules in every:
                change(rules, number)
            queues = [queue(name, **rules) for name, rules in zip(QUEUES, every, strict=True)]
            adopted = Figures()
            floor.apply(cmd.AdoptPolicy(policy=policy(queues, [channel(kind) for kind in KINDS])), OPERATOR, adopted)
            took += adopted.cpu
        least, middle, most = min(took) / 1e9, statistics.median(took) / 1e9, max(took) / 1e9
        print(
            f"policy adopted with {waiting:,} waiting, {what}: {middle:.2f} s of CPU ({least:.2f} to {most:.2f}; "
            "goal < 1 s)"
        )


def _order(number: int) -> dict[str, Any]:
    return {"contact_order": "score", "priority_unit_s": 30} if number % 2 else {"contact_order": "priority"}


def _steps(number: int) -> list[dict[str, Any]]:
    return [{"after_s": 3600 * number, "set_min": {"cards": 1}}, {"after_s": 7200 * number, "drop_language": True}]


def as_json(m: Measured) -> dict[str, Any]:
    """The figures of one size, per CPU second and in µs of CPU time."""
    both = m.decisions()
    return {
        "agents": m.agents,
        "waiting": m.waiting,
        "classes": m.classes,
        "requirements": m.requirements,
        "decisions_per_cpu_s": round(both.per_second(m.settle_ns)),
        "p50_us": both.cpu_us(0.5),
        "p99_us": both.cpu_us(0.99),
        "p99_wall_us": both.wall_us(0.99),
        "arrived_per_cpu_s": round(m.arrived.per_second(m.settle_ns)),
        "freed_per_cpu_s": round(m.freed.per_second(m.settle_ns)),
        "matching_per_cpu_s": round(both.matchings_per_second()) if both.matching else None,
        "queued_per_cpu_s": round(m.queued.per_second(m.settle_ns)),
        "accepted_per_cpu_s": round(m.accepted.per_second(m.settle_ns)),
    }


def profile(agents: int, waiting: int, rounds: int) -> None:
    """Where the time goes at one size."""
    floor = Floor(agents, waiting)
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(rounds):
        round_of(floor, Measured(0, 0, 0, 0))
    profiler.disable()
    statistics = pstats.Stats(profiler).strip_dirs()
    statistics.sort_stats("tottime").print_stats(25)
    statistics.sort_stats("cumulative").print_stats(40)


def main(arguments: list[str]) -> int:
    """Print the table, and whether the goals are met."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.bench_engine")
    parser.add_argument("--quick", action="store_true", help="the smallest and a middle size, few rounds")
    parser.add_argument("--profile", action="store_true", help="where the time goes at one size")
    parser.add_argument("--json", action="store_true", help="an object a line instead of a table")
    parser.add_argument("--agents", type=int, default=1_000, help="for --profile")
    parser.add_argument("--waiting", type=int, default=1_000, help="for --profile")
    parser.add_argument("--rounds", type=int, default=5_000)
    options = parser.parse_args(arguments)
    if options.profile:
        profile(options.agents, options.waiting, options.rounds)
        return 0
    rounds = 500 if options.quick else options.rounds
    if not options.json:
        print(HEAD)
    all_measured = []
    for agents, waiting in [(100, 1_000), (1_000, 1_000)] if options.quick else SIZES:
        measured = measure(agents, waiting, rounds)
        all_measured.append(measured)
        print(json.dumps(as_json(measured)) if options.json else line(measured), flush=True)
    if not options.quick:
        unique = measure(*SIZES[-1], rounds, unique=True)
        print(json.dumps(as_json(unique)) if options.json else f"{line(unique)}  (every agent unique)", flush=True)
    first, last = all_measured[0].decisions(), all_measured[-1].decisions()
    growth = first.per_second(all_measured[0].settle_ns) / last.per_second(all_measured[-1].settle_ns)
    alone = first.matchings_per_second() / last.matchings_per_second()
    if not options.json:
        print(
            f"cost of a decision, last size against first: ×{growth:.2f} whole, ×{alone:.2f} matching alone "
            f"(goals: {GOAL_PER_SECOND:,} decisions per CPU-second, at most ×{GOAL_GROWTH:.0f})"
        )
        if not options.quick:
            adoption()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
