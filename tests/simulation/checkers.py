"""The referee: reads the journal as it is written, by its own reading of the rule, and holds every replica to it.

The invariants are those of `docs/architecture.md`; a violation names its number, or one of `time` (nothing due is early
or forgotten), `rule` (what is an entry), `inputs` (each taken once, in order), `decide` and `liveness`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from services.router import snapshot
from services.router.chain import Decision, Entry, decode_entry
from services.router.engine.engine import Engine
from services.router.engine.evolve import evolve
from services.router.replica import Performed, Replica
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.log.codec import decode_input
from shared.log.port import InputRecord, JournalRecord, LogCorrupt, Snapshot
from shared.vocabulary import Topic
from tests.oracle.eligible import is_able
from tests.oracle.moment import Moment
from tests.oracle.rule import first_wrong, left_apart
from tests.simulation.derived import difference
from tests.simulation.faulty_log import Store
from tests.simulation.ledger import DAY, Ledger, WorkspaceBook, require
from tests.simulation.ledger.due import timers
from tests.simulation.ledger.room import bypasses
from tests.simulation.ledger.standing import why_not_kept
from tests.simulation.same_story import compare


@dataclass(slots=True)
class Accepted:
    """An entry by the referee's reading, and the hash of the state after it."""

    hash: str
    state_hash: str
    entry: Entry


@dataclass(slots=True)
class _Before:
    """What was so before an entry, and must have changed by it."""

    timers: dict[str, set[tuple[int, str, str]]] = field(default_factory=dict)
    stranded: dict[str, set[tuple[str, int]]] = field(default_factory=dict)


