"""The book of leases in one process's memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.clock import Clock
from shared.leases.port import STANDSTILL_S


@dataclass(slots=True)
class _Page:
    """One workspace: until when each lease lasts, and when the book was last reached."""

    reached: float
    ends: dict[str, float] = field(default_factory=dict)


class MemoryLeaseBook:
    """`LeaseBook` on dictionaries and this machine's clock."""

    def __init__(self, clock: Clock, *, standstill_s: float = STANDSTILL_S) -> None:
        self._clock = clock
        self._standstill_s = standstill_s
        self._pages: dict[str, _Page] = {}

    async def renew(self, leases: Sequence[tuple[str, str, float]]) -> None:
        for workspace, agent, length_s in leases:
            now, page = self._reach(workspace)
            page.ends[agent] = max(page.ends.get(agent, now), now + length_s)

    async def lapsed(self, workspace: str) -> list[str]:
        now, page = self._reach(workspace)
        return sorted(agent for agent, end in page.ends.items() if end <= now)

    async def held(self, workspace: str, agent: str) -> bool:
        now, page = self._reach(workspace)
        return page.ends.get(agent, now) > now

    async def forget(self, workspace: str, agent: str) -> None:
        _, page = self._reach(workspace)
        page.ends.pop(agent, None)

    def _reach(self, workspace: str) -> tuple[float, _Page]:
        now = self._clock.monotonic()
        page = self._pages.setdefault(workspace, _Page(now))
        gap_s = now - page.reached
        if gap_s > self._standstill_s:
            for agent, end in page.ends.items():
                if end > page.reached:
                    page.ends[agent] = end + gap_s
        page.reached = now
        return now, page
