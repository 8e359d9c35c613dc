"""A day played through the production engine: the people around it, on a virtual clock.

Customers arrive, leave when their patience is over, and are moved when a channel is down; agents come and go, take what
they are given at once and work on it as `physics.py` says. Who gets what, the engine decides, with the commands that a
real day would bring it.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from services.router.engine.engine import Decided, Engine
from services.router.engine.records import UNIT
from services.router.twin.day import Agent, Arrival, Day, UnreadableDay
from services.router.twin.dice import dice
from services.router.twin.physics import Desk
from services.router.twin.policies import accounts_of, fine_level
from shared import collector
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.contracts.opening import with_opening
from shared.vocabulary import UNKNOWN_LANGUAGE, AddressKey, AgentId, ChannelHealth, ContactId, Presence, Role, ThreadKey

WORKSPACE: Final = "twin"
MIDNIGHT: Final = 1_767_571_200_000
"""Of Monday, 5 January 2026, in UTC: the day that is played."""
OPERATOR: Final = cmd.Actor(role=Role.OPERATOR, id="twin")
SETTLED_EVERY: Final = 100
"""Commands that are made firm together, as an entry of the journal does."""

_REACTED_TO: Final = frozenset({ev.OfferAccepted, ev.ContactRedirected, ev.ContactCancelled})

# What happens at one instant happens in this order.
_BEGIN, _DONE, _HEALTH, _ARRIVE, _LEAVE, _END = range(6)


@dataclass(frozen=True, slots=True)
class Outage:
    """A channel that is down from `begin` to `end` (ms from the beginning of the day)."""

    channel: str
    begin: int
    end: int


@dataclass(slots=True)
class Case:
    """What became of one arrival: on which channel, answered when and by whom and done when, or left when. Times in ms
    from the beginning of the day; neither answered nor left: it waited when the day was over, or a rule ended it."""

    arrival: Arrival
    channel: str
    answered: int | None = None
    left: int | None = None
    agent: str | None = None
    done: int | None = None
    cancelled: bool = False
    contact: ContactId | None = field(default=None, repr=False)

    @property
    def waits(self) -> bool:
        return self.answered is None and self.left is None and not self.cancelled


@dataclass(slots=True)
class Played:
    """What became of a day: of every arrival, in order, and of every agent. `cpu_s` is what it took to play it."""

    day: Day
    cases: list[Case]
    busy: dict[str, int]
    """By agent, ms on shift with something in hand."""
    loaded: dict[str, float]
    """By agent, the same times the capacity in use."""
    cpu_s: float


def play(
    day: Day, document: dict[str, Any], *, outages: Sequence[Outage] = (), seed: int = 0, begins: int | None = None
) -> Played:
    """Play the day under a policy (a document on the fine scale, see `policies.py`). The same arguments give the same
    result. `seed`: of what is not in the day, which is how customers stand to the channel that a fallback takes them
    to. `begins`: when the day begins (ms since the epoch), if not on the Monday that the twin plays otherwise. Raises
    `UnreadableDay` if the engine refuses policy or agents."""
    started = time.process_time()
    if begins is None:
        begins = MIDNIGHT + round(day.config.begins_s * 1000)
    with collector.paused():
        centre = _Centre(day, document, outages, seed, begins)
        centre.run()
    return Played(
        day=day,
        cases=centre.cases,
        busy={agent: desk.busy for agent, desk in centre.desks.items()},
        loaded={agent: desk.loaded for agent, desk in centre.desks.items()},
        cpu_s=time.process_time() - started,
    )


class _Centre:
    """The engine and the people around it."""

    def __init__(self, day: Day, document: dict[str, Any], outages: Sequence[Outage], seed: int, begins: int) -> None:
        self.day = day
        self.engine = Engine()
        self.cases = [Case(arrival, arrival.channel) for arrival in day.arrivals]
        slowdown = [day.config.slowdown[k] for k in sorted(day.config.slowdown)]
        self.desks = {agent.id: Desk(slowdown) for agent in day.agents}
        self._agents = {agent.id: agent for agent in day.agents}
        self._accounts = accounts_of(document)
        self._outages = outages
        self._seed = seed
        self._base = begins
        self._number = 0
        self._unsettled = 0
        self._cases_by_contact: dict[ContactId, int] = {}
        self._planned: list[tuple[int, int, int, Any]] = []
        """What happens whatever becomes of it, the last first."""
        self._heap: list[tuple[int, int, int, Any]] = []
        """What comes of what happened."""
        self._order = 0
        self._now = 0
        self._set_up(document)
        self._plan()

    # Before the day

    def _set_up(self, document: dict[str, Any]) -> None:
        self._require(cmd.CreateWorkspace(name=WORKSPACE), "workspace")
        self._require(cmd.AdoptPolicy(policy=with_opening(document, self._base)), "policy")
        weights = {kind: round(weight * UNIT) for kind, weight in self.day.config.weight.items()}
        for number, agent in enumerate(self.day.agents, start=1):
            self._require(
                cmd.PutAgent(
                    agent=AgentId(agent.id),
                    name=agent.id,
                    languages={code: fine_level(value) for code, value in agent.languages.items()},
                    skills=agent.skills,
                    channels=agent.channels,
                    capacity_total=round(agent.capacity * UNIT),
                    capacity_weights=weights,
                    position=number,
                    **agent.profile,
                ),
                f"agent {agent.id!r}",
            )

    def _require(self, command: cmd.Command, what: str) -> None:
        answer = self._do(command).answer
        if answer is not None and answer.refused is not None:
            raise UnreadableDay(f"{what}: {answer.refused[1]}")

    def _plan(self) -> None:
        for number, arrival in enumerate(self.day.arrivals):
            self._at(arrival.at, _ARRIVE, number)
        for agent in self.day.agents:
            for begin, end in agent.shifts:
                self._at(begin, _BEGIN, agent)
                self._at(end, _END, agent)
        for outage in self._outages:
            self._at(outage.begin, _HEALTH, (outage.channel, ChannelHealth.DOWN))
            self._at(outage.end, _HEALTH, (outage.channel, ChannelHealth.HEALTHY))
        self._planned, self._heap = sorted(self._heap, reverse=True), []

    def _at(self, when: int, what: int, about: Any) -> None:
        self._order += 1
        heapq.heappush(self._heap, (when, what, self._order, about))

    # The day

    def run(self) -> None:
        """Everything up to the end of the day."""
        planned, heap, end = self._planned, self._heap, self.day.end
        while planned or heap:
            first = not heap or (bool(planned) and planned[-1] < heap[0])
            when, what, _, about = planned.pop() if first else heapq.heappop(heap)
            if when > end:
                break
            self._pass_to(when)
            self._happens(what, about)
        self._pass_to(end)
        for desk in self.desks.values():
            desk.pass_to(end)

    def _happens(self, what: int, about: Any) -> None:
        if what == _ARRIVE:
            self._arrives(about)
        elif what == _DONE:
            self._is_done(*about)
        elif what == _LEAVE:
            self._leaves(*about)
        elif what == _BEGIN:
            self._comes(about)
        elif what == _END:
            self._goes(about)
        else:
            channel, state = about
            report = cmd.ReportChannelHealth(channel=channel, account=self._accounts[channel], state=state)
            self._then(self._do(report))

    def _pass_to(self, when: int) -> None:
        """Let every timer of the engine fire that is due up to then."""
        engine = self.engine
        while (due := engine.next_due()) is not None and due - self._base <= when:
            self._now = max(self._now, due - self._base)
            self._tick()
        self._now = when

    def _tick(self) -> None:
        now = self._base + self._now
        while self.engine.due(now):
            self._number += 1
            decided = self.engine.tick(now, self._number, 0)
            if decided is not None:
                self._then(decided)
            self._settle()

    def _do(self, command: cmd.Command, actor: cmd.Actor = OPERATOR) -> Decided:
        now = self._base + self._now
        if self.engine.due(now):
            self._tick()
        self._number += 1
        record = cmd.Input(id=f"c{self._number}", workspace=WORKSPACE, actor=actor, received_at=now, command=command)
        decided = self.engine.apply(record, now, self._number)
        self._settle()
        return decided

    def _settle(self) -> None:
        self._unsettled += 1
        if self._unsettled >= SETTLED_EVERY:
            self._unsettled = 0
            self.engine.settle(self._base + self._now, (0, 0))

    def _then(self, decided: Decided) -> None:
        """What people do about a decision."""
        changed: dict[str, None] = {}
        for event in decided.events:
            if type(event) not in _REACTED_TO:
                continue
            if isinstance(event, ev.OfferAccepted):
                self._begins(event, changed)
            elif isinstance(event, ev.ContactRedirected):
                self._is_moved(event)
            elif isinstance(event, ev.ContactCancelled):
                self.cases[self._cases_by_contact[event.contact]].cancelled = True
        for agent in changed:
            self._expect(agent)
        if self.engine.unfinished:
            # What was too much for one decision goes on at once, not with the next thing that happens.
            self._tick()

    # Customers

    def _arrives(self, number: int) -> None:
        arrival = self.cases[number].arrival
        decided = self._do(self._asking(number, arrival) if self._outages else self._created(arrival))
        answer = decided.answer
        assert answer is not None, "every command has an answer"
        if answer.refused is not None:
            raise UnreadableDay(f"arrival {arrival.id!r}: {answer.refused[1]}")
        contact = ContactId(answer.subject or "")
        self.cases[number].contact = contact
        self._cases_by_contact[contact] = number
        self._then(decided)
        if self.cases[number].channel == arrival.channel:
            self._is_patient(number, arrival.patience)

    def _created(self, arrival: Arrival) -> cmd.Command:
        return cmd.CreateContact(
            source_key=arrival.id,
            channel=arrival.channel,
            account=self._accounts[arrival.channel],
            language=arrival.language,
            queue=arrival.queue,
            skills=arrival.skills,
            priority=arrival.priority,
        )

    def _asking(self, number: int, arrival: Arrival) -> cmd.Command:
        """The same as a message, which tells where else the customer can be reached."""
        reach = tuple(
            cmd.Reach(
                channel=kind,
                account=self._accounts[kind],
                key=AddressKey(f"a-{number}-{kind}"),
                verified=True,
                consent=True,
            )
            for kind, share in sorted(self.day.config.reach.items())
            if kind in self._accounts and self._dice(arrival, f"reach {kind}") < share
        )
        return cmd.ReceiveMessage(
            source_key=arrival.id,
            channel=arrival.channel,
            account=self._accounts[arrival.channel],
            thread=ThreadKey(f"t-{number}"),
            sender=AddressKey(f"a-{number}"),
            content_ref=f"m:{number}",
            language=arrival.language,
            queue=arrival.queue,
            skills=arrival.skills,
            priority=arrival.priority,
            reach=reach,
        )

    def _dice(self, arrival: Arrival, what: str) -> float:
        """The same for the same arrival whatever the policy, so that policies meet the same customers."""
        return dice(self._seed, arrival.id, what).random()

    def _is_patient(self, number: int, patience: int | None) -> None:
        case = self.cases[number]
        if patience is not None and case.waits:
            self._at(max(self._now, case.arrival.at + patience), _LEAVE, (number, case.channel))

    def _leaves(self, number: int, channel: str) -> None:
        case = self.cases[number]
        if not case.waits or case.channel != channel or case.contact is None:
            return
        self._do(cmd.AbandonContact(contact=case.contact))
        case.left = self._now

    def _is_moved(self, event: ev.ContactRedirected) -> None:
        """A customer who is moved has the patience that people have on the new channel, counted from their arrival."""
        number = self._cases_by_contact[event.contact]
        case = self.cases[number]
        case.channel = event.channel
        mean = self.day.config.mean_patience_s.get(event.channel)
        if mean is not None:
            u = self._dice(case.arrival, f"patience {event.channel}")
            self._is_patient(number, round(-math.log(1.0 - u) * mean * 1000))

    # Agents

    def _comes(self, agent: Agent) -> None:
        desk = self.desks[agent.id]
        desk.pass_to(self._now)
        desk.on_shift = True
        self._declares(agent, Presence.AVAILABLE)

    def _goes(self, agent: Agent) -> None:
        """Takes nothing more and finishes what is in hand."""
        desk = self.desks[agent.id]
        desk.pass_to(self._now)
        desk.on_shift = False
        self._declares(agent, Presence.OFFLINE)

    def _declares(self, agent: Agent, presence: Presence) -> None:
        command = cmd.SetPresence(agent=AgentId(agent.id), presence=presence.value)
        self._then(self._do(command, cmd.Actor(role=Role.AGENT, id=agent.id)))

    def _begins(self, event: ev.OfferAccepted, changed: dict[str, None]) -> None:
        number = self._cases_by_contact[event.contact]
        case = self.cases[number]
        agent = self._agents[event.agent]
        case.answered = self._now
        case.agent = agent.id
        weight = self.day.config.weight[case.channel]
        pace = proficiency(agent.languages, case.arrival.language)
        self.desks[agent.id].take(number, case.arrival.work, pace, weight, self._now)
        changed[agent.id] = None

    def _is_done(self, agent: str, stamp: int, number: int) -> None:
        desk = self.desks[agent]
        if desk.stamp != stamp:
            return
        desk.put_away(number, self._now)
        case = self.cases[number]
        assert case.contact is not None
        case.done = self._now
        self._then(self._do(cmd.CompleteContact(contact=case.contact)))
        self._expect(agent)

    def _expect(self, agent: str) -> None:
        """Note when the agent will be done with something next."""
        desk = self.desks[agent]
        done = desk.next_done()
        if done is not None:
            self._at(done[0], _DONE, (agent, desk.stamp, done[1]))


def proficiency(languages: Mapping[str, float], language: str) -> float:
    """How fast somebody with these languages is in the contact's. Who does not speak it, and got it all the same, is
    half as fast as anybody could be; where it is not known, everybody is as fast as can be."""
    if language == UNKNOWN_LANGUAGE:
        return 1.0
    return languages.get(language, 0.5)
