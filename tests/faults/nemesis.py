"""Does to a deployment what machines and networks do, from a seed. Two hands: one for brokers, one for all the rest.

The hand for brokers takes one down at a time and lets the cluster get in sync again before the next, except for the
step that takes the majority. The other hand never takes both of a pair at once, except where the step says so. Both
work at the same time, so faults overlap.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tests.eventually import eventually
from tests.faults.cluster import Cluster
from tests.faults.history import Fault, History, Trouble
from tests.faults.process import NeverReady, Process
from tests.support.proxy import Proxy

STOP_S: Final = 12.0
LOST_S: Final = 8.0
"""How long the majority of brokers is away in the step that is held: longer than any request waits for an answer."""
DEPOSED_S: Final = 3.0
"""How long a router that was deposed while it stood still is left alone afterwards, so that it can be seen."""
TAKEN_S: Final = 20.0


SERVICE_STEPS: Final[Mapping[str, int]] = {
    "router-kill": 6,
    "router-term": 4,
    "router-pause": 3,
    "routers-kill": 1,
    "api-kill": 3,
    "api-term": 2,
    "api-pause": 2,
    "ingest-kill": 2,
    "redis-kill": 2,
    "redis-flush": 3,
    "redis-pause": 2,
    "net-cut": 4,
    "net-hole": 4,
    "net-delay": 2,
}
BROKER_STEPS: Final[Mapping[str, int]] = {"broker-kill": 4, "broker-term": 3, "broker-pause": 3, "majority-lost": 1}


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How long things stay broken and how long they are left alone. Pairs are the least and the most seconds; steps
    come as often as their weights say.
    """

    calm_s: tuple[float, float]
    down_s: tuple[float, float]
    pause_s: tuple[float, float]
    hole_s: tuple[float, float]
    services: Mapping[str, int] = field(default_factory=lambda: SERVICE_STEPS)
    brokers: Mapping[str, int] = field(default_factory=lambda: BROKER_STEPS)


SHORT: Final = Rhythm(
    calm_s=(0.5, 2.0),
    down_s=(0.2, 1.0),
    pause_s=(2.0, 4.0),
    hole_s=(2.0, 4.0),
    services={"router-kill": 4, "router-term": 3, "api-kill": 2, "redis-flush": 3, "net-cut": 2, "net-hole": 2},
    brokers={"broker-kill": 2, "broker-pause": 1},
)
LONG: Final = Rhythm(calm_s=(2.0, 8.0), down_s=(0.5, 6.0), pause_s=(5.0, 30.0), hole_s=(3.0, 15.0))
ALONE: Final = Rhythm(calm_s=(15.0, 18.0), down_s=(1.0, 1.0), pause_s=(5.0, 5.0), hole_s=(5.0, 5.0))
"""Every fault has its time for itself, so that what it costs can be measured."""

RHYTHMS: Final = {"short": SHORT, "long": LONG, "alone": ALONE}

Step = Callable[[], Awaitable[None]]


