"""Names in a scenario that nothing in it has: a misspelt one would make a rule or an expectation say nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from services.router.api.policy_errors import ASKS_NOBODY
from services.router.scenarios import timeline
from services.router.scenarios.expectation import Expectation
from services.router.scenarios.setup import MemberSetup, QueueSetup, Setup

Place = tuple[int | str, ...]
"""From the scenario on: `("expect", 2, "agent")`."""
Fault = tuple[Place, str]
"""Where, and what is wrong there."""

GENERAL = "general"
"""The queue of a setup that names none."""


@dataclass(frozen=True, slots=True)
class Names:
    """What can be named at a moment. `to_come`: by kind, what is named only later."""

    known: dict[str, set[str]]
    to_come: dict[str, set[str]] = field(default_factory=dict)

    def faults(self, what: str, names: Iterable[tuple[Place, str | None]]) -> Iterator[Fault]:
        """Of these names (None: nothing is named) those that nothing of the kind `what` has, or has yet."""
        known = self.known[what]
        for place, name in names:
            if name is None or name in known:
                continue
            if name in self.to_come.get(what, ()):
                yield place, f"there is no {what} {name!r} yet"
            else:
                yield place, f"there is no {what} {name!r} {_nearest(name, known | self.to_come.get(what, set()))}"


def unknown_names(setup: Setup, actions: list[timeline.Action], expect: list[Expectation]) -> Iterator[Fault]:
    """Every name in a scenario that nothing has, or that is used before it is there."""
    rules = setup.policy
    queues = rules.queues if rules is not None else setup.queues
    flows = rules.flows if rules is not None else setup.workflows
    known = {
        "agent": {agent.name for agent in setup.agents},
        "queue": {queue.name for queue in queues} or {GENERAL},
        "flow": {flow.name for flow in flows},
        "contact": {name for agent in setup.agents for load in agent.load for name in load.ids},
        "message": set(),
        "ref": set(),
    }
    yield from _in_setup(setup, Names(known))
    later = {kind: {name for action in actions if (name := _new(action, kind))} for kind in _BEGUN}
    moments = sorted(enumerate(actions), key=lambda each: each[1].at)
    waiting = sorted(enumerate(expect), key=lambda each: each[1].at)
    names = Names(known, later)
    for number, action in moments:
        while waiting and waiting[0][1].at < action.at:
            yield from _in_expectation(*waiting.pop(0), names)
        yield from _in_action(number, action, names)
        for kind in _BEGUN:
            if name := _new(action, kind):
                known[kind].add(name)
    for number, wanted in waiting:
        yield from _in_expectation(number, wanted, names)


_BEGUN = ("contact", "message", "ref")
"""What the timeline gives names to."""


def _new(action: timeline.Action, kind: str) -> str | None:
    """What an action gives a name of this kind to."""
    if kind == "ref":
        return action.ref
    made = {"contact": timeline.Arrive, "message": timeline.Send}[kind]
    return action.id if isinstance(action, (timeline.Arrive, timeline.Send)) and isinstance(action, made) else None


def _in_setup(setup: Setup, names: Names) -> Iterator[Fault]:
    yield from _twice("agent", ((("setup", "agents", n, "name"), agent.name) for n, agent in enumerate(setup.agents)))
    yield from _twice(
        "contact",
        (
            each
            for number, agent in enumerate(setup.agents)
            for index, load in enumerate(agent.load)
            for each in _each(("setup", "agents", number, "load", index, "ids"), load.ids)
        ),
    )
    for number, agent in enumerate(setup.agents):
        at: Place = ("setup", "agents", number)
        members = [member.queue if isinstance(member, MemberSetup) else member for member in agent.queues]
        yield from names.faults("queue", [((*at, "queues", index), name) for index, name in enumerate(members)])
        yield from names.faults(
            "queue", [((*at, "load", index, "queue"), load.queue) for index, load in enumerate(agent.load)]
        )
        if isinstance(agent.last_assigned_s, dict):
            yield from names.faults("queue", [((*at, "last_assigned_s", name), name) for name in agent.last_assigned_s])
    for number, queue in enumerate(setup.queues):
        yield from _in_queue(("setup", "queues", number), queue, names)
    yield from names.faults(
        "queue", [(("setup", "waits", n, "queue"), seen.queue) for n, seen in enumerate(setup.waits)]
    )
    for number, flow in enumerate(setup.workflows):
        way: Place = ("setup", "workflows", number)
        yield from names.faults("queue", [((*way, "default_queue"), flow.default_queue)])
        for index, each in enumerate(flow.filters):
            for place, step in enumerate(each.steps):
                station: Place = (*way, "filters", index, "steps", place)
                yield from names.faults("queue", [((*station, "queue"), step.queue)])
                if isinstance(step.only_agents, list):
                    yield from _only((*station, "only_agents"), step.only_agents)


def _in_queue(at: Place, queue: QueueSetup, names: Names) -> Iterator[Fault]:
    for number, step in enumerate(queue.steps):
        if step.only_agents is not None:
            place: Place = (*at, "steps", number, "only_agents")
            yield from _only(place, step.only_agents)
        yield from names.faults("queue", [((*at, "steps", number, "move_to"), step.move_to)])
    yield from names.faults(
        "queue", [((*at, "overflow", number, "queue"), each.queue) for number, each in enumerate(queue.overflow)]
    )


def _in_action(number: int, action: timeline.Action, names: Names) -> Iterator[Fault]:
    at: Place = ("timeline", number)
    for what, keys in _ACTIONS.items():
        for key in keys:
            named = getattr(action, key, None)
            if isinstance(named, list):
                yield from names.faults(what, _each((*at, key), named))
            else:
                yield from names.faults(what, [((*at, key), named)])


_ACTIONS: Mapping[str, Collection[str]] = {
    "agent": ("agent", "to_agent", "colleague"),
    "queue": ("queue", "to_queue"),
    "contact": ("contact",),
    "message": ("message",),
    "flow": ("workflow",),
}


def _in_expectation(number: int, wanted: Expectation, names: Names) -> Iterator[Fault]:
    at: Place = ("expect", number)
    yield from names.faults("ref", [((*at, "op"), wanted.op)])
    yield from names.faults("contact", [((*at, "contact"), wanted.contact)])
    yield from names.faults("contact", _each((*at, "consulting"), wanted.consulting or ()))
    yield from names.faults("message", [((*at, "message"), wanted.message)])
    yield from names.faults("queue", [((*at, "queue"), wanted.queue)])
    yield from names.faults("agent", [((*at, "agent"), wanted.agent), ((*at, "assigned_to"), wanted.assigned_to)])
    for key in ("offered_to", "not_offered_to", "consulted"):
        yield from names.faults("agent", _each((*at, key), getattr(wanted, key) or ()))


def _each(at: Place, names: Iterable[Any]) -> Iterator[tuple[Place, str]]:
    return (((*at, index), name) for index, name in enumerate(names))


def _only(at: Place, agents: Collection[str]) -> Iterator[Fault]:
    if not agents:
        yield at, ASKS_NOBODY


def _twice(what: str, names: Iterable[tuple[Place, str]]) -> Iterator[Fault]:
    seen: set[str] = set()
    for place, name in names:
        if name in seen:
            yield place, f"{what} {name!r} is there twice"
        seen.add(name)


def _nearest(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, sorted(known), n=1, cutoff=0)
    return f"(the nearest name is {near[0]!r})" if near else "(there is none)"
