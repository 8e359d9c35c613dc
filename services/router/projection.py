"""From what an entry touched to the view documents that change: run once an entry is true, never on pending state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from services.router import documents
from services.router.chain import Decision
from services.router.engine.state import ANSWER_DAYS, State, Workspace
from services.router.engine.world import Touched, World
from shared.contracts import events as ev
from shared.contracts.opening import without_opening
from shared.views.port import Change
from shared.vocabulary import AgentId, ContactId, MessageId, OutboundId, ThreadKey

_TRANSCRIPT = (
    ev.MessageReceived,
    ev.ReplyQueued,
    ev.OutboundAttempted,
    ev.DeliveryReported,
    ev.ContactForgotten,
    ev.ContactCreated,
)
_STAFFING = (
    ev.AgentPresenceChanged,
    ev.AgentLost,
    ev.AgentRegained,
    ev.AgentProfileSet,
    ev.WrapUpEnded,
    ev.ContactCompleted,
    ev.PolicyAdopted,
)


Key = tuple[str, str, str]
"""(kind, workspace, id) of a document."""


class Projection:
    """Which documents an entry changes, and what stands in them. Keeps only the ids of remembered answers, by day."""

    def __init__(self) -> None:
        self._answers: dict[int, list[Key]] = {}

    def changed(self, world: World, seq: int, decisions: Sequence[Decision], touched: Iterable[Touched]) -> list[Key]:
        """The documents that entry `seq` changed. Asked for every entry, in order."""
        wanted: dict[Key, None] = {}
        for decision in decisions:
            self._from_events(world.state, decision, wanted)
        for kind, workspace, id in touched:
            ws = world.state.workspaces.get(workspace)
            if ws is not None:
                _from_touched(ws, kind, id, wanted)
        return list(wanted)

    def documents(self, world: World, keys: Iterable[Key], seq: int) -> list[Change]:
        """The documents as they are after entry `seq`, the newest that the state has folded."""
        return [_change(world, workspace, kind, id, seq) for kind, workspace, id in keys]

    def all_keys(self, world: World) -> Iterator[Key]:
        """Every document that there is now, for views that were lost or never written. The state may change while this
        is asked: what is new then is told by its own entry."""
        self.know_answers(world.state)
        for ws in list(world.state.workspaces.values()):
            wanted: dict[Key, None] = {}
            _want_setup(ws, wanted)
            yield from wanted
            yield from (("key", ws.name, key) for key in list(ws.keys))
            yield from ((kind, ws.name, agent) for agent in list(ws.agents) for kind in ("agent", "work"))
            yield from ((kind, ws.name, id) for id in list(ws.contacts) for kind in ("contact", "messages"))
            yield from (("thread", ws.name, key) for key in list(ws.threads))
            yield from (("delivery", ws.name, message) for message in list(ws.messages))
            yield from (("delivery", ws.name, attempt) for attempt in list(ws.attempts))
            yield from (("outbound", ws.name, id) for id in list(ws.outbounds))
        for answers in list(self._answers.values()):
            yield from list(answers)

    def know_answers(self, state: State) -> None:
        """Learn which answers the state remembers, so that their documents go when they are forgotten."""
        self._answers = {
            day: [("answer", answer.workspace, command_id) for command_id, answer in answers.items()]
            for day, answers in state.answers.items()
        }

    def _from_events(self, state: State, decision: Decision, wanted: dict[Key, None]) -> None:
        workspace = decision.workspace
        for event in decision.events:
            if isinstance(event, _TRANSCRIPT) and event.contact is not None:
                wanted["messages", workspace, event.contact] = None
            if isinstance(event, _STAFFING):
                ws = state.workspaces[workspace]
                wanted.update(dict.fromkeys(("queue", workspace, name) for name in ws.policy.queues))
            if isinstance(event, ev.DayTurned):
                for old in [known for known in self._answers if known <= event.day - ANSWER_DAYS]:
                    wanted.update(dict.fromkeys(self._answers.pop(old)))
        if decision.actor:
            key = ("answer", workspace, decision.command_id)
            wanted[key] = None
            self._answers.setdefault(state.day, []).append(key)


def _from_touched(ws: Workspace, kind: str, id: str, wanted: dict[Key, None]) -> None:
    if kind == "contact":
        wanted["contact", ws.name, id] = None
        contact = ws.contacts.get(ContactId(id))
        if contact is not None:
            wanted["queue", ws.name, contact.queue] = None
            # The desks that show this contact show it as it is now.
            if contact.agent is not None:
                wanted["work", ws.name, contact.agent] = None
            for offer in contact.offers:
                wanted["work", ws.name, ws.offers[offer].agent] = None
            for agent in contact.consulted:
                wanted["work", ws.name, agent] = None
    elif kind == "agent":
        wanted["agent", ws.name, id] = None
        wanted["work", ws.name, id] = None
    elif kind == "message":
        wanted["delivery", ws.name, id] = None
    elif kind in ("thread", "channel", "key", "queue", "outbound"):
        wanted[kind, ws.name, id] = None
    elif kind in ("policy", "workspace"):
        _want_setup(ws, wanted)


def _want_setup(ws: Workspace, wanted: dict[Key, None]) -> None:
    wanted["workspace", ws.name, "self"] = None
    if ws.policy_document is not None:
        wanted["policy", ws.name, "current"] = None
    wanted.update(dict.fromkeys(("queue", ws.name, name) for name in ws.policy.queues))
    wanted.update(dict.fromkeys(("channel", ws.name, name) for name in ws.channels))


def _change(world: World, workspace: str, kind: str, id: str, seq: int) -> Change:
    if kind == "answer":
        # A command may be refused because there is no such workspace, and is answered all the same.
        answer = world.state.answer_of(id)
        if answer is None:
            return Change(workspace, kind, id, seq, None)
        return Change(workspace, kind, id, answer.seq, documents.answer_doc(id, answer))
    ws = world.state.workspaces[workspace]
    document = _document(world, ws, kind, id)
    if document is not None:
        document["seq"] = seq
    return Change(workspace, kind, id, seq, document)


def _document(world: World, ws: Workspace, kind: str, id: str) -> dict[str, Any] | None:
    match kind:
        case "contact":
            contact = ws.contacts.get(ContactId(id))
            return documents.contact_doc(ws, contact) if contact else None
        case "messages":
            contact = ws.contacts.get(ContactId(id))
            return documents.messages_doc(contact) if contact else None
        case "agent":
            agent = ws.agents.get(AgentId(id))
            return documents.agent_doc(agent) if agent else None
        case "work":
            agent = ws.agents.get(AgentId(id))
            return documents.work_doc(ws, agent) if agent else None
        case "thread":
            thread = ws.threads.get(ThreadKey(id))
            return documents.thread_doc(ws, thread) if thread else None
        case "delivery":
            return documents.delivery_doc(ws, MessageId(id))
        case "outbound":
            outbound = ws.outbounds.get(OutboundId(id))
            return documents.outbound_doc(outbound) if outbound else None
        case "queue":
            known = id in ws.policy.queues
            return documents.queue_doc(ws, world.indexes[ws.name], id) if known else None
        case "channel":
            return documents.channel_doc(ws, id) if id in ws.channels else None
        case "policy":
            return {"version": ws.policy_version, "policy": _plain(ws.policy_document)}
        case "key":
            key = ws.keys.get(id)
            return documents.key_doc(key) if key else None
        case "workspace":
            return {"name": ws.name, "created_at": ws.created_at, "sequence": ws.sequence}
    raise AssertionError(f"a document of unknown kind {kind!r}")


def _plain(document: Mapping[str, Any] | None) -> dict[str, Any]:
    return without_opening(document) if document else {}
