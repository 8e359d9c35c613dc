"""One run: load from outside, faults meanwhile, quiet at the end, judgement. The same seed makes the same plan."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.faults.caller import Caller, Stop
from tests.faults.checker import Checker
from tests.faults.cluster import Cluster
from tests.faults.customers import Pace, Webhooks, customer, telegram
from tests.faults.desks import Desk, Habits, Room
from tests.faults.ending import agree, leader_of, mended, stand, watch_standing
from tests.faults.gaps import Gap, gaps
from tests.faults.history import History, Outcome
from tests.faults.nemesis import Nemesis, Rhythm, supervise
from tests.faults.outputs import Outputs, feed_start, read_outputs
from tests.faults.patience import ANSWER_S
from tests.faults.staff import Staff, hire
from tests.faults.watchers import flap, follow_feed, watch_replicas

DRAIN_S: Final = 60.0
"""After the last fault everything that waits is served, leases and offers that ran out included: this is the longest
time in which it does not get less. How long all of it takes depends on how much there is."""
LOOK_S: Final = 1.0

COLUMNS: Final = (
    "seed",
    "minutes of faults",
    "faults",
    "acknowledged messages",
    "contacts",
    "lost",
    "doubled",
    "gaps in offers",
    "findings",
)
GAPS: Final = ("router-kill", "router-term", "router-pause", "broker-kill")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is made of. `first` are done in order, then dice decide for `seconds`; or `steps` in order instead.
    `folder`: where the public outputs that were judged are kept, for whoever looks for the cause of a finding."""

    seed: int
    seconds: float
    rhythm: Rhythm
    per_s: float = 30.0
    customers: int = 12
    first: Sequence[str] = ()
    steps: Sequence[str] = ()
    sample: int = 200
    every: int = 10
    folder: Path | None = None


