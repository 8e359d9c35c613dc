"""Waiting for news without polling and without missing any."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

R = TypeVar("R")


class Bell:
    """Rung when there may be something new to read.

    A waiter looks at `rings` first, then looks for what it wants, then waits with the number it saw: news that came in
    between is not missed. Belongs to one event loop.
    """

    def __init__(self) -> None:
        self.rings = 0
        # A dict, not a set: waiters wake in the order in which they came, so that a simulation repeats itself.
        self._waiters: dict[asyncio.Future[bool], None] = {}

    def ring(self) -> None:
        """Wake everybody who waits."""
        self.rings += 1
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            _answer(waiter, True)

    async def wait(self, seen: int, timeout_s: float) -> bool:
        """True at once if it rang since `seen`, True when it rings, False after the time."""
        if self.rings != seen:
            return True
        if timeout_s <= 0:
            return False
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiters[waiter] = None
        timer = loop.call_later(timeout_s, _answer, waiter, False)
        try:
            return await waiter
        finally:
            timer.cancel()
            self._waiters.pop(waiter, None)


async def first_found(
    bell: Bell, find: Callable[[], Awaitable[list[R]]], *, wait_s: float, poll_s: float | None = None
) -> list[R]:
    """What `find` finds, waiting up to `wait_s` for the first of it.

    Looks again when the bell rings and, with `poll_s`, also every so often: for writers who cannot ring it.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    while True:
        seen = bell.rings
        found = await find()
        left_s = deadline - loop.time()
        if found or left_s <= 0:
            return found
        await bell.wait(seen, left_s if poll_s is None else min(left_s, poll_s))


def _answer(waiter: asyncio.Future[bool], answer: bool) -> None:
    if not waiter.done():
        waiter.set_result(answer)
