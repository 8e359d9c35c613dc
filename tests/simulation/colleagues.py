"""Agents who ask each other about a contact, take it over, or go on with it by another channel.

Their dice are their own: who asks whom changes nothing of what everybody else draws.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from shared.contracts import commands as cmd
from shared.vocabulary import AgentId, ContactId, Role
from tests.simulation.ledger import ContactBook

if TYPE_CHECKING:
    from tests.simulation.workload import People


class Colleagues:
    """What the agents of one workspace do with each other's contacts."""

    def __init__(self, people: People, dice: random.Random) -> None:
        self._people = people
        self._dice = dice
        self._times = dice.choice((60, 150))

    def tasks(self) -> list[Awaitable[None]]:
        """What they do, until they are through."""
        return [self._act_often()]

    async def _act_often(self) -> None:
        for _ in range(self._times):
            await asyncio.sleep(self._dice.expovariate(1.0) * self._people.size.pace_s / 4)
            move = self._next_move()
            if move is not None:
                await self._people.sender.send(self._people.name, *move)

    def _next_move(self) -> tuple[cmd.Actor, cmd.Command] | None:
        book, dice = self._people.book, self._dice
        held = [each for each in book.contacts.values() if each.state == "assigned"] if book is not None else []
        if not held:
            return None
        contact = dice.choice(held)
        consulted = list(contact.consulted)
        who = self._who(contact)
        return who, dice.choices(
            (self._ask(contact), self._end(contact, consulted), self._over(contact, consulted), self._by(contact)),
            (5, 2 if consulted else 0.2, 1 if consulted else 0, 3),
        )[0]

    def _who(self, contact: ContactBook) -> cmd.Actor:
        """Mostly the holder, at times somebody who is asked, a supervisor, or anybody at all."""
        names = [contact.agent or ""] * 6 + [*contact.consulted] * 2 + [self._dice.choice(self._people.agents)]
        if self._dice.random() < 0.1:
            return self._people.supervisor
        return cmd.Actor(role=Role.AGENT, id=self._dice.choice(names))

    def _ask(self, contact: ContactBook) -> cmd.Command:
        agent = AgentId(self._dice.choice(self._people.agents) if self._dice.random() < 0.97 else "nobody")
        note = "n:x" if self._dice.random() < 0.5 else None
        return cmd.StartConsult(contact=ContactId(contact.id), agent=agent, note_ref=note)

    def _end(self, contact: ContactBook, consulted: list[str]) -> cmd.Command:
        agent = AgentId(self._dice.choice(consulted or self._people.agents))
        return cmd.EndConsult(contact=ContactId(contact.id), agent=agent)

    def _over(self, contact: ContactBook, consulted: list[str]) -> cmd.Command:
        agent = AgentId(self._dice.choice(consulted or self._people.agents))
        return cmd.TransferContact(contact=ContactId(contact.id), agent=agent)

    def _by(self, contact: ContactBook) -> cmd.Command:
        kind, account = self._dice.choice([*self._people.channels, "pigeon:one"]).split(":")
        return cmd.TransferContact(contact=ContactId(contact.id), channel=kind, account=account)
