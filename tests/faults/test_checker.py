"""The checker finds what it is there to find: one lie at a time is planted into a sound run."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from shared.contracts import events as ev
from shared.vocabulary import AddressKey, ChannelHealth, ContactId, ThreadKey
from tests.faults.checker import MARGIN_S, check
from tests.faults.ending import READY_S
from tests.faults.gaps import BOUNDS_S, SILENCE_S
from tests.faults.history import WRITTEN, Fault, Late, Outcome, Trouble
from tests.faults.nemesis import SHORT
from tests.faults.patience import HANG_S
from tests.faults.run import Part, Plan, judge_parts
from tests.faults.story import ANA, BEN, PARTITION, Raw, Story, sound

Lie = Callable[[Story], None]
LIES: list[tuple[str, Lie]] = []


def lie(invariant: str) -> Callable[[Lie], Lie]:
    """Registers a change of the story that must be found under this invariant."""

    def register(change: Lie) -> Lie:
        LIES.append((invariant, change))
        return change

    return register


def _came_by(kind: str, story: Story, **fields: Any) -> None:
    """The first message came by another way, and nobody was told where it is."""
    for place, operation in enumerate(story.operations):
        if operation.kind == "message":
            story.operations[place] = dataclasses.replace(operation, kind=kind, told={}, **fields)
            return


def _not_of(contact: str) -> Callable[[Raw], bool]:
    return lambda event: event["data"].get("contact") != contact


# Messages and contacts


@lie("1")
def an_acknowledged_message_is_lost(story: Story) -> None:
    story.drop(_not_of("c1"))
    story.contacts = [contact for contact in story.contacts if contact["id"] != "c1"]
    story.operations = [o for o in story.operations if o.kind in WRITTEN or "1" not in o.about]
    story.sightings, story.readings = [], []


@lie("1")
def a_message_opens_two_contacts(story: Story) -> None:
    for name in ("ContactCreated", "MessageReceived"):
        story.find(name, 1)["data"]["source_key"] = story.find(name, 0)["data"]["source_key"]


@lie("1")
def a_message_is_in_another_contact_than_was_told(story: Story) -> None:
    story.change_operation("message", told={"subject": "c2"})


@lie("1")
def a_message_was_never_written(story: Story) -> None:
    story.operations = [o for o in story.operations if not (o.kind == "message" and o.about.endswith("c1"))]


@lie("1")
def a_contact_is_missing_from_the_list(story: Story) -> None:
    story.contacts.pop()
    story.histories = {}


@lie("1")
def a_contact_is_listed_twice(story: Story) -> None:
    story.contacts.append(story.contacts[0])


@lie("1")
def a_contact_is_listed_that_never_was(story: Story) -> None:
    story.contacts.append({"id": "c9", "state": "completed", "agent": ANA})


@lie("1")
def a_contact_ends_twice(story: Story) -> None:
    story.say(ev.ContactCompleted(contact=ContactId("c1"), agent=ANA))


@lie("9")
def a_refused_message_was_taken(story: Story) -> None:
    story.change_operation("message", outcome=Outcome.REFUSED, status=422, told={})


@lie("9")
def an_update_with_a_forged_secret_was_taken(story: Story) -> None:
    _came_by("webhook", story, outcome=Outcome.REFUSED, status=403)


@lie("9")
def an_update_with_a_forged_secret_was_acknowledged(story: Story) -> None:
    _came_by("webhook", story, unfit=True)


@lie("9")
def a_mail_to_nobody_was_taken_though_its_sender_heard_nothing(story: Story) -> None:
    _came_by("mail", story, outcome=Outcome.UNKNOWN, status=0, unfit=True)


@lie("9")
def what_the_chat_refused_was_taken(story: Story) -> None:
    _came_by("chat", story, outcome=Outcome.REFUSED, status=400)


@lie("9")
def a_mail_that_was_refused_for_good_was_taken(story: Story) -> None:
    _came_by("mail", story, outcome=Outcome.REFUSED, status=550)


@lie("1")
def a_chat_that_was_acknowledged_is_lost(story: Story) -> None:
    _came_by("chat", story)
    an_acknowledged_message_is_lost(story)


@lie("1")
def a_mail_that_was_acknowledged_is_lost(story: Story) -> None:
    _came_by("mail", story)
    an_acknowledged_message_is_lost(story)


@lie("text")
def a_mail_reads_otherwise_than_it_was_sent(story: Story) -> None:
    story.transcripts = story.true_transcripts()
    _came_by("mail", story, text="something else")


@lie("9")
def an_event_lies_on_another_partition(story: Story) -> None:
    event = story.events[-1]
    event["id"] = f"{PARTITION + 1}:{event['id'].partition(':')[2]}"


@lie("text")
def a_customer_of_another_workspace_is_quoted(story: Story) -> None:
    """Two workspaces are written to under the same keys; only the words differ."""
    transcripts = story.true_transcripts()
    transcripts["c1"][0]["text"] += " of the other workspace"
    story.transcripts = transcripts


# Offers and assignments


@lie("2")
def an_offer_is_accepted_twice(story: Story) -> None:
    accepted = copy.deepcopy(story.find("OfferAccepted"))
    accepted["data"]["agent"] = BEN
    story.events.insert(story.events.index(story.find("OfferAccepted")) + 1, accepted)
    story.number()


@lie("2")
def somebody_else_than_was_offered_accepts(story: Story) -> None:
    story.find("OfferAccepted")["data"]["agent"] = BEN


@lie("2")
def an_accept_that_was_told_is_not_in_the_feed(story: Story) -> None:
    story.did("accept", BEN, "o5", subject="c3", seq=story.entry)


@lie("2")
def two_agents_were_told_that_the_offer_is_theirs(story: Story) -> None:
    story.did("accept", BEN, "o1", subject="c1", seq=story.entry)


@lie("2")
def a_stolen_offer_is_given(story: Story) -> None:
    story.change_operation("steal", outcome=Outcome.OK, status=200)


@lie("2")
def a_contact_is_completed_by_another_than_its_agent(story: Story) -> None:
    story.find("ContactCompleted")["data"]["agent"] = BEN


@lie("4")
def a_contact_is_offered_to_two_at_once(story: Story) -> None:
    made = copy.deepcopy(story.find("OfferMade"))
    made["data"] |= {"offer": "o9", "agent": BEN}
    story.events.insert(story.events.index(story.find("OfferMade")) + 1, made)
    story.number()


@lie("3")
def an_agent_holds_more_than_they_can(story: Story) -> None:
    for agent in (0, 1):
        story.find("AgentProfileSet", agent)["data"]["capacity_total"] = 500


@lie("4")
def an_agent_gets_an_offer_while_away(story: Story) -> None:
    story.find("AgentPresenceChanged")["data"]["presence"] = "away"


@lie("4")
def an_agent_without_a_desk_gets_an_offer(story: Story) -> None:
    story.drop(lambda event: event is not story.find("AgentRegained"))


@lie("4")
def an_agent_gets_an_offer_in_a_language_they_do_not_speak(story: Story) -> None:
    story.find("AgentProfileSet")["data"]["languages"] = {"id": 5}


@lie("4")
def an_agent_who_leaves_keeps_their_offer(story: Story) -> None:
    gone = copy.deepcopy(story.find("AgentPresenceChanged"))
    gone["data"]["presence"] = "away"
    made = story.find("OfferMade")
    gone["id"] = made["id"]
    story.events.insert(story.events.index(made) + 1, gone)
    story.number()


@lie("5")
def an_offer_goes_past_the_agent_whose_turn_it_is(story: Story) -> None:
    for event in story.events:
        if event["data"].get("contact") == "c1" and event["data"].get("agent") == ANA:
            event["data"]["agent"] = BEN


@lie("time")
def an_offer_expires_before_its_time(story: Story) -> None:
    declined = story.find("OfferDeclined")
    declined["type"] = "switchdesk.OfferExpired"
    declined["data"] = {"offer": "o2", "contact": "c2", "agent": BEN, "missed": 1}


@lie("9")
def an_agent_was_refused_what_they_have(story: Story) -> None:
    story.change_operation("accept", outcome=Outcome.REFUSED, status=409)


@lie("9")
def a_decline_that_was_told_is_not_in_the_feed(story: Story) -> None:
    story.did("reject", BEN, "o4", subject="c2", seq=story.entry)


@lie("view")
def a_desk_shows_an_offer_that_was_made_to_another(story: Story) -> None:
    story.sightings[0] = dataclasses.replace(story.sightings[0], agent=BEN)


# Redirects


@lie("6")
def a_contact_comes_back_to_the_channel_that_it_left(story: Story) -> None:
    hop = copy.deepcopy(story.find("ContactRedirected"))
    hop["data"] |= {
        "from_channel": "messenger",
        "from_account": "page",
        "channel": "telegram",
        "account": "bot",
        "thread": ThreadKey("t-c3"),
        "address": AddressKey("a-c3"),
    }
    story.events.insert(story.events.index(story.find("ContactRedirected")) + 1, hop)
    story.number()


@lie("6")
def a_contact_is_moved_off_a_healthy_channel(story: Story) -> None:
    story.find("ChannelHealthChanged", 1)["data"]["state"] = ChannelHealth.DEGRADED.value


# Replies and ends


@lie("9")
def a_reply_that_was_told_is_lost(story: Story) -> None:
    story.drop(lambda event: event["type"] != "switchdesk.ReplyQueued")


@lie("9")
def a_reply_is_sent_twice(story: Story) -> None:
    again = copy.deepcopy(story.find("ReplyQueued"))
    story.events.insert(story.events.index(story.find("ReplyQueued")) + 1, again)
    story.number()


@lie("9")
def two_replies_become_one(story: Story) -> None:
    story.did("reply", ANA, "c1", subject="r1", seq=9)


@lie("9")
def a_completion_that_was_told_is_not_in_the_feed(story: Story) -> None:
    story.did("complete", ANA, "c3", subject="c3", seq=story.entry)


@lie("9")
def a_contact_given_back_stays_where_it_is(story: Story) -> None:
    story.did("requeue", BEN, "c1", subject="c1", seq=story.entry)


# Answers and reads


@lie("9")
def one_key_gets_two_answers(story: Story) -> None:
    first = story.operations[-1]
    story.operations.append(dataclasses.replace(first, kind="again", told={**first.told, "seq": 99}))


@lie("9")
def a_repeat_is_refused(story: Story) -> None:
    story.operations.append(dataclasses.replace(story.operations[-1], kind="again", outcome=Outcome.REFUSED))


@lie("9")
def a_read_is_older_than_the_own_change(story: Story) -> None:
    story.readings[0] = dataclasses.replace(story.readings[0], seq=story.readings[0].min_seq - 1)


# The feed


@lie("9")
def the_numbers_of_the_feed_have_a_gap(story: Story) -> None:
    for event in story.events[12:]:
        event["sequence"] += 1


@lie("9")
def an_event_comes_twice(story: Story) -> None:
    story.events.insert(4, story.events[3])


@lie("9")
def an_event_comes_too_late(story: Story) -> None:
    story.events[6]["id"], story.events[7]["id"] = story.events[7]["id"], story.events[6]["id"]


@lie("9")
def a_follower_misses_an_event(story: Story) -> None:
    history, _ = story.told()
    story.followed = [seen for seen in history.followed if seen.id != story.events[10]["id"]]


@lie("9")
def a_follower_got_another_content(story: Story) -> None:
    history, _ = story.told()
    story.followed = [
        dataclasses.replace(seen, digest="0") if at == 7 else seen for at, seen in enumerate(history.followed)
    ]


@lie("9")
def a_follower_got_what_is_no_more(story: Story) -> None:
    history, _ = story.told()
    story.followed = history.followed
    story.events.pop()


@lie("9")
def an_event_is_missing_from_a_history(story: Story) -> None:
    story.histories = story.true_histories()
    story.histories["c2"].pop(3)


@lie("9")
def an_event_is_another_one_in_a_history(story: Story) -> None:
    story.histories = copy.deepcopy(story.true_histories())
    story.histories["c1"][2]["agent"] = BEN


@lie("feed")
def an_event_of_a_type_that_nobody_knows(story: Story) -> None:
    story.events[-1]["type"] = "switchdesk.ContactCloned"


# Texts


@lie("text")
def a_text_is_another_one(story: Story) -> None:
    story.transcripts = story.true_transcripts()
    story.transcripts["c1"][0]["text"] = story.transcripts["c2"][0]["text"]


@lie("text")
def a_text_is_lost(story: Story) -> None:
    story.transcripts = story.true_transcripts()
    story.transcripts["c1"][0]["text"] = None


@lie("text")
def a_replys_text_is_another_one(story: Story) -> None:
    story.transcripts = story.true_transcripts()
    story.transcripts["c1"][1]["text"] += "!"


@lie("text")
def a_text_that_was_acknowledged_to_nobody_is_another_one(story: Story) -> None:
    reply = story.change_operation("reply", outcome=Outcome.UNKNOWN, told={})
    story.transcripts = {
        "c1": [{"id": "m-c1", "direction": "customer", "text": "message about telegram:bot:message:c1"}]
    }
    story.transcripts["c1"].append({"id": "r1", "direction": "agent", "text": f"not {reply.text}"})


@lie("text")
def a_line_is_missing_from_a_transcript(story: Story) -> None:
    story.transcripts = story.true_transcripts()
    story.transcripts["c1"].pop(0)


@lie("text")
def a_line_is_twice_in_a_transcript(story: Story) -> None:
    story.transcripts = story.true_transcripts()
    story.transcripts["c1"].insert(1, story.transcripts["c1"][0])


@lie("text")
def a_transcript_is_not_in_order(story: Story) -> None:
    story.transcripts = story.true_transcripts()
    story.transcripts["c1"].reverse()


@lie("text")
def a_transcript_has_a_line_of_another_contact(story: Story) -> None:
    story.transcripts = story.true_transcripts()
    story.transcripts["c2"].append(story.transcripts["c1"][1])


@lie("text")
def a_reply_is_shown_as_the_customers_word(story: Story) -> None:
    story.transcripts = story.true_transcripts()
    story.transcripts["c1"][1]["direction"] = "customer"


# Time


def _fault(kind: str, at: float, until: float, *, led: bool = False) -> Fault:
    return Fault(kind=kind, target="it", at=at, until=until, led=led)


def _hangs(seconds: float, status: int) -> Late:
    return Late(who=ANA, what="POST /v1/messages", status=status, seconds=seconds, at=100.0)


@lie("time")
def a_request_is_never_answered(story: Story) -> None:
    story.lates.append(_hangs(HANG_S, 0))


@lie("time")
def an_answer_comes_when_nobody_believes_in_it_any_more(story: Story) -> None:
    story.lates.append(_hangs(HANG_S, 503))


@lie("time")
def offers_stop_for_no_reason(story: Story) -> None:
    story.see_at(10.0, 10.0 + SILENCE_S + 1.0)


@lie("time")
def offers_never_come_again(story: Story) -> None:
    story.see_at(10.0, 60.0)
    story.sightings.pop()


@lie("time")
def nobody_takes_over_from_a_router_that_was_killed(story: Story) -> None:
    story.faults = [_fault("router-kill", 11.0, 40.0, led=True)]
    story.see_at(10.0, 41.0)


@lie("time")
def nobody_takes_over_from_a_router_that_stands_still(story: Story) -> None:
    # Another fault keeps the gap from being measured; that nothing was broken for so long is known all the same.
    story.faults = [_fault("router-pause", 15.0, 37.0, led=True), _fault("net-cut", 10.0, 16.0)]
    story.see_at(10.0, 37.0)


@lie("time")
def a_router_that_says_goodbye_is_missed_for_long(story: Story) -> None:
    story.faults = [_fault("router-term", 11.0, 12.0, led=True)]
    story.see_at(10.9, 11.0 + BOUNDS_S["router-term"] + 0.1)


@lie("time")
def offers_do_not_come_again_when_the_brokers_are_back(story: Story) -> None:
    story.faults = [_fault("majority-lost", 11.0, 40.0)]
    story.see_at(10.0, 40.0 + SILENCE_S + 1.0)


# Replicas, views, the end


@lie("7")
def a_replica_has_another_state(story: Story) -> None:
    story.replicas[1] = dataclasses.replace(story.replicas[1], state_hash="other")


@lie("7")
def a_replica_holds_another_entry(story: Story) -> None:
    story.replicas[1] = dataclasses.replace(story.replicas[1], head="other")


@lie("7")
def no_two_replicas_tell_of_a_state_after_the_last_fault(story: Story) -> None:
    assert story.mended is not None
    story.mended = dataclasses.replace(story.mended, seq=story.entry)


@lie("7")
def one_replica_is_left_behind_after_the_last_fault(story: Story) -> None:
    story.replicas[1] = dataclasses.replace(story.replicas[1], state_seq=story.entry - 1)


@lie("end")
def a_process_is_never_ready_again(story: Story) -> None:
    story.standings[-1] = dataclasses.replace(story.standings[-1], reason="partition 2 is recovering")


@lie("end")
def a_process_is_ready_and_then_is_not(story: Story) -> None:
    later = story.entry + 2.0
    story.standings.append(dataclasses.replace(story.standings[-1], reason="the log is away", at=later))


@lie("end")
def a_process_takes_forever_to_get_ready(story: Story) -> None:
    story.standings[-1] = dataclasses.replace(story.standings[-1], at=story.entry + READY_S + MARGIN_S + 1.0)


@lie("end")
def a_process_could_not_be_asked(story: Story) -> None:
    story.standings = [seen for seen in story.standings if seen.process != "engine-2"]


@lie("end")
def a_partition_was_stopped_for_a_while(story: Story) -> None:
    stopped = "partition 2 is stopped: entry 7 follows on another one"
    story.standings.insert(0, dataclasses.replace(story.standings[0], reason=stopped))


@lie("end")
def nobody_says_when_the_faults_were_over(story: Story) -> None:
    story.mended = None


@lie("view")
def a_document_is_of_another_state(story: Story) -> None:
    story.contacts[0] |= {"state": "waiting", "agent": None}


@lie("8")
def a_contact_waits_although_somebody_is_free(story: Story) -> None:
    last = story.find("OfferWithdrawn")
    last["data"]["reason"] = "profile"
    story.drop(lambda event: event["type"] != "switchdesk.ContactAbandoned")
    story.contacts[-1] |= {"state": "waiting"}
    story.operations.pop()


@lie("8")
def a_contact_is_left_over(story: Story) -> None:
    story.drop(lambda event: event["type"] != "switchdesk.ContactCompleted" or event["data"]["contact"] != "c2")
    story.contacts = [{**c, "state": "assigned"} if c["id"] == "c2" else c for c in story.contacts]
    story.operations = [o for o in story.operations if (o.kind, o.about) != ("complete", "c2")]


def test_a_sound_run_has_no_findings() -> None:
    assert check(*sound().told()) == []


def _the_majority_is_away(story: Story) -> None:
    story.faults = [_fault("majority-lost", 11.0, 60.0)]
    story.see_at(10.0, 60.0 + SILENCE_S / 2)


def _nobody_knows_of_a_mail_that_was_taken(story: Story) -> None:
    _came_by("mail", story, outcome=Outcome.UNKNOWN, status=451)


def _an_api_stands_still(story: Story) -> None:
    story.faults = [_fault("api-pause", 60.0, 90.0)]
    story.lates.append(_hangs(HANG_S, 0))


def _a_router_is_killed_and_its_standby_takes_over(story: Story) -> None:
    story.faults = [_fault("router-kill", 11.0, 40.0, led=True)]
    story.see_at(10.0, 12.9)


@pytest.mark.parametrize(
    "change",
    [
        _the_majority_is_away,
        _an_api_stands_still,
        _a_router_is_killed_and_its_standby_takes_over,
        _nobody_knows_of_a_mail_that_was_taken,
    ],
)
def test_what_a_fault_explains_is_no_finding(change: Lie) -> None:
    story = sound()
    change(story)
    assert check(*story.told()) == []


@pytest.mark.parametrize(("invariant", "change"), LIES, ids=[change.__name__ for _, change in LIES])
def test_a_lie_is_found(invariant: str, change: Lie) -> None:
    story = sound()
    change(story)
    findings = check(*story.told())
    assert any(finding.startswith(f"[{invariant}]") for finding in findings), findings


def test_trouble_that_a_run_met_is_a_finding() -> None:
    history, outputs = sound().told()
    history.add(Trouble(what="an answer 500", detail="", at=1.0))
    assert [finding.split()[0] for finding in check(history, outputs)] == ["[trouble]"]


def test_another_workspace_is_judged_by_its_own_words_and_by_what_was_done_to_all() -> None:
    first, second = sound(), sound()
    first.faults = [_fault("majority-lost", 11.0, 60.0), _fault("router-kill", 61.0, 62.0, led=True)]
    first.see_at(10.0, 60.0 + SILENCE_S / 2)
    second.see_at(10.0, 60.0 + SILENCE_S / 2)
    an_acknowledged_message_is_lost(second)
    second.mended, second.standings = None, []
    second.replicas = [dataclasses.replace(seen, seq=seen.seq + 1, state_seq=seen.seq + 1) for seen in second.replicas]
    (history, outputs), (others, their_outputs) = first.told(), second.told()
    others.take_surroundings(history, PARTITION)
    assert others.faults[0] == history.faults[0]
    assert not any(fault.led for fault in others.faults), "whose leader was hit, is known of the first alone"

    plan = Plan(seed=1, seconds=60, rhythm=SHORT, every=1)
    parts = [
        Part(workspace="shop", history=history, plan=plan),
        Part(workspace="bank", history=others, plan=plan),
    ]
    report = judge_parts(parts, [outputs, their_outputs])
    assert (report.lost, report.contacts) == (1, 5)
    assert [finding for finding in report.findings if "message telegram:bot:message:c1 was ack" in finding]
    assert all(finding.startswith("bank: ") for finding in report.findings), report.findings
    assert not any("[7]" in finding or "[time]" in finding for finding in report.findings), report.findings
