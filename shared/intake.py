"""The one way in for a customer's message: what `Intake.accept` has returned is durable, and counts once.

Every ingest service and `POST /v1/messages` come through here. Text and addresses go to the content store, facts go to
the `inbound` topic as a `ReceiveMessage`. Content is written first: a record on the topic never points at nothing.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from shared.clock import Clock
from shared.contracts.commands import Actor, Command, Input, LanguageCandidate, Reach, ReceiveMessage
from shared.contracts.message import Address, InboundMessage
from shared.ids import address_key, address_ref, content_ref, message_command_id, thread_key
from shared.language import LanguageDetector, fold_language
from shared.log.codec import encode, encode_input
from shared.log.port import Content, Inputs, LogUnavailable, Text
from shared.views.port import Views
from shared.vocabulary import ChannelKind, CommandId, ThreadKey, Topic

log = logging.getLogger(__name__)

TRUSTED_THREAD: Final = "key:"
"""How a trusted adapter hands over a thread key that it once gave out itself: `key:` and the key."""

DEADLINE_S: Final = 5.0
"""For everything that `Intake.accept` waits for together. Each write has a deadline of its own, and three in a row
would keep a customer or a provider waiting for three of them."""

AccountOf = Callable[[str, ChannelKind], str | Awaitable[str | None] | None]
"""The workspace's first account of a kind, if there is one. May be a coroutine function."""


