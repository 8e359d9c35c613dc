"""What is derived from the facts, made comparable: invariant 7 says that it equals what the facts give anew."""

from __future__ import annotations

from typing import Any

from services.router.engine.index import CapabilityClass, Index
from services.router.engine.state import State
from services.router.engine.world import World


def derived(world: World) -> dict[str, Any]:
    """Everything the indexes say that a decision could depend on; empty shells that nobody uses are left out."""
    return {
        "timers": list(world.timers),
        "workspaces": {name: _derived_of(index) for name, index in sorted(world.indexes.items())},
    }


def recomputed(state: State) -> dict[str, Any]:
    """The same from the facts alone."""
    return derived(World(state))


def residue(world: World) -> dict[str, Any]:
    """What is left of contacts in the facts' tables and in the indexes; all empty when the last contact is forgotten."""
    left: dict[str, Any] = {"timers": list(world.timers)}
    for name, ws in world.state.workspaces.items():
        index = world.indexes[name]
        left[name] = {
            "contacts": dict(ws.contacts),
            "offers": dict(ws.offers),
            "threads": dict(ws.threads),
            "customers": dict(ws.customers),
            "identities": dict(ws.identities),
            "messages": dict(ws.messages),
            "held": [agent.id for agent in ws.agents.values() if agent.held or agent.offers],
            "index": [index._contacts, index._offer_timers, index._agent_timers, index.fresh_contacts],
            "waiting": [list(r.waiting) for r in index.requirements.values() if r.waiting],
            "pending": [list(p) for p in index.pending_on.values() if p],
            "counts": [q for q in (_counts(index)).values() if any(q[:3]) or q[5]],
        }
    return left


def nothing_left(left: Any) -> bool:
    """Whether a residue is empty all the way down."""
    if isinstance(left, dict):
        return all(nothing_left(value) for value in left.values())
    if isinstance(left, list):
        return all(nothing_left(value) for value in left)
    return False


def _derived_of(index: Index) -> dict[str, Any]:
    keys = {known.number: key for key, known in index.classes.items()}
    return {
        "waiting": {key: list(r.waiting) for key, r in index.requirements.items() if r.waiting},
        "served_by": {
            key: sorted(repr(keys[known.number]) for known in r.classes if _anyone(known))
            for key, r in index.requirements.items()
            if r.waiting
        },
        "free": {
            key: {
                signature: (list(by_idle), list(by_load))
                for signature, (by_idle, by_load) in known.free.items()
                if by_idle or by_load
            }
            for key, known in index.classes.items()
            if _anyone(known)
        },
        "pending_on": {name: list(pending) for name, pending in index.pending_on.items() if pending},
        "queues": {name: counts for name, counts in _counts(index).items() if any(counts[:5]) or counts[5]},
    }


def _counts(index: Index) -> dict[str, tuple[int, int, int, int, int, list[tuple[int, str]]]]:
    return {
        name: (q.waiting, q.offered, q.assigned, q.staffed, q.available, list(q.pending))
        for name, q in index.queues.items()
    }


def _anyone(known: CapabilityClass) -> bool:
    return any(by_idle or by_load for by_idle, by_load in known.free.values())
