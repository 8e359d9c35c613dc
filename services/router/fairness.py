"""How evenly work falls on agents, and whether customers of every language are answered in time: followed from entries.

The figures are those of the twin (`twin/measure.py`): occupancy by the clock and by load, Jain's index of the latter,
service level by language. Every replica follows, so that whoever takes over knows the hour before as well; a process
that starts knows nothing of what was before. Nothing here is part of the state, and no decision looks at it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from services.router.engine.records import Agent
from services.router.engine.rooms import accepts
from services.router.engine.state import Workspace
from services.router.engine.world import Touched, World
from shared.contracts import events as ev
from shared.vocabulary import AgentId, ChannelKind

SLOT_MS: Final = 5 * 60_000
SLOTS: Final = 12
"""What is told of agents is of the slot under way and the eleven before it: of 55 to 60 minutes."""
SLICE: Final = 500
LEAST_MS: Final = 5 * 60_000
"""Who was available for less than this within the window is not told of: a minute at work is no occupancy."""

IN_TIME, LATE, UNANSWERED = OUTCOMES = ("in_time", "late", "unanswered")
_ANSWERS: Final = (ev.OfferAccepted, ev.ContactAssigned)
_ENDS: Final = (ev.ContactAbandoned, ev.ContactCancelled)
_TELLING: Final = _ANSWERS + _ENDS


def jain(values: Sequence[float]) -> float:
    """Jain's index: 1 if all have the same, 1/n if one has everything; 1 if nobody has anything."""
    return jain_of(len(values), sum(values), sum(value * value for value in values))


def jain_of(count: int, total: float, squares: float) -> float:
    """The same from their number, sum and sum of squares."""
    return total**2 / (count * squares) if squares else 1.0


# Customers


def verdict(workspace: Workspace, event: ev.Event, at: int) -> tuple[str, str] | None:
    """What an event of the entry made true `at` (ms) says of a customer's wait: (language, outcome), once for each
    contact that is no mail; None for any other event. Mail has targets so long that it would hide how a language
    fares. Whoever left or was sent away was not answered, however short they waited."""
    if not isinstance(event, _TELLING):
        return None
    contact = workspace.contacts.get(event.contact)
    if contact is None or contact.channel == ChannelKind.EMAIL:
        return None
    language = contact.language
    if isinstance(event, _ENDS):
        return None if contact.answered_at is not None else (language, UNANSWERED)
    if contact.answered_at != at:
        return None  # It has been answered before, and came back.
    policy = workspace.policy
    queue = policy.queues.get(contact.queue)
    target = policy.slo.target(contact.channel, queue.target if queue is not None else {}, 0)
    return language, IN_TIME if at - contact.age_from <= target else LATE


# Agents


class Spent(NamedTuple):
    """Agents' time in ms: available; of it with something in hand; the same times the share of their capacity."""

    available: float = 0.0
    busy: float = 0.0
    loaded: float = 0.0


class Share(NamedTuple):
    """What one agent had within the window: occupancy by the clock, and weighted with the capacity in use."""

    workspace: str
    agent: AgentId
    occ: float
    load: float


class Ledger:
    """One agent's time. `marks`: what it came to when each of the newest slots began."""

    __slots__ = ("available", "busy", "load", "marks", "since", "spent_available", "spent_busy", "spent_loaded")

    def __init__(self, at: int) -> None:
        self.since = at
        self.available, self.busy, self.load = False, False, 0.0
        self.spent_available, self.spent_busy, self.spent_loaded = 0, 0, 0.0
        self.marks: deque[Spent] = deque((Spent(),), maxlen=SLOTS)

    @property
    def spent(self) -> Spent:
        """All that was counted."""
        return Spent(self.spent_available, self.spent_busy, self.spent_loaded)


def in_hand(workspace: Workspace, agent: Agent) -> float:
    """The share of the capacity that is taken by what the agent has accepted. Offers do not count: nobody works on
    them. Somebody without a limit is taken up whole by anything."""
    if not agent.held and not agent.wrap_up_slots:
        return 0.0
    used = agent.used
    for offer in agent.offers:
        used -= agent.weight(agent.held[workspace.offers[offer].contact])
    return used / agent.capacity_total if agent.capacity_total else float(used > 0)


