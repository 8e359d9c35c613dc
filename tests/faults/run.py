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
from tests.faults.cluster import WORKSPACE, Cluster
from tests.faults.customers import Pace, Webhooks, customer, telegram
from tests.faults.desks import Desk, Habits, Room
from tests.faults.ending import agree, leader_of, mended, stand, watch_standing
from tests.faults.gaps import Gap, gaps
from tests.faults.history import WRITTEN, History, Outcome
from tests.faults.nemesis import Nemesis, Rhythm, supervise
from tests.faults.outputs import Outputs, feed_start, read_outputs
from tests.faults.patience import ANSWER_S
from tests.faults.roads import ChatCustomer, Roads, mail
from tests.faults.staff import AGENTS, Staff, hire
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
    agents: int = AGENTS
    chats: int = 0
    mails: int = 0
    """Who comes by chat and by mail, where there is a way for them."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One workspace of a run: what is done in it, and where it is noted. `hooks` and `roads`: by what ways besides the
    API its customers come."""

    workspace: str
    history: History
    plan: Plan
    hooks: Webhooks | None = None
    roads: Roads | None = None


class Crowd:
    """Everybody outside of one workspace: customers, desks, watchers, an operator."""

    def __init__(self, bases: Sequence[str], part: Part, staff: Staff, after: str) -> None:
        self.stop = Stop(asyncio.Event(), asyncio.Event())
        self.habits = Habits()
        self.staff = staff
        self.after = after
        self.partition = int(after.split(":")[0])
        self.part = part
        self._bases = bases
        self._history = part.history
        self._plan = part.plan
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
        access = self.staff.access
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
        return Caller(who, token, self._bases, self._history, self.stop, self._dice(who))

    async def _customers(self, callers: contextlib.AsyncExitStack) -> list[Work]:
        plan, hooks, roads = self._plan, self.part.hooks, self.part.roads
        hooked = range(1, 3) if hooks is not None else range(0)
        chatting, mailing = (range(plan.chats), range(plan.mails)) if roads is not None else (range(0), range(0))
        pace = Pace(plan.per_s, plan.customers + len(hooked) + len(chatting) + len(mailing))
        work: list[Work] = []
        for number in range(plan.customers):
            adapter = await callers.enter_async_context(self._caller(f"customer-{number}", self.staff.adapter_key))
            work.append(customer(number, adapter, pace, self.part.workspace))
        outside = (self._history, self.stop)
        for number in hooked:
            assert hooks is not None
            work.append(telegram(number, hooks, *outside, self._dice(f"telegram-{number}"), pace))
        for number in chatting:
            assert roads is not None
            work.append(ChatCustomer(number, roads, *outside, self._dice(f"chat-{number}"), pace).run())
        for number in mailing:
            assert roads is not None
            work.append(mail(number, roads, *outside, self._dice(f"mail-{number}"), pace))
        return work

    def _dice(self, who: str) -> random.Random:
        return random.Random(f"{self._plan.seed}:{who}")

    async def _desks(self, callers: contextlib.AsyncExitStack) -> list[Desk]:
        room = Room(len(self.staff.tokens))
        return [
            Desk(
                agent,
                await callers.enter_async_context(self._caller(agent, token)),
                self.habits,
                room,
                streams=number % 2 == 0,
            )
            for number, (agent, token) in enumerate(self.staff.tokens.items())
        ]

    async def _watchers(self, callers: contextlib.AsyncExitStack) -> list[Work]:
        adapter, operator = self.staff.adapter_key, self.staff.access.operator_key
        follower = await callers.enter_async_context(self._caller("follower", adapter))
        auditor = await callers.enter_async_context(self._caller("auditor", operator))
        flapper = await callers.enter_async_context(self._caller("flapper", adapter))
        return [follow_feed(follower, "follower", self.after), watch_replicas(auditor), flap(flapper)]


async def run_on_cluster(cluster: Cluster, history: History, plan: Plan) -> Outputs:
    """Load and faults for `plan.seconds`, then quiet; what came of it is to be judged, best when the cluster has ended.
    The cluster runs already."""
    hooks, roads = cluster.hooks, cluster.roads
    part = Part(workspace=WORKSPACE, history=history, plan=plan, hooks=hooks, roads=roads)
    (outputs,) = await run_parts(cluster, [part])
    return outputs


async def run_parts(cluster: Cluster, parts: Sequence[Part]) -> list[Outputs]:
    """The same with several workspaces, each on a partition of its own. The first one's plan says what is done to the
    deployment, and its history holds it."""
    first = parts[0]
    crowds = [await _gather(cluster, part) for part in parts]
    partitions = [crowd.partition for crowd in crowds]
    assert len(set(partitions)) == len(parts), f"workspaces share a partition: {partitions}"
    main, history, plan, access = crowds[0], first.history, first.plan, crowds[0].staff.access
    nemesis = Nemesis(
        cluster, history, plan.rhythm, plan.seed, lambda: leader_of(history, main.partition), main.partition
    )
    beside = [
        asyncio.ensure_future(supervise(cluster.processes, history)),
        asyncio.ensure_future(watch_standing(cluster.processes, history)),
    ]
    try:
        async with contextlib.AsyncExitStack() as work:
            for crowd in crowds:
                await work.enter_async_context(crowd.at_work())
            await nemesis.play(plan.first)
            await nemesis.run(history.now + plan.seconds, steps=plan.steps)
            await mended(cluster, access, history, main.partition)
            for crowd in crowds[1:]:
                crowd.part.history.take_surroundings(history, crowd.partition)
            await asyncio.gather(*(crowd.settle() for crowd in crowds))
        for crowd in crowds:
            await agree(crowd.staff.access, crowd.part.history)
        await stand(cluster.processes, history, within_s=0)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    return [await _read(crowd) for crowd in crowds]


async def _gather(cluster: Cluster, part: Part) -> Crowd:
    keys = await cluster.found(part.workspace)
    staff = await hire(cluster.bases[0], *keys, part.plan.agents)
    return Crowd(cluster.bases, part, staff, await feed_start(staff.access))


async def _read(crowd: Crowd) -> Outputs:
    plan = crowd.part.plan
    outputs = await read_outputs(crowd.staff.access, after=crowd.after, sample=plan.sample, seed=plan.seed)
    if plan.folder is not None:
        file = plan.folder / f"feed-{crowd.part.workspace}.jsonl"
        file.write_text("".join(f"{json.dumps(event)}\n" for event in outputs.events))
    return outputs


def judge_parts(parts: Sequence[Part], outputs: Sequence[Outputs]) -> Report:
    """One report of all workspaces; times are the first one's, findings say whose they are."""
    reports = [judge(part.history, seen, part.plan) for part, seen in zip(parts, outputs, strict=True)]
    whole = reports[0]
    for part, report in zip(parts[1:], reports[1:], strict=True):
        for count in ("operations", "acknowledged", "contacts", "events", "failed_attempts", "late", "lost", "doubled"):
            setattr(whole, count, getattr(whole, count) + getattr(report, count))
        for name in ("outcomes", "played"):
            setattr(whole, name, dict(Counter(getattr(whole, name)) + Counter(getattr(report, name))))
        whole.findings += [f"{part.workspace}: {finding}" for finding in report.findings]
    return whole


def judge(history: History, outputs: Outputs, plan: Plan) -> Report:
    """The report of a finished run."""
    checker = Checker(history, outputs, every=plan.every)
    findings = checker.check()
    acknowledged = [o for o in history.of(*WRITTEN, outcome=Outcome.OK)]
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