class Referee:
    """Judges one world."""

    def __init__(self, store: Store, max_events: int) -> None:
        self.store = store
        self.ledger = Ledger()
        self.engine = Engine()
        self.entries: dict[int, Accepted] = {}
        self.head = (0, _genesis(store.identity))
        self.voids = 0
        self.said = 0
        """The newest entry that is more than a leader's beat."""
        self.decided: dict[str, int] = {}
        self.answers: dict[str, Any] = {}
        self.refusals: dict[str, int] = {}
        self.rollbacks = 0
        self.judged = 0
        """Offers that were held against the rule, pair by pair."""
        self.recoveries = 0
        self.held = 0
        """Turns in which a leader left messages in the log."""
        self.buried: set[tuple[str, int]] = set()
        """Topic and offset of inputs that cannot be read and were kept."""
        self.trace = hashlib.sha256()
        self._max_events = max_events
        self._left = False
        """Whether the newest entry left something to the next one."""
        self.positions = (0, 0)
        self._at = 0
        self._ids: dict[str, int] = {}
        store.on_journal = self.on_record
        store.on_snapshot = self.on_snapshot
        self._hashes = {0: snapshot.state_hash(self.engine.state)}

    # The journal

    def on_record(self, offset: int, data: bytes) -> None:
        """A proposal has landed: entry or void."""
        self.trace.update(data)
        header = json.loads(data)
        if header["n"] != self.head[0] + 1 or header["prev"] != self.head[1]:
            self.voids += 1
            return
        entry_hash = hashlib.sha256(data).hexdigest()
        self.head = (header["n"], entry_hash)
        self._on_entry(decode_entry(JournalRecord(offset, data), entry_hash))

    def _on_entry(self, entry: Entry) -> None:
        require(entry.at >= self._at, "time", f"entry {entry.seq} is of {entry.at}, the one before of {self._at}")
        self._check_inputs(entry)
        before = self._note()
        for decision in entry.decisions:
            workspace = self.ledger.workspaces.get(decision.workspace)
            sequence = workspace.sequence if workspace else 0
            require(
                decision.sequence == sequence,
                "9",
                f"{decision.command_id} is numbered {decision.sequence}, not {sequence}",
            )
            self._check_ids(decision.command_id, decision.events, entry.at)
            self._fold_decision(decision, entry)
            if decision.actor:
                self._note_answer(decision.command_id)
            self._check_offers(decision)
        _hear(self.engine, entry)
        self.engine.settle(entry.at, entry.positions)
        self._at = entry.at
        self._check_book()
        events = sum(len(decision.events) for decision in entry.decisions)
        self._check_quiet(entry, before, cut=events >= self._max_events)
        state_hash = snapshot.state_hash(self.engine.state)
        self._hashes[entry.seq] = state_hash
        if entry.decisions or entry.bye:
            self.said = entry.seq
        self.entries[entry.seq] = Accepted(entry.hash, state_hash, entry)

    def _check_inputs(self, entry: Entry) -> None:
        """Each stored input is taken once, in order, and nothing else is."""
        start, stop = self.positions, entry.positions
        end = self.store.end
        sound = start[0] <= stop[0] <= end[0] and start[1] <= stop[1] <= end[1]
        require(sound, "inputs", f"entry {entry.seq} moves the positions from {start} to {stop}, the end is {end}")
        expected = []
        for topic, first, last in ((Topic.COMMANDS, start[0], stop[0]), (Topic.INBOUND, start[1], stop[1])):
            for data in self.store.topics[topic][first:last]:
                command = _decoded(data)
                if command is not None and self._is_new(command.id, entry.at):
                    self.decided[command.id] = entry.at
                    expected.append(command.id)
        found = [decision.command_id for decision in entry.decisions if decision.actor]
        require(found == expected, "inputs", f"entry {entry.seq} decides {found}, its inputs are {expected}")
        self.positions = (stop[0], stop[1])

    def _is_new(self, command_id: str, at: int) -> bool:
        """Answers are remembered until the day after the next begins."""
        before = self.decided.get(command_id)
        return before is None or at // DAY - before // DAY >= 2

    def _check_ids(self, command_id: str, events: tuple[ev.Event, ...], at: int) -> None:
        """No id is made twice as long as the answer of the command that it derives from is remembered. Later it may
        be, but never while what was made first is still there: that the ledger sees."""
        for event in events:
            made: str | None = None
            if isinstance(event, ev.ContactCreated):
                made = event.contact
            elif isinstance(event, ev.OfferMade):
                made = event.offer
            elif isinstance(event, ev.OutboundCreated):
                made = event.outbound
            elif isinstance(event, ev.MessageReceived | ev.ReplyQueued | ev.OutboundAttempted):
                made = event.message
            if made is not None:
                before = self._ids.get(made)
                fresh = before is None or at // DAY - before // DAY >= 2
                require(fresh, "9", f"{command_id} makes {made}, which was made before")
                self._ids[made] = at

    def _note_answer(self, command_id: str) -> None:
        answer = self.engine.state.answer_of(command_id)
        require(answer is not None, "9", f"{command_id} has no answer")
        assert answer is not None
        self.answers[command_id] = answer
        if answer.refused is not None:
            self.refusals[answer.refused[0]] = self.refusals.get(answer.refused[0], 0) + 1

    def _fold_decision(self, decision: Decision, entry: Entry) -> None:
        """Believe a decision event by event; what its routing pass makes must be the rule's pairs, one by one."""
        begins = _routing_begins(decision.events)
        moment: Moment | None = None
        for number, event in enumerate(decision.events):
            if number == begins:
                moment = self._moment(decision.workspace, entry.at)
            self.ledger.book(decision.workspace, event, decision.actor, entry.at)
            evolve(self.engine.world, decision.workspace, [event], entry.at, entry.seq)
        self.ledger.decided(decision.workspace)
        if decision.actor:
            d = decision
            self.engine._remember(d.command_id, d.workspace, d.actor, d.digest, d.events, entry.seq)
        if moment is not None:
            pairs = [(str(event.contact), str(event.agent)) for event in decision.events[begins:] if _is_offer(event)]
            self.judged += len(pairs)
            wrong = first_wrong(moment, pairs)
            require(wrong is None, "5", f"{decision.command_id}: {wrong}")

    def _moment(self, workspace: str, at: int) -> Moment | None:
        """The facts as the rule sees them; None while something is due, because then time and facts disagree."""
        if any(due <= at for due, _, _ in timers(self.ledger.workspaces[workspace])):
            return None
        return Moment.of(self.engine.state.workspaces[workspace], at)

    def _check_offers(self, decision: Decision) -> None:
        """Nobody keeps an offer that they may not have, whatever was decided."""
        ws = self.ledger.workspaces.get(decision.workspace)
        if ws is None:
            return
        new_rules = any(isinstance(event, ev.PolicyAdopted | ev.AgentProfileSet) for event in decision.events)
        moment = self._moment(ws.name, self.ledger.at) if new_rules else None
        for agent in ws.agents.values():
            for offer in agent.offers:
                contact = ws.contacts[ws.offers[offer].contact]
                unfit = why_not_kept(ws, contact, agent)
                require(unfit is None, "4", f"{agent.id} still has the offer of {contact.id}, but {unfit}")
                if moment is not None and not bypasses(ws, contact, agent, "skills"):
                    able = is_able(moment, moment.contacts[contact.id], moment.agents[agent.id])
                    require(able, "4", f"{agent.id} still has the offer of {contact.id}, but cannot serve it")

    def _check_book(self) -> None:
        """The ledger and the engine's state tell the same story."""
        for name, ws in self.ledger.workspaces.items():
            open_now = sum(1 for contact in ws.contacts.values() if contact.ended_at is None)
            require(
                ws.received == open_now + ws.ended, "1", f"{ws.received} received, {open_now} open, {ws.ended} ended"
            )
            compare(self.engine, name, ws)

    def _note(self) -> _Before:
        """What is due already, or waits on a channel that is down though there is another way."""
        before = _Before()
        for name, ws in self.ledger.workspaces.items():
            before.timers[name] = set(timers(ws))
            before.stranded[name] = _stranded(ws)
        return before

    def _check_quiet(self, entry: Entry, before: _Before, *, cut: bool) -> None:
        """After an entry nobody waits whom somebody could serve, and nothing that was due is left undone. An entry that
        was cut because it got too long leaves the rest to the next one, and a leader's last one to the next leader."""
        self._left = cut or (entry.bye and self._left)
        if self._left:
            return
        for name, ws in self.ledger.workspaces.items():
            pairs = self._left_apart(name)
            require(not pairs, "8", f"entry {entry.seq} leaves {pairs} apart")
            if self._of_a_turn(entry):
                self._check_done(name, ws, before)

    def _left_apart(self, workspace: str) -> list[tuple[str, str]]:
        """Contacts and agents who wait although nothing keeps them apart."""
        if any(due <= self._at for due, _, _ in timers(self.ledger.workspaces[workspace])):
            return []
        return left_apart(self.engine.state.workspaces[workspace], self._at)

    @staticmethod
    def _of_a_turn(entry: Entry) -> bool:
        """Whether an entry comes from a leader's turn, which begins with what is due; taking over does not."""
        return any(d.actor or d.command_id.rpartition(".")[2].isdigit() for d in entry.decisions)

    def _check_done(self, name: str, ws: WorkspaceBook, before: _Before) -> None:
        due = [timer for timer in timers(ws) if timer[0] <= self._at and timer in before.timers.get(name, ())]
        require(not due, "time", f"the entry of {self._at} leaves {due[:3]} undone")
        left = sorted(_stranded(ws) & before.stranded.get(name, set()))
        require(not left, "8", f"the entry of {self._at} leaves {left} on a channel that is down")
        for agent in ws.agents.values():
            going = agent.next_presence is not None and agent.is_done
            require(not going, "4", f"{agent.id} is free and still waits for the presence {agent.next_presence}")

    # The replicas

    def on_performed(self, replica: Replica, performed: Performed) -> None:
        """A replica holds an entry for true."""
        self._check_replica(replica, performed.seq)
        for decision in performed.decisions:
            if decision.actor:
                known = replica.engine.state.answer_of(decision.command_id)
                require(known == self.answers[decision.command_id], "9", f"{decision.command_id} is told {known}")
        for record, _ in performed.poisoned:
            place = (record.topic.value, record.offset)
            require(place in self.buried, "inputs", f"{place} is passed over before it is kept")

    def on_buried(self, poisoned: Sequence[tuple[InputRecord, str]]) -> None:
        """Inputs that cannot be read are kept."""
        self.buried |= {(record.topic.value, record.offset) for record, _ in poisoned}

    def on_recovered(self, replica: Replica) -> None:
        """A replica has loaded a snapshot and folded the journal behind it."""
        self.recoveries += 1
        self._check_replica(replica, replica.head.seq)

    def on_rolled_back(self, replica: Replica, seq: int) -> None:
        """A replica has taken back what it had decided on top of entry `seq`."""
        self.rollbacks += 1
        right = self._hashes.get(seq)
        require(snapshot.state_hash(replica.engine.state) == right, "7", f"the undo on top of entry {seq} is not exact")
        found = difference(replica.engine.world)
        require(found is None, "7", f"after an undo the index is not what the facts say: {found}")

    def _check_replica(self, replica: Replica, seq: int) -> None:
        known = self.entries.get(seq)
        right = _genesis(self.store.identity) if seq == 0 else known.hash if known else None
        require(replica.head.seq == seq, "rule", f"{replica.name} performs {seq} with head {replica.head.seq}")
        require(replica.head.hash == right, "rule", f"{replica.name} holds another entry {seq} for true")
        state_hash = snapshot.state_hash(replica.engine.state)
        require(state_hash == self._hashes[seq], "7", f"{replica.name} has another state after entry {seq}")
        found = difference(replica.engine.world)
        require(found is None, "7", f"the index of {replica.name} at {seq} is not what the facts say: {found}")

    def on_snapshot(self, saved: Snapshot) -> None:
        """A snapshot is what the journal says at its place, and nothing that is only proposed."""
        known = self.entries.get(saved.seq)
        require(known is not None and known.hash == saved.hash, "rule", f"a snapshot of an unknown entry {saved.seq}")
        assert known is not None
        following = self.entries.get(saved.seq + 1)
        behind = saved.offset >= known.entry.offset and (following is None or saved.offset < following.entry.offset)
        require(behind, "rule", f"a snapshot of entry {saved.seq} that goes on behind offset {saved.offset}")
        state_hash = snapshot.state_hash(snapshot.load(saved.data))
        require(state_hash == known.state_hash, "7", f"the snapshot of entry {saved.seq} holds another state")

    # The end

    def finish(self, acknowledged: dict[str, str]) -> None:
        """Nothing is under way any more: everything acknowledged must have been dealt with, everything due be done."""
        before = self._note()
        for name, ws in self.ledger.workspaces.items():
            pairs = self._left_apart(name)
            require(not pairs or self._left, "8", f"in the end {pairs} are apart")
            if ws.policy and not self._left and self._of_a_turn(self.entries[self.head[0]].entry):
                self._check_done(name, ws, before)
        end = self.store.end
        require(self.positions == end, "liveness", f"inputs are read up to {self.positions}, they end at {end}")
        for command_id, kind in acknowledged.items():
            require(command_id in self.decided, "1", f"{kind} {command_id} was acknowledged and never decided")
        poison = {
            (topic.value, offset)
            for topic, records in self.store.topics.items()
            for offset, data in enumerate(records)
            if _decoded(data) is None
        }
        require(self.buried <= poison, "inputs", f"buried, though it can be read: {self.buried - poison}")
        require(poison <= self.buried, "inputs", f"lost without a letter: {poison - self.buried}")
        engine = Engine()
        for seq, accepted in self.entries.items():
            require(seq == accepted.entry.seq, "rule", f"entry {accepted.entry.seq} in place of {seq}")
            for decision in accepted.entry.decisions:
                _fold(engine, decision, accepted.entry)
            _hear(engine, accepted.entry)
            engine.settle(accepted.entry.at, accepted.entry.positions)
        right = self._hashes[self.head[0]]
        require(snapshot.state_hash(engine.state) == right, "7", "the journal from the start gives another state")
        reloaded = snapshot.load(snapshot.dump(engine.state))
        require(snapshot.state_hash(reloaded) == right, "7", "a snapshot of the last state gives another state")


