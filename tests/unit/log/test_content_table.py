"""The content table in memory keeps what every content table keeps."""

from __future__ import annotations

import pytest

from shared.log.content_table import MemoryContentTable
from tests.unit.log.content_table_suite import ContentTableSuite, Lose, get, text, tombstone


class TestMemoryContentTable(ContentTableSuite):
    @pytest.fixture
    def table(self) -> MemoryContentTable:
        return MemoryContentTable()

    @pytest.fixture
    def lose(self, table: MemoryContentTable) -> Lose:
        async def lose() -> None:
            table.lose()

        return lose


async def test_tombstones_below_the_position_cost_nothing() -> None:
    table = MemoryContentTable()
    await table.reset(0, 0)
    changes = [change for n in range(50) for change in (text(2 * n, f"m:{n}"), tombstone(2 * n + 1, f"m:{n}"))]
    await table.advance(0, changes, since=0, position=100, complete=True)

    assert not table._rows
    assert not table._owned
    assert not table._tombstones[0]
    assert await get(table) is None
