"""The facts of outbound messages: what is to reach a customer, by which ways, and what was tried."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from services.router.engine.records import Record
from shared.contracts.commands import DeliveryStep
from shared.contracts.events import OutboundCreated
from shared.vocabulary import AddressKey, ContactId, Delivery, MessageId, OutboundId, OutboundState, ThreadKey


@dataclass(slots=True, kw_only=True)
class Attempt(Record):
    """One step that was tried. `given_up` says why the next one had its turn; `status_at` when `status` came (ms).

    `id` None: the channel was down, so that nothing was sent and nothing will be reported.
    """

    MUTABLE: ClassVar[tuple[str, ...]] = ("status", "status_at", "given_up", "duplicate_delivered")

    id: MessageId | None
    step: int
    channel: str
    account: str
    at: int
    status: str
    status_at: int
    thread: ThreadKey | None = None
    address: AddressKey | None = None
    given_up: str = ""
    duplicate_delivered: bool = False


@dataclass(slots=True, kw_only=True)
class Outbound(Record):
    """A message to a customer. `due`: when the attempt under way is given up if nothing more is heard of it;
    `deadline`: when all of it is (both ms). `skipped`: (step, reason) of steps that were no attempts."""

    MUTABLE: ClassVar[tuple[str, ...]] = ("state", "reason", "ended_at", "due", "skipped")

    id: OutboundId
    source_key: str
    contact: ContactId | None
    content_ref: str
    route: tuple[DeliveryStep, ...]
    created_at: int
    deadline: int
    state: OutboundState = OutboundState.PENDING
    reason: str = ""
    ended_at: int | None = None
    due: int | None = None
    skipped: tuple[tuple[int, str], ...] = ()
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def under_way(self) -> Attempt | None:
        """The attempt that is waited for."""
        last = self.attempts[-1] if self.attempts else None
        if self.state is not OutboundState.PENDING or last is None or last.given_up:
            return None
        return last

    def attempt(self, message: MessageId) -> Attempt:
        """The attempt of this id. Raises KeyError if there is none: a bug."""
        for attempt in self.attempts:
            if attempt.id == message:
                return attempt
        raise KeyError(message)


def outbound_of(created: OutboundCreated, at: int) -> Outbound:
    """The outbound message as it begins."""
    return Outbound(
        id=created.outbound,
        source_key=created.source_key,
        contact=created.contact,
        content_ref=created.content_ref,
        route=created.route,
        created_at=at,
        deadline=created.deadline,
    )


def source_of(source_key: str) -> str:
    """The name under which a source key is remembered: an inbound message may have the same one."""
    return f"outbound\x1f{source_key}"


def is_met(until: Delivery, status: Delivery) -> bool:
    """Whether a status is as much as a step asks for. What is read has been delivered."""
    return status is Delivery.READ or (status is Delivery.DELIVERED and until is Delivery.DELIVERED)
