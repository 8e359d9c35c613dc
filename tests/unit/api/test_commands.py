"""What changes: idempotency, refusals and their problems, waiting, reading one's own writes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.router.api.access import Call
from services.router.api.problems import _REFUSALS, Problem
from services.router.feed import EntriesGone
from shared.contracts.commands import (
    AcceptOffer,
    AdoptPolicy,
    CompleteContact,
    CreateContact,
    ExtendWrapUp,
    FinishWrapUp,
    Input,
    PutAgent,
    RejectOffer,
    RequeueContact,
    SendReply,
    SetPresence,
)
from shared.log.port import LogUnavailable
from shared.vocabulary import Topic
from tests.eventually import eventually
from tests.unit.api.conftest import POLICY, WORKSPACE, World, contact_doc, world
from tests.unit.api.standin import Outcome, Script, refuse


def accepted(record: Input) -> Outcome:
    doc = contact_doc("c-ben", state="assigned", agent="ben")
    return Outcome(subject="c-ben", docs=[("contact", "c-ben", doc)])


async def test_an_accept_answers_the_contact_as_it_now_is(api: World) -> None:
    api.router.scripts[AcceptOffer] = accepted

    answer = await api.client.post("/v1/offers/o-ben/accept", headers=api.as_("ben"))

    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["agent"]) == ("assigned", "ben")
    assert answer.json()["seq"] == api.router.seq
    (record,) = [record for record in api.router.seen if isinstance(record.command, AcceptOffer)]
    assert (record.actor.role, record.actor.id) == ("agent", "ben")


async def test_the_same_key_is_the_same_command(api: World) -> None:
    api.router.scripts[AcceptOffer] = accepted
    headers = {**api.as_("ben"), "Idempotency-Key": "k1"}

    first = await api.client.post("/v1/offers/o-ben/accept", headers=headers)
    second = await api.client.post("/v1/offers/o-ben/accept", headers=headers)

    assert len(api.router.commands(AcceptOffer)) == 1
    assert second.json() == {**first.json(), "duplicate": True}


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/offers/o-ben/reject", {"reason": "other"}), ("/v1/offers/o-2/reject", {"reason": "busy"})]
)
async def test_the_same_key_for_another_request_is_refused(api: World, path: str, body: Any) -> None:
    headers = {**api.as_("ben"), "Idempotency-Key": "k1"}
    await api.client.post("/v1/offers/o-ben/reject", json={"reason": "busy"}, headers=headers)

    answer = await api.client.post(path, json=body, headers=headers)

    assert answer.status_code == 422
    assert answer.json()["type"] == "/problems/idempotency-key-reused"
    assert len(api.router.commands(RejectOffer)) == 1


async def test_two_callers_may_use_the_same_key(api: World) -> None:
    for agent in ("ana", "ben"):
        headers = {**api.as_(agent), "Idempotency-Key": "k1"}
        assert (await api.client.post("/v1/offers/o/accept", headers=headers)).status_code == 200
    assert len(api.router.commands(AcceptOffer)) == 2


def refusing(reason: str) -> Script:
    return lambda record: refuse(reason, "told why")


async def test_every_refusal_is_a_problem(api: World) -> None:
    expected = {reason: problem.status for reason, problem in _REFUSALS.items()}
    for reason, status in {**expected, "id_reused": 422, "policy_invalid": 422, "something_new": 409}.items():
        api.router.scripts[AcceptOffer] = refusing(reason)

        answer = await api.client.post("/v1/offers/o1/accept", headers=api.as_("ana"))

        assert answer.status_code == status, reason
        assert answer.headers["content-type"] == "application/problem+json"
        assert "told why" in answer.text
        if reason.startswith("offer_"):
            assert (answer.status_code, answer.json()["reason"]) == (409, reason)


async def test_a_lost_log_is_503_and_nothing_is_remembered_of_it(api: World, monkeypatch: pytest.MonkeyPatch) -> None:
    append = api.log.inputs.append

    async def fails(topic: Topic, partition: int, data: bytes) -> int:
        raise LogUnavailable("no broker")

    headers = {**api.as_("ben"), "Idempotency-Key": "k1"}
    monkeypatch.setattr(api.log.inputs, "append", fails)
    lost = await api.client.post("/v1/offers/o-ben/accept", headers=headers)
    monkeypatch.setattr(api.log.inputs, "append", append)
    again = await api.client.post("/v1/offers/o-ben/accept", headers=headers)

    assert (lost.status_code, lost.json()["type"]) == (503, "/problems/outcome-unknown")
    assert lost.headers["retry-after"] == "1"
    assert again.status_code == 200


async def test_an_answer_that_comes_while_waiting_is_not_missed(api: World) -> None:
    api.router.paused = True
    asking = [
        asyncio.ensure_future(api.client.post(f"/v1/offers/o{n}/accept", headers=api.as_("ben"))) for n in range(20)
    ]
    await eventually(lambda: len(api.router.commands(AcceptOffer)) == 20)
    api.router.paused = False

    answers = await asyncio.gather(*asking)

    assert {answer.status_code for answer in answers} == {200}


async def test_a_read_waits_for_an_own_write(api: World) -> None:
    later = api.router.seq + 1
    reading = asyncio.ensure_future(
        api.client.get(f"/v1/contacts/c-ana?min_seq={later}", headers=api.as_("supervisor"))
    )
    done, _ = await asyncio.wait({reading}, timeout=0.1)
    assert not done
    await api.router.publish(WORKSPACE, [("contact", "c-ana", contact_doc("c-ana", state="completed"))])

    assert (await reading).json()["state"] == "completed"


async def test_a_read_from_the_future_says_so(api: World) -> None:
    object.__setattr__(api.deps.limits, "fresh_s", 0.05)
    headers = {**api.as_("supervisor"), "X-Min-Seq": "999999"}

    answer = await api.client.get("/v1/contacts/c-ana", headers=headers)

    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/view-behind")


async def test_a_profiles_units_go_in_in_thousandths(api: World) -> None:
    body = {
        "name": "Cy",
        "languages": {"en": 5, "id": 4},
        "skills": {"billing": 3},
        "queues": ["billing"],
        "channels": ["chat"],
        "capacity": {"total": 2.5, "per_channel": {"chat": 2}, "weights": {"email": 0.5}, "parked": 0.25},
    }

    answer = await api.client.put("/v1/agents/cy", json=body, headers=api.as_("operator"))

    assert answer.status_code == 200
    (command,) = api.router.commands(PutAgent)
    assert command.capacity_total == 2500
    assert command.capacity_per_channel == {"chat": 2}, "contacts, not units"
    assert command.capacity_weights == {"email": 500}
    assert command.capacity_parked == 250
    assert command.languages == {"en": 5, "id": 4}
    bad = await api.client.put("/v1/agents/a%20b", json=body, headers=api.as_("operator"))
    assert bad.json()["errors"][0]["field"] == "path.agent"


async def test_seconds_become_milliseconds(api: World) -> None:
    headers = api.as_("ana")
    await api.client.post("/v1/offers/o1/reject", json={"retry_after_s": 30}, headers=headers)
    await api.client.post("/v1/agents/ana/wrap-up", json={"extend_s": 60}, headers=headers)
    await api.client.post("/v1/agents/ana/wrap-up", json={"finish": True, "code": "solved"}, headers=headers)
    both = await api.client.post("/v1/agents/ana/wrap-up", json={"finish": True, "extend_s": 1}, headers=headers)

    assert api.router.commands(RejectOffer)[0].retry_after == 30_000
    assert api.router.commands(ExtendWrapUp)[0].extend == 60_000
    assert api.router.commands(FinishWrapUp)[0].code == "solved"
    assert both.json()["errors"][0]["field"] == "extend_s"


async def test_presence(api: World) -> None:
    body = {"presence": "away", "next": "offline", "channels": {"chat": False}}

    answer = await api.client.put("/v1/agents/ana/presence", json=body, headers=api.as_("ana"))

    assert answer.status_code == 200
    (command,) = api.router.commands(SetPresence)
    assert (command.presence, command.next_presence, command.channels) == ("away", "offline", {"chat": False})


async def test_kinds_of_the_policys_own_are_switched_and_used_like_the_built_in_ones(api: World) -> None:
    def adopted(record: Input) -> Outcome:
        assert isinstance(record.command, AdoptPolicy)
        return Outcome(docs=[("policy", "current", {"version": 2, "policy": record.command.policy})])

    api.router.scripts[AdoptPolicy] = adopted
    body = {"presence": "available", "channels": {"voice": False, "chat": True}}
    as_ana = api.as_("ana")
    early = await api.client.put("/v1/agents/ana/presence", json=body, headers=as_ana)
    own = {"own_kinds": ["voice"], "channels": [{"kind": "voice", "account": "hotline", "queue": "billing"}]}
    put = await api.client.put("/v1/policy", json={**POLICY, **own}, headers=api.as_("operator"))

    late = await api.client.put("/v1/agents/ana/presence", json=body, headers=as_ana)
    other = await api.client.put("/v1/agents/ana/presence", json={**body, "channels": {"fax": True}}, headers=as_ana)
    await api.client.post("/v1/contacts", json={"channel": "voice"}, headers=api.as_("adapter"))

    assert (early.status_code, put.status_code, late.status_code, other.status_code) == (422, 200, 200, 422)
    (command,) = api.router.commands(SetPresence)
    assert command.channels == {"voice": False, "chat": True}
    assert early.json()["errors"] == [{"field": "channels.voice", "detail": "there is no kind of channel 'voice'"}]
    assert other.json()["errors"][0]["field"] == "channels.fax"
    (created,) = api.router.commands(CreateContact)
    assert (created.channel, created.account) == ("voice", "hotline")


async def test_work_without_a_message(api: World) -> None:
    def created(record: Input) -> Outcome:
        return Outcome(subject="c-new", docs=[("contact", "c-new", contact_doc("c-new", state="scheduled"))])

    api.router.scripts[CreateContact] = created
    body = {
        "channel": "email",
        "customer": {"id": "Ana@Example.org", "name": "A"},
        "text": "please call",
        "scheduled_at": "2030-01-01T10:00:00+07:00",
    }

    answer = await api.client.post("/v1/contacts", json=body, headers=api.as_("adapter"))

    assert (answer.status_code, answer.json()["id"]) == (201, "c-new")
    (command,) = api.router.commands(CreateContact)
    assert command.account == "support"
    assert command.scheduled_at == 1_893_466_800_000
    assert "example" not in repr(command).lower()
    assert b"please call" in (await api.log.content.get(WORKSPACE, command.content_ref) or b"")
    assert b"ana@example.org" in (await api.log.content.get(WORKSPACE, f"a:{command.customer}") or b"")
    no_zone = await api.client.post(
        "/v1/contacts", json={**body, "scheduled_at": "2030-01-01T10:00:00"}, headers=api.as_("adapter")
    )
    assert no_zone.json()["errors"][0]["field"] == "scheduled_at"


async def test_a_reply_lies_in_the_content_store_before_it_is_sent(api: World) -> None:
    stored: list[bytes | None] = []

    def sent(record: Input) -> Outcome:
        return Outcome(subject="m-1")

    api.router.scripts[SendReply] = sent
    headers = {**api.as_("ana"), "Idempotency-Key": "k1"}

    first = await api.client.post("/v1/contacts/c-ana/messages", json={"text": "hello"}, headers=headers)
    second = await api.client.post("/v1/contacts/c-ana/messages", json={"text": "hello"}, headers=headers)
    other = await api.client.post("/v1/contacts/c-ana/messages", json={"text": "bye"}, headers=headers)

    (command,) = api.router.commands(SendReply)
    stored.append(await api.log.content.get(WORKSPACE, command.content_ref))
    assert stored == [b'{"text":"hello","author":"ana","author_name":"Ana"}']
    assert (first.status_code, first.json()["id"]) == (201, "m-1")
    assert (second.status_code, second.json()["duplicate"]) == (200, True)
    assert other.status_code == 422


async def test_another_text_under_a_key_never_replaces_an_undecided_reply(api: World) -> None:
    api.router.paused = True
    headers = {**api.as_("ana"), "Idempotency-Key": "k1"}
    first = await api.client.post("/v1/contacts/c-ana/messages?wait=0", json={"text": "one"}, headers=headers)
    second = await api.client.post("/v1/contacts/c-ana/messages?wait=0", json={"text": "two"}, headers=headers)

    assert (first.status_code, second.status_code) == (202, 422)
    ref = f"r:{first.json()['command_id']}"
    assert b"one" in (await api.log.content.get(WORKSPACE, ref) or b"")


async def test_the_transcript_has_the_texts(api: World) -> None:
    lines = [
        {"id": "m1", "direction": "customer", "ref": "m:1", "at": "2030-01-01T00:00:00.000Z", "kind": "message"},
        {"id": "m2", "direction": "agent", "ref": "r:2", "at": "2030-01-01T00:00:01.000Z", "status": "queued"},
        {"id": "m3", "direction": "customer", "ref": "m:3", "at": "2030-01-01T00:00:02.000Z", "kind": "message"},
    ]
    await api.router.publish(WORKSPACE, [("messages", "c-ana", {"contact": "c-ana", "messages": lines})])
    body = b'{"text":"hi","subject":"S","html":"<script>","sender":{"name":"Cust"},"attachments":[]}'
    await api.log.content.put(WORKSPACE, "m:1", body, owner="a1")
    await api.log.content.put(WORKSPACE, "r:2", b'{"text":"yes","author":"ana","author_name":"Ana"}', owner="a1")

    answer = (await api.client.get("/v1/contacts/c-ana/messages", headers=api.as_("ana"))).json()

    assert [(line["text"], line.get("author_name")) for line in answer["items"]] == [
        ("hi", "Cust"),
        ("yes", "Ana"),
        (None, None),
    ]
    assert answer["items"][2]["erased"] is True
    assert "html" not in answer["items"][0]
    page = (await api.client.get("/v1/contacts/c-ana/messages?limit=2", headers=api.as_("ana"))).json()
    rest = await api.client.get(f"/v1/contacts/c-ana/messages?cursor={page['next_cursor']}", headers=api.as_("ana"))
    assert [line["id"] for line in rest.json()["items"]] == ["m3"]
    bad = await api.client.get("/v1/contacts/c-ana/messages?cursor=x", headers=api.as_("ana"))
    assert bad.status_code == 422


async def test_completing_keeps_the_note_out_of_the_command(api: World) -> None:
    body = {"wrap_up_code": "solved", "note": "customer was kind"}

    answer = await api.client.post("/v1/contacts/c-ana/complete", json=body, headers=api.as_("ana"))

    assert answer.status_code == 200
    (command,) = api.router.commands(CompleteContact)
    assert command.wrap_up_code == "solved"
    assert b"kind" in (await api.log.content.get(WORKSPACE, command.note_ref) or b"")


async def test_a_repeat_is_answered_although_the_contact_is_no_longer_ones_own(api: World) -> None:
    def requeued(record: Input) -> Outcome:
        return Outcome(subject="c-ana", docs=[("contact", "c-ana", contact_doc("c-ana"))])

    api.router.scripts[RequeueContact] = requeued
    headers = {**api.as_("ana"), "Idempotency-Key": "k1"}
    first = await api.client.post("/v1/contacts/c-ana/requeue", headers=headers)
    again = await api.client.post("/v1/contacts/c-ana/requeue", headers=headers)
    anew = await api.client.post("/v1/contacts/c-ana/requeue", headers=api.as_("ana"))

    assert (first.status_code, again.status_code, anew.status_code) == (200, 200, 404)


async def test_a_repeat_is_answered_although_what_it_did_is_seen_before_its_answer(
    api: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def requeued(record: Input) -> Outcome:
        return Outcome(subject="c-ana", docs=[("contact", "c-ana", contact_doc("c-ana"))])

    api.router.scripts[RequeueContact] = requeued
    headers = {**api.as_("ana"), "Idempotency-Key": "k1"}
    await api.client.post("/v1/contacts/c-ana/requeue", headers=headers)
    looks: list[str] = []
    is_repeat = Call.is_repeat

    async def not_yet(call: Call, command_id: str) -> bool:
        looks.append(command_id)
        return len(looks) > 2 and await is_repeat(call, command_id)

    monkeypatch.setattr(Call, "is_repeat", not_yet)
    again = await api.client.post("/v1/contacts/c-ana/requeue", headers=headers)

    assert again.status_code == 200
    assert len(looks) == 3


async def test_a_history_whose_beginning_was_deleted_is_not_told_by_halves() -> None:
    async def gone(_: str, contact: str, seqs: list[int]) -> list[dict[str, Any]]:
        raise EntriesGone("entry 4 was deleted: the journal begins at entry 7")

    async with world(history=gone) as made:
        for path, who in (("history", "ana"), ("explain", "supervisor")):
            answer = await made.client.get(f"/v1/contacts/c-ana/{path}", headers=made.as_(who))
            assert (answer.status_code, answer.json()["type"]) == (410, "/problems/history-trimmed")
            assert "begins at entry 7" in answer.json()["detail"]


async def test_history_is_in_order_with_public_ids(api: World) -> None:
    answer = (await api.client.get("/v1/contacts/c-ana/history", headers=api.as_("ana"))).json()

    assert answer["items"] == [
        {"contact": "c-ana", "id": "0:3:0", "seq": 3, "type": "ContactQueued", "at": "1970-01-01T00:00:03.000Z"},
        {"contact": "c-ana", "id": "0:5:0", "seq": 5, "type": "ContactQueued", "at": "1970-01-01T00:00:05.000Z"},
    ]


async def test_lists_go_page_by_page(api: World) -> None:
    seen: list[str] = []
    cursor = ""
    while True:
        path = f"/v1/contacts?limit=2&cursor={cursor}"
        answer = (await api.client.get(path, headers=api.as_("supervisor"))).json()
        seen += [contact["id"] for contact in answer["items"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert seen == ["c-ana", "c-ben", "c-waiting"]
    filtered = await api.client.get("/v1/contacts?state=assigned&channel=chat:web", headers=api.as_("supervisor"))
    assert [contact["id"] for contact in filtered.json()["items"]] == ["c-ana"]


def test_every_problem_has_its_own_slug() -> None:
    slugs = [problem.slug for problem in _all_problems()]
    assert len(slugs) == len(set(slugs))


def _all_problems() -> list[type[Problem]]:
    found: list[type[Problem]] = [Problem]
    for problem in found:
        found.extend(problem.__subclasses__())
    return found
