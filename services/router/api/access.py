"""Who may call what: the one dependency that every route names, and the call it hands to the route.

Nothing is allowed unless a route says so: `build_api` refuses to start with a route that names no `allow(…)`.
"""

# No `from __future__ import annotations` here: FastAPI reads the annotations of `Allow.__call__`, an instance's method,
# and can resolve them only if they are real classes.

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, Request, Response

from services.router.api.answers import as_read, json_answer, public
from services.router.api.auth import Authenticator, Caller
from services.router.api.deps import ApiDeps
from services.router.api.gateway import Answer, CommandGateway, Pending
from services.router.api.problems import (
    Forbidden,
    Invalid,
    NotReady,
    OutcomeUnknown,
    Problem,
    UnknownAgent,
    ViewBehind,
    refusal,
)
from services.router.api.streams import StreamBook
from shared.contracts.commands import Command
from shared.ids import body_digest
from shared.log.port import Content, LogUnavailable
from shared.views.port import Views
from shared.vocabulary import AgentId, Role

ANSWER_LOOKS = 5
ANSWER_LOOK_S = 0.1
"""What a command did is seen before its answer, by less than these together."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What lives as long as the application: built once by `build_api`, found at `app.state.api`."""

    deps: ApiDeps
    auth: Authenticator
    gateway: CommandGateway
    streams: StreamBook


class Undecided(Exception):
    """A command is durable but not decided within the wait: answered with `202` and where to look."""

    def __init__(self, command_id: str) -> None:
        super().__init__(command_id)
        self.command_id = command_id

    def response(self) -> Response:
        where = f"/v1/commands/{self.command_id}"
        return json_answer({"command_id": self.command_id, "state": "pending", "result": where}, 202)


class Call:
    """One authenticated request. Handlers ask it for everything that is not in their own three lines."""

    __slots__ = ("_durable_until", "caller", "request", "runtime")

    def __init__(self, runtime: Runtime, request: Request, caller: Caller) -> None:
        self.runtime = runtime
        self.request = request
        self.caller = caller
        self._durable_until = runtime.deps.clock.monotonic() + runtime.deps.limits.durable_s

    @property
    def deps(self) -> ApiDeps:
        return self.runtime.deps

    @property
    def views(self) -> Views:
        return self.runtime.deps.views

    @property
    def content(self) -> Content:
        return self.runtime.deps.log.content

    @property
    def workspace(self) -> str:
        return self.caller.workspace

    @property
    def is_agent(self) -> bool:
        return self.caller.role is Role.AGENT

    def as_agent(self, agent: str) -> AgentId:
        """The agent of the path; for an agent, anybody else is nobody (`404`)."""
        if self.is_agent and agent != self.caller.id:
            raise UnknownAgent()
        return AgentId(agent)

    @property
    def idempotency_key(self) -> str | None:
        key = self.request.headers.get("idempotency-key")
        if key is not None and not (0 < len(key) <= 255 and key.isprintable()):
            raise Invalid([{"field": "Idempotency-Key", "detail": "1 to 255 printable characters"}])
        return key

    async def digest(self) -> str:
        """Tells this request from another one under the same key: method, address and body."""
        request = self.request
        return body_digest(f"{request.method} {request.url.path}\n".encode() + await request.body())

    @property
    def wait_s(self) -> float:
        """How long to wait for the decision (`?wait=`)."""
        asked = self.request.query_params.get("wait")
        if asked is None:
            return self.deps.wait_s
        try:
            wait_s = float(asked)
        except ValueError:
            wait_s = math.nan
        if not 0 <= wait_s <= self.deps.limits.poll_s:
            raise Invalid([{"field": "wait", "detail": f"seconds between 0 and {self.deps.limits.poll_s:g}"}])
        return wait_s

    @property
    def _durable_s(self) -> float:
        """What is left of the time in which everything that this request says must be durable."""
        return max(0.0, self._durable_until - self.deps.clock.monotonic())

    async def store(self, ref: str, data: bytes, *, owner: str) -> None:
        """Content that the request's command refers to, durable. Raises `OutcomeUnknown`."""
        try:
            async with asyncio.timeout(self._durable_s):
                await self.content.put(self.workspace, ref, data, owner=owner)
        except (TimeoutError, LogUnavailable):
            raise OutcomeUnknown() from None

    def command_id(self) -> str:
        """The id that this request's command gets; content that belongs to it is stored under that first."""
        return CommandGateway.command_id(self.workspace, self.caller.actor, self.idempotency_key)

    async def is_repeat(self, command_id: str) -> bool:
        """Whether this request was answered before: its answer stands, whatever the caller may see by now.

        Raises `KeyReused` if the key stood for another request.
        """
        if self.idempotency_key is None:
            return False
        known = await self.runtime.gateway.check_repeat(self.workspace, command_id, await self.digest())
        return isinstance(known, Answer)

    async def becomes_repeat(self, command_id: str) -> bool:
        """As `is_repeat`, of a request whose first try may be on its way to its answer at this moment."""
        for _ in range(ANSWER_LOOKS if self.idempotency_key is not None else 0):
            if await self.is_repeat(command_id):
                return True
            await asyncio.sleep(ANSWER_LOOK_S)
        return False

    async def submit(self, command: Command, *, command_id: str | None = None) -> Answer:
        """The engine's yes. Raises the problem that its no means, or `Undecided`."""
        answer = await self.runtime.gateway.submit(
            self.workspace,
            self.caller.actor,
            command,
            command_id=command_id or self.command_id(),
            digest=await self.digest() if self.idempotency_key is not None else "",
            wait_s=self.wait_s,
            durable_s=self._durable_s,
        )
        return await self.agreed(answer)

    async def agreed(self, answer: Answer | Pending) -> Answer:
        """A positive answer whose documents can be read."""
        if isinstance(answer, Pending):
            raise Undecided(answer.command_id)
        if answer.refused is not None:
            raise refusal(answer.refused.reason, answer.refused.detail, answer.refused.field)
        await self.views.wait_for(self.deps.partition_of(self.workspace), answer.seq, self.deps.limits.fresh_s)
        return answer

    async def find(self, kind: str, id: str, missing: type[Problem]) -> Mapping[str, Any]:
        """A document of the caller's own workspace, or the problem that says there is none."""
        document = await self.views.get(self.workspace, kind, id)
        if document is None:
            raise NotReady() if await self.views_are_empty() else missing()
        return document

    async def views_are_empty(self) -> bool:
        """Whether nothing was written since the views began or were lost: then a missing document says nothing."""
        return await self.views.seq(self.deps.partition_of(self.workspace)) == 0

    async def answered(self, answer: Answer, kind: str, id: str | None, *, created: bool = False) -> Response:
        """The resource as it now is, with `seq` of the command."""
        document = await self.views.get(self.workspace, kind, id) if id is not None else None
        read = as_read(document, self.deps.clock.now_ms()) if document is not None else {"id": id}
        body: dict[str, Any] = public(read)
        body["seq"] = answer.seq
        if answer.duplicate:
            body["duplicate"] = True
        return json_answer(body, 201 if created and not answer.duplicate else 200)


