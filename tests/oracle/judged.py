"""An engine whose every routing pass is held against the rule, and a centre that plays random worlds on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from services.router.engine.context import Context
from services.router.engine.engine import Decided, Engine
from services.router.engine.records import Agent
from services.router.snapshot import dump, load, state_hash
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.contracts.commands import Command, Membership
from shared.vocabulary import AgentId, ChannelHealth, ContactId, ContactState, OfferId
from tests.builders import ADAPTER, OPERATOR, START, SUPERVISOR, Centre, account_of, acting, policy, presence, queue
from tests.oracle.exhausted import everybody_declined
from tests.oracle.moment import Moment
from tests.oracle.rule import disagreement, left_apart
from tests.oracle.worlds import QUEUES
from tests.simulation.derived import difference


class JudgedEngine(Engine):
    """Raises AssertionError where a routing pass makes other pairs than the rule."""

    def _route(self, ctx: Context, seq: int) -> list[ev.Event]:
        moment = Moment.of(ctx.workspace, ctx.now)
        made = super()._route(ctx, seq)
        pairs = [(str(event.contact), str(event.agent)) for event in made if isinstance(event, ev.OfferMade)]
        wrong = disagreement(moment, pairs)
        assert wrong is None, wrong
        return made

    def tick(self, now: int, seq: int, number: int) -> Decided | None:
        left = self._somebody_left(now)
        decided = super().tick(now, seq, number)
        _judge_exhaustion(left, decided.events if decided is not None else ())
        return decided

    def _follow_dues(self, ctx: Context, seq: int) -> list[ev.Event]:
        left = self._somebody_left(ctx.now)
        made = super()._follow_dues(ctx, seq)
        _judge_exhaustion(left, made)
        return made

    def _somebody_left(self, now: int) -> ContactId | None:
        """The contact of which it may be told next that everybody has declined it, if that is not so."""
        timers = self.world.timers
        if not timers or timers.first()[3] != "exhausted" or timers.first()[0] > now:
            return None
        ws = self.state.workspaces[timers.first()[2]]
        contact = ws.contacts[ContactId(timers.first()[4])]
        return None if everybody_declined(Moment.of(ws, now), contact) else contact.id


def _judge_exhaustion(left: ContactId | None, made: Sequence[ev.Event]) -> None:
    """Raises AssertionError where the first thing that came of it is to tell just that."""
    told = bool(made) and isinstance(made[0], ev.ContactExhausted) and made[0].contact == left
    assert not told, f"somebody is left for {left}"


def document(drawn: dict[str, Any], **each: Any) -> dict[str, Any]:
    """The policy document of drawn options. `open_s` are opening times in seconds of the centre's clock. `each` goes
    into every queue."""
    queues = [
        queue(name, **{**{key: value for key, value in fields.items() if key != "open_s"}, **each})
        for name, fields in zip(QUEUES, drawn["queues"], strict=False)
    ]
    made = policy(queues, presences={"busy": ""}, flows=[_flow(drawn["stations"])], **drawn["rest"])
    for made_queue, fields in zip(made["queues"], drawn["queues"], strict=False):
        if "open_s" in fields:
            made_queue["business_hours"] = {"tz": "UTC", "weekly": {}, "closed_dates": []}
            made_queue["open_ms"] = [[START + begin * 1000, START + end * 1000] for begin, end in fields["open_s"]]
    return made


FLOW = "journey"


def _flow(stations: list[tuple[int, dict[str, Any], int]]) -> dict[str, Any]:
    """A flow for everybody through these stations."""
    steps, age = [], 0
    for number, fields, after in stations:
        age += after
        step = {"priority": None, "only_agents": None, "skip_if_none_available": False, **fields}
        steps.append({**step, "queue": QUEUES[number], "until_age_s": age})
    return {"name": FLOW, "default_queue": QUEUES[0], "filters": [{"match": {}, "steps": steps}]}


@dataclass
class Story:
    """Plays one world and holds the engine, after every step, to what must always be true."""

    world: dict[str, Any]
    told: list[str] = field(default_factory=list)
    written: int = 0

    def __post_init__(self) -> None:
        at_once = self.world["at_once"]
        drawn = self.drawn = self.world["policy"]
        self.queues = QUEUES[: len(drawn["queues"])]
        first = document(drawn, auto_assign=False) if at_once else document(drawn)
        self.centre = Centre(first, checked=False, engine=JudgedEngine())
        if not at_once:
            self._come_in()
        for action in self.world["before"]:
            self.play(action)
        if at_once:
            self._come_in()
            self._do(cmd.AdoptPolicy(policy=document(drawn)))

    def play_all(self) -> None:
        for action in self.world["actions"]:
            self.play(action)

    def play(self, action: tuple[Any, ...]) -> None:
        """One action; it does nothing where there is nothing to act on."""
        verb, *rest = action
        getattr(self, f"_{verb}")(*rest)

    # What must always be true

    def check(self) -> None:
        """After every step: nobody is left apart, indexes equal those made anew, and a snapshot keeps everything."""
        centre = self.centre
        ws, state = centre.ws, centre.engine.state
        assert left_apart(ws, centre.now) == [], "nobody is left apart who could be paired"
        moment = Moment.of(ws, centre.now)
        untold = [c.id for c in ws.contacts.values() if not c.exhausted and everybody_declined(moment, c)]
        assert untold == [], "it is told when everybody has declined"
        assert difference(centre.engine.world) is None
        assert state_hash(load(dump(state))) == state_hash(state), "a snapshot brings every fact back"
        holders: dict[str, list[str]] = {}
        for agent in ws.agents.values():
            assigned = set(agent.held) - {ws.offers[offer].contact for offer in agent.offers}
            for contact_id in assigned:
                holders.setdefault(contact_id, []).append(agent.id)
        for contact in ws.contacts.values():
            assert holders.get(contact.id, []) == ([contact.agent] if contact.state is ContactState.ASSIGNED else [])
            assert len({ws.offers[offer].agent for offer in contact.offers}) == len(contact.offers)
            assert (contact.state is ContactState.OFFERED) == bool(contact.offers)

    def _do(self, command: Command, by: cmd.Actor = OPERATOR) -> None:
        centre = self.centre
        before = len(centre.history)
        self._rehearse(command, by)
        centre.do(command, by=by)
        self._tell(command, before)
        self.check()

    def _rehearse(self, command: Command, by: cmd.Actor) -> None:
        """Decide the command and take it back: that leaves every fact and index as it was."""
        centre = self.centre
        world, state = centre.engine.world, centre.engine.state
        mark, facts = world.mark(), state_hash(state)
        record = cmd.Input(
            id="rehearsal", workspace=centre.workspace, actor=by, received_at=centre.now, command=command, digest=""
        )
        centre.engine.apply(record, centre.now, centre.seq + 1)
        world.rollback(mark)
        assert state_hash(state) == facts, "a rollback brings every fact back"
        left = difference(world)
        assert left is None, left

    def _tell(self, what: object, before: int) -> None:
        at = (self.centre.now - START) / 1000
        made = [
            f"{event.contact}->{event.agent}"
            for played in self.centre.history[before:]
            for decided in played.decided
            for event in decided.events
            if isinstance(event, ev.OfferMade)
        ]
        self.told.append(f"{at:g}s {what}: {', '.join(made) or 'no offer'}")

    # Who acts on what

    def _agent(self, number: int) -> Agent:
        agents = sorted(self.centre.ws.agents.values(), key=lambda agent: agent.id)
        return agents[number % len(agents)]

    def _contact(self, number: int, *states: ContactState) -> ContactId | None:
        found = [c.id for c in self.centre.ws.contacts.values() if c.state in states]
        return sorted(found)[number % len(found)] if found else None

    def _offer(self, number: int) -> OfferId | None:
        found = sorted(offer.id for offer in self.centre.ws.offers.values() if not offer.outcome)
        return found[number % len(found)] if found else None

    def _queue(self, number: int) -> str:
        return self.queues[number % len(self.queues)]

    def _come_in(self) -> None:
        for number, drawn in enumerate(self.world["staff"]):
            put = self._put(f"a{number}", drawn["fields"])
            self._do(put)
            if drawn["presence"] != "offline":
                self._do(presence(put.agent, drawn["presence"]), by=acting(put.agent))

    def _put(self, name: str, fields: dict[str, Any]) -> cmd.PutAgent:
        fields = dict(fields)
        members = {queue: each for queue, each in fields.pop("memberships", {}).items() if queue in self.queues}
        named = tuple(queue for queue in fields.pop("queues", ()) if queue in self.queues)
        memberships = tuple(Membership(queue=queue, **each) for queue, each in sorted(members.items()))
        return cmd.PutAgent(agent=AgentId(name), queues=named, memberships=memberships, **fields)

    # Actions

    def _rest(self) -> None:
        pass

    def _wait(self, seconds: int) -> None:
        before = len(self.centre.history)
        self.centre.wait(seconds)
        self._tell(f"wait {seconds}", before)
        self.check()

    def _write(self, number: int, fields: dict[str, Any]) -> None:
        if self.written >= 8:
            return
        self.written += 1
        kind = fields.get("channel", "chat")
        where = {"queue": self._queue(number)} if number < len(QUEUES) else {"flow": FLOW}
        fields = {**fields, "channel": kind, "account": account_of(kind), **where}
        self._do(cmd.CreateContact(source_key=f"c{self.written}", **fields), by=ADAPTER)

    def _accept(self, number: int) -> None:
        offer = self._offer(number)
        if offer is not None:
            self._do(cmd.AcceptOffer(offer=offer), by=acting(self.centre.ws.offers[offer].agent))

    def _reject(self, number: int, retry_s: int | None) -> None:
        offer = self._offer(number)
        if offer is not None:
            retry = None if retry_s is None else retry_s * 1000
            self._do(cmd.RejectOffer(offer=offer, retry_after=retry), by=acting(self.centre.ws.offers[offer].agent))

    def _on_assigned(self, number: int, make: Any) -> None:
        contact = self._contact(number, ContactState.ASSIGNED)
        if contact is not None:
            agent = self.centre.ws.contacts[contact].agent
            assert agent is not None
            self._do(make(contact), by=acting(agent))

    def _complete(self, number: int) -> None:
        self._on_assigned(number, lambda contact: cmd.CompleteContact(contact=contact))

    def _requeue(self, number: int) -> None:
        self._on_assigned(number, lambda contact: cmd.RequeueContact(contact=contact))

    def _park(self, number: int, active: bool) -> None:
        self._on_assigned(number, lambda contact: cmd.SetContactActive(contact=contact, active=active))

    def _transfer(self, number: int, queue: int, exclude_self: bool, keep_age: bool) -> None:
        def make(contact: ContactId) -> Command:
            return cmd.TransferContact(
                contact=contact, queue=self._queue(queue), exclude_self=exclude_self, keep_age=keep_age
            )

        self._on_assigned(number, make)

    def _on_waiting(self, number: int, make: Any) -> None:
        contact = self._contact(number, ContactState.WAITING, ContactState.OFFERED)
        if contact is not None:
            self._do(make(contact), by=SUPERVISOR)

    def _cancel(self, number: int) -> None:
        self._on_waiting(number, lambda contact: cmd.CancelContact(contact=contact))

    def _prioritise(self, number: int, priority: int) -> None:
        self._on_waiting(number, lambda contact: cmd.PrioritiseContact(contact=contact, priority=priority))

    def _age(self, number: int, add: int) -> None:
        self._on_waiting(number, lambda contact: cmd.AdjustAge(contact=contact, add=add))

    def _assign(self, number: int, who: int) -> None:
        agent = self._agent(who).id
        self._on_waiting(number, lambda contact: cmd.AssignContact(contact=contact, agent=agent))

    def _reopen(self, number: int) -> None:
        contact = self._contact(number, ContactState.COMPLETED, ContactState.CANCELLED)
        if contact is not None:
            self._do(cmd.ReopenContact(contact=contact), by=SUPERVISOR)

    def _presence(self, number: int, is_now: str, leaving: bool) -> None:
        agent = self._agent(number).id
        then = "away" if leaving and is_now == "available" else None
        self._do(presence(agent, is_now, then=then), by=acting(agent))

    def _switch(self, number: int, kind: str, on: bool) -> None:
        agent = self._agent(number)
        self._do(presence(agent.id, agent.presence, channels={kind: on}), by=acting(agent.id))

    def _lease(self, number: int, lost: bool) -> None:
        agent = self._agent(number).id
        self._do(cmd.LoseLease(agent=agent) if lost else cmd.RegainLease(agent=agent))

    def _finish(self, number: int) -> None:
        agent = self._agent(number).id
        self._do(cmd.FinishWrapUp(agent=agent), by=acting(agent))

    def _limit(self, of: str, number: int, most: int | None) -> None:
        agent = self._agent(number).id if of == "agent" else None
        self._do(cmd.SetLimit(most=most, agent=agent, queue=self._queue(number) if of == "queue" else None))

    def _freeze(self, number: int, frozen: bool) -> None:
        self._do(cmd.FreezeQueue(queue=self._queue(number), frozen=frozen), by=SUPERVISOR)

    def _health(self, kind: str, down: bool) -> None:
        state = ChannelHealth.DOWN if down else ChannelHealth.HEALTHY
        report = cmd.ReportChannelHealth(channel=kind, account=account_of(kind), state=state, evidence="probe")
        self._do(report, by=OPERATOR)

    def _adopt(self, drawn: dict[str, Any]) -> None:
        """Another policy over the same queues."""
        queues = (*drawn["queues"], *({} for _ in QUEUES))[: len(self.queues)]
        self.drawn = {**drawn, "queues": queues}
        self._do(cmd.AdoptPolicy(policy=document(self.drawn)))

    def _retune(self, number: int, fields: dict[str, Any]) -> None:
        """The same policy with other options for one queue."""
        queues = [*self.drawn["queues"]]
        at = number % len(queues)
        queues[at] = {**queues[at], **fields}
        self._adopt({**self.drawn, "queues": queues})

    def _profile(self, number: int, abilities: dict[str, Any], room: dict[str, Any]) -> None:
        self._do(self._put(self._agent(number).id, {**abilities, **room}))


def shown(world: dict[str, Any]) -> str:
    """The policy as somebody would write it, without what nobody asked for."""
    return json.dumps(world["policy"], indent=1, default=list)
