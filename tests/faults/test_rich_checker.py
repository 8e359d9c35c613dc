"""The checker knows the richer rules: a sound run through them has no findings, and one lie at a time is found."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from shared.contracts import events as ev
from shared.contracts.commands import Membership
from shared.vocabulary import ContactId
from tests.faults.checker import check
from tests.faults.history import Outcome
from tests.faults.rich_story import rich
from tests.faults.story import ANA, BEN, Raw, Story
from tests.faults.test_checker import Lie

LIES: list[tuple[str, Lie]] = []


def lie(invariant: str) -> Callable[[Lie], Lie]:
    """Registers a change of the story that must be found under this invariant."""

    def register(change: Lie) -> Lie:
        LIES.append((invariant, change))
        return change

    return register


def _queue(story: Story, name: str) -> dict[str, Any]:
    queues = story.find("PolicyAdopted")["data"]["policy"]["queues"]
    return next(queue for queue in queues if queue["name"] == name)


def _of(story: Story, kind: str, contact: str) -> Raw:
    """The first event of a type about a contact."""
    return next(e for e in story.events if e["type"].endswith(kind) and e["data"].get("contact") == contact)


def _is_member(story: Story, number: int, **fields: Any) -> None:
    profile = story.find("AgentProfileSet", number)
    profile["data"]["memberships"] = [dataclasses.asdict(Membership(**fields))]


# Several offers, automatic acceptance


@lie("4")
def a_contact_is_shown_to_more_than_its_queue_says(story: Story) -> None:
    _queue(story, "cards")["max_offers"] = 1


@lie("8")
def a_contact_is_shown_to_fewer_than_its_queue_says(story: Story) -> None:
    story.drop(lambda event: event["data"].get("offer") != "o7")


@lie("2")
def others_keep_the_offer_of_an_accepted_contact(story: Story) -> None:
    story.drop(lambda event: event["data"].get("reason") != "accepted_by_another")


@lie("2")
def a_contact_is_accepted_by_itself_where_agents_decide(story: Story) -> None:
    _queue(story, "post")["auto_accept"] = False
    accepted = _of(story, "OfferAccepted", "c5")
    accepted["data"]["agent"] = ANA


# Bounds


@lie("3")
def an_agent_gets_contacts_faster_than_the_rate_limit_says(story: Story) -> None:
    _queue(story, "cards")["rate_limit"] = {"max": 1, "window_s": 60}


@lie("3")
def an_agent_holds_more_of_a_queue_than_it_allows(story: Story) -> None:
    _queue(story, "money")["max_per_agent"] = 1


@lie("3")
def an_agent_holds_more_contacts_than_their_limit(story: Story) -> None:
    story.find("AgentProfileSet", 1)["data"]["max_contacts"] = 1


# Who may be asked


@lie("4")
def an_agent_of_a_tier_that_is_not_open_is_asked(story: Story) -> None:
    _is_member(story, 0, queue="money", tier=2)


@lie("4")
def an_agent_is_asked_before_their_delay(story: Story) -> None:
    _is_member(story, 0, queue="money", delay=5_000)


@lie("5")
def the_priority_of_an_agents_queues_does_not_count(story: Story) -> None:
    created = _of(story, "ContactCreated", "c9")["data"]
    created |= {"queue": "cards", "age_from": created["age_from"] - 1_000}
    story.drop(
        lambda event: (
            event["data"].get("contact") != "c9"
            or event["type"] not in ("switchdesk.ContactMoved", "switchdesk.DeadlineNear")
        )
    )
    _is_member(story, 1, queue="cards", priority=2)


@lie("4")
def a_contact_goes_back_to_who_handed_it_on(story: Story) -> None:
    made = next(event for event in story.events if event["data"].get("offer") == "o9")
    made["data"]["agent"] = BEN


@lie("4")
def an_agent_is_asked_again_before_their_decline_is_forgotten(story: Story) -> None:
    _queue(story, "cards")["decline"]["policy"] = "never"


@lie("time")
def a_decline_is_forgotten_too_early(story: Story) -> None:
    _queue(story, "cards")["decline"]["after_s"] = 30


@lie("4")
def an_agent_in_wrap_up_is_asked(story: Story) -> None:
    for event in story.events:
        if event["data"].get("offer") == "o12" or event["data"].get("contact") == "c7":
            event["data"] |= {"agent": BEN} if "agent" in event["data"] else {}


@lie("4")
def a_wrap_up_of_one_queue_is_one_of_all(story: Story) -> None:
    _of(story, "ContactCompleted", "c6")["data"]["wrap_up_queue"] = None


# Time


@lie("time")
def a_step_is_taken_too_early(story: Story) -> None:
    _queue(story, "money")["steps"][0]["after_s"] = 15


@lie("time")
def assignments_never_leave_the_window_of_a_rate(story: Story) -> None:
    story.drop(lambda event: event["type"] != "switchdesk.RateWindowMoved")


@lie("time")
def a_contact_overflows_too_early(story: Story) -> None:
    _queue(story, "post")["overflow"][0]["when"]["wait_exceeds_s"] = 8


@lie("time")
def a_wrap_up_ends_too_early(story: Story) -> None:
    _queue(story, "post")["wrap_up_s"] = 5
    _of(story, "ContactCompleted", "c6")["data"]["wrap_up_until"] += 4_000


# Transfers


@lie("9")
def a_transfer_that_was_told_is_not_in_the_feed(story: Story) -> None:
    story.did("transfer", ANA, "c4", subject="c4", seq=story.entry)


@lie("9")
def a_refused_transfer_was_made(story: Story) -> None:
    story.change_operation("transfer", outcome=Outcome.REFUSED, status=409, told={})


@lie("2")
def a_contact_is_with_two_agents_after_a_transfer(story: Story) -> None:
    moved = _of(story, "ContactMoved", "c5")
    again = copy.deepcopy(moved)
    given = ev.ContactAssigned(contact=ContactId("c5"), agent=ANA, reason="transfer", from_agent=ANA)
    again["type"] = "switchdesk.ContactAssigned"
    again["data"] = {name: getattr(given, name) for name in ("contact", "agent", "reason", "from_agent", "note")}
    story.events.insert(story.events.index(moved), again)
    story.number()


@lie("5")
def a_contact_loses_its_age(story: Story) -> None:
    moved = _of(story, "ContactMoved", "c9")
    moved["data"]["age_from"] = 1_700_000_000_000


def test_a_sound_run_through_the_rich_rules_has_no_findings() -> None:
    assert check(*rich().told()) == []


@pytest.mark.parametrize(("invariant", "change"), LIES, ids=[change.__name__ for _, change in LIES])
def test_a_lie_about_a_rich_rule_is_found(invariant: str, change: Lie) -> None:
    story = rich()
    change(story)
    findings = check(*story.told())
    assert any(finding.startswith(f"[{invariant}]") for finding in findings), findings
