"""What every content table keeps. An adapter's test class inherits the suite and gives the fixture `table`, an empty
one, and `lose`, which takes everything away behind its back as a flushed Redis does."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

from shared.log.content_table import Change, ContentTable, Progress

Lose = Callable[[], Awaitable[None]]


def text(offset: int, ref: str = "m:1", data: bytes = b"text", *, workspace: str = "w1", owner: str = "ana") -> Change:
    return Change(offset=offset, workspace=workspace, ref=ref, owner=owner, data=data)


def first(offset: int, ref: str = "m:1", data: bytes = b"text", *, owner: str = "ana") -> Change:
    return Change(offset=offset, workspace="w1", ref=ref, owner=owner, data=data, first=True)


def tombstone(offset: int, ref: str = "m:1", *, workspace: str = "w1") -> Change:
    return Change(offset=offset, workspace=workspace, ref=ref, owner="", data=None)


async def get(table: ContentTable, ref: str = "m:1", workspace: str = "w1") -> bytes | None:
    return (await table.get_many(workspace, [ref])).get(ref)


class ContentTableSuite:
    async def test_what_was_applied_is_there(self, table: ContentTable) -> None:
        await table.apply(0, [text(0, "m:1", b"one"), text(1, "m:2", b"two"), text(2, "m:3", b"")])

        assert await table.get_many("w1", ["m:3", "m:1", "m:9", "m:2", "m:1"]) == {
            "m:1": b"one",
            "m:2": b"two",
            "m:3": b"",
        }
        assert await table.get_many("w1", []) == {}
        assert await table.get_many("w2", ["m:1"]) == {}
        assert await table.refs_of("w1", "ana") == ["m:1", "m:2", "m:3"]
        assert await table.refs_of("w1", "ben") == await table.refs_of("w2", "ana") == []

    async def test_an_older_change_never_replaces_a_newer_one(self, table: ContentTable) -> None:
        await table.apply(0, [text(5, data=b"new", owner="ben")])

        await table.apply(0, [text(4, data=b"old", owner="ana")])

        assert await get(table) == b"new"
        assert await table.refs_of("w1", "ana") == []
        assert await table.refs_of("w1", "ben") == ["m:1"]

    async def test_a_first_text_stays_and_is_told_to_who_came_later(self, table: ContentTable) -> None:
        assert await table.apply(0, [first(1, data=b"one"), text(2, "m:2")]) == []

        stayed = await table.apply(0, [first(3, data=b"other", owner="ben"), first(4, "m:3", b"new")])

        assert stayed == [text(1, data=b"one")]
        assert await table.get_many("w1", ["m:1", "m:3"]) == {"m:1": b"one", "m:3": b"new"}
        assert await table.refs_of("w1", "ana") == ["m:1", "m:2", "m:3"]
        assert await table.refs_of("w1", "ben") == []

    async def test_a_first_text_is_nobody_elses_when_it_is_told_twice(self, table: ContentTable) -> None:
        await table.apply(0, [first(1)])

        assert await table.apply(0, [first(1)]) == []

    async def test_after_an_erasure_a_later_text_is_the_first_again(self, table: ContentTable) -> None:
        await table.apply(0, [first(1), tombstone(3)])

        assert await table.apply(0, [first(2, data=b"late")]) == []
        assert await get(table) is None
        assert await table.apply(0, [first(4, data=b"anew")]) == []
        assert await get(table) == b"anew"

    async def test_a_newer_text_replaces_a_first_one(self, table: ContentTable) -> None:
        await table.apply(0, [first(1)])

        assert await table.apply(0, [text(2, data=b"corrected")]) == []

        assert await get(table) == b"corrected"

    async def test_first_texts_count_when_the_topic_is_read_too(self, table: ContentTable) -> None:
        await table.reset(0, 0)

        assert await table.advance(
            0, [first(0, data=b"one"), first(1, data=b"two")], since=0, position=2, complete=True
        )

        assert await get(table) == b"one"
        assert await table.apply(0, [first(2, data=b"three")]) == [text(0, data=b"one")]

    async def test_what_stays_comes_back_as_it_is(self, table: ContentTable) -> None:
        owner, data = "ana & ben/\u00e9 \ud800", b"two words\n and \0 bytes \xff"
        await table.apply(0, [first(1, data=data, owner=owner)])

        assert await table.apply(0, [first(2)]) == [text(1, data=data, owner=owner)]

    async def test_an_erased_text_does_not_come_back(self, table: ContentTable) -> None:
        await table.apply(0, [text(1)])
        await table.apply(0, [tombstone(3)])

        await table.apply(0, [text(1), text(2)])

        assert await get(table) is None
        assert await table.refs_of("w1", "ana") == []
        await table.apply(0, [text(4, data=b"again")])
        assert await get(table) == b"again"

    async def test_a_tombstone_that_comes_first_holds_too(self, table: ContentTable) -> None:
        await table.apply(0, [tombstone(3)])
        await table.apply(0, [text(2)])

        assert await get(table) is None

    async def test_an_erased_text_does_not_come_back_behind_the_position_either(self, table: ContentTable) -> None:
        await table.reset(0, 0)
        assert await table.advance(0, [text(0), tombstone(1)], since=0, position=2, complete=True)

        await table.apply(0, [text(0)])

        assert await get(table) is None
        assert await table.refs_of("w1", "ana") == []

    async def test_a_ref_belongs_to_its_newest_owner(self, table: ContentTable) -> None:
        await table.apply(0, [text(1, owner="ana")])
        await table.apply(0, [text(2, owner="ben")])

        assert await table.refs_of("w1", "ana") == []
        assert await table.refs_of("w1", "ben") == ["m:1"]

    async def test_progress_is_none_until_it_begins(self, table: ContentTable) -> None:
        assert await table.progress(0) is None
        await table.apply(0, [text(7)])
        assert await table.progress(0) is None

        await table.reset(0, 3)

        assert await table.progress(0) == Progress(3, complete=False)
        assert await table.progress(1) is None
        assert await get(table) is None

    async def test_advancing_takes_changes_in_and_moves_the_position(self, table: ContentTable) -> None:
        await table.reset(0, 0)

        assert await table.advance(0, [text(0), text(1, "m:2")], since=0, position=2, complete=False)
        assert await table.progress(0) == Progress(2, complete=False)
        assert await table.advance(0, [tombstone(2)], since=2, position=5, complete=True)
        assert await table.progress(0) == Progress(5, complete=True)
        assert await table.advance(0, [], since=5, position=6, complete=False)
        assert await table.progress(0) == Progress(6, complete=True)

        assert await get(table) is None
        assert await table.refs_of("w1", "ana") == ["m:2"]

    async def test_two_who_advance_do_not_skip_anything(self, table: ContentTable) -> None:
        await table.reset(0, 0)
        assert await table.advance(0, [text(0)], since=0, position=1, complete=True)

        assert not await table.advance(0, [text(0)], since=0, position=1, complete=True)
        assert not await table.advance(0, [text(4)], since=4, position=5, complete=True)

        assert await table.progress(0) == Progress(1, complete=True)

    async def test_a_lost_table_refuses_to_go_on(self, table: ContentTable, lose: Lose) -> None:
        await table.reset(0, 0)
        assert await table.advance(0, [text(0)], since=0, position=1, complete=True)

        await lose()

        assert await table.progress(0) is None
        assert not await table.advance(0, [text(1, "m:2")], since=1, position=2, complete=True)
        assert await table.progress(0) is None
        assert await get(table) is None

    async def test_a_reset_takes_only_its_partition(self, table: ContentTable) -> None:
        for partition, workspace in ((0, "w1"), (1, "w2")):
            await table.reset(partition, 0)
            assert await table.advance(partition, [text(0, workspace=workspace)], since=0, position=1, complete=True)

        await table.reset(0, 0)

        assert await get(table, workspace="w1") is None
        assert await table.refs_of("w1", "ana") == []
        assert await get(table, workspace="w2") == b"text"
        assert await table.progress(1) == Progress(1, complete=True)

    async def test_names_may_hold_anything(self, table: ContentTable) -> None:
        names = ["{a}", "a b", "ä€😀", "*", "w:{p:0}", "x" * 1000, "1:2:3", '"', "\\"]
        changes = [
            text(n, ref=name, workspace=name, owner=name, data=bytes([n, 0, 255])) for n, name in enumerate(names)
        ]
        await table.apply(0, changes)

        for n, name in enumerate(names):
            assert await get(table, name, name) == bytes([n, 0, 255])
            assert await table.refs_of(name, name) == [name]

    async def test_a_thousand_texts_of_one_owner(self, table: ContentTable) -> None:
        await table.reset(0, 0)
        changes = [text(n, f"m:{n:04}", b"x" * 100) for n in range(1_000)]
        assert await table.advance(0, changes, since=0, position=1_000, complete=True)

        assert len(await table.refs_of("w1", "ana")) == 1_000
        await table.apply(0, [tombstone(1_000 + n, f"m:{n:04}") for n in range(1_000)])
        assert await table.refs_of("w1", "ana") == []
        assert await table.get_many("w1", [f"m:{n:04}" for n in range(1_000)]) == {}

    async def test_any_order_of_writers_ends_in_the_same_table(self, table: ContentTable) -> None:
        dice = random.Random(7)
        owners = {f"m:{n}": ["ana", "ben"] for n in range(6)}
        topic: list[Change] = []
        for offset in range(120):
            ref = dice.choice(sorted(owners))
            if dice.random() < 0.3:
                topic.append(tombstone(offset, ref))
            else:
                topic.append(text(offset, ref, b"%d" % offset, owner=dice.choice(owners[ref])))
        await table.reset(0, 0)
        position = 0
        late = list(topic)
        dice.shuffle(late)
        for _ in range(60):
            if dice.random() < 0.5 and position < len(topic):
                step = topic[position : position + dice.randrange(1, 9)]
                assert await table.advance(
                    0, step, since=position, position=position + len(step), complete=position > 60
                )
                position += len(step)
            await table.apply(0, [late.pop() for _ in range(dice.randrange(3)) if late])
        await table.advance(0, topic[position:], since=position, position=len(topic), complete=True)
        await table.apply(0, late)

        newest = {change.ref: change for change in topic}
        assert await table.get_many("w1", sorted(owners)) == {
            ref: change.data for ref, change in newest.items() if change.data is not None
        }
        for owner in ("ana", "ben"):
            assert await table.refs_of("w1", owner) == sorted(
                ref for ref, change in newest.items() if change.data is not None and change.owner == owner
            )
