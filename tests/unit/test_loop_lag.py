"""How late the loop runs, as the worst of some seconds."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from services.router.metrics import RouterMetrics
from shared import loop_lag
from shared.clock import SystemClock
from shared.loop_lag import WINDOW_S, LoopLag
from shared.process import Backends, ProcessSettings, run_process
from shared.service import Part
from tests.eventually import eventually
from tests.unit.router.test_replica import HandClock

NAME = "switchdesk_loop_lag_seconds"


async def test_a_block_is_told_until_every_scrape_has_seen_it() -> None:
    registry, stopping = CollectorRegistry(), asyncio.Event()
    lag = LoopLag(SystemClock(), Gauge(NAME, "lag", registry=registry))
    running = asyncio.create_task(lag.run(stopping))
    await asyncio.sleep(0.15)
    time.sleep(0.6)  # noqa: ASYNC251 - the loop is to be blocked
    await asyncio.sleep(0.5)
    assert 0.45 <= (registry.get_sample_value(NAME) or 0) < 5
    stopping.set()
    await running


def test_the_largest_of_the_window_is_told_and_then_the_largest_of_what_came_after_it() -> None:
    clock = HandClock()
    lag = LoopLag(clock, Gauge(NAME, "lag", registry=CollectorRegistry()))
    assert lag.worst() == 0
    for passed, late in ((1, 0.2), (1, 0.9), (1, 0.1), (1, 0.3), (1, 0.0)):
        clock.pass_s(passed)
        lag._note(clock.monotonic(), late)
    assert lag.worst() == 0.9
    clock.pass_s(WINDOW_S - 2.5)
    assert lag.worst() == 0.3
    clock.pass_s(2.5)
    assert lag.worst() == 0
    for _ in range(10_000):
        clock.pass_s(loop_lag.ASK_S)
        lag._note(clock.monotonic(), clock.ms % 7 / 100)
    assert len(lag._lags) <= WINDOW_S / loop_lag.ASK_S + 2


async def test_a_process_tells_of_its_own_loop(tmp_path: Path) -> None:
    metrics, stopping, ready = RouterMetrics(), asyncio.Event(), asyncio.Event()

    async def build(backends: Backends, *_: object) -> tuple[list[Part], object]:
        async def run(stop: asyncio.Event) -> None:
            ready.set()
            await stop.wait()

        return [Part(name="work", run=run)], lambda: True

    settings = ProcessSettings(log=f"sqlite:///{tmp_path}", views="memory:", admin_port=0)
    running = asyncio.create_task(_run(settings, metrics, build, stopping))
    await asyncio.wait_for(ready.wait(), 5)
    await asyncio.sleep(0.15)
    time.sleep(0.6)  # noqa: ASYNC251 - the loop is to be blocked
    await eventually(lambda: (metrics.registry.get_sample_value(NAME) or 0) >= 0.45)
    stopping.set()
    await running


async def _run(settings: ProcessSettings, metrics: RouterMetrics, build: object, stopping: asyncio.Event) -> None:
    await run_process(settings, "test", metrics.process, build, stopping, shares=False)  # type: ignore[arg-type]