class Nemesis:
    """One run's faults; `leader` names the process that leads the workspace at this moment, whose journal is the one of
    `partition`."""

    def __init__(
        self,
        cluster: Cluster,
        history: History,
        rhythm: Rhythm,
        seed: int,
        leader: Callable[[], str | None],
        partition: int,
    ) -> None:
        self._cluster = cluster
        self._history = history
        self._rhythm = rhythm
        self._leader = leader
        self._partition = partition
        self._services = random.Random(f"{seed}:services")
        self._brokers = random.Random(f"{seed}:brokers")
        self._steps: dict[str, Step] = {
            "router-kill": self._router_kill,
            "router-term": self._router_term,
            "router-pause": self._router_pause,
            "routers-kill": self._routers_kill,
            "api-kill": lambda: self._kill(self._services, cluster.api_names, "api-kill"),
            "api-term": lambda: self._term(self._services.choice(cluster.api_names), "api-term"),
            "api-pause": lambda: self._pause(self._services.choice(cluster.api_names), "api-pause"),
            "ingest-kill": lambda: self._kill(
                self._services, [*cluster.ingest_names, *cluster.other_names], "ingest-kill"
            ),
            "redis-kill": self._redis_kill,
            "redis-flush": self._redis_flush,
            "redis-pause": self._redis_pause,
            "net-cut": self._net_cut,
            "net-hole": self._net_hole,
            "net-delay": self._net_delay,
            "broker-kill": self._broker_kill,
            "broker-term": self._broker_term,
            "broker-pause": self._broker_pause,
            "majority-lost": self._majority_lost,
            "leader-pause": self._leader_pause,
            "majority-held": lambda: self._majority_lost(LOST_S),
            "nothing": lambda: self._down(self._services),
            **{
                f"{name} to {build}": partial(self._exchange, name, build)
                for name in cluster.engine_names
                for build in cluster.builds
            },
        }

    async def run(self, until: float, *, steps: Sequence[str] = ()) -> None:
        """Both hands at work until the run is `until` seconds old; everything is mended when this returns.

        With `steps`, one hand does these in order instead, once.
        """
        if steps:
            await self.play(steps)
            return
        async with asyncio.TaskGroup() as hands:
            hands.create_task(self._work(self._services, self._rhythm.services, until))
            hands.create_task(self._work(self._brokers, self._rhythm.brokers, until))

    async def play(self, steps: Sequence[str]) -> None:
        """These in order, with nothing beside them."""
        for step in steps:
            await self._steps[step]()
            await asyncio.sleep(self._services.uniform(*self._rhythm.calm_s))

    async def _work(self, dice: random.Random, weights: Mapping[str, int], until: float) -> None:
        while True:
            await asyncio.sleep(dice.uniform(*self._rhythm.calm_s))
            if self._history.now >= until:
                return
            (step,) = dice.choices(list(weights), list(weights.values()))
            await self._steps[step]()

    def _note(self, kind: str, target: str, at: float, *, led: bool = False) -> None:
        self._history.add(Fault(kind=kind, target=target, at=at, until=self._history.now, led=led))

    # Our processes

    def _router(self) -> str:
        """Mostly the one that leads: the other one's death should go unnoticed, and that is seen soon."""
        leader = self._leader()
        if leader is not None and self._services.random() < 0.7:
            return leader
        return self._services.choice(self._cluster.engine_names)

    async def _router_kill(self) -> None:
        await self._kill(self._services, [self._router()], "router-kill")

    async def _router_term(self) -> None:
        await self._term(self._router(), "router-term")

    async def _router_pause(self) -> None:
        await self._pause(self._router(), "router-pause")

    async def _routers_kill(self) -> None:
        at = self._history.now
        for name in self._cluster.engine_names:
            await self._cluster.processes[name].kill()
        await self._down(self._services)
        for name in self._cluster.engine_names:
            await self._bring_back(name)
        self._note("routers-kill", "all", at, led=True)

    async def _kill(self, dice: random.Random, names: Sequence[str], kind: str) -> None:
        if not names:
            return
        name = dice.choice(names)
        at, led = self._history.now, name == self._leader()
        await self._cluster.processes[name].kill()
        await self._down(dice)
        await self._bring_back(name)
        self._note(kind, name, at, led=led)

    async def _exchange(self, name: str, build: str) -> None:
        """Stopped in order, and started from another build."""
        self._cluster.processes[name].build = self._cluster.builds[build]
        await self._term(name, "router-term")

    async def _term(self, name: str, kind: str) -> None:
        at, led = self._history.now, name == self._leader()
        code = await self._cluster.processes[name].stop(STOP_S)
        if code != 0:
            words = "had to be killed" if code is None else f"exit code {code}"
            self._history.add(Trouble(what=f"{name} did not stop in order", detail=words, at=self._history.now))
        await self._bring_back(name)
        self._note(kind, name, at, led=led)

    async def _pause(self, name: str, kind: str) -> None:
        at, led = self._history.now, name == self._leader()
        process = self._cluster.processes[name]
        process.pause()
        try:
            await asyncio.sleep(self._services.uniform(*self._rhythm.pause_s))
        finally:
            process.resume()
        self._note(kind, name, at, led=led)

    async def _leader_pause(self) -> None:
        """The leader stands still until the other one has taken over, and is left alone when it comes back."""
        name = await eventually(self._leader, within_s=TAKEN_S, every_s=0.2)
        assert name is not None
        process, at = self._cluster.processes[name], self._history.now
        process.pause()
        try:
            with contextlib.suppress(AssertionError):
                await eventually(lambda: self._leader() != name, within_s=TAKEN_S, every_s=0.2)
        finally:
            process.resume()
        self._note("router-pause", name, at, led=True)
        await asyncio.sleep(DEPOSED_S)

    async def _down(self, dice: random.Random) -> None:
        await asyncio.sleep(dice.uniform(*self._rhythm.down_s))

    async def _bring_back(self, name: str) -> None:
        process = self._cluster.processes[name]
        if not process.alive:
            await process.start()
        # A process that waits for its brokers is not ready and has every right to it; only its end is trouble. That it
        # gets ready when nothing is broken any more is asked for at the end of the run.
        try:
            await process.until_ready(45)
        except NeverReady as error:
            if not process.alive:
                self._history.add(Trouble(what=f"{name} did not come back", detail=str(error), at=self._history.now))

    # Redis and the network

    async def _redis_kill(self) -> None:
        at = self._history.now
        self._cluster.redis.kill()
        await self._down(self._services)
        await asyncio.to_thread(self._cluster.redis.start)
        self._note("redis-kill", "redis", at)

    async def _redis_flush(self) -> None:
        at = self._history.now
        await asyncio.to_thread(self._cluster.redis.flush)
        self._note("redis-flush", "redis", at)

    async def _redis_pause(self) -> None:
        at = self._history.now
        self._cluster.redis.pause()
        try:
            await asyncio.sleep(self._services.uniform(*self._rhythm.hole_s))
        finally:
            self._cluster.redis.resume()
        self._note("redis-pause", "redis", at)

    def _link(self) -> tuple[str, Sequence[Proxy]]:
        name = self._services.choice(list(self._cluster.processes))
        to_redis = self._services.random() < 0.4
        proxies = [self._cluster.ways[name]] if to_redis else self._cluster.lanes[name]
        return f"{name} to {'redis' if to_redis else 'kafka'}", proxies

    async def _net_cut(self) -> None:
        name, proxies = self._link()
        at = self._history.now
        for _ in range(self._services.randint(1, 4)):
            for proxy in proxies:
                proxy.cut()
            await asyncio.sleep(self._services.uniform(0.1, 0.6))
        self._note("net-cut", name, at)

    async def _net_hole(self) -> None:
        name, proxies = self._link()
        at = self._history.now
        for proxy in proxies:
            proxy.swallow()
        await asyncio.sleep(self._services.uniform(*self._rhythm.hole_s))
        for proxy in proxies:
            proxy.pass_all()
        self._note("net-hole", name, at)

    async def _net_delay(self) -> None:
        name, proxies = self._link()
        at = self._history.now
        for proxy in proxies:
            proxy.delay_s = self._services.uniform(0.01, 0.08)
        await asyncio.sleep(self._services.uniform(*self._rhythm.hole_s))
        for proxy in proxies:
            proxy.pass_all()
        self._note("net-delay", name, at)

    # Brokers

    async def _broker_kill(self) -> None:
        keeper = await self._cluster.kafka.leader_of(self._cluster.journal_topic, self._partition)
        # Mostly the one whose death stops the journal: the others' should go unnoticed.
        number = keeper if keeper is not None and self._brokers.random() < 0.7 else self._broker()
        at = self._history.now
        self._cluster.kafka.kill(number)
        await self._down(self._brokers)
        await self._mend_brokers([number])
        self._note("broker-kill", f"broker {number}", at, led=number == keeper)

    async def _broker_term(self) -> None:
        number, at = self._broker(), self._history.now
        await asyncio.to_thread(self._cluster.kafka.stop, number)
        await self._mend_brokers([number])
        self._note("broker-term", f"broker {number}", at)

    async def _broker_pause(self) -> None:
        number, at = self._broker(), self._history.now
        self._cluster.kafka.pause(number)
        try:
            await asyncio.sleep(self._brokers.uniform(*self._rhythm.pause_s))
        finally:
            self._cluster.kafka.resume(number)
        await self._cluster.kafka.until_in_sync()
        self._note("broker-pause", f"broker {number}", at)

    async def _majority_lost(self, held_s: float | None = None) -> None:
        numbers, at = self._brokers.sample(list(self._cluster.kafka.numbers), 2), self._history.now
        for number in numbers:
            self._cluster.kafka.kill(number)
        if held_s is None:
            await self._down(self._brokers)
        else:
            await asyncio.sleep(held_s)
        await self._mend_brokers(numbers)
        self._note("majority-lost" if held_s is None else "majority-held", f"brokers {numbers[0]} and {numbers[1]}", at)

    def _broker(self) -> int:
        return self._brokers.choice(list(self._cluster.kafka.numbers))

    async def _mend_brokers(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._cluster.kafka.start_node(number)
        await self._cluster.kafka.until_ready()
        await self._cluster.kafka.until_in_sync()


async def supervise(processes: Mapping[str, Process], history: History) -> None:
    """Start again what ended by itself, as a supervisor would, and remember it as trouble. Runs until cancelled."""
    while True:
        for name, process in processes.items():
            code = process.died
            if code is not None:
                at = history.now
                history.add(
                    Trouble(what=f"{name} ended by itself", detail=f"exit code {code}: {process.tail()}", at=at)
                )
                await process.start()
        await asyncio.sleep(0.5)
