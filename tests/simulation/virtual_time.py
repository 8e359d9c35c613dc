"""Time that costs nothing: an event loop that jumps to the next timer, and clocks that go wrong on purpose."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH_MS = 1_767_225_600_000
"""Where every simulated world begins: midnight UTC, so that worlds which start late in a day cross into the next."""


class Stalled(Exception):
    """Nothing is ready and nothing is due: the world waits for ever."""


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting for sockets, of which there are none, lets the time pass at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stalled("nothing is ready and no timer is due")
        if timeout > 0:
            self.now += timeout
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return super().get_map()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop without waiting, whose ready tasks run in an order drawn from a seed."""

    def __init__(self, dice: random.Random) -> None:
        self._virtual = _JumpingSelector()
        self._dice = dice
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Threads know nothing of this time: what is meant for one is done here, in a turn of its own."""
        done: asyncio.Future[T] = self.create_future()

        def work() -> None:
            if done.cancelled():
                return
            try:
                done.set_result(func(*args))
            except Exception as error:
                done.set_exception(error)

        self.call_soon(work)
        return done

    def _run_once(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]
        if len(ready) > 1:
            shuffled = list(ready)
            self._dice.shuffle(shuffled)
            ready.clear()
            ready.extend(shuffled)
        super()._run_once()  # type: ignore[misc]


class VirtualClock:
    """One machine's clock: an offset from the true time that may step; the monotonic part never does."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start_ms: int, offset_ms: int = 0) -> None:
        self._loop = loop
        self._start_ms = start_ms
        self.offset_ms = offset_ms

    def now_ms(self) -> int:
        return self._start_ms + int(self._loop.time() * 1000) + self.offset_ms

    def monotonic(self) -> float:
        return self._loop.time()
