"""Which contacts that wait have to be looked at again when an agent changes, or when a queue's people do."""

from __future__ import annotations

from typing import NamedTuple

from shared.vocabulary import AgentId, ContactId

_Contacts = dict[ContactId, None]


class Tie(NamedTuple):
    """What a contact that waits in a queue hangs on."""

    queue: str
    watched: tuple[AgentId, ...] = ()
    """Agents that it waits for only as long as they could be offered it, or on whom it may hang whether everybody has
    declined it."""
    decliners: tuple[AgentId, ...] = ()
    """Who declined it, in a queue that forgets it when they sign in."""
    leaves: bool = False
    """It leaves its station as soon as nobody of the queue is there."""


class Ties:
    """One workspace's."""

    def __init__(self) -> None:
        self._watching: dict[str, _Contacts] = {}
        """By agent whom they watch."""
        self._watchers: dict[str, _Contacts] = {}
        """The same contacts by queue."""
        self._declined: dict[str, _Contacts] = {}
        """By agent what they declined."""
        self._leaving: dict[str, _Contacts] = {}
        """By queue those that leave it."""

    def add(self, contact: ContactId, tie: Tie) -> None:
        """From now on."""
        for held, keys in self._places(tie):
            for key in keys:
                held.setdefault(key, {})[contact] = None

    def remove(self, contact: ContactId, tie: Tie) -> None:
        """Not any more, as it was added."""
        for held, keys in self._places(tie):
            for key in keys:
                del held[key][contact]

    def _places(self, tie: Tie) -> tuple[tuple[dict[str, _Contacts], tuple[str, ...]], ...]:
        here = (tie.queue,)
        return (
            (self._watching, tie.watched),
            (self._watchers, here if tie.watched else ()),
            (self._declined, tie.decliners),
            (self._leaving, here if tie.leaves else ()),
        )

    def watching(self, agent: AgentId) -> list[ContactId]:
        """What hangs on an agent."""
        return list(self._watching.get(agent, ()))

    def watchers(self, queue: str) -> list[ContactId]:
        """What hangs on somebody in a queue."""
        return list(self._watchers.get(queue, ()))

    def declined(self, agent: AgentId) -> list[ContactId]:
        """What an agent declined and may be asked for again when they sign in, by id."""
        return sorted(self._declined.get(agent, ()))

    def leaving(self, queue: str) -> list[ContactId]:
        """What leaves a queue as soon as nobody is there."""
        return list(self._leaving.get(queue, ()))
