"""`twin erlang`: the engine beside the closed forms, for one queue with equal agents."""

from __future__ import annotations

import argparse
import json

from services.router.twin.day import UnreadableDay
from services.router.twin.erlang_runs import CONFIDENCE, MEASURES, Centre, simulate
from services.router.twin.report_json import told
from services.router.twin.report_text import made, rendered


def add_to(tools: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and its options."""
    erlang = tools.add_parser(
        "erlang",
        help="play an Erlang model through the engine, beside its closed form",
        description="Rates and target are in one unit of time, whichever: contacts a minute and minutes, say.",
    )
    erlang.add_argument(
        "--model", choices=("a", "b", "c"), required=True, help="b: nobody waits, c: for ever, a: a while"
    )
    erlang.add_argument("--lambda", dest="rate", type=float, required=True, metavar="RATE", help="contacts that arrive")
    erlang.add_argument("--mu", type=float, required=True, metavar="RATE", help="contacts that one agent finishes")
    erlang.add_argument(
        "--theta", type=float, metavar="RATE", help="with model a: how many of the waiting lose patience"
    )
    erlang.add_argument("--agents", type=int, required=True, metavar="N", help="how many")
    erlang.add_argument("--target", type=float, default=0.0, metavar="TIME", help="answer within (0)")
    erlang.add_argument("--contacts", type=int, default=3000, help="measured in each repetition (3000)")
    erlang.add_argument("--repetitions", type=int, default=20, help="independent ones (20)")
    erlang.add_argument("--seed", type=int, default=1, help="another one, other contacts")
    erlang.add_argument("--jobs", type=int, metavar="N", help="so many processes (one for each core)")
    erlang.add_argument("--report", choices=("text", "json"), default="text", help="what to print")
    erlang.set_defaults(run=_run)


_TOLD = {"p_wait": "P(wait)", "asa": "ASA", "sl": "service level", "p_abandon": "P(abandon)"}


def _run(chosen: argparse.Namespace) -> str:
    if (chosen.model == "a") != bool(chosen.theta):
        raise UnreadableDay("--theta: above 0 with model a, and only there")
    if chosen.contacts < 1 or chosen.repetitions < 2 or chosen.target < 0:
        raise UnreadableDay("--contacts from 1, --repetitions from 2 and --target from 0 on")
    centre = Centre(chosen.model, chosen.rate, chosen.mu, chosen.theta or 0.0, chosen.agents, chosen.target)
    expected = centre.expected()
    found = simulate(
        centre, contacts=chosen.contacts, repetitions=chosen.repetitions, seed=chosen.seed, jobs=chosen.jobs
    )
    if chosen.report == "json":
        report = {
            "model": chosen.model,
            "simulated": {name: told(found[name]) for name in MEASURES},
            "expected": {name: getattr(expected, name) for name in MEASURES},
            "inside": {name: found[name].contains(getattr(expected, name)) for name in MEASURES},
        }
        return json.dumps(report) + "\n"
    rows = [
        (
            _TOLD[name],
            f"{found[name].mean:.5g}",
            f"{found[name].low:.5g} … {found[name].high:.5g}",
            f"{getattr(expected, name):.5g}",
            "inside" if found[name].contains(getattr(expected, name)) else "OUTSIDE",
        )
        for name in MEASURES
    ]
    title = (
        f"Erlang {chosen.model.upper()}, {chosen.repetitions} repetitions of {chosen.contacts} contacts through the "
        f"engine, {centre.warm_up} before each to warm up"
    )
    columns = ("simulated", f"{CONFIDENCE:.0%} interval", "closed form", "")
    return f"{title}\n\n{rendered(made(None, '', columns, rows))}"
