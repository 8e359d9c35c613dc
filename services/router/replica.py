"""One partition's replica: recovers, follows as a standby or leads, by the loop of the journal.

Take a batch of inputs, decide each on the working state, propose one entry, read it back; only then is it true: views
are published, answers given, metrics counted. If another entry won, the working state is taken back and the winner
folded. A failed or timed-out proposal may still win, so the same bytes are sent again until some entry with that number
was read.

Where several processes share a log they take turns (`services/router/turns.py`): a standby folds along and takes over
after a silence, a leader that reads another's entry steps down. Where one process owns the log it always leads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.router import snapshot
from services.router.batch import Batch
from services.router.chain import Chain, Decision, Entry, Head, Proposal, TooNew, build_proposal, decode_entry, hello_of
from services.router.engine.engine import Decided, Engine, Undecidable
from services.router.engine.world import Touched
from services.router.intake_bound import IntakeBound
from services.router.journal_time import JournalTime
from services.router.recovery import beginning_of
from services.router.release import Release, this_release
from services.router.turns import Change, Pace, Turns
from shared import collector
from shared.clock import Clock
from shared.contracts.commands import Input
from shared.contracts.events import CommandRejected
from shared.log.codec import decode_input
from shared.log.port import InputRecord, JournalRecord, Log, LogCorrupt, LogUnavailable, Positions, Snapshot
from shared.vocabulary import Topic

logger = logging.getLogger(__name__)


class Performer(Protocol):
    """Told of every entry once it is true, in order: publishes views, counts, alarms. At-least-once by nature.

    `bury` keeps inputs that cannot be read or decided, with the reasons, before an entry passes them over: whoever
    reads on after a crash will not see them again. Raises `LogUnavailable`; nothing is proposed then. The same input
    may be buried twice.
    """

    async def perform(self, replica: Replica, entry: Performed) -> None: ...

    async def bury(self, replica: Replica, aside: Sequence[tuple[InputRecord, str]]) -> None: ...


@dataclass(frozen=True, slots=True)
class Performed:
    """An entry that has become true on the state of a replica."""

    seq: int
    at: int
    size: int
    own: bool
    """Proposed by this replica. What others proposed, they perform."""
    decisions: Sequence[Decision]
    touched: Sequence[Touched]
    took_s: float | None = None
    decided_s: Sequence[float] = ()
    poisoned: Sequence[tuple[InputRecord, str]] = ()
    rejected: Sequence[tuple[InputRecord, str]] = ()
    beat: bool = False
    """It says nothing but that somebody leads, because nothing was to be decided."""


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    """Numbers of the loop, with the measured defaults of the design. Times in seconds.

    Without `pace` this replica always leads, because nobody else has the log. An entry is closed at `max_events` or
    `max_bytes`; one decision is never split, and the engine keeps each of them small. From `max_open` open contacts on
    customers' messages are left in the log (0: never).
    """

    max_inputs: int = 200
    max_events: int = 2_000
    max_bytes: int = 512 * 1024
    max_open: int = 0
    resend_s: float = 2.0
    idle_s: float = 0.5
    gap_s: float = 1.5
    clock_slack_ms: int = 5_000
    pace: Pace | None = None
    bye_s: float = 1.0


@dataclass(slots=True)
class _Pending:
    proposal: Proposal
    at: int
    batch: Batch
    mark: tuple[int, int]
    proposed_at: float
    bye: bool
    hello: Release | None


class _Failed(Exception):
    """What this input leads to cannot be decided."""

    def __init__(self, record: InputRecord, reason: str) -> None:
        super().__init__(reason)
        self.record = record
        self.reason = reason


@dataclass(slots=True)
class Replica:
    """The state of one partition in this process. `run` keeps it true until told to stop.

    `leading` is true from the moment this replica proposes until it reads another's entry; `changes` counts how it came
    to lead and ceased to.
    """

    partition: int
    name: str
    log: Log
    clock: Clock
    performer: Performer
    settings: ReplicaSettings = field(default_factory=ReplicaSettings)
    engine: Engine = field(default_factory=Engine)
    release: Release = field(default_factory=this_release)
    leading: bool = False
    author: str = ""
    """Who proposed the newest entry that was read: it leads, as far as this replica knows."""
    hurry: bool = False
    """Somebody waits for the next turn: do not wait for inputs in this one."""
    waiting: bool = False
    """This turn only waits for inputs so far: whoever wants to stop may cancel it."""
    changes: dict[Change, int] = field(default_factory=lambda: dict.fromkeys(Change, 0))
    _chain: Chain | None = None
    _pending: _Pending | None = None
    snapshot_seq: int = 0
    snapshot_offset: int = -1
    """Journal offset of the newest snapshot's entry, as far as this replica knows; -1 without one."""
    read_at: float = 0.0
    """When the journal was last read, also if nothing new was there; in seconds of a steady clock."""
    _asking_since: float | None = None
    """When a leader asked for inputs without an answer so far, the first of several times; None once it has one."""
    _introduced: bool = False
    """Whether an entry of this leader has told what it is made of."""
    _rematch: bool = False
    _undecidable: dict[tuple[Topic, int], str] = field(default_factory=dict)
    """Inputs that are to be answered as rejected when they are decided anew, by topic and offset, and why."""
    _turns: Turns | None = None
    _time: JournalTime = field(init=False)
    _bound: IntakeBound = field(init=False)

    def __post_init__(self) -> None:
        self._bound = IntakeBound(self.settings.max_open, self.partition)
        self._time = JournalTime(self.clock, self.settings.clock_slack_ms)

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
    def next_offset(self) -> int:
        """Offset of the journal's next record to read."""
        return self._chain.next_offset if self._chain else 0

    @property
    def clock_steps(self) -> int:
        """How often this machine's clock was found to have stepped ahead."""
        return self._time.steps

    @property
    def proposing(self) -> bool:
        """Whether a proposal of this replica is out and its fate not known."""
        return self._pending is not None

    @property
    def holds_messages(self) -> bool:
        """Whether this leader leaves customers' messages in the log, because too many contacts are open."""
        return self.leading and self._bound.holding

    @property
    def outdated(self) -> str | None:
        """Why this replica must not lead, in words; None if it may."""
        why = self.release.outdated_by(self.engine.state.contracts, self.engine.state.contracts_of)
        return None if why is None else f"{why}: it does not lead"

    @property
    def unread_s(self) -> float:
        """For how long the journal could not be read, in seconds, where it is read all the time: by a standby, and by
        whoever waits for what becomes of a proposal. 0 for others."""
        pending = self._pending
        if self.leading and pending is None:
            return 0.0
        since = self.read_at if pending is None else max(self.read_at, pending.proposed_at)
        return self.clock.monotonic() - since

    @property
    def inputs_unread_s(self) -> float:
        """For how long a leader could not read its inputs, or one of their topics, in seconds. 0 for others, who read
        none."""
        if not self.leading:
            return 0.0
        since = self._asking_since
        unanswered_s = 0.0 if since is None else self.clock.monotonic() - since
        return max(unanswered_s, self.log.inputs.deaf_s(self.partition))

    # Recovery

    async def recover(self) -> None:
        """Load the newest valid snapshot and fold the journal up to its end.

        Raises `LogCorrupt` if the journal's beginning is gone and no snapshot reaches it, `Diverged` if it contradicts
        itself.
        """
        with collector.paused():
            try:
                await self._recover()
            finally:
                collector.settle()

    async def _recover(self) -> None:
        begin = await beginning_of(self.log, self.partition)
        self.engine, self._chain, self.snapshot_seq = begin.engine, begin.chain, begin.snapshot_seq
        self.snapshot_offset = self._chain.next_offset - 1
        while self._chain.next_offset < begin.end:
            await self._read_back(wait_s=0.0, perform=False)
            # Replaying a long tail must not starve the other parts of this process.
            await asyncio.sleep(0)
        self.read_at = self.clock.monotonic()
        self._time.forget()
        logger.info("recovered", extra={"partition": self.partition, "seq": self.head.seq})

    async def read_on(self) -> None:
        """Fold what has come since, and perform nothing: for tools that look."""
        await self._read_back(wait_s=0.1, perform=False)

    # The loop

    async def run(self, stopping: asyncio.Event) -> None:
        """Recover, take turns or lead until `stopping`, save a snapshot. Ends within about a second of being told."""
        await self.recover()
        await self.begin()
        while not stopping.is_set():
            await self.turn()
        await self.stop()

    async def begin(self) -> None:
        """After recovery: lead at once where nobody else can, else listen first.

        Raises `TooNew` where nobody else can and this release must not.
        """
        if self.settings.pace is None:
            if self.outdated is not None:
                raise TooNew(f"partition {self.partition}: {self.outdated}")
            await self.lead()
        else:
            self.listen(self.settings.pace)

    def listen(self, pace: Pace, *, rank: int = 0) -> None:
        """Be a standby from now on."""
        self._turns = Turns(pace, self.clock.monotonic())
        self._turns.rank = rank

    def set_rank(self, rank: int) -> None:
        """Who of several standbys should take over first: 0 before 1."""
        if self._turns is not None:
            self._turns.rank = rank

    async def turn(self) -> None:
        """One turn of a leader, or of a standby."""
        if self.leading:
            await self.step()
        else:
            await self.follow()

    async def follow(self) -> None:
        """A standby's turn: fold what comes; after a silence, take over, unless the journal is too new for that."""
        turns = self._turns
        assert turns is not None, "listen first"
        wait_s = self.settings.idle_s if self.outdated else turns.wait_s(self.clock.monotonic())
        if wait_s > 0:
            await self._read_back(wait_s=0.0 if self.hurry else min(wait_s, self.settings.idle_s), perform=True)
            return
        # Whatever lies there unread breaks the silence; a journal that cannot be read says nothing about it.
        if await self._read_back(wait_s=0.0, perform=True) or self.outdated:
            return
        if turns.wait_s(self.clock.monotonic()) <= 0:
            await self.lead(turns.why)

    async def lead(self, why: Change = Change.STARTED) -> None:
        """Become the one who proposes: shift deadlines by the time nobody led, then route whoever can be routed.

        Among several, the first entry is proposed even if it holds nothing, because the leader is the head's author. If
        another one was faster, this replica is a standby again when this returns. The first entry of its own that
        counts tells what this router is made of.
        """
        self.leading = True
        self._asking_since = None
        self._introduced = False
        now = self._now()
        seq = self.head.seq + 1
        mark = self.engine.world.mark()
        batch = self._batch()
        turned = self.engine.turn_day(now, seq)
        if turned is not None:
            batch.add(turned)
        gap = now - self.engine.state.at
        if self.engine.state.at and gap > self.settings.gap_s * 1000:
            batch.add(self.engine.resume(gap, now, seq))
        for decided in self.engine.rematch(now, seq):
            batch.add(decided)
        if batch.decisions or self._turns is not None:
            await self._propose(batch, now, mark)
            await self._until_known()
        if self.leading:
            self.changes[why] += 1
            logger.info("leading", extra={"partition": self.partition, "seq": self.head.seq, "why": why.value})

    async def step(self) -> None:
        """A leader's turn: wait for inputs or a timer, decide, propose, read back."""
        if self._pending is not None:
            await self._until_known()
            return
        records = await self._read_inputs(self._wait_s())
        now = self._now()
        if not records and not self.engine.due(now) and not self._must_beat():
            return
        mark = self.engine.world.mark()
        try:
            batch = self._decide(records, now)
        except _Failed as failed:
            # Everything of this turn is decided anew, with that one answered as rejected: unless it is not its doing.
            # Then the look at everybody that comes first fails as well, and ends this partition.
            self._take_back(mark)
            self._undecidable[failed.record.topic, failed.record.offset] = failed.reason
            return
        aside = [*batch.poisoned, *batch.rejected]
        if aside and not await self._buried(aside, mark):
            return
        self._undecidable.clear()
        self._bound.taken(sum(batch.positions) - sum(self.positions))
        await self._propose(batch, now, mark)
        await self._until_known()

    async def _buried(self, aside: list[tuple[InputRecord, str]], mark: tuple[int, int]) -> bool:
        """Whether what cannot be read or decided is kept. As long as it is not, everything decided in this turn is
        taken back: also where the turn ends here, because nobody may take it for true."""
        kept = False
        try:
            await self.performer.bury(self, aside)
            kept = True
        except LogUnavailable as error:
            logger.warning("an input that is put aside is not kept yet", extra={"reason": str(error)})
        finally:
            if not kept:
                self._take_back(mark)
        if not kept:
            await asyncio.sleep(self.settings.idle_s)
        return kept

    def _take_back(self, mark: tuple[int, int]) -> None:
        """What was decided since the mark did not happen; what it would have routed is looked at anew."""
        self.engine.world.rollback(mark)
        self._look_anew()

    def _look_anew(self) -> None:
        """Whoever can be routed is looked for again, and nothing is left over from what did not come true."""
        self._rematch = True
        self.engine.unfinished.clear()

    def _must_beat(self) -> bool:
        """Whether it is time for an entry that says nothing but that somebody leads."""
        turns = self._turns
        return turns is not None and turns.beat_in_s(self._time.marked_at, self.clock.monotonic()) == 0

    async def _read_inputs(self, wait_s: float) -> list[InputRecord]:
        self.waiting = True
        if self._asking_since is None:
            self._asking_since = self.clock.monotonic()
        try:
            inbound = self._bound.admits(self.engine.world)
            records = await self.log.inputs.read(
                self.partition, self.positions, limit=self.settings.max_inputs, wait_s=wait_s, inbound=inbound
            )
            self._asking_since = None
            return records
        except LogUnavailable as error:
            logger.warning("inputs cannot be read", extra={"reason": str(error)})
            await asyncio.sleep(self.settings.idle_s)
            return []
        finally:
            self.waiting = False

    def _wait_s(self) -> float:
        if self.hurry or self.engine.unfinished:
            return 0.0
        wait_s = self.settings.idle_s
        if self._turns is not None:
            wait_s = min(wait_s, self._turns.beat_in_s(self._time.marked_at, self.clock.monotonic()))
        due = self.engine.next_due()
        if due is not None:
            wait_s = min(wait_s, max(0.0, (due - self._now()) / 1000))
        return wait_s

    def _now(self) -> int:
        """The time of an entry made now."""
        return self._time.now(self.engine.state.at)

    def _batch(self) -> Batch:
        return Batch(self.positions, self.settings.max_events, self.settings.max_bytes)

    def _decide(self, records: list[InputRecord], now: int) -> Batch:
        seq = self.head.seq + 1
        batch = self._batch()
        if self._rematch:
            self._rematch = False
            for decided in self.engine.rematch(now, seq):
                batch.add(decided)
        # What is due comes first; if that fills the entry, the inputs wait for the next one.
        self._tick(batch, now, seq)
        for record in records:
            if batch.full:
                break
            batch.passed(record)
            command = self._decode(record, batch.poisoned)
            if command is None:
                continue
            began = self.clock.monotonic()
            decided = self._decided(record, command, now, seq)
            batch.decided_s.append(self.clock.monotonic() - began)
            if decided.events and isinstance(decided.events[0], CommandRejected):
                batch.rejected.append((record, decided.events[0].reason))
            batch.add(decided)
        if self.engine.unfinished:
            self._tick(batch, now, seq)
        return batch

    def _decided(self, record: InputRecord, command: Input, now: int, seq: int) -> Decided:
        """Raises `_Failed` for what must be decided again as rejected."""
        position = f"{record.topic}:{record.offset}"
        failed = self._undecidable.get((record.topic, record.offset))
        if failed is not None:
            return self.engine.reject(command, failed, now, seq, position=position)
        try:
            return self.engine.apply(command, now, seq, position=position)
        except Undecidable as error:
            logger.exception("what follows a command cannot be decided", extra={"position": position})
            raise _Failed(record, str(error)) from error

    @staticmethod
    def _decode(record: InputRecord, poisoned: list[tuple[InputRecord, str]]) -> Input | None:
        try:
            return decode_input(record.data)
        except LogCorrupt as error:
            poisoned.append((record, str(error)))
            return None

    def _tick(self, batch: Batch, now: int, seq: int) -> None:
        """Fire what is due and go on with what was left, at most an entry's worth."""
        while not batch.full and self.engine.due(now):
            tick = self.engine.tick(now, seq, batch.count)
            if tick is not None:
                batch.add(tick)

    async def _propose(self, batch: Batch, now: int, mark: tuple[int, int], *, bye: bool = False) -> None:
        hello = None if self._introduced else self.release
        proposal = build_proposal(
            self.head, at=now, by=self.name, positions=batch.positions, decisions=batch.encoded, bye=bye, hello=hello
        )
        self._pending = _Pending(proposal, now, batch, mark, self.clock.monotonic(), bye, hello)
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
            if self._turns is not None:
                self._turns.deaf(self.clock.monotonic())
            await asyncio.sleep(min(0.2, self.settings.resend_s))
            return 0
        self.read_at = self.clock.monotonic()
        for record in records:
            entry_hash = self._chain.fold(record)
            if entry_hash is None:
                continue
            pending = self._pending
            if pending is not None and entry_hash == pending.proposal.hash:
                performed = self._won(pending)
            else:
                performed = self._fold(self._entry(record, entry_hash), len(record.data))
            if perform:
                await self.performer.perform(self, performed)
        return len(records)

    def _entry(self, record: JournalRecord, entry_hash: str) -> Entry:
        """Raises `TooNew` for what cannot be read because a newer release wrote it, `LogCorrupt` for anything else."""
        try:
            return decode_entry(record, entry_hash)
        except LogCorrupt as error:
            self._hear(hello_of(record))
            if self.outdated is None:
                raise
            raise TooNew(f"{self.outdated}; {error}") from error

    def _hear(self, hello: Release | None) -> None:
        if hello is not None:
            self.engine.hear(hello.contracts, hello.switchdesk)

    def _won(self, pending: _Pending) -> Performed:
        self._pending = None
        self._introduced = True
        self._hear(pending.hello)
        self._time.wrote(pending.at)
        self.author = self.name
        batch = pending.batch
        touched = self.engine.settle(pending.at, batch.positions)
        return Performed(
            seq=pending.proposal.seq,
            at=pending.at,
            size=len(pending.proposal.data),
            own=True,
            decisions=batch.decisions,
            touched=touched,
            took_s=self.clock.monotonic() - pending.proposed_at,
            decided_s=batch.decided_s,
            poisoned=batch.poisoned,
            rejected=batch.rejected,
            beat=not batch.decisions and not pending.bye,
        )

    def _fold(self, entry: Entry, size: int) -> Performed:
        """Another's entry: take back what is pending, whole; make the winner true; step down where turns are taken."""
        if self._pending is not None:
            self.engine.world.rollback(self._pending.mark)
            self._pending = None
        self._look_anew()
        if self._turns is not None:
            self._turns.heard(self.clock.monotonic(), bye=entry.bye)
            if self.leading:
                self.leading = False
                self._bound.forget()
                self.changes[Change.DEPOSED] += 1
                logger.warning("deposed", extra={"partition": self.partition, "seq": entry.seq, "by": entry.by})
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
        self._hear(entry.hello)
        self._time.read(entry.at)
        self.author = entry.by
        touched = self.engine.settle(entry.at, entry.positions)
        return Performed(
            seq=entry.seq,
            at=entry.at,
            size=size,
            own=False,
            decisions=entry.decisions,
            touched=touched,
            beat=not entry.decisions and not entry.bye,
        )

    # Snapshots

    async def save_snapshot(self) -> bool:
        """Write a snapshot of the folded state; False while a proposal is pending (its changes are not true yet)."""
        if self._pending is not None or self._chain is None or self.head.seq == self.snapshot_seq:
            return False
        saved = self.snapshot()
        await self.log.snapshots.save(saved)
        self.snapshot_seq, self.snapshot_offset = saved.seq, saved.offset
        return True

    def snapshot(self) -> Snapshot:
        """The folded state as a snapshot. Only while nothing is pending: pending changes are not true yet."""
        assert self._chain is not None, "recover first"
        assert self._pending is None, "a snapshot must not hold what is not journaled"
        if self.outdated is not None:
            # What it folded may lack what it does not know.
            raise TooNew(f"partition {self.partition}: {self.outdated}")
        assert self.engine.world.settled, "a snapshot must not hold what is not even proposed"
        return Snapshot(
            partition=self.partition,
            seq=self.head.seq,
            hash=self.head.hash,
            offset=self._chain.next_offset - 1,
            format=snapshot.FORMAT,
            data=snapshot.dump(self.engine.state),
        )

    async def stop(self) -> None:
        """Lead no longer: say `bye`, so that a standby goes on at once, then save a snapshot for the next start.

        A standby saves none: whoever leads does, now and then and at its own end, and two snapshots of nearly the same
        entry would push out the older one that is there in case the newest cannot be read.
        """
        if not self.leading:
            return
        if self._turns is not None:
            await self._say_bye()
        self.leading = False
        self.changes[Change.STOPPED] += 1
        if self._pending is None:
            await self.save_snapshot()

    async def _say_bye(self) -> None:
        """A last entry that names its end; what does not get through in time is taken over by time-out."""
        try:
            async with asyncio.timeout(self.settings.bye_s):
                await self._until_known()
                if self.leading:
                    await self._propose(self._batch(), self._now(), self.engine.world.mark(), bye=True)
                    await self._until_known()
        except TimeoutError:
            logger.warning("no time to say goodbye", extra={"partition": self.partition})
