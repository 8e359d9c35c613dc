"""Reading a day: what is well is taken as it stands, what is wrong is refused with file, line and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.router.twin.day import Agent, Arrival, UnreadableDay, as_files, read_day
from services.router.twin.generate import generate

LINE = {
    "id": 0,
    "t": 2.295,
    "channel": "chat",
    "language": "ko",
    "handle_time": 140.34,
    "patience": 37.5,
    "priority": 1,
    "customer": "c1",
    "orig_channel": "chat",
}
ROW = {
    "id": "a1",
    "languages": {"ko": 1.0, "en": 0.85},
    "channels": ["chat"],
    "capacity": 3,
    "start": 0,
    "end": 28800.0,
}
CONFIG = {
    "weight": {"chat": 1},
    "slowdown": {"1": 1.0, "2": 1.25, "3": 1.55},
    "sl_target_s": {"chat": 60.0},
    "drain_until_s": 57600.0,
    "peak_per_h": 3500,
}


def write(folder: Path, lines: list[Any], rows: Any = (ROW,), config: Any = CONFIG) -> tuple[Path, Path, Path]:
    paths = folder / "arrivals.jsonl", folder / "agents.json", folder / "config.json"
    paths[0].write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    paths[1].write_text(rows if isinstance(rows, str) else json.dumps(list(rows), indent=0))
    paths[2].write_text(json.dumps(config))
    return paths


def test_a_day_is_read_as_it_stands(tmp_path: Path) -> None:
    day = read_day(*write(tmp_path, [LINE, {**LINE, "id": 1, "t": 3, "patience": None}]))
    assert day.arrivals[0] == Arrival("0", 2295, "chat", "ko", 140.34, 37500, 1)
    assert day.arrivals[1].patience is None
    assert day.agents == (Agent("a1", {"ko": 1.0, "en": 0.85}, ("chat",), 3, ((0, 28_800_000),)),)
    assert day.end == 57_600_000
    assert day.config.begins_s == 8 * 3600


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"t": -1}, "arrivals.jsonl:2: t: Input should be greater than or equal to 0"),
        ({"handle_time": 0}, "arrivals.jsonl:2: handle_time: Input should be greater than 0"),
        ({"handle_time": "long"}, "arrivals.jsonl:2: handle_time: Input should be a valid number"),
        ({"channel": "fax"}, "arrivals.jsonl:2: channel: config names no channel 'fax'"),
        ({"t": 1.0}, "arrivals.jsonl:2: t: 1 comes before the line above"),
        ({"id": 0}, "arrivals.jsonl:2: id: 0 is there twice"),
        ({"patiense": 3}, "arrivals.jsonl:2: patiense: Extra inputs are not permitted"),
    ],
)
def test_an_arrival_that_is_wrong(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    with pytest.raises(UnreadableDay) as refused:
        read_day(*write(tmp_path, [LINE, {**LINE, "id": 1, "t": 3, **change}]))
    assert told in str(refused.value)


def test_a_key_that_is_missing_and_a_line_that_is_not_json(tmp_path: Path) -> None:
    without = {key: value for key, value in LINE.items() if key != "patience"}
    with pytest.raises(UnreadableDay) as refused:
        read_day(*write(tmp_path, [without, '{"id": 1, ']))
    first, second = str(refused.value).splitlines()
    assert first.endswith("arrivals.jsonl:1: patience: Field required")
    assert "arrivals.jsonl:2: Invalid JSON" in second


def test_of_many_errors_the_first_are_told_and_the_others_counted(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDay) as refused:
        read_day(*write(tmp_path, [{**LINE, "id": number, "t": -1} for number in range(25)]))
    assert len(str(refused.value).splitlines()) == 11
    assert str(refused.value).endswith("and 15 more")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"languages": {"ko": 1.5}}, "agents.json:15: 1.languages.ko: Input should be less than or equal to 1"),
        ({"languages": {}}, "agents.json:15: 1.languages: an agent speaks at least one language"),
        ({"end": 0}, "agents.json:15: 1.end: is not after start"),
        ({"channels": ["fax"]}, "agents.json:15: 1.channels: config names no channel 'fax'"),
        ({"id": "a1"}, "agents.json:15: 1.id: 'a1' is there twice"),
    ],
)
def test_an_agent_that_is_wrong(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    with pytest.raises(UnreadableDay) as refused:
        read_day(*write(tmp_path, [LINE], [ROW, {**ROW, "id": "a2", **change}]))
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sl_target_s": {}}, "config.json: sl_target_s says nothing of 'chat'"),
        ({"slowdown": {"1": 1.0, "3": 1.5}}, "config.json: slowdown: names 1, 2, 3, … without a gap"),
        ({"slowdown": {"1": 1.0}}, "slowdown: agent 'a1' can hold 3 at once, and it says nothing of that"),
        ({"drain_until_s": 0}, "config.json: drain_until_s: Input should be greater than 0"),
    ],
)
def test_physics_that_are_wrong(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    with pytest.raises(UnreadableDay) as refused:
        read_day(*write(tmp_path, [LINE], config={**CONFIG, **change}))
    assert told in str(refused.value)


def test_files_that_are_not_there_or_empty(tmp_path: Path) -> None:
    arrivals, agents, config = write(tmp_path, [], "nonsense")
    with pytest.raises(UnreadableDay, match="there is no arrival in it"):
        read_day(arrivals, agents, config)
    arrivals.write_text(json.dumps(LINE))
    with pytest.raises(UnreadableDay, match="not JSON"):
        read_day(arrivals, agents, config)
    with pytest.raises(UnreadableDay, match=r"gone\.json: No such file"):
        read_day(arrivals, agents, tmp_path / "gone.json")


def test_a_day_that_was_written_is_read_as_it_was(tmp_path: Path) -> None:
    day = generate("outage", 3, agents=40, load=0.1)
    for name, text in as_files(day, {"scenario": "outage"}).items():
        (tmp_path / name).write_text(text)
    assert read_day(tmp_path / "arrivals.jsonl", tmp_path / "agents.json", tmp_path / "config.json") == day
