"""One seed, one world: people work, processes fail, and at the end everything must add up."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from services.router import snapshot
from services.router.chain import Diverged
from services.router.engine import engine, ordered, registry
from services.router.intake_bound import IntakeBound
from services.router.replica import ReplicaSettings
from services.router.turns import Pace
from shared.contracts import commands as cmd
from shared.log.port import LogCorrupt
from shared.vocabulary import Role
from tests.simulation.checkers import Referee
from tests.simulation.faulty_log import Store, Weather
from tests.simulation.ledger import DAY, Violation, require
from tests.simulation.nodes import PARTITION, Node
from tests.simulation.sender import Sender
from tests.simulation.virtual_time import EPOCH_MS, Stalled, VirtualClock, VirtualLoop
from tests.simulation.workload import People, size_of

HOUR = 3_600_000
DRAIN_S = 600.0
ASKING_FROM = 80
"""In worlds from this number on colleagues may ask each other and change channels. Those before are as they were when
nobody did, so that planted bugs are still found where they were."""
BOUND_FROM = 120
"""In some worlds from this number on few contacts may be open before messages wait in the log, for the same reason."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a world came to. `digest` covers every stored proposal and the last state: equal seeds, equal digests."""

    seed: int
    digest: str
    entries: int
    voids: int
    inputs: int
    rollbacks: int
    recoveries: int
    held: int
    starts: int
    virtual_s: float
    judged: int
    """Offers that were held against the matching rule, pair by pair."""
    events: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)


def simulate(seed: int) -> Outcome:
    """Play one world. Raises `Violation` as soon as anything is wrong."""
    loop = VirtualLoop(random.Random(f"{seed}:loop"))
    with _quiet(), _small_structures(random.Random(f"{seed}:structures")):
        try:
            return loop.run_until_complete(_World(seed, loop).play())
        except Stalled as error:
            raise Violation("liveness", f"the world stands still: {error}") from error
        finally:
            _close(loop)
            # Replicas freeze what they recover, which is meant for one long life, not for many short ones.
            gc.unfreeze()
            gc.collect()


def _close(loop: asyncio.AbstractEventLoop) -> None:
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.close()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Simulated faults are not worth a log line."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _small_structures(dice: random.Random) -> Iterator[None]:
    """Limits that only large worlds reach are reached by small ones too."""
    before = ordered.CHUNK, registry.MAX_IDLE_REQUIREMENTS, engine.MOST_OFFERS
    ordered.CHUNK = dice.choice((1, 2, 256))
    registry.MAX_IDLE_REQUIREMENTS = dice.choice((1, 3, 10_000))
    engine.MOST_OFFERS = dice.choice((1, 2, 200))
    try:
        yield
    finally:
        ordered.CHUNK, registry.MAX_IDLE_REQUIREMENTS, engine.MOST_OFFERS = before


