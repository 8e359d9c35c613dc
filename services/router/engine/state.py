"""The state of one partition: workspaces with their facts, and what guards against repeats.

A fold of the journal and nothing else. The facts are here; what is derived from them lives in `index.py` and can be
computed anew at any time (invariant 7).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from services.router.engine.outbound_records import Outbound
from services.router.engine.policy import NO_POLICY, RoutingPolicy
from services.router.engine.policy_document import routing_policy
from services.router.engine.records import Agent, Answer, ChannelState, Contact, Customer, Key, Message, Offer, Thread
from services.router.engine.slo import Load
from services.router.engine.undo import Undo
from services.router.engine.waits import Line
from shared.vocabulary import AddressKey, AgentId, ContactId, CustomerId, MessageId, OfferId, OutboundId, ThreadKey

DAY = 86_400_000
ANSWER_DAYS = 2
DEDUPE_DAYS = 9
"""Generations of seen source keys: the longest provider retry span is eight days, plus the day under way."""


class Workspace:
    """One tenant's facts."""

    MUTABLE: ClassVar[tuple[str, ...]] = (
        "sequence",
        "policy_version",
        "policy_document",
        "policy",
        "health_version",
        "queue_hours",
        "queue_limits",
        "frozen",
        "agent_limit",
        "reserve_reviewed",
    )

    def __init__(self, name: str, created_at: int) -> None:
        self.name = name
        self.created_at = created_at
        self.saved_in: object = None
        self.sequence = 0
        self.policy_version = 0
        self.policy_document: Mapping[str, Any] | None = None
        self.policy: RoutingPolicy = NO_POLICY
        self.health_version = 0
        self.queue_hours: Mapping[str, tuple[bool, int]] = {}
        """Of queues with opening hours: whether they are open, and since when that was known (ms)."""
        self.queue_limits: Mapping[str, int | None] = {}
        """Open contacts per agent, set at run time in place of the policy's."""
        self.frozen: frozenset[str] = frozenset()
        """Queues of which nothing is offered, by hand."""
        self.agent_limit: tuple[int | None] | None = None
        """The same for agents without a limit of their own; None: the policy's counts."""
        self.reserve_reviewed = 0
        """When it was last looked at whether room can be spared (ms)."""
        self.races: dict[str, int] = {}
        """Of queues that draw lots: the lot that won last. Newer ones are drawn from there."""
        self.loads: dict[str, Load] = {}
        """By language, what customers with short deadlines bring."""
        self.lines: dict[str, Line] = {}
        """By `line_name`, who waits and how long that takes."""
        self.keys: dict[str, Key] = {}
        self.agents: dict[AgentId, Agent] = {}
        self.contacts: dict[ContactId, Contact] = {}
        self.offers: dict[OfferId, Offer] = {}
        self.threads: dict[ThreadKey, Thread] = {}
        self.customers: dict[CustomerId, Customer] = {}
        self.identities: dict[AddressKey, CustomerId] = {}
        self.channels: dict[str, ChannelState] = {}
        self.messages: dict[MessageId, tuple[ContactId, Message]] = {}
        self.outbounds: dict[OutboundId, Outbound] = {}
        self.attempts: dict[MessageId, OutboundId] = {}
        """Of attempts that an adapter may report on: the outbound message that they belong to."""

    def set_policy(self, version: int, document: Mapping[str, Any]) -> None:
        """Take a policy document into force (the caller has saved this record)."""
        self.policy_version = version
        self.policy_document = document
        self.policy = routing_policy(document)


class State:
    """Everything the decisions of one partition depend on."""

    def __init__(self) -> None:
        self.at = 0
        self.positions = (0, 0)
        self.contracts = 0
        """The newest contracts by which a leader said that it writes; 0 before the first that said so."""
        self.contracts_of = ""
        """The release that was the first to say it."""
        self.workspaces: dict[str, Workspace] = {}
        self.answers: dict[int, dict[str, Answer]] = {}
        self.seen: dict[int, dict[str, str]] = {}
        self.undo = Undo()

    @property
    def day(self) -> int:
        """The generation that repeats are remembered in: days since the epoch; 0 before the first."""
        return max(self.seen, default=0)

    @property
    def newest_seen(self) -> dict[str, str]:
        return self.seen[max(self.seen)]

    def answer_of(self, command_id: str) -> Answer | None:
        """What this command was told, if it is remembered."""
        for answers in self.answers.values():
            answer = answers.get(command_id)
            if answer is not None:
                return answer
        return None

    def contact_of_source(self, workspace: str, source_key: str) -> str | None:
        """The contact that a source key became part of ('' if it opened none), or None if it is new."""
        key = f"{workspace}\x1f{source_key}"
        for seen in self.seen.values():
            contact = seen.get(key)
            if contact is not None:
                return contact
        return None
