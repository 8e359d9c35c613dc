"""The words of the trade, as types. Standard library only, so that the engine may import it.

One meaning each, the same in code, API, metrics and pages; `docs/glossary.md` explains them in prose.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NewType

WorkspaceId = NewType("WorkspaceId", str)
ContactId = NewType("ContactId", str)
AgentId = NewType("AgentId", str)
OfferId = NewType("OfferId", str)
MessageId = NewType("MessageId", str)
OutboundId = NewType("OutboundId", str)
CommandId = NewType("CommandId", str)
QueueName = NewType("QueueName", str)
CustomerId = NewType("CustomerId", str)
ThreadKey = NewType("ThreadKey", str)
"""A conversation as its channel knows it, hashed: stable for ever, tells nothing about the customer."""
AddressKey = NewType("AddressKey", str)
"""Where a customer can be written to, hashed; the address itself lies in the content store under `a:KEY`."""

UNKNOWN_LANGUAGE: Final = "und"
"""BCP 47's code for an undetermined language: a value like any other, never an error."""


class ChannelKind(StrEnum):
    """How a customer and an agent talk. With an account it makes a channel: `email:support@…`."""

    CHAT = "chat"
    EMAIL = "email"
    TELEGRAM = "telegram"
    MESSENGER = "messenger"
    CALLBACK = "callback"
    CUSTOM = "custom"


class Role(StrEnum):
    """Who is calling. A key or token carries exactly one role."""

    ADAPTER = "adapter"
    AGENT = "agent"
    SUPERVISOR = "supervisor"
    OPERATOR = "operator"


class ContactState(StrEnum):
    """Where a contact is; exactly one at any time (invariant 1)."""

    SCHEDULED = "scheduled"
    WAITING = "waiting"
    OFFERED = "offered"
    ASSIGNED = "assigned"
    PARKED = "parked"
    COMPLETED = "completed"
    ABANDONED = "abandoned"
    CANCELLED = "cancelled"
    DEFLECTED = "deflected"

    @property
    def is_open(self) -> bool:
        """Whether somebody still has to do something about the contact."""
        return self in OPEN_STATES


OPEN_STATES: Final = frozenset(
    {
        ContactState.SCHEDULED,
        ContactState.WAITING,
        ContactState.OFFERED,
        ContactState.ASSIGNED,
        ContactState.PARKED,
    }
)


class Presence(StrEnum):
    """The presences every workspace has; a policy may name more (`lunch`, `training`)."""

    AVAILABLE = "available"
    AWAY = "away"
    OFFLINE = "offline"


class ChannelHealth(StrEnum):
    """What is known of a channel's health. Only `down` moves contacts elsewhere."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    DOWN = "down"
    RECOVERING = "recovering"


class MessageKind(StrEnum):
    """What a customer did on the channel."""

    MESSAGE = "message"
    EDIT = "edit"
    UNSEND = "unsend"
    POSTBACK = "postback"
    REACTION = "reaction"


class AutoClass(StrEnum):
    """Whether a human wrote it; everything but `none` never opens a contact."""

    NONE = "none"
    BOUNCE = "bounce"
    AUTO_REPLY = "auto_reply"
    OUT_OF_OFFICE = "ooo"
    LIST = "list"
    COMPLAINT = "complaint"
    RECEIPT = "mdn"


class Delivery(StrEnum):
    """How far a reply or an attempt got on its way to the customer. What is read has been delivered."""

    QUEUED = "queued"
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    REJECTED = "rejected"


class OutboundState(StrEnum):
    """What became of an outbound message."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Topic(StrEnum):
    """The two input topics. Commands are read first: an accept never waits behind a surge."""

    COMMANDS = "commands"
    INBOUND = "inbound"


def channel_name(kind: str, account: str) -> str:
    """The name of a channel in API paths and metrics: `kind:account`."""
    return f"{kind}:{account}"
