"""Carrying replies and outbound messages out: follows the `delivery` documents, hands each to a carrier, reports.

At least once: after a restart everything that has no final status is carried again, so a carrier must make a repeat
harmless (the message id names the mail, the file, the request). Retryable trouble is retried with back-off until the
reply is too old; then the agent is told that it failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from shared.clock import Clock, new_id
from shared.contracts.commands import Actor, ReportDelivery
from shared.ids import address_ref, keyed_command_id
from shared.intake import submit
from shared.log.port import Content, Inputs, LogUnavailable
from shared.views.port import Views, ViewsUnavailable, Watch
from shared.vocabulary import AddressKey, Delivery, MessageId

log = logging.getLogger(__name__)

_PAGE: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """All that a carrier needs. `native` are the facts of the customer's last message on this thread, `subject` is what
    that was called; `title` what an outbound message is called itself. `contact` is empty where there is none."""

    workspace: str
    message: str
    contact: str
    channel: str
    account: str
    thread: str
    text: str
    author_name: str | None
    address: str
    name: str | None
    native: Mapping[str, str]
    subject: str | None
    queued_at: int | None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """The channel has it."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """It will never get there this way. `detail` is the machine's reason, never a customer's word."""

    detail: str


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Not now. `after_s` is what the channel asked for, if it did."""

    detail: str
    after_s: float | None = None


Outcome = Delivered | Failed | TryAgain


class Carrier(Protocol):
    """One channel's way out."""

    async def carry(self, reply: Reply) -> Outcome:
        """Bounded in time; may be called again with the same reply. An exception counts as `TryAgain`."""
        ...


@dataclass(slots=True)
class _Pending:
    attempts: int = 0
    not_before: float = 0.0
    outcome: Delivered | Failed | None = None
    """Carried, but the report is not yet known to be durable."""


