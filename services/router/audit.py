"""A slow second look at the running state, a slice at a time: what must never be is counted, so that it can alarm.

The engine asserts its transitions; this finds what no transition would notice, such as a contact that nothing leads to.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from services.router.engine.records import Contact
from services.router.engine.state import Workspace
from services.router.engine.world import World
from shared.vocabulary import ContactId, ContactState

logger = logging.getLogger(__name__)

SLICE = 500


@dataclass(frozen=True, slots=True)
class Found:
    """What one slice showed."""

    double_assigned: int
    orphans: int


class Audit:
    """Goes round the open contacts of all workspaces. `orphans` is what the last whole round showed."""

    def __init__(self) -> None:
        self.orphans = 0
        self._round: list[tuple[str, ContactId]] = []
        self._orphans_so_far = 0

    def step(self, world: World) -> Found:
        """Look at the next slice. Call it only while nothing is pending."""
        if not self._round:
            self.orphans = self._orphans_so_far
            self._orphans_so_far = 0
            self._round = [(ws.name, contact) for ws in world.state.workspaces.values() for contact in ws.contacts]
        double, orphans = 0, 0
        for _ in range(min(SLICE, len(self._round))):
            name, contact_id = self._round.pop()
            workspace = world.state.workspaces[name]
            contact = workspace.contacts.get(contact_id)
            if contact is None:
                continue
            if _double_assigned(workspace, contact):
                double += 1
                logger.critical("contact assigned twice", extra={"contact_id": contact_id})
            if not _has_a_place(world, workspace, contact):
                orphans += 1
                logger.critical("contact in no place", extra={"contact_id": contact_id})
        self._orphans_so_far += orphans
        return Found(double, orphans)


def _double_assigned(workspace: Workspace, contact: Contact) -> bool:
    """More than one of the agents who were ever offered the contact holds it as accepted."""
    agents = {workspace.offers[offer].agent for offer in contact.all_offers}
    holding = [agent for agent in agents if contact.id in workspace.agents[agent].held]
    return contact.state is ContactState.ASSIGNED and holding != [contact.agent]


def _has_a_place(world: World, workspace: Workspace, contact: Contact) -> bool:
    """Somebody or something leads on: an agent, an open offer, a queue, a timer; or it has ended."""
    match contact.state:
        case ContactState.ASSIGNED:
            return contact.agent is not None and contact.id in workspace.agents[contact.agent].held
        case ContactState.OFFERED:
            return any(not workspace.offers[offer].outcome for offer in contact.offers)
        case _:
            return world.indexes[workspace.name].has_place(contact.id)
