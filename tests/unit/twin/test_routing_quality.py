"""The bench of routing quality: what was played is kept, and the tables say what the runs say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.router.twin.runs import Made, Run
from tests.load import routing_quality
from tests.load.routing_quality import POLICIES, SCENARIOS, Kept, as_markdown, fingerprint, kept, wanted

CODE = "0123"


def figures(sl_int: float, **fields: Any) -> dict[str, Any]:
    channel = {"n": 50, "sl": sl_int, "asa": 1.0, "p95": 60.0, "p99": 90.0, "max": 100.0, "ab": 0.02}
    shares = dict.fromkeys(("sl", "ab", "ab_int", "worst_lang", "low5_lang", "occ", "occ_sd", "occ_load", "jain"), 0.5)
    return {
        **shares,
        "sl_int": sl_int,
        "occ_load_sd": 0.1,
        "cpu_s": 20.0,
        "ch": {"chat": channel, "email": {**channel, "p95": 7200.0}},
        **fields,
    }


def line(policy: str, seed: int, **fields: Any) -> str:
    whole = {"code": CODE, "scenario": "nominal", "policy": policy, "seed": seed, "load": 1.0, "figures": figures(0.9)}
    return json.dumps({**whole, **fields})


def test_what_was_played_is_not_played_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "runs.jsonl"
    there = [line("slo", 1), line("slo", 2, code="older"), line("slo", 3, load=1.1), line("slo", 4)[:50]]
    file.write_text("\n".join(there) + "\n")
    asked: list[Run] = []
    monkeypatch.setattr(routing_quality, "in_parallel", lambda work, tasks, **_: asked.extend(tasks))
    runs = [Run("slo", seed, Made("nominal", seed, 200, 1.0)) for seed in (1, 2, 3, 4)]
    routing_quality.play_what_is_missing(file, runs, CODE, 1.0, 1)
    assert [run.seed for run in asked] == [2, 3, 4]


def test_a_run_is_a_line_that_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "runs.jsonl"
    run = Run("fifo_longest_idle", 3, Made("rare", 3, 18, 0.05))
    routing_quality.play_and_keep(file, CODE, run)
    ((key, found),) = kept(file, CODE, 0.05).items()
    assert key == ("rare", "fifo_longest_idle", 3)
    assert found.contacts > 50
    assert 0 < found.figures["sl_int"] <= 1


def test_the_tables_of_runs() -> None:
    levels = {"fifo_longest_idle": 0.80, "priority_longest_idle": 0.85, "bullseye": 0.86, "slo": 0.9}
    runs = [
        Kept("surge", policy, seed, figures(level + 0.01 * seed * (policy == "slo")))
        for policy, level in levels.items()
        for seed in (1, 2, 3)
    ]
    half = Kept("surge", "slo", 4, figures(0.0))  # the other policies have not played this day yet
    text = as_markdown([*runs, half])
    (row,) = [row for row in text.splitlines() if row.startswith("| surge | 3 |")]
    assert "| 80.0 ±0.0 (73.2) | 85.0 ±0.0 (79.0) | 86.0 ±0.0 (79.7) | 92.0 ±2.5 (87.8) |" in row
    assert row.endswith("| +7.0 ±2.5 (+8.8 ±0.5) |")
    assert (
        "| surge | `slo` | 50.0 ±0.0 | 50.0 ±0.0 | 92.0 ±2.5 | 92.0 ±2.5 | 2.0 ±0.0 | 50.0 ±0.0 | 60 s | 2.0 h |"
        in text
    )
    assert "| surge | `slo` | 0.500 | 0.500 | 0.500 | 0.100 | 0.500 | 20.0 (20.0 to 20.0) |" in text


def test_whole_days_come_first() -> None:
    runs = wanted(SCENARIOS, [1, 2], 1.0)
    assert len(runs) == 2 * (len(SCENARIOS) * len(POLICIES) + 1)
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)
    assert {run.policy for run in runs if isinstance(run.source, Made) and run.source.scenario == "surge"} == set(
        POLICIES
    )


def test_a_line_belongs_to_the_code_that_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in routing_quality.PLAYS:
        (tmp_path / place).mkdir(parents=True)
    monkeypatch.setattr(routing_quality, "ROOT", tmp_path)
    before = fingerprint()
    (tmp_path / routing_quality.PLAYS[0] / "rule.py").write_text("pass\n")
    assert fingerprint() != before
