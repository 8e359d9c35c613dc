"""Outbound messages through the API: stored before they are said, sent once, refused by the name of the field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.contracts.commands import DeliveryStep, Input, SendOutbound
from shared.ids import address_key, address_ref
from shared.vocabulary import ContactId, Delivery
from tests.unit.api.conftest import WORKSPACE, World
from tests.unit.api.standin import Outcome, refuse

BODY: dict[str, Any] = {
    "source_key": "shop:parcel:1",
    "text": "Your parcel is on its way.",
    "subject": "Parcel",
    "route": [
        {"channel": "chat", "until": "read", "within_s": 120},
        {"channel": "email", "address": "Jane@Example.org"},
    ],
    "deadline_s": 3600,
}
JANE = address_key(WORKSPACE, "email", "jane@example.org")


def outbound_doc(id: str, **fields: Any) -> dict[str, Any]:
    return {"id": id, "state": "pending", "attempts": [], "skipped": [], "_hidden": 1, **fields}


def sent(record: Input) -> Outcome:
    outbound = f"{record.id}.0"
    return Outcome(subject=outbound, docs=[("outbound", outbound, outbound_doc(outbound))])


@pytest.mark.parametrize("who", ["adapter", "supervisor", "operator"])
async def test_a_message_sets_out(api: World, who: str) -> None:
    api.router.scripts[SendOutbound] = sent

    answer = await api.client.post("/v1/outbound", json=BODY, headers=api.as_(who))

    assert answer.status_code == 201
    (record,) = api.router.seen
    assert answer.json() == {"outbound_id": f"{record.id}.0", "state": "pending", "seq": api.router.seq}
    (command,) = api.router.commands(SendOutbound)
    assert (command.source_key, command.contact, command.deadline) == ("shop:parcel:1", None, 3_600_000)
    assert command.route == (
        DeliveryStep(channel="chat", account="web", until=Delivery.READ, within=120_000),
        DeliveryStep(channel="email", account="support", address=JANE),
    )


async def test_text_and_address_lie_where_the_command_points(api: World) -> None:
    api.router.scripts[SendOutbound] = sent
    known = {"channel": "email", "account": "support", "address": "jane@example.org", "name": "Jane", "native": {}}
    content = api.deps.log.content
    await content.put(WORKSPACE, address_ref(JANE), json.dumps(known).encode(), owner=JANE)
    other = {"channel": "email", "address": "joe@example.org"}

    await api.client.post("/v1/outbound", json=BODY, headers=api.as_("adapter"))
    await api.client.post("/v1/outbound", json={**BODY, "route": [other]}, headers=api.as_("adapter"))

    command = api.router.commands(SendOutbound)[0]
    stored = await content.get(WORKSPACE, command.content_ref)
    assert stored is not None
    assert json.loads(stored) == {"text": "Your parcel is on its way.", "subject": "Parcel"}
    kept, made = [await content.get(WORKSPACE, address_ref(key)) for key in (JANE, _key_of("joe@example.org"))]
    assert kept is not None
    assert json.loads(kept)["name"] == "Jane", "what is known of a customer is left as it is"
    assert made is not None
    assert json.loads(made)["address"] == "joe@example.org"
    assert await content.erase(WORKSPACE, JANE) >= 1
    assert await content.get(WORKSPACE, command.content_ref) is None, "the text goes with its customer"


def _key_of(address: str) -> Any:
    return address_key(WORKSPACE, "email", address)


async def test_a_text_put_right_after_a_refusal_is_the_one_that_is_sent(api: World) -> None:
    api.router.scripts[SendOutbound] = lambda record: refuse("invalid_route", "no", "route.0.channel")
    await api.client.post("/v1/outbound", json=BODY, headers=api.as_("adapter"))
    api.router.scripts[SendOutbound] = sent
    await api.client.post("/v1/outbound", json={**BODY, "text": "Better."}, headers=api.as_("adapter"))

    command = api.router.commands(SendOutbound)[-1]
    stored = await api.deps.log.content.get(WORKSPACE, command.content_ref)
    assert stored is not None
    assert json.loads(stored)["text"] == "Better."


async def test_the_same_source_key_again_is_the_same_message(api: World) -> None:
    await api.router.publish(WORKSPACE, [("outbound", "o1", outbound_doc("o1", state="succeeded"))])
    api.router.scripts[SendOutbound] = lambda record: Outcome(subject="o1", note="duplicate")

    answer = await api.client.post("/v1/outbound", json=BODY, headers=api.as_("adapter"))

    assert answer.status_code == 200
    assert answer.json() == {
        "outbound_id": "o1",
        "state": "succeeded",
        "seq": api.router.seq,
        "duplicate": True,
    }


async def test_a_repeat_under_the_same_key_is_one_command(api: World) -> None:
    api.router.scripts[SendOutbound] = sent
    headers = {**api.as_("adapter"), "Idempotency-Key": "k1"}

    first = await api.client.post("/v1/outbound", json=BODY, headers=headers)
    again = await api.client.post("/v1/outbound", json=BODY, headers=headers)
    other = await api.client.post("/v1/outbound", json={**BODY, "text": "Another"}, headers=headers)

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 422)
    assert first.json()["outbound_id"] == again.json()["outbound_id"]
    assert len(api.router.commands(SendOutbound)) == 1


async def test_to_a_contact_the_text_is_its_customers(api: World) -> None:
    api.router.scripts[SendOutbound] = sent

    await api.client.post("/v1/outbound", json={**BODY, "contact_id": "c-ana"}, headers=api.as_("adapter"))

    (command,) = api.router.commands(SendOutbound)
    assert command.contact == ContactId("c-ana")
    await api.deps.log.content.erase(WORKSPACE, "a1")
    assert await api.deps.log.content.get(WORKSPACE, command.content_ref) is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"source_key": ""}, "source_key"),
        ({"text": ""}, "text"),
        ({"route": []}, "route"),
        ({"route": [{"channel": "chat"}] * 17}, "route"),
        ({"route": [{"channel": "Chat!"}]}, "route.0.channel"),
        ({"route": [{"channel": "chat", "until": "accepted"}]}, "route.0.until"),
        ({"route": [{"channel": "chat", "within_s": 0}]}, "route.0.within_s"),
        ({"route": [{"channel": "chat", "wait_s": 5}]}, "route.0.wait_s"),
        ({"deadline_s": 700_000}, "deadline_s"),
        ({"contact": "c-ana"}, "contact"),
    ],
)
async def test_a_faulty_field_is_named(api: World, changes: dict[str, Any], field: str) -> None:
    answer = await api.client.post("/v1/outbound", json={**BODY, **changes}, headers=api.as_("adapter"))

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert api.router.seen == []


@pytest.mark.parametrize(
    ("reason", "field"),
    [
        ("invalid_route", "route.1.channel"),
        ("unknown_channel", "route.0.channel"),
        ("unknown_contact", "contact_id"),
    ],
)
async def test_what_the_engine_refuses_is_the_bodys_fault(api: World, reason: str, field: str) -> None:
    api.router.scripts[SendOutbound] = lambda record: refuse(reason, "no", field)

    answer = await api.client.post("/v1/outbound", json=BODY, headers=api.as_("adapter"))

    assert answer.status_code == 422
    assert answer.json()["reason"] == reason
    assert answer.json()["errors"] == [{"field": field, "detail": "no"}]


async def test_what_became_of_it_can_be_read(api: World) -> None:
    await api.router.publish(WORKSPACE, [("outbound", "o1", outbound_doc("o1"))])

    found = await api.client.get("/v1/outbound/o1", headers=api.as_("operator"))
    missing = await api.client.get("/v1/outbound/o2", headers=api.as_("operator"))
    foreign = await api.client.get("/v1/outbound/o1", headers={"Authorization": f"Bearer {api.keys['stranger'].token}"})

    assert found.json() == {"id": "o1", "state": "pending", "attempts": [], "skipped": [], "seq": api.router.seq}
    assert (missing.status_code, foreign.status_code) == (404, 404)
    assert missing.json()["type"] == "/problems/unknown-outbound"


async def test_undecided_in_time_is_202(api: World) -> None:
    api.router.paused = True

    answer = await api.client.post("/v1/outbound?wait=0", json=BODY, headers=api.as_("adapter"))

    assert answer.status_code == 202
    assert answer.json()["state"] == "pending"
