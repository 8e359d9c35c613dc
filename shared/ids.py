"""Ids that derive from what they name: the same cause always gives the same id, so that a repeat is recognised.

SHA-256, cut to 96 bits, with the parts separated so that no two different tuples meet.
"""

from __future__ import annotations

import hashlib

from shared.vocabulary import AddressKey, CommandId, ThreadKey


def _digest(*parts: str) -> str:
    joined = "\x1f".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(joined).hexdigest()[:24]


def message_command_id(workspace: str, source_key: str) -> CommandId:
    """The command that a customer's message becomes, whoever delivers it and however often."""
    return CommandId("m" + _digest(workspace, source_key))


def keyed_command_id(workspace: str, caller: str, idempotency_key: str) -> CommandId:
    """The command behind an `Idempotency-Key` of one caller."""
    return CommandId("k" + _digest(workspace, caller, idempotency_key))


def hours_command_id(workspace: str, version: int, until: int, queue: str) -> CommandId:
    """The command that continues the opening hours of a policy's version; `queue`: the first one it names."""
    return CommandId("h" + _digest(workspace, str(version), str(until), queue))


def thread_key(workspace: str, channel: str, account: str, native_thread: str) -> ThreadKey:
    """A conversation as its channel knows it."""
    return ThreadKey("t" + _digest(workspace, channel, account, native_thread))


def address_key(workspace: str, channel: str, address: str) -> AddressKey:
    """Where a customer can be written to. The caller normalises the address first (e-mail: lower case)."""
    return AddressKey("a" + _digest(workspace, channel, address))


def content_ref(workspace: str, source_key: str) -> str:
    """Where a message's text lies."""
    return "m:" + _digest(workspace, source_key)


def address_ref(key: AddressKey) -> str:
    """Where an address lies."""
    return f"a:{key}"


def body_digest(body: bytes) -> str:
    """A short hash of a request's body, to tell a retry from another request under the same key."""
    return hashlib.sha256(body).hexdigest()[:24]
