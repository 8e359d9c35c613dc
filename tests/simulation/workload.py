"""The people of a simulated world: customers, agents, operators and channel adapters, who do what people do.

They look at the ledger as real ones look at their views: what they see is journaled, and may have changed by the time
that their command arrives. What they are told to send they send until it is acknowledged, often more than once.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from shared.contracts import commands as cmd
from shared.ids import address_key, content_ref, message_command_id, thread_key
from shared.vocabulary import (
    AgentId,
    AutoClass,
    ChannelHealth,
    ContactId,
    Delivery,
    MessageId,
    MessageKind,
    OfferId,
    Role,
    ThreadKey,
    Topic,
)
from tests.simulation.colleagues import Colleagues
from tests.simulation.ledger import OPEN, AgentBook, Ledger, WorkspaceBook
from tests.simulation.outbox import Outbox
from tests.simulation.policies import (
    KINDS,
    LANGUAGES,
    PRESENCES,
    PROFILES,
    SKILLS,
    VALUES,
    Policies,
    opening_hours,
)
from tests.simulation.profiles import random_profile
from tests.simulation.sender import Sender


def _raw(version: int, role: str, command: str) -> bytes:
    actor = {"role": role, "id": "a"}
    record = {"v": version, "id": "x", "workspace": "w0", "actor": actor, "received_at": 1, "type": command}
    return json.dumps({**record, "data": {"offer": "o"}}).encode()


POISON = (
    b"",
    b"\xff\xfe\x00",
    b"{}",
    b"[1, 2",
    _raw(99, "agent", "AcceptOffer"),
    _raw(1, "agent", "Explode"),
    _raw(1, "king", "AcceptOffer"),
)


@dataclass(frozen=True, slots=True)
class Size:
    """How big a world is."""

    workspaces: int
    agents: int
    customers: int
    channels: int
    queues: int
    messages: int
    """Customers' messages per workspace."""
    actions: int
    """Things that each agent does."""
    outbounds: int
    """Messages that somebody wants sent to customers, about."""
    pace_s: float
    stormy: bool
    """Channels go up and down all the time, policies change, and hardly an agent is there."""


def size_of(dice: random.Random) -> Size:
    """Small worlds: few agents, some dozen contacts, because trouble needs crowding, not numbers."""
    stormy = dice.random() < 0.2
    return Size(
        workspaces=1 if dice.random() < 0.8 else 2,
        agents=dice.randint(1, 2) if stormy else dice.randint(1, 6),
        customers=dice.randint(1, 10),
        channels=dice.randint(3, 5) if stormy else dice.randint(1, 5),
        queues=dice.randint(1, 3),
        messages=dice.randint(5, 50),
        actions=dice.randint(10, 40),
        outbounds=dice.choice((0, 0, 4, 12)),
        pace_s=dice.choice((0.3, 1.0, 3.0)),
        stormy=stormy,
    )


