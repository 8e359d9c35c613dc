"""A scenario's words as a policy and commands: the one place where its vocabulary is translated.

Whatever a scenario can say, a policy and the API can say, but for what lies before its beginning: how long agents had
been idle, what they had done and what they held. That is put into the state as it would have come about.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from services.router.engine.engine import Decided, Engine
from services.router.engine.outbound_records import Outbound
from services.router.engine.records import UNIT
from services.router.engine.state import Workspace
from services.router.scenarios import file as words
from services.router.scenarios import messages
from services.router.scenarios.rules import policy_of, texts
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.contracts.opening import with_opening
from shared.vocabulary import (
    AddressKey,
    AgentId,
    ChannelHealth,
    ContactId,
    ContactState,
    OfferId,
    OutboundId,
    Role,
    ThreadKey,
    channel_name,
)

NAME: Final = "scenario"
START: Final = int(datetime(2026, 1, 5, tzinfo=ZoneInfo("UTC")).timestamp() * 1000)
"""A Monday, where the scenario names no time."""
OPERATOR: Final = cmd.Actor(role=Role.OPERATOR, id="scenario")
LONG_AGO_MS: Final = 400 * 86_400_000


class Centre:
    """The contact centre of one scenario, on a clock of its own, in the production engine."""

    def __init__(self, scenario: words.Scenario) -> None:
        self.setup = scenario.setup
        self.start = _start_of(scenario.setup)
        self.now = self.start - LONG_AGO_MS
        self.engine = Engine()
        self.contacts: dict[str, ContactId] = {}
        self.messages: dict[str, OutboundId] = {}
        self.refused: dict[str, bool] = {}
        self.decisions: dict[ContactId, ev.DecisionRecord] = {}
        """Of each contact the newest decision to offer it."""
        self.notices: dict[ContactId, list[str]] = {}
        """Of each contact what its steps told, in order."""
        self._number = 0
        self._policy = policy_of(scenario)
        self._open_for_work()

    @property
    def workspace(self) -> Workspace:
        return self.engine.state.workspaces[NAME]

    # Time

    def pass_to(self, at_s: float) -> None:
        """Fire every timer that is due up to and at this moment."""
        self._pass_to_ms(self.start + round(at_s * 1000))

    def _pass_to_ms(self, until: int) -> None:
        while (due := self.engine.next_due()) is not None and due <= until:
            self.now = max(self.now, due)
            self._tick()
        self.now = max(self.now, until)
        self._tick()

    def _tick(self) -> None:
        number = 0
        while self.engine.due(self.now):
            self._number += 1
            decided = self.engine.tick(self.now, self._number, number)
            if decided is not None:
                self._note(decided)
            number += 1
            self.engine.settle(self.now, (0, 0))

    # Commands

    def do(self, command: cmd.Command, actor: cmd.Actor = OPERATOR) -> Decided:
        """Decide a command now."""
        self._number += 1
        record = cmd.Input(id=f"x{self._number}", workspace=NAME, actor=actor, received_at=self.now, command=command)
        decided = self.engine.apply(record, self.now, self._number)
        self._note(decided)
        self.engine.settle(self.now, (0, 0))
        while self.engine.unfinished:
            self._tick()
        return decided

    def _note(self, decided: Decided) -> None:
        for event in decided.events:
            if isinstance(event, ev.OfferMade):
                self.decisions[event.contact] = event.decision
            elif isinstance(event, ev.ContactStepped) and event.notify is not None:
                self.notices.setdefault(event.contact, []).append(event.notify)

    def act(self, action: words.Action) -> None:
        """One action of the timeline, now."""
        command, actor = self._command(action)
        refused = command is None
        if command is not None:
            answer = self.do(command, actor).answer
            assert answer is not None
            refused = answer.refused is not None
            if isinstance(action, words.Arrive):
                if answer.refused is not None or answer.subject is None:
                    raise words.UnreadableScenarios(f"contact {action.id!r}: {answer.refused}")
                self.contacts[action.id] = ContactId(answer.subject)
            elif isinstance(action, words.Send):
                if answer.subject is not None:
                    self.messages[action.id] = OutboundId(answer.subject)
                elif action.ref is None:
                    raise words.UnreadableScenarios(f"message {action.id!r}: {answer.refused}")
        if action.ref is not None:
            self.refused[action.ref] = refused

    def _command(self, action: words.Action) -> tuple[cmd.Command | None, cmd.Actor]:
        match action:
            case words.Arrive():
                return self._arrive(action), OPERATOR
            case words.SetAgentPresence():
                command = cmd.SetPresence(agent=AgentId(action.agent), presence=action.presence)
                return command, _agent(action.agent)
            case words.SetAgentChannel():
                presence = self.workspace.agents[AgentId(action.agent)].presence
                switch = {action.channel: action.available}
                return (
                    cmd.SetPresence(agent=AgentId(action.agent), presence=presence, channels=switch),
                    _agent(action.agent),
                )
            case words.Accept() | words.Reject():
                return self._answer(action), _agent(action.agent)
            case words.Complete():
                return cmd.CompleteContact(contact=self._id(action.contact)), _agent(action.agent)
            case words.Cancel():
                return cmd.CancelContact(contact=self._id(action.contact)), OPERATOR
            case words.Reopen():
                return cmd.ReopenContact(contact=self._id(action.contact)), OPERATOR
            case words.Assign():
                command_ = cmd.AssignContact(contact=self._id(action.contact), agent=AgentId(action.agent))
                return command_, OPERATOR
            case words.ContactActive():
                return cmd.SetContactActive(contact=self._id(action.contact), active=action.active), OPERATOR
            case words.Transfer():
                return (
                    cmd.TransferContact(
                        contact=self._id(action.contact),
                        queue=action.to_queue,
                        agent=AgentId(action.to_agent) if action.to_agent is not None else None,
                        channel=action.to_channel,
                        account=self._account_of(action),
                        exclude_self=action.exclude_self,
                        keep_age=action.keep_age,
                    ),
                    _agent(action.agent),
                )
            case words.Consult():
                make = cmd.StartConsult if action.do == "consult" else cmd.EndConsult
                contact_, colleague = self._id(action.contact), AgentId(action.colleague)
                return make(contact=contact_, agent=colleague), _agent(action.agent)
            case words.Lease():
                lease = cmd.LoseLease if action.do == "lose_desk" else cmd.RegainLease
                return lease(agent=AgentId(action.agent)), OPERATOR
            case words.SetPriority():
                return cmd.PrioritiseContact(contact=self._id(action.contact), priority=action.priority), OPERATOR
            case words.AdjustAge():
                return cmd.AdjustAge(contact=self._id(action.contact), add=round(action.add_s * 1000)), OPERATOR
            case words.SetLimit():
                agent = AgentId(action.agent) if action.agent is not None else None
                return cmd.SetLimit(most=action.max, agent=agent, queue=action.queue), OPERATOR
            case words.FreezeQueue():
                return cmd.FreezeQueue(queue=action.queue, frozen=action.do == "freeze_queue"), OPERATOR
            case words.ChannelDown():
                state = ChannelHealth.DOWN if action.do == "channel_down" else ChannelHealth.HEALTHY
                account = self._account(action.channel, action.account)
                report = cmd.ReportChannelHealth(channel=action.channel, account=account, state=state)
                return report, OPERATOR
            case words.Send():
                contact = self._id(action.contact) if action.contact is not None else None
                return messages.sending(action, contact, self._account), OPERATOR
            case words.Deliver():
                return messages.report(action, self.outbound(action.message)), OPERATOR
        raise AssertionError(f"an action of unknown kind {action!r}")

    def _arrive(self, action: words.Arrive) -> cmd.Command:
        if action.thread is not None or action.reach:
            return self._write(action)
        later = action.scheduled_at_s
        return cmd.CreateContact(
            **_asks(action, self._account(action.channel, action.account)),
            waited=round(action.waited_s * 1000),
            scheduled_at=self.start + round(later * 1000) if later is not None else None,
            scheduled_priority=action.scheduled_priority,
        )

    def _write(self, action: words.Arrive) -> cmd.Command:
        """A message on a thread: whether it is a contact of its own, the engine decides."""
        customer, thread = action.customer or action.thread or action.id, action.thread or action.id
        return cmd.ReceiveMessage(
            thread=ThreadKey(f"t-{action.channel}-{action.customer}-{thread}"),
            sender=AddressKey(f"a-{customer}"),
            content_ref=f"m:{action.id}",
            reach=tuple(
                cmd.Reach(
                    channel=way.channel,
                    account=self._account(way.channel),
                    key=AddressKey(f"a-{customer}-{way.channel}"),
                    verified=way.verified,
                    consent=way.consent,
                )
                for way in action.reach
            ),
            **_asks(action, self._account(action.channel, action.account)),
        )

    def outbound(self, name: str) -> Outbound:
        """The outbound message of this name. Raises `UnreadableScenarios`."""
        try:
            return self.workspace.outbounds[self.messages[name]]
        except KeyError:
            raise words.UnreadableScenarios(f"there is no message {name!r} yet") from None

    def _answer(self, action: words.Accept | words.Reject) -> cmd.Command | None:
        """The newest offer of this contact to this agent; None if there never was one."""
        contact = self.workspace.contacts[self._id(action.contact)]
        offers = [o for o in contact.all_offers if self.workspace.offers[o].agent == action.agent]
        if not offers:
            return None
        if isinstance(action, words.Accept):
            return cmd.AcceptOffer(offer=OfferId(offers[-1]))
        return cmd.RejectOffer(offer=OfferId(offers[-1]), retry_after=round(action.retry_after_s * 1000) or None)

    def _account(self, kind: str, named: str | None = None) -> str:
        """The account named, or else the first of that kind in the policy. There has to be one."""
        accounts = [channel.account for channel in self._policy.channels if channel.kind == kind]
        if not accounts or (named is not None and named not in accounts):
            raise words.UnreadableScenarios(f"there is no channel {channel_name(kind, named or 'of any account')!r}")
        return named or accounts[0]

    def _account_of(self, transfer: words.Transfer) -> str | None:
        """The account of the channel that a transfer goes to; None if it goes elsewhere."""
        return self._account(transfer.to_channel, transfer.account) if transfer.to_channel is not None else None

    def name_of(self, contact: ContactId) -> str:
        """What the scenario calls a contact."""
        return next((name for name, known in self.contacts.items() if known == contact), contact)

    def _id(self, name: str) -> ContactId:
        try:
            return self.contacts[name]
        except KeyError:
            raise words.UnreadableScenarios(f"there is no contact {name!r} yet") from None

    # Setting up

    def _open_for_work(self) -> None:
        self._tick()
        self.do(cmd.CreateWorkspace(name=NAME))
        self.now = self.start - LONG_AGO_MS
        for agent in sorted(self.setup.agents, key=lambda agent: -agent.idle_s):
            if self.workspace.policy_version == 0:
                self._pass_to_ms(self.start - round(agent.idle_s * 1000))
                self._adopt()
            self._pass_to_ms(self.start - round(agent.idle_s * 1000))
            self._hire(agent)
        self._pass_to_ms(self.start)
        if self.workspace.policy_version == 0:
            self._adopt()
        for agent in self.setup.agents:
            self._load(agent)
        for agent in self.setup.agents:
            self._remember(agent)

    def _adopt(self) -> None:
        document = self._policy.model_dump(mode="json")
        decided = self.do(cmd.AdoptPolicy(policy=with_opening(document, self.start)))
        assert decided.answer is not None
        if decided.answer.refused is not None:
            raise words.UnreadableScenarios(f"setup: {decided.answer.refused[1]}")

    def _hire(self, agent: words.AgentSetup) -> None:
        capacity = agent.capacity or words.CapacitySetup(total=1)
        channels = tuple(agent.channels)
        if capacity.per_channel:
            channels = tuple(kind for kind in capacity.per_channel if not channels or kind in channels)
        members = [words.MemberSetup(queue=one) if isinstance(one, str) else one for one in agent.queues]
        self._must_do(
            agent.name,
            cmd.PutAgent(
                agent=AgentId(agent.name),
                name=agent.name,
                languages=agent.languages,
                skills=agent.skills,
                queues=tuple(member.queue for member in members),
                channels=channels,
                capacity_total=round(capacity.total * UNIT) if capacity.total is not None else None,
                capacity_per_channel=capacity.per_channel,
                capacity_weights={kind: round(weight * UNIT) for kind, weight in capacity.weights.items()},
                capacity_parked=round(capacity.parked * UNIT),
                memberships=tuple(
                    cmd.Membership(
                        queue=member.queue,
                        priority=member.priority,
                        delay=round(member.delay_s * 1000),
                        tier=member.tier,
                        position=member.position,
                        channels=tuple(member.channels),
                    )
                    for member in members
                ),
                position=1 + [each.name for each in self.setup.agents].index(agent.name),
                max_contacts=capacity.max_contacts or None,
                profiles=capacity.profiles,
                while_on={kind: tuple(allowed) for kind, allowed in agent.while_on.items()},
                wrap_up=round(agent.wrap_up_s * 1000) if agent.wrap_up_s is not None else None,
                reject_pause=round(agent.reject_pause_s * 1000),
            ),
        )
        self._must_do(agent.name, cmd.SetPresence(agent=AgentId(agent.name), presence=agent.presence))

    def _must_do(self, agent: str, command: cmd.Command) -> None:
        """What an agent's setup means; a scenario whose agents are not as it says tells nothing."""
        answer = self.do(command, _agent(agent)).answer
        assert answer is not None
        if answer.refused is not None:
            raise words.UnreadableScenarios(f"setup: agent {agent!r}: {answer.refused[1] or answer.refused[0]}")

    def _load(self, agent: words.AgentSetup) -> None:
        """What the agent holds at the beginning. A scheduled contact is not routed, so it can be assigned by hand."""
        for load in agent.load:
            count = load.count if load.count is not None else len(load.ids) or 1
            for number in range(count):
                name = load.ids[number] if number < len(load.ids) else f"load-{agent.name}-{self._number}"
                made = self.do(
                    cmd.CreateContact(
                        source_key=name,
                        channel=load.channel,
                        account=self._account(load.channel, None),
                        queue=load.queue,
                        scheduled_at=self.now + LONG_AGO_MS,
                    )
                )
                assert made.answer is not None
                if made.answer.refused is not None or made.answer.subject is None:
                    raise words.UnreadableScenarios(f"setup: agent {agent.name!r}: load: {made.answer.refused}")
                self.contacts[name] = ContactId(made.answer.subject)
                self.do(cmd.AssignContact(contact=self.contacts[name], agent=AgentId(agent.name)))

    def _remember(self, agent: words.AgentSetup) -> None:
        """What the agent had done before the beginning."""
        record = self.workspace.agents[AgentId(agent.name)]
        last = agent.last_assigned_s
        times = last if isinstance(last, dict) else dict.fromkeys((queue.name for queue in self._policy.queues), last)
        record.assigned_last = {
            queue: self.start - round(ago * 1000) for queue, ago in times.items() if ago is not None
        }
        record.assigned_times = {}
        record.completed = agent.completed
        record.talk_time = round(agent.talk_time_s * 1000)
        self.engine.world.indexes[NAME].sync_agent(record.id)


def _start_of(setup: words.Setup) -> int:
    if setup.clock is None:
        return START
    local = datetime.fromisoformat(setup.clock.start)
    return round(local.replace(tzinfo=ZoneInfo(setup.clock.tz)).timestamp() * 1000)


def _agent(name: str) -> cmd.Actor:
    return cmd.Actor(role=Role.AGENT, id=name)


def _asks(action: words.Arrive, account: str) -> dict[str, Any]:
    """What a contact asks for, whether it comes as it is or with a message on a thread. `account`: where it comes."""
    queues = (action.queue,) if isinstance(action.queue, str) else tuple(action.queue or ())
    return {
        "source_key": action.id,
        "channel": action.channel,
        "account": account,
        "language": action.language,
        "language_min": action.language_min if action.language_min > 1 else None,
        "queue": queues[0] if len(queues) == 1 else None,
        "queues": queues if len(queues) > 1 else (),
        "flow": action.workflow,
        "skills": action.skills,
        "priority": action.priority,
        "attributes": texts(action.attributes),
        "preferred": tuple(AgentId(name) for name in action.preferred_agents),
        "profiles": tuple(action.capacity_profiles),
    }


OPEN: Final = (ContactState.WAITING, ContactState.OFFERED)
