"""Alert rules: each has tests that it passes, a paragraph for whoever is woken by it, and metrics that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.need import need
from tests.support.compose import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "prometheus"
RULES: dict[str, Any] = yaml.safe_load((FOLDER / "alerts.yml").read_text())
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
SUITES = sorted((FOLDER / "tests").glob("*.yml"))
RUNBOOK = (REPOSITORY / "docs" / "operating.md").read_text()


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    need(found, "checking alert rules needs promtool", "apt-get install -y prometheus")
    assert found is not None
    return found


def kebab(name: str) -> str:
    """`NoLeader` as the anchor that a heading `No leader` has."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, check=False)


def test_the_configuration_is_one(promtool: str) -> None:
    done = run(promtool, "check", "config", FOLDER / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


@pytest.mark.parametrize("suite", SUITES, ids=lambda file: str(file.stem))
def test_alerts_fire_when_they_should_and_not_when_they_should_not(promtool: str, suite: Path) -> None:
    done = run(promtool, "test", "rules", suite)
    assert done.returncode == 0, done.stdout + done.stderr


def broken(rule: dict[str, Any], how: str) -> dict[str, Any]:
    """The rule as it would be if it never fired, if its limits were gone, or if it did not wait."""
    match how:
        case "never":
            return rule | {"expr": "vector(0) > 1"}
        case "without limits":
            return {**rule, "expr": re.sub(r" (?:>|<|==) [\d.]+", " > -Inf", rule["expr"])}
        case _:
            return {key: value for key, value in rule.items() if key != "for"}


@pytest.mark.parametrize("how", ["never", "without limits", "without waiting"])
def test_a_broken_rule_is_noticed(promtool: str, tmp_path: Path, how: str) -> None:
    groups = [{**group, "rules": [broken(rule, how) for rule in group["rules"]]} for group in RULES["groups"]]
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump({"groups": groups}))
    suites = shutil.copytree(FOLDER / "tests", tmp_path / "tests").glob("*.yml")
    done = run(promtool, "test", "rules", *suites)
    assert done.returncode == 1
    noticed = set(re.findall(r'expr: ".*?alertname=\\?"(\w+)', done.stdout + done.stderr))
    assert noticed == {name for name, rule in ALERTS.items() if how != "without waiting" or "for" in rule}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_why_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "cause", "action", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/operating.md#{kebab(name)}"


def test_every_alert_has_its_paragraph_and_every_paragraph_its_alert() -> None:
    (section,) = re.findall(r"^## Alerts$(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    paragraphs = dict(re.findall(r"^### ([^\n]*)\n\n(.*?)(?=\n\n###|\Z)", section, re.MULTILINE | re.DOTALL))
    anchors = {heading.lower().replace(" ", "-"): text for heading, text in paragraphs.items()}
    assert set(anchors) == {kebab(name) for name in ALERTS}
    assert [anchor for anchor, text in anchors.items() if len(text.split()) < 20] == []


def test_alerts_ask_for_metrics_that_exist() -> None:
    listed = re.findall(r"^\| `(switchdesk_\w+)` \|", (REPOSITORY / "docs" / "metrics.md").read_text(), re.MULTILINE)
    asked = {
        re.sub(r"_bucket$", "", metric)
        for rule in ALERTS.values()
        for metric in re.findall(r"\bswitchdesk_\w+", rule["expr"])
    }
    assert asked - set(listed) == set()


LABELS: dict[str, set[str]] = {
    name: set(re.findall(r"\w+", labels))
    for name, labels in re.findall(
        r"^\| `(switchdesk_\w+)` \| (?:counter|gauge|histogram) \| ([^|]*) \|",
        (REPOSITORY / "docs" / "metrics.md").read_text(),
        re.MULTILINE,
    )
}
"""What the code puts on each metric: `tests/unit/api/test_metrics.py` holds the page against it."""
FROM_PROMETHEUS = {"instance", "job"}
FROM_HISTOGRAMS = {"le"}


def labels_of(metric: str) -> set[str]:
    histogram = metric.endswith("_bucket")
    known = LABELS[metric.removesuffix("_bucket") if histogram else metric]
    return known | FROM_PROMETHEUS | (FROM_HISTOGRAMS if histogram else set())


def unknown_labels(expression: str, told: str) -> set[str]:
    """Labels that an expression asks for, or its words tell, and a metric in it does not have: such an alert would
    never fire, or fire for nobody."""
    unknown = {
        f"{metric}{{{label}}}"
        for metric, selector in re.findall(r"\b(switchdesk_\w+)(?:\{([^}]*)\})?", expression)
        for label in re.findall(r"(\w+)\s*(?:=|!)", selector)
        if label not in labels_of(metric)
    }
    asked = {label for group in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression) for label in group.split(", ")}
    metrics = set(re.findall(r"\bswitchdesk_\w+", expression))
    for label in asked:
        unknown |= {f"{metric}{{{label}}}" for metric in metrics if label not in labels_of(metric)}
    # One metric of an alert may stand for all: `and` keeps the labels of its left side.
    return unknown | {
        f"{{{label}}}"
        for label in re.findall(r"\$labels\.(\w+)", told)
        if not any(label in labels_of(metric) for metric in metrics) and label not in FROM_PROMETHEUS
    }


@pytest.mark.parametrize("name", ALERTS)
def test_alerts_ask_for_labels_that_their_metrics_have(name: str) -> None:
    rule = ALERTS[name]
    assert unknown_labels(rule["expr"], " ".join(rule["annotations"].values())) == set()


def test_a_label_that_no_metric_has_is_noticed() -> None:
    assert unknown_labels("switchdesk_views_queue > 500", "{{ $labels.partition }}")
    assert unknown_labels("sum by (partition) (switchdesk_views_queue) > 500", "")
    assert unknown_labels('switchdesk_views_queue{partition="0"} > 500', "")
    assert not unknown_labels(
        'sum by (instance) (switchdesk_views_queue{job="engine"}) > 500', "{{ $labels.instance }}"
    )


@pytest.mark.parametrize("suite", SUITES, ids=lambda file: str(file.stem))
def test_series_of_tests_have_the_labels_that_the_code_puts_on_them(suite: Path) -> None:
    """Else a rule is tested on something that is never seen."""
    wrong = []
    for test in yaml.safe_load(suite.read_text())["tests"]:
        for one in test["input_series"]:
            metric, selector = re.fullmatch(r"(\w+)(?:\{(.*)\})?", one["series"]).groups()  # type: ignore[union-attr]
            if metric == "up":
                continue
            found = set(re.findall(r"(\w+)=", selector or ""))
            # A series may leave out where it was scraped, and nothing else.
            if not (found <= labels_of(metric) and labels_of(metric) - FROM_PROMETHEUS <= found):
                wrong.append(one["series"])
    assert wrong == []
