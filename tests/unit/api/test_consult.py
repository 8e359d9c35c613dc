"""Consults over HTTP: what each call becomes, who may read what, and that the note lies in the content store."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shared.contracts.commands import EndConsult, StartConsult
from shared.vocabulary import AgentId, ContactId
from tests.unit.api.conftest import WORKSPACE, World, contact_doc
from tests.unit.api.standin import Doc, refuse

C1 = ContactId("c-ana")
BEN = AgentId("ben")
NOTE = "Is this a case for disputes?"


def asked(*colleagues: str, **fields: Any) -> Doc:
    """Ana's contact, about which these colleagues are consulted."""
    consulted = [{"agent": name, "role": "consult"} for name in colleagues]
    participants = [{"agent": "ana", "role": "owner"}, *consulted]
    return ("contact", C1, contact_doc(C1, state="assigned", agent="ana", participants=participants, **fields))


async def test_the_holder_asks_a_colleague_and_the_note_is_no_part_of_the_command(api: World) -> None:
    body = {"agent": "ben", "note": NOTE}
    answer = await api.client.post("/v1/contacts/c-ana/consult", json=body, headers=api.as_("ana"))

    assert answer.status_code == 200, answer.text
    (command,) = api.router.commands(StartConsult)
    assert (command.contact, command.agent) == (C1, BEN)
    stored = await api.log.content.get(WORKSPACE, command.note_ref)
    assert stored is not None
    assert msgspec.json.decode(stored) == {"text": NOTE, "author": "ana"}


async def test_a_note_goes_with_its_customer(api: World) -> None:
    await api.client.post("/v1/contacts/c-ana/consult", json={"agent": "ben", "note": NOTE}, headers=api.as_("ana"))

    await api.log.content.erase(WORKSPACE, "a1")

    (command,) = api.router.commands(StartConsult)
    assert await api.log.content.get(WORKSPACE, command.note_ref) is None


async def test_nothing_has_to_be_said(api: World) -> None:
    answer = await api.client.post("/v1/contacts/c-ana/consult", json={"agent": "ben"}, headers=api.as_("supervisor"))

    assert answer.status_code == 200, answer.text
    assert api.router.commands(StartConsult) == [StartConsult(contact=C1, agent=BEN)]


async def test_the_same_request_again_asks_once(api: World) -> None:
    headers = {**api.as_("ana"), "Idempotency-Key": "k1"}
    for _ in range(2):
        answer = await api.client.post("/v1/contacts/c-ana/consult", json={"agent": "ben"}, headers=headers)
        assert answer.status_code == 200, answer.text

    assert len(api.router.commands(StartConsult)) == 1


@pytest.mark.parametrize("who", ["ana", "ben", "supervisor"])
async def test_either_side_ends_it(api: World, who: str) -> None:
    await api.router.publish(WORKSPACE, [asked("ben")])

    answer = await api.client.delete("/v1/contacts/c-ana/consult/ben", headers=api.as_(who))

    assert answer.status_code == 200, answer.text
    assert api.router.commands(EndConsult) == [EndConsult(contact=C1, agent=BEN)]


@pytest.mark.parametrize(
    ("reason", "slug"),
    [("not_there", "not-there"), ("too_many", "too-many-consulted"), ("wrong_state", "wrong-state")],
)
async def test_a_refusal_says_why(api: World, reason: str, slug: str) -> None:
    api.router.scripts[StartConsult] = lambda record: refuse(reason, field="agent")

    answer = await api.client.post("/v1/contacts/c-ana/consult", json={"agent": "ben"}, headers=api.as_("ana"))

    assert answer.status_code == 409
    assert answer.json()["type"] == f"/problems/{slug}"


# Who may read


@pytest.mark.parametrize("path", ["", "/history", "/messages", "/consult"])
async def test_a_colleague_reads_as_long_as_they_are_asked(api: World, path: str) -> None:
    address = f"/v1/contacts/c-ana{path}"
    assert (await api.client.get(address, headers=api.as_("ben"))).status_code == 404

    await api.router.publish(WORKSPACE, [asked("ben")])
    assert (await api.client.get(address, headers=api.as_("ben"))).status_code == 200

    await api.router.publish(WORKSPACE, [asked()])
    assert (await api.client.get(address, headers=api.as_("ben"))).status_code == 404


async def test_a_colleague_finds_it_in_their_list(api: World) -> None:
    await api.router.publish(WORKSPACE, [asked("ben")])

    listed = await api.client.get("/v1/contacts", headers=api.as_("ben"))

    assert [each["id"] for each in listed.json()["items"]] == ["c-ana", "c-ben"]
    assert listed.json()["items"][0]["participants"][1] == {"agent": "ben", "role": "consult"}


async def test_each_colleague_reads_their_own_note_and_the_owner_all(api: World) -> None:
    for name in ("ben", "cy"):
        note = msgspec.json.encode({"text": f"for {name}", "author": "ana"})
        await api.log.content.put(WORKSPACE, f"n:{name}", note, owner="a1")
    await api.router.publish(WORKSPACE, [asked("ben", "cy", _notes={"ben": "n:ben", "cy": "n:cy"})])

    seen = {}
    for who in ("ana", "ben", "supervisor"):
        answer = await api.client.get("/v1/contacts/c-ana/consult", headers=api.as_(who))
        seen[who] = {item["agent"]: item["note"] for item in answer.json()["items"]}

    both = {"ana": None, "ben": "for ben", "cy": "for cy"}
    assert seen == {"ana": both, "supervisor": both, "ben": {"ana": None, "ben": "for ben", "cy": None}}


async def test_where_a_note_lies_is_not_told(api: World) -> None:
    await api.router.publish(WORKSPACE, [asked("ben", _notes={"ben": "n:ben"})])

    for path in ("", "/consult"):
        answer = await api.client.get(f"/v1/contacts/c-ana{path}", headers=api.as_("ben"))
        assert "n:ben" not in answer.text
