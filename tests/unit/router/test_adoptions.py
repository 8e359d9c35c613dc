"""The policies that the journal tells of."""

from __future__ import annotations

from services.router.adoptions import Adoptions
from shared.contracts.commands import AdoptPolicy, PutAgent
from shared.log.memory import MemoryLog
from shared.vocabulary import AgentId
from tests import journaled
from tests.builders import OPERATOR, Centre, policy, queue


def described(words: str) -> dict[str, object]:
    return {**policy([queue()]), "description": words}


async def test_adoptions_are_told_newest_first_with_who_and_when() -> None:
    centre = Centre(described("first"))
    centre.do(PutAgent(agent=AgentId("ana")))
    centre.wait(60)
    centre.do(AdoptPolicy(policy=described("second")))
    log = MemoryLog()
    await journaled.write(centre, log.journal)

    found = await Adoptions(log.journal, 0).of(centre.workspace)

    assert [each.version for each in found] == [2, 1]
    assert found[0].at - found[1].at == 60_000
    assert {each.by for each in found} == {f"{OPERATOR.role}:{OPERATOR.id}"}
    assert found[0].seq > found[1].seq


async def test_a_version_is_read_as_it_was_adopted() -> None:
    centre = Centre(described("first"))
    centre.do(AdoptPolicy(policy=described("second")))
    log = MemoryLog()
    await journaled.write(centre, log.journal)
    adoptions = Adoptions(log.journal, 0)

    first = await adoptions.policy(centre.workspace, 1)
    second = await adoptions.policy(centre.workspace, 2)

    assert first is not None
    assert second is not None
    assert (first["description"], second["description"]) == ("first", "second")
    assert await adoptions.policy(centre.workspace, 3) is None


async def test_workspaces_do_not_see_each_others_policies() -> None:
    centre = Centre(described("first"))
    mine = centre.workspace
    centre.document = described("theirs")
    centre.move_to("theirs")
    log = MemoryLog()
    await journaled.write(centre, log.journal)
    adoptions = Adoptions(log.journal, 0)

    theirs = await adoptions.policy("theirs", 1)

    assert theirs is not None
    assert theirs["description"] == "theirs"
    assert [each.version for each in await adoptions.of(mine)] == [1]
    assert await adoptions.of("nobody") == []


async def test_each_question_reads_on_from_the_last() -> None:
    centre = Centre(described("first"))
    log = MemoryLog()
    adoptions = Adoptions(log.journal, 0)
    assert await adoptions.of(centre.workspace) == []

    await journaled.write(centre, log.journal)

    assert [each.version for each in await adoptions.of(centre.workspace)] == [1]
    assert [each.version for each in await adoptions.of(centre.workspace)] == [1]
