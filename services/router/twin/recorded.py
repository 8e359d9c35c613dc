"""A day that really was, out of the journal: who wrote when, who was there when, and how much work it was.

How much work a contact was follows from how long its agent held it, what else they held meanwhile and how well they
speak its language, by the same physics that the twin plays with. How long a customer who was answered would have gone
on waiting, nobody knows: it is drawn from those who left, as if patience had no memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from services.router.chain import Entry
from services.router.engine.channel_transfer import RULE as TRANSFER
from services.router.engine.policy import spoken
from services.router.engine.records import UNIT
from services.router.twin.day import EMAIL, Agent, Arrival, Config, Day, UnreadableDay
from services.router.twin.dice import dice
from services.router.twin.physics import Desk
from services.router.twin.play import Case, Played, proficiency
from services.router.twin.policies import FINE, VALUES, fine_level
from shared.contracts import events as ev
from shared.vocabulary import Presence

DAY_MS: Final = 86_400_000
SLOWDOWN: Final = {1: 1.0, 2: 1.25, 3: 1.55}
_MUCH: Final = 1e7
_TARGETS: Final = {"chat": 60.0, EMAIL: 14_400.0}
_TARGET: Final = 300.0
"""Of channels that no queue of the policy names a target for."""
_ROOM: Final = 5.0
"""Units of agents without a total."""
_PROFILE: Final = (
    "queues",
    "capacity_per_channel",
    "memberships",
    "max_contacts",
    "while_on",
    "wrap_up",
    "reject_pause",
    "attributes",
)


@dataclass(slots=True)
class _Person:
    """What the journal tells of an agent. `since`: from when on they have been there; `shifts`: when they were."""

    profile: ev.AgentProfileSet
    presence: str = Presence.OFFLINE.value
    reachable: bool = False
    since: int | None = None
    shifts: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class _Request:
    """What the journal tells of a contact: `work` in seconds, as far as it was done."""

    created: ev.ContactCreated
    at: int
    channel: str
    language: str
    answered: int | None = None
    left: int | None = None
    agent: str | None = None
    over: bool = False
    work: float = 0.0


@dataclass(frozen=True, slots=True)
class Recorded:
    """A day of a workspace: to be played, as it was, the policy that ruled at its end, and when it began (ms)."""

    day: Day
    as_it_was: Played
    policy: Mapping[str, Any]
    begins: int


class Book:
    """Reads a workspace's entries one after the other, from the journal's first on."""

    def __init__(self, workspace: str, begins: int, slowdown: Mapping[int, float] | None = None) -> None:
        """`begins`: the beginning of the day (ms since the epoch), which lasts 24 hours."""
        self._workspace = workspace
        self._begins = begins
        self._slowdown = dict(slowdown or SLOWDOWN)
        self._people: dict[str, _Person] = {}
        self._requests: dict[str, _Request] = {}
        self._desks: dict[str, Desk] = {}
        self._numbers: dict[str, int] = {}
        self._policy: Mapping[str, Any] | None = None

    def read(self, entry: Entry) -> None:
        """Take in one entry; those after the day tell nothing of it."""
        if entry.at >= self._begins + DAY_MS:
            return
        for decision in entry.decisions:
            if decision.workspace == self._workspace:
                for event in decision.events:
                    self._take(event, entry.at)

    def _take(self, event: ev.Event, at: int) -> None:
        match event:
            case ev.PolicyAdopted():
                self._policy = event.policy
            case ev.AgentProfileSet():
                self._profile(event)
            case ev.AgentPresenceChanged(queue=None):
                self._people[event.agent].presence = event.presence
                self._follow(event.agent, at)
            case ev.AgentLost() | ev.AgentRegained():
                self._people[event.agent].reachable = isinstance(event, ev.AgentRegained)
                self._follow(event.agent, at)
            case ev.ContactCreated():
                # Times before the day belong to a day before; what is held from then on still slows its agent down.
                self._requests[event.contact] = _Request(event, event.age_from, event.channel, event.language)
            case ev.MessageReceived(language=str()):
                self._requests[event.contact].language = event.language or ""
            case ev.ContactRedirected(rule=rule) if rule != TRANSFER:
                # Who was answered already came by the channel that they waited on.
                self._requests[event.contact].channel = event.channel
            case ev.OfferAccepted() | ev.ContactAssigned():
                self._held(event.contact, event.agent, at)
            case ev.ContactActivity():
                self._active(event, at)
            case ev.ContactCompleted() | ev.ContactRequeued():
                self._put_away(event.contact, at)
                self._requests[event.contact].over = isinstance(event, ev.ContactCompleted)
            case ev.ContactAbandoned() | ev.ContactCancelled():
                self._ended(event.contact, at)

    def _profile(self, event: ev.AgentProfileSet) -> None:
        known = self._people.get(event.agent)
        if known is None:
            self._people[event.agent] = _Person(event)
        else:
            known.profile = event

    def _follow(self, agent: str, at: int) -> None:
        """Note from when to when somebody is there to take work."""
        person = self._people[agent]
        there = person.reachable and person.presence == Presence.AVAILABLE.value
        desk = self._desk(agent)
        desk.pass_to(self._within(at))
        desk.on_shift = there and at >= self._begins
        if there and person.since is None:
            person.since = at
        elif not there and person.since is not None:
            self._shift(person, at)

    def _shift(self, person: _Person, until: int) -> None:
        begin = self._within(person.since or 0)
        if self._within(until) > begin:
            person.shifts.append((begin, self._within(until)))
        person.since = None

    def _within(self, at: int) -> int:
        """A time as ms of the day, between its beginning and its end."""
        return min(max(0, at - self._begins), DAY_MS)

    def _desk(self, agent: str) -> Desk:
        if agent not in self._desks:
            self._desks[agent] = Desk(_longer(self._slowdown))
        return self._desks[agent]

    # Contacts

    def _held(self, contact: str, agent: str, at: int) -> None:
        request = self._requests[contact]
        self._put_away(contact, at)
        if request.answered is None:
            request.answered = at
        request.agent = agent
        self._take_up(contact, at)

    def _take_up(self, contact: str, at: int) -> None:
        request = self._requests[contact]
        person = self._people[request.agent or ""]
        number = self._numbers.setdefault(contact, len(self._numbers))
        weight = person.profile.capacity_weights.get(request.channel, UNIT) / UNIT
        pace = _pace(person.profile.languages, request.language)
        desk = self._desk(request.agent or "")
        person_there = person.since is not None
        desk.pass_to(self._within(at))
        desk.on_shift = person_there and at >= self._begins
        desk.take(number, _MUCH, pace, weight, self._within(at))

    def _put_away(self, contact: str, at: int) -> None:
        request = self._requests[contact]
        number = self._numbers.get(contact)
        if request.agent is not None and number is not None and self._desk(request.agent).holds(number):
            request.work += _MUCH - self._desk(request.agent).put_away(number, self._within(at))

    def _active(self, event: ev.ContactActivity, at: int) -> None:
        """A contact whose customer is silent is nobody's work."""
        if event.active:
            self._take_up(event.contact, at)
        else:
            self._put_away(event.contact, at)

    def _ended(self, contact: str, at: int) -> None:
        request = self._requests[contact]
        self._put_away(contact, at)
        request.over = True
        if request.answered is None:
            request.left = at

    # The day

    def close(self) -> Recorded:
        """The day as far as the journal tells it. Raises `UnreadableDay` if that is nothing."""
        if self._policy is None:
            raise UnreadableDay(f"the journal tells of no policy of a workspace {self._workspace!r}")
        end = self._begins + DAY_MS
        for contact in self._requests:
            self._put_away(contact, end)
        for agent, person in self._people.items():
            self._desk(agent).pass_to(DAY_MS)
            if person.since is not None:
                self._shift(person, end)
        requests = [each for each in self._requests.values() if self._begins <= each.at < end]
        agents = tuple(_agent(name, person) for name, person in self._people.items() if person.shifts)
        if not requests or not agents:
            raise UnreadableDay(f"that day brought {len(requests)} contacts and {len(agents)} agents: nothing to play")
        config = self._config(requests)
        patience = _mean_patience(requests)
        arrivals = tuple(
            self._arrival(each, patience) for each in sorted(requests, key=lambda r: (r.at, r.created.contact))
        )
        day = Day(arrivals, agents, config)
        return Recorded(day, self._as_it_was(day, requests), self._policy, self._begins)

    def _config(self, requests: Iterable[_Request]) -> Config:
        kinds = {each.channel for each in requests}
        targets: dict[str, float] = {}
        for queue in (self._policy or {}).get("queues", ()):
            for kind, seconds in queue["target_s"].items():
                targets.setdefault(kind, float(seconds))
        weights = {kind: max((_weight(p, kind) for p in self._people.values()), default=1.0) for kind in kinds}
        return Config(
            weight=weights,
            slowdown=dict(enumerate(_longer(self._slowdown), start=1)),
            sl_target_s={kind: targets.get(kind, _TARGETS.get(kind, _TARGET)) for kind in kinds},
            drain_until_s=DAY_MS / 1000,
            begins_s=self._begins % DAY_MS / 1000,
        )

    def _arrival(self, request: _Request, patience: Mapping[str, float | None]) -> Arrival:
        created = request.created
        if request.left is not None:
            stays: int | None = request.left - request.at
        else:
            waited = (request.answered or self._begins + DAY_MS) - request.at
            mean = patience[request.channel]
            stays = None if mean is None else waited + round(dice("patience", created.contact).expovariate(1 / mean))
        return Arrival(
            id=created.contact,
            at=request.at - self._begins,
            channel=request.channel,
            language=request.language,
            work=max(1.0, request.work),
            patience=stays,
            priority=created.priority,
            queue=created.queue,
            skills={skill: FINE[level] for skill, level in created.skills.items()},
        )

    def _as_it_was(self, day: Day, requests: Iterable[_Request]) -> Played:
        known = {str(each.created.contact): each for each in requests}
        cases = []
        for arrival in day.arrivals:
            request = known[arrival.id]
            case = Case(arrival, request.channel, agent=request.agent)
            case.answered = None if request.answered is None else request.answered - self._begins
            case.left = None if request.left is None else request.left - self._begins
            cases.append(case)
        return Played(
            day=day,
            cases=cases,
            busy={agent.id: self._desk(agent.id).busy for agent in day.agents},
            loaded={agent.id: self._desk(agent.id).loaded for agent in day.agents},
            cpu_s=0.0,
        )


