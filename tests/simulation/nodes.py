"""Router processes of a simulated world: they start, crash at any await, stop in order, freeze, and come back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from services.router import snapshot
from services.router.chain import Diverged
from services.router.engine.engine import Engine
from services.router.replica import Performed, Replica, ReplicaSettings
from shared.contracts import events as ev
from shared.log.port import InputRecord, LogCorrupt, LogUnavailable
from tests.simulation.checkers import Referee
from tests.simulation.faulty_log import FaultyLog, Store, Weather
from tests.simulation.ledger import Violation, require
from tests.simulation.virtual_time import VirtualClock

PARTITION = 0


class CheckedReplica(Replica):
    """The production replica, watched: after recovery, after every undo, and now and then while deciding."""

    referee: Referee
    dice: random.Random
    twin_chance = 0.0

    async def recover(self) -> None:
        await super().recover()
        self.referee.on_recovered(self)
        world = self.engine.world
        rollback = world.rollback

        def checked(mark: tuple[int, int]) -> None:
            rollback(mark)
            # Of a proposal that lost, the chain's head is the winner already, whose predecessor was the ground of what
            # is taken back. What was never proposed stood on the head itself.
            self.referee.on_rolled_back(self, self.head.seq - self.proposing)

        world.rollback = checked  # type: ignore[method-assign]

    async def _read_inputs(self, wait_s: float) -> list[InputRecord]:
        records = await super()._read_inputs(wait_s)
        self.referee.held += self.holds_messages
        return records

    def _decide(self, records: list[InputRecord], now: int):  # type: ignore[no-untyped-def]
        """Decide, and sometimes decide the same again on a state loaded from a snapshot: the decision must depend on
        nothing but the facts."""
        if self.dice.random() >= self.twin_chance or self._has_fresh():
            return super()._decide(records, now)
        twin = Engine(snapshot.load(snapshot.dump(self.engine.state)))
        for index in twin.world.indexes.values():
            index.fresh_contacts.clear()
            index.fresh_classes.clear()
        rematch, engine = self._rematch, self.engine
        batch = super()._decide(records, now)
        self.engine, self._rematch = twin, rematch
        try:
            again = super()._decide(records, now)
        finally:
            self.engine, self._rematch = engine, False
        first = [(d.command_id, d.sequence, _plain(d.events)) for d in batch.decisions]
        second = [(d.command_id, d.sequence, _plain(d.events)) for d in again.decisions]
        require(first == second, "7", f"the same facts are decided differently:\n  live {first}\n  anew {second}")
        return batch

    def _has_fresh(self) -> bool:
        indexes = self.engine.world.indexes.values()
        return bool(self.engine.unfinished) or any(index.fresh_contacts or index.fresh_classes for index in indexes)


def _plain(events: Sequence[ev.Event]) -> list[ev.Event]:
    """Without the counts of excluded capability classes: they depend on which classes were ever seen."""
    return [
        replace(event, decision=replace(event.decision, excluded={})) if isinstance(event, ev.OfferMade) else event
        for event in events
    ]


class Witness:
    """The replica's performer: shows every entry to the referee."""

    def __init__(self, referee: Referee, weather: Weather) -> None:
        self._referee = referee
        self._weather = weather
        self.performed = 0

    async def perform(self, replica: Replica, entry: Performed) -> None:
        self._referee.on_performed(replica, entry)
        self.performed += 1
        with suppress(LogUnavailable):
            await self._weather.passage()

    async def bury(self, replica: Replica, aside: Sequence[tuple[InputRecord, str]]) -> None:
        await self._weather.passage()
        self._referee.on_buried(aside)


class Node:
    """One router process: a name, a machine's clock, a way to the log, and at most one replica at a time."""

    def __init__(
        self,
        name: str,
        store: Store,
        referee: Referee,
        weather: Weather,
        clock: VirtualClock,
        settings: ReplicaSettings,
        fail: Callable[[BaseException], None],
        twin_chance: float,
    ) -> None:
        self.name = name
        self.store = store
        self.referee = referee
        self.weather = weather
        self.clock = clock
        self.settings = settings
        self.replica: CheckedReplica | None = None
        self.last_error: BaseException | None = None
        self.starts = 0
        self._fail = fail
        self._twin_chance = twin_chance
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """A new process, which knows only what is durable."""
        assert not self.running
        self.starts += 1
        self._stopping = asyncio.Event()
        self.replica = self.make()
        self._task = asyncio.get_running_loop().create_task(self._live(self.replica), name=self.name)

    def make(self) -> CheckedReplica:
        replica = CheckedReplica(
            partition=PARTITION,
            name=self.name,
            log=FaultyLog(self.store, self.weather),
            clock=self.clock,
            performer=Witness(self.referee, self.weather),
            settings=self.settings,
        )
        replica.referee = self.referee
        replica.dice = self.weather.dice
        replica.twin_chance = self._twin_chance
        return replica

    async def _live(self, replica: CheckedReplica) -> None:
        try:
            await replica.run(self._stopping)
        except LogUnavailable as error:
            # A process that cannot reach its log while it starts or stops exits; its supervisor starts it again.
            self.last_error = error
        except LogCorrupt as error:
            self.last_error = error
            if not self.weather.blind and not self._was_cut_off(replica):
                self._fail(Violation("crash", f"{self.name} stopped: {error}"))
        except Violation as violation:
            self._fail(violation)
        except Diverged as error:
            self._fail(Violation("rule", f"{self.name} diverged: {error}"))
        except Exception as error:
            self._fail(Violation("crash", f"{self.name} died: {error!r}").with_traceback(error.__traceback__))

    def _was_cut_off(self, replica: CheckedReplica) -> bool:
        """Whether the journal was trimmed beyond the place where a frozen reader had stopped."""
        chain = replica._chain
        return chain is not None and chain.next_offset < self.store.journal_start

    async def crash(self) -> None:
        """Gone between two instructions."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self.replica = None

    async def stop(self) -> None:
        """Asked to stop; returns when it has."""
        self._stopping.set()
        if self._task is not None:
            await self._task
            self._task = None

    async def save_snapshot(self) -> None:
        """As the process does from time to time, whatever its loop is doing."""
        if self.replica is not None and self.replica._chain is not None and not self.weather.frozen:
            with suppress(LogUnavailable):
                await self.replica.save_snapshot()
