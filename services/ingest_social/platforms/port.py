"""What the webhook and the way out need of a provider. A new provider is one class with these six members."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from shared.contracts.message import InboundMessage
from shared.delivery import Outcome, Reply
from shared.vocabulary import ChannelKind


class BadSignature(Exception):
    """The request is not the provider's. `missing` tells 401 from 403."""

    def __init__(self, reason: str, *, missing: bool = False) -> None:
        super().__init__(reason)
        self.missing = missing


class Unreadable(Exception):
    """The request is the provider's and makes no sense; the text names the place, never a value."""


@dataclass(slots=True)
class Batch:
    """One request: messages in order, and what could not be understood."""

    messages: list[InboundMessage] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


class Platform(Protocol):
    """One provider and its accounts."""

    channel: ChannelKind
    signature_header: str

    def workspace_of(self, account: str) -> str | None:
        """Whose account it is; nothing if we do not have it."""
        ...

    def verify(self, account: str, headers: Mapping[str, str], body: bytes) -> None:
        """Raises `BadSignature` unless the provider sent exactly these bytes. A missing header is never let pass."""
        ...

    def handshake(self, account: str, query: Mapping[str, str]) -> str | None:
        """The answer to the provider's GET; nothing if it is not the provider's."""
        ...

    def parse(self, account: str, body: bytes) -> Batch:
        """What customers did. Raises `Unreadable` if nothing of it can be understood."""
        ...

    async def send(self, reply: Reply) -> Outcome | None:
        """Send a reply; nothing if there are no means to (then it goes to the outbox)."""
        ...

    def request_of(self, reply: Reply) -> Mapping[str, Any]:
        """What would be sent, without secrets: for the outbox."""
        ...


def read_json(body: bytes) -> dict[str, Any]:
    """A JSON object, strictly: no NaN, no lone surrogates, UTF-8. Raises `Unreadable`."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        raise Unreadable("not strict JSON") from None
    if not isinstance(decoded, dict):
        raise Unreadable("not an object")
    return decoded


def mapping(value: Any, place: str) -> Mapping[str, Any]:
    """`value` if it is an object. Raises `Unreadable`."""
    if not isinstance(value, dict):
        raise Unreadable(f"{place}: not an object")
    return value


def text(value: Any, place: str) -> str:
    """`value` if it is a text. Raises `Unreadable`."""
    if not isinstance(value, str):
        raise Unreadable(f"{place}: not a text")
    return value


def native_id(value: Any, place: str) -> str:
    """A native id as text. Ids may be integers of 64 bits; a float has lost its last digits already."""
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise Unreadable(f"{place}: not an id")
    return str(value)


def whole(value: Any, place: str) -> int:
    """`value` if it is a sane time or number. Raises `Unreadable`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**15:
        raise Unreadable(f"{place}: not a number")
    return value


def source_key(channel: ChannelKind, account: str, event: str, *parts: str) -> str:
    """`{channel}:{account}:{event}:{native id}`; an overlong id by its hash."""
    native = ":".join(parts)
    if len(native) > 150:
        native = "long-" + hashlib.sha256(native.encode()).hexdigest()
    return f"{channel.value}:{account}:{event}:{native}"


def pieces(content: str, longest: int) -> Iterator[str]:
    """A text in pieces that the provider takes, broken between lines or words where that is possible."""
    rest = content
    while len(rest) > longest:
        cut = max(rest.rfind("\n", 0, longest), rest.rfind(" ", 0, longest))
        cut = cut if cut > longest // 2 else longest
        yield rest[:cut]
        rest = rest[cut:].lstrip()
    if rest:
        yield rest


def clipped(value: Any, longest: int) -> str | None:
    """A display text of bounded length, or nothing."""
    return value[:longest] if isinstance(value, str) and value.strip() else None


def join_names(parts: Sequence[Any]) -> str | None:
    named = " ".join(part for part in parts if isinstance(part, str) and part.strip())
    return clipped(named, 200)
