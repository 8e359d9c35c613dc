"""How many agents, and which language to teach to whom: found by playing days again and again.

The roster is that of the first day; every day's customers meet it. A larger centre has copies of its agents, a smaller
one leaves some out, evenly by first language, so that the mix of languages and shifts stays what it was.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.router.twin.compare import CONFIDENCE
from services.router.twin.day import Agent, Day
from services.router.twin.dice import dice
from services.router.twin.interval import Interval, interval
from services.router.twin.measure import Figures, measure
from services.router.twin.play import play
from services.router.twin.policies import policy_for
from services.router.twin.runs import Files, Made, day_of, in_parallel

MEASURES: Final = ("sl", "sl_int", "worst_lang", "low5_lang")
"""What a target may be of."""
LANGUAGES_TRIED: Final = 3
AGENTS_TRIED: Final = 3
MOST_AGENTS: Final = 4
"""No search goes on beyond so many times the roster."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """Somebody learns a language."""

    agent: str
    language: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be reached, on which days, under which policy."""

    sources: tuple[tuple[int, Files | Made], ...]
    policy: str
    measure: str
    target: float
    learnt: float = 0.85
    jobs: int | None = 1


@dataclass(frozen=True, slots=True)
class Trial:
    """One day with a roster of this size, after these lessons."""

    question: Question
    number: int
    agents: int
    lessons: tuple[Lesson, ...]


@dataclass(frozen=True, slots=True)
class Tried:
    """What a size of the roster came to."""

    agents: int
    found: Interval


@dataclass(frozen=True, slots=True)
class Taught:
    """A lesson, what it gained against the same days without it, and where that leads."""

    lesson: Lesson
    gain: Interval
    found: Interval


def how_many(question: Question) -> list[Tried]:
    """The sizes that were tried, by size. The smallest that reaches the target is among them, unless even the largest
    does not; the step below it was tried too. Raises `UnreadableDay`."""
    tried: dict[int, Tried] = {}

    def reaches(agents: int) -> bool:
        if agents not in tried:
            tried[agents] = Tried(agents, _mean(question, _figures(question, agents, ())))
        return tried[agents].found.mean >= question.target

    present = len(day_of(question.sources[0][1]).agents)
    low, high = _bracket(present, reaches)
    while high - low > 1 and high <= MOST_AGENTS * present:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return [tried[agents] for agents in sorted(tried)]


