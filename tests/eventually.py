"""Waiting for a condition, so that no test sleeps and hopes."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(condition: Callable[[], Awaitable[T]], *, within_s: float = 5.0, every_s: float = 0.02) -> T: ...


@overload
async def eventually(condition: Callable[[], T], *, within_s: float = 5.0, every_s: float = 0.02) -> T: ...


async def eventually(condition: Callable[[], T | Awaitable[T]], *, within_s: float = 5.0, every_s: float = 0.02) -> T:
    """The first truthy value of `condition`, which may be sync or async.

    Raises AssertionError that names the condition and its last value if none came within `within_s`.
    """
    deadline = time.monotonic() + within_s
    while True:
        outcome = condition()
        value: T = await outcome if inspect.isawaitable(outcome) else outcome
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"{_describe(condition)} did not come true within {within_s} s; last value: {value!r}")
        await asyncio.sleep(every_s)


def _describe(condition: Callable[..., object]) -> str:
    try:
        return " ".join(inspect.getsource(condition).split())
    except (OSError, TypeError):
        return getattr(condition, "__qualname__", repr(condition))
