"""After each test here: what the cut connections left behind."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _half_open_connections() -> Iterator[None]:
    """A connection that a fault cuts while a client of the test is still making it leaves a socket to the collector.
    It goes here, so that the next test is not blamed for it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
