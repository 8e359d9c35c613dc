"""One partition's replica: recovers, and leads by the loop of the journal.

Take a batch of inputs, decide each on the working state, propose one entry, read it back; only then is it true: views
are published, answers given, metrics counted. If another entry won, the working state is taken back and the winner
folded. A failed or timed-out proposal may still win, so the same bytes are sent again until some entry with that number
was read.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.router import snapshot
from services.router.chain import Chain, Decision, Entry, Head, Proposal, build_proposal, decode_entry
from services.router.engine.engine import Decided, Engine
from services.router.engine.world import Touched
from shared.clock import Clock
from shared.contracts.commands import Input
from shared.log.codec import decode_input
from shared.log.port import InputRecord, Log, LogCorrupt, LogUnavailable, Positions, Snapshot

logger = logging.getLogger(__name__)


class Performer(Protocol):
    """Told of every entry once it is true, in order: publishes views, counts, alarms. At-least-once by nature."""

    async def perform(self, replica: Replica, entry: Performed) -> None: ...


@dataclass(frozen=True, slots=True)
class Performed:
    """An entry that has become true on the state of a replica."""

    seq: int
    at: int
    size: int
    own: bool
    decisions: Sequence[Decision]
    touched: Sequence[Touched]
    took_s: float | None = None
    decided_s: Sequence[float] = ()
    poisoned: Sequence[tuple[InputRecord, str]] = ()


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    """Numbers of the loop, with the measured defaults of the design. Times in seconds."""

    max_inputs: int = 200
    max_events: int = 2_000
    resend_s: float = 2.0
    idle_s: float = 0.5
    gap_s: float = 1.5
    clock_slack_ms: int = 5_000


@dataclass(slots=True)
class _Pending:
    proposal: Proposal
    at: int
    positions: Positions
    decided: list[Decided]
    poisoned: list[tuple[InputRecord, str]]
    mark: tuple[int, int]
    proposed_at: float
    decided_s: Sequence[float]


@dataclass(slots=True)
class Replica:
    """The state of one partition in this process. `run` keeps it true until told to stop."""

    partition: int
    name: str
    log: Log
    clock: Clock
    performer: Performer
    settings: ReplicaSettings = field(default_factory=ReplicaSettings)
    engine: Engine = field(default_factory=Engine)
    leading: bool = False
    _chain: Chain | None = None
    _pending: _Pending | None = None
    snapshot_seq: int = 0
    _last_at: int = 0
    _last_mono: float = 0.0
    _rematch: bool = False

    @property
    def head(self) -> Head:
        """The newest entry that this replica has folded."""
        assert self._chain is not None, "recover first"
        return self._chain.head

    @property
    def positions(self) -> Positions:
        """The next inputs, as the folded entries say."""
        return Positions(*self.engine.state.positions)

    @property
    def void_records(self) -> int:
        """Records read so far that the rule voided."""
        return self._chain.void_records if self._chain else 0

    @property
    def proposing(self) -> bool:
        """Whether a proposal of this replica is out and its fate not known."""
        return self._pending is not None

    # Recovery

    async def recover(self) -> None:
        """Load the newest valid snapshot and fold the journal up to its end.

        Raises `LogCorrupt` if the journal's beginning is gone and no snapshot reaches it, `Diverged` if it contradicts
        itself.
        """
        gc.disable()
        try:
            await self._recover()
        finally:
            # Nothing of what was recovered is garbage: walking it while it grows would double the time, and later
            # collections need not walk it either.
            gc.freeze()
            gc.enable()

    async def _recover(self) -> None:
        identity = await self.log.journal.identity(self.partition)
        saved = await self.log.snapshots.load_newest_valid(self.partition, format=snapshot.FORMAT)
        start, end = await self.log.journal.bounds(self.partition)
        if saved is not None and start <= saved.offset + 1 <= end:
            self.engine = Engine(snapshot.load(saved.data))
            self._chain = Chain(identity, self.partition, head=Head(saved.seq, saved.hash), offset=saved.offset + 1)
            self.snapshot_seq = saved.seq
        elif start == 0:
            self.engine = Engine()
            self._chain = Chain(identity, self.partition)
        else:
            raise LogCorrupt(f"the journal begins at offset {start} and no snapshot reaches it")
        while self._chain.next_offset < end:
            await self._read_back(wait_s=0.0, perform=False)
            # Replaying a long tail must not starve the other parts of this process.
            await asyncio.sleep(0)
        logger.info("recovered", extra={"partition": self.partition, "seq": self.head.seq})

    # The loop

    async def run(self, stopping: asyncio.Event) -> None:
        """Recover, lead until `stopping`, save a snapshot. Ends within about a second of being told."""
        await self.recover()
        await self.lead()
        while not stopping.is_set():
            await self.step()
        await self.stop()

    async def lead(self) -> None:
        """Become the one who proposes: shift deadlines by the time nobody led, then route whoever can be routed."""
        self._last_at = 0
        self.leading = True
        now = self._now()
        seq = self.head.seq + 1
        mark = self.engine.world.mark()
        turned = self.engine.turn_day(now, seq)
        decided = [turned] if turned is not None else []
        gap = now - self.engine.state.at
        if self.engine.state.at and gap > self.settings.gap_s * 1000:
            decided.append(self.engine.resume(gap, now, seq))
        decided += self.engine.rematch(now, seq)
        if decided:
            await self._propose(_Batch(decided, [], self.positions), now, mark)
            await self._until_known()

    async def step(self) -> None:
        """One turn: wait for inputs or a timer, decide, propose, read back."""
        if self._pending is not None:
            await self._until_known()
            return
        wait_s = self._wait_s()
        records = await self._read_inputs(wait_s)
        now = self._now()
        if not records and not self.engine.due(now):
            return
        mark = self.engine.world.mark()
        batch = self._decide(records, now)
        await self._propose(batch, now, mark)
        await self._until_known()

    async def _read_inputs(self, wait_s: float) -> list[InputRecord]:
        try:
            return await self.log.inputs.read(
                self.partition, self.positions, limit=self.settings.max_inputs, wait_s=wait_s
            )
        except LogUnavailable as error:
            logger.warning("inputs cannot be read", extra={"reason": str(error)})
            await asyncio.sleep(self.settings.idle_s)
            return []

    def _wait_s(self) -> float:
        due = self.engine.next_due()
        if due is None:
            return self.settings.idle_s
        return min(self.settings.idle_s, max(0.0, (due - self._now()) / 1000))

    def _now(self) -> int:
        """The entry's time: never behind the previous entry, and never further ahead than a steady clock allows, so
        that one stepped clock cannot expire everybody's offers."""
        wall, mono = self.clock.now_ms(), self.clock.monotonic()
        at = self.engine.state.at
        if self._last_at:
            at = max(at, self._last_at)
            ceiling = at + int((mono - self._last_mono) * 1000) + self.settings.clock_slack_ms
            if wall > ceiling:
                logger.error("the clock stepped", extra={"step_ms": wall - at})
                wall = ceiling
        return max(at, wall)

    def _decide(self, records: list[InputRecord], now: int) -> _Batch:
        seq = self.head.seq + 1
        decided: list[Decided] = []
        if self._rematch:
            self._rematch = False
            decided += self.engine.rematch(now, seq)
        poisoned: list[tuple[InputRecord, str]] = []
        decided_s: list[float] = []
        positions = self.positions
        # What is due comes first; if that fills the entry, the inputs wait for the next one.
        if self._ticks(decided, now, seq):
            events = sum(len(d.events) for d in decided)
            for record in records:
                if events >= self.settings.max_events:
                    break
                positions = _after(positions, record)
                command = self._decode(record, poisoned)
                if command is None:
                    continue
                began = self.clock.monotonic()
                result = self.engine.apply(command, now, seq, position=f"{record.topic}:{record.offset}")
                decided_s.append(self.clock.monotonic() - began)
                events += len(result.events)
                decided.append(result)
        return _Batch(decided, poisoned, positions, decided_s)

    @staticmethod
    def _decode(record: InputRecord, poisoned: list[tuple[InputRecord, str]]) -> Input | None:
        try:
            return decode_input(record.data)
        except LogCorrupt as error:
            poisoned.append((record, str(error)))
            return None

    def _ticks(self, decided: list[Decided], now: int, seq: int) -> bool:
        """Fire what is due, at most an entry's worth; whether everything due has fired."""
        events = 0
        while self.engine.due(now):
            if events >= self.settings.max_events:
                return False
            tick = self.engine.tick(now, seq, len(decided))
            if tick is None:
                break
            events += len(tick.events)
            decided.append(tick)
        return True

    async def _propose(self, batch: _Batch, now: int, mark: tuple[int, int]) -> None:
        proposal = build_proposal(
            self.head,
            at=now,
            by=self.name,
            positions=batch.positions,
            decisions=[_recorded(d) for d in batch.decided if d.events],
        )
        self._pending = _Pending(
            proposal, now, batch.positions, batch.decided, batch.poisoned, mark, self.clock.monotonic(), batch.decided_s
        )
        await self._send()

    async def _send(self) -> None:
        """Send the pending bytes. Whatever comes of it, only reading tells."""
        assert self._pending is not None
        proposal = self._pending.proposal
        try:
            await self.log.journal.propose(
                self.partition, proposal.data, seq=proposal.seq, prev=proposal.prev, entry_hash=proposal.hash
            )
        except LogUnavailable as error:
            logger.warning("the proposal's fate is unknown", extra={"seq": proposal.seq, "reason": str(error)})
            await asyncio.sleep(min(0.2, self.settings.resend_s))

    async def _until_known(self) -> None:
        """Read until the pending proposal is an entry, or another one is in its place; resend meanwhile."""
        while self._pending is not None:
            if not await self._read_back(wait_s=self.settings.resend_s, perform=True) and self._pending is not None:
                await self._send()

    async def _read_back(self, *, wait_s: float, perform: bool) -> int:
        """Fold what the journal has next; how many records were read."""
        assert self._chain is not None
        try:
            records = await self.log.journal.read(self.partition, self._chain.next_offset, limit=500, wait_s=wait_s)
        except LogUnavailable as error:
            logger.warning("the journal cannot be read", extra={"reason": str(error)})
            await asyncio.sleep(min(0.2, self.settings.resend_s))
            return 0
        for record in records:
            entry_hash = self._chain.fold(record)
            if entry_hash is None:
                continue
            pending = self._pending
            if pending is not None and entry_hash == pending.proposal.hash:
                performed = self._won(pending)
            else:
                performed = self._fold(decode_entry(record, entry_hash), len(record.data))
            if perform:
                await self.performer.perform(self, performed)
        return len(records)

    def _won(self, pending: _Pending) -> Performed:
        self._pending = None
        self._mark_time(pending.at)
        touched = self.engine.settle(pending.at, pending.positions)
        return Performed(
            seq=pending.proposal.seq,
            at=pending.at,
            size=len(pending.proposal.data),
            own=True,
            decisions=[_recorded(d) for d in pending.decided if d.events],
            touched=touched,
            took_s=self.clock.monotonic() - pending.proposed_at,
            decided_s=pending.decided_s,
            poisoned=pending.poisoned,
        )

    def _fold(self, entry: Entry, size: int) -> Performed:
        """Another's entry: take back what is pending, whole, and make the winner true."""
        if self._pending is not None:
            self.engine.world.rollback(self._pending.mark)
            self._pending = None
        self._rematch = True
        for decision in entry.decisions:
            self.engine.fold(
                decision.command_id,
                decision.workspace,
                decision.actor,
                decision.digest,
                decision.events,
                entry.at,
                entry.seq,
            )
        self._mark_time(entry.at)
        touched = self.engine.settle(entry.at, entry.positions)
        return Performed(seq=entry.seq, at=entry.at, size=size, own=False, decisions=entry.decisions, touched=touched)

    def _mark_time(self, at: int) -> None:
        self._last_at = at
        self._last_mono = self.clock.monotonic()

    # Snapshots

    async def save_snapshot(self) -> bool:
        """Write a snapshot of the folded state; False while a proposal is pending (its changes are not true yet)."""
        if self._pending is not None or self._chain is None or self.head.seq == self.snapshot_seq:
            return False
        saved = self.snapshot()
        await self.log.snapshots.save(saved)
        self.snapshot_seq = saved.seq
        return True

    def snapshot(self) -> Snapshot:
        """The folded state as a snapshot. Only while nothing is pending: pending changes are not true yet."""
        assert self._chain is not None, "recover first"
        assert self._pending is None, "a snapshot must not hold what is not journaled"
        return Snapshot(
            partition=self.partition,
            seq=self.head.seq,
            hash=self.head.hash,
            offset=self._chain.next_offset - 1,
            format=snapshot.FORMAT,
            data=snapshot.dump(self.engine.state),
        )

    async def stop(self) -> None:
        """Lead no longer; save a snapshot if nothing is pending, so that the next start is quick."""
        self.leading = False
        if self._pending is None:
            await self.save_snapshot()


@dataclass(frozen=True, slots=True)
class _Batch:
    decided: list[Decided]
    poisoned: list[tuple[InputRecord, str]]
    positions: Positions
    decided_s: Sequence[float] = ()


def _after(positions: Positions, record: InputRecord) -> Positions:
    return positions._replace(**{record.topic.value: record.offset + 1})


def _recorded(decided: Decided) -> Decision:
    return Decision(
        command_id=decided.command_id,
        workspace=decided.workspace,
        actor=decided.actor,
        digest=decided.digest,
        sequence=decided.sequence,
        events=decided.events,
    )
