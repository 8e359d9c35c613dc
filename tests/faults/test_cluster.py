"""A short seeded run against the distributed deployment: three faults that are always there and whose effects must be
seen, then whatever the dice say.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.cluster import Cluster
from tests.faults.effects import STEPS, effects
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
SECONDS = float(os.environ.get("SECONDS", "16"))


async def test_faults_lose_and_double_nothing(tmp_path: Path) -> None:
    plan = Plan(seed=SEED, seconds=SECONDS, rhythm=SHORT, per_s=20.0, customers=20, sample=50, first=STEPS)
    with History(tmp_path / "history.jsonl") as history:
        async with Cluster(tmp_path) as cluster:
            await cluster.start()
            outputs = await run_on_cluster(cluster, history, plan)
        report = judge(history, outputs, plan)
    print(report.line())
    assert report.findings == []
    assert history.mended is not None
    assert effects(history, history.mended.partition) == []
    assert len(report.faults) > len(STEPS), "the dice did nothing to the deployment"
    assert report.failed_attempts, "no request was ever caught by a fault, so nothing was tested"
    assert report.acknowledged > SECONDS
    rules = {"ContactMoved", "DelayPassed", "RateWindowMoved", "WrapUpEnded"}
    assert rules <= report.played.keys(), "a rule was never played"
