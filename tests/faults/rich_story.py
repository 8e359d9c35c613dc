"""A second sound run made by hand, through the richer rules of the fault suite's policy: several offers of one contact,
automatic acceptance, a transfer, a decline that is forgotten, wrap-up towards a queue, a step, an overflow.
"""

from __future__ import annotations

from typing import Final

from shared.contracts import events as ev
from shared.vocabulary import AgentId, ContactId, OfferId, QueueName
from tests.faults.story import ANA, BEN, Story, accepts, arrived, arrives, completes, offer, sound

PAGE: Final = ("messenger", "page")
MAIL: Final = ("email", "support@shop.example")


def rich() -> Story:
    """The plain run, then contacts c4 to c9."""
    story = sound()
    _two_look_at_one(story)
    _handed_on(story)
    _wrap_up(story)
    _nobody_for_a_while(story)
    return story


def _name(channel: tuple[str, str]) -> str:
    return ":".join(channel)


def _given(story: Story, number: int, contact: str, agent: AgentId) -> tuple[ev.Event, ev.Event]:
    """An offer that is accepted in the same instant, as in the queue `post`."""
    accepted = ev.OfferAccepted(offer=OfferId(f"o{number}"), contact=ContactId(contact), agent=agent)
    return offer(story, number, contact, agent), accepted


def _window_moves(story: Story) -> ev.RateWindowMoved:
    """What Ana got five seconds ago no longer counts."""
    return ev.RateWindowMoved(agent=ANA, queue=QueueName("cards"), since=story.next_ms - 5_000)


def _two_look_at_one(story: Story) -> None:
    story.say(*arrives(story, "c4", "cards", PAGE), offer(story, 6, "c4", ANA), offer(story, 7, "c4", BEN))
    arrived(story, "c4", _name(PAGE))
    taken_back = ev.OfferWithdrawn(
        offer=OfferId("o7"), contact=ContactId("c4"), agent=BEN, reason="accepted_by_another"
    )
    accepts(story, 6, "c4", ANA, taken_back)


def _handed_on(story: Story) -> None:
    """Ben hands a mail on; Ana declines it, and gets it again when her decline is forgotten."""
    c5 = ContactId("c5")
    story.say(*arrives(story, "c5", "post", MAIL), *_given(story, 8, "c5", BEN))
    arrived(story, "c5", _name(MAIL))
    moved = ev.ContactMoved(
        contact=c5, queue=QueueName("cards"), reason="transfer", from_queue=QueueName("post"), excluded=BEN
    )
    seq = story.say(moved, offer(story, 9, "c5", ANA))
    story.did("transfer", BEN, "c5", subject="c5", seq=seq)
    declined = ev.OfferDeclined(offer=OfferId("o9"), contact=c5, agent=ANA, reason="", retry_at=story.next_ms + 1000)
    seq = story.say(declined)
    story.did("reject", ANA, "o9", subject="c5", seq=seq)
    story.say(ev.RetryDue(contact=c5))
    story.entry += 1
    story.say(_window_moves(story), ev.DeclinePassed(contact=c5, agent=ANA), offer(story, 10, "c5", ANA))
    accepts(story, 10, "c5", ANA)
    completes(story, "c5", ANA)
    completes(story, "c4", ANA)


def _wrap_up(story: Story) -> None:
    """Ben, who is free for longest, is in wrap-up towards the queue when the next mail comes."""
    story.say(*arrives(story, "c6", "post", MAIL), *_given(story, 11, "c6", BEN))
    arrived(story, "c6", _name(MAIL))
    next_mail = (*arrives(story, "c7", "post", MAIL), *_given(story, 12, "c7", ANA))
    completes(story, "c6", BEN, wrap_up="post", then=next_mail)
    arrived(story, "c7", _name(MAIL))
    story.say(ev.WrapUpEnded(agent=BEN, cause="timer", queue="post"), _window_moves(story))
    completes(story, "c7", ANA, wrap_up="post")
    story.say(ev.WrapUpEnded(agent=ANA, cause="timer", queue="post"))


def _nobody_for_a_while(story: Story) -> None:
    """One contact takes a step, another overflows and passes its cap, until Ben comes back for both."""
    story.say(*(ev.AgentPresenceChanged(agent=agent, presence="away", cause="agent") for agent in (ANA, BEN)))
    story.say(*arrives(story, "c8", "money", PAGE), *arrives(story, "c9", "post", MAIL))
    arrived(story, "c8", _name(PAGE))
    arrived(story, "c9", _name(MAIL))
    story.entry += 4
    story.say(
        ev.ContactMoved(
            contact=ContactId("c9"), queue=QueueName("money"), reason="overflow", from_queue=QueueName("post")
        )
    )
    story.say(ev.DeadlineNear(contact=ContactId("c9")))
    story.entry += 3
    story.say(ev.ContactStepped(contact=ContactId("c8"), steps=1))
    back = ev.AgentPresenceChanged(agent=BEN, presence="available", cause="agent")
    story.say(back, offer(story, 13, "c9", BEN), offer(story, 14, "c8", BEN))
    for number, contact in ((13, "c9"), (14, "c8")):
        accepts(story, number, contact, BEN)
    for contact in ("c8", "c9"):
        completes(story, contact, BEN)