class UnknownChannel(Exception):
    """The message names no account, and the workspace has none of this kind."""

    def __init__(self, workspace: str, channel: ChannelKind) -> None:
        super().__init__(f"workspace {workspace!r} has no channel of kind {channel.value!r}")
        self.workspace = workspace
        self.channel = channel


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was made durable: the command to look for in the views, and where it will be decided."""

    command_id: CommandId
    workspace: str
    partition: int


async def submit(
    inputs: Inputs,
    clock: Clock,
    partition_of: Callable[[str], int],
    *,
    workspace: str,
    command: Command,
    command_id: str,
    actor: Actor,
) -> Receipt:
    """Append an adapter's own command (a delivery report, a customer who left) to `commands`; durable on return.

    Raises `LogUnavailable`; trying again with the same `command_id` is safe.
    """
    record = Input(id=command_id, workspace=workspace, actor=actor, received_at=clock.now_ms(), command=command)
    partition = partition_of(workspace)
    await inputs.append(Topic.COMMANDS, partition, encode_input(record))
    return Receipt(CommandId(command_id), workspace, partition)


def normal_address(channel: str, address: str) -> str:
    """The spelling under which an address is known: e-mail without regard to case, everything else as it is."""
    return address.strip().lower() if channel == ChannelKind.EMAIL else address.strip()


class Intake:
    """Makes normalised messages durable."""

    def __init__(
        self,
        inputs: Inputs,
        content: Content,
        clock: Clock,
        partition_of: Callable[[str], int],
        detector: LanguageDetector,
        policy_accounts: AccountOf | None = None,
    ) -> None:
        self._inputs = inputs
        self._content = content
        self._clock = clock
        self._partition_of = partition_of
        self._detector = detector
        self._policy_accounts = policy_accounts

    async def accept(
        self,
        workspace: str,
        message: InboundMessage,
        *,
        actor: Actor,
        trusted_thread: bool = False,
        extra: Mapping[str, str] | None = None,
    ) -> Receipt:
        """Store a message for good. The same `source_key` is the same message: its first text stays.

        `trusted_thread` lets a `thread` of the form `key:…` name a thread key that we signed ourselves; from anybody
        else it is a native id like any other. `extra` goes into the stored body beside the text (a mail's untrimmed
        text). Raises `UnknownChannel`, and `LogUnavailable` within `DEADLINE_S`: nothing is known, the message may be
        stored now or later. Answer 503 or 451 and let them try again, which is harmless: its id is the same.
        """
        within = asyncio.timeout(DEADLINE_S)
        try:
            async with within:
                return await self._accept(workspace, message, actor, trusted_thread, extra or {})
        except TimeoutError as error:
            if not within.expired():
                raise
            raise LogUnavailable(f"not known after {DEADLINE_S:.0f} s whether a message is stored") from error

    async def _accept(
        self, workspace: str, message: InboundMessage, actor: Actor, trusted_thread: bool, extra: Mapping[str, str]
    ) -> Receipt:
        account = message.account or await self._first_account(workspace, message.channel)
        if account is None:
            raise UnknownChannel(workspace, message.channel)
        channel = message.channel.value
        sender_id = normal_address(channel, message.sender.id)
        sender = address_key(workspace, channel, sender_id)
        received_at = self._clock.now_ms()
        reach = [
            Reach(channel=channel, account=account, key=sender, verified=message.sender.verified, consent=True),
        ]
        body_ref = content_ref(workspace, message.source_key)
        # A repeated source key must not be able to change what an agent has already read, and a merely claimed address
        # must not replace what we know of its real owner: those count only if they are the first. The address that
        # the message came from is the newest that is known of it.
        texts = [
            Text(body_ref, _body(message, received_at, extra), sender, first=True),
            Text(
                address_ref(sender),
                _address(channel, account, sender_id, message.sender.name, message.native),
                sender,
            ),
        ]
        for address in message.sender.addresses:
            known = await self._reach(workspace, address, account if address.channel == message.channel else None)
            if known is not None and known.key not in {seen.key for seen in reach}:
                reach.append(known)
                stored = _address(known.channel, known.account, address.address, message.sender.name, {})
                texts.append(Text(address_ref(known.key), stored, sender, first=True))
        await self._content.put_all(workspace, texts)

        has_text = bool(message.text and message.text.strip())
        command = ReceiveMessage(
            source_key=message.source_key,
            channel=channel,
            account=account,
            thread=self._thread(workspace, channel, account, message.thread or sender_id, trusted_thread),
            sender=sender,
            message_kind=message.kind,
            content_ref=body_ref,
            has_text=has_text,
            verified=message.sender.verified,
            auto=message.auto,
            refers_to=message.refers_to,
            language=fold_language(message.language) if message.language else None,
            language_confidence=message.language_confidence,
            candidates=self._candidates(message),
            queue=message.queue,
            skills=message.skills,
            priority=message.priority,
            attributes=message.attributes,
            reach=tuple(reach),
            provider_at=_milliseconds(message.provider_time),
        )
        # No digest: a provider's second delivery may differ in its bytes and is still the same message.
        record = Input(
            id=message_command_id(workspace, message.source_key),
            workspace=workspace,
            actor=actor,
            received_at=received_at,
            command=command,
        )
        partition = self._partition_of(workspace)
        await self._inputs.append(Topic.INBOUND, partition, encode_input(record))
        return Receipt(CommandId(record.id), workspace, partition)

    async def _first_account(self, workspace: str, channel: ChannelKind) -> str | None:
        if self._policy_accounts is None:
            return None
        answer = self._policy_accounts(workspace, channel)
        if inspect.isawaitable(answer):
            answer = await answer
        return answer

    async def _reach(self, workspace: str, address: Address, own_account: str | None) -> Reach | None:
        """One further way to the sender, or nothing where we have no account to write from."""
        account = address.account or own_account or await self._first_account(workspace, address.channel)
        if account is None:
            return None
        channel = address.channel.value
        return Reach(
            channel=channel,
            account=account,
            key=address_key(workspace, channel, normal_address(channel, address.address)),
            verified=address.verified,
            consent=address.consent,
        )

    @staticmethod
    def _thread(workspace: str, channel: str, account: str, native: str, trusted: bool) -> ThreadKey:
        if trusted and native.startswith(TRUSTED_THREAD):
            return ThreadKey(native.removeprefix(TRUSTED_THREAD))
        return thread_key(workspace, channel, account, native)

    def _candidates(self, message: InboundMessage) -> tuple[LanguageCandidate, ...]:
        """What the detector thinks. A detector that fails costs the language, never the message."""
        text = "\n".join(part for part in (message.subject, message.text) if part)
        try:
            return self._detector.detect(text)[:5]
        except Exception:
            log.exception("language detection failed")
            return ()


def _body(message: InboundMessage, received_at: int, extra: Mapping[str, str]) -> bytes:
    sender = message.sender
    return encode(
        {
            "text": message.text,
            "subject": message.subject,
            "html": message.html,
            "sender": {
                "id": sender.id,
                "name": sender.name,
                "addresses": [address.model_dump(mode="json") for address in sender.addresses],
            },
            "attachments": [attachment.model_dump(mode="json") for attachment in message.attachments],
            "native": message.native,
            "received_at": received_at,
            **extra,
        }
    )


def _address(channel: str, account: str, address: str, name: str | None, native: Mapping[str, Any]) -> bytes:
    return encode({"channel": channel, "account": account, "address": address, "name": name, "native": native})


def _milliseconds(moment: datetime | None) -> int | None:
    """A provider's time in milliseconds; without a zone it is taken as UTC."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def first_account_of(views: Views) -> Callable[[str, ChannelKind], Awaitable[str | None]]:
    """For messages that name no account: the first one of their kind in the policy in force."""

    async def first_account(workspace: str, kind: ChannelKind) -> str | None:
        current = await views.get(workspace, "policy", "current")
        channels = current["policy"]["channels"] if current else ()
        return next((str(channel["account"]) for channel in channels if channel["kind"] == kind.value), None)

    return first_account
