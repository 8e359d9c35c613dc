"""What is derived from the facts, described so that two of them can be compared: live, and computed anew."""

from __future__ import annotations

from typing import Any

from services.router.engine.classes import CapabilityClass
from services.router.engine.index import Index
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
    # Class numbers depend on the order in which agents came; the abilities that make a class do not.
    names = {known.number: str(abilities) for abilities, known in index.registry.classes.items()}
    classes = sorted((names[known.number], known) for known in index.registry.classes.values() if _free(known))
    waiting = sorted(
        (str(key), requirement) for key, requirement in index.registry.requirements.items() if requirement.waiting
    )
    return {
        "waiting": {key: list(requirement.waiting) for key, requirement in waiting},
        "serves": {
            key: sorted(names[c.number] for c in requirement.classes if _free(c)) for key, requirement in waiting
        },
        "served": {
            name: sorted(str(requirement.demand) for requirement in known.requirements.values() if requirement.waiting)
            for name, known in classes
        },
        "free": {name: _free(known) for name, known in classes},
        "best": {
            kind: [sorted((names[number], item) for number, item in table.items()) for table in tables]
            for kind, tables in index.registry.best.by_kind.items()
            if any(tables)
        },
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
        "pending_on": {name: sorted(pending) for name, pending in sorted(index.pending_on.items()) if pending},
    }


def _free(known: CapabilityClass) -> dict[Any, list[list[Any]]]:
    return {
        (tuple(sorted(signature.kinds)), tuple(sorted(signature.profiles))): [list(agents) for agents in sets]
        for signature, sets in known.free.items()
    }


def _first_difference(live: Any, anew: Any, path: str) -> str:
    if isinstance(live, dict) and isinstance(anew, dict):
        for key in [*live, *(key for key in anew if key not in live)]:
            if live.get(key) != anew.get(key):
                return _first_difference(live.get(key), anew.get(key), f"{path}.{key}")
    return f"{path.lstrip('.')}: live {live!r}, anew {anew!r}"