def _hear(engine: Engine, entry: Entry) -> None:
    if entry.hello is not None:
        engine.hear(entry.hello.contracts, entry.hello.switchdesk)


def _fold(engine: Engine, decision: Decision, entry: Entry) -> None:
    d = decision
    engine.fold(d.command_id, d.workspace, d.actor, d.digest, d.events, entry.at, entry.seq)


def _is_offer(event: ev.Event) -> TypeGuard[ev.OfferMade]:
    return isinstance(event, ev.OfferMade)


def _routing_begins(events: Sequence[ev.Event]) -> int:
    """Where a decision's routing pass begins: at its first offer, or at what this one takes back from others, where the
    queue accepts for its agents. The number of events if it makes no offer."""
    first = next((number for number, event in enumerate(events) if _is_offer(event)), len(events))
    while first > 0 and first < len(events):
        before = events[first - 1]
        if not isinstance(before, ev.OfferWithdrawn) or before.reason != "accepted_by_another":
            break
        first -= 1
    return first


def _genesis(identity: str) -> str:
    return hashlib.sha256(f"switchdesk-journal-1|{identity}|0".encode()).hexdigest()


def _decoded(data: bytes) -> cmd.Input | None:
    try:
        return decode_input(data)
    except LogCorrupt:
        return None


def _stranded(ws: WorkspaceBook) -> set[tuple[str, int]]:
    """Contacts on a channel that is down, with the number of their hops, that could go on by another one."""
    return {
        (contact.id, len(contact.hops))
        for contact in ws.contacts.values()
        if contact.state in ("waiting", "offered") and ws.is_down(contact.channel_name) and ws.way_out(contact)
    }
