"""What every book of leases keeps. An adapter's test class inherits this and gives the fixture `book`, empty, for which
more than `STANDSTILL_S` seconds without anybody is a standstill."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from shared.leases.port import LeaseBook
from tests.eventually import eventually

STANDSTILL_S: Final = 0.6


async def lapsed(book: LeaseBook, workspace: str = "w1") -> list[str]:
    return await book.lapsed(workspace)


class LeaseBookSuite:
    async def test_a_lease_is_held_until_it_is_over(self, book: LeaseBook) -> None:
        await book.renew([("w1", "ana", 0.1), ("w1", "ben", 60)])
        assert await book.held("w1", "ana")
        assert await lapsed(book) == []

        assert await eventually(lambda: lapsed(book)) == ["ana"]
        assert not await book.held("w1", "ana")
        assert await book.held("w1", "ben")
        assert await lapsed(book) == ["ana"]

    async def test_who_speaks_again_has_not_lapsed(self, book: LeaseBook) -> None:
        await book.renew([("w1", "ana", 0)])
        assert await lapsed(book) == ["ana"]

        await book.renew([("w1", "ana", 60)])
        assert await lapsed(book) == []
        assert await book.held("w1", "ana")

    async def test_a_lease_is_never_shortened(self, book: LeaseBook) -> None:
        await book.renew([("w1", "ana", 60)])
        await book.renew([("w1", "ana", 0), ("w1", "ana", -5)])

        assert await book.held("w1", "ana")
        assert await lapsed(book) == []

    async def test_who_is_forgotten_has_no_lease_and_does_not_lapse(self, book: LeaseBook) -> None:
        await book.renew([("w1", "ana", 60), ("w1", "ben", 0)])
        for agent in ("ana", "ben", "nobody"):
            await book.forget("w1", agent)

        assert not await book.held("w1", "ana")
        assert await lapsed(book) == []
        assert not await book.held("w1", "nobody")

    async def test_workspaces_do_not_know_each_other(self, book: LeaseBook) -> None:
        await book.renew([("w1", "ana", 0), ("w2", "ana", 60)])

        assert await lapsed(book, "w1") == ["ana"]
        assert await lapsed(book, "w2") == []
        assert await book.held("w2", "ana")

    async def test_nothing_to_renew_is_nothing(self, book: LeaseBook) -> None:
        await book.renew([])
        assert await lapsed(book) == []

    async def test_time_in_which_nobody_reached_the_book_does_not_count(self, book: LeaseBook) -> None:
        await book.renew([("w1", "over", 0), ("w1", "ana", 0.4), ("w1", "ben", 60)])
        # The absence itself is what is tested: there is no condition to wait for.
        await asyncio.sleep(STANDSTILL_S + 0.2)

        assert await lapsed(book) == ["over"]
        assert await book.held("w1", "ana")
        both = await eventually(lambda: _two(book))
        assert both == ["ana", "over"]

    async def test_two_thousand_agents(self, book: LeaseBook) -> None:
        names = [f"a{n:04}" for n in range(2_500)]
        await book.renew([("w1", name, n % 2 * 60) for n, name in enumerate(names)])

        assert await lapsed(book) == names[::2]

    @pytest.mark.parametrize("name", ["", "{", "}{w1}", "a\x00b", "ä€😀", "x" * 1000])
    async def test_any_text_is_a_name(self, book: LeaseBook, name: str) -> None:
        await book.renew([(name, name, 0), ("w1", name, 60)])

        assert await lapsed(book, name) == [name]
        assert await book.held("w1", name)


async def _two(book: LeaseBook) -> list[str]:
    found = await lapsed(book)
    return found if len(found) == 2 else []
