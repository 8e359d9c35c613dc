"""Hints through Redis: who watches hears that something changed, soon after it was written.

Pub/sub promises nothing: a restart loses messages without a word, a dead connection may look alive for ever. So hints
are numbered, and every process sends itself a beat through Redis each second, carrying the number that each partition
had just before. The beat arrives behind all hints up to that number. If one of them did not, it was lost, and whoever
watches is woken to read again. If three beats stay away, the subscription is made anew, and everybody is woken too.
A process that only reads needs no publisher for that.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import defaultdict
from typing import Final

from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from shared.connection_loss import says_closed
from shared.log.bell import Bell
from shared.log.codec import decode, encode
from shared.redis_link import DEADLINE_S, RedisLink, escaped
from shared.views.port import ViewsUnavailable
from shared.views.redis_keys import Keys
from shared.views.redis_writer import Changed
from shared.views.watches import Watches

log = logging.getLogger(__name__)

BEAT_S: Final = 1.0
SILENCE_S: Final = 3 * BEAT_S
FIRST_PAUSE_S: Final = 0.05
LAST_PAUSE_S: Final = 1.0


class RedisHints:
    """One subscription for all partitions, the bells that it rings and the seqs that it tells."""

    def __init__(self, link: RedisLink, keys: Keys, *, name: str) -> None:
        self.watches = Watches()
        self.missed = 0
        self.reconnects = 0
        self.tried = asyncio.Event()
        """Set when the first subscription was made, or could not be."""
        self._link = link
        self._keys = keys
        self._beats = keys.beats(f"{escaped(name)}-{secrets.token_hex(6)}")
        self._seqs: dict[int, int] = {}
        self._risen: defaultdict[int, Bell] = defaultdict(Bell)
        self._followed: set[int] = set()
        self._heard: dict[int, int] = {}
        """The number of the last hint that came by the subscription."""
        self._own: defaultdict[int, set[int]] = defaultdict(set)
        """Numbers of own hints that were passed on already, and will still come by the subscription."""
        self._subscriptions = 0
        self._listening = False
        self._beat_at = float("-inf")

    def healthy(self) -> bool | str:
        """True, or why not."""
        if not self._listening:
            return "no subscription to Redis"
        silent_s = asyncio.get_running_loop().time() - self._beat_at
        return True if silent_s < SILENCE_S else f"nothing heard from Redis for {silent_s:.0f} s"

    def seq(self, partition: int) -> int:
        """The newest seq heard of, at most a beat behind if it fell."""
        return self._seqs.get(partition, 0)

    def risen(self, partition: int) -> Bell:
        """Rung when `seq` of the partition has changed."""
        self._followed.add(partition)
        return self._risen[partition]

    def know(self, partition: int, seq: int) -> None:
        """What somebody read in Redis; older than what was heard since, it changes nothing."""
        if seq > self._seqs.get(partition, 0):
            self._set_seq(partition, seq)

    def wrote(self, partition: int, number: int, seq: int | None, changed: Changed) -> None:
        """Tell of an own write at once. Its hint comes later, or has come already, and then wakes nobody again."""
        self._followed.add(partition)
        if number <= self._heard.get(partition, 0):
            return
        if self._listening:
            self._own[partition].add(number)
        self._pass_on(partition, seq, changed)

    async def run(self) -> None:
        """Listen and beat until cancelled. May be run again after it died."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._beat(), name="beats")
                group.create_task(self._stay_subscribed(), name="hints")
        finally:
            self._listening = False
            # Whoever waits for the first attempt has had it.
            self.tried.set()

    async def _beat(self) -> None:
        while True:
            try:
                await self._link.call("PUBLISH", self._beats, encode(await self._numbers()))
            except ViewsUnavailable:
                # The silence will be heard, and said, by whoever listens.
                log.debug("no beat could be sent")
            await asyncio.sleep(BEAT_S)

    async def _numbers(self) -> list[tuple[int, int | None, int]]:
        """Of each partition that anybody asked for: the number of its last hint, and its seq."""
        followed = sorted(self._followed)
        if not followed:
            return []
        states = await self._link.call_many(
            [("HMGET", self._keys.partition(partition), "number", "seq") for partition in followed]
        )
        return [
            (partition, None if number is None else int(number), int(seq or 0))
            for partition, (number, seq) in zip(followed, states, strict=True)
        ]

    async def _stay_subscribed(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            subscriptions = self._subscriptions
            try:
                async with self._link.pubsub() as subscriber:
                    await self._subscribe(subscriber)
                    while True:
                        await self._listen(subscriber)
            except (RedisError, OSError, TimeoutError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and not says_closed(error):
                    raise
                if self._listening:
                    log.warning("hints stay away, subscribing anew", extra={"why": f"{type(error).__name__}: {error}"})
            self._listening = False
            self.tried.set()
            pause_s = FIRST_PAUSE_S if self._subscriptions > subscriptions else min(2 * pause_s, LAST_PAUSE_S)
            await asyncio.sleep(pause_s)

    async def _subscribe(self, subscriber: PubSub) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await subscriber.psubscribe(self._keys.all_hints)
            await subscriber.subscribe(self._beats)
            confirmed = 0
            while confirmed < 2:
                message = await subscriber.get_message(timeout=DEADLINE_S)
                confirmed += message is not None and message["type"] in ("psubscribe", "subscribe")
        # From here on every hint arrives. What came before is unknown: whoever watches has to look.
        self._subscriptions += 1
        self.reconnects = self._subscriptions - 1
        self._heard.clear()
        self._own.clear()
        self._listening = True
        self._beat_at = asyncio.get_running_loop().time()
        self.watches.ring_all()
        self.tried.set()

    async def _listen(self, subscriber: PubSub) -> None:
        message = await subscriber.get_message(timeout=BEAT_S / 2)
        if message is not None and message["type"] == "pmessage":
            number, seq, changed = decode(message["data"])
            self._hear(self._keys.partition_of(message["channel"].decode()), number, seq, changed)
        elif message is not None and message["type"] == "message":
            self._hear_beat(decode(message["data"]))
        elif asyncio.get_running_loop().time() - self._beat_at > SILENCE_S:
            raise TimeoutError("three beats did not come back")

    def _hear(self, partition: int, number: int, seq: int | None, changed: Changed) -> None:
        before = self._heard.get(partition)
        self._followed.add(partition)
        self._heard[partition] = number
        told = number in self._own[partition]
        self._own[partition].discard(number)
        if before is not None and number != before + 1:
            self._miss(partition, number - before - 1)
        if not told:
            self._pass_on(partition, seq, changed)

    def _hear_beat(self, numbers: list[tuple[int, int | None, int]]) -> None:
        self._beat_at = asyncio.get_running_loop().time()
        for partition, number, seq in numbers:
            heard = self._heard.get(partition)
            if number is None:
                if heard is not None or self.seq(partition):
                    # Redis was flushed: whoever watches looks at nothing.
                    self._heard.pop(partition, None)
                    self._miss(partition, 0)
                    self._set_seq(partition, 0)
                continue
            if heard is None or number > heard:
                self._heard[partition] = number
                if heard is not None:
                    self._miss(partition, number - heard)
            if number >= max(self._heard[partition], *self._own[partition], 0):
                # Nothing newer was heard, so this holds even if it is less than before.
                self._set_seq(partition, seq)

    def _miss(self, partition: int, count: int) -> None:
        self.missed += max(count, 1)
        self._own[partition].clear()
        self.watches.ring_all()
        self._risen[partition].ring()

    def _pass_on(self, partition: int, seq: int | None, changed: Changed) -> None:
        if seq == 0:
            self._set_seq(partition, 0)
        elif seq is not None:
            self.know(partition, seq)
        if changed is None:
            self.watches.ring_all()
            return
        kinds: dict[tuple[str, str], None] = {}
        for one in changed:
            if len(one) == 1:
                self.watches.ring_all(one[0])
            else:
                workspace, kind, id = one
                self.watches.ring((workspace, kind, id))
                kinds[workspace, kind] = None
        for workspace, kind in kinds:
            self.watches.ring((workspace, kind, None))

    def _set_seq(self, partition: int, seq: int) -> None:
        if seq != self._seqs.get(partition):
            self._seqs[partition] = seq
            self._risen[partition].ring()
