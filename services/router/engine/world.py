"""The state of a partition with what is derived from it, and a note of what the last events touched."""

from __future__ import annotations

from collections.abc import Collection, Container

from services.router.engine.index import Index
from services.router.engine.ordered import OrderedSet
from services.router.engine.records import Agent, Contact
from services.router.engine.state import State, Workspace
from services.router.engine.waiting import Timer
from shared.vocabulary import AgentId, ContactId, OfferId, OutboundId

Touched = tuple[str, str, str]
"""(kind, workspace, id): a contact, agent, offer, thread, channel, policy, key, workspace, message, queue or outbound;
or the reserve of a workspace."""
REBUILT = frozenset({"policy", "workspace"})
"""What is touched with these changes everything that is derived."""
SPARED = frozenset({"policy", "queue", "contact"})
"""What may be touched in one go with an adoption, so that contacts apart from those stand as they did."""
DERIVED = frozenset({"contact", "agent", "offer", "outbound", "channel", "queue", "reserve"})
"""From these something is derived; the others are noted for whoever shows them."""


class World:
    """Facts, indexes and timers of one partition. `evolve` writes on it, everybody else reads."""

    def __init__(self, state: State | None = None) -> None:
        self.state = state or State()
        self.timers: OrderedSet[Timer] = OrderedSet()
        self.indexes: dict[str, Index] = {
            name: Index(workspace, self.timers) for name, workspace in self.state.workspaces.items()
        }
        self.touched: list[Touched] = []
        self._synced = 0
        self._followed = 0

    def change_contact(self, workspace: Workspace, contact_id: ContactId) -> Contact:
        """The contact, remembered as it was and noted as touched. Raises KeyError if there is none: a bug."""
        contact = workspace.contacts[contact_id]
        self.state.undo.save(contact)
        self.touched.append(("contact", workspace.name, contact_id))
        return contact

    def change_agent(self, workspace: Workspace, agent_id: AgentId) -> Agent:
        """The agent, remembered as they were and noted as touched. Raises KeyError if there is none: a bug."""
        agent = workspace.agents[agent_id]
        self.state.undo.save(agent)
        self.touched.append(("agent", workspace.name, agent_id))
        return agent

    def sync(self) -> None:
        """Bring the indexes in step with everything touched since the last call."""
        fresh = dict.fromkeys(self.touched[self._synced :])
        self._synced = len(self.touched)
        anew = self._rebuild_touched(fresh)
        for kind, workspace, id in fresh:
            if kind in DERIVED and workspace not in anew:
                self._sync_one(kind, workspace, id)

    def _rebuild_touched(self, touched: Collection[Touched]) -> set[str]:
        """Derive those workspaces anew of which everything changed: an index of another policy knows nothing of the
        queues, so nothing is synced into it. Returns their names."""
        anew = {workspace for kind, workspace, _ in touched if kind in REBUILT}
        for workspace in sorted(anew):
            here = [(kind, id) for kind, name, id in touched if name == workspace]
            # Only then nothing but these contacts can be otherwise than the index knew it.
            changed = {ContactId(id) for kind, id in here if kind == "contact"}
            self.rebuild(workspace, changed if all(kind in SPARED for kind, _ in here) else None)
        return anew

    def _sync_one(self, kind: str, workspace: str, id: str) -> None:
        index = self.indexes[workspace]
        if kind == "contact":
            index.sync_contact(ContactId(id))
        elif kind == "agent":
            index.sync_agent(AgentId(id))
            if index.outgrown:
                self.rebuild(workspace)
        elif kind == "offer":
            index.sync_offer(OfferId(id))
        elif kind == "outbound":
            index.outbounds.sync(OutboundId(id))
        elif kind == "channel":
            index.sync_channels(id)
        elif kind == "queue":
            index.sync_queue(id)
        else:
            index.sync_reserve()

    def rebuild(self, workspace: str, changed: Container[ContactId] | None = None) -> None:
        """Derive a workspace's indexes anew: its policy changed, or it came into being or went. `changed`: see
        `Index`."""
        old = self.indexes.pop(workspace, None)
        if old is not None:
            old.drop()
        facts = self.state.workspaces.get(workspace)
        if facts is not None:
            self.indexes[workspace] = Index(facts, self.timers, old, changed)
        elif old is not None:
            old.drop_contacts()

    def mark(self) -> tuple[int, int]:
        """A place to roll back to."""
        return self.state.undo.mark(), len(self.touched)

    @property
    def settled(self) -> bool:
        """Whether nothing was changed that can still be taken back."""
        return not self.touched and not self.state.undo

    def rollback(self, mark: tuple[int, int]) -> None:
        """Take back every fact since the mark, and bring the indexes in step with what is true again."""
        undo_mark, touched_mark = mark
        undone = dict.fromkeys(self.touched[touched_mark:])
        del self.touched[touched_mark:]
        self._synced = len(self.touched)
        self._followed = min(self._followed, len(self.touched))
        self.state.undo.rollback(undo_mark)
        anew = self._rebuild_touched(undone)
        for kind, workspace, id in undone:
            if kind in DERIVED and workspace not in anew and workspace in self.indexes:
                self._sync_one(kind, workspace, id)
        for index in self.indexes.values():
            index.fresh_contacts.clear()
            index.fresh_classes.clear()

    def settle(self) -> list[Touched]:
        """Nothing since the last call can be taken back any more; returns what was touched."""
        touched = self.touched
        self.touched = []
        self._synced = 0
        self._followed = 0
        self.state.undo.forget()
        return touched

    def touched_agents(self, workspace: str) -> list[AgentId]:
        """The agents of a workspace touched since the last call, each once, in order."""
        fresh = self.touched[self._followed :]
        self._followed = len(self.touched)
        return list({AgentId(id): None for kind, ws, id in fresh if kind == "agent" and ws == workspace})
