"""Customers who go away: after a grace, what still waits on their thread is abandoned, unless they came back.

Presence is kept in memory only. Customers who were away when the process stopped and never come back keep their place
until an agent or a supervisor ends the contact: after a restart we cannot tell them from customers of other channels,
and abandoning somebody who waits would be worse.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator

from services.ingest_chat.session import Session
from shared.clock import Clock
from shared.contracts.commands import Actor, LeaveThread
from shared.ids import keyed_command_id
from shared.intake import submit
from shared.log.port import Inputs, LogUnavailable
from shared.vocabulary import ThreadKey

log = logging.getLogger(__name__)

_RETRY_S = 1.0


class Departures:
    """Who is here, who left when, and who is due."""

    def __init__(
        self, inputs: Inputs, clock: Clock, partition_of: Callable[[str], int], actor: Actor, grace_s: float
    ) -> None:
        self._inputs = inputs
        self._clock = clock
        self._partition_of = partition_of
        self._actor = actor
        self._grace_s = grace_s
        self._here: Counter[tuple[str, ThreadKey]] = Counter()
        self._spoke: set[tuple[str, ThreadKey]] = set()
        self._due: dict[tuple[str, ThreadKey], tuple[float, int]] = {}
        """Thread to (monotonic time, wall time of leaving); in order of leaving unless somebody said good-bye."""
        self._changed = asyncio.Event()

    @contextlib.contextmanager
    def present(self, session: Session) -> Iterator[None]:
        """The customer is here for as long as the block runs; several sockets of one session count once."""
        key = (session.workspace, session.thread)
        self._here[key] += 1
        self._due.pop(key, None)
        try:
            yield
        finally:
            self._here[key] -= 1
            if self._here[key] <= 0:
                del self._here[key]
                self._leave(key, self._grace_s)

    def spoke(self, session: Session) -> None:
        """Only threads with a message can have something that waits."""
        self._spoke.add((session.workspace, session.thread))

    def said_goodbye(self, session: Session) -> None:
        """The customer pressed leave: no grace."""
        self._leave((session.workspace, session.thread), 0.0)

    def _leave(self, key: tuple[str, ThreadKey], grace_s: float) -> None:
        if key not in self._spoke or key in self._due:
            return
        self._due[key] = (self._clock.monotonic() + grace_s, self._clock.now_ms())
        self._changed.set()

    async def run(self, stopping: asyncio.Event) -> None:
        wake = asyncio.create_task(stopping.wait())
        wake.add_done_callback(lambda _: self._changed.set())
        try:
            while not stopping.is_set():
                self._changed.clear()
                now = self._clock.monotonic()
                for key, (at, left_at) in list(self._due.items()):
                    if at <= now and not await self._report(key, left_at):
                        self._due[key] = (now + _RETRY_S, left_at)
                soonest = min((at for at, _ in self._due.values()), default=None)
                timeout = None if soonest is None else max(0.01, soonest - self._clock.monotonic())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), timeout)
        finally:
            wake.cancel()

    async def _report(self, key: tuple[str, ThreadKey], left_at: int) -> bool:
        workspace, thread = key
        try:
            await submit(
                self._inputs,
                self._clock,
                self._partition_of,
                workspace=workspace,
                command=LeaveThread(thread=thread),
                command_id=keyed_command_id(workspace, self._actor.id, f"leave:{thread}:{left_at}"),
                actor=self._actor,
            )
        except LogUnavailable:
            return False
        self._due.pop(key, None)
        self._spoke.discard(key)
        return True
