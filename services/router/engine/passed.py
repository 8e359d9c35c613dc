"""Which contacts an agent has been seen to be out for, so that who is free again does not walk past all of them anew.

Of each agent and requirement a stretch of the order is kept in which every contact is barred to them: they declined it
for good or for a time, handed it on, or have it on offer. A contact that comes into the stretch without being barred to
them ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from services.router.engine.demand import Order
from shared.vocabulary import AgentId

START: Final[Order] = ()
"""Before every place of an order."""
MOST_AGENTS: Final = 8
"""Where more are free alike, hardly anything is barred to all of them."""

Stretches = dict[tuple[AgentId, bool], tuple[Order, Order]]
"""By agent, and whether it begins at the start: after which place, and up to which, all is barred to them."""


def behind(stretches: Stretches, agents: Sequence[AgentId], after: Order) -> Order:
    """Nothing after `after` and up to this place is for any of these agents."""
    ends = []
    for agent in agents:
        stretch = stretches.get((agent, after == START))
        if stretch is None or not stretch[0] <= after <= stretch[1]:
            return after
        ends.append(stretch[1])
    return min(ends, default=after)


def note(stretches: Stretches, agents: Sequence[AgentId], after: Order, to: Order) -> None:
    """Everything after `after` and up to `to` is barred to all of these agents."""
    for agent in agents:
        known = stretches.get((agent, after == START))
        if known is None or not known[0] <= after <= known[1] or known[1] < to:
            stretches[agent, after == START] = (after, to)


def look_again(stretches: Stretches, order: Order, bars: Callable[[AgentId], bool]) -> None:
    """A contact came to this place of the order, or another reason keeps somebody from it, or none any more."""
    for (agent, at_start), (after, to) in list(stretches.items()):
        if after < order <= to and not bars(agent):
            del stretches[agent, at_start]
