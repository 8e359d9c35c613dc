"""Work in the background that begins again when it died of something that nobody foresaw.

For work that everything else can do without for a while (views can be derived anew), so that taking the process down,
as a part of `shared.service` does, would be worse than a pause.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

log = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 0.5
LAST_PAUSE_S: Final = 30.0
"""Work that lasted for as long as this is no longer counted among what dies at once."""


class Restarting:
    """`run` for ever: after each death a log line with the traceback, and a pause twice as long as the one before.

    `died` is told of each death before the pause, to put right what may be half done. It must not raise.
    """

    def __init__(
        self, name: str, work: Callable[[], Awaitable[None]], *, died: Callable[[], None] = lambda: None
    ) -> None:
        self.name = name
        self.down = False
        """Whether it lies dead at the moment."""
        self.deaths = 0
        self._work = work
        self._died = died

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        while True:
            began = loop.time()
            try:
                await self._work()
                return
            except Exception:
                if loop.time() - began >= LAST_PAUSE_S:
                    pause_s = FIRST_PAUSE_S
                log.exception("work in the background died and begins again", extra={"part": self.name, "in": pause_s})
                self.deaths += 1
                self.down = True
                self._died()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LAST_PAUSE_S)
            self.down = False
