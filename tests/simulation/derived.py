"""What is derived from the facts, described so that two of them can be compared: live, and computed anew."""

from __future__ import annotations

from typing import Any

from services.router.engine.index import CapabilityClass, Index
from services.router.engine.world import World


def derived(world: World) -> dict[str, Any]:
    """Everything that the indexes and timers of a world say, without what only remembers or speeds up."""
    return {
        "timers": list(world.timers),
        "workspaces": {name: _index(index) for name, index in sorted(world.indexes.items())},
    }


def difference(world: World) -> str | None:
    """Where the indexes of a world differ from those derived anew from its facts; None if nowhere."""
    live, anew = derived(world), derived(World(world.state))
    return None if live == anew else _first_difference(live, anew, "")


def _index(index: Index) -> dict[str, Any]:
    return {
        "waiting": {str(key): list(r.waiting) for key, r in sorted(index.requirements.items()) if r.waiting},
        "serves": {
            str(key): sorted(_name(known) for known in r.classes if _free(known))
            for key, r in sorted(index.requirements.items())
            if r.waiting
        },
        "served": {
            _name(known): sorted(str(r.key) for r in known.requirements.values() if r.waiting)
            for known in _in_order(index)
            if _free(known)
        },
        "free": {_name(known): _free(known) for known in _in_order(index) if _free(known)},
        "counts": {
            name: (
                counts.waiting,
                counts.offered,
                counts.assigned,
                counts.staffed,
                counts.available,
                list(counts.pending),
            )
            for name, counts in sorted(index.queues.items())
            if name in index.workspace.policy.queues or counts.waiting or counts.offered or counts.assigned
        },
        "pending_on": {name: list(pending) for name, pending in sorted(index.pending_on.items()) if pending},
    }


def _in_order(index: Index) -> list[CapabilityClass]:
    return sorted(index.classes.values(), key=_name)


def _name(known: CapabilityClass) -> str:
    abilities = (known.languages.items(), known.skills.items(), known.queues, known.channels)
    return str(tuple(sorted(ability) for ability in abilities))


def _free(known: CapabilityClass) -> dict[tuple[str, ...], tuple[list[Any], list[Any]]]:
    return {
        signature: (list(by_idle), list(by_load))
        for signature, (by_idle, by_load) in sorted(known.free.items())
        if by_idle or by_load
    }


def _first_difference(live: Any, anew: Any, path: str) -> str:
    if isinstance(live, dict) and isinstance(anew, dict):
        for key in [*live, *(key for key in anew if key not in live)]:
            if live.get(key) != anew.get(key):
                return _first_difference(live.get(key), anew.get(key), f"{path}.{key}")
    return f"{path.lstrip('.')}: live {live!r}, anew {anew!r}"
