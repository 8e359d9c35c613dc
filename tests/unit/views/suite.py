"""What every view store keeps. An adapter's test class inherits this and gives the fixture `views`.

They are empty, and `begin` was called for partition 0 with the epoch "e1".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from shared.views.port import Change, Views
from tests.eventually import eventually


def change(id: str = "c1", seq: int = 1, *, kind: str = "contact", workspace: str = "w1", **data: Any) -> Change:
    return Change(workspace, kind, id, seq, {"id": id, "seq": seq, **data})


def deletion(id: str = "c1", seq: int = 1, *, kind: str = "contact", workspace: str = "w1") -> Change:
    return Change(workspace, kind, id, seq, None)


async def publish(views: Views, *changes: Change, seq: int | None = None, partition: int = 0) -> None:
    await views.publish(partition, seq or max((one.seq for one in changes), default=1), changes)
    await views.flush()


async def ids(views: Views, **options: Any) -> list[str]:
    return [document["id"] for document in await views.list("w1", "contact", **options)]


class ViewsSuite:
    async def test_a_document_that_was_published_is_there(self, views: Views) -> None:
        await publish(views, change("c1", state="waiting"))

        assert await views.get("w1", "contact", "c1") == {"id": "c1", "seq": 1, "state": "waiting"}
        assert await views.get("w1", "contact", "c2") is None
        assert await views.get("w1", "agent", "c1") is None
        assert await views.get("w2", "contact", "c1") is None

    async def test_a_newer_write_replaces_and_an_older_one_does_not(self, views: Views) -> None:
        await publish(views, change(seq=5, state="offered"))
        await publish(views, change(seq=4, state="waiting"))
        assert await views.get("w1", "contact", "c1") == {"id": "c1", "seq": 5, "state": "offered"}

        await publish(views, change(seq=6, state="assigned"))
        assert await views.get("w1", "contact", "c1") == {"id": "c1", "seq": 6, "state": "assigned"}

    async def test_an_entry_published_again_changes_nothing(self, views: Views) -> None:
        for _ in range(2):
            await publish(views, change("c1", 3), change("c2", 3), deletion("c3", 3))

        assert await ids(views) == ["c1", "c2"]
        assert await views.seq(0) == 3

    async def test_a_deleted_document_is_gone_and_an_older_write_does_not_bring_it_back(self, views: Views) -> None:
        await publish(views, change(seq=1))
        await publish(views, deletion(seq=3))
        await publish(views, change(seq=2))

        assert await views.get("w1", "contact", "c1") is None
        assert await ids(views) == []

        await publish(views, change(seq=4))
        assert await ids(views) == ["c1"]

    async def test_an_older_deletion_does_not_take_a_newer_document(self, views: Views) -> None:
        await publish(views, change(seq=5))
        await publish(views, deletion(seq=4))

        assert await ids(views) == ["c1"]

    async def test_documents_are_listed_by_id_page_by_page(self, views: Views) -> None:
        names = [f"c{n:04}" for n in range(2_500)]
        await publish(views, *(change(id) for id in reversed(names)))

        pages: list[str] = []
        while page := await ids(views, after=pages[-1] if pages else "", limit=400):
            pages += page

        assert pages == names
        assert len(await ids(views)) == 100

    async def test_only_what_satisfies_the_condition_is_listed_and_counts(self, views: Views) -> None:
        await publish(views, *(change(f"c{n}", state="waiting" if n % 2 else "assigned") for n in range(10)))

        def waiting(document: Mapping[str, Any]) -> bool:
            return bool(document["state"] == "waiting")

        assert await ids(views, where=waiting) == ["c1", "c3", "c5", "c7", "c9"]
        assert await ids(views, where=waiting, after="c3", limit=2) == ["c5", "c7"]

    async def test_lists_stay_in_order_through_writes_and_deletions(self, views: Views) -> None:
        expected: set[str] = set()
        for seq in range(1, 400):
            id = f"c{seq * 7919 % 1000:04}"
            await publish(views, change(id, seq))
            expected.add(id)
            if seq % 3 == 0:
                gone = f"c{(seq - 1) * 7919 % 1000:04}"
                await publish(views, deletion(gone, seq), seq=seq)
                expected.discard(gone)

        assert await ids(views, limit=1_000) == sorted(expected)

    async def test_the_seq_rises_and_never_falls(self, views: Views) -> None:
        assert await views.seq(0) == 0
        await publish(views, seq=7)
        await publish(views, seq=5)

        assert await views.seq(0) == 7
        assert await views.seq(1) == 0

    async def test_waiting_for_a_seq_ends_when_it_is_reached(self, views: Views) -> None:
        await publish(views, seq=3)
        assert await views.wait_for(0, 3, 0)
        assert not await views.wait_for(0, 4, 0)
        assert not await views.wait_for(0, 4, 0.02)

        async with asyncio.timeout(10):
            waiting = [asyncio.create_task(views.wait_for(0, seq, 60)) for seq in (4, 5, 6)]
            await asyncio.sleep(0.02)
            await publish(views, change(seq=5), seq=5)

            assert await waiting[0]
            assert await waiting[1]
            assert not waiting[2].done()
            waiting[2].cancel()

    async def test_documents_are_there_before_their_seq_is(self, views: Views) -> None:
        async def read_own_write() -> object:
            assert await views.wait_for(0, 9, 60)
            return await views.get("w1", "contact", "c1")

        async with asyncio.timeout(10):
            reading = asyncio.create_task(read_own_write())
            await asyncio.sleep(0)
            await publish(views, change(seq=9))
            assert await reading == {"id": "c1", "seq": 9}

    @pytest.mark.parametrize("id", ["c1", None], ids=["document", "kind"])
    async def test_a_watch_tells_of_changes_and_deletions(self, views: Views, id: str | None) -> None:
        async with asyncio.timeout(10), views.watch("w1", "contact", id) as watch:
            for seq, news in enumerate((change, deletion), start=1):
                waiting = asyncio.create_task(watch.wait(60))
                await asyncio.sleep(0.02)
                assert not waiting.done()
                await publish(views, news("c1", seq))
                assert await waiting

            assert not await watch.wait(0.02)

    async def test_a_change_between_two_waits_is_not_missed(self, views: Views) -> None:
        async with asyncio.timeout(10), views.watch("w1", "contact", "c1") as watch:
            await publish(views, change(seq=1))
            await publish(views, change(seq=2))

            assert await watch.wait(60)
            assert not await watch.wait(0.02)

    async def test_a_watch_says_nothing_of_others(self, views: Views) -> None:
        async with views.watch("w1", "contact", "c1") as one, views.watch("w1", "contact") as kind:
            await publish(views, change("c2", kind="agent"), change("c1", workspace="w2"))
            assert not await kind.wait(0.02)

            await publish(views, change("c2"))
            assert await kind.wait(0)
            assert not await one.wait(0.02)

    async def test_watchers_do_not_take_each_others_hints(self, views: Views) -> None:
        async with views.watch("w1", "contact", "c1") as one, views.watch("w1", "contact", "c1") as two:
            await publish(views, change())

            assert await one.wait(0)
            assert await two.wait(0)

    async def test_a_publisher_goes_on_where_the_last_one_ended(self, views: Views) -> None:
        assert await views.begin(0, "e1") == 0
        await publish(views, change(seq=7))

        assert await views.begin(0, "e1") == 7
        assert not views.lost(0)
        assert await views.begin(1, "e1") == 0

    async def test_what_was_published_of_another_journal_counts_as_nothing(self, views: Views) -> None:
        await publish(views, change(seq=7))

        assert await views.begin(0, "e2") == 0
        assert await views.seq(0) == 0
        await views.clear(0, ["w1"])
        await publish(views, change(seq=1))
        assert await views.get("w1", "contact", "c1") == {"id": "c1", "seq": 1}
        assert await views.begin(0, "e2") == 1

    async def test_a_part_of_writing_anew_leaves_the_seq_as_it_is(self, views: Views) -> None:
        await publish(views, change("c1", 7))
        await views.publish(0, None, [change("c2", 3)])
        await views.flush()

        assert await views.seq(0) == 7
        assert await ids(views) == ["c1", "c2"]

    async def test_what_is_cleared_is_gone_and_may_be_written_anew_from_older_entries(self, views: Views) -> None:
        await publish(views, change("c1", 8), change("c1", 8, workspace="w2"), deletion("c2", 9), seq=9)
        await views.clear(0, ["w1", "w2"])
        await views.flush()

        assert await views.seq(0) == 0
        assert await ids(views) == []
        assert await views.get("w2", "contact", "c1") is None
        assert not views.lost(0)

        await views.publish(0, None, [change("c1", 5), change("c2", 3)])
        await views.flush()
        assert await views.seq(0) == 0
        await publish(views, seq=9)
        assert await views.seq(0) == 9
        assert await ids(views) == ["c1", "c2"]

    async def test_clearing_leaves_other_partitions_alone(self, views: Views) -> None:
        await views.begin(1, "e1")
        await publish(views, change("c1", 4))
        await publish(views, change("c1", 6, workspace="w2"), partition=1)
        await views.clear(0, ["w1"])
        await views.flush()

        assert await views.get("w2", "contact", "c1") == {"id": "c1", "seq": 6}
        assert (await views.seq(0), await views.seq(1)) == (0, 6)

    async def test_a_claim_has_one_owner_who_may_renew_it(self, views: Views) -> None:
        assert await views.claim("rounds", "a", 60)
        assert not await views.claim("rounds", "b", 60)
        assert await views.claim("rounds", "a", 60)
        assert await views.claim("sweeping", "b", 60)

    async def test_a_claim_ends_by_itself(self, views: Views) -> None:
        assert await views.claim("rounds", "a", 60)
        assert await views.claim("rounds", "a", 0.05)

        async def taken() -> bool:
            return await views.claim("rounds", "b", 60)

        await eventually(taken)
        assert not await views.claim("rounds", "a", 60)

    @pytest.mark.parametrize(
        "name",
        ["", " ", "{", "}{", "{w:w1}", "a\x00b", "a\nb", "ä€😀", "%7B", "*", "x" * 1000, "d:contact", "w1}:d:contact"],
    )
    async def test_any_text_is_a_name(self, views: Views, name: str) -> None:
        odd = [change(name), change("c1", kind=name or "-"), change("c1", workspace=name), change("zz")]
        async with views.watch("w1", "contact", name) as watch:
            await publish(views, *odd)
            assert await watch.wait(0)

        for one in odd:
            assert await views.get(one.workspace, one.kind, one.id) == one.data
        assert await ids(views) == sorted([name, "zz"])[name == "" :]
        assert await ids(views, after=name) == [one for one in ("zz",) if one > name]
        assert await views.claim(name, name, 60)
        await publish(views, deletion(name, 2), deletion("c1", 2, workspace=name))
        assert await ids(views) == ["zz"]
        assert await views.list(name, "contact") == []
        await views.clear(0, ["w1", name])
        await views.flush()
        assert await ids(views) == []
