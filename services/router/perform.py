"""What follows an entry once it is true: documents, numbers, alarms. At-least-once, so all of it repeats well."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from services.router.metrics import RouterMetrics
from services.router.projection import Projection
from services.router.replica import Performed, Replica
from shared.contracts import events as ev
from shared.log.codec import encode
from shared.log.port import Content, InputRecord, LogUnavailable
from shared.views.port import Views

logger = logging.getLogger(__name__)


class Publisher:
    """Publishes every entry of a replica to views and metrics, and keeps poisoned inputs for a look."""

    def __init__(self, views: Views, metrics: RouterMetrics, content: Content) -> None:
        self._views = views
        self._metrics = metrics
        self._content = content
        self._projection = Projection()

    async def start(self, replica: Replica) -> None:
        """Write all documents anew: after recovery, and whenever the views were lost."""
        changes = self._projection.everything(replica.engine.world, replica.head.seq)
        self._know_policies(replica)
        await self._views.publish(replica.partition, replica.head.seq, changes)

    async def perform(self, replica: Replica, entry: Performed) -> None:
        """Tell the world of one entry. Called in order, while no proposal is pending."""
        world = replica.engine.world
        if any(kind == "policy" for kind, _, _ in entry.touched):
            self._know_policies(replica)
        for decision in entry.decisions:
            workspace = world.state.workspaces.get(decision.workspace)
            for event in decision.events:
                self._metrics.on_event(event, at_ms=entry.at, contact=_facts(workspace, event))
                if isinstance(event, ev.CommandRejected):
                    # A bug, not the caller's doing: somebody has to look at it.
                    logger.error("command rejected", extra={"command_id": decision.command_id, "reason": event.reason})
        self._metrics.on_entry(size=entry.size, took_s=entry.took_s)
        for seconds in entry.decided_s:
            self._metrics.decision_seconds.observe(seconds)
        self._metrics.set_journal(replica.partition, seq=entry.seq)
        for record, reason in entry.poisoned:
            await self._bury(replica.partition, record, reason)
        changes = self._projection.changes(world, entry.seq, entry.decisions, entry.touched)
        await self._views.publish(replica.partition, entry.seq, changes)

    def _know_policies(self, replica: Replica) -> None:
        documents = [ws.policy_document for ws in replica.engine.state.workspaces.values()]
        self._metrics.set_policy([document for document in documents if document is not None])

    async def _bury(self, partition: int, record: InputRecord, reason: str) -> None:
        """The one road for a record that cannot be read: kept with its place and the reason, counted, passed over."""
        self._metrics.rejected.inc()
        place = f"{partition}:{record.topic}:{record.offset}"
        logger.error("poisoned input", extra={"position": place, "reason": reason})
        letter = encode({"position": place, "reason": reason, "raw": record.data.hex()})
        try:
            await self._content.put("_dead_letters", f"dead:{place}", letter, owner="_dead_letters")
        except LogUnavailable:
            logger.error("dead letter not stored", extra={"position": place})


def _facts(workspace: Any, event: ev.Event) -> Mapping[str, Any] | None:
    contact_id = getattr(event, "contact", None)
    if workspace is None or contact_id is None:
        return None
    contact = workspace.contacts.get(contact_id)
    if contact is None:
        return None
    return {
        "channel": contact.channel,
        "queue": contact.queue,
        "language": contact.language,
        "state": contact.state.value,
        "created_at": contact.created_at,
        "age_from": contact.age_from,
        "assigned_at": contact.answered_at,
    }
