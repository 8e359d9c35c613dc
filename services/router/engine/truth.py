"""What the functions that make events true share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.router.engine.state import Workspace
from services.router.engine.world import World

Evolve = Callable[[World, Workspace, Any, int], None]
"""Makes one kind of event true: world, workspace, event, the entry's time in ms."""


def remember_source(world: World, ws: Workspace, source_key: str, contact: str) -> None:
    """From now on this source key is a repeat."""
    world.state.undo.put(world.state.newest_seen, f"{ws.name}\x1f{source_key}", contact)
