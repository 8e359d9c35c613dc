"""What is looked at every few seconds."""

from __future__ import annotations

from services.router.gauges import Gauges
from shared.contracts import commands as cmd
from shared.log.memory import MemoryStore
from shared.views.memory import MemoryViews
from tests.builders import ADAPTER, message
from tests.unit.router.test_perform import Seat
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
