"""What the functions that make events true share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.router.engine.demand import asked_language
from services.router.engine.records import UNIT, Contact
from services.router.engine.slo import NO_LOAD
from services.router.engine.state import Workspace
from services.router.engine.world import World

Evolve = Callable[[World, Workspace, Any, int], None]
"""Makes one kind of event true: world, workspace, event, the entry's time in ms."""


def remember_source(world: World, ws: Workspace, source_key: str, contact: str) -> None:
    """From now on this source key is a repeat."""
    world.state.undo.put(world.state.newest_seen, f"{ws.name}\x1f{source_key}", contact)


def note_arrival(world: World, ws: Workspace, contact: Contact, at: int) -> None:
    """One more customer for whom room is kept free."""
    language = _loads(ws, contact)
    if language:
        world.state.undo.put(ws.loads, language, ws.loads.get(language, NO_LOAD).arrived(at))


def note_handling(world: World, ws: Workspace, contact: Contact, weight: int, at: int) -> None:
    """One of these is done, who took `weight` thousandths of a unit since the contact was assigned."""
    language = _loads(ws, contact)
    if language:
        seconds = (at - contact.state_since) / 1000 * weight / UNIT
        world.state.undo.put(ws.loads, language, ws.loads.get(language, NO_LOAD).handled(seconds))


def _loads(ws: Workspace, contact: Contact) -> str:
    """The language in which the contact counts for the load; empty if it does not."""
    reserve = ws.policy.slo.reserve
    queue = ws.policy.queues.get(contact.queue)
    if reserve is None or queue is None or queue.by_deadline is None or contact.channel in reserve.kinds:
        return ""
    return asked_language(queue, contact)
