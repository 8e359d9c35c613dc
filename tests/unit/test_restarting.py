"""Work that dies is told of, waits longer each time, and begins again."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from shared import restarting
from shared.restarting import Restarting
from tests.eventually import eventually


async def test_what_dies_begins_again_after_a_pause_that_grows(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(restarting, "FIRST_PAUSE_S", 0.02)
    loop = asyncio.get_running_loop()
    begun: list[float] = []
    told: list[bool] = []

    async def work() -> None:
        begun.append(loop.time())
        if len(begun) < 4:
            raise KeyError("nobody foresaw this")
        await asyncio.sleep(60)

    part = Restarting("work", work, died=lambda: told.append(part.down))
    task = asyncio.create_task(part.run())
    await eventually(lambda: len(begun) == 4)

    pauses = [later - earlier for earlier, later in pairwise(begun)]
    assert [pause >= least for pause, least in zip(pauses, (0.02, 0.04, 0.08), strict=True)] == [True] * 3
    assert told == [True] * 3
    assert (part.deaths, part.down) == (3, False)
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"] * 3
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_ends_by_itself_is_done() -> None:
    async def work() -> None: ...

    part = Restarting("work", work)
    await part.run()
    assert part.deaths == 0
