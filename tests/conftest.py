"""What holds for all tests: in CI nothing is skipped, because a skipped test has shown nothing; and where several
workers share them (`make test`), those that talk to servers are one worker's, one after the other, while the others
compute."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # xdist tells no types

from tests.support.fixtures import kafka as kafka
from tests.support.fixtures import prefix as prefix
from tests.support.fixtures import redis_url as redis_url
from tests.support.fixtures import three_brokers as three_brokers

HERE: Final = Path(__file__).parent
COMPUTING: Final = tuple(
    HERE / part for part in ("compiled", "oracle", "scenarios", "simulation", "unit/engine", "unit/twin")
)
"""Tests that need nothing but time: no servers, no sockets, no bounds of real time."""
YIELDING: Final = 10
"""How nice these are to tests beside them that have bounds of real time."""


class _Lanes(LoadScopeScheduling):  # type: ignore[misc]  # for the same reason
    """Servers of a session are started once, and nobody else loads them: their tests are one piece of work, each of the
    others is one for itself."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if _computes(HERE.parent / nodeid.split("::")[0]) else "servers"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _Lanes(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A worker that computes leaves the processors to the one with the servers. It stays so: by then that one has all
    of its tests."""
    if "PYTEST_XDIST_WORKER" in os.environ and _computes(item.path) and not os.nice(0):
        os.nice(YIELDING)


def _computes(file: Path) -> bool:
    return any(file.is_relative_to(part) for part in COMPUTING)


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
