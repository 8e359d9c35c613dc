"""Two processes with `--role all` on Kafka, two busy partitions: one is killed, the other goes on with both."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from shared.log.kafka.content import stable_partition
from tests.eventually import eventually
from tests.faults.process import REPOSITORY, Process
from tests.support.ports import free_port

pytestmark = pytest.mark.integration

PARTITIONS = 2
POLICY = {"channels": [{"kind": "telegram", "account": "bot", "queue": "help"}], "queues": [{"name": "help"}]}
WORKSPACES = [next(name for n in range(99) if stable_partition(name := f"w{n}", PARTITIONS) == p) for p in (0, 1)]


def message(workspace: str, number: int) -> dict[str, object]:
    return {
        "source_key": f"telegram:bot:message:{workspace}-{number}",
        "channel": "telegram",
        "account": "bot",
        "sender": {"id": f"customer-{number}"},
        "text": "Hello",
    }


async def keys_of(workspace: str, environment: dict[str, str]) -> dict[str, str]:
    made = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.router", "workspace", workspace),
        cwd=REPOSITORY,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await made.communicate()
    assert made.returncode == 0
    keys: dict[str, str] = json.loads(out)
    return keys


async def led_by(process: Process) -> list[int]:
    async with httpx.AsyncClient() as admin:
        metrics = (await admin.get(f"{process.admin}/metrics")).text
    return [n for n in range(PARTITIONS) if f'switchdesk_leading{{partition="{n}"}} 1.0' in metrics]


@pytest.mark.timeout(120)
async def test_one_of_two_is_killed_and_the_other_goes_on_with_both_partitions(
    kafka: str, redis_url: str, prefix: str, tmp_path: Path
) -> None:
    common = {
        "LOG": f"kafka://{kafka}?prefix={prefix}&partitions={PARTITIONS}&replication=1&min_isr=1",
        "VIEWS": f"{redis_url}?prefix={prefix}",
        "ROUTER_JWT_SECRET": secrets.token_hex(32),
    }
    ports = [free_port(), free_port()]
    processes = [
        Process(
            f"all-{n}",
            ["services.router", "--role", "all"],
            {**common, "ROUTER_NAME": f"all-{n}", "PORT": str(port)},
            free_port(),
            tmp_path,
        )
        for n, port in enumerate(ports)
    ]
    async with AsyncExitStack() as stack:
        for process in processes:
            stack.push_async_callback(process.kill)
            await process.start()
        for process in processes:
            await process.until_ready()
        adapters = {}
        for workspace in WORKSPACES:
            keys = await keys_of(workspace, processes[0].environment)
            adapters[workspace] = keys["adapter_key"]
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports[0]}", timeout=30) as http:
                headers = {"Authorization": f"Bearer {keys['operator_key']}"}
                adopted = await http.put("/v1/policy", json=POLICY, headers=headers)
                assert adopted.is_success, adopted.text

        acknowledged: dict[tuple[str, int], str] = {}

        async def said(http: httpx.AsyncClient, workspace: str, number: int) -> None:
            headers = {"Authorization": f"Bearer {adapters[workspace]}"}
            for _ in range(60):
                try:
                    answer = await http.post("/v1/messages", json=message(workspace, number), headers=headers)
                except httpx.TransportError:
                    continue
                if answer.status_code in (200, 201):
                    contact = answer.json()["contact_id"]
                    # Whoever answered, then or after the kill: one message is one contact.
                    assert acknowledged.setdefault((workspace, number), contact) == contact
                    return
                assert answer.status_code in (202, 503), answer.text
                await asyncio.sleep(0.2)
            raise AssertionError(f"{workspace} {number} was never decided")

        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports[0]}", timeout=10) as first,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports[1]}", timeout=10) as second,
        ):
            for number in range(20):
                await asyncio.gather(*(said((first, second)[number % 2], w, number) for w in WORKSPACES))
            led: list[list[int]] = []

            async def each_is_led() -> bool:
                """By one of the two; gauges follow a moment later."""
                led[:] = [await led_by(process) for process in processes]
                return sorted([*led[0], *led[1]]) == list(range(PARTITIONS))

            await eventually(each_is_led, within_s=15)
            # Whoever leads more has more to lose.
            victim = 0 if len(led[0]) >= len(led[1]) else 1
            left = (second, first)[victim]
            during = [asyncio.create_task(said(left, w, n)) for w in WORKSPACES for n in range(20, 40)]
            await processes[victim].kill()
            await asyncio.gather(*during)

            async def leads_both() -> bool:
                return await led_by(processes[1 - victim]) == list(range(PARTITIONS))

            await eventually(leads_both, within_s=15)
            await asyncio.gather(*(said(left, w, n) for w in WORKSPACES for n in range(40)))
        assert len(acknowledged) == len(set(acknowledged.values())) == 80