def _longer(slowdown: Mapping[int, float]) -> list[float]:
    """By the number at once; beyond what is told, each more slows down as the last one told did."""
    told = [slowdown[k] for k in sorted(slowdown)]
    step = told[-1] - told[-2] if len(told) > 1 else 0.0
    return [*told, *(told[-1] + step * more for more in range(1, 100))]


def _pace(languages: Mapping[str, int], language: str) -> float:
    return proficiency(_values(languages), language)


def _values(languages: Mapping[str, int]) -> dict[str, float]:
    return {code: VALUES[level] for code, level in spoken(languages).items()}


def _weight(person: _Person, kind: str) -> float:
    return person.profile.capacity_weights.get(kind, UNIT) / UNIT


def _agent(name: str, person: _Person) -> Agent:
    profile = person.profile
    total = profile.capacity_total
    return Agent(
        id=name,
        languages=_values(profile.languages),
        channels=tuple(profile.channels),
        capacity=_ROOM if total is None else total / UNIT,
        shifts=tuple(person.shifts),
        skills={skill: fine_level(VALUES[level]) for skill, level in profile.skills.items()},
        profile={key: getattr(profile, key) for key in _PROFILE},
    )


def _mean_patience(requests: Iterable[_Request]) -> dict[str, float | None]:
    """By channel, ms: all that was waited there, over how many left. None where nobody left."""
    waited: dict[str, int] = {}
    left: dict[str, int] = {}
    for each in requests:
        until = next((at for at in (each.answered, each.left) if at is not None), each.at)
        waited[each.channel] = waited.get(each.channel, 0) + until - each.at
        left[each.channel] = left.get(each.channel, 0) + (each.left is not None)
    return {kind: max(1.0, waited[kind] / left[kind]) if left[kind] else None for kind in waited}
