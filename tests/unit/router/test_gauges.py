"""What is looked at every few seconds."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from services.router.gauges import Gauges
from services.router.snapshot import FORMAT
from shared.contracts import commands as cmd
from shared.log.memory import Call, Faults, MemoryStore
from shared.views.memory import MemoryViews
from tests.builders import ADAPTER, message
from tests.unit.router.test_partition import Deaf, two
from tests.unit.router.test_perform import QUICK, Seat
from tests.unit.router.test_replica import HandClock, open_for_work, put


async def test_a_journal_that_begins_behind_its_newest_snapshot_is_told_of() -> None:
    store, clock = MemoryStore(), HandClock()
    open_for_work(store)
    seat = await Seat(store, MemoryViews(), clock, "one").start()
    gauges = Gauges(seat.metrics, seat.replica.log, clock, lambda: [seat.router])
    seat.router.ready.set()

    async def gap() -> float | None:
        await gauges.look()
        return seat.metrics.registry.get_sample_value("switchdesk_journal_gap_records", {"partition": "0"})

    await seat.lead()
    assert await gap() == 0
    store.journal_start[0] = 2
    assert await gap() == 2, "there is no snapshot at all"
    await seat.replica.save_snapshot()
    assert await gap() == 0
    for name in ("c1", "c2", "c3"):
        put(store, message(name), by=ADAPTER)
        await seat.work()
    put(store, cmd.FreezeQueue(queue="general", frozen=True))
    await seat.work()
    store.journal_start[0] = len(store.journal[0])
    assert (await gap() or 0) == len(store.journal[0]) - seat.replica.snapshot_offset - 1 > 0

    store.journal_start[0] = 0
    again = await Seat(store, MemoryViews(), clock, "two").start()
    assert again.replica.snapshot_offset == seat.replica.snapshot_offset


async def test_that_messages_are_left_in_the_log_is_told_by_who_leads() -> None:
    store, clock = MemoryStore(), HandClock()
    open_for_work(store)
    seat = await Seat(store, MemoryViews(), clock, "one", settings=replace(QUICK, max_open=1)).start()
    gauges = Gauges(seat.metrics, seat.replica.log, clock, lambda: [seat.router])
    seat.router.ready.set()

    async def held() -> float | None:
        await gauges.look()
        return seat.metrics.registry.get_sample_value("switchdesk_messages_held", {"partition": "0"})

    await seat.lead()
    assert await held() == 0
    for name in ("c1", "c2"):
        put(store, message(name), by=ADAPTER)
    for _ in range(3):
        await seat.replica.step()
    assert await held() == 1
    seat.replica.leading = False
    assert await held() == 0


async def test_a_standby_knows_of_a_trimmed_journal_that_the_leader_has_saved_what_it_needs() -> None:
    leader, standby = await two(Faults())
    assert standby.replica.snapshot_offset == -1, "it began with the journal's first entry"
    for name in ("c1", "c2", "c3"):
        put(leader.replica.log.store, message(name), by=ADAPTER)  # type: ignore[attr-defined]  # a log in memory
        await leader.work()
        await standby.turn()
        await leader.replica.save_snapshot()
    older = await leader.log.snapshots.load_newest_valid(0, format=FORMAT, before=leader.replica.snapshot_seq)
    assert older is not None
    await leader.log.journal.trim(0, older.offset)
    gauges = Gauges(standby.metrics, standby.log, standby.clock, lambda: [standby.router])
    await gauges.look()
    value = standby.metrics.registry.get_sample_value
    assert value("switchdesk_journal_gap_records", {"partition": "0"}) == 0
    assert standby.replica.snapshot_seq == leader.replica.snapshot_seq


async def test_what_the_log_does_not_tell_now_is_not_told() -> None:
    faults = Deaf()
    leader, standby = await two(faults)
    value = standby.metrics.registry.get_sample_value

    async def content_lag(partition: int) -> int:
        await faults.before(Call("content lag", partition))
        return 7

    gauges = Gauges(standby.metrics, standby.log, standby.clock, lambda: [standby.router], content_lag)

    async def told() -> dict[str, float]:
        await gauges.look()
        found: dict[str, float] = {}
        for name in ("journal_lag_records", "journal_gap_records", "inputs_lag", "content_lag_records"):
            topic = {"topic": "commands"} if name == "inputs_lag" else {}
            if (told := value(f"switchdesk_{name}", {"partition": "0", **topic})) is not None:
                found[name] = told
        return found

    assert await told() == {"journal_lag_records": 0, "journal_gap_records": 0, "inputs_lag": 0}
    faults.away.add("journal.bounds")
    await leader.turn()
    assert await told() == {"inputs_lag": 0}
    faults.away = {"inputs.end"}
    assert await told() == {"journal_lag_records": 0, "journal_gap_records": 0}
    faults.away = set()
    assert await told() == {"journal_lag_records": 0, "journal_gap_records": 0, "inputs_lag": 0}

    await leader.replica.stop()
    await standby.turn()
    await standby.lead()
    assert (await told())["content_lag_records"] == 7
    faults.away.add("content lag")
    assert "content_lag_records" not in await told()
    faults.away.clear()
    assert "content_lag_records" in await told()
    await standby.replica.stop()
    assert "content_lag_records" not in await told(), "only who leads looks at it"


async def test_a_partition_that_does_not_run_here_any_more_leaves_no_figure_of_its_replica_behind() -> None:
    """Alerts take the least of what engines tell: an old figure of one would hide the trouble of all others."""
    leader, standby = await two(Faults())
    running = [leader.router]

    async def content_lag(partition: int) -> int:
        return 0

    gauges = Gauges(leader.metrics, leader.log, leader.clock, lambda: running, content_lag)

    async def told() -> set[str]:
        await gauges.look()
        samples = (sample for metric in leader.metrics.registry.collect() for sample in metric.samples)
        return {sample.name for sample in samples if sample.labels.get("partition") == "0"}

    of_the_replica = {
        "switchdesk_journal_seq",
        "switchdesk_journal_lag_records",
        "switchdesk_journal_gap_records",
        "switchdesk_snapshot_age_entries",
        "switchdesk_messages_held",
        "switchdesk_inputs_lag",
        "switchdesk_content_lag_records",
    }
    lasting = ("leading", "replicas", "replicas_differ", "partition_stopped", "partition_outdated")
    gauges_of_partitions = {f"switchdesk_{name}" for name in lasting}
    assert await told() >= of_the_replica
    listed = {each.name for each in leader.metrics.catalogue if each.kind == "gauge" and "partition" in each.labels}
    assert listed == of_the_replica | gauges_of_partitions, "a new one is of the replica, or stays true without it"

    stopping = asyncio.Event()
    stopping.set()
    await leader.router.run(stopping)
    running.clear()
    assert not await told() & of_the_replica
    assert leader.metrics.registry.get_sample_value("switchdesk_leading", {"partition": "0"}) == 0

    running.append(standby.router)
    assert "switchdesk_journal_lag_records" in await told(), "it may come back"
