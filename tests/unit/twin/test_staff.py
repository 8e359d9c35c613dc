"""How many agents, and whom to teach what, where the answer can be seen without a computer."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from services.router.twin.day import Agent, Arrival, Day, as_files
from services.router.twin.generate import generate
from services.router.twin.runs import Files
from services.router.twin.staff import Lesson, Question, first_language, how_many, resized, whom_to_teach, with_lessons
from tests.unit.twin.days import agent, arrival, config


def question(folder: Path, arrivals: list[Arrival], agents: list[Agent], measure: str, target: float) -> Question:
    for name, text in as_files(Day(tuple(arrivals), tuple(agents), config()), {}).items():
        (folder / name).write_text(text)
    files = Files(folder / "arrivals.jsonl", folder / "agents.json", folder / "config.json")
    return Question(((0, files),), "fifo_longest_idle", measure, target)


@pytest.mark.parametrize("present", [1, 2, 6])
def test_as_many_agents_as_the_work_needs(tmp_path: Path, present: int) -> None:
    """A contact a minute that takes 170 s: two agents fall behind, three do not."""
    arrivals = [arrival(number * 60, 170) for number in range(120)]
    asked = question(tmp_path, arrivals, [agent(f"a{number}") for number in range(present)], "sl", 0.99)
    found = {each.agents: each.found.mean for each in how_many(asked)}
    assert found[3] == 1.0
    assert found[2] < 0.9
    assert min(agents for agents, mean in found.items() if mean >= 0.99) == 3


def test_a_target_that_no_number_of_such_agents_reaches(tmp_path: Path) -> None:
    arrivals = [arrival(number * 60, 10, language="fr" if number % 2 else "en") for number in range(20)]
    found = how_many(question(tmp_path, arrivals, [agent(), agent("bea")], "sl", 0.9))
    assert all(each.found.mean == 0.5 for each in found)
    assert found[-1].agents > 2


def test_the_language_that_nobody_speaks_is_taught_to_who_has_time(tmp_path: Path) -> None:
    arrivals = [arrival(number * 60, 50, language="fr" if number % 10 == 0 else "en") for number in range(100)]
    busy, idle = agent("busy"), agent("idle", languages={"de": 1.0})
    [taught] = whom_to_teach(question(tmp_path, arrivals, [busy, idle], "worst_lang", 0.9), most=3)
    assert taught.lesson == Lesson("idle", "fr")
    assert (taught.gain.mean, taught.found.mean) == (1.0, 1.0)


def test_nothing_is_taught_where_the_target_is_reached(tmp_path: Path) -> None:
    assert whom_to_teach(question(tmp_path, [arrival(0)], [agent()], "sl", 0.9), most=3) == []


def test_another_size_keeps_the_mix() -> None:
    day = generate("nominal", 1, agents=100, load=0.01)
    before = Counter(first_language(each) for each in day.agents)
    for size in (50, 150, 230):
        roster = resized(day, size)
        assert len({each.id for each in roster}) == len(roster) == size
        after = Counter(first_language(each) for each in roster)
        assert all(abs(after[code] - count * size / 100) <= 1 + size / 100 for code, count in before.items())
    assert resized(day, 100) == day.agents


def test_a_lesson_changes_nobody_else() -> None:
    ana, bea = agent("ana"), agent("bea")
    taught = with_lessons([ana, bea], [Lesson("bea", "fr"), Lesson("bea", "de")], 0.8)
    assert taught == (ana, replace(bea, languages={"en": 1.0, "fr": 0.8, "de": 0.8}))
