"""Reports: the keys that programs rely on, paired differences, tables, and a page that stands alone."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from services.router.twin.compare import differences, means
from services.router.twin.measure import measure
from services.router.twin.report_html import as_html
from services.router.twin.report_json import as_json
from services.router.twin.report_text import as_text, duration
from services.router.twin.runs import Results
from tests.unit.twin.days import agent, arrival, played


def results(*policies: str) -> Results:
    """Three days each on which two customers too many write, of whom one speaks French."""
    found: Results = {}
    for policy in policies:
        for seed in (1, 2, 3):
            arrivals = [
                arrival(number * 20, 60 + seed, patience_s=100, language="fr" if number == 3 else "en")
                for number in range(6)
            ]
            agents = [agent("ana", capacity=2.0), agent("bea", languages={"en": 0.7, "fr": 1.0})]
            found.setdefault(policy, {})[seed] = measure(played(arrivals, agents, policy))
    return found


def test_the_keys_that_programs_rely_on() -> None:
    report = json.loads(as_json(results("fifo_longest_idle", "bullseye")))
    assert report.keys() == {"policies", "paired"}
    assert report["policies"].keys() == {"fifo_longest_idle", "bullseye"}
    assert report["policies"]["bullseye"].keys() == {"1", "2", "3"}
    run = report["policies"]["bullseye"]["1"]
    assert " ".join(run) == "sl sl_int ab ab_int worst_lang low5_lang lang_sl occ occ_sd cpu_s ch"
    assert run["lang_sl"].keys() == {"en", "fr"}
    assert " ".join(run["ch"]["chat"]) == "n sl asa p95 p99 max ab"
    assert run["ch"]["chat"]["n"] == 6
    assert report["paired"]["bullseye"]["against"] == "fifo_longest_idle"
    assert report["paired"]["bullseye"]["by"]["sl"].keys() == {"mean", "low", "high", "runs"}


def test_detail_tells_of_agents_and_queues() -> None:
    report = json.loads(as_json(results("fifo_longest_idle"), detail=True))
    detail = report["detail"]["fifo_longest_idle"]["1"]
    assert [each["id"] for each in detail["agents"]] == ["ana", "bea"]
    assert len(detail["queue"]["chat"]) == 48
    assert 0 < detail["jain"] <= 1


def test_differences_are_paired_by_day() -> None:
    found = results("fifo_longest_idle", "bullseye")
    [difference] = differences(found)
    for name in ("sl", "occ"):
        by_day = [found["bullseye"][s].number(name) - found["fifo_longest_idle"][s].number(name) for s in (1, 2, 3)]
        assert difference.by[name].mean == pytest.approx(sum(by_day) / 3)
    assert difference.by["sl"].mean == pytest.approx(
        means(found, "bullseye")["sl"].mean - means(found, "fifo_longest_idle")["sl"].mean
    )


def test_tables_name_policies_channels_and_languages() -> None:
    text = as_text(results("fifo_longest_idle", "bullseye"), "Some days")
    assert text.startswith("Some days\n")
    for word in ("fifo_longest_idle", "bullseye", "chat", "fr", "Against fifo_longest_idle"):
        assert word in text
    assert "…" not in text


def test_durations_are_told_in_the_unit_that_people_use() -> None:
    assert [duration(seconds) for seconds in (0.4, 119, 130, 7300)] == ["0 s", "119 s", "2.2 min", "2.0 h"]


class _Balanced(HTMLParser):
    """Fails on a tag that closes another than the one that is open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_every_chart_has_words() -> None:
    page = as_html(results("fifo_longest_idle", "bullseye"), "Days", begins_s=8 * 3600, note="What if: <b>rain</b>.")
    parser = _Balanced()
    parser.feed(page)
    assert parser.open == []
    tags = [tag for tag, _ in parser.seen]
    assert not {"script", "link", "img", "iframe"} & set(tags)
    assert not re.search(r"https?:|url\(|@import", page)
    charts = [attributes for tag, attributes in parser.seen if tag == "svg" and attributes.get("aria-hidden") is None]
    assert len(charts) == 7
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    assert "&lt;b&gt;rain&lt;/b&gt;" in page
    assert "08:00" in page
    for value in re.findall(r' (?:x|y|width|height|x1|x2|y1|y2|cx|cy)="([^"]*)"', page):
        assert re.fullmatch(r"-?\d+(\.\d+)?", value), value


def test_one_policy_alone_has_a_page_too() -> None:
    page = as_html(results("round_robin"), "Days", begins_s=0)
    assert "were answered in time" in page
    assert "Against" not in page
