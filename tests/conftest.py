"""What holds for all tests: in CI nothing is skipped, because a skipped test has shown nothing."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from tests.support.fixtures import kafka as kafka
from tests.support.fixtures import prefix as prefix
from tests.support.fixtures import redis_url as redis_url
from tests.support.fixtures import three_brokers as three_brokers


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be: {_reason(report.longrepr)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be: {_reason(report.longrepr)}"
    return report


def _reason(longrepr: object) -> object:
    return longrepr[-1] if isinstance(longrepr, tuple) else longrepr