@dataclass(slots=True)
class DeliveryDesk:
    """One service's replies; those of channels that are not among `accounts` are left alone."""

    views: Views
    content: Content
    inputs: Inputs
    clock: Clock
    partition_of: Callable[[str], int]
    actor: Actor
    carriers: Mapping[str, Carrier]
    """By kind of channel."""
    workspaces: Collection[str]
    accounts: Collection[tuple[str, str, str]]
    """(workspace, kind, account): the channels that this service answers for."""
    give_up_after_s: float = 86_400
    backoff_s: float = 1.0
    longest_backoff_s: float = 300.0
    most_at_once: int = 16
    poll_s: float = 5.0
    """A hint may be lost: look again after this time anyway."""
    claim_s: float = 60.0
    """Longer than a carrier takes; a process that died holds its conversations up for so long."""
    _pending: dict[tuple[str, str], _Pending] = field(default_factory=dict)
    _done: dict[tuple[str, str], None] = field(default_factory=dict)
    _me: str = field(default_factory=lambda: new_id("d"))

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; what is being carried at that moment gets a second to end."""
        async with asyncio.TaskGroup() as group:
            for workspace in sorted(set(self.workspaces)):
                group.create_task(self._serve(workspace, stopping))

    async def _serve(self, workspace: str, stopping: asyncio.Event) -> None:
        """One conversation's replies go in order, one after the other; a slow conversation holds up no other."""
        busy: dict[str, asyncio.Task[None]] = {}
        woken = asyncio.Event()
        async with self.views.watch(workspace, "delivery") as hints, asyncio.TaskGroup() as group:
            listener = group.create_task(_pass_on(hints, woken, self.poll_s))
            stopper = group.create_task(_set_after(stopping, woken))
            while not stopping.is_set():
                woken.clear()
                try:
                    threads = await self._due(workspace)
                except ViewsUnavailable as error:
                    log.warning("replies cannot be looked for", extra={"reason": str(error)})
                    threads = {}
                for thread, documents in threads.items():
                    if thread not in busy and len(busy) < self.most_at_once:
                        busy[thread] = group.create_task(self._conversation(workspace, thread, documents, busy, woken))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), self._next_s(workspace))
            listener.cancel()
            stopper.cancel()
            if busy:
                await asyncio.wait(list(busy.values()), timeout=1.0)
            for task in list(busy.values()):
                task.cancel()

    async def _due(self, workspace: str) -> dict[str, list[Mapping[str, Any]]]:
        """What is ours and not yet done, by conversation, the oldest first."""
        threads: dict[str, list[Mapping[str, Any]]] = {}
        there: set[tuple[str, str]] = set()
        after = ""
        while True:
            page = await self.views.list(workspace, "delivery", after=after, limit=_PAGE)
            for document in page:
                after = str(document["message"])
                channel = (workspace, str(document["channel"]), str(document["account"]))
                there.add((workspace, after))
                if channel in self.accounts and channel[1] in self.carriers and (workspace, after) not in self._done:
                    threads.setdefault(str(document["thread"]), []).append(document)
            if len(page) < _PAGE:
                break
        for gone in [key for key in self._pending if key[0] == workspace and key not in there]:
            del self._pending[gone]
        now = self.clock.monotonic()
        for thread, documents in list(threads.items()):
            documents.sort(key=lambda document: (document.get("queued_at") or 0, str(document["message"])))
            first = self._pending.setdefault((workspace, str(documents[0]["message"])), _Pending())
            if first.not_before > now:
                del threads[thread]
        return threads

    def _next_s(self, workspace: str) -> float:
        """Seconds until the next retry is due, or until it is time to look again anyway."""
        now = self.clock.monotonic()
        later = [p.not_before - now for key, p in self._pending.items() if key[0] == workspace and p.not_before > now]
        return max(0.01, min([self.poll_s, *later]))

    async def _conversation(
        self,
        workspace: str,
        thread: str,
        documents: list[Mapping[str, Any]],
        busy: dict[str, asyncio.Task[None]],
        woken: asyncio.Event,
    ) -> None:
        try:
            for document in documents:
                key = (workspace, str(document["message"]))
                if not await self._is_ours(workspace, thread, self._pending.setdefault(key, _Pending())):
                    return
                if not await self._attempt(workspace, document, self._pending.setdefault(key, _Pending())):
                    return
        finally:
            del busy[thread]
            woken.set()

    async def _is_ours(self, workspace: str, thread: str, pending: _Pending) -> bool:
        """Several processes may carry for one account; a conversation is one process's at a time."""
        try:
            if await self.views.claim(f"replies:{workspace}:{thread}", self._me, self.claim_s):
                return True
        except ViewsUnavailable as error:
            log.warning("replies cannot be claimed", extra={"reason": str(error)})
        pending.not_before = self.clock.monotonic() + self.poll_s
        return False

    async def _attempt(self, workspace: str, document: Mapping[str, Any], pending: _Pending) -> bool:
        """Carry one reply, and report it; whether it is done with."""
        message = str(document["message"])
        if pending.outcome is None:
            outcome = await self._carry(workspace, document)
            if isinstance(outcome, TryAgain):
                pending.attempts += 1
                age_s = (self.clock.now_ms() - int(document.get("queued_at") or self.clock.now_ms())) / 1000
                if age_s < self.give_up_after_s:
                    wait = min(self.longest_backoff_s, self.backoff_s * 2 ** min(pending.attempts - 1, 20))
                    pending.not_before = self.clock.monotonic() + max(wait, outcome.after_s or 0)
                    log.warning("reply could not be carried yet", extra={"message_id": message, "why": outcome.detail})
                    return False
                outcome = Failed(f"given up: {outcome.detail}")
            pending.outcome = outcome
        status = Delivery.DELIVERED if isinstance(pending.outcome, Delivered) else Delivery.FAILED
        try:
            await report_delivery(
                self.inputs,
                self.clock,
                self.partition_of,
                workspace,
                message,
                status,
                pending.outcome.detail,
                self.actor,
            )
        except LogUnavailable:
            pending.not_before = self.clock.monotonic() + self.backoff_s
            return False
        self._done[workspace, message] = None
        self._pending.pop((workspace, message), None)
        while len(self._done) > 10_000:
            del self._done[next(iter(self._done))]
        return True

    async def _carry(self, workspace: str, document: Mapping[str, Any]) -> Outcome:
        try:
            reply = await self.read_reply(workspace, document)
            if isinstance(reply, Failed):
                return reply
            return await self.carriers[reply.channel].carry(reply)
        except LogUnavailable as error:
            return TryAgain(f"content unavailable: {error}")
        except Exception as error:
            # A carrier's bug must neither lose the reply nor stop the others. Only the class is told: the text of
            # an exception may quote the customer.
            log.error(
                "carrying a reply failed", extra={"message_id": document["message"], "error": type(error).__name__}
            )
            return TryAgain(type(error).__name__)

    async def read_reply(self, workspace: str, document: Mapping[str, Any]) -> Reply | Failed:
        """The reply behind a document, or why there is none to carry (its text or address was erased)."""
        ref, where = str(document["ref"]), address_ref(AddressKey(str(document["address"])))
        last = await self._last_customer_ref(workspace, document)
        found = await self.content.get_many(workspace, [ref, where, *([last] if last else [])])
        if ref not in found or where not in found:
            return Failed("erased")
        body, address = json.loads(found[ref]), json.loads(found[where])
        asked = json.loads(found[last]) if last in found else {}
        native = asked.get("native") or address.get("native") or {}
        return Reply(
            workspace=workspace,
            message=str(document["message"]),
            contact=str(document["contact"] or ""),
            channel=str(document["channel"]),
            account=str(document["account"]),
            thread=str(document["thread"]),
            text=str(body.get("text") or ""),
            author_name=body.get("author_name"),
            address=str(address["address"]),
            name=address.get("name"),
            native=native,
            subject=asked.get("subject"),
            queued_at=document.get("queued_at"),
            title=body.get("subject"),
        )

    async def _last_customer_ref(self, workspace: str, document: Mapping[str, Any]) -> str:
        """Where the customer's last message on this thread lies: the address knows only their last one anywhere."""
        if document["contact"] is None:
            return ""
        transcript = await self.views.get(workspace, "messages", str(document["contact"]))
        for message in reversed((transcript or {}).get("messages", ())):
            if message.get("direction") == "customer" and message.get("thread") == document["thread"]:
                return str(message["ref"])
        return ""


async def _pass_on(hints: Watch, woken: asyncio.Event, timeout_s: float) -> None:
    while True:
        if await hints.wait(timeout_s):
            woken.set()


async def _set_after(stopping: asyncio.Event, woken: asyncio.Event) -> None:
    await stopping.wait()
    woken.set()


async def report_delivery(
    inputs: Inputs,
    clock: Clock,
    partition_of: Callable[[str], int],
    workspace: str,
    message: str,
    status: Delivery,
    detail: str,
    actor: Actor,
) -> None:
    """Tell the router how far a reply got. The same report twice is one: its id says message and status."""
    await submit(
        inputs,
        clock,
        partition_of,
        workspace=workspace,
        command=ReportDelivery(message=MessageId(message), status=status, detail=detail[:200]),
        command_id=keyed_command_id(workspace, actor.id, f"delivery:{message}:{status.value}"),
        actor=actor,
    )


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all; the same name again replaces it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def file_name(message: str) -> str:
    """A message id as a file name: ids are ours, but a name never leaves its folder."""
    return "".join(char if char.isalnum() or char in "-_." else "_" for char in message).lstrip(".")[:120] or "message"
