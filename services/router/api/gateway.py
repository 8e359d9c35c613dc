"""The way of a command: made durable on `commands`, answered once journaled.

The answer is a view document under the command's id, so it does not matter which process submitted, and a lost answer
costs one more look. A watch on that one document is opened before the append: the answer cannot slip in between. One
watch per command, not one per kind: a hint does not say which document changed, so a shared watch would make every
waiting command look at every answer.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.router.api.problems import KeyReused, OutcomeUnknown
from shared.clock import Clock, new_id
from shared.contracts.commands import Actor, Command, Input
from shared.ids import keyed_command_id
from shared.log.codec import encode_input
from shared.log.port import Inputs, LogUnavailable
from shared.views.port import Views, ViewsUnavailable, Watch
from shared.vocabulary import Topic

_RECHECK_S: Final = 1.0
"""Hints may be lost; nobody waits longer than this for an answer that is already there."""

_REMEMBERED: Final = 10_000
_LAST_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not, in the engine's words."""

    reason: str
    detail: str
    field: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a command. `duplicate`: it had been decided before this request. `note`: why nothing changed."""

    command_id: str
    seq: int
    subject: str | None
    refused: Refusal | None
    duplicate: bool
    note: str


@dataclass(frozen=True, slots=True)
class Pending:
    """Durable, not decided yet."""

    command_id: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """A command that this process saw and has not seen answered."""

    asker: str
    digest: str


class CommandGateway:
    """Submits commands and waits for their answers."""

    def __init__(
        self, inputs: Inputs, views: Views, clock: Clock, partition_of: Callable[[str], int], *, durable_s: float = 5.0
    ) -> None:
        self._inputs = inputs
        self._views = views
        self._clock = clock
        self._partition_of = partition_of
        self._durable_s = durable_s
        self._asked: OrderedDict[tuple[str, str], _Asked] = OrderedDict()
        self._under_way: dict[asyncio.Timeout, None] = {}
        self._hurries = False

    async def run(self, stopping: asyncio.Event) -> None:
        """Once `stopping` is set nobody is kept waiting: what is not durable within a second is unknown, what is not
        decided is pending. Requests have to be answered before the server hangs up on them."""
        await stopping.wait()
        self._hurries = True
        soon = asyncio.get_running_loop().time() + _LAST_S
        for timeout in self._under_way:
            if not timeout.expired():
                timeout.reschedule(min(timeout.when() or soon, soon))

    @staticmethod
    def command_id(workspace: str, actor: Actor, idempotency_key: str | None) -> str:
        """The id a command gets: the same for the same key of the same caller, else a fresh one."""
        if idempotency_key is None:
            return new_id("x")
        return keyed_command_id(workspace, _asker(actor), idempotency_key)

    async def submit(
        self,
        workspace: str,
        actor: Actor,
        command: Command,
        *,
        idempotency_key: str | None = None,
        command_id: str | None = None,
        digest: str = "",
        wait_s: float,
        durable_s: float | None = None,
    ) -> Answer | Pending:
        """Append the command and wait up to `wait_s` for the decision. Refusals are in the answer.

        Raises `OutcomeUnknown` when durability is not known and `KeyReused` when the id stood for another request.
        """
        command_id = command_id or self.command_id(workspace, actor, idempotency_key)
        record = Input(
            id=command_id,
            workspace=workspace,
            actor=actor,
            received_at=self._clock.now_ms(),
            command=command,
            digest=digest,
        )

        async def append() -> None:
            await self._inputs.append(Topic.COMMANDS, self._partition_of(workspace), encode_input(record))

        return await self.decided(
            workspace, actor, command_id, append, digest=digest, wait_s=wait_s, durable_s=durable_s
        )

    async def decided(
        self,
        workspace: str,
        actor: Actor,
        command_id: str,
        make_durable: Callable[[], Awaitable[object]],
        *,
        digest: str = "",
        wait_s: float,
        durable_s: float | None = None,
    ) -> Answer | Pending:
        """Run `make_durable` unless the command is already answered, then wait for the answer."""
        deadline = self._clock.monotonic() + wait_s
        repeated = await self.check_repeat(workspace, command_id, digest)
        if isinstance(repeated, Answer):
            return repeated
        async with self._views.watch(workspace, "answer", command_id) as watch:
            self._remember(workspace, command_id, _Asked(_asker(actor), digest))
            try:
                within_s = self._durable_s if durable_s is None else durable_s
                async with asyncio.timeout(min(_LAST_S, within_s) if self._hurries else within_s) as timeout:
                    self._under_way[timeout] = None
                    try:
                        await make_durable()
                    finally:
                        del self._under_way[timeout]
            except (TimeoutError, LogUnavailable):
                if repeated is None:
                    self._asked.pop((workspace, command_id), None)
                raise OutcomeUnknown() from None
            document = await self._answered(workspace, command_id, watch, deadline)
        if document is None:
            return Pending(command_id)
        self._asked.pop((workspace, command_id), None)
        return self._answer(document, digest, duplicate=repeated is not None)

    async def check_repeat(self, workspace: str, command_id: str, digest: str) -> Answer | Pending | None:
        """What is known of an earlier request under this id. Raises `KeyReused` if that was another request.

        While the views are away nothing is known: the command goes on, and the engine finds out about repeats.
        """
        try:
            document = await self._views.get(workspace, "answer", command_id)
        except ViewsUnavailable:
            document = None
        if document is not None:
            return self._answer(document, digest, duplicate=True)
        asked = self._asked.get((workspace, command_id))
        if asked is None:
            return None
        _refuse_other(asked.digest, digest)
        return Pending(command_id)

    async def result(self, workspace: str, actor: Actor, command_id: str) -> Answer | Pending | None:
        """What `GET /v1/commands/{id}` tells its caller; None for everybody else."""
        document = await self._views.get(workspace, "answer", command_id)
        if document is not None:
            owner = document.get("actor")
            return self._answer(document, "", duplicate=False) if owner in (None, _asker(actor)) else None
        asked = self._asked.get((workspace, command_id))
        return Pending(command_id) if asked is not None and asked.asker == _asker(actor) else None

    def _remember(self, workspace: str, command_id: str, asked: _Asked) -> None:
        self._asked.setdefault((workspace, command_id), asked)
        if len(self._asked) > _REMEMBERED:
            self._asked.popitem(last=False)

    async def _answered(
        self, workspace: str, command_id: str, watch: Watch, deadline: float
    ) -> Mapping[str, Any] | None:
        while True:
            try:
                document = await self._views.get(workspace, "answer", command_id)
            except ViewsUnavailable:
                # It is durable, and will be answered; where to read that is told by the caller's 202.
                return None
            if document is not None:
                return document
            left = deadline - self._clock.monotonic()
            if left <= 0 or self._hurries:
                return None
            await watch.wait(min(left, _RECHECK_S))

    @staticmethod
    def _answer(document: Mapping[str, Any], digest: str, *, duplicate: bool) -> Answer:
        _refuse_other(str(document.get("digest") or ""), digest)
        refused = document.get("refused")
        note = str(document.get("note") or "")
        return Answer(
            command_id=str(document["command_id"]),
            seq=int(document["seq"]),
            subject=document.get("subject"),
            refused=Refusal(refused["reason"], refused.get("detail") or "", refused.get("field")) if refused else None,
            duplicate=duplicate or bool(document.get("duplicate")) or note == "duplicate",
            note=note,
        )


def _asker(actor: Actor) -> str:
    return f"{actor.role.value}:{actor.id}"


def _refuse_other(first: str, second: str) -> None:
    if first and second and first != second:
        raise KeyReused("the first request under this key had another body or another address")
