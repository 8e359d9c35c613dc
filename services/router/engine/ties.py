"""Which contacts that wait have to be looked at again when an agent changes, or when a queue's people do."""

from __future__ import annotations

from collections.abc import Sequence

from shared.vocabulary import AgentId, ContactId

_Contacts = dict[ContactId, None]


class Ties:
    """One workspace's."""

    def __init__(self) -> None:
        self._watching: dict[AgentId, _Contacts] = {}
        """Contacts that wait for an agent only as long as they could be offered them, or of which it may hang on them
        whether everybody has declined."""
        self._watchers: dict[str, _Contacts] = {}
        """The same contacts by queue."""
        self._declined: dict[AgentId, _Contacts] = {}
        """Open contacts that an agent declined, in queues that forget it when they sign in."""
        self._leaving: dict[str, _Contacts] = {}
        """By queue the contacts that leave it as soon as nobody is there."""

    def add(
        self,
        contact: ContactId,
        queue: str,
        watched: Sequence[AgentId],
        decliners: Sequence[AgentId],
        *,
        leaves: bool,
    ) -> None:
        """A contact that waits in a queue: the agents that it hangs on, those who declined it, and whether it leaves
        when nobody is there."""
        for agent in watched:
            self._watching.setdefault(agent, {})[contact] = None
        if watched:
            self._watchers.setdefault(queue, {})[contact] = None
        for agent in decliners:
            self._declined.setdefault(agent, {})[contact] = None
        if leaves:
            self._leaving.setdefault(queue, {})[contact] = None

    def remove(
        self,
        contact: ContactId,
        queue: str,
        watched: Sequence[AgentId],
        decliners: Sequence[AgentId],
        *,
        leaves: bool,
    ) -> None:
        """It does not any more, as it was added."""
        for agent in watched:
            del self._watching[agent][contact]
        if watched:
            del self._watchers[queue][contact]
        for agent in decliners:
            del self._declined[agent][contact]
        if leaves:
            del self._leaving[queue][contact]

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
