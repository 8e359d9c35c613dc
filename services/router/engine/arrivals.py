"""A contact as its creation makes it: for the state, and for a decision that looks at it before it is there."""

from __future__ import annotations

from services.router.engine.records import Contact
from shared.contracts import events as ev
from shared.vocabulary import ContactState


def contact_of(event: ev.ContactCreated, at: int, number: int) -> Contact:
    """The record of a contact that comes into being `at` (ms), by the `number`-th event of its workspace."""
    return Contact(
        id=event.contact,
        source_key=event.source_key,
        channel=event.channel,
        account=event.account,
        thread=event.thread,
        customer=event.customer,
        sender=event.sender,
        queue=event.queue,
        language=event.language,
        language_confidence=event.language_confidence,
        skills=tuple(sorted(event.skills.items())),
        priority=event.priority,
        attributes=event.attributes,
        reach={reach.channel: reach for reach in event.reach},
        created_at=at,
        number=number,
        age_from=event.age_from,
        state=ContactState.SCHEDULED if event.scheduled_at is not None else ContactState.WAITING,
        state_since=at,
        scheduled_at=event.scheduled_at,
        scheduled_priority=event.scheduled_priority,
        previous=event.previous,
        language_min=event.language_min,
        flow=event.flow,
        preferred=event.preferred,
        profiles=event.profiles,
        queue_since=min(at, event.age_from),
        flow_step=event.flow_step,
    )
