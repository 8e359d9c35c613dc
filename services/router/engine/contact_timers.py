"""When something is due for contacts: at most one timer each, for whatever is due first."""

from __future__ import annotations

from services.router.engine.ordered import OrderedSet
from services.router.engine.waiting import Timer
from shared.vocabulary import ContactId


class ContactTimers:
    """One workspace's, in the set that it shares with all others."""

    def __init__(self, timers: OrderedSet[Timer], before: ContactTimers | None = None) -> None:
        """`before`: those of an index that has been dropped, which are these from now on."""
        self._timers = timers
        self._of: dict[ContactId, Timer] = before._of if before is not None else {}
        self._going: list[Timer] = []
        self._coming: list[Timer] = []

    def __contains__(self, contact: ContactId) -> bool:
        return contact in self._of

    def sync(self, contact: ContactId, due: Timer | None) -> None:
        """This is due for the contact now, or nothing."""
        old = self._of.get(contact)
        if old == due:
            return
        self._note(contact, due)
        if old is not None:
            self._timers.remove(old)
        if due is not None:
            self._timers.add(due)

    def sync_later(self, contact: ContactId, due: Timer | None) -> None:
        """As `sync`, but the shared set learns of it by `settle`, of many at once."""
        old = self._of.get(contact)
        if old == due:
            return
        self._note(contact, due)
        if old is not None:
            self._going.append(old)
        if due is not None:
            self._coming.append(due)

    def _note(self, contact: ContactId, due: Timer | None) -> None:
        if due is not None:
            self._of[contact] = due
        else:
            del self._of[contact]

    def settle(self) -> None:
        """Tell the shared set what `sync_later` was told."""
        self._timers.remove_all(self._going)
        self._timers.add_all(self._coming)
        self._going, self._coming = [], []

    def drop(self) -> None:
        """Take all out of the shared set: there is no other index to come."""
        self._timers.remove_all(list(self._of.values()))
