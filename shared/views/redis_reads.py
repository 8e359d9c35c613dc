"""Reading single documents from Redis: what is asked for while an answer is out, is asked for together.

A busy API looks up a document for each line that it tells a desk, and a round trip costs it far more than the document.
Nobody waits for company: where one is asked for at a time, each goes at once and by itself.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from shared.ending import ended
from shared.redis_link import Argument, RedisLink

MOST: Final = 256
"""So many go together, at most."""

_Command = tuple[Argument, ...]


class Reads:
    """Commands that only read, on one link."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._waiting: list[tuple[_Command, asyncio.Future[Any]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def call(self, *command: Argument) -> Any:
        """As the link's own, and with its deadline. Raises what that raises, as soon as it has found out for those who
        asked before."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(), name="reading documents")
        async with self._link.deadline():
            return await answer

    async def _ask(self) -> None:
        asked: list[tuple[_Command, asyncio.Future[Any]]] = []
        try:
            while self._waiting:
                asked, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                if len(asked) == 1:
                    answers = [await self._link.call(*asked[0][0])]
                else:
                    answers = await self._link.call_many([command for command, _ in asked])
                for (_, answer), found in zip(asked, answers, strict=True):
                    if not answer.done():
                        answer.set_result(found)
        except Exception as error:
            # Whoever waits behind them would be told the same, only later.
            for _, answer in (*asked, *self._waiting):
                if not answer.done():
                    answer.set_exception(error)
            self._waiting = []
        finally:
            for _, answer in (*asked, *self._waiting):
                answer.cancel()
            self._asking = None

    async def close(self) -> None:
        """Nobody is answered any more."""
        if self._asking is not None:
            await ended(self._asking)
