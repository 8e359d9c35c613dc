"""A client's connection to the processes: it gives a request up after a while, and still watches what becomes of it.

Whoever only gives up learns nothing of a process that would never have answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import httpx

from tests.faults.history import History, Late

PROMISED_S: Final = 5.0
"""Within this an answer comes, a 503 included."""
ANSWER_S: Final = 9.0
"""When a client stops waiting and turns elsewhere: the promise, and 4 s for a machine that is busy."""
HANG_S: Final = 10 * PROMISED_S
"""When a request is taken to hang. No load does this, so it holds on any machine."""


class PatientClient:
    """One HTTP client; `http` is for streams, which have times of their own."""

    def __init__(self, who: str, history: History, headers: Mapping[str, str]) -> None:
        self.http = httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(HANG_S, connect=2.0))
        self._who = who
        self._history = history
        self._open: set[asyncio.Task[httpx.Response]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        """What is still open then is not judged."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self.http.aclose()

    async def send(self, method: str, url: str, *, wait_s: float = 0.0, **request: Any) -> httpx.Response | None:
        """The answer, or None if none came in time; `wait_s` is for how long the request itself asks to wait."""
        timeout = httpx.Timeout(HANG_S + wait_s, connect=2.0)
        asked = self._history.now
        task = asyncio.ensure_future(self.http.request(method, url, timeout=timeout, **request))
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        await asyncio.wait({task}, timeout=ANSWER_S + wait_s)
        if not task.done():
            task.add_done_callback(lambda task: self._note(task, f"{method} {url}", asked + wait_s))
            return None
        try:
            return task.result()
        except httpx.TransportError:
            return None

    def _note(self, task: asyncio.Task[httpx.Response], what: str, since: float) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, httpx.ReadTimeout):
            return  # Its process was killed, or hung up: somebody else will be asked.
        status = 0 if error is not None else task.result().status_code
        now = self._history.now
        self._history.add(Late(who=self._who, what=what, status=status, seconds=now - since, at=now))