class Fairness:
    """The agents of one replica."""

    def __init__(self) -> None:
        self._ledgers: dict[tuple[str, AgentId], Ledger] = {}
        self._wanted: dict[tuple[str, str, tuple[str, ...]], bool] = {}
        """By workspace, presence and queues: whether one of these offers work in that presence."""
        self._slot = 0
        self._spent = Ledger(0)

    def follow(self, world: World, touched: Iterable[Touched], at: int) -> None:
        """An entry became true: agents whom it touched are as the world shows them from `at` on."""
        for kind, name, id in dict.fromkeys(touched):
            if kind == "agent":
                workspace = world.state.workspaces[name]
                agent = workspace.agents.get(AgentId(id))
                if agent is not None:
                    self._see(workspace, agent, at)
            elif kind == "policy":
                self._wanted.clear()

    def look(self, world: World, now: int) -> Iterator[list[Share]]:
        """Everybody up to now, a slice at a time so that others get their turn, with what they had within the window if
        they were available for long enough. Everybody, because a policy changes who is available, too."""
        slot = now // SLOT_MS
        passed = min(slot - self._slot, SLOTS) if self._slot else 0
        self._slot = max(slot, self._slot)
        there = [(workspace, id) for workspace in world.state.workspaces.values() for id in workspace.agents]
        for begin in range(0, len(there), SLICE):
            shares = []
            for workspace, id in there[begin : begin + SLICE]:
                agent = workspace.agents.get(id)
                if agent is not None:
                    ledger = self._see(workspace, agent, now)
                    for _ in range(passed):
                        ledger.marks.append(ledger.spent)
                    first = ledger.marks[0]
                    available = ledger.spent_available - first.available
                    if available >= LEAST_MS:
                        occ = (ledger.spent_busy - first.busy) / available
                        load = (ledger.spent_loaded - first.loaded) / available
                        shares.append(Share(workspace.name, id, occ, load))
            yield shares
        if len(there) < len(self._ledgers):
            known = {(workspace.name, id) for workspace, id in there}
            self._ledgers = {key: ledger for key, ledger in self._ledgers.items() if key in known}

    def take_spent(self) -> Spent:
        """What all agents spent since this was asked last."""
        spent, self._spent = self._spent.spent, Ledger(0)
        return spent

    def is_available(self, workspace: Workspace, agent: Agent) -> bool:
        """Whether a queue of theirs offers work to somebody in their presence, and their desk speaks."""
        if not agent.reachable:
            return False
        if agent.queue_presence:
            return _is_wanted(workspace, agent)
        key = (workspace.name, agent.presence, agent.queues)
        wanted = self._wanted.get(key)
        if wanted is None:
            wanted = self._wanted[key] = _is_wanted(workspace, agent)
        return wanted

    def _see(self, workspace: Workspace, agent: Agent, at: int) -> Ledger:
        """Count what was since the last change, and note how it is from now on. A clock that went back adds nothing."""
        key = (workspace.name, agent.id)
        ledger = self._ledgers.get(key)
        if ledger is None:
            ledger = self._ledgers[key] = Ledger(at)
        elapsed = at - ledger.since
        if elapsed > 0:
            ledger.since = at
            if ledger.available:
                for each in (ledger, self._spent):
                    each.spent_available += elapsed
                    each.spent_busy += elapsed * ledger.busy
                    each.spent_loaded += elapsed * ledger.load
        load = in_hand(workspace, agent)
        ledger.available, ledger.load = self.is_available(workspace, agent), load
        ledger.busy = load > 0 or agent.wrap_up_until is not None or bool(agent.queue_wrap_up)
        return ledger


def _is_wanted(workspace: Workspace, agent: Agent) -> bool:
    queues = workspace.policy.queues
    return any(accepts(agent, queues[name]) for name in agent.queues or queues if name in queues)


def jain_by_queue(world: World, shares: Iterable[Share]) -> dict[str, float]:
    """Jain's index of the load of those who may serve a queue, whatever their load is made of: who is full with one
    queue's contacts is not to get another's as well. Of several workspaces with such a queue, the least even one."""
    sums: dict[tuple[str, str], list[float]] = {}
    for share in shares:
        workspace = world.state.workspaces[share.workspace]
        agent = workspace.agents.get(share.agent)
        # Who serves every queue is added up once, not once for every queue.
        for queue in (agent.queues or ("",)) if agent is not None else ():
            found = sums.setdefault((share.workspace, queue), [0, 0.0, 0.0])
            found[:] = found[0] + 1, found[1] + share.load, found[2] + share.load**2
    indexes: dict[str, float] = {}
    for name, workspace in world.state.workspaces.items():
        common = sums.get((name, ""), [0, 0.0, 0.0])
        for queue in workspace.policy.queues:
            own = sums.get((name, queue), [0, 0.0, 0.0])
            count = int(common[0] + own[0])
            if count:
                index = jain_of(count, common[1] + own[1], common[2] + own[2])
                indexes[queue] = min(index, indexes.get(queue, 1.0))
    return indexes
