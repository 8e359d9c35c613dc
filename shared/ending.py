"""Ending tasks for certain."""

from __future__ import annotations

import asyncio
from typing import Any, Final

AGAIN_S: Final = 1.0


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and return when they have ended. What they raised is for whoever asks them.

    A library may take a cancellation for the end of a wait of its own: `asyncio.wait_for` of Python 3.11 loses it when
    what it waits for ends in the same turn of the loop, and Redis's client uses that. So a task that goes on is told
    again.
    """
    going = set(tasks)
    while going := {task for task in going if not task.done()}:
        for task in going:
            task.cancel()
        await asyncio.wait(going, timeout=AGAIN_S)
    for task in tasks:
        if not task.cancelled():
            # Asked here, so that the loop does not complain of an error that nobody looked at.
            task.exception()
