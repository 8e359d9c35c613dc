"""`python -m services.router twin` as a process of its own, as an operator calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def twin(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.router", "twin", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """A generated day's three files, as arguments."""
    folder = tmp_path_factory.mktemp("day")
    made = twin("generate", "--scenario", "night_shift", "--seed", "3", "--out", folder)
    assert made.returncode == 0, made.stderr
    files = {name: folder / name for name in ("arrivals.jsonl", "agents.json", "config.json")}
    return [
        *("--arrivals", files["arrivals.jsonl"], "--agents", files["agents.json"], "--config", files["config.json"]),
        *("--begins", "22:00"),
    ]


def test_policies_side_by_side_on_a_day_of_files(day: list[str | Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = twin(*day, "--policy", "fifo_longest_idle", "bullseye", "--report", "json", "--html", page)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert list(report["policies"]) == ["fifo_longest_idle", "bullseye"]
    assert list(report["policies"]["bullseye"]) == ["0"]
    assert 0 < report["policies"]["bullseye"]["0"]["sl"] < 1
    assert page.read_text().startswith("<!doctype html>")


def test_the_same_again_is_the_same_but_for_the_time_it_took(day: list[str | Path]) -> None:
    def run() -> dict[str, object]:
        report = json.loads(twin(*day, "--policy", "round_robin", "--report", "json", "--detail").stdout)
        report["policies"]["round_robin"]["0"].pop("cpu_s")
        return dict(report)

    assert run() == run()


def test_what_if_some_are_ill_and_chat_fails_beside_the_plan(day: list[str | Path]) -> None:
    what_if = ("--absent", "15%", "--down", "chat@23:00-23:30", "--plan")
    done = twin(*day, "--policy", "priority_longest_idle", *what_if)
    assert done.returncode == 0, done.stderr
    assert "15% of the agents absent, chat down 23:00–23:30" in done.stdout
    assert "priority_longest_idle, as planned" in done.stdout


def test_seeds_are_paired_days_with_intervals() -> None:
    done = twin(
        *("--scenario", "night_shift", "--seeds", "4-6", "--policy", "fifo_longest_idle", "priority_longest_idle"),
        *("--report", "json", "--jobs", "2"),
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert list(report["policies"]["fifo_longest_idle"]) == ["4", "5", "6"]
    paired = report["paired"]["priority_longest_idle"]["by"]["sl_int"]
    assert paired["runs"] == 3
    assert paired["low"] <= paired["mean"] <= paired["high"]


def test_an_erlang_model_beside_its_closed_form() -> None:
    model = ("--model", "b", "--lambda", "9", "--mu", "1", "--agents", "10", "--contacts", "300", "--repetitions", "4")
    done = twin("erlang", *model, "--report", "json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["expected"]["p_abandon"] == pytest.approx(0.16796, abs=1e-5)
    assert report["simulated"]["p_abandon"]["low"] < report["simulated"]["p_abandon"]["high"]
    text = twin("erlang", *model)
    assert "P(abandon)" in text.stdout


def test_what_cannot_be_done_is_told_in_a_line_from_another_process_too() -> None:
    done = twin(
        "--scenario", "night_shift", "--seeds", "2", "--jobs", "2", "--policy", "bullseye", "--down", "fax@23:00-23:10"
    )
    assert done.returncode == 2
    assert done.stderr.strip() == "--down fax@23:00-23:10: the day has no channel 'fax'"
