"""Who keeps which agents' leases: a port, because several API processes each see a part of an agent's calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

STANDSTILL_S: Final = 5.0
"""A book that nobody reached for longer than this stood still meanwhile. Callers ask every second or two."""


class LeaseBook(Protocol):
    """The leases of every workspace, by one clock: the book's own.

    Time in which nobody reached the book of a workspace does not count against its leases: whoever could not renew them
    is not to blame. A book that was lost is empty, so nobody lapses in it; who speaks is in it again.

    Every method raises `ViewsUnavailable` when the book is away.
    """

    async def renew(self, leases: Sequence[tuple[str, str, float]]) -> None:
        """Workspace, agent, and how long from now on (in seconds) the lease lasts at least; it is never shortened."""
        ...

    async def lapsed(self, workspace: str) -> list[str]:
        """Agents whose lease is over and who were not forgotten, in order."""
        ...

    async def held(self, workspace: str, agent: str) -> bool:
        """Whether the agent is in the book and the lease is not over."""
        ...

    async def forget(self, workspace: str, agent: str) -> None:
        """Take the agent out of the book."""
        ...
