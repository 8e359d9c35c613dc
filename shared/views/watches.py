"""Who watches which document or kind in this process, and the bells that wake them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from shared.log.bell import Bell

Watched = tuple[str, str, str | None]
"""Workspace, kind, id; without an id the whole kind."""


class BellWatch:
    """A bell and what of it was heard."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._heard = bell.rings

    async def wait(self, timeout_s: float) -> bool:
        rang = await self._bell.wait(self._heard, timeout_s)
        self._heard = self._bell.rings
        return rang


class Watches:
    """One bell for each document or kind that somebody watches."""

    def __init__(self) -> None:
        self._watched: dict[Watched, tuple[Bell, list[BellWatch]]] = {}

    def __len__(self) -> int:
        return sum(len(watches) for _, watches in self._watched.values())

    def watch(self, watched: Watched) -> AbstractAsyncContextManager[BellWatch]:
        return self._watch(watched)

    def ring(self, watched: Watched) -> None:
        found = self._watched.get(watched)
        if found is not None:
            found[0].ring()

    def ring_all(self, workspace: str | None = None) -> None:
        """Everything may have changed, of one workspace or of all."""
        for watched, (bell, _) in list(self._watched.items()):
            if workspace is None or watched[0] == workspace:
                bell.ring()

    @asynccontextmanager
    async def _watch(self, watched: Watched) -> AsyncIterator[BellWatch]:
        bell, watches = self._watched.setdefault(watched, (Bell(), []))
        watch = BellWatch(bell)
        watches.append(watch)
        try:
            yield watch
        finally:
            watches.remove(watch)
            if not watches:
                del self._watched[watched]