class Allow:
    """The dependency: authenticates, checks the role, renews an agent's lease, waits for `min_seq`."""

    def __init__(self, *roles: Role) -> None:
        self.roles = frozenset(roles)

    async def __call__(self, request: Request) -> Call:
        runtime: Runtime = request.app.state.api
        client = request.client.host if request.client is not None else "unknown"
        caller = await runtime.auth.authenticate(request.headers.get("authorization"), client)
        if caller.role not in self.roles:
            raise Forbidden(f"the role {caller.role.value} may not do that", roles=sorted(self.roles))
        if caller.role is Role.AGENT:
            runtime.deps.leases.touch(caller.workspace, caller.id)
        if request.method == "GET":
            await _be_fresh(runtime, request, caller.workspace)
        return Call(runtime, request, caller)


class Everybody:
    """The dependency of a public route: no credential is read."""

    async def __call__(self, request: Request) -> Runtime:
        runtime: Runtime = request.app.state.api
        return runtime


def allow(*roles: Role) -> Any:
    """`call: Annotated[Call, allow(Role.AGENT)]`: who may call this route."""
    assert roles, "a route that nobody may call needs no route"
    return Depends(Allow(*roles))


def everybody() -> Any:
    """`api: Annotated[Runtime, everybody()]`: a public route."""
    return Depends(Everybody())


async def _be_fresh(runtime: Runtime, request: Request, workspace: str) -> None:
    """A read with `min_seq` waits for an own write, and is never older than it."""
    asked = request.query_params.get("min_seq") or request.headers.get("x-min-seq")
    if asked is None:
        return
    if not (asked.isascii() and asked.isdigit() and len(asked) < 19):
        raise Invalid([{"field": "min_seq", "detail": "a sequence number of the journal"}])
    deps = runtime.deps
    if not await deps.views.wait_for(deps.partition_of(workspace), int(asked), deps.limits.fresh_s):
        raise ViewBehind(f"the views are at {await deps.views.seq(deps.partition_of(workspace))}")
