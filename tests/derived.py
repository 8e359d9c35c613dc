"""What is derived from the facts, against what the facts give anew (invariant 7), and what forgotten contacts left."""

from __future__ import annotations

from typing import Any

from services.router.engine.state import State
from services.router.engine.world import World
from tests.simulation.derived import derived

__all__ = ["derived", "nothing_left", "recomputed", "residue"]


def recomputed(state: State) -> dict[str, Any]:
    """What the indexes say when they are made from the facts alone."""
    return derived(World(state))


def residue(world: World) -> dict[str, Any]:
    """What is left of contacts in facts and indexes: nothing, once the last one is forgotten."""
    left: dict[str, Any] = {"timers": list(world.timers)}
    for name, ws in world.state.workspaces.items():
        index = world.indexes[name]
        counts = index.queues.values()
        left[name] = {
            "contacts": dict(ws.contacts),
            "offers": dict(ws.offers),
            "threads": dict(ws.threads),
            "customers": dict(ws.customers),
            "identities": dict(ws.identities),
            "messages": dict(ws.messages),
            "outbounds": dict(ws.outbounds),
            "attempts": dict(ws.attempts),
            "held": [agent.id for agent in ws.agents.values() if agent.held or agent.offers or agent.consulting],
            "index": [index._contacts, index._due.of_offers, index._due.of_agents, index.fresh_contacts],
            "waiting": [list(r.waiting) for r in index.registry.requirements.values() if r.waiting],
            "pending": [list(pending) for pending in index.pending_on.values() if pending],
            "counts": [count for q in counts for count in (q.waiting, q.offered, q.assigned, len(q.pending)) if count],
        }
    return left


def nothing_left(left: Any) -> bool:
    """Whether a residue is empty all the way down."""
    if isinstance(left, dict):
        return all(nothing_left(value) for value in left.values())
    if isinstance(left, list):
        return all(nothing_left(value) for value in left)
    return False
