"""How many contacts may be open in one partition before customers' messages are left in the log.

What is open lies in the memory of every replica; what is left in the log costs nothing and keeps its order. Commands go
on meanwhile, so that contacts can be completed. The engine knows nothing of it: it decides whatever it is given.
"""

from __future__ import annotations

import logging
from typing import Final

from services.router.engine.world import World

logger = logging.getLogger(__name__)

LOW: Final = 0.95
"""Messages are taken in again below this share of the bound, so that not every contact that ends lets one in."""
COUNT_EVERY: Final = 1_000
"""Inputs after which it is counted anew at the latest, because counting looks at every queue."""


def open_contacts(world: World) -> int:
    """Contacts that wait, are offered or assigned, in all workspaces of a partition. Parked and scheduled ones wait for
    somebody who made them so, not for room, and are left out."""
    return sum(
        counts.waiting + counts.offered + counts.assigned
        for index in world.indexes.values()
        for counts in index.queues.values()
    )


class IntakeBound:
    """One leader's. `most` is the number of open contacts from which on no message is taken in; 0: no bound.

    What one turn brings in may pass it, and so may contacts that commands open.
    """

    def __init__(self, most: int, partition: int) -> None:
        self._most = most
        self._partition = partition
        self._room = 0
        self.holding = False
        """Whether messages are left in the log now."""

    def admits(self, world: World) -> bool:
        """Whether messages may be taken in now. `world` is what is true, or nearly."""
        if not self._most:
            return True
        if self._room <= 0:
            self._look(open_contacts(world))
        return not self.holding

    def taken(self, inputs: int) -> None:
        """So many messages and commands were taken in; each opens one contact at most."""
        self._room -= inputs

    def forget(self) -> None:
        """Somebody else leads: what they take in is not counted here."""
        self._room, self.holding = 0, False

    def _look(self, count: int) -> None:
        most = self._most * LOW if self.holding else self._most
        holding, self.holding = self.holding, count >= most
        self._room = 0 if self.holding else min(self._most - count, COUNT_EVERY)
        if self.holding is not holding:
            words = "messages are left in the log, too many contacts are open" if self.holding else "messages go on"
            logger.warning(words, extra={"partition": self._partition, "open": count, "most": self._most})
