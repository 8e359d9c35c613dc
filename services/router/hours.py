"""Opening hours go on: before the intervals of a policy come to their end, the leader has them continued.

It is done by a command like any other, so that every replica and every later fold knows the same intervals.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.router.engine.engine import ROUTER
from services.router.replica import Replica
from shared.clock import Clock
from shared.contracts.commands import ExtendHours, Input
from shared.contracts.opening import continuations
from shared.ids import hours_command_id
from shared.log.codec import encode_input
from shared.log.port import Inputs, LogUnavailable
from shared.service import run_until
from shared.vocabulary import Topic

logger = logging.getLogger(__name__)

CHECK_S: Final = 3600.0
"""The intervals reach a hundred days further than when this begins to act: nothing is lost by a missed look."""
BEGIN_S: Final = 5.0
"""How often it is looked whether this process has come to lead."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """The policy in force of a workspace; the document is as it was adopted, with intervals."""

    workspace: str
    version: int
    document: Mapping[str, Any]


class HoursKeeper:
    """Has the opening hours of each workspace continued whose partition is led here."""

    def __init__(self, inputs: Inputs, replicas: Callable[[], Sequence[Replica]], clock: Clock) -> None:
        self._inputs = inputs
        self._replicas = replicas
        self._clock = clock
        self._looked: dict[int, float] = {}

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; while the log is away nothing is lost but time, of which there is plenty."""
        await run_until(stopping, self._run())

    async def _run(self) -> None:
        while True:
            for replica in self._replicas():
                if replica.leading and self._is_time(replica):
                    await self.look_at(replica)
            await asyncio.sleep(BEGIN_S)

    def _is_time(self, replica: Replica) -> bool:
        looked = self._looked.get(replica.partition)
        return looked is None or self._clock.monotonic() - looked >= CHECK_S

    async def look_at(self, replica: Replica) -> None:
        """Ask for what is missing. The same day's asking is the same command, whoever asks and however often."""
        self._looked[replica.partition] = self._clock.monotonic()
        workspaces = sorted(replica.engine.state.workspaces.items())
        policies = [
            Ruling(name, ws.policy_version, ws.policy_document) for name, ws in workspaces if ws.policy_document
        ]
        # Hundreds of queues for hundreds of days take a second: not on the loop that serves everybody.
        for record in await asyncio.to_thread(missing, policies, self._clock.now_ms()):
            try:
                await self._inputs.append(Topic.COMMANDS, replica.partition, encode_input(record))
            except LogUnavailable as error:
                logger.warning("opening hours could not be continued", extra={"reason": str(error)})
                return


def missing(policies: Sequence[Ruling], now: int) -> list[Input]:
    """The commands that continue opening hours which come to their end too soon."""
    return [
        Input(
            id=hours_command_id(policy.workspace, policy.version, until, next(iter(hours))),
            workspace=policy.workspace,
            actor=ROUTER,
            received_at=now,
            command=ExtendHours(
                policy_version=policy.version,
                until=until,
                hours={queue: tuple((begin, end) for begin, end in each) for queue, each in hours.items()},
            ),
        )
        for policy in policies
        for until, hours in continuations(policy.document, now)
    ]
