"""Routers are replaced one by one by those of another build and back again, under load: N-1 to N to N-1."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.router.release import SWITCHDESK
from shared.log.content_table import MemoryContentTable
from shared.log.kafka import KafkaLog
from tests.faults.builds import ADDED, CHANGES, NEXT, next_build
from tests.faults.cluster import Cluster
from tests.faults.history import History
from tests.faults.nemesis import SHORT
from tests.faults.run import Plan, judge, run_on_cluster

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(300),
    # See `conftest.py`: the collector may find a cut connection while the test still runs.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

SEED = int(os.environ.get("SEED", "12"))
STEPS = ("engine-1 to next", "engine-2 to next", "engine-1 to this", "engine-2 to this")


async def test_a_rolling_upgrade_and_the_way_back_lose_and_double_nothing(tmp_path: Path) -> None:
    build = await asyncio.to_thread(next_build, tmp_path / "next")
    plan = Plan(seed=SEED, seconds=0.0, rhythm=SHORT, per_s=12.0, customers=10, sample=30, steps=STEPS)
    with History(tmp_path / "history.jsonl") as history:
        async with Cluster(tmp_path, brokers=1, apis=1, ingest=0, builds={"next": build}) as cluster:
            await cluster.start()
            outputs = await run_on_cluster(cluster, history, plan)
            assert history.mended is not None
            entries = await _journal(cluster, history.mended.partition)
        report = judge(history, outputs, plan)
    print(report.line())
    assert report.findings == []
    assert (report.lost, report.doubled) == (0, 0)
    assert [fault.kind for fault in history.faults] == ["router-term"] * len(STEPS)
    assert report.acknowledged > 10 * len(STEPS)
    assert _builds_that_led(entries) == [SWITCHDESK, NEXT, SWITCHDESK]
    offers = [fields for entry in entries for fields in _offers(entry)]
    added = [ADDED in fields for fields in offers]
    assert any(added), "the next release never wrote what this one does not know"
    assert not added[0]
    assert not added[-1], "nobody of this release offered anything after it"


def test_a_change_that_has_lost_its_place_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = CHANGES[0].__class__(CHANGES[0].file, "no such line", "")
    monkeypatch.setattr("tests.faults.builds.CHANGES", (lost,))
    with pytest.raises(ValueError, match="stand 0 times"):
        next_build(tmp_path / "next")


async def _journal(cluster: Cluster, partition: int) -> list[dict[str, Any]]:
    """The entries as they are stored, in order. Void records are left out: numbers of entries only rise by one."""
    log = KafkaLog(cluster.log_url(cluster.kafka.bootstrap), table=MemoryContentTable())
    await log.open()
    try:
        entries: list[dict[str, Any]] = []
        offset = 0
        while records := await log.journal.read(partition, offset, limit=500, wait_s=0):
            for record in records:
                entry = msgspec.json.decode(record.data)
                if entry["n"] == len(entries) + 1:
                    entries.append(entry)
            offset = records[-1].offset + 1
        return entries
    finally:
        await log.close()


def _builds_that_led(entries: Sequence[dict[str, Any]]) -> list[str]:
    told = [entry["hello"]["switchdesk"] for entry in entries if "hello" in entry]
    return [build for build, _ in groupby(told)]


def _offers(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [fields for *_, events in entry["decisions"] for name, fields in events if name == "OfferMade"]
