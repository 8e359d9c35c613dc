"""Agents' leases: whether a desk still speaks. Held here, in memory; only *lost* and *regained* become commands.

A lease lasts its length (30 s unless the policy says otherwise) from the agent's last call, and as long as a stream or
poll is open. After a start every agent whom the views call reachable gets a fresh lease: our own absence is not theirs.

Where several API processes serve a workspace, each sees a part of an agent's calls. Then a book (`shared/leases/`) has
them all: what is held here is renewed there, nobody is reported as silent whom another process hears, and one process
at a time looks for those whose process is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from services.router.api.streams import Until
from shared.clock import Clock, new_id
from shared.contracts.commands import Actor, Input, LoseLease, RegainLease
from shared.leases.port import LeaseBook
from shared.log.codec import encode_input
from shared.log.port import Inputs, LogUnavailable
from shared.views.port import Views, ViewsUnavailable
from shared.vocabulary import AgentId, Role, Topic

log = logging.getLogger(__name__)

DEFAULT_LEASE_S: Final = 30.0
_WATCH_S: Final = 2.0
_CLAIM: Final = "lease-watch"

Workspaces = Callable[[], Awaitable[Sequence[str]]]
"""The workspaces there are, once the views have been written (it may wait for that)."""


@dataclass(slots=True)
class _Lease:
    """`told`: what the log was told last, None if that is not known."""

    until: float
    open: int = 0
    told: bool | None = None
    told_at: float = 0.0
    booked_at: float | None = None

    def held(self, now: float) -> bool:
        return self.open > 0 or self.until > now


class Leases:
    """Renewed by the routes, watched over by `run`."""

    def __init__(
        self,
        *,
        views: Views,
        inputs: Inputs,
        partition_of: Callable[[str], int],
        clock: Clock,
        workspaces: Workspaces,
        book: LeaseBook | None = None,
        check_s: float = 1.0,
        reconcile_s: float = 5.0,
    ) -> None:
        self._views = views
        self._inputs = inputs
        self._partition_of = partition_of
        self._clock = clock
        self._workspaces = workspaces
        self._book = book
        self._me = new_id("l")
        self._watch_at = 0.0
        self._reconcile_at = clock.monotonic()
        self._check_s = check_s
        self._reconcile_s = reconcile_s
        self._leases: dict[tuple[str, str], _Lease] = {}
        self._lengths: dict[str, float] = {}
        self._spoke: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()

    def touch(self, workspace: str, agent: str) -> None:
        """The agent called. Costs a dictionary look-up unless the desk had been silent."""
        key = (workspace, agent)
        until = self._clock.monotonic() + self._lengths.get(workspace, DEFAULT_LEASE_S)
        lease = self._leases.get(key)
        if lease is None:
            lease = self._leases[key] = _Lease(until)
        lease.until = max(lease.until, until)
        if lease.told is not True:
            self._spoke.add(key)
            self._wake.set()

    @contextmanager
    def hold(self, workspace: str, agent: str) -> Iterator[None]:
        """A stream or poll of the agent is open; the lease's length counts from its end."""
        self.touch(workspace, agent)
        lease = self._leases[workspace, agent]
        lease.open += 1
        try:
            yield
        finally:
            lease.open -= 1
            self.touch(workspace, agent)

    async def run(self, stopping: asyncio.Event) -> None:
        """Tell the log who fell silent and who speaks again, until `stopping`."""
        begun = False
        async with Until(stopping) as until:
            while not stopping.is_set():
                try:
                    if not begun:
                        await until.first(self._begin())
                        begun = True
                    await until.first(self._wake.wait(), self._check_s)
                    await self._look()
                except ViewsUnavailable as error:
                    # Who speaks is not known now; whoever was heard stays heard.
                    log.warning("leases cannot be looked at", extra={"reason": str(error)})
                    await until.first(asyncio.sleep(self._check_s))

    async def _look(self) -> None:
        self._wake.clear()
        now = self._clock.monotonic()
        if now >= self._reconcile_at:
            self._reconcile_at = now + self._reconcile_s
            await self._reconcile(now)
        if self._book is not None:
            await self._share(self._book, now)
        silent = [key for key, lease in self._leases.items() if lease.told is not False and not lease.held(now)]
        spoke, self._spoke = self._spoke, set()
        try:
            for key in dict.fromkeys([*spoke, *silent]):
                await self._settle(key)
        except ViewsUnavailable:
            self._spoke |= spoke
            raise

    async def _share(self, book: LeaseBook, now: float) -> None:
        """Book what is held here; and look, as one of all processes, for those whom nobody hears any more."""
        due = []
        for (workspace, agent), lease in self._leases.items():
            length = self._lengths.get(workspace, DEFAULT_LEASE_S)
            left = length if lease.open else lease.until - now
            if left > 0 and (lease.booked_at is None or now - lease.booked_at >= length / 4):
                due.append((workspace, agent, left))
                lease.booked_at = now
        if due:
            await book.renew(due)
        if now >= self._watch_at:
            self._watch_at = now + _WATCH_S
            if await self._views.claim(_CLAIM, self._me, 3 * _WATCH_S):
                for workspace in await self._workspaces():
                    for agent in await book.lapsed(workspace):
                        self._leases.setdefault((workspace, agent), _Lease(until=0.0))
                        await book.forget(workspace, agent)

    async def _begin(self) -> None:
        """A fresh lease for everybody whom the views call reachable."""
        for workspace in await self._workspaces():
            await self._learn_length(workspace)
            for agent in await self._reachable(workspace):
                self.touch(workspace, agent)

    async def _reachable(self, workspace: str) -> list[str]:
        found: list[str] = []
        while True:
            after = found[-1] if found else ""
            page = await self._views.list(
                workspace, "agent", after=after, limit=500, where=lambda agent: bool(agent.get("reachable"))
            )
            found.extend(str(agent["id"]) for agent in page)
            if len(page) < 500:
                return found

    async def _settle(self, key: tuple[str, str]) -> None:
        """Make what the log knows agree with whether the lease is held."""
        lease = self._leases.get(key)
        if lease is None:
            return
        workspace, agent = key
        document = await self._views.get(workspace, "agent", agent)
        if document is None:
            # A token for somebody who was never made, or is gone: nothing to tell, nothing to keep.
            if not lease.open:
                del self._leases[key]
            return
        now = self._clock.monotonic()
        held = lease.held(now)
        if not held and self._book is not None and await self._book.held(workspace, agent):
            # Another process hears this desk; it is that one's to watch over.
            del self._leases[key]
            return
        if bool(document.get("reachable")) != held:
            command = RegainLease(agent=AgentId(agent)) if held else LoseLease(agent=AgentId(agent))
            try:
                await self._tell(workspace, agent, command)
            except LogUnavailable:
                log.warning("a lease could not be reported, trying again", extra={"agent_id": agent})
                lease.told = None
                self._spoke.add(key)
                return
        lease.told, lease.told_at = held, now

    async def _tell(self, workspace: str, agent: str, command: LoseLease | RegainLease) -> None:
        record = Input(
            id=new_id("x"),
            workspace=workspace,
            actor=Actor(role=Role.AGENT, id=agent),
            received_at=self._clock.now_ms(),
            command=command,
        )
        await self._inputs.append(Topic.COMMANDS, self._partition_of(workspace), encode_input(record))

    async def _reconcile(self, now: float) -> None:
        """Look whether what was told has come true; forget who is long gone; learn new lengths."""
        for workspace in {workspace for workspace, _ in self._leases}:
            await self._learn_length(workspace)
        for key, lease in list(self._leases.items()):
            if lease.told is None or now - lease.told_at < self._reconcile_s:
                continue
            document = await self._views.get(key[0], "agent", key[1])
            if document is None or bool(document.get("reachable")) != lease.told:
                lease.told = None
                self._spoke.add(key)
            elif lease.told is False and not lease.held(now):
                del self._leases[key]

    async def _learn_length(self, workspace: str) -> None:
        document: Mapping[str, Any] = await self._views.get(workspace, "policy", "current") or {}
        lease_s = ((document.get("policy") or {}).get("lease") or {}).get("lease_s", DEFAULT_LEASE_S)
        self._lengths[workspace] = float(lease_s)
