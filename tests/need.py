"""What a test needs from the machine: without it, skipped loudly with the remedy; in CI, failed."""

from __future__ import annotations

import os

import pytest


def need(condition: object, reason: str, remedy: str) -> None:
    """Returns if `condition` is truthy; else skips with the reason and the command that helps, or fails in CI."""
    if condition:
        return
    words = f"{reason}; {remedy}"
    if os.environ.get("CI") == "true":
        pytest.fail(words, pytrace=False)
    pytest.skip(words)
