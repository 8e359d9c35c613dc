"""Tasks end, also those that lose a cancellation."""

from __future__ import annotations

import asyncio

import pytest

from shared import ending
from shared.ending import ended


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "AGAIN_S", 0.01)


async def loses(times: int) -> None:
    """Goes on after so many cancellations, as a library does that takes them for its own."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if times == 0:
                raise
            times -= 1


async def test_a_task_that_loses_a_cancellation_is_told_again() -> None:
    tasks = [asyncio.create_task(loses(times)) for times in (0, 1, 3)]
    await asyncio.sleep(0)

    async with asyncio.timeout(5):
        await ended(*tasks)

    assert all(task.cancelled() for task in tasks)


async def test_what_has_ended_stays_as_it_is() -> None:
    async def fails() -> None:
        raise ValueError("as it was")

    done, failed = asyncio.create_task(asyncio.sleep(0, "result")), asyncio.create_task(fails())
    await asyncio.wait({done, failed})

    await ended(done, failed)
    await ended()

    assert done.result() == "result"
    assert isinstance(failed.exception(), ValueError)
