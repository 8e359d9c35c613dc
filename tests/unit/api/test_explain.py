"""`GET /v1/contacts/{contact}/explain`: a real journal behind it, read as a serving process reads it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.router.adoptions import Adoption, Adoptions
from services.router.bystanders import CannotExplain, agents_at, agents_now
from services.router.journals import Journals
from shared.contracts.commands import AdoptPolicy
from shared.contracts.events import PolicyAdopted
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
    ways = {"history": journals.history, "adoptions": journals.adoptions, "bystanders": bystanders}
    async with world(**{**ways, **changes}) as api:
        document = contact_doc(contact.id, state=contact.state.value, _seqs=list(contact.seqs))
        version = {"version": centre.ws.policy_version, "policy": centre.ws.policy_document, "seq": policy_seq(centre)}
        await api.router.publish(WORKSPACE, [("contact", contact.id, document), ("policy", "current", version)])
        yield api, f"/v1/contacts/{contact.id}/explain"


def policy_seq(centre: Centre) -> int:
    """The entry that put the policy in force."""
    return max(
        played.seq
        for played in centre.history
        for decided in played.decided
        if any(isinstance(event, PolicyAdopted) for event in decided.events)
    )


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


def under_two_policies() -> Centre:
    """A step and a decision under one policy, another decision under the next, where both say something else."""
    centre = centre_of(strategy="least_active", steps=[{"after_s": 20, "drop_language": True}], retry_delay_s=60)
    centre.staff(agent("ana"), agent("ben", languages={"en": 5}))
    centre.write(language="de")
    centre.wait(30)
    centre.decline("ana")
    later = queue("billing", strategy="best_skill", steps=[{"after_s": 5, "any_agent": True}])
    centre.do(AdoptPolicy(policy=policy([later])))
    centre.wait(60)
    return centre


async def test_names_are_those_of_the_policy_that_ruled_at_the_decision() -> None:
    async with explaining(under_two_policies()) as (api, path):
        answer = await api.client.get(path, headers=api.as_("supervisor"))

    first, second = answer.json()["decisions"]
    assert [first["policy_version"], second["policy_version"]] == [1, 2]
    assert [each["by"] for each in first["considered"][0]["score"]][2:] == [
        "least_active",
        "longest_idle",
        "fixed_order",
    ]
    assert [change["what"] for change in first["before"]][1] == "step 1 of billing, after 20 s: any language will do"
    assert [each["by"] for each in second["considered"][0]["score"]][2:] == [
        "best_skill",
        "longest_idle",
        "fixed_order",
    ]


async def test_of_a_policy_that_the_journal_has_forgotten_the_numbers_are_told_without_names() -> None:
    centre = under_two_policies()

    class Forgetful(Adoptions):
        async def of(self, workspace: str) -> list[Adoption]:
            return [each for each in await super().of(workspace) if each.version > 1]

    forgetful = Forgetful(MemoryLog(journaled.store_of(centre)).journal, 0)
    async with explaining(centre, adoptions=lambda _: forgetful) as (api, path):
        answer = await api.client.get(path, headers=api.as_("supervisor"))

    first, second = answer.json()["decisions"]
    assert [each["by"] for each in first["considered"][0]["score"]] == ["declines", None, None, None, None]
    assert [change["what"] for change in first["before"]][1] == "step 1 of billing holds"
    assert second["considered"][0]["score"][2]["by"] == "best_skill"


async def test_the_journal_is_not_read_for_what_happened_under_the_policy_in_force() -> None:
    def unasked(_: str) -> Adoptions:
        class Unread(Adoptions):
            async def of(self, workspace: str) -> list[Adoption]:
                raise AssertionError("nothing happened before this policy")

        return Unread(MemoryLog().journal, 0)

    async with explaining(declined_once(), adoptions=unasked) as (api, path):
        answer = await api.client.get(path, headers=api.as_("supervisor"))

    assert answer.json()["decisions"][0]["considered"][0]["score"][2]["by"] == "longest_idle"


async def test_nobody_elses_contact_is_explained() -> None:
    async with explaining(declined_once()) as (api, path):
        stranger = {"Authorization": f"Bearer {api.keys['stranger'].token}"}
        assert (await api.client.get(path, headers=stranger)).status_code == 404
        assert (await api.client.get(path, headers=api.as_("ana"))).status_code == 403
        missing = await api.client.get("/v1/contacts/nobody/explain", headers=api.as_("supervisor"))
        assert missing.json()["type"] == "/problems/unknown-contact"
