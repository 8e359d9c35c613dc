"""Records to bytes and back: one codec for inputs, journal entries and snapshots.

JSON by msgspec, because an operator can read it and msgspec is fast enough that nothing else was worth having
(`docs/adr/0002-plain-records-inside.md`). A record is written as `[type, {fields}]`; a type whose shape changes gets a
new name with a version (`OfferMade.2`) beside the old one, which every later release still reads.
"""

from __future__ import annotations

import types
from typing import Any, get_args

import msgspec

from shared.contracts import commands, events
from shared.log.port import LogCorrupt

INPUT_VERSION = 1


class _InputWire(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    v: int
    id: str
    workspace: str
    actor: commands.Actor
    received_at: int
    digest: str = ""
    type: str
    data: msgspec.Raw


def _table(union: types.UnionType) -> dict[str, msgspec.json.Decoder[Any]]:
    return {cls.__name__: msgspec.json.Decoder(cls) for cls in get_args(union)}


_COMMANDS = _table(commands.Command)
_EVENTS = _table(events.Event)
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()
_input_decoder = msgspec.json.Decoder(_InputWire)


def encode(value: Any) -> bytes:
    """JSON bytes of anything made of records, mappings, sequences and scalars."""
    return _encoder.encode(value)


def decode(data: bytes) -> Any:
    """What `encode` was given, as plain dicts, lists and scalars. Raises ValueError."""
    return _decoder.decode(data)


def encode_input(record: commands.Input) -> bytes:
    """The bytes of an input, as they lie in `commands` or `inbound`."""
    command = record.command
    return _encoder.encode(
        {
            "v": INPUT_VERSION,
            "id": record.id,
            "workspace": record.workspace,
            "actor": record.actor,
            "received_at": record.received_at,
            "digest": record.digest,
            "type": type(command).__name__,
            "data": command,
        }
    )


def decode_input(data: bytes) -> commands.Input:
    """The input behind the bytes.

    Raises `LogCorrupt` with the reason: such a record is poisoned and goes to the dead letters, never on its way.
    """
    try:
        wire = _input_decoder.decode(data)
        if wire.v != INPUT_VERSION:
            raise LogCorrupt(f"input of unknown version {wire.v}")
        decoder = _COMMANDS.get(wire.type)
        if decoder is None:
            raise LogCorrupt(f"input of unknown type {wire.type!r}")
        return commands.Input(
            id=wire.id,
            workspace=wire.workspace,
            actor=wire.actor,
            received_at=wire.received_at,
            digest=wire.digest,
            command=decoder.decode(wire.data),
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LogCorrupt(f"input cannot be read: {error}") from error


def event_pair(event: events.Event) -> tuple[str, events.Event]:
    """`[type, fields]`, as events lie in a journal entry."""
    return type(event).__name__, event


def decode_event(name: str, data: bytes | msgspec.Raw) -> events.Event:
    """The event behind a pair. Raises `LogCorrupt`: a journal that cannot be read stops the partition."""
    decoder = _EVENTS.get(name)
    if decoder is None:
        raise LogCorrupt(f"event of unknown type {name!r}")
    try:
        event: events.Event = decoder.decode(data)
    except msgspec.DecodeError as error:
        raise LogCorrupt(f"event {name} cannot be read: {error}") from error
    return event
