"""Which routers are alive, and which of them replicate which partition.

Every router tells every second that it lives and where its replicas are. Each one draws the same conclusion from what
it heard: rendezvous hashing gives a partition to the `COPIES` routers whose hash with it is highest, so that one that
comes or goes moves only its own share. Views of who is alive may differ for a while; that costs a replica too many or
too few for seconds, never more, because leadership does not rest on it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from shared.clock import Clock
from shared.log.port import LogUnavailable
from shared.service import run_until

logger = logging.getLogger(__name__)

COPIES: Final = 2
BEAT_S: Final = 1.0
ALIVE_S: Final = 5.0
DEAF_S: Final = 2.0
"""Who speaks hears at least itself every `BEAT_S`. A longer silence of everybody is the topic's, or one's own."""


class RosterTopic(Protocol):
    """What the roster needs of the log: a place where all routers speak and all listen."""

    async def announce(self, key: str, value: bytes) -> None:
        """Tell everybody. Raises `LogUnavailable`."""
        ...

    def follow(self) -> AsyncIterator[tuple[str, bytes]]:
        """What is told from now on, without end; survives outages of the log."""
        ...


def replicas_of(partition: int, routers: Sequence[str], copies: int = COPIES) -> list[str]:
    """The routers that replicate a partition, the one that should lead first."""

    def weight(router: str) -> tuple[bytes, str]:
        return hashlib.sha256(f"{partition}|{router}".encode()).digest(), router

    return sorted(routers, key=weight, reverse=True)[:copies]


def rank_of(router: str, owners: Sequence[str], *, leader: str) -> int:
    """How many of a partition's `owners` should take over before `router`: the leader, for one, will not."""
    return [owner for owner in owners if owner != leader or owner == router].index(router)


@dataclass(slots=True)
class _Heard:
    at: float
    replicas: list[dict[str, Any]] = field(default_factory=list)


class Roster:
    """Who was heard lately. `speak` is for routers; others only listen.

    A router that hears nothing at all, not even itself, knows nothing new of the others: for it time goes on only while
    it hears, and at most `DEAF_S` from one word to the next. Else a topic that stalls would look like the death of all,
    and each router would take every partition. Who only listens cannot tell silence from death, and takes it for death.
    """

    def __init__(self, topic: RosterTopic, clock: Clock) -> None:
        self._topic = topic
        self._clock = clock
        self._heard: dict[str, _Heard] = {}
        self._speaks = False
        self._deaf_s = 0.0
        self._word_at = clock.monotonic()
        self.hears = False
        """Whether anything was ever heard from the topic."""

    def alive(self) -> list[str]:
        """Names of the routers heard within `ALIVE_S` of time in which this one could hear, in order."""
        now = self._now()
        return sorted(name for name, heard in self._heard.items() if now - heard.at < ALIVE_S)

    def replicas(self) -> list[dict[str, Any]]:
        """Every replica of every live router, as it described itself last."""
        alive = self.alive()
        return sorted(
            (dict(replica) for name in alive for replica in self._heard[name].replicas),
            key=lambda replica: (replica["partition"], replica["replica"]),
        )

    async def listen(self, stopping: asyncio.Event) -> None:
        """Hear others until `stopping`."""
        await run_until(stopping, self._listen())

    async def _listen(self) -> None:
        async for name, value in self._topic.follow():
            self._listened()
            try:
                told: Mapping[str, Any] = json.loads(value)
                if told.get("bye"):
                    self._heard.pop(name, None)
                else:
                    self._heard[name] = _Heard(self._now(), list(told["replicas"]))
            except (ValueError, KeyError, TypeError) as error:
                logger.warning("a router's word cannot be read", extra={"router": name, "reason": str(error)})

    def _now(self) -> float:
        """The time of an ear: without what was silence of the topic."""
        return self._clock.monotonic() - self._deaf_s - self._silence_s()

    def _silence_s(self) -> float:
        """How much of the time since the last word does not count."""
        return max(0.0, self._clock.monotonic() - self._word_at - DEAF_S) if self._speaks else 0.0

    def _listened(self) -> None:
        self._deaf_s += self._silence_s()
        self._word_at = self._clock.monotonic()
        self.hears = True

    async def speak(self, name: str, replicas: Sequence[Mapping[str, Any]], *, bye: bool = False) -> None:
        """Tell the others that `name` lives, or that it goes. A log that is away is not worth an error here."""
        if not self._speaks:
            self._speaks, self._word_at = True, self._clock.monotonic()
        if not bye:
            self._heard[name] = _Heard(self._now(), [dict(replica) for replica in replicas])
        try:
            await self._topic.announce(name, json.dumps({"replicas": list(replicas), "bye": bye}).encode())
        except LogUnavailable as error:
            logger.warning("the other routers could not be told", extra={"reason": str(error)})
