"""What the processes of a deployment do about full disks, records that nobody can read and clocks that step."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.router.dead_letters import DeadLetters
from shared.log.kafka import KafkaLog
from shared.log.port import Snapshot
from shared.log.redis_content_table import RedisContentTable
from shared.vocabulary import Topic
from tests.eventually import eventually
from tests.faults.cluster import PARTITIONS, WORKSPACE, Cluster
from tests.faults.single import client, message, running
from tests.faults.staff import POLICY
from tests.need import need

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(240),
    # See `conftest.py`: the collector may find a cut connection while the test still runs.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

FAKETIME = (Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib/aarch64-linux-gnu"), Path("/usr/lib"))
HOUR_S = 3600
OFFER_S = 15
SLACK_S = 5.0
"""How far a clock that steps ahead is believed at once."""
MARGIN_S = 3.0
"""For a machine that is busy with other tests."""


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path, brokers=1, engines=1, apis=1, ingest=0) as cluster:
        await cluster.start_network()
        yield cluster


async def _metric(cluster: Cluster, name: str) -> float:
    """A counter of the engine, over all its labels."""
    async with httpx.AsyncClient(timeout=5) as http:
        text = (await http.get(f"{cluster.processes['engine-1'].admin}/metrics")).text
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))
    )


@contextlib.asynccontextmanager
async def _log(cluster: Cluster) -> AsyncIterator[KafkaLog]:
    table = RedisContentTable(f"{cluster.redis.url}?prefix={cluster.prefix}", name="test")
    log = KafkaLog(cluster.log_url(cluster.kafka.bootstrap), table=table)
    await log.open()
    try:
        yield log
    finally:
        await log.close()
        await table.close()


async def test_while_the_brokers_disk_is_full_nothing_is_promised_and_afterwards_it_goes_on(cluster: Cluster) -> None:
    staff = await running(cluster)
    promised: dict[int, str] = {}
    async with client(cluster, staff.adapter_key) as http:
        first = await http.post("/v1/messages", json=message(0))
        assert first.status_code == 201, first.text
        promised[0] = first.json()["contact_id"]
        cluster.kafka.fill_disk(1)
        for number in range(1, 4):
            answer = await http.post("/v1/messages", json=message(number))
            assert answer.status_code == 503, answer.text
            assert answer.headers["retry-after"]
        # A broker whose only disk takes nothing any more ends itself; whoever made room starts it again.
        await eventually(lambda: cluster.kafka.ended(1), within_s=30)
        cluster.kafka.start_node(1)
        await cluster.kafka.until_ready()

        for number in range(1, 4):

            async def taken(number: int = number) -> str:
                answer = await http.post("/v1/messages", json=message(number))
                return str(answer.json()["contact_id"]) if answer.status_code in (200, 201) else ""

            promised[number] = await eventually(taken, within_s=60, every_s=0.3)
        for number, contact in promised.items():
            again = await http.post("/v1/messages", json=message(number))
            assert again.json()["contact_id"] == contact
    assert len(set(promised.values())) == len(promised)
    assert cluster.processes["engine-1"].died is None


async def test_a_record_that_nobody_can_read_is_put_aside_and_holds_nothing_up(cluster: Cluster) -> None:
    staff = await running(cluster)
    letters = [b"not json", b'{"v":1', b"\xff\xfe", b"{}", b""]
    async with _log(cluster) as log:
        partition = log.placement.partition_of(WORKSPACE)
        places = {
            f"{partition}:{topic.value}:{await log.inputs.append(topic, partition, letter)}": letter
            for topic in Topic
            for letter in letters
        }
        async with client(cluster, staff.adapter_key) as http:
            answer = await http.post("/v1/messages", json=message(1))
            assert answer.status_code == 201, answer.text
        assert await _metric(cluster, "switchdesk_dead_letters_total") == len(places)
        kept = await DeadLetters(log.content, partition).all()
    assert {letter.position: letter.raw for letter in kept} == places
    assert all(letter.reason for letter in kept)
    assert cluster.processes["engine-1"].died is None


async def test_a_snapshot_of_another_version_is_not_used(cluster: Cluster) -> None:
    staff = await running(cluster)
    async with client(cluster, staff.adapter_key) as http:
        first = await http.post("/v1/messages", json=message(1))
        assert first.status_code == 201, first.text
        engine = cluster.processes["engine-1"]
        assert await engine.stop() == 0
        async with _log(cluster) as log:
            for partition in range(PARTITIONS):
                _, end = await log.journal.bounds(partition)
                other = Snapshot(partition, seq=10**6, hash="0" * 64, offset=max(0, end - 1), format=999, data=b"\x00")
                await log.snapshots.save(other)
        await engine.start()
        await engine.until_ready()
        second = await http.post("/v1/messages", json=message(2))
        assert second.status_code == 201, second.text
        again = await http.post("/v1/messages", json=message(1))
        assert (again.status_code, again.json()["contact_id"]) == (200, first.json()["contact_id"])


@pytest.fixture
def library() -> Path:
    """What gives a process a clock of its own."""
    found = next(
        (folder / "faketime/libfaketimeMT.so.1" for folder in FAKETIME if (folder / "faketime").exists()), None
    )
    need(
        found and shutil.which("faketime"),
        "stepping a process's clock needs libfaketime",
        "apt-get install -y faketime",
    )
    assert found is not None
    return found


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
async def test_a_clock_that_steps_by_an_hour_ends_no_offer_early_and_none_late(
    cluster: Cluster, library: Path, tmp_path: Path, step_s: int
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    cluster.processes["engine-1"].environment |= {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    staff = await running(cluster)
    policy = POLICY | {
        "queues": [queue | {"offer_timeout_s": OFFER_S, "on_miss": None} for queue in POLICY["queues"]],
        "lease": {"lease_s": 120, "grace_s": 120},
    }
    agent, token = next(iter(staff.tokens.items()))
    async with (
        client(cluster, staff.access.operator_key) as operator,
        client(cluster, staff.adapter_key) as adapter,
        client(cluster, token) as desk,
    ):
        (await operator.put("/v1/policy", json=policy)).raise_for_status()
        (await desk.put(f"/v1/agents/{agent}/presence", json={"presence": "available"})).raise_for_status()
        (await adapter.post("/v1/messages", json=message(1))).raise_for_status()

        async def offers() -> list[str]:
            return [offer["id"] for offer in (await desk.get(f"/v1/agents/{agent}/work")).json()["offers"]]

        (offer,) = await eventually(offers)
        began = time.monotonic()
        clock.write_text(f"{step_s:+d}\n")
        # Every entry has a time of its own: many of them must not add up to the step.
        for number in range(2, 12):
            (await adapter.post("/v1/messages", json=message(number))).raise_for_status()

        async def gone() -> bool:
            return offer not in await offers()

        await eventually(gone, within_s=2 * OFFER_S, every_s=0.1)
        lasted_s = time.monotonic() - began
    early_s = SLACK_S + 0.1 * OFFER_S if step_s > 0 else 0.0
    assert OFFER_S - early_s - 1.0 <= lasted_s <= OFFER_S + MARGIN_S
    assert await _metric(cluster, "switchdesk_clock_steps_total") == (PARTITIONS if step_s > 0 else 0)
