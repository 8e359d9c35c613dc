"""A log in memory that keeps exactly the promises of `shared.log.port`, and none beyond them.

`Store` is what is durable; like Kafka it stores void proposals in the order they land. Everybody reaches it through a
`FaultyLog` of their own, whose `Weather` delays calls, loses answers after the effect, drops requests before it, lets
proposals land twice or long after they were given up, and freezes a whole process.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shared.log.port import InputRecord, JournalRecord, LogCorrupt, LogUnavailable, Positions, Snapshot, Text
from shared.vocabulary import Topic


class Store:
    """What is durable. Nothing in here waits or fails."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.topics: dict[Topic, list[bytes]] = {Topic.COMMANDS: [], Topic.INBOUND: []}
        self.journal: list[bytes] = []
        self.journal_start = 0
        self.snapshots: list[Snapshot] = []
        self.on_journal: Callable[[int, bytes], None] = lambda offset, data: None
        self.on_error: Callable[[Exception], None] = lambda error: None
        self.on_snapshot: Callable[[Snapshot], None] = lambda snapshot: None
        self.under_way = 0
        """Records that somebody sent and that have not landed yet."""
        self._waiting: list[asyncio.Future[None]] = []

    def land_later(self, after_s: float, append: Callable[[], object]) -> None:
        """What is on its way lands even if its sender is dead by then."""
        self.under_way += 1

        def land() -> None:
            self.under_way -= 1
            try:
                append()
            except Exception as error:
                # Nobody waits for a timer's exception.
                self.on_error(error)

        asyncio.get_running_loop().call_later(after_s, land)

    def append_input(self, topic: Topic, data: bytes) -> int:
        records = self.topics[topic]
        records.append(data)
        self._wake()
        return len(records) - 1

    def append_journal(self, data: bytes) -> None:
        self.journal.append(data)
        self.on_journal(len(self.journal) - 1, data)
        self._wake()

    def save(self, snapshot: Snapshot) -> None:
        by_seq = {saved.seq: saved for saved in (*self.snapshots, snapshot)}
        self.snapshots = [by_seq[seq] for seq in sorted(by_seq)][-2:]
        self.on_snapshot(snapshot)

    @property
    def end(self) -> Positions:
        return Positions(len(self.topics[Topic.COMMANDS]), len(self.topics[Topic.INBOUND]))

    async def change(self, within_s: float) -> None:
        """Wait until something is appended, or the time is over."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(within_s, _finish, waiter)
        self._waiting.append(waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            _finish(waiter)


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


@dataclass(slots=True)
class Weather:
    """How one process's calls fare. All chances are drawn from `dice`, so a seed is a whole story."""

    dice: random.Random
    trouble: float = 0.0
    """How often a call fails, before or after its effect."""
    late: float = 0.0
    """How often a proposal lands long after it was sent."""
    twice: float = 0.0
    """How often a proposal lands twice."""
    delay_s: float = 0.005
    short: float = 0.3
    """How often a read returns less than there is."""
    outage: bool = False
    blind: bool = False
    """No snapshot can be read: another format, or all of them damaged."""
    _awake: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._awake.set()

    def freeze(self) -> None:
        self._awake.clear()

    def thaw(self) -> None:
        self._awake.set()

    @property
    def frozen(self) -> bool:
        return not self._awake.is_set()

    def calm(self) -> None:
        """No more faults from here on."""
        self.trouble = self.late = self.twice = self.short = 0.0
        self.outage = False
        self.delay_s = 0.001
        self.thaw()

    async def passage(self) -> None:
        """One way over the network."""
        await self._awake.wait()
        if self.delay_s:
            chance = self.dice.random()
            scale = 40.0 if chance < 0.02 else 1.0
            await asyncio.sleep(self.dice.expovariate(1.0) * self.delay_s * scale)
            await self._awake.wait()
        if self.outage or (self.trouble and self.dice.random() < self.trouble):
            raise LogUnavailable("the simulated network lost it")

    def cut(self, length: int) -> int:
        """How much of `length` records a read returns: at least one if there is one."""
        if length > 1 and self.dice.random() < self.short:
            return self.dice.randint(1, length)
        return length


