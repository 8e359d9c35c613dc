"""`twin staff`: how many agents, and which language to teach to whom, for a target."""

from __future__ import annotations

import argparse
import json
from typing import Any

from services.router.twin.day import UnreadableDay
from services.router.twin.day_options import add_day, heading_of, sources_of
from services.router.twin.interval import Interval
from services.router.twin.report_json import told
from services.router.twin.report_text import made, percent, rendered
from services.router.twin.runs import day_of
from services.router.twin.staff import MEASURES, Question, Taught, Tried, how_many, whom_to_teach

_TOLD = {
    "sl": "answered in time",
    "sl_int": "answered in time, without mail",
    "worst_lang": "answered in time in the worst language",
    "low5_lang": "answered in time in the lowest five languages",
}


def add_to(tools: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and its options."""
    staff = tools.add_parser("staff", help="how many agents, and which language to teach to whom, for a target")
    add_day(staff)
    staff.add_argument("--policy", default="priority_longest_idle", metavar="NAME", help="as for twin")
    staff.add_argument("--target", type=float, required=True, metavar="SHARE", help="what is to be reached: 0.9")
    staff.add_argument("--measure", choices=MEASURES, default="sl_int", help="of what (sl_int: all but mail)")
    staff.add_argument(
        "--teach", type=int, metavar="N", help="in place of how many: up to N lessons for the agents who are there"
    )
    staff.add_argument("--learnt", type=float, default=0.85, help="with --teach: how well a language is learnt (0.85)")
    staff.add_argument("--report", choices=("text", "json"), default="text", help="what to print")
    staff.set_defaults(run=_run)


def _run(chosen: argparse.Namespace) -> str:
    if not 0 < chosen.target <= 1 or not 0 < chosen.learnt <= 1:
        raise UnreadableDay("--target and --learnt: above 0, and 1 at most")
    sources = tuple(sources_of(chosen))
    question = Question(sources, chosen.policy, chosen.measure, chosen.target, chosen.learnt, chosen.jobs)
    if chosen.teach is None:
        tried = how_many(question)
        return _as_json_sizes(question, tried) if chosen.report == "json" else _sizes(chosen, question, tried)
    if chosen.teach < 1:
        raise UnreadableDay("--teach: at least one lesson")
    taught = whom_to_teach(question, most=chosen.teach)
    return _as_json_lessons(question, taught) if chosen.report == "json" else _lessons(chosen, question, taught)


def _answer(question: Question, tried: list[Tried]) -> int | None:
    """The smallest size that reached the target."""
    return min((each.agents for each in tried if each.found.mean >= question.target), default=None)


def _as_json_sizes(question: Question, tried: list[Tried]) -> str:
    report: dict[str, Any] = {
        "measure": question.measure,
        "target": question.target,
        "agents": _answer(question, tried),
        "tried": [{"agents": each.agents, **told(each.found)} for each in tried],
    }
    return json.dumps(report) + "\n"


def _as_json_lessons(question: Question, taught: list[Taught]) -> str:
    report = {
        "measure": question.measure,
        "target": question.target,
        "reached": _reached(question, taught),
        "taught": [
            {
                "agent": each.lesson.agent,
                "language": each.lesson.language,
                "gain": told(each.gain),
                "reached": told(each.found),
            }
            for each in taught
        ],
    }
    return json.dumps(report) + "\n"


def _reached(question: Question, taught: list[Taught]) -> bool:
    return bool(taught) and taught[-1].found.mean >= question.target


def _sizes(chosen: argparse.Namespace, question: Question, tried: list[Tried]) -> str:
    answer = _answer(question, tried)
    present = len(day_of(question.sources[0][1]).agents)
    goal = f"{100 * question.target:g} % {_TOLD[question.measure]}"
    if answer is None:
        first = f"Not with {tried[-1].agents} agents either: {goal}. More of the same do not help."
    else:
        first = f"{answer} agents for {goal}; the day has {present}."
    rows = [(str(each.agents), percent(each.found), _mark(question, each.found)) for each in tried]
    table = made(None, "agents", (f"% {_TOLD[question.measure]}", ""), rows)
    return f"{heading_of(chosen)}, {question.policy}\n{first}\n\n{rendered(table)}"


def _mark(question: Question, found: Interval) -> str:
    return "reaches it" if found.mean >= question.target else ""


def _lessons(chosen: argparse.Namespace, question: Question, taught: list[Taught]) -> str:
    goal = f"{100 * question.target:g} % {_TOLD[question.measure]}"
    if not taught:
        first = f"Nothing to teach: {goal} is reached already, or no lesson that was tried brings it nearer."
    elif _reached(question, taught):
        first = f"With these lessons it comes to {goal}."
    else:
        first = f"These lessons help most, and do not reach {goal}."
    rows = [
        (each.lesson.agent, each.lesson.language, percent(each.gain, signed=True), percent(each.found))
        for each in taught
    ]
    table = made(None, "teach", ("language", "gain, points", f"then % {_TOLD[question.measure]}"), rows)
    return f"{heading_of(chosen)}, {question.policy}\n{first}\n\n{rendered(table) if taught else ''}"
