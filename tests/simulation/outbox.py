"""Senders of outbound messages, and adapters that carry them out."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from shared.contracts import commands as cmd
from shared.ids import address_key
from shared.vocabulary import ContactId, Delivery, MessageId
from tests.simulation.ledger import WorkspaceBook


class Outbox:
    """Those of one workspace, with these channels (`kind:account`)."""

    def __init__(self, name: str, channels: Sequence[str], customers: int, dice: random.Random) -> None:
        self._name = name
        self._channels = channels
        self._customers = customers
        self._dice = dice
        self._sent: list[str] = []

    def message(self, fresh_key: Callable[[], str], some_contact: Callable[[], ContactId]) -> cmd.SendOutbound:
        """A message to a contact's customer or to an address, sometimes one that was sent already, sometimes by a route
        that is refused."""
        dice = self._dice
        names = dice.sample(self._channels, min(len(self._channels), dice.randint(1, 3)))
        if dice.random() < 0.05:
            names.append(dice.choice((names[0], "chat:nowhere")))
        to_contact = dice.random() < 0.8
        again = self._sent and dice.random() < 0.1
        message = cmd.SendOutbound(
            source_key=dice.choice(self._sent) if again else fresh_key(),
            content_ref="r:o",
            route=tuple(self._way(name, to_contact) for name in names),
            contact=some_contact() if to_contact else None,
            deadline=dice.choice((None, None, 2_000, 10_000, 30_000)),
        )
        self._sent.append(message.source_key)
        return message

    def _way(self, name: str, to_contact: bool) -> cmd.DeliveryStep:
        dice = self._dice
        kind, account = name.split(":")
        named = dice.random() < (0.2 if to_contact else 0.9)
        return cmd.DeliveryStep(
            channel=kind,
            account=account,
            address=address_key(self._name, kind, f"u{dice.randrange(self._customers)}") if named else None,
            until=dice.choice((Delivery.DELIVERED, Delivery.DELIVERED, Delivery.READ)),
            within=dice.choice((None, 500, 3_000, 10_000)),
        )

    def report(self, book: WorkspaceBook) -> cmd.ReportDelivery | None:
        """What an adapter tells of an attempt under way, sometimes of one that was given up long ago; None if there was
        none yet."""
        if not book.attempts:
            return None
        messages = [each.under_way.id for each in book.outbounds.values() if each.under_way is not None]
        if not messages or self._dice.random() < 0.25:
            messages = list(book.attempts)
        status = self._dice.choice((Delivery.ACCEPTED, Delivery.ACCEPTED, *Delivery))
        return cmd.ReportDelivery(message=MessageId(self._dice.choice(messages)), status=status)
