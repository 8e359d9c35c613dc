"""What may be written into a journal does not change behind the number that older releases go by."""

from __future__ import annotations

from tests.golden.contracts import as_they_are, recorded, refusal


def test_events_are_those_of_the_recorded_contracts() -> None:
    assert as_they_are() == recorded(), "read `tests/golden/contracts.py`: may an older release lead after this one?"


def test_a_new_event_is_not_recorded_under_the_old_number() -> None:
    before = {"contracts": 3, "events": {"OfferMade": ["offer"]}}
    more = {"OfferMade": ["offer"], "OfferSeen": ["offer"]}
    assert "OfferSeen" in str(refusal(before, {"contracts": 3, "events": more}))
    assert "OfferMade" in str(refusal(before, {"contracts": 3, "events": {}}))
    assert refusal(before, {"contracts": 4, "events": more}) is None
    assert refusal(before, {"contracts": 3, "events": {"OfferMade": ["offer", "shade"]}}) is None