@dataclass(slots=True)
class Report:
    """What a run found and measured."""

    seed: int
    minutes: float
    seconds: float
    operations: int = 0
    acknowledged: int = 0
    contacts: int = 0
    events: int = 0
    failed_attempts: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    answers_s: dict[str, float] = field(default_factory=dict)
    """The slowest answer of each operation: half of them, ninety-nine of a hundred, all of them. An attempt that was
    given up has none: these are `late`."""
    late: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    played: dict[str, int] = field(default_factory=dict)
    """By type of event, how many the feed told."""
    lost: int = 0
    doubled: int = 0
    findings: list[str] = field(default_factory=list)

    def line(self) -> str:
        """All of it in one line to read."""
        faults = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        return (
            f"seed {self.seed}: {self.seconds:.0f} s, {self.operations} operations, {self.acknowledged} messages "
            f"acknowledged in {self.contacts} contacts, {self.failed_attempts} attempts without an answer; "
            f"faults: {faults or 'none'}; gaps in offers: {self.gap_words()}; "
            f"answers {self.answer_words()}; {len(self.findings)} violations"
        )

    def row(self) -> str:
        """For the table of `docs/reliability.md`, in the order of `COLUMNS`."""
        gaps = [f"{gap.seconds:.1f}" for gap in self.gaps if not gap.shadowed]
        longest = max((gap.seconds for gap in self.gaps), default=0.0)
        cells = (
            self.seed,
            f"{self.minutes:g}",
            sum(self.faults.values()),
            f"{self.acknowledged:,}",
            f"{self.contacts:,}",
            self.lost,
            self.doubled,
            f"{' '.join(gaps) or 'none'} s alone, {longest:.1f} s the longest" if self.gaps else "none",
            len(self.findings),
        )
        return f"| {' | '.join(map(str, cells))} |"

    def answer_words(self) -> str:
        times = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in self.answers_s.items())
        return f"{times or 'none'}, {self.late} later than {ANSWER_S:g} s"

    def gap_words(self) -> str:
        """By kind: every gap that had its time for itself, and how many had not."""
        words = []
        for kind in GAPS:
            alone = sorted(gap.seconds for gap in self.gaps if gap.kind == kind and not gap.shadowed)
            shadowed = sum(1 for gap in self.gaps if gap.kind == kind and gap.shadowed)
            if alone or shadowed:
                words.append(f"{kind} [{' '.join(f'{s:.2f}' for s in alone)}] s (+{shadowed} among others)")
        return ", ".join(words) or "none measured"

    def as_json(self) -> str:
        """One line for a file."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "gaps"}
        fields["gaps"] = [
            {"kind": gap.kind, "at": round(gap.at, 2), "s": round(gap.seconds, 3), "shadowed": gap.shadowed}
            for gap in self.gaps
        ]
        return json.dumps(fields)


Work = Coroutine[Any, Any, None]


class Crowd:
    """Everybody outside: customers, desks, watchers, an operator."""

    def __init__(
        self, bases: Sequence[str], hooks: Webhooks | None, staff: Staff, history: History, plan: Plan, after: str
    ) -> None:
        self.stop = Stop(asyncio.Event(), asyncio.Event())
        self.habits = Habits()
        self._bases = bases
        self._hooks = hooks
        self._staff = staff
        self._history = history
        self._plan = plan
        self._after = after
        self._writers: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """They work while the context is open; the first of them that fails ends it with its error."""
        async with contextlib.AsyncExitStack() as callers, asyncio.TaskGroup() as group:
            self._writers = [group.create_task(work) for work in await self._customers(callers)]
            for desk in await self._desks(callers):
                group.create_task(desk.run())
            watchers = [group.create_task(work) for work in await self._watchers(callers)]
            try:
                yield
            finally:
                self.stop.soon.set()
                self.stop.now.set()
                for watcher in watchers:
                    watcher.cancel()

    async def settle(self) -> None:
        """Customers stop; desks go on until no contact is open, or it does not get less for too long."""
        self.stop.soon.set()
        self.habits.settle()
        access = self._staff.access
        await asyncio.wait(self._writers, timeout=DRAIN_S)
        loop = asyncio.get_running_loop()
        async with self._caller("supervisor", access.supervisor_key) as supervisor:
            least, until = None, loop.time() + DRAIN_S
            # If some are left, the checker names them.
            while loop.time() < until:
                queues = (await supervisor.read("/v1/queues"))["items"]
                left = sum(queue[state] for queue in queues for state in ("waiting", "offered", "assigned"))
                if not left:
                    break
                if least is None or left < least:
                    least, until = left, loop.time() + DRAIN_S
                await asyncio.sleep(LOOK_S)

    def _caller(self, who: str, token: str) -> Caller:
        dice = random.Random(f"{self._plan.seed}:{who}")
        return Caller(who, token, self._bases, self._history, self.stop, dice)

    async def _customers(self, callers: contextlib.AsyncExitStack) -> list[Work]:
        plan = self._plan
        hooked = 2 if self._hooks is not None else 0
        pace = Pace(plan.per_s, plan.customers + hooked)
        work: list[Work] = []
        for number in range(plan.customers):
            adapter = await callers.enter_async_context(self._caller(f"customer-{number}", self._staff.adapter_key))
            work.append(customer(number, adapter, pace))
        if self._hooks is not None:
            for number in range(1, hooked + 1):
                dice = random.Random(f"{plan.seed}:telegram-{number}")
                work.append(telegram(number, self._hooks, self._history, self.stop, dice, pace))
        return work

    async def _desks(self, callers: contextlib.AsyncExitStack) -> list[Desk]:
        room = Room()
        return [
            Desk(
                agent,
                await callers.enter_async_context(self._caller(agent, token)),
                self.habits,
                room,
                streams=number % 2 == 0,
            )
            for number, (agent, token) in enumerate(self._staff.tokens.items())
        ]

    async def _watchers(self, callers: contextlib.AsyncExitStack) -> list[Work]:
        adapter, operator = self._staff.adapter_key, self._staff.access.operator_key
        follower = await callers.enter_async_context(self._caller("follower", adapter))
        auditor = await callers.enter_async_context(self._caller("auditor", operator))
        flapper = await callers.enter_async_context(self._caller("flapper", adapter))
        return [follow_feed(follower, "follower", self._after), watch_replicas(auditor), flap(flapper)]


async def run_on_cluster(cluster: Cluster, history: History, plan: Plan) -> Outputs:
    """Load and faults for `plan.seconds`, then quiet; what came of it is to be judged, best when the cluster has ended.
    The cluster runs already."""
    operator_key, adapter_key = await cluster.found()
    staff = await hire(cluster.bases[0], operator_key, adapter_key)
    after = await feed_start(staff.access)
    partition = int(after.split(":")[0])
    nemesis = Nemesis(cluster, history, plan.rhythm, plan.seed, lambda: leader_of(history, partition), partition)
    beside = [
        asyncio.ensure_future(supervise(cluster.processes, history)),
        asyncio.ensure_future(watch_standing(cluster.processes, history)),
    ]
    try:
        crowd = Crowd(cluster.bases, cluster.hooks, staff, history, plan, after)
        async with crowd.at_work():
            await nemesis.play(plan.first)
            await nemesis.run(history.now + plan.seconds, steps=plan.steps)
            await mended(cluster, staff.access, history, partition)
            await crowd.settle()
        await agree(staff.access, history)
        await stand(cluster.processes, history, within_s=0)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    outputs = await read_outputs(staff.access, after=after, sample=plan.sample, seed=plan.seed)
    if plan.folder is not None:
        (plan.folder / "feed.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in outputs.events))
    return outputs


def judge(history: History, outputs: Outputs, plan: Plan) -> Report:
    """The report of a finished run."""
    checker = Checker(history, outputs, every=plan.every)
    findings = checker.check()
    acknowledged = [o for o in history.of("message", "webhook", outcome=Outcome.OK)]
    return Report(
        seed=plan.seed,
        minutes=round(plan.seconds / 60, 2),
        seconds=history.now,
        operations=len(history.operations),
        acknowledged=len(acknowledged),
        contacts=len(outputs.contacts),
        events=len(outputs.events),
        failed_attempts=history.attempts_failed,
        faults=dict(Counter(fault.kind for fault in history.faults)),
        gaps=gaps(history, GAPS),
        answers_s=_answers(history),
        late=sum(1 for late in history.lates if late.seconds > ANSWER_S),
        outcomes=dict(sorted(history.count().items())),
        played=dict(Counter(event["type"].removeprefix("switchdesk.") for event in outputs.events)),
        findings=findings,
        lost=checker.lost,
        doubled=checker.doubled,
    )


def _answers(history: History) -> dict[str, float]:
    times = sorted(operation.slowest for operation in history.operations if operation.slowest)
    if not times:
        return {}
    return {"p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100], "worst": times[-1]}
