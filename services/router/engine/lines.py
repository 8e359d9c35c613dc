"""Keeping the lines: who joins one, who leaves it and how, and what that tells about the bounds that were given.

Looked at after every event of a contact, by comparing where the contact stands with where it stood before, so that no
event can be forgotten: whatever brings a contact into a line or out of it is counted.
"""

from __future__ import annotations

from services.router.engine.records import Contact
from services.router.engine.state import Workspace
from services.router.engine.waits import NO_LINE, changed, judge, line_name, promise, queue_of
from services.router.engine.world import World
from shared.vocabulary import ContactState

Place = tuple[str, str, int]
"""Queue and kind of channel of a line, and since when (ms) the contact waits without an offer."""

_TAKEN = (ContactState.OFFERED, ContactState.ASSIGNED)


def place_of(contact: Contact) -> Place | None:
    """Where the contact stands; None if it is in no line."""
    if contact.state is not ContactState.WAITING:
        return None
    return contact.queue, contact.channel, contact.state_since


def follow(world: World, ws: Workspace, contact: Contact, before: Place | None, at: int) -> None:
    """An event has changed the contact, which the event's own function has saved for an undo; it stood in `before`."""
    after = place_of(contact)
    if after != before:
        if before is not None and (after is None or after[:2] != before[:2]):
            _leave(world, ws, contact, before, at)
        if after is not None and (before is None or after[:2] != before[:2]):
            _join(world, ws, contact, after, at)
    if contact.promise is not None and contact.state not in (ContactState.WAITING, ContactState.OFFERED):
        _settle(world, ws, contact, at)


def forget_lines(world: World, ws: Workspace) -> None:
    """Queues that the policy does not name any more have no lines, unless somebody is still in them."""
    for name, line in list(ws.lines.items()):
        if not line.waiting and queue_of(name) not in ws.policy.queues:
            world.state.undo.delete(ws.lines, name)


def _join(world: World, ws: Workspace, contact: Contact, place: Place, at: int) -> None:
    """What is promised on joining holds until the contact is answered, gives up, or joins another line."""
    name = line_name(place[0], place[1])
    line = changed(ws.lines.get(name, NO_LINE), at, 1)
    if contact.promise is None or contact.promise.line != name:
        contact.promise = promise(name, line, at)
    world.state.undo.put(ws.lines, name, line)


def _leave(world: World, ws: Workspace, contact: Contact, place: Place, at: int) -> None:
    name = line_name(place[0], place[1])
    waited = at > place[2]
    served = waited and contact.state in _TAKEN
    gone = contact.state is ContactState.ABANDONED
    world.state.undo.put(ws.lines, name, changed(ws.lines[name], at, -1, served=served, left=gone))
    if waited and contact.promise is not None and not contact.promise.waited:
        contact.promise = contact.promise._replace(waited=True)


def _settle(world: World, ws: Workspace, contact: Contact, at: int) -> None:
    """The wait is over. Whoever was offered to somebody at once had none, and tells nothing about those who have."""
    given = contact.promise
    assert given is not None, f"{contact.id} was promised nothing"
    contact.promise = None
    answered = contact.state is ContactState.ASSIGNED
    line = ws.lines.get(given.line)
    if line is not None and given.waited and (answered or contact.state is ContactState.ABANDONED):
        world.state.undo.put(ws.lines, given.line, judge(line, given, at - given.at, answered=answered))