class FaultyInputs:
    def __init__(self, store: Store, weather: Weather) -> None:
        self._store = store
        self._weather = weather

    async def append(self, topic: Topic, partition: int, data: bytes) -> int:
        weather = self._weather
        await weather.passage()
        if weather.dice.random() < weather.late:
            self._store.land_later(weather.dice.expovariate(0.5), lambda: self._store.append_input(topic, data))
            raise LogUnavailable("the simulated network is slow")
        offset = self._store.append_input(topic, data)
        if weather.dice.random() < weather.twice:
            self._store.append_input(topic, data)
        await weather.passage()
        return offset

    async def read(
        self, partition: int, positions: Positions, *, limit: int, wait_s: float, inbound: bool = True
    ) -> list[InputRecord]:
        await self._weather.passage()
        end = self._store.end
        if positions.commands > end.commands or positions.inbound > end.inbound:
            raise LogCorrupt(f"read at {positions}, the inputs end at {end}")
        records = self._behind(positions, limit, inbound)
        if not records and wait_s > 0:
            await self._store.change(wait_s)
            records = self._behind(positions, limit, inbound)
        await self._weather.passage()
        return records[: self._weather.cut(len(records))]

    def _behind(self, positions: Positions, limit: int, inbound: bool) -> list[InputRecord]:
        found: list[InputRecord] = []
        for topic, start in ((Topic.COMMANDS, positions.commands), (Topic.INBOUND, positions.inbound)):
            if topic is Topic.INBOUND and not inbound:
                continue
            stored = self._store.topics[topic]
            for offset in range(start, min(len(stored), start + limit - len(found))):
                found.append(InputRecord(topic, offset, stored[offset]))
        return found

    async def end(self, partition: int) -> Positions:
        await self._weather.passage()
        return self._store.end

    def deaf_s(self, partition: int) -> float:
        return 0.0


class FaultyJournal:
    def __init__(self, store: Store, weather: Weather) -> None:
        self._store = store
        self._weather = weather

    async def identity(self, partition: int) -> str:
        await self._weather.passage()
        return self._store.identity

    async def propose(self, partition: int, data: bytes, *, seq: int, prev: str, entry_hash: str) -> None:
        weather = self._weather
        await weather.passage()
        if weather.dice.random() < weather.late:
            self._store.land_later(weather.dice.expovariate(0.5), lambda: self._store.append_journal(data))
        else:
            self._store.append_journal(data)
        if weather.dice.random() < weather.twice:
            self._store.land_later(weather.dice.expovariate(0.3), lambda: self._store.append_journal(data))
        await weather.passage()

    async def read(self, partition: int, offset: int, *, limit: int, wait_s: float) -> list[JournalRecord]:
        await self._weather.passage()
        self._check(offset)
        records = self._behind(offset, limit)
        if not records and wait_s > 0:
            await self._store.change(wait_s)
            self._check(offset)
            records = self._behind(offset, limit)
        await self._weather.passage()
        return records[: self._weather.cut(len(records))]

    def _check(self, offset: int) -> None:
        start, end = self._store.journal_start, len(self._store.journal)
        if not start <= offset <= end:
            raise LogCorrupt(f"offset {offset} lies outside the journal ({start} to {end})")

    def _behind(self, offset: int, limit: int) -> list[JournalRecord]:
        end = min(len(self._store.journal), offset + limit)
        return [JournalRecord(at, self._store.journal[at]) for at in range(offset, end)]

    async def bounds(self, partition: int) -> tuple[int, int]:
        await self._weather.passage()
        bounds = self._store.journal_start, len(self._store.journal)
        await self._weather.passage()
        return bounds

    async def trim(self, partition: int, before: int) -> None:
        raise AssertionError("no operator is here")


class FaultySnapshots:
    def __init__(self, store: Store, weather: Weather) -> None:
        self._store = store
        self._weather = weather

    async def save(self, snapshot: Snapshot) -> None:
        await self._weather.passage()
        self._store.save(snapshot)
        await self._weather.passage()

    async def load_newest_valid(self, partition: int, *, format: int, before: int | None = None) -> Snapshot | None:
        await self._weather.passage()
        if self._weather.blind:
            return None
        readable = [
            saved
            for saved in self._store.snapshots
            if saved.format == format and (before is None or saved.seq < before)
        ]
        return max(readable, key=lambda saved: saved.seq, default=None)


class NoContent:
    """The router's loop never reads content."""

    async def put(self, workspace: str, ref: str, data: bytes, *, owner: str) -> None:
        raise NotImplementedError

    async def put_all(self, workspace: str, texts: Sequence[Text]) -> None:
        raise NotImplementedError

    async def get(self, workspace: str, ref: str) -> bytes | None:
        raise NotImplementedError

    async def get_many(self, workspace: str, refs: Sequence[str]) -> dict[str, bytes]:
        raise NotImplementedError

    async def refs(self, workspace: str, owner: str) -> list[str]:
        raise NotImplementedError

    async def erase(self, workspace: str, owner: str) -> int:
        raise NotImplementedError


class FaultyLog:
    """One process's way to the store."""

    def __init__(self, store: Store, weather: Weather) -> None:
        self.inputs = FaultyInputs(store, weather)
        self.journal = FaultyJournal(store, weather)
        self.snapshots = FaultySnapshots(store, weather)
        self.content = NoContent()

    async def open(self) -> None: ...

    async def close(self) -> None: ...