def _bracket(present: int, reaches: Callable[[int], bool]) -> tuple[int, int]:
    """Two sizes around the answer: the first does not reach the target, the second does or is too large to go on."""
    step = max(1, present // 10)
    if reaches(present):
        high = present
        while high - step > 0 and reaches(high - step):
            high -= step
            step *= 2
        return max(0, high - step), high
    low = present
    while low + step <= MOST_AGENTS * present and not reaches(low + step):
        low += step
        step *= 2
    return low, low + step


def whom_to_teach(question: Question, *, most: int) -> list[Taught]:
    """Up to so many lessons for the roster as it is, each the best of some: in one of the languages that lose most
    customers, by one of those who have most time for it. Ends when the target is reached or nothing tried helps.
    Raises `UnreadableDay`."""
    size = len(day_of(question.sources[0][1]).agents)
    lessons: tuple[Lesson, ...] = ()
    before = _figures(question, size, lessons)
    taught: list[Taught] = []
    while len(taught) < most and _mean(question, before).mean < question.target:
        candidates = _candidates(question, before, lessons)
        if not candidates:
            break
        trials = [
            Trial(question, number, size, (*lessons, lesson))
            for lesson in candidates
            for number in range(len(question.sources))
        ]
        played = in_parallel(figures_of, trials, jobs=question.jobs, told=f"lesson {len(taught) + 1}")
        days = len(question.sources)
        after = {lesson: played[place * days : (place + 1) * days] for place, lesson in enumerate(candidates)}
        best = max(candidates, key=lambda lesson: _mean(question, after[lesson]).mean)
        gain = _gain(question, before, after[best])
        if gain.mean <= 0:
            break
        lessons, before = (*lessons, best), after[best]
        taught.append(Taught(best, gain, _mean(question, before)))
    return taught


def figures_of(trial: Trial) -> Figures:
    """Play one day of a trial. Raises `UnreadableDay`."""
    seed, source = trial.question.sources[trial.number]
    roster = with_lessons(
        resized(day_of(trial.question.sources[0][1]), trial.agents), trial.lessons, trial.question.learnt
    )
    day = replace(day_of(source), agents=roster)
    return measure(play(day, policy_for(trial.question.policy, day.config), seed=seed))


def resized(day: Day, size: int) -> tuple[Agent, ...]:
    """The day's roster with another number of agents, the mix kept as well as the number allows."""
    groups: dict[str, list[Agent]] = {}
    for agent in day.agents:
        groups.setdefault(first_language(agent), []).append(agent)
    order: list[tuple[float, str, Agent]] = []
    for language, group in sorted(groups.items()):
        dice("resized", language).shuffle(group)
        order += [((place + 0.5) / len(group), agent.id, agent) for place, agent in enumerate(group)]
    spread = [agent for _, _, agent in sorted(order, key=lambda each: each[:2])]
    chosen = {agent.id for agent in spread[:size]}
    kept = [agent for agent in day.agents if agent.id in chosen]
    copies = [
        replace(spread[place % len(spread)], id=f"{spread[place % len(spread)].id}+{place // len(spread)}")
        for place in range(len(spread), size)
    ]
    return (*kept, *copies)


def with_lessons(roster: Sequence[Agent], lessons: Sequence[Lesson], learnt: float) -> tuple[Agent, ...]:
    """The roster after the lessons, with this proficiency in what was learnt."""
    known: dict[str, dict[str, float]] = {}
    for lesson in lessons:
        known.setdefault(lesson.agent, {})[lesson.language] = learnt
    return tuple(
        replace(agent, languages={**agent.languages, **known[agent.id]}) if agent.id in known else agent
        for agent in roster
    )


def first_language(agent: Agent) -> str:
    """What the agent speaks best; of several the first by name."""
    return min(agent.languages, key=lambda code: (-agent.languages[code], code))


def _figures(question: Question, agents: int, lessons: tuple[Lesson, ...]) -> list[Figures]:
    trials = [Trial(question, number, agents, lessons) for number in range(len(question.sources))]
    return in_parallel(figures_of, trials, jobs=question.jobs, told=f"{agents} agents")


def _mean(question: Question, figures: Sequence[Figures]) -> Interval:
    return interval([each.number(question.measure) for each in figures], CONFIDENCE)


def _gain(question: Question, before: Sequence[Figures], after: Sequence[Figures]) -> Interval:
    pairs = zip(before, after, strict=True)
    return interval([b.number(question.measure) - a.number(question.measure) for a, b in pairs], CONFIDENCE)


def _candidates(question: Question, before: Sequence[Figures], lessons: Sequence[Lesson]) -> list[Lesson]:
    """The languages that lose most, each with those agents who do not speak it and have most time left."""
    roster = with_lessons(day_of(question.sources[0][1]).agents, lessons, question.learnt)
    load = {
        agent.id: statistics.fmean(loads)
        for agent in roster
        if (loads := [each.load for figures in before for each in figures.agents if each.id == agent.id])
    }
    found = []
    for language in _losing(question, before)[:LANGUAGES_TRIED]:
        pupils = [agent for agent in roster if language not in agent.languages]
        pupils.sort(key=lambda agent: (-len(agent.channels), load[agent.id], agent.id))
        found += [Lesson(agent.id, language) for agent in pupils[:AGENTS_TRIED]]
    return found


def _losing(question: Question, before: Sequence[Figures]) -> list[str]:
    """Languages by what they lose: customers not answered in time, or its share if a language is the measure."""
    codes = sorted({code for figures in before for code in figures.lang_sl})

    def lost(code: str) -> float:
        parts = [figures for figures in before if code in figures.lang_sl]
        weight = 1.0 if question.measure in ("worst_lang", "low5_lang") else None
        return sum((weight or each.lang_n[code]) * (1 - each.lang_sl[code]) for each in parts) / len(before)

    return [code for code in sorted(codes, key=lambda code: (-lost(code), code)) if lost(code) > 0]
