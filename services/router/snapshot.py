"""A state to bytes and back, and its hash.

Facts only: what is derived is derived again. `FORMAT`: zlib over msgspec's JSON of the records as they are.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from services.router.engine.outbound_records import Outbound
from services.router.engine.records import (
    Agent,
    Answer,
    ChannelState,
    Contact,
    Customer,
    Key,
    Offer,
    Thread,
)
from services.router.engine.slo import Load
from services.router.engine.state import State, Workspace
from services.router.engine.waits import Line
from shared.log.port import LogCorrupt, Snapshot
from shared.vocabulary import AddressKey, CustomerId, MessageId

FORMAT = 11
"""Goes up with every change of what the bytes mean. Snapshots of another one are passed over: the journal is folded.
But a journal that was trimmed has nothing else to begin from, so whoever lets it go up keeps the format before it
readable (`tests/golden/test_trimmed.py`)."""

UNREADABLE = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError)
"""What bytes that decode into something else than a state raise, wherever it is noticed."""


class _WorkspaceWire(msgspec.Struct):
    name: str
    created_at: int
    sequence: int
    policy_version: int
    policy: dict[str, Any] | None
    health_version: int
    queue_hours: dict[str, tuple[bool, int]]
    queue_limits: dict[str, int | None]
    frozen: list[str]
    agent_limit: tuple[int | None] | None
    reserve_reviewed: int
    races: dict[str, int]
    loads: dict[str, Load]
    lines: dict[str, Line]
    keys: list[Key]
    agents: list[Agent]
    contacts: list[Contact]
    offers: list[Offer]
    threads: list[Thread]
    customers: list[Customer]
    identities: dict[str, str]
    channels: list[ChannelState]
    replies: list[str]
    outbounds: list[Outbound]


class _StateWire(msgspec.Struct, omit_defaults=True):
    """What has a default is left out where it has it: a state that says nothing of it has the bytes and the hash that
    it had before there was such a field."""

    at: int
    positions: tuple[int, int]
    workspaces: list[_WorkspaceWire]
    answers: dict[int, dict[str, Answer]]
    seen: dict[int, dict[str, str]]
    contracts: int = 0
    contracts_of: str = ""


_decoder = msgspec.json.Decoder(_StateWire)


def _by(values: Mapping[str, Any]) -> list[Any]:
    return [values[key] for key in sorted(values)]


def _wire(state: State) -> _StateWire:
    return _StateWire(
        at=state.at,
        positions=state.positions,
        workspaces=[
            _WorkspaceWire(
                name=ws.name,
                created_at=ws.created_at,
                sequence=ws.sequence,
                policy_version=ws.policy_version,
                policy=dict(ws.policy_document) if ws.policy_document is not None else None,
                health_version=ws.health_version,
                queue_hours=dict(sorted(ws.queue_hours.items())),
                queue_limits=dict(sorted(ws.queue_limits.items())),
                frozen=sorted(ws.frozen),
                agent_limit=ws.agent_limit,
                reserve_reviewed=ws.reserve_reviewed,
                races=dict(sorted(ws.races.items())),
                loads=dict(sorted(ws.loads.items())),
                lines=dict(sorted(ws.lines.items())),
                keys=_by(ws.keys),
                agents=_by(ws.agents),
                contacts=_by(ws.contacts),
                offers=_by(ws.offers),
                threads=_by(ws.threads),
                customers=_by(ws.customers),
                identities={str(key): str(customer) for key, customer in sorted(ws.identities.items())},
                channels=_by(ws.channels),
                replies=sorted(ws.messages),
                outbounds=_by(ws.outbounds),
            )
            for ws in _by(state.workspaces)
        ],
        answers=state.answers,
        seen=state.seen,
        contracts=state.contracts,
        contracts_of=state.contracts_of,
    )


def dump(state: State) -> bytes:
    """The bytes of a state without pending changes."""
    return zlib.compress(msgspec.json.encode(_wire(state)), 1)


def load(data: bytes) -> State:
    """The state behind the bytes. Raises `LogCorrupt`."""
    try:
        wire = _decoder.decode(zlib.decompress(data))
    except (msgspec.DecodeError, zlib.error) as error:
        raise LogCorrupt(f"the snapshot cannot be read: {error}") from error
    state = State()
    state.at = wire.at
    state.positions = wire.positions
    state.answers = wire.answers
    state.seen = wire.seen
    state.contracts, state.contracts_of = wire.contracts, wire.contracts_of
    try:
        for ws in wire.workspaces:
            state.workspaces[ws.name] = _workspace(ws)
    except UNREADABLE as error:
        raise LogCorrupt(f"the snapshot contradicts itself: {error!r}") from error
    return state


def _workspace(wire: _WorkspaceWire) -> Workspace:
    ws = Workspace(wire.name, wire.created_at)
    ws.sequence = wire.sequence
    if wire.policy is not None:
        ws.set_policy(wire.policy_version, wire.policy)
    ws.health_version = wire.health_version
    ws.queue_hours = wire.queue_hours
    ws.queue_limits = wire.queue_limits
    ws.frozen = frozenset(wire.frozen)
    ws.agent_limit = wire.agent_limit
    ws.reserve_reviewed = wire.reserve_reviewed
    ws.races = wire.races
    ws.loads = wire.loads
    ws.lines = wire.lines
    ws.keys = {key.key_id: key for key in wire.keys}
    ws.agents = {agent.id: agent for agent in wire.agents}
    ws.contacts = {contact.id: contact for contact in wire.contacts}
    ws.offers = {offer.id: offer for offer in wire.offers}
    ws.threads = {thread.key: thread for thread in wire.threads}
    ws.customers = {customer.id: customer for customer in wire.customers}
    ws.identities = {AddressKey(key): CustomerId(customer) for key, customer in wire.identities.items()}
    ws.channels = {channel.name: channel for channel in wire.channels}
    replies = set(wire.replies)
    for contact in wire.contacts:
        for message in contact.messages:
            if message.id in replies:
                ws.messages[MessageId(message.id)] = (contact.id, message)
    ws.outbounds = {outbound.id: outbound for outbound in wire.outbounds}
    for outbound in wire.outbounds:
        ws.attempts.update({attempt.id: outbound.id for attempt in outbound.attempts if attempt.id is not None})
    return ws


def state_hash(state: State) -> str:
    """SHA-256 over all facts in a canonical order: equal for every replica that folded the same entries."""
    wire = msgspec.to_builtins(_wire(state), str_keys=True)
    return hashlib.sha256(msgspec.json.encode(wire, order="deterministic")).hexdigest()


def to_bytes(saved: Snapshot) -> bytes:
    """A whole snapshot as one file, for handing it from the worker to the owner of the log."""
    return msgspec.msgpack.encode(saved)


def from_bytes(data: bytes) -> Snapshot:
    """The snapshot behind `to_bytes`. Raises `LogCorrupt`."""
    try:
        return msgspec.msgpack.decode(data, type=Snapshot)
    except msgspec.DecodeError as error:
        raise LogCorrupt(f"the snapshot's file cannot be read: {error}") from error
