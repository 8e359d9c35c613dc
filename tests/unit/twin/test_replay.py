"""A day out of a journal: what is read from it, and what another policy would have changed."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from services.router import cli
from services.router.twin.day import UnreadableDay
from services.router.twin.play import Case
from services.router.twin.recorded import Recorded
from services.router.twin.replay import changes, recorded, replayed
from shared.contracts import commands as cmd
from shared.log.memory import MemoryLog
from shared.log.sqlite import SqliteLog
from tests import journaled
from tests.builders import WORKSPACE, Centre, account_of, acting, agent, policy, presence, queue, reach

MORNING = 8 * 3_600_000


def centre_with(*agents: cmd.PutAgent) -> Centre:
    centre = Centre(policy([queue(target_s={"chat": 60})]))
    centre.staff(*agents)
    return centre


async def day_of(centre: Centre, workspace: str | None = None, day: date | None = None) -> Recorded:
    return await recorded(MemoryLog(journaled.store_of(centre)), 0, workspace, day)


def busy_day() -> Centre:
    """Two customers write at once; ana takes 100 s for the first, the second waits, a third does not stay."""
    centre = centre_with(agent("ana", languages={"en": 4}))
    centre.wait(60)
    centre.write("c1", language="en")
    centre.write("c2", language="en")
    centre.accept("ana", "c1")
    centre.wait(30)
    centre.write("c3", language="en")
    centre.wait(20)
    centre.do(cmd.AbandonContact(contact=centre.id_of("c3")))
    centre.wait(50)
    centre.complete("ana", "c1")
    centre.accept("ana", "c2")
    centre.wait(45)
    centre.complete("ana", "c2")
    centre.wait(600)
    centre.do(presence("ana", "offline"), by=acting("ana"))
    return centre


async def test_arrivals_work_patience_and_shifts_are_read_from_the_journal() -> None:
    found = await day_of(busy_day())
    first, second, third = found.day.arrivals
    assert [each.at for each in found.day.arrivals] == [MORNING + 60_000, MORNING + 60_000, MORNING + 90_000]
    # Level 4 is nine tenths as fast as can be.
    assert first.work == pytest.approx(90.0)
    assert second.work == pytest.approx(40.5)
    assert third.patience == 20_000
    assert (first.patience or 0) >= 0
    assert (second.patience or 0) >= 100_000
    [ana] = found.day.agents
    assert ana.shifts == ((MORNING, MORNING + 805_000),)
    assert ana.languages == {"en": 0.9}
    assert found.day.config.sl_target_s == {"chat": 60.0}


async def test_the_day_as_it_was_and_as_it_is_played() -> None:
    found = await day_of(busy_day())
    was = found.as_it_was
    assert [case.answered for case in was.cases] == [MORNING + 60_000, MORNING + 160_000, None]
    assert was.cases[2].left == MORNING + 110_000
    assert was.busy == {"ana": 145_000}
    again = replayed(found, None)
    assert [(case.answered, case.left) for case in again.cases] == [(case.answered, case.left) for case in was.cases]
    assert again.busy == was.busy


async def test_contacts_held_at_once_are_slower_and_their_work_is_told_apart() -> None:
    """Beside another one a contact takes 1.25 times as long: 50 s alone and 50 beside the other are 90 s of work."""
    centre = centre_with(agent("ana", languages={"en": 5}, capacity=2.0))
    centre.write("c1", language="en")
    centre.accept("ana", "c1")
    centre.wait(50)
    centre.write("c2", language="en")
    centre.accept("ana", "c2")
    centre.wait(50)
    centre.complete("ana", "c1")
    centre.complete("ana", "c2")
    found = await day_of(centre)
    assert [each.work for each in found.day.arrivals] == [pytest.approx(90.0), pytest.approx(40.0)]
    assert [case.answered for case in replayed(found, None).cases] == [MORNING, MORNING + 50_000]


async def test_a_customer_came_by_the_channel_that_they_waited_on() -> None:
    """Also when the agent goes on with them by another one."""
    centre = centre_with(agent("ana", languages={"en": 5}))
    centre.write("c1", language="en", customer="kim", reach=(reach("email", "kim"),))
    centre.accept("ana", "c1")
    centre.wait(10)
    by_mail = cmd.TransferContact(contact=centre.id_of("c1"), channel="email", account=account_of("email"))
    centre.do(by_mail, by=acting("ana"))
    centre.wait(10)
    centre.complete("ana", "c1")
    [arrival] = (await day_of(centre)).day.arrivals
    assert arrival.channel == "chat"
    assert arrival.work == pytest.approx(20.0)


async def test_another_policy_changes_something_for_somebody() -> None:
    """Two wait for ana, the later one with priority: first come, first served takes the other one first."""
    centre = centre_with(agent("ana", languages={"en": 5}))
    centre.write("c0", language="en")
    centre.accept("ana", "c0")
    centre.wait(10)
    centre.write("c1", language="en")
    centre.write("c2", language="en", priority=5)
    centre.wait(10)
    centre.complete("ana", "c0")
    centre.accept("ana", "c2")
    centre.wait(100)
    centre.complete("ana", "c2")
    centre.accept("ana", "c1")
    centre.wait(40)
    centre.complete("ana", "c1")
    found = await day_of(centre)
    before, after = replayed(found, None), replayed(found, "fifo_longest_idle")
    by_priority = changes(before, after, lambda case: str(case.arrival.priority))
    assert (by_priority["0"].gained, by_priority["0"].lost, by_priority["0"].sooner) == (1, 0, 1)
    assert (by_priority["5"].gained, by_priority["5"].lost, by_priority["5"].later) == (0, 0, 1)
    assert changes(before, before, _channel)["chat"].sooner == 0


def _channel(case: Case) -> str:
    return case.channel


async def test_who_is_not_heard_of_is_not_on_shift() -> None:
    centre = centre_with(agent("ana"))
    centre.write("c1")
    centre.wait(100)
    centre.do(cmd.LoseLease(agent=agent("ana").agent))
    centre.wait(1000)
    centre.do(cmd.RegainLease(agent=agent("ana").agent))
    centre.wait(50)
    centre.do(presence("ana", "away"), by=acting("ana"))
    [ana] = (await day_of(centre)).day.agents
    begins = [(begin - MORNING, end - MORNING) for begin, end in ana.shifts]
    assert begins == [(0, 100_000), (1_100_000, 1_150_000)]


async def test_days_that_cannot_be_played_are_told() -> None:
    centre = busy_day()
    with pytest.raises(UnreadableDay, match="no contact in workspace 'elsewhere'"):
        await day_of(centre, "elsewhere")
    with pytest.raises(UnreadableDay, match="that day brought 0 contacts"):
        await day_of(centre, WORKSPACE, date(2030, 1, 1))
    with pytest.raises(UnreadableDay, match="the journal tells of no contact"):
        await day_of(Centre())


async def test_a_named_queue_that_the_new_policy_has_not_is_no_obstacle() -> None:
    centre = Centre(policy([queue("general"), queue("claims")]))
    profile = replace(agent("ana"), queues=("claims",), memberships=(cmd.Membership(queue="claims", tier=2),))
    centre.staff(profile)
    centre.write("c1", queue="claims")
    centre.accept("ana", "c1")
    centre.wait(10)
    centre.complete("ana", "c1")
    found = await day_of(centre)
    assert found.day.arrivals[0].queue == "claims"
    assert replayed(found, None).cases[0].answered == MORNING
    assert replayed(found, "priority_longest_idle").cases[0].answered == MORNING


async def test_the_command_line_reads_a_log_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = SqliteLog(tmp_path)
    await log.open()
    try:
        await journaled.write(busy_day(), log.journal)
        words = ["twin", "replay", "--from", str(tmp_path), "--policy", "fifo_longest_idle"]
        page = tmp_path / "page.html"
        assert await asyncio.to_thread(cli.main, [*words, "--report", "json", "--html", str(page)]) == 0
        report = json.loads(capsys.readouterr().out)
        assert list(report["policies"]) == ["policy of that day", "fifo_longest_idle", "as it was"]
        assert report["changed"]["channel"]["chat"]["n"] == 3
        assert page.exists()
        assert await asyncio.to_thread(cli.main, words) == 0
        assert "What changes for whom, by channel" in capsys.readouterr().out
    finally:
        await log.close()
