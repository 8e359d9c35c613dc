"""Two publishers, one of them late, and a Redis that forgets: what is written in the end is what is true.

Every seed is one life: leadership moves, deposed leaders still publish what they had, Redis is flushed, connections are
cut. Whoever leads keeps to the port: `begin`, then what is missing, or `clear` and everything.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.views.port import Change
from shared.views.redis import RedisViews
from tests.eventually import eventually
from tests.support.redis import RedisServer

IDS = [f"c{n}" for n in range(12)]
WORKSPACES = ["w1", "w2"]

Document = dict[str, Any]


class Truth:
    """The journal: entries from 1, and what is true after each."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.entries: list[list[Change]] = []
        self.states: list[dict[tuple[str, str], Document]] = [{}]

    @property
    def head(self) -> int:
        return len(self.entries)

    def go_on(self) -> None:
        seq = self.head + 1
        state = dict(self.states[-1])
        changes = []
        for _ in range(self._dice.randrange(4)):
            key = (self._dice.choice(WORKSPACES), self._dice.choice(IDS))
            if key in state and self._dice.random() < 0.5:
                del state[key]
                changes.append(Change(key[0], "contact", key[1], seq, None))
            else:
                state[key] = {"id": key[1], "seq": seq}
                changes.append(Change(key[0], "contact", key[1], seq, state[key]))
        self.entries.append(changes)
        self.states.append(state)


class Leader:
    """Publishes as a router does: up to `known`, the entry it has read last."""

    def __init__(self, views: RedisViews, truth: Truth) -> None:
        self.views = views
        self._truth = truth
        self.known = 0
        self._published = 0

    async def take_over(self) -> None:
        self.known = self._truth.head
        self._published = await self.views.begin(0, "e1")
        if not self._published:
            await self._write_anew()
        await self.publish()

    async def tend(self) -> None:
        if self.views.lost(0):
            await self._write_anew()

    async def publish(self) -> None:
        """Everything up to what it knows; a deposed one does that too, without knowing better."""
        while self._published < self.known:
            self._published += 1
            await self.views.publish(0, self._published, self._truth.entries[self._published - 1])

    async def _write_anew(self) -> None:
        await self.views.clear(0, WORKSPACES)
        self._published = self.known
        for (workspace, id), document in self._truth.states[self.known].items():
            await self.views.publish(0, None, [Change(workspace, "contact", id, self.known, document)])
        await self.views.publish(0, self.known, [])


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        server.start()
        yield server


@pytest.mark.parametrize("seed", range(8))
async def test_what_is_written_in_the_end_is_what_is_true(server: RedisServer, seed: int) -> None:
    dice = random.Random(seed)
    truth = Truth(dice)
    views = [RedisViews(f"{server.url}?prefix=seed{seed}", name=f"router-{n}") for n in range(2)]
    async with Redis.from_url(server.url) as admin:
        for one in views:
            await one.open()
        try:
            leaders = [Leader(one, truth) for one in views]
            for leading in leaders:
                await leading.take_over()
            for _ in range(150):
                await _live(dice, truth, leaders, leading, admin)
                if dice.random() < 0.05:
                    leading = dice.choice(leaders)
                    await leading.take_over()
                await leading.tend()
            leading.known = truth.head
            await leading.publish()

            async def right() -> bool:
                await leading.tend()
                await leading.views.flush()
                written = {
                    (workspace, document["id"]): document["seq"]
                    for workspace in WORKSPACES
                    for document in await views[0].list(workspace, "contact")
                }
                expected = {key: document["seq"] for key, document in truth.states[-1].items()}
                return await views[1].seq(0) == truth.head and written == expected

            # A loss that nobody wrote into shows within the second in which a quiet publisher looks.
            await eventually(right, within_s=10, every_s=0.1)
            await asyncio.gather(*(one.flush() for one in views))
            assert await right()
        finally:
            for one in views:
                await one.close()


async def _live(dice: random.Random, truth: Truth, leaders: list[Leader], leading: Leader, admin: Redis) -> None:
    """One step of a life."""
    what = dice.random()
    if what < 0.7:
        truth.go_on()
        leading.known = truth.head
        await leading.publish()
    elif what < 0.8:
        # A deposed leader had read some more and publishes that now.
        late = dice.choice(leaders)
        late.known = max(late.known, dice.randrange(truth.head + 1))
        await late.publish()
    elif what < 0.9:
        await leading.views.flush()
    elif what < 0.93:
        await admin.flushall()
    elif what < 0.96:
        await admin.client_kill_filter(_type="normal", skipme=True)
    elif what < 0.98:
        await admin.script_flush()
    else:
        await asyncio.sleep(0.05)
