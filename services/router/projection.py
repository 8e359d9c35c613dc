"""From what an entry touched to the view documents that change: run once an entry is true, never on pending state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.router import documents
from services.router.chain import Decision
from services.router.engine.engine import answer_for
from services.router.engine.state import ANSWER_DAYS, State, Workspace
from services.router.engine.world import Touched, World
from shared.contracts import events as ev
from shared.views.port import Change
from shared.vocabulary import AgentId, ContactId, MessageId, ThreadKey

_TRANSCRIPT = (ev.MessageReceived, ev.ReplyQueued, ev.DeliveryReported, ev.ContactForgotten, ev.ContactCreated)
_STAFFING = (
    ev.AgentPresenceChanged,
    ev.AgentLost,
    ev.AgentRegained,
    ev.AgentProfileSet,
    ev.WrapUpEnded,
    ev.ContactCompleted,
    ev.PolicyAdopted,
)


class Projection:
    """Turns entries into changes of documents. Keeps only the ids of remembered answers, by day."""

    def __init__(self) -> None:
        self._answers: dict[int, list[tuple[str, str]]] = {}

    def changes(
        self, world: World, seq: int, decisions: Sequence[Decision], touched: Iterable[Touched]
    ) -> list[Change]:
        """All documents that entry `seq` changed."""
        changes: list[Change] = []
        wanted: dict[tuple[str, str, str], None] = {}
        for decision in decisions:
            self._from_events(world.state, decision, seq, wanted, changes)
        for kind, workspace, id in touched:
            ws = world.state.workspaces.get(workspace)
            if ws is not None:
                _from_touched(ws, kind, id, wanted)
        for kind, workspace, id in wanted:
            changes.append(_change(world, workspace, kind, id, seq))
        return changes

    def everything(self, world: World, seq: int) -> list[Change]:
        """All documents there are, for views that were lost or never written."""
        self._answers.clear()
        wanted: dict[tuple[str, str, str], None] = {}
        changes: list[Change] = []
        for ws in world.state.workspaces.values():
            for contact in ws.contacts.values():
                wanted["contact", ws.name, contact.id] = None
                wanted["messages", ws.name, contact.id] = None
            for agent in ws.agents:
                wanted["agent", ws.name, agent] = None
                wanted["work", ws.name, agent] = None
            wanted.update(dict.fromkeys(("thread", ws.name, key) for key in ws.threads))
            wanted.update(dict.fromkeys(("delivery", ws.name, message) for message in ws.messages))
            wanted.update(dict.fromkeys(("key", ws.name, key) for key in ws.keys))
            _want_setup(ws, wanted)
        for kind, workspace, id in wanted:
            changes.append(_change(world, workspace, kind, id, seq))
        for day, answers in world.state.answers.items():
            for command_id, answer in answers.items():
                self._answers.setdefault(day, []).append((answer.workspace, command_id))
                document = documents.answer_doc(command_id, answer)
                changes.append(Change(answer.workspace, "answer", command_id, answer.seq, document))
        return changes

    def _from_events(
        self,
        state: State,
        decision: Decision,
        seq: int,
        wanted: dict[tuple[str, str, str], None],
        changes: list[Change],
    ) -> None:
        workspace = decision.workspace
        for event in decision.events:
            if isinstance(event, _TRANSCRIPT):
                wanted["messages", workspace, event.contact] = None
            if isinstance(event, _STAFFING):
                ws = state.workspaces[workspace]
                wanted.update(dict.fromkeys(("queue", workspace, name) for name in ws.policy.queues))
            if isinstance(event, ev.DayTurned):
                self._drop_answers(event.day, seq, changes)
        if decision.actor:
            answer = answer_for(workspace, decision.actor, decision.digest, decision.events, seq)
            document = documents.answer_doc(decision.command_id, answer)
            changes.append(Change(workspace, "answer", decision.command_id, seq, document))
            self._answers.setdefault(state.day, []).append((workspace, decision.command_id))

    def _drop_answers(self, day: int, seq: int, changes: list[Change]) -> None:
        for old in [known for known in self._answers if known <= day - ANSWER_DAYS]:
            for workspace, command_id in self._answers.pop(old):
                changes.append(Change(workspace, "answer", command_id, seq, None))


def _from_touched(ws: Workspace, kind: str, id: str, wanted: dict[tuple[str, str, str], None]) -> None:
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
    elif kind == "agent":
        wanted["agent", ws.name, id] = None
        wanted["work", ws.name, id] = None
    elif kind == "message":
        wanted["delivery", ws.name, id] = None
    elif kind in ("thread", "channel", "key"):
        wanted[kind, ws.name, id] = None
    elif kind in ("policy", "workspace"):
        _want_setup(ws, wanted)


def _want_setup(ws: Workspace, wanted: dict[tuple[str, str, str], None]) -> None:
    wanted["workspace", ws.name, "self"] = None
    if ws.policy_document is not None:
        wanted["policy", ws.name, "current"] = None
    wanted.update(dict.fromkeys(("queue", ws.name, name) for name in ws.policy.queues))
    wanted.update(dict.fromkeys(("channel", ws.name, name) for name in ws.channels))


def _change(world: World, workspace: str, kind: str, id: str, seq: int) -> Change:
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
    return dict(document or {})
