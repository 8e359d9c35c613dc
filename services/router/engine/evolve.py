"""Making events true: the only place that writes on the state, with its parts in the modules `evolve_…`.

One function per event, found by its type. An exception here is a bug and stops the partition; nothing in here decides,
so that every later release folds what an earlier one decided.
"""

from __future__ import annotations

from collections.abc import Iterable

from services.router.engine import (
    evolve_consult,
    evolve_contacts,
    evolve_offers,
    evolve_outbound,
    evolve_setup,
    evolve_waiting,
)
from services.router.engine.lines import follow, place_of
from services.router.engine.state import ANSWER_DAYS, DEDUPE_DAYS, Workspace
from services.router.engine.truth import Evolve
from services.router.engine.world import World
from shared.contracts import events as ev
from shared.vocabulary import ContactId, ContactState

PUBLIC_SILENT = frozenset(
    {
        ev.CommandRefused,
        ev.CommandRejected,
        ev.CommandNoted,
        ev.HoursExtended,
        ev.Resumed,
        ev.DayTurned,
    }
)
"""Events that have no number in a workspace's public feed: they tell of a request or of time, not of the centre."""


def evolve(world: World, workspace: str, events: Iterable[ev.Event], at: int, seq: int) -> None:
    """Make events of entry `seq` true that were decided together, and then bring what is derived in step. `at` is the
    entry's time."""
    for event in events:
        _evolve_one(world, workspace, event, at, seq)
    world.sync()


def _evolve_one(world: World, workspace: str, event: ev.Event, at: int, seq: int) -> None:
    kind = type(event)
    make_true = _EVOLVE.get(kind)
    if make_true is not None:
        ws = world.state.workspaces.get(workspace)
        if ws is not None:
            contact_id = getattr(event, "contact", None)
            if contact_id is None:
                make_true(world, ws, event, at)
            else:
                _of_contact(world, ws, contact_id, make_true, event, at, seq)
    elif isinstance(event, ev.Resumed):
        _resumed(world, event)
    elif isinstance(event, ev.DayTurned):
        _day_turned(world, event)
    else:
        assert isinstance(event, ev.WorkspaceCreated), f"nothing makes {kind.__name__} true"
        world.state.undo.put(world.state.workspaces, workspace, Workspace(workspace, at))
        world.touched.append(("workspace", workspace, "self"))
    if workspace and kind not in PUBLIC_SILENT:
        facts = world.state.workspaces[workspace]
        world.state.undo.save(facts)
        facts.sequence += 1


def _of_contact(
    world: World, ws: Workspace, contact_id: ContactId, make_true: Evolve, event: ev.Event, at: int, seq: int
) -> None:
    contact = ws.contacts.get(contact_id)
    before = place_of(contact) if contact is not None else None
    make_true(world, ws, event, at)
    contact = ws.contacts.get(contact_id)
    if contact is None:
        return
    if before is not None or contact.state is ContactState.WAITING or contact.promise is not None:
        follow(world, ws, contact, before, at)
    if not contact.seqs or contact.seqs[-1] != seq:
        world.state.undo.append(contact.seqs, seq)


def _resumed(world: World, event: ev.Resumed) -> None:
    for ws in world.state.workspaces.values():
        for offer in ws.offers.values():
            if not offer.outcome and offer.expires_at is not None:
                world.state.undo.save(offer)
                offer.expires_at += event.gap
                world.touched.append(("offer", ws.name, offer.id))
                world.touched.append(("agent", ws.name, offer.agent))
                world.touched.append(("contact", ws.name, offer.contact))
        for agent in ws.agents.values():
            if agent.grace_until is not None:
                world.change_agent(ws, agent.id).grace_until = agent.grace_until + event.gap
        for channel in ws.channels.values():
            if channel.well_since is not None:
                # Nobody could have been heard meanwhile who says that it is down.
                world.state.undo.save(channel)
                channel.well_since += event.gap
                world.touched.append(("channel", ws.name, channel.name))
        evolve_outbound.shift_waits(world, ws, event.gap)


def _day_turned(world: World, event: ev.DayTurned) -> None:
    state = world.state
    state.undo.put(state.answers, event.day, {})
    state.undo.put(state.seen, event.day, {})
    for day in [d for d in state.answers if d <= event.day - ANSWER_DAYS]:
        state.undo.delete(state.answers, day)
    for day in [d for d in state.seen if d <= event.day - DEDUPE_DAYS]:
        state.undo.delete(state.seen, day)


def _nothing(world: World, ws: Workspace, event: ev.Event, at: int) -> None:
    """Refusals and notes change nothing but the answers."""


_EVOLVE: dict[type, Evolve] = {
    ev.CommandRefused: _nothing,
    ev.CommandRejected: _nothing,
    ev.CommandNoted: _nothing,
    **evolve_setup.EVOLVE,
    **evolve_contacts.EVOLVE,
    **evolve_outbound.EVOLVE,
    **evolve_waiting.EVOLVE,
    **evolve_offers.EVOLVE,
    **evolve_consult.EVOLVE,
}
