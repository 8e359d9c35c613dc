"""The engine as the leader and every replica drive it: one partition, commands in, decisions out.

`apply` and `tick` decide and make each event true at once on the working state; `rollback` takes back what was
decided since a mark. `fold` makes recorded decisions true. Recovery folds events and never decides again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from services.router.engine import queueing, setup
from services.router.engine.consult import with_ends
from services.router.engine.context import Context
from services.router.engine.decide import decide, decide_due
from services.router.engine.evolve import evolve
from services.router.engine.matching import matches
from services.router.engine.offers import make_offer
from services.router.engine.presence import follow_next_presence
from services.router.engine.records import Answer
from services.router.engine.state import DAY, State, Workspace
from services.router.engine.world import Touched, World
from shared.contracts import events as ev
from shared.contracts.commands import Actor, CreateWorkspace, Input
from shared.vocabulary import Role

ROUTER = Actor(role=Role.OPERATOR, id="router")
MOST_OFFERS = 200
"""Offers that one decision makes: an entry of the journal has to stay small. What is left over, `go_on` makes."""
MOST_DUE = 50
REFUSALS = (ev.CommandRefused, ev.CommandRejected)


@dataclass(frozen=True, slots=True)
class Decided:
    """What one command or tick caused. `sequence`: the workspace's public number of the first event.

    `answer` is set for commands; `fresh` is False for the repeat of a command that was answered before.
    """

    command_id: str
    workspace: str
    actor: str
    digest: str
    sequence: int
    events: tuple[ev.Event, ...]
    answer: Answer | None
    fresh: bool = True


class Undecidable(Exception):
    """A bug of ours in what a command leads to. Says where it is."""


def where(error: BaseException) -> str:
    """The kind of an exception and the line that raised it. Its words may be a customer's: they are left out."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    file = trace.tb_frame.f_code.co_filename.rsplit("/", 1)[-1]
    return f"{type(error).__name__} at {file}:{trace.tb_lineno}"


