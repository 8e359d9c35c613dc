"""What the API is given, and nothing else: ports, callables and settings, in one record. No module keeps state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.router.adoptions import Adoptions
from services.router.api.auth import AuthSettings
from services.router.api.leases import Leases
from services.router.metrics import RouterMetrics
from shared.admin import Ready
from shared.clock import Clock
from shared.contracts.commands import Actor
from shared.contracts.message import InboundMessage
from shared.log.port import Log
from shared.quotas import Quotas
from shared.views.port import Views


class AcceptedMessage(Protocol):
    """The part of an intake's receipt that the API reads."""

    @property
    def command_id(self) -> str: ...


class MessageIntake(Protocol):
    """Makes a customer's message durable (`shared.intake.Intake`)."""

    async def accept(self, workspace: str, message: InboundMessage, *, actor: Actor) -> AcceptedMessage:
        """Durable when it returns. Raises `LogUnavailable`, `shared.intake.UnknownChannel`."""
        ...


History = Callable[[str, str, list[int]], Awaitable[Sequence[Mapping[str, Any]]]]
"""`(workspace, contact, seqs)`: the contact's events out of those entries, in order, each as
`{seq, index, at, type, data}` with `at` in milliseconds and `data` the event's fields."""

Feed = Callable[[str, str | None], AsyncIterator[Mapping[str, Any]]]
"""`(workspace, after)`: the workspace's public events behind the id `after` (None: from now on), without end, each as
`{id, type, at, sequence, subject, data}`; `id` is `partition:seq:index`, `sequence` counts up without gaps. Raises
`LookupError` on the first step if `after` is no longer known."""

Bystanders = Callable[[int, str, str, tuple[int, int] | None], Awaitable[Mapping[str, Any]]]
"""`(partition, workspace, contact, place)`: how every agent stood at the decision in `place` (entry, index), or stands
now, as `services.router.bystanders` says it. Raises its `CannotExplain`."""

Replicas = Callable[[], Awaitable[list[dict[str, Any]]]]
"""Every replica as `{replica, partition, leader, seq, state_hash}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one caller may ask of this process."""

    body_bytes: int = 1_048_576
    policy_bytes: int = 262_144
    webhook_bytes: int = 262_144
    body_read_s: float = 30.0
    poll_s: float = 25.0
    fresh_s: float = 2.0
    durable_s: float = 5.0
    streams: int = 10_000
    streams_per_caller: int = 8
    heartbeat_s: float = 15.0
    send_s: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiDeps:
    """Everything the API works with. `stopping` ends streams and polls; the caller stops the server afterwards."""

    log: Log
    views: Views
    clock: Clock
    partition_of: Callable[[str], int]
    intake: MessageIntake
    auth: AuthSettings
    metrics: RouterMetrics
    leases: Leases
    history: History
    feed: Feed
    adoptions: Callable[[str], Adoptions]
    """By workspace, the policies that its journal knows of."""
    replicas: Replicas
    stopping: asyncio.Event
    bystanders: Bystanders | None = None
    """None where the log cannot be read beside this process."""
    saves: Ready = field(default=lambda: True)
    """Whether the log takes what is said here: True, or words why not. Desks are told."""
    quotas: Quotas | None = None
    """How many messages one source may send in; None: any number."""
    limits: Limits = field(default_factory=Limits)
    wait_s: float = 5.0
    docs: bool = False
