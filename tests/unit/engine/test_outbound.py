"""Outbound messages: one attempt at a time, by the first way that works. `Centre` checks undo and folding as well."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.documents import delivery_doc, outbound_doc
from services.router.engine.outbound import LONGEST, MOST_STEPS
from services.router.engine.outbound_records import Attempt, Outbound
from services.router.snapshot import dump, load, state_hash
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import (
    AddressKey,
    AutoClass,
    ChannelHealth,
    ContactId,
    Delivery,
    MessageId,
    OutboundId,
    OutboundState,
)
from tests.builders import ADAPTER, Centre, account_of, agent, channel, contact, fallback, kinds, policy, reach
from tests.derived import derived, nothing_left, recomputed, residue

POLICY = policy(
    channels=[channel("chat", fallback=fallback("email")), channel("email"), channel("telegram")], keep_ended_s=60
)


def step(kind: str, *, to: str | None = "jane", within_s: float | None = 60, until: str = "delivered") -> Any:
    return cmd.DeliveryStep(
        channel=kind,
        account=account_of(kind),
        address=AddressKey(f"{kind}/{to}") if to is not None else None,
        until=Delivery(until),
        within=round(within_s * 1000) if within_s is not None else None,
    )


def sending(
    *route: cmd.DeliveryStep, name: str = "m1", to: ContactId | None = None, deadline_s: float | None = None
) -> cmd.SendOutbound:
    deadline = round(deadline_s * 1000) if deadline_s is not None else None
    return cmd.SendOutbound(source_key=name, content_ref=f"o:{name}", route=route, contact=to, deadline=deadline)


@pytest.fixture
def centre() -> Centre:
    return Centre(POLICY)


def send(centre: Centre, *route: cmd.DeliveryStep, **fields: Any) -> Outbound:
    """The message after it set out."""
    answer = centre.do(sending(*route, **fields), by=ADAPTER).answer
    assert answer is not None
    assert answer.refused is None, answer.refused
    assert answer.subject is not None
    return centre.ws.outbounds[OutboundId(answer.subject)]


def attempt_on(outbound: Outbound, kind: str) -> Attempt:
    (found,) = [attempt for attempt in outbound.attempts if attempt.channel == kind]
    return found


def report(centre: Centre, outbound: Outbound, kind: str, status: Delivery) -> list[str]:
    """What a report about the attempt on this kind of channel leads to."""
    attempt = attempt_on(outbound, kind)
    assert attempt.id is not None
    return kinds(centre.delivered(attempt.id, status).events)


def tried(outbound: Outbound) -> list[tuple[str, str, str]]:
    return [(attempt.channel, attempt.status, attempt.given_up) for attempt in outbound.attempts]


def test_the_first_step_is_tried_with_all_that_an_adapter_needs(centre: Centre) -> None:
    decided = centre.do(sending(step("telegram"), step("email")), by=ADAPTER, id="k")

    assert kinds(decided.events) == ["OutboundCreated", "OutboundAttempted"]
    assert decided.answer is not None
    assert decided.answer.subject == "k.0"
    attempted = centre.last(ev.OutboundAttempted)
    assert (attempted.outbound, attempted.message, attempted.step) == ("k.0", "k.1", 0)
    assert (attempted.channel, attempted.account) == ("telegram", account_of("telegram"))
    assert (attempted.address, attempted.content_ref, attempted.contact) == ("telegram/jane", "o:m1", None)
    document = delivery_doc(centre.ws, attempted.message)
    assert document is not None
    assert document["thread"] == attempted.thread
    assert (document["ref"], document["address"], document["contact"]) == ("o:m1", "telegram/jane", None)


def test_reports_move_it_on_and_end_it(centre: Centre) -> None:
    outbound = send(centre, step("telegram", until="read"), step("email"))

    assert report(centre, outbound, "telegram", Delivery.ACCEPTED) == ["DeliveryReported"]
    assert report(centre, outbound, "telegram", Delivery.DELIVERED) == ["DeliveryReported"]
    assert report(centre, outbound, "telegram", Delivery.DELIVERED) == ["CommandNoted"]
    assert outbound.state is OutboundState.PENDING
    assert report(centre, outbound, "telegram", Delivery.READ) == ["DeliveryReported", "OutboundEnded"]
    assert (outbound.state, outbound.reason) == (OutboundState.SUCCEEDED, "read")
    ended = centre.last(ev.OutboundEnded)
    assert (ended.channel, ended.message) == ("telegram", outbound.attempts[0].id)
    assert not centre.last(ev.DeliveryReported).duplicate_delivered


@pytest.mark.parametrize("status", [Delivery.FAILED, Delivery.REJECTED])
def test_a_lost_attempt_is_followed_by_the_next_at_once(centre: Centre, status: Delivery) -> None:
    outbound = send(centre, step("telegram"), step("email"))

    led_to = report(centre, outbound, "telegram", status)

    assert led_to == ["DeliveryReported", "OutboundAdvanced", "OutboundAttempted"]
    assert tried(outbound) == [("telegram", status, status), ("email", "queued", "")]
    assert report(centre, outbound, "email", status)[-1] == "OutboundEnded"
    assert (outbound.state, outbound.reason) == (OutboundState.FAILED, "exhausted")


def test_an_attempt_that_was_given_up_is_nothing_for_adapters_any_more(centre: Centre) -> None:
    outbound = send(centre, step("telegram"), step("email"))
    first = outbound.attempts[0].id
    assert first is not None

    centre.wait(59.999)
    assert delivery_doc(centre.ws, first) is not None
    events = centre.wait(0.001)

    assert kinds(events) == ["OutboundAdvanced", "OutboundAttempted"]
    assert centre.last(ev.OutboundAdvanced).reason == "no_status"
    assert delivery_doc(centre.ws, first) is None
    second = outbound.attempts[1].id
    assert second is not None
    assert delivery_doc(centre.ws, second) is not None
    report(centre, outbound, "email", Delivery.DELIVERED)
    assert delivery_doc(centre.ws, second) is None


def test_acceptance_begins_the_wait_anew_and_nothing_else_does(centre: Centre) -> None:
    outbound = send(centre, step("telegram", until="read"), step("email"))
    centre.wait(50)
    report(centre, outbound, "telegram", Delivery.ACCEPTED)
    centre.wait(50)
    report(centre, outbound, "telegram", Delivery.DELIVERED)
    assert centre.wait(9.999) == []
    assert "OutboundAttempted" in kinds(centre.wait(0.001))


def test_late_success_of_an_attempt_that_was_given_up(centre: Centre) -> None:
    outbound = send(centre, step("chat"), step("telegram"), step("email"))
    centre.wait(60)

    led_to = report(centre, outbound, "chat", Delivery.DELIVERED)

    assert led_to == ["DeliveryReported", "OutboundEnded"]
    assert centre.last(ev.DeliveryReported).duplicate_delivered
    assert outbound.attempts[0].duplicate_delivered
    assert outbound.state is OutboundState.SUCCEEDED
    assert kinds(centre.wait(50)) == [], "the customer gets it no third time"
    # What was sent meanwhile still arrives: told, and nothing is rolled back.
    assert report(centre, outbound, "telegram", Delivery.DELIVERED) == ["DeliveryReported"]
    assert tried(outbound) == [("chat", "delivered", "no_status"), ("telegram", "delivered", "")]
    assert report(centre, outbound, "chat", Delivery.READ) == ["DeliveryReported"]
    assert not centre.last(ev.DeliveryReported).duplicate_delivered, "told once"


def test_late_success_where_nothing_else_was_sent_is_no_duplicate(centre: Centre) -> None:
    centre.down("email")
    outbound = send(centre, step("telegram"), step("email"))
    centre.wait(60)
    assert (outbound.state, outbound.reason) == (OutboundState.FAILED, "exhausted")

    assert report(centre, outbound, "telegram", Delivery.DELIVERED) == ["DeliveryReported"]

    assert not centre.last(ev.DeliveryReported).duplicate_delivered
    assert outbound.state is OutboundState.FAILED


def test_a_channel_that_is_down_is_an_attempt_that_failed_at_once(centre: Centre) -> None:
    centre.down("telegram")
    outbound = send(centre, step("telegram"), step("email"))
    centre.up("telegram")

    assert tried(outbound) == [("telegram", "failed", "channel_down"), ("email", "queued", "")]
    assert outbound.attempts[0].id is None
    assert centre.last(ev.OutboundSkipped).reason == "channel_down"
    centre.wait(60)
    assert outbound.state is OutboundState.FAILED, "nobody goes back to a channel that recovered"


def test_a_full_house_moves_off_a_channel_in_entries_of_bounded_size(centre: Centre) -> None:
    centre.checked = False
    many = [send(centre, step("telegram"), step("email"), name=f"m{n}") for n in range(300)]
    done = len(centre.history)

    centre.down("telegram")

    assert all(tried(outbound)[-1] == ("email", "queued", "") for outbound in many)
    largest = max(len(d.events) for played in centre.history[done:] for d in played.decided)
    assert largest < 200
    assert {event.reason for event in centre.all(ev.OutboundAdvanced)} == {"channel_down"}
    assert derived(centre.engine.world) == recomputed(centre.engine.state)


def test_a_channel_that_a_policy_takes_away_is_as_good_as_down(centre: Centre) -> None:
    outbound = send(centre, step("telegram"), step("chat"))
    later = send(centre, step("chat"), step("telegram"), name="m2")

    centre.do(cmd.AdoptPolicy(policy=policy(keep_ended_s=60)))

    assert tried(outbound) == [("telegram", "queued", "channel_down"), ("chat", "queued", "")]
    centre.wait(60)
    assert later.skipped == ((1, "unknown_channel"),)
    assert later.state is OutboundState.FAILED


def test_the_deadline_ends_it(centre: Centre) -> None:
    outbound = send(centre, step("telegram", within_s=None), step("email"), deadline_s=90)
    without = send(centre, step("telegram", within_s=None), name="m2")

    assert kinds(centre.wait(90)) == ["OutboundEnded"]

    assert (outbound.state, outbound.reason) == (OutboundState.FAILED, "deadline")
    assert without.deadline == without.created_at + LONGEST


def test_while_nobody_leads_waits_stand_still_but_not_the_deadline(centre: Centre) -> None:
    outbound = send(centre, step("telegram"), step("email"), deadline_s=1000)
    urgent = send(centre, step("telegram"), name="m2", deadline_s=100)
    centre.wait(30)

    centre.leave_unled(500)
    centre.wait(0)

    assert (urgent.state, urgent.reason) == (OutboundState.FAILED, "deadline")
    assert len(outbound.attempts) == 1, "what was reported meanwhile is read first"
    assert centre.wait(29) == []
    assert "OutboundAttempted" in kinds(centre.wait(1))


def test_to_a_contact_where_it_can_be_reached(centre: Centre) -> None:
    found = centre.write(
        "c1", channel="chat", customer="jane", reach=(reach("email", "jane"), reach("telegram", "jane", verified=False))
    )

    outbound = send(
        centre, step("telegram", to=None), step("chat", to=None), step("email", to=None), to=found.id, deadline_s=600
    )

    assert outbound.skipped == ((0, "not_verified"),)
    here = centre.last(ev.OutboundAttempted)
    assert (here.channel, here.address, here.thread) == ("chat", found.sender, found.thread)
    assert (found.messages[-1].id, found.messages[-1].direction) == (here.message, "agent")
    centre.wait(60)
    elsewhere = centre.last(ev.OutboundAttempted)
    assert (elsewhere.channel, elsewhere.address) == ("email", "email/jane")
    assert elsewhere.thread not in (found.thread, here.thread)
    report(centre, outbound, "email", Delivery.DELIVERED)
    assert [line.status for line in found.messages[1:]] == ["queued", "delivered"]


@pytest.mark.parametrize(
    ("ways", "reason"),
    [
        ((), "no_address"),
        ((reach("email", "jane", verified=False),), "not_verified"),
        ((reach("email", "jane", consent=False),), "no_consent"),
    ],
)
def test_a_step_without_a_usable_address_is_no_attempt(
    centre: Centre, ways: tuple[cmd.Reach, ...], reason: str
) -> None:
    found = centre.write("c1", reach=ways)
    centre.down("email")

    outbound = send(centre, step("email", to=None), to=found.id)

    assert outbound.skipped == ((0, reason),)
    assert outbound.attempts == []
    assert (outbound.state, outbound.reason) == (OutboundState.FAILED, "exhausted")


def test_work_for_nobody_in_particular_has_no_address() -> None:
    centre = Centre(policy(channels=[channel("chat"), channel("callback")]))
    centre.do(contact("work"))

    outbound = send(centre, step("callback", to=None), to=centre.id_of("work"))

    assert outbound.skipped == ((0, "no_address"),)


def test_an_answer_ends_it_and_an_automatic_one_does_not(centre: Centre) -> None:
    found = centre.write("c1", channel="email", customer="jane")
    outbound = send(centre, step("email", to=None), to=found.id)
    other = send(centre, step("email"), name="m2")

    centre.write_again("away", "c1", auto=AutoClass.OUT_OF_OFFICE)
    assert outbound.state is OutboundState.PENDING
    centre.write_again("yes", "c1")

    assert (outbound.state, outbound.reason) == (OutboundState.SUCCEEDED, "answered")
    assert other.state is OutboundState.PENDING
    assert found.outbounds == ()


def test_an_answer_by_the_way_that_was_tried_belongs_to_the_contact(centre: Centre) -> None:
    found = centre.write("c1", channel="chat", customer="jane", reach=(reach("email", "jane"),))
    outbound = send(centre, step("email", to=None), to=found.id)
    attempt = centre.last(ev.OutboundAttempted)

    answer = centre.write("reply", channel="email", customer="jane", thread=attempt.thread)

    assert answer.id == found.id
    assert outbound.state is OutboundState.SUCCEEDED


def test_a_contact_is_kept_as_long_as_a_message_to_it_is_under_way(centre: Centre) -> None:
    centre.staff(agent("ana"))
    found = centre.write("c1", reach=(reach("email", "customer-of-c1"),))
    centre.handle("ana", "c1")
    outbound = send(centre, step("chat", to=None, within_s=300), step("email", to=None, within_s=300), to=found.id)

    centre.wait(300)
    assert tried(outbound)[-1] == ("email", "queued", "")
    centre.wait(300)
    assert outbound.state is OutboundState.FAILED
    centre.wait(60)

    assert not centre.ws.contacts
    assert not centre.ws.outbounds
    assert nothing_left({"world": residue(centre.engine.world)})


def test_a_report_after_the_contact_was_forgotten_still_counts(centre: Centre) -> None:
    centre.staff(agent("ana"))
    found = centre.write("c1")
    centre.handle("ana", "c1")
    centre.wait(30)
    outbound = send(centre, step("chat", to=None, until="delivered"), to=found.id)
    report(centre, outbound, "chat", Delivery.DELIVERED)
    centre.wait(31)
    assert not centre.ws.contacts

    assert report(centre, outbound, "chat", Delivery.READ) == ["DeliveryReported"]

    assert outbound.attempts[0].status == "read"
    assert centre.last(ev.DeliveryReported).contact is None
    centre.wait(60)
    assert not centre.ws.attempts


def test_ended_ones_are_forgotten_and_their_attempts_with_them(centre: Centre) -> None:
    outbound = send(centre, step("telegram"))
    attempt = outbound.attempts[0].id
    assert attempt is not None
    report(centre, outbound, "telegram", Delivery.DELIVERED)

    assert centre.wait(59.999) == []
    assert kinds(centre.wait(0.001)) == ["OutboundForgotten"]

    gone = cmd.ReportDelivery(message=attempt, status=Delivery.READ)
    assert centre.refused(gone, by=ADAPTER) == ("unknown_message", "message")
    assert nothing_left({"world": residue(centre.engine.world)})


def test_the_same_source_key_is_the_same_message_also_when_it_is_forgotten(centre: Centre) -> None:
    first = send(centre, step("telegram"))
    report(centre, first, "telegram", Delivery.DELIVERED)

    again = centre.do(sending(step("email")), by=ADAPTER)
    centre.wait(60)
    late = centre.do(sending(step("email")), by=ADAPTER)

    for decided in (again, late):
        assert kinds(decided.events) == ["CommandNoted"]
        assert decided.answer is not None
        assert (decided.answer.subject, decided.answer.note) == (first.id, "duplicate")
    assert not centre.ws.outbounds
    # A customer's message may well have the same key.
    assert centre.write("m1").source_key == "m1"


def test_a_command_that_comes_again_after_days_takes_no_attempts_id(centre: Centre) -> None:
    """Its answer is forgotten by then, and so is not what it made."""
    first = sending(step("telegram", within_s=None), step("email"))
    centre.do(first, by=ADAPTER, id="k")
    centre.wait(3 * 86_400)

    centre.do(sending(step("chat"), step("email"), name="m2"), by=ADAPTER, id="k")

    assert len(centre.ws.outbounds) == 2
    assert len(centre.ws.attempts) == 2
    assert not set(centre.ws.outbounds) & set(centre.ws.attempts)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (sending(), ("invalid_route", "route")),
        (sending(*[step("chat")] * (MOST_STEPS + 1)), ("invalid_route", "route")),
        (sending(step("chat"), step("email"), step("chat")), ("invalid_route", "route.2.channel")),
        (sending(step("chat"), step("fax")), ("unknown_channel", "route.1.channel")),
        (sending(step("chat", until="accepted")), ("invalid_route", "route.0.until")),
        (sending(step("chat", within_s=-1)), ("invalid_route", "route.0.within_s")),
        (sending(step("chat"), deadline_s=0), ("invalid_route", "deadline_s")),
        (sending(step("chat"), deadline_s=8 * 86_400), ("invalid_route", "deadline_s")),
        (sending(step("chat"), to=ContactId("nobody")), ("unknown_contact", "contact_id")),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name(
    centre: Centre, command: cmd.SendOutbound, expected: tuple[str, str]
) -> None:
    assert centre.refused(command, by=ADAPTER) == expected


def test_a_snapshot_holds_them(centre: Centre) -> None:
    found = centre.write("c1", reach=(reach("email", "customer-of-c1"),))
    outbound = send(centre, step("telegram", to=None), step("chat", to=None), step("email", to=None), to=found.id)
    centre.wait(60)
    report(centre, outbound, "email", Delivery.ACCEPTED)

    again = load(dump(centre.engine.state))

    assert state_hash(again) == state_hash(centre.engine.state)
    assert again.workspaces["w"].attempts == centre.ws.attempts
    assert again.workspaces["w"].outbounds == centre.ws.outbounds
    assert recomputed(again) == derived(centre.engine.world)


def test_the_document_tells_what_was_tried(centre: Centre) -> None:
    centre.down("chat")
    found = centre.write("c1", channel="email", customer="jane")
    outbound = send(centre, step("telegram", to=None), step("chat"), step("email", to=None), to=found.id)
    report(centre, outbound, "email", Delivery.DELIVERED)

    document = outbound_doc(outbound)

    assert (document["state"], document["reason"]) == ("succeeded", "delivered")
    assert document["skipped"] == [{"step": 0, "channel": f"telegram:{account_of('telegram')}", "reason": "no_address"}]
    down, sent = document["attempts"]
    assert (down["id"], down["channel"], down["status"], down["given_up"]) == (
        None,
        "chat:web",
        "failed",
        "channel_down",
    )
    assert (sent["id"], sent["step"], sent["status"], sent["given_up"]) == (
        MessageId(outbound.attempts[1].id or ""),
        2,
        "delivered",
        None,
    )


# Any life

KINDS = ("chat", "email", "telegram")
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.0, 1.0, 5.0, 20.0, 61.0])),
        st.tuples(st.sampled_from(["down", "up"]), st.sampled_from(KINDS)),
        st.tuples(
            st.just("report"),
            st.tuples(st.integers(0, 20), st.sampled_from([s for s in Delivery if s is not Delivery.QUEUED])),
        ),
        st.tuples(st.just("write"), st.none()),
        st.tuples(
            st.just("send"),
            st.tuples(
                st.booleans(),
                st.lists(
                    st.tuples(
                        st.sampled_from(KINDS), st.sampled_from(["delivered", "read"]), st.sampled_from([None, 5])
                    ),
                    min_size=1,
                    max_size=3,
                    unique_by=lambda way: way[0],
                ),
                st.sampled_from([None, 12, 40]),
            ),
        ),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(happenings)
def test_in_any_life_one_attempt_at_a_time_and_an_end_that_stays(life: list[tuple[str, Any]]) -> None:
    centre = Centre(POLICY)
    found = centre.write("c1", channel="chat", customer="jane", reach=(reach("email", "jane"),))
    for number, (what, how) in enumerate(life):
        ended = {o.id: (o.state, o.reason, o.ended_at) for o in centre.ws.outbounds.values() if o.ended_at is not None}
        tries = {o.id: len(o.attempts) for o in centre.ws.outbounds.values()}
        happen(centre, number, what, how)
        for outbound in centre.ws.outbounds.values():
            hold_to_the_rule(outbound)
            if outbound.id in ended:
                assert (outbound.state, outbound.reason, outbound.ended_at) == ended[outbound.id]
                assert len(outbound.attempts) == tries[outbound.id], "nothing more is sent"
            for name in (attempt.channel for attempt in [outbound.under_way] if attempt is not None):
                assert centre.ws.channels[f"{name}:{account_of(name)}"].state is not ChannelHealth.DOWN
        pending = [o.id for o in centre.ws.outbounds.values() if o.contact and o.state is OutboundState.PENDING]
        assert sorted(found.outbounds) == sorted(pending)


def happen(centre: Centre, number: int, what: str, how: Any) -> None:
    match what:
        case "wait":
            centre.wait(how)
        case "down":
            centre.down(how)
        case "up":
            centre.up(how)
        case "write":
            centre.write_again(f"more{number}", "c1", channel="chat", account=account_of("chat"))
        case "report":
            attempts = sorted(centre.ws.attempts)
            if attempts:
                centre.delivered(attempts[how[0] % len(attempts)], how[1])
        case "send":
            to_contact, ways, deadline_s = how
            to = centre.id_of("c1") if to_contact else None
            route = [step(k, to=None if to else "joe", until=u, within_s=w) for k, u, w in ways]
            send(centre, *route, name=f"m{number}", to=to, deadline_s=deadline_s)


def hold_to_the_rule(outbound: Outbound) -> None:
    """What is true of an outbound message at any time, said anew from what it was asked for."""
    steps = sorted([*(attempt.step for attempt in outbound.attempts), *(number for number, _ in outbound.skipped)])
    assert steps == list(range(len(steps))), "no step is left out and none comes twice"
    open_attempts = [attempt for attempt in outbound.attempts if not attempt.given_up]
    met = [
        attempt
        for attempt in outbound.attempts
        if attempt.status == "read"
        or (attempt.status == "delivered" and outbound.route[attempt.step].until is Delivery.DELIVERED)
    ]
    if outbound.state is OutboundState.PENDING:
        assert open_attempts == outbound.attempts[-1:], "one is waited for, the newest"
        assert open_attempts[0].status not in ("failed", "rejected")
        assert not met
    elif outbound.state is OutboundState.SUCCEEDED:
        assert met or outbound.reason == "answered"
    elif outbound.reason == "exhausted":
        assert not open_attempts
        assert len(steps) == len(outbound.route)