class Engine:
    """One partition's decisions on one state."""

    def __init__(self, state: State | None = None) -> None:
        self.world = World(state)
        self.state = self.world.state
        self.unfinished: dict[str, bool] = {}
        """Workspaces where the last decision left work for `go_on`; True if a policy's withdrawals are part of it."""

    # Deciding, on the working state

    def apply(self, record: Input, now: int, seq: int, *, position: str = "") -> Decided:
        """Decide one command as part of entry `seq`, make it true on the working state, and route what it freed.

        Never raises for anything the command says: an exception while deciding becomes `CommandRejected`. Raises
        `Undecidable` if it is what follows the command that cannot be decided; whoever asked has to take everything
        since their mark back and may `reject` it then. Exceptions of `evolve` for the command's own events, and
        MemoryError, are passed on: they stop the partition.
        """
        known = self.state.answer_of(record.id)
        if known is not None:
            return self._repeat(record, known)
        workspace = self.state.workspaces.get(record.workspace)
        try:
            events = self._decide(record, workspace, now)
        except (MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:
            # Nothing to take back: deciding only reads.
            return self.reject(record, where(error), now, seq, position=position)
        return self._made_true(record, events, now, seq)

    def reject(self, record: Input, reason: str, now: int, seq: int, *, position: str = "") -> Decided:
        """Answer a command with a bug of ours. `reason` holds no words of a customer."""
        events: list[ev.Event] = [ev.CommandRejected(reason=reason, input_position=position)]
        return self._made_true(record, events, now, seq)

    def _made_true(self, record: Input, events: list[ev.Event], now: int, seq: int) -> Decided:
        workspace = self.state.workspaces.get(record.workspace)
        sequence = workspace.sequence if workspace else 0
        evolve(self.world, record.workspace, events, now, seq)
        workspace = self.state.workspaces.get(record.workspace)
        if workspace is not None and not isinstance(events[0], REFUSALS):
            ctx = Context(self.world, workspace, now, f"{record.id}.m", record.actor)
            try:
                if isinstance(events[0], ev.PolicyAdopted):
                    events += self._follow_policy(ctx, seq)
                events += self._follow_dues(ctx, seq) + self._follow(ctx, seq)
            except (MemoryError, KeyboardInterrupt):
                raise
            except Exception as error:
                raise Undecidable(where(error)) from error
        actor = f"{record.actor.role}:{record.actor.id}"
        answer = self._remember(record.id, record.workspace, actor, record.digest, events, seq)
        return Decided(record.id, record.workspace, actor, record.digest, sequence, tuple(events), answer)

    def _decide(self, record: Input, workspace: Workspace | None, now: int) -> list[ev.Event]:
        if isinstance(record.command, CreateWorkspace):
            if workspace is not None:
                return [ev.CommandNoted(reason="unchanged", subject=workspace.name)]
            return [ev.WorkspaceCreated(name=record.command.name)]
        if workspace is None:
            return [ev.CommandRefused(reason="unknown_workspace", detail=f"there is no workspace {record.workspace!r}")]
        ctx = Context(self.world, workspace, now, record.id, record.actor)
        return decide(ctx, record.command)

    def _repeat(self, record: Input, known: Answer) -> Decided:
        """The same command again gets the first answer; another command under the same id is refused, once and for
        itself: the first answer stays what it was."""
        answer = known
        if record.digest and known.digest and record.digest != known.digest:
            answer = Answer(
                known.seq,
                record.digest,
                ("id_reused", "the id was used for another request", None),
                None,
                known.workspace,
            )
        return Decided(record.id, record.workspace, "", record.digest, 0, (), answer, fresh=False)

    def due(self, now: int) -> bool:
        """Whether a tick at `now` would do anything."""
        if self.unfinished or self.state.day < now // DAY:
            return True
        timers = self.world.timers
        return bool(timers) and timers.first()[0] <= now

    def next_due(self) -> int | None:
        """When the next timer is due (ms), if any."""
        return self.world.timers.first()[0] if self.world.timers else None

    def tick(self, now: int, seq: int, number: int) -> Decided | None:
        """Fire the first due timer as part of entry `seq`, its tick `number`; None when nothing is due."""
        turned = self.turn_day(now, seq)
        if turned is not None:
            return turned
        if self.unfinished:
            return self.go_on(now, seq, number)
        timers = self.world.timers
        tick_id = f"t{seq}.{number}"
        if not timers or timers.first()[0] > now:
            return None
        timer = timers.first()
        workspace = self.state.workspaces[timer[2]]
        sequence = workspace.sequence
        ctx = Context(self.world, workspace, now, tick_id, ROUTER)
        events = decide_due(ctx, timer)
        evolve(self.world, workspace.name, events, now, seq)
        # All timers due at one instant fire before the routing pass, so that each sees the others' effects. Presences
        # follow at once: an entry that got too long ends between two timers, and with it the note of what was touched.
        events += self._follow_presences(ctx, seq)
        if workspace.name not in self._workspaces_due(now):
            events += self._route(ctx, seq)
        return Decided(tick_id, workspace.name, "", "", sequence, tuple(events), None)

    def _workspaces_due(self, now: int) -> Iterator[str]:
        """The workspaces of the timers that are due, in their order."""
        return (timer[2] for timer in takewhile(lambda timer: timer[0] <= now, self.world.timers))

    def go_on(self, now: int, seq: int, number: int) -> Decided | None:
        """The next piece of work that was too much for one decision; None if nothing was left of it."""
        name = next(iter(self.unfinished))
        unfit = self.unfinished.pop(name)
        workspace = self.state.workspaces[name]
        sequence = workspace.sequence
        command_id = f"t{seq}.{number}"
        ctx = Context(self.world, workspace, now, command_id, ROUTER)
        events = self._withdraw_unfit(ctx, seq) if unfit else []
        events += self._follow(ctx, seq)
        return Decided(command_id, name, "", "", sequence, tuple(events), None) if events else None

    def turn_day(self, now: int, seq: int) -> Decided | None:
        """Begin the day's generation of what is remembered, if it has not begun."""
        if self.state.day >= now // DAY:
            return None
        turned = ev.DayTurned(day=now // DAY)
        evolve(self.world, "", [turned], now, seq)
        return Decided(f"t{seq}.day", "", "", "", 0, (turned,), None)

    def resume(self, gap: int, now: int, seq: int) -> Decided:
        """Nobody led for `gap` ms: shift what ran meanwhile."""
        event = ev.Resumed(gap=gap)
        evolve(self.world, "", [event], now, seq)
        return Decided(f"t{seq}.resumed", "", "", "", 0, (event,), None)

    def rematch(self, now: int, seq: int) -> list[Decided]:
        """A routing pass over everybody, for a new leader and after a rollback: notes of what is fresh or unfinished
        live in the memory of the leader that made them and may have died with it."""
        decided = []
        self.unfinished.clear()
        due = set(self._workspaces_due(now))
        for number, (name, index) in enumerate(sorted(self.world.indexes.items())):
            index.fresh_contacts.clear()
            index.fresh_classes.update((known.number, known) for known in index.registry.classes.values())
            workspace = self.state.workspaces[name]
            sequence = workspace.sequence
            command_id = f"t{seq}.r{number}"
            ctx = Context(self.world, workspace, now, command_id, ROUTER)
            events = self._withdraw_unfit(ctx, seq) + self._follow_presences(ctx, seq)
            # What became due while nobody led comes first; the last of it is followed by the pass.
            if name not in due:
                events += self._route(ctx, seq)
            if events:
                decided.append(Decided(command_id, name, "", "", sequence, tuple(events), None))
        return decided

    def _follow_policy(self, ctx: Context, seq: int) -> list[ev.Event]:
        """What a new policy means at once: which queues are open, and which offers it takes back."""
        made = queueing.hours_now(ctx)
        evolve(self.world, ctx.workspace.name, made, ctx.now, seq)
        return made + self._withdraw_unfit(ctx, seq)

    def _follow(self, ctx: Context, seq: int) -> list[ev.Event]:
        """Next presences that are due, then a routing pass: both over what the events touched, never over all."""
        return self._follow_presences(ctx, seq) + self._route(ctx, seq)

    def _follow_dues(self, ctx: Context, seq: int) -> list[ev.Event]:
        """Rules whose time had come before the decision that made them count: a contact that arrives with waiting time
        behind it, an offer that ends after the longest wait. Few; if a policy makes very many, ticks do the rest."""
        made: list[ev.Event] = []
        timers = self.world.timers
        for _ in range(MOST_DUE):
            if not timers or timers.first()[0] > ctx.now or timers.first()[2] != ctx.workspace.name:
                break
            events = decide_due(ctx, timers.first())
            evolve(self.world, ctx.workspace.name, events, ctx.now, seq)
            made += events
        return made

    def _follow_presences(self, ctx: Context, seq: int) -> list[ev.Event]:
        made: list[ev.Event] = []
        name = ctx.workspace.name
        for agent_id in self.world.touched_agents(name):
            events = with_ends(ctx, follow_next_presence(ctx.workspace.agents[agent_id]))
            if events:
                evolve(self.world, name, events, ctx.now, seq)
                made += events
        return made

    def _withdraw_unfit(self, ctx: Context, seq: int) -> list[ev.Event]:
        name = ctx.workspace.name
        withdrawn = setup.withdraw_unfit(ctx)
        evolve(self.world, name, withdrawn, ctx.now, seq)
        if len(withdrawn) >= setup.MOST_WITHDRAWN:
            self.unfinished[name] = True
        return withdrawn

    def _route(self, ctx: Context, seq: int) -> list[ev.Event]:
        made: list[ev.Event] = []
        name = ctx.workspace.name
        index = self.world.indexes[name]
        for match in matches(index, MOST_OFFERS, ctx.now):
            events = make_offer(ctx, match)
            evolve(self.world, name, events, ctx.now, seq)
            made += events
        if index.cut:
            self.unfinished.setdefault(name, False)
        return made

    # Remembering

    def _remember(
        self, command_id: str, workspace: str, actor: str, digest: str, events: Sequence[ev.Event], seq: int
    ) -> Answer:
        answer = answer_for(workspace, actor, digest, events, seq)
        state = self.state
        state.undo.put(state.answers[max(state.answers)], command_id, answer)
        return answer

    # Folding what was recorded

    def fold(
        self, command_id: str, workspace: str, actor: str, digest: str, events: Sequence[ev.Event], at: int, seq: int
    ) -> None:
        """Make a recorded decision true. Ticks have no actor, and nobody to answer."""
        evolve(self.world, workspace, events, at, seq)
        if actor:
            self._remember(command_id, workspace, actor, digest, events, seq)
        index = self.world.indexes.get(workspace)
        if index is not None:
            index.fresh_contacts.clear()
            index.fresh_classes.clear()

    def hear(self, contracts: int, release: str) -> None:
        """What a leader says that it writes by. A fact of the journal, though nothing is decided by it: who starts from
        a snapshot has to know it as well."""
        if contracts > self.state.contracts:
            self.state.contracts, self.state.contracts_of = contracts, release

    def settle(self, at: int, positions: tuple[int, int]) -> list[Touched]:
        """The entry is journaled: nothing of it can be taken back. Returns what it touched."""
        self.state.at = max(self.state.at, at)
        self.state.positions = (positions[0], positions[1])
        return self.world.settle()


def answer_for(workspace: str, actor: str, digest: str, events: Sequence[ev.Event], seq: int) -> Answer:
    """What the events answer to the command that caused them."""
    first = events[0]
    refused: tuple[str, str, str | None] | None = None
    subject, note = None, ""
    if isinstance(first, ev.CommandRefused):
        refused = (first.reason, first.detail, first.field)
    elif isinstance(first, ev.CommandRejected):
        refused = ("rejected", "the router could not decide this command", None)
    elif isinstance(first, ev.CommandNoted):
        subject, note = first.subject, first.reason
    elif isinstance(first, ev.MessageIgnored):
        note = f"ignored:{first.reason}"
    else:
        subject = _subject(events)
    return Answer(seq, digest, refused, subject, workspace, note, actor)


def _subject(events: Sequence[ev.Event]) -> str | None:
    """What the command itself was about: its first event, whatever routing followed."""
    first = events[0]
    if isinstance(first, ev.ContactCreated | ev.MessageReceived):
        return first.contact
    if isinstance(first, ev.OutboundCreated):
        return first.outbound
    for name in ("message", "contact", "key_id", "agent", "name"):
        value = getattr(first, name, None)
        if isinstance(value, str):
            return value
    return None
