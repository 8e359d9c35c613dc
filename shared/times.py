"""Times as they cross the border: RFC 3339 in UTC with milliseconds; integer milliseconds inside."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(at_ms: int) -> str:
    """`2026-03-01T09:30:00.250Z` for integer milliseconds since the epoch."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def from_datetime(moment: datetime) -> int:
    """Integer milliseconds since the epoch; a time without a zone counts as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
