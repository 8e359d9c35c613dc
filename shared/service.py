"""Running a service: named parts in one task group, signals, and an orderly stop with a limit.

A part is a coroutine that runs until it is told to stop. One that dies takes the process down with its traceback
logged, because half a service is worse than none; the supervisor (or a person) starts it again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from shared.ending import ended
from shared.json_logging import bound
from shared.loop_watchdog import LoopWatchdog, Patience

log = logging.getLogger(__name__)

STOP_LIMIT_S = 10.0
LAST_WORDS_S = 2.0


class CannotStart(Exception):
    """Something a person has to put right before the service can start; the message names the remedy."""


class PartEnded(Exception):
    """A part returned although nobody had asked it to stop."""


class StoppedTooLate(Exception):
    """Parts were still running when the time to stop was over."""


class Stage(IntEnum):
    """In which order parts stop: first what takes work in, then what the work is waiting for."""

    EDGE = 0
    CORE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing that runs for as long as the service does. `run` ends soon after its event is set."""

    name: str
    run: Callable[[asyncio.Event], Awaitable[None]]
    stage: Stage = Stage.EDGE


async def run_until(stopping: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Run `work` until it ends or `stopping` is set; then it is cancelled, wherever it is. Raises what it raised."""
    loop = asyncio.get_running_loop()
    working, told = loop.create_task(work), loop.create_task(stopping.wait())
    try:
        await asyncio.wait({working, told}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await ended(working, told)
    if not working.cancelled():
        working.result()


async def run_parts(parts: Sequence[Part], stopping: asyncio.Event, *, limit_s: float = STOP_LIMIT_S) -> None:
    """Run `parts` until `stopping` is set, then stop them stage by stage: requests under way still get their answer.

    Raises an `ExceptionGroup` with what a part died of, or with `StoppedTooLate` naming those that would not end.
    """
    stops = {stage: asyncio.Event() for stage in Stage}

    async def keep(part: Part) -> None:
        with bound(part=part.name):
            try:
                await part.run(stops[part.stage])
            except Exception:
                log.exception("a part died and takes the service down")
                raise
            if not stops[part.stage].is_set():
                raise PartEnded(part.name)

    async with asyncio.TaskGroup() as group:
        tasks = {part.name: (part.stage, group.create_task(keep(part), name=part.name)) for part in parts}
        await stopping.wait()
        deadline = asyncio.get_running_loop().time() + limit_s
        for stage in Stage:
            stops[stage].set()
            staged = [task for at, task in tasks.values() if at <= stage]
            left = deadline - asyncio.get_running_loop().time()
            # The edge gets half of the time, so that the core is still stopped in order when the edge hangs.
            if staged:
                await asyncio.wait(staged, timeout=left if stage is max(Stage) else left / 2)
        late = [name for name, (_, task) in tasks.items() if not task.done()]
        if late:
            raise StoppedTooLate(f"still running after {limit_s:g} s: {', '.join(late)}")


def run_service(
    main: Callable[[asyncio.Event], Awaitable[None]],
    *,
    limit_s: float = STOP_LIMIT_S,
    patience: Patience | None = None,
) -> int:
    """Run `main(stopping)` and return the exit code: 0 after an orderly stop, 1 after a failure, 2 if it cannot start.

    The first SIGTERM or SIGINT sets `stopping`; a second one, or the limit running out, ends the process at once. A
    loop that stands still for longer than `patience` allows ends it with exit code 3.
    """
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_with_signals(main, limit_s, patience or Patience()))
    except Exception as error:
        cannot_start = _cannot_start(error)
        if cannot_start is not None:
            print(cannot_start, file=sys.stderr)
            return 2
        log.critical("the service ends in failure", exc_info=error)
        return 1
    return 0


async def _with_signals(main: Callable[[asyncio.Event], Awaitable[None]], limit_s: float, patience: Patience) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    # A thread, because the event loop itself may be what hangs. It comes after `run_parts` had its own limit.
    watchdog = threading.Timer(limit_s + 1, _end_here_and_now, [f"did not stop within {limit_s:g} s"])
    watchdog.daemon = True
    turning = LoopWatchdog(loop, patience, _end_here_and_now)

    def on_signal(number: int) -> None:
        if stopping.is_set():
            _end_here_and_now("told to stop twice")
        log.info("stopping", extra={"signal": signal.Signals(number)._name_})
        stopping.set()
        watchdog.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    turning.start()
    try:
        await main(stopping)
    finally:
        watchdog.cancel()
        turning.stop()


def _end_here_and_now(reason: str, code: int = 1) -> None:
    # What hangs may be whoever should read these words.
    at_last = threading.Timer(LAST_WORDS_S, os._exit, [code])
    at_last.daemon = True
    at_last.start()
    log.critical("ended without finishing", extra={"reason": reason})
    print(f"Switchdesk {reason}; ended here and now.", file=sys.stderr, flush=True)
    os._exit(code)


def _cannot_start(error: Exception) -> CannotStart | None:
    if isinstance(error, CannotStart):
        return error
    if isinstance(error, ExceptionGroup):
        return next(filter(None, map(_cannot_start, error.exceptions)), None)
    return None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it exists: about a third less time per request."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
