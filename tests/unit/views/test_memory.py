"""The memory views keep what every view store keeps, and keep no memory of what is over."""

from __future__ import annotations

import asyncio
import random
import tracemalloc

import pytest

from shared.views.memory import MemoryViews
from shared.views.port import Views
from shared.views.sorted_ids import SortedIds
from tests.unit.views.suite import ViewsSuite, change, deletion, publish


class TestMemoryViews(ViewsSuite):
    @pytest.fixture
    async def views(self) -> Views:
        views = MemoryViews()
        await views.begin(0, "e1")
        return views


async def test_documents_that_come_and_go_leave_no_leak() -> None:
    async def churn(views: MemoryViews, first: int, count: int) -> None:
        for seq in range(first, first + count):
            await publish(views, change(f"c{seq}", seq, text="x" * 200))
            await publish(views, deletion(f"c{seq}", seq))

    views = MemoryViews()
    await churn(views, 1, 20_000)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        await churn(views, 20_001, 20_000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    # Ten thousand deletions are remembered, at some 300 bytes each; the older ones must go as newer ones come.
    assert after - before < 5_000_000
    assert await views.list("w1", "contact") == []


async def test_waiters_and_watches_that_are_over_leave_nothing_behind() -> None:
    views = MemoryViews()
    for n in range(50):
        assert not await views.wait_for(0, 10**9 + n, 0.001)
        async with views.watch("w1", "contact", f"c{n}") as watch:
            assert not await watch.wait(0)
    given_up = [asyncio.create_task(views.wait_for(0, 5, 60)) for _ in range(50)]
    await asyncio.sleep(0)
    for task in given_up:
        task.cancel()
    await asyncio.gather(*given_up, return_exceptions=True)

    assert views.waiting == 0


async def test_views_that_were_lost_can_be_written_again() -> None:
    views = MemoryViews()
    await publish(views, change("c1", 5), deletion("c2", 6), seq=6)
    async with views.watch("w1", "contact") as watch:
        views.forget()

        assert await watch.wait(0)
    assert await views.seq(0) == 0
    assert await views.list("w1", "contact") == []

    await publish(views, change("c1", 5), change("c2", 3), seq=6)
    assert [document["id"] for document in await views.list("w1", "contact")] == ["c1", "c2"]


@pytest.mark.parametrize("seed", range(5))
def test_sorted_ids_are_a_sorted_set(seed: int) -> None:
    dice = random.Random(seed)
    ids, expected = SortedIds(), set[str]()
    for _ in range(6_000):
        id = f"{dice.randrange(4_000)}"
        if id in expected:
            ids.remove(id)
            expected.remove(id)
        else:
            ids.add(id)
            expected.add(id)

    assert list(ids.after("")) == sorted(expected)
    assert len(ids) == len(expected)
    for place in ("", "0", "1999", "27", "9999", "x", *dice.sample(sorted(expected), 20)):
        assert list(ids.after(place)) == sorted(id for id in expected if id > place)
    for id in list(expected):
        ids.remove(id)
    assert list(ids.after("")) == []
