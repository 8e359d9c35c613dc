"""Commands under way when the process is told to stop: answered in time, with what is known."""

from __future__ import annotations

import asyncio

import pytest

from services.router.api.gateway import CommandGateway, Pending
from services.router.api.problems import OutcomeUnknown
from shared.clock import SystemClock
from shared.contracts.commands import Actor, RevokeKey
from shared.log.memory import Call, Faults, MemoryLog
from shared.views.memory import MemoryViews
from shared.vocabulary import Role
from tests.eventually import eventually

OPERATOR = Actor(role=Role.OPERATOR, id="o")


class Slow(Faults):
    """A log that confirms when it is let."""

    def __init__(self, *, confirms: bool) -> None:
        self.asked = 0
        self._confirms = confirms

    async def before(self, call: Call) -> None:
        self.asked += call.name == "inputs.append"
        if not self._confirms:
            await asyncio.Event().wait()


@pytest.mark.parametrize("confirms", [False, True], ids=["not durable", "not decided"])
async def test_nobody_is_kept_waiting_by_a_process_that_stops(confirms: bool) -> None:
    log, stopping = Slow(confirms=confirms), asyncio.Event()
    gateway = CommandGateway(MemoryLog(faults=log).inputs, MemoryViews(), SystemClock(), lambda _: 0, durable_s=60)
    watching = asyncio.create_task(gateway.run(stopping))
    asked = asyncio.create_task(gateway.submit("w", OPERATOR, RevokeKey(key_id="k"), wait_s=60))
    await eventually(lambda: log.asked == 1)
    stopping.set()
    async with asyncio.timeout(5):
        if confirms:
            assert isinstance(await asked, Pending)
        else:
            with pytest.raises(OutcomeUnknown):
                await asked
        await watching
        later = gateway.submit("w", OPERATOR, RevokeKey(key_id="k2"), wait_s=60)
        if confirms:
            assert isinstance(await later, Pending)
        else:
            with pytest.raises(OutcomeUnknown):
                await later
