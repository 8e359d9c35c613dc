"""`GET /v1/contacts/{contact}/explain`: a real journal behind it, read as a serving process reads it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.router.bystanders import CannotExplain, agents_at, agents_now
from services.router.journals import Journals
from shared.log.memory import MemoryLog
from tests import journaled
from tests.builders import Centre, agent, policy, queue
from tests.unit.api.conftest import WORKSPACE, World, contact_doc, world

Place = tuple[int, int] | None


def centre_of(**rules: Any) -> Centre:
    return Centre(policy([queue("billing", **rules)]), workspace=WORKSPACE)


@asynccontextmanager
async def explaining(centre: Centre, **changes: Any) -> AsyncIterator[tuple[World, str]]:
    """The API over what the centre played, and the address of its contact's explanation."""
    log = MemoryLog(journaled.store_of(centre))

    async def bystanders(partition: int, workspace: str, contact: str, place: Place) -> Mapping[str, Any]:
        if place is None:
            return await agents_now(log, partition, workspace, contact)
        return (await agents_at(log, partition, workspace, contact, [place]))[0]

    contact = centre.contact()
    journals = Journals(log.journal, lambda _: 0)
    async with world(**{"history": journals.history, "bystanders": bystanders, **changes}) as api:
        document = contact_doc(contact.id, state=contact.state.value, _seqs=list(contact.seqs))
        version = {"version": centre.ws.policy_version, "policy": centre.ws.policy_document, "seq": 2}
        await api.router.publish(WORKSPACE, [("contact", contact.id, document), ("policy", "current", version)])
        yield api, f"/v1/contacts/{contact.id}/explain"


def declined_once() -> Centre:
    centre = centre_of()
    centre.staff(agent("ana"), agent("ben"), agent("cay", channels=("email",)))
    centre.write()
    centre.decline("ana")
    return centre


@pytest.mark.parametrize("who", ["supervisor", "operator"])
async def test_every_decision_is_told_with_named_scores_and_what_led_to_it(who: str) -> None:
    async with explaining(declined_once()) as (api, path):
        answer = await api.client.get(path, headers=api.as_(who))

    assert answer.status_code == 200
    first, second = answer.json()["decisions"]
    assert (first["decision"], first["agent"], first["strategy"], first["step"]) == (1, "ana", "longest_idle", 0)
    assert first["excluded_classes"] == {"channel": 1}
    assert first["considered"][0]["score"][0] == {"by": "declines", "value": 0}
    assert [each["by"] for each in first["considered"][0]["score"]][2] == "longest_idle"
    assert second["agent"] == "ben"
    assert [change["what"] for change in second["before"]] == ["ana declined (busy)"]
    assert answer.json()["agents"] is None


async def test_one_decision_with_everybody_who_was_there() -> None:
    async with explaining(declined_once()) as (api, path):
        answer = await api.client.get(f"{path}?agents=true&decision=1", headers=api.as_("supervisor"))
        newest = await api.client.get(f"{path}?agents=true&decision=2", headers=api.as_("supervisor"))

    (decision,) = answer.json()["decisions"]
    there = answer.json()["agents"]
    assert there["id"] == decision["id"]
    assert [(each["agent"], each["why_not"]) for each in there["agents"]] == [
        ("ana", None),
        ("ben", None),
        ("cay", "channel"),
    ]
    assert there["agents"][0]["score"] == decision["considered"][0]["score"]
    # Here decliners are asked again after everybody else.
    assert [
        (each["agent"], each["score"] and each["score"][0]["value"]) for each in newest.json()["agents"]["agents"]
    ] == [
        ("ben", 0),
        ("ana", 1),
        ("cay", None),
    ]


async def test_a_contact_that_waits_is_told_who_is_out_now() -> None:
    centre = centre_of(skills={"cards": 3})
    centre.staff(agent("ana"))
    centre.write()
    async with explaining(centre) as (api, path):
        answer = await api.client.get(f"{path}?agents=true", headers=api.as_("supervisor"))

    assert answer.json()["decisions"] == []
    assert [change["type"] for change in answer.json()["since"]] == ["ContactCreated"]
    assert (answer.json()["agents"]["id"], answer.json()["agents"]["seq"]) == (None, centre.seq)
    assert [(each["agent"], each["why_not"]) for each in answer.json()["agents"]["agents"]] == [("ana", "skill")]


async def test_without_asking_for_a_decision_an_assigned_contact_shows_the_last() -> None:
    centre = declined_once()
    centre.accept("ben")
    async with explaining(centre) as (api, path):
        answer = await api.client.get(f"{path}?agents=true", headers=api.as_("supervisor"))

    assert answer.json()["agents"]["id"] == answer.json()["decisions"][1]["id"]


async def test_a_decision_that_there_was_not_is_the_askers_fault() -> None:
    async with explaining(declined_once()) as (api, path):
        for number in ("3", "0", "x"):
            answer = await api.client.get(f"{path}?decision={number}", headers=api.as_("supervisor"))
            assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid")


async def test_what_cannot_be_found_out_is_said_in_words() -> None:
    async def busy(*_: Any) -> Mapping[str, Any]:
        raise CannotExplain("another such question is being answered; ask again in a moment")

    for bystanders, words in ((None, "no way to read the log"), (busy, "ask again in a moment")):
        async with explaining(declined_once(), bystanders=bystanders) as (api, path):
            plain = await api.client.get(path, headers=api.as_("supervisor"))
            answer = await api.client.get(f"{path}?agents=true", headers=api.as_("supervisor"))
        assert plain.status_code == 200
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/cannot-explain")
        assert words in answer.json()["detail"]


async def test_nobody_elses_contact_is_explained() -> None:
    async with explaining(declined_once()) as (api, path):
        stranger = {"Authorization": f"Bearer {api.keys['stranger'].token}"}
        assert (await api.client.get(path, headers=stranger)).status_code == 404
        assert (await api.client.get(path, headers=api.as_("ana"))).status_code == 403
        missing = await api.client.get("/v1/contacts/nobody/explain", headers=api.as_("supervisor"))
        assert missing.json()["type"] == "/problems/unknown-contact"
