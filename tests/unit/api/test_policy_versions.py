"""Earlier policies: listed, read, and put in force again."""

from __future__ import annotations

import pytest

from shared.contracts.commands import AdoptPolicy, Input
from shared.contracts.opening import with_opening
from tests import journaled
from tests.builders import START, Centre, policy, queue
from tests.unit.api.conftest import WORKSPACE, World
from tests.unit.api.standin import Outcome, refuse

HOURS = {"tz": "Asia/Jakarta", "weekly": {"mon": "09:00-17:00"}, "closed_dates": []}


def described(words: str) -> dict[str, object]:
    return with_opening({**policy([queue(business_hours=HOURS)]), "description": words}, START)


@pytest.fixture
async def journal(api: World) -> None:
    """Three versions of the workspace's policy."""
    centre = Centre(described("first"), workspace=WORKSPACE)
    for words in ("second", "third"):
        centre.wait(1)
        centre.do(AdoptPolicy(policy=described(words)))
    await journaled.write(centre, api.log.journal)


def adopted(record: Input) -> Outcome:
    assert isinstance(record.command, AdoptPolicy)
    return Outcome(docs=[("policy", "current", {"version": 4, "policy": record.command.policy})])


@pytest.mark.usefixtures("journal")
async def test_versions_are_listed_newest_first_in_pages(api: World) -> None:
    first = (await api.client.get("/v1/policy/versions?limit=2", headers=api.as_("operator"))).json()
    rest = await api.client.get(
        f"/v1/policy/versions?limit=2&cursor={first['next_cursor']}", headers=api.as_("operator")
    )

    assert [each["version"] for each in first["items"]] == [3, 2]
    assert [each["version"] for each in rest.json()["items"]] == [1]
    assert rest.json()["next_cursor"] is None
    assert set(first["items"][0]) == {"version", "at", "by", "seq"}


@pytest.mark.usefixtures("journal")
async def test_what_was_adopted_before_the_journal_begins_is_not_listed_and_that_is_said(api: World) -> None:
    whole = (await api.client.get("/v1/policy/versions", headers=api.as_("operator"))).json()
    assert whole["journal_begins"] == 1
    third = whole["items"][0]["seq"]
    await api.log.journal.trim(0, third - 1)

    listed = (await api.client.get("/v1/policy/versions", headers=api.as_("operator"))).json()
    first = await api.client.get("/v1/policy/versions/1", headers=api.as_("operator"))

    assert [each["version"] for each in listed["items"]] == [3]
    assert listed["journal_begins"] == third
    assert first.status_code == 404
    assert f"begins at entry {third}" in first.json()["detail"]


@pytest.mark.usefixtures("journal")
async def test_a_version_is_read_as_it_was_written(api: World) -> None:
    answer = (await api.client.get("/v1/policy/versions/2", headers=api.as_("operator"))).json()

    assert (answer["version"], answer["policy"]["description"]) == (2, "second")
    assert "open_ms" not in answer["policy"]["queues"][0]


@pytest.mark.usefixtures("journal")
async def test_an_earlier_version_becomes_a_new_one(api: World) -> None:
    api.router.scripts[AdoptPolicy] = adopted

    answer = await api.client.post("/v1/policy/versions/1/adopt", headers=api.as_("operator"))

    assert (answer.status_code, answer.json()["version"]) == (200, 4)
    (record,) = api.router.seen
    assert isinstance(record.command, AdoptPolicy)
    assert record.command.policy["description"] == "first"
    # The opening hours are those of from now on, not of back then.
    assert record.command.policy["queues"][0]["open_ms"] != described("first")["queues"][0]["open_ms"]  # type: ignore[index]


@pytest.mark.usefixtures("journal")
async def test_what_the_engine_refuses_of_an_earlier_version_is_told(api: World) -> None:
    api.router.scripts[AdoptPolicy] = lambda record: refuse("policy_invalid", "queue 'x' still has contacts", "queues")

    answer = await api.client.post("/v1/policy/versions/1/adopt", headers=api.as_("operator"))

    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/policy-invalid")


async def test_a_version_that_the_journal_does_not_know_is_404(api: World) -> None:
    for method, path in (("GET", "/v1/policy/versions/9"), ("POST", "/v1/policy/versions/9/adopt")):
        answer = await api.client.request(method, path, headers=api.as_("operator"))
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-policy-version")
    listed = await api.client.get("/v1/policy/versions", headers=api.as_("operator"))
    assert listed.json() == {"items": [], "next_cursor": None, "journal_begins": 1}
    assert api.router.seen == []
