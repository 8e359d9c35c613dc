"""A watchdog for an event loop that has stopped turning: it says where, and in the end it ends the process.

A loop that is blocked serves nobody, hears no signal and leads nothing any more; a standby has taken over long before.
What is left is to say where it hangs, and to make room for a process that does not.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final

log = logging.getLogger(__name__)

LOOK_S: Final = 0.5
BLOCKED: Final = 3
"""Exit code of a process whose loop was blocked for too long."""


class LoopBlocked(Exception):
    """Raised nowhere: it carries the places where the loop hangs into the log, which shows them without any value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a loop may stand still, in seconds, before the place is logged and before the process is ended. 0: for
    ever."""

    log_s: float = 10.0
    end_s: float = 30.0


class LoopWatchdog:
    """A thread that asks the loop for a sign of life, twice a second.

    It counts its own looks and not the time that has passed: a process that was frozen as a whole, or got no processor,
    has not looked either. C code that keeps the interpreter for itself stops the watchdog too, until it lets go.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        patience: Patience,
        end: Callable[[str, int], None],
        look_s: float = LOOK_S,
    ) -> None:
        """Belongs to the thread that runs `loop`. `end(reason, exit code)` ends the process."""
        self._loop = loop
        self._patience = patience
        self._end = end
        self._look_s = look_s
        self._loop_thread = threading.get_ident()
        self._turned = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loop watchdog", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        if self._patience.log_s or self._patience.end_s:
            self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def _run(self) -> None:
        log_s, end_s = self._patience.log_s, self._patience.end_s
        while not self._stopped.is_set() and self._ask():
            looks, told = 0, False
            while not self._turned.wait(self._look_s) and not self._stopped.is_set():
                looks += 1
                blocked_s = looks * self._look_s
                if log_s and blocked_s >= log_s and not told:
                    told = True
                    # What blocks the loop may be the log. Then at least the end must not wait for it.
                    threading.Thread(target=self._tell, args=[blocked_s], daemon=True).start()
                if end_s and blocked_s >= end_s:
                    self._end(f"found its event loop blocked for {blocked_s:g} s", BLOCKED)
            if told:
                log.warning("the event loop turns again", extra={"after_s": looks * self._look_s})
            self._stopped.wait(self._look_s)

    def _ask(self) -> bool:
        """Ask the loop for a sign; False once it is closed."""
        self._turned.clear()
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._turned.set)
            return True
        return False

    def _tell(self, blocked_s: float) -> None:
        hangs = LoopBlocked(f"for {blocked_s:g} s").with_traceback(_places(self._loop_thread))
        log.error("the event loop is blocked", exc_info=hangs, extra={"for_s": blocked_s})


def _places(thread: int) -> TracebackType | None:
    """Where a thread is, as the traceback of an exception that was raised there."""
    frame, trace = sys._current_frames().get(thread), None
    while frame is not None:
        trace = TracebackType(trace, frame, frame.f_lasti, frame.f_lineno)
        frame = frame.f_back
    return trace