class People:
    """Everybody in one workspace."""

    def __init__(
        self,
        name: str,
        size: Size,
        dice: random.Random,
        ledger: Ledger,
        sender: Sender,
        colleagues: random.Random | None = None,
    ) -> None:
        """`colleagues`: the dice of those who ask each other and change channels; None where nobody does."""
        self.name = name
        self.size = size
        self.dice = dice
        self.ledger = ledger
        self.sender = sender
        names = [f"{kind}:{account}" for account in ("one", "two") for kind in KINDS]
        self.channels = dice.sample(names, size.channels)
        self.queues = [f"q{number}" for number in range(size.queues)]
        self.agents = [f"a{number}" for number in range(size.agents)]
        self.policies = Policies(dice, self.queues, self.agents)
        self._busy_channels = self.channels
        if self.policies.by_deadlines:
            # Nearly all who hurry and all who can wait come by these two.
            self.channels = list(dict.fromkeys(("chat:one", "email:one", *self.channels)))
            self._busy_channels = ["chat:one", "chat:one", "email:one", *self.channels]
        self.operator = cmd.Actor(role=Role.OPERATOR, id=f"op-{name}")
        self.adapter = cmd.Actor(role=Role.ADAPTER, id=f"ad-{name}")
        self.supervisor = cmd.Actor(role=Role.SUPERVISOR, id=f"su-{name}")
        self._said: list[cmd.ReceiveMessage] = []
        self.colleagues = Colleagues(self, colleagues) if colleagues is not None else None
        self.outbox = Outbox(name, self.channels, size.customers, dice)

    @property
    def book(self) -> WorkspaceBook | None:
        return self.ledger.workspaces.get(self.name)

    def tasks(self, *, opening: bool = True) -> list[Awaitable[None]]:
        """What everybody does, on the first day from the opening on; each ends by itself."""
        return [
            *([self._open()] if opening else []),
            *(self._repeatedly(self.size.actions, self._agent_acts(agent)) for agent in self.agents),
            self._repeatedly(self.size.messages, self._customer_acts),
            self._repeatedly(max(5, self.size.messages // 2), self._operator_acts),
            self._repeatedly(40 if self.size.stormy else 0, self._weather_acts),
            self._repeatedly(self.size.outbounds * 3, self._outbound_acts),
            *(self.colleagues.tasks() if self.colleagues is not None else ()),
        ]

    async def _repeatedly(self, times: int, act: Callable[[], Awaitable[None]]) -> None:
        for _ in range(times):
            await asyncio.sleep(self.dice.expovariate(1.0) * self.size.pace_s)
            await act()

    async def _open(self) -> None:
        if self.dice.random() < 0.1:
            await self._say(self._message())
        await self.sender.send(self.name, self.operator, cmd.CreateWorkspace(name=self.name))
        await self._adopt()
        for agent in self.agents:
            await self._put_agent(agent)

    # Operators

    async def _operator_acts(self) -> None:
        await self._one_of(
            (10, self._report_health),
            (4, self._adopt),
            (3, self._extend_hours),
            (2, lambda: self._put_agent(self.dice.choice(self.agents))),
            (4, self._lease),
            (2, self._supervise),
            (5, lambda: self._by(self.supervisor, self._intervention())),
            (2, self._deliver),
            (2, self.sender.repeat_something),
            (1, self._poison),
            (2, self._key),
            (1, self._nonsense),
        )

    async def _weather_acts(self) -> None:
        await self._one_of((8, self._report_health), (2, self._adopt))

    async def _one_of(self, *choices: tuple[int, Callable[[], Awaitable[Any]]]) -> None:
        weights = [weight for weight, _ in choices]
        await self.dice.choices([act for _, act in choices], weights)[0]()

    async def _adopt(self) -> None:
        queues, channels = self.queues, self.channels
        if self.dice.random() < 0.2:
            queues = self.dice.sample(queues, self.dice.randint(1, len(queues)))
        if self.dice.random() < 0.2:
            channels = self.dice.sample(channels, self.dice.randint(1, len(channels)))
        policy = self.policies.document(list(queues), list(channels), self.sender.now_ms())
        if self.dice.random() < 0.05:
            policy.pop(self.dice.choice(("channels", "keep_ended_s", "lease", "presences", "queues")))
        await self.sender.send(self.name, self.operator, cmd.AdoptPolicy(policy=policy))

    async def _extend_hours(self) -> None:
        """The router's own command, as it is made from an earlier policy."""
        book = self.book
        names = [name for name, queue in book.queues.items() if queue["business_hours"] is not None] if book else []
        if book is None or not names:
            return
        now = self.sender.now_ms()
        intervals = tuple((begin, end) for begin, end in opening_hours(self.dice, now))
        await self._by(
            self.operator,
            cmd.ExtendHours(
                policy_version=book.policy_version - (self.dice.random() < 0.1),
                until=now + self.dice.choice((60_000, 400 * 86_400_000)),
                hours={self.dice.choice(names): intervals},
            ),
        )

    async def _put_agent(self, agent: str) -> None:
        kinds = sorted({name.split(":")[0] for name in self.channels})
        await self.sender.send(self.name, self.operator, random_profile(self.dice, agent, self.queues, kinds))

    async def _report_health(self) -> None:
        kind, account = self.dice.choice(self.channels).split(":")
        state = self.dice.choice((ChannelHealth.DOWN, ChannelHealth.DOWN, ChannelHealth.HEALTHY, *ChannelHealth))
        report = cmd.ReportChannelHealth(
            channel=kind, account=account, state=state, evidence=self.dice.choice(("", "e"))
        )
        # Most by an operator, whose word counts at once: the channels are down and up more often.
        who = self.operator if self.dice.random() < 0.5 else self.adapter
        await self.sender.send(self.name, who, report)

    async def _lease(self) -> None:
        book = self.book
        busy = [agent.id for agent in book.agents.values() if agent.offers] if book else []
        agent = AgentId(self.dice.choice(busy if busy and self.dice.random() < 0.6 else self.agents))
        command = cmd.LoseLease(agent=agent) if self.dice.random() < 0.5 else cmd.RegainLease(agent=agent)
        await self.sender.send(self.name, self.adapter, command)

    async def _supervise(self) -> None:
        contact = self._some_contact()
        await self._one_of(
            (2, lambda: self._by(self.supervisor, cmd.RequeueContact(contact=contact, reason="s"))),
            (2, lambda: self._by(self.supervisor, cmd.CancelContact(contact=contact, reason="s"))),
            (1, lambda: self._by(self.supervisor, cmd.CompleteContact(contact=contact))),
            (1, lambda: self._by(self.supervisor, self._presence(self.dice.choice(self.agents)))),
        )

    def _intervention(self) -> cmd.Command:
        """What supervisors change by hand."""
        dice = self.dice
        contact, agent, queue = self._some_contact(), AgentId(dice.choice(self.agents)), dice.choice(self.queues)
        limited = dice.choice(({}, {"agent": agent}, {"queue": queue}))
        return dice.choice(
            (
                cmd.AssignContact(contact=contact, agent=agent, reason="s"),
                cmd.PrioritiseContact(contact=contact, priority=dice.choice((-1, 0, 4))),
                cmd.AdjustAge(contact=contact, add=dice.choice((-8_000, -1_000, 3_000, 10_000))),
                cmd.SetLimit(most=dice.choice((None, None, 1, 2)), **limited),
                cmd.FreezeQueue(queue=queue, frozen=dice.random() < 0.3),
                cmd.ReopenContact(contact=self._ended_contact()),
            )
        )

    def _ended_contact(self) -> ContactId:
        contacts = self.book.contacts.values() if self.book else ()
        ended = [contact.id for contact in contacts if contact.state not in OPEN]
        return ContactId(self.dice.choice(ended) if ended else "nothing")

    async def _deliver(self) -> None:
        book = self.book
        messages = [*book.replies, *book.attempts] if book else []
        message = self.dice.choice(messages) if messages else "nothing"
        status = self.dice.choice(list(Delivery))
        await self._by(self.adapter, cmd.ReportDelivery(message=MessageId(message), status=status))

    async def _poison(self) -> None:
        await self.sender.append(self.dice.choice(list(Topic)), self.dice.choice(POISON))

    async def _key(self) -> None:
        key = f"key{self.dice.randint(0, 2)}"
        if self.dice.random() < 0.6:
            await self._by(self.operator, cmd.CreateKey(key_id=key, key_hash="h", role=Role.ADAPTER))
        else:
            await self._by(self.operator, cmd.RevokeKey(key_id=key))

    async def _nonsense(self) -> None:
        """Requests about things that are not there, also from workspaces that are not there."""
        nobody = cmd.Actor(role=Role.AGENT, id="nobody")
        command = self.dice.choice(
            (
                cmd.AcceptOffer(offer=OfferId("nothing")),
                cmd.RejectOffer(offer=OfferId("nothing")),
                cmd.CompleteContact(contact=ContactId("nothing")),
                cmd.AbandonContact(contact=ContactId("nothing")),
                cmd.SetPresence(agent=AgentId("nobody"), presence="available"),
                cmd.FinishWrapUp(agent=AgentId("nobody")),
                cmd.ReportChannelHealth(channel="pigeon", account="one", state=ChannelHealth.DOWN),
                cmd.SendReply(contact=ContactId("nothing"), content_ref="r"),
                cmd.CreateWorkspace(name=self.name),
            )
        )
        where = self.name if self.dice.random() < 0.7 else "nowhere"
        if where == "nowhere" and isinstance(command, cmd.CreateWorkspace):
            where = self.name
        await self.sender.send(where, nobody, command)

    # Senders of outbound messages, and adapters that carry them out

    async def _outbound_acts(self) -> None:
        await self._one_of((2, self._send_outbound), (3, self._report_attempt))

    async def _send_outbound(self) -> None:
        message = self.outbox.message(lambda: self.sender.fresh_id(f"out-{self.name}"), self._some_contact)
        await self._by(self.supervisor, message)

    async def _report_attempt(self) -> None:
        report = self.outbox.report(self.book) if self.book is not None else None
        if report is not None:
            await self._by(self.adapter, report)

    # Customers

    async def _customer_acts(self) -> None:
        await self._one_of(
            (12, lambda: self._say(self._message())),
            (2, self._say_again),
            (2, lambda: self._say(self._aside())),
            (2, self._give_up),
            (2, self._book_call),
        )

    def _message(self) -> cmd.ReceiveMessage:
        dice = self.dice
        customer = f"u{dice.randrange(self.size.customers)}"
        kind, account = dice.choice(self._busy_channels).split(":")
        source_key = self.sender.fresh_id(f"src-{self.name}")
        likely = 0.95 if self.size.stormy else 0.85
        ways = tuple(
            cmd.Reach(
                channel=other,
                account="one",
                key=address_key(self.name, other, customer),
                verified=dice.random() < likely,
                consent=dice.random() < likely,
            )
            for other in KINDS
            if dice.random() < likely - 0.1
        )
        stated = dice.random()
        return cmd.ReceiveMessage(
            source_key=source_key,
            channel=kind,
            account=account if dice.random() < 0.97 else "elsewhere",
            thread=thread_key(self.name, kind, account, f"{customer}-{dice.choice((1, 1, 2))}"),
            sender=address_key(self.name, kind, customer),
            content_ref=content_ref(self.name, source_key),
            message_kind=MessageKind.POSTBACK if dice.random() < 0.05 else MessageKind.MESSAGE,
            auto=dice.choice(list(AutoClass)) if dice.random() < 0.08 else AutoClass.NONE,
            language=dice.choice((*LANGUAGES, "pt-BR")) if stated < 0.3 else None,
            candidates=(
                (cmd.LanguageCandidate(language=dice.choice(LANGUAGES), confidence=round(dice.random(), 2)),)
                if stated > 0.5
                else ()
            ),
            queue=dice.choice((*self.queues, "no-such-queue")) if dice.random() < 0.15 else None,
            skills={dice.choice(SKILLS): dice.randint(1, 3)} if dice.random() < 0.2 else {},
            priority=dice.choice((0, 0, 0, 1, 5, -3)),
            reach=ways,
            **self._wishes(),
        )

    def _wishes(self) -> dict[str, Any]:
        """What a contact may ask for beside language and skills."""
        dice = self.dice
        wishes: dict[str, Any] = {}
        if dice.random() < 0.4:
            wishes["attributes"] = {"vip": dice.choice(VALUES), "due": dice.choice(("1", "2", "x"))}
        if dice.random() < 0.2:
            wishes["preferred"] = tuple(AgentId(agent) for agent in self._likeable())
        if dice.random() < 0.15:
            wishes["profiles"] = tuple(dice.sample(PROFILES, dice.randint(1, 2)))
        if dice.random() < 0.1:
            wishes["language_min"] = dice.randint(1, 4)
        if dice.random() < 0.15:
            wishes["flow"] = dice.choice(("f0", "f0", "f1", "f1", "no-such-flow"))
        if dice.random() < 0.1:
            wishes["queues"] = tuple(dice.sample(self.queues, dice.randint(1, len(self.queues))))
        return wishes

    def _likeable(self) -> list[str]:
        """One or two agents to prefer."""
        names = list(self.agents)
        return self.dice.sample(names, min(len(names), self.dice.randint(1, 2)))

    async def _say(self, message: cmd.ReceiveMessage) -> None:
        self._said.append(message)
        command_id = message_command_id(self.name, message.source_key)
        await self.sender.send(self.name, self.adapter, message, command_id)

    async def _say_again(self) -> None:
        """The provider delivers once more, perhaps under another request's id."""
        if self._said:
            message = self.dice.choice(self._said)
            if self.dice.random() < 0.5:
                await self._say(message)
            else:
                await self.sender.send(self.name, self.adapter, message)

    def _aside(self) -> cmd.ReceiveMessage:
        """An edit, an unsend or a reaction, about something or about nothing."""
        message = self._message()
        about = self.dice.choice(self._said).source_key if self._said and self.dice.random() < 0.7 else None
        return cmd.ReceiveMessage(
            source_key=message.source_key,
            channel=message.channel,
            account=message.account,
            thread=message.thread,
            sender=message.sender,
            content_ref=message.content_ref,
            message_kind=self.dice.choice((MessageKind.EDIT, MessageKind.UNSEND, MessageKind.REACTION)),
            refers_to=about,
        )

    async def _give_up(self) -> None:
        if self.dice.random() < 0.5:
            await self._by(self.adapter, cmd.AbandonContact(contact=self._some_contact()))
        elif self._said:
            await self._by(self.adapter, cmd.LeaveThread(thread=ThreadKey(self.dice.choice(self._said).thread)))

    async def _book_call(self) -> None:
        kind, account = self.dice.choice(self.channels).split(":")
        later = self.ledger.at + self.dice.randint(-5_000, 30_000) if self.dice.random() < 0.7 else None
        call = cmd.CreateContact(
            source_key=self.sender.fresh_id(f"call-{self.name}"),
            channel=kind,
            account=account,
            customer=address_key(self.name, kind, f"u{self.dice.randrange(self.size.customers)}")
            if self.dice.random() < 0.7
            else None,
            language=self.dice.choice((None, *LANGUAGES)),
            priority=self.dice.choice((0, 2)),
            scheduled_at=later,
            scheduled_priority=self.dice.choice((None, None, 6)),
            waited=self.dice.choice((0, 0, 3_000)),
            **self._wishes(),
        )
        await self._by(self.supervisor, call)

    def _some_contact(self) -> ContactId:
        book = self.book
        contacts = list(book.contacts.values()) if book else []
        living = [contact for contact in contacts if contact.state in OPEN]
        if living and self.dice.random() < 0.85:
            return ContactId(self.dice.choice(living).id)
        return ContactId(self.dice.choice(contacts).id if contacts else "nothing")

    async def _by(self, actor: cmd.Actor, command: cmd.Command) -> None:
        await self.sender.send(self.name, actor, command)

    # Agents

    def _agent_acts(self, agent_id: str) -> Callable[[], Awaitable[None]]:
        actor = cmd.Actor(role=Role.AGENT, id=agent_id)

        async def act() -> None:
            book = self.book
            agent = book.agents.get(agent_id) if book else None
            if book is None or agent is None:
                await self._by(actor, self._presence(agent_id))
                return
            command = self._next_move(book, agent)
            if command is None:
                return
            if self.dice.random() < 0.2:
                # What was on the screen is a while old when the click arrives.
                await asyncio.sleep(self.dice.expovariate(0.5))
            await self._by(actor, command)

        return act

    def _next_move(self, book: WorkspaceBook, agent: AgentBook) -> cmd.Command | None:
        dice = self.dice
        if dice.random() < 0.05:
            return self._mischief(book, agent)
        if agent.presence not in ("available", "training") and dice.random() < 0.85:
            return cmd.SetPresence(agent=AgentId(agent.id), presence="available")
        if agent.offers and dice.random() < 0.8:
            offer = OfferId(dice.choice(agent.offers))
            if dice.random() < 0.7:
                return cmd.AcceptOffer(offer=offer)
            pause = dice.choice((None, None, 0, 3_000))
            return cmd.RejectOffer(offer=offer, reason="r", retry_after=pause)
        mine = [contact for contact in agent.held if book.contacts[contact].state == "assigned"]
        if mine and dice.random() < 0.75:
            contact = ContactId(dice.choice(mine))
            if dice.random() < 0.5:
                return cmd.CompleteContact(contact=contact, wrap_up_code="done")
            if dice.random() < 0.4:
                return cmd.SendReply(contact=contact, content_ref="r:x")
            return self._hand_on(agent, contact)
        if (agent.wrap_up_until is not None or agent.queue_wrap_up or agent.wrap_up_slots) and dice.random() < 0.5:
            if dice.random() < 0.5:
                return cmd.ExtendWrapUp(agent=AgentId(agent.id), extend=dice.randint(0, 5_000))
            return cmd.FinishWrapUp(agent=AgentId(agent.id), code="c")
        return self._presence(agent.id) if dice.random() < 0.1 else None

    def _hand_on(self, agent: AgentBook, contact: ContactId) -> cmd.Command:
        """Other things to do with an assigned contact than to answer it."""
        dice = self.dice
        to_queue = cmd.TransferContact(
            contact=contact,
            queue=dice.choice(self.queues),
            exclude_self=dice.random() < 0.6,
            keep_age=dice.random() < 0.6,
        )
        return dice.choice(
            (
                cmd.RequeueContact(contact=contact),
                cmd.CancelContact(contact=contact),
                to_queue,
                cmd.TransferContact(contact=contact, agent=AgentId(dice.choice(self.agents))),
                cmd.SetContactActive(contact=contact, active=contact in agent.parked),
            )
        )

    def _presence(self, agent_id: str) -> cmd.SetPresence:
        dice = self.dice
        kinds = sorted({name.split(":")[0] for name in self.channels})
        return cmd.SetPresence(
            agent=AgentId(agent_id),
            presence=dice.choice(("available", "available", "available", "away", "offline", *PRESENCES))
            if dice.random() < 0.97
            else "on_the_moon",
            next_presence=dice.choice((None, None, None, None, "lunch", "offline", "available")),
            channels={dice.choice(kinds): dice.random() < 0.6} if dice.random() < 0.2 else {},
        )

    def _mischief(self, book: WorkspaceBook, agent: AgentBook) -> cmd.Command:
        """Hands on what is somebody else's, or long over."""
        dice = self.dice
        offers = list(book.offers)
        other = AgentId(dice.choice(self.agents))
        if offers and dice.random() < 0.6:
            offer = OfferId(dice.choice(offers))
            return dice.choice((cmd.AcceptOffer(offer=offer), cmd.RejectOffer(offer=offer)))
        return dice.choice(
            (
                cmd.CompleteContact(contact=self._some_contact()),
                cmd.RequeueContact(contact=self._some_contact()),
                cmd.SendReply(contact=self._some_contact(), content_ref="r:y"),
                cmd.SetPresence(agent=other, presence="offline"),
                cmd.FinishWrapUp(agent=other),
            )
        )
