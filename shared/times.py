"""Times as they cross the border: RFC 3339 in UTC with milliseconds; integer milliseconds inside."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


def rfc3339(at_ms: int) -> str:
    """`2026-03-01T09:30:00.250Z` for integer milliseconds since the epoch."""
    seconds, ms = divmod(at_ms, 1000)
    return f"{_second(seconds)}.{ms:03d}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    """A document tells many times that lie close together."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")[:-6]


def from_datetime(moment: datetime) -> int:
    """Integer milliseconds since the epoch; a time without a zone counts as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
