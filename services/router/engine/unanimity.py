"""Whether everybody has said no to a contact: who is there for each queue, by class, and which contacts it may come to.

Classes count who of them is there, so the answer costs a look at the classes that may serve the contact, and mostly at
one of them: the first where somebody is left. That one is the contact's *witness*: as long as nobody of it goes,
somebody is left, and when somebody does, the contacts that it is the witness of are looked at again, and no others.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import NamedTuple

from services.router.engine.classes import CapabilityClass, Requirement, is_able
from services.router.engine.demand import Demand
from services.router.engine.records import Agent, Contact
from services.router.engine.rooms import presence_towards
from services.router.engine.staffing import Accepted
from shared.vocabulary import AgentId, ContactId, Presence


class _There(NamedTuple):
    known: CapabilityClass
    """Where the agent counts. Whoever has had a class of their own stays in it for this, until they are able to do
    something else: who is not named any more needs no other class before they have room."""
    accepted: Accepted
    abilities: tuple[object, ...]

    def is_in(self, queue: str) -> bool:
        """Whether the agent is there for a queue."""
        return any(name == queue for name, _ in self.accepted)


class Unanimity:
    """One workspace's agents who are there, and its contacts that somebody has declined."""

    def __init__(self) -> None:
        self._there: dict[AgentId, _There] = {}
        self._refused: dict[str, dict[int | None, dict[ContactId, None]]] = {}
        """By queue and witness the contacts that somebody declined, as long as it was not told that everybody has."""

    def add(self, queue: str, contact: ContactId, witness: int | None) -> None:
        """Somebody declined a contact that waits in this queue. `witness`: the number of a class where somebody is
        left; None if there is none, or if named agents alone are asked."""
        self._refused.setdefault(queue, {}).setdefault(witness, {})[contact] = None

    def remove(self, queue: str, contact: ContactId, witness: int | None) -> None:
        """It waits there no more, it was told that everybody has declined it, or another class is its witness."""
        by_witness = self._refused[queue]
        del by_witness[witness][contact]
        if not by_witness[witness]:
            del by_witness[witness]

    def contacts(self, queue: str) -> list[ContactId]:
        """Those that somebody declined in a queue."""
        return [contact for contacts in self._refused.get(queue, {}).values() for contact in contacts]

    def follow(
        self, agent_id: AgentId, agent: Agent | None, accepted: Accepted, class_of: Callable[[Agent], CapabilityClass]
    ) -> list[ContactId]:
        """Count an agent, by queue, among those of their class who are there. `accepted`: the queues that accept their
        presence. Returns the contacts that may have nobody else left now, or somebody again."""
        old = self._there.get(agent_id)
        new = _placed(agent, accepted, old, class_of) if agent is not None and accepted else None
        if old is new:
            return []
        found: dict[ContactId, None] = {}
        for place, by in ((old, -1), (new, 1)):
            if place is not None:
                for queue, _ in place.accepted:
                    place.known.count(queue, by)
                    by_witness = self._refused.get(queue)
                    if by_witness:
                        # Whoever comes is one more who is left: that matters where nobody was.
                        found.update(by_witness.get(None, {}))
                        if by < 0:
                            found.update(by_witness.get(place.known.number, {}))
        if new is None:
            del self._there[agent_id]
        else:
            self._there[agent_id] = new
        return list(found)

    def all_declined(self, contact: Contact, requirement: Requirement) -> tuple[bool, int | None]:
        """Whether of those who are there and able, with room or without, all have declined the contact or handed it
        on; and the number of the first class where somebody has not. Where nobody is there, nobody has."""
        declined: dict[int, int] = {}
        for name in {*contact.declines, contact.excluded}:
            place = self._there.get(name) if name is not None else None
            if place is not None and place.known.number in requirement.by_number and place.is_in(contact.queue):
                declined[place.known.number] = declined.get(place.known.number, 0) + 1
        for known in requirement.classes:
            if known.there.get(contact.queue, 0) > declined.get(known.number, 0):
                return False, known.number
        return bool(declined), None

    def all_named_declined(self, contact: Contact, demand: Demand, agents: Mapping[AgentId, Agent]) -> bool:
        """The same of a contact that is for named agents alone: they have no classes of their own while it pauses."""
        asked = [name for name in demand.only or () if self._could(AgentId(name), demand, agents)]
        return bool(asked) and all(name in contact.declines or name == contact.excluded for name in asked)

    def _could(self, name: AgentId, demand: Demand, agents: Mapping[AgentId, Agent]) -> bool:
        there, agent = self._there.get(name), agents.get(name)
        if agent is None:
            return False
        here = there is not None and there.is_in(demand.queue)
        if "presence" in demand.bypass and agent.reachable:
            here = here or presence_towards(agent, demand.queue) != Presence.OFFLINE
        return here and is_able(agent, demand)


def _placed(
    agent: Agent, accepted: Accepted, old: _There | None, class_of: Callable[[Agent], CapabilityClass]
) -> _There:
    # Values of records are replaced, never changed inside: the same objects are the same abilities.
    abilities = (agent.languages, agent.skills, agent.queues, agent.channels, agent.memberships)
    if old is None or not all(map(operator.is_, old.abilities, abilities)):
        return _There(class_of(agent), accepted, abilities)
    known = old.known if old.known.agent is not None else class_of(agent)
    return old if known is old.known and accepted is old.accepted else _There(known, accepted, abilities)