class _World:
    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.seed = seed
        self.loop = loop
        self.dice = self._dice("world")
        self.store = Store(f"sim-{seed}")
        settings = ReplicaSettings(
            max_inputs=self.dice.choice((1, 3, 20, 200)),
            max_events=self.dice.choice((1, 4, 20, 2_000, 2_000)),
            resend_s=self.dice.choice((0.2, 1.0, 2.0)),
            max_open=self._dice("bound").choice((0, 0, 5, 30)) if seed >= BOUND_FROM else 0,
            pace=self._dice("pace").choice(
                (None, None, Pace(beat_s=1.0, silence_s=3.0), Pace(beat_s=4.0, silence_s=6.0))
            ),
        )
        self.referee = Referee(self.store, settings.max_events)
        self.failed: asyncio.Future[None] = loop.create_future()
        self.store.on_error = self._fail
        self.start_ms = EPOCH_MS + self.dice.choice((9 * HOUR, DAY - 60_000))
        trouble = self.dice.choice((0.0, 0.01, 0.05))
        self.nodes = [
            Node(
                name=f"n{number}",
                store=self.store,
                referee=self.referee,
                weather=self._weather(f"n{number}", trouble),
                clock=VirtualClock(loop, self.start_ms, self.dice.choice((0, 0, 700, -40_000))),
                settings=settings,
                fail=self._fail,
                twin_chance=self.dice.choice((0.0, 0.2)),
            )
            for number in range(self.dice.choice((1, 2, 2, 3)))
        ]
        self.sender = Sender(self.store, self._weather("people", trouble), VirtualClock(loop, self.start_ms))
        self.people = [
            People(
                f"w{number}",
                size,
                self._dice(f"people{number}"),
                self.referee.ledger,
                self.sender,
                self._colleagues(number),
            )
            for number, size in ((n, size_of(self._dice(f"size{n}"))) for n in range(2))
        ][: size_of(self._dice("size0")).workspaces]

    def _dice(self, purpose: str) -> random.Random:
        return random.Random(f"{self.seed}:{purpose}")

    def _colleagues(self, number: int) -> random.Random | None:
        dice = self._dice(f"consult{number}")
        return dice if self.seed >= ASKING_FROM and dice.random() < 0.8 else None

    def _weather(self, who: str, trouble: float) -> Weather:
        dice = self._dice(f"weather:{who}")
        return Weather(
            dice,
            trouble=trouble,
            late=self.dice.choice((0.0, 0.02, 0.1)),
            twice=self.dice.choice((0.0, 0.02, 0.1)),
            delay_s=self.dice.choice((0.0, 0.002, 0.02, 0.1)),
        )

    def _fail(self, error: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    async def play(self) -> Outcome:
        story = asyncio.create_task(self._story())
        await asyncio.wait({story, self.failed}, return_when=asyncio.FIRST_COMPLETED)
        if self.failed.done():
            self.failed.result()
        self.failed.cancel()
        story.result()
        return self._outcome()

    async def _story(self) -> None:
        for node in self.nodes:
            node.start()
        await self._work(opening=True)
        if self.dice.random() < 0.15:
            await self._long_gap()
            await self._work(opening=False)
        await self._drain()
        await self._epilogue()

    async def _work(self, *, opening: bool) -> None:
        """Everybody does what they do, amid faults, until all are through."""
        faults = asyncio.create_task(self._faults(self._dice(f"faults{opening}")))
        await asyncio.gather(*(task for people in self.people for task in people.tasks(opening=opening)))
        faults.cancel()
        await asyncio.wait({faults})

    # Faults

    async def _faults(self, dice: random.Random) -> None:
        calm_s = dice.choice((1.0, 4.0, 15.0))
        while not self.failed.done():
            await asyncio.sleep(dice.expovariate(1.0) * calm_s)
            node = dice.choice(self.nodes)
            what = dice.choices(
                ("crash", "stop", "freeze", "snapshot", "outage", "step", "trim", "damage", "start", "blackout"),
                (6, 3, 5, 8, 2, 2, 2, 2, 8, 1),
            )[0]
            try:
                await self._fault(what, node, dice)
            except Exception as error:
                self._fail(error)

    async def _fault(self, what: str, node: Node, dice: random.Random) -> None:
        if what == "crash":
            await node.crash()
        elif what == "stop":
            node.weather.thaw()
            await node.stop()
        elif what == "freeze":
            node.weather.freeze()
            self.loop.call_later(dice.expovariate(0.2), node.weather.thaw)
        elif what == "snapshot":
            await node.save_snapshot()
        elif what == "outage":
            node.weather.outage = True
            self.loop.call_later(dice.expovariate(0.3), setattr, node.weather, "outage", False)
        elif what == "step":
            node.clock.offset_ms += dice.choice((HOUR, -HOUR, 3_000, -3_000))
        elif what == "trim":
            # As an operator may: only what lies behind the older one of two good snapshots.
            if len(self.store.snapshots) == 2:
                self.store.journal_start = max(self.store.journal_start, self.store.snapshots[0].offset + 1)
        elif what == "damage":
            if len(self.store.snapshots) == 2:
                self.store.snapshots.pop()
        elif what == "blackout":
            for each in self.nodes:
                await each.crash()
            await asyncio.sleep(dice.expovariate(0.05))
        if what in ("start", "blackout"):
            for each in self.nodes:
                if not each.running:
                    each.start()

    async def _long_gap(self) -> None:
        """Nobody leads for hours or days: what is remembered grows old, what runs is shifted."""
        for node in self.nodes:
            await node.crash()
        await asyncio.sleep(self.dice.choice((2 * HOUR, DAY, 3 * DAY, 10 * DAY)) / 1000)
        for node in self.nodes:
            if not node.running:
                node.start()

    # The end

    async def _drain(self) -> None:
        """All faults are over: what was acknowledged must be dealt with soon, and what is due must happen."""
        self.sender_calm()
        for node in self.nodes:
            node.weather.calm()
            # Nobody may ever serve those who are open, so whoever operates this raises the bound in the end.
            node.settings = replace(node.settings, max_open=0)
            if node.replica is not None:
                node.replica._bound = IntakeBound(0, PARTITION)
            if not node.running:
                node.start()
        deadline = self.loop.time() + DRAIN_S
        quiet, said = 0, self.referee.said
        while quiet < 3 or self.referee.said != said:
            said = self.referee.said
            require(self.loop.time() < deadline, "liveness", f"inputs are read up to {self.referee.positions} only")
            for node in self.nodes:
                if not node.running:
                    node.start()
            await asyncio.sleep(1.0)
            quiet = quiet + 1 if self._idle() else 0
        for node in self.nodes:
            await node.stop()
        self.referee.finish(self.sender.acknowledged)

    def sender_calm(self) -> None:
        """People's requests arrive from now on, too."""
        for people in self.people:
            people.sender._inputs._weather.calm()

    def _idle(self) -> bool:
        return (
            self.store.under_way == 0
            and self.referee.positions == self.store.end
            and any(node.running and node.replica is not None and not node.replica.proposing for node in self.nodes)
        )

    async def _epilogue(self) -> None:
        """Starts that must work, and starts that must be refused."""
        node = self.nodes[0]
        await self._must_recover(node)
        if self.store.journal_start == 0:
            node.weather.blind = True
            await self._must_recover(node)
        # The whole journal is gone up to a snapshot: with it the start goes on, without it there must be none.
        await self._save(node)
        self.store.journal_start = self.store.snapshots[-1].offset + 1
        node.weather.blind = True
        await self._must_refuse(node, LogCorrupt, "a start without snapshot on a trimmed journal")
        node.weather.blind = False
        await self._must_recover(node)
        await self._go_on(node)
        await self._foreign_record(node)

    async def _must_recover(self, node: Node) -> None:
        replica = node.make()
        await replica.recover()
        head = self.referee.head
        require(
            (replica.head.seq, replica.head.hash) == head, "7", f"recovered up to {replica.head}, the end is {head}"
        )

    async def _must_refuse(self, node: Node, error: type[Exception], what: str) -> None:
        node.start()
        await asyncio.sleep(30.0)
        require(not node.running and isinstance(node.last_error, error), "rule", f"{what} is not refused")

    async def _save(self, node: Node) -> None:
        replica = node.make()
        await replica.recover()
        await replica.save_snapshot()

    async def _go_on(self, node: Node) -> None:
        """One more command after the cold start."""
        seq = self.referee.head[0]
        node.start()
        operator = cmd.Actor(role=Role.OPERATOR, id="last")
        await self.sender.send(
            "w0", operator, cmd.CreateKey(key_id="last", key_hash="h", role=Role.ADAPTER), "the-last"
        )
        deadline = self.loop.time() + DRAIN_S
        while "the-last" not in self.referee.decided or self.referee.positions != self.store.end:
            require(self.loop.time() < deadline, "liveness", "a cold start does not lead")
            await asyncio.sleep(1.0)
        require(self.referee.head[0] > seq, "rule", "a decision without an entry")
        await node.stop()
        self.referee.finish(self.sender.acknowledged)

    async def _foreign_record(self, node: Node) -> None:
        """A record that no honest proposer on this history can have written: whoever reads it stops."""
        replica = node.make()
        await replica.recover()
        seq, entry_hash = self.referee.head
        foreign = {"v": 1, "n": seq + 1, "prev": "0" * 64, "at": 0, "by": "x", "inputs": [0, 0], "decisions": []}
        if self.dice.random() < 0.3:
            foreign |= {"n": seq + 2, "prev": entry_hash}
        self.store.append_journal(json.dumps(foreign).encode())
        try:
            await replica._read_back(wait_s=0.0, perform=False)
        except Diverged:
            return
        raise Violation("rule", "a record of another history is read without alarm")

    def _outcome(self) -> Outcome:
        trace = self.referee.trace.copy()
        trace.update(snapshot.state_hash(self.referee.engine.state).encode())
        return Outcome(
            seed=self.seed,
            digest=trace.hexdigest(),
            entries=len(self.referee.entries),
            voids=self.referee.voids,
            inputs=sum(self.store.end),
            rollbacks=self.referee.rollbacks,
            recoveries=self.referee.recoveries,
            held=self.referee.held,
            starts=sum(node.starts for node in self.nodes),
            virtual_s=round(self.loop.time(), 3),
            judged=self.referee.judged,
            events=dict(sorted(self.referee.ledger.counts.items())),
            refusals=dict(sorted(self.referee.refusals.items())),
        )
