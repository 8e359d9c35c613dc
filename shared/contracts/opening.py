"""Opening hours as intervals in UTC: computed where a policy is adopted, because a time-zone database is neither pure
nor the same on every machine, and recorded with the policy, so that every replica opens and closes alike. Long before
they come to their end the leader has them continued (`services/router/hours.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

DAYS: Final = 400
"""How far ahead intervals are computed."""
NEAR_DAYS: Final = 300
"""With fewer days than that left they are continued."""
MOST_INTERVALS: Final = 2_000
"""In one adoption and in one continuation: an entry of the journal has to stay small."""
LEAST_DAYS: Final = 8
"""However many queues there are; continuations follow within the hour."""
_DAY_MS: Final = 86_400_000
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def with_opening(document: Mapping[str, Any], now: int) -> dict[str, Any]:
    """A policy document with `open_ms` in every queue that has business hours: `[[begin, end], …]` in ms since the
    epoch, from the day before `now` on, sorted and without overlaps; and `open_until_ms`, up to when they are all. Of
    very many queues for fewer days."""
    tables = {queue["name"]: queue["business_hours"] for queue in document["queues"] if queue.get("business_hours")}
    opening = {name: list(intervals(hours, now)) for name, hours in tables.items()}
    until, count = _covered_until(now), sum(map(len, opening.values()))
    if count > MOST_INTERVALS:
        until = _covered_until(now, max(LEAST_DAYS, DAYS * MOST_INTERVALS // count))
        opening = {name: [each for each in known if each[0] < until] for name, known in opening.items()}
    queues = [
        {**queue, "open_ms": opening[queue["name"]], "open_until_ms": until} if queue["name"] in opening else queue
        for queue in document["queues"]
    ]
    return {**document, "queues": queues}


def continuations(document: Mapping[str, Any], now: int) -> Iterator[tuple[int, dict[str, list[list[int]]]]]:
    """What is to be added to a document of `with_opening` whose intervals come to their end in less than `NEAR_DAYS`:
    `(until, intervals by queue)`, each with at most `MOST_INTERVALS`. The same all day, whoever asks."""
    until = _covered_until(now)
    together: dict[str, list[list[int]]] = {}
    for queue in document["queues"]:
        hours = queue.get("business_hours")
        known = known_until(queue)
        if hours is None or known >= now + NEAR_DAYS * _DAY_MS:
            continue
        new = [each for each in intervals(hours, now) if each[1] > known]
        if len(new) > MOST_INTERVALS:
            # A part of it; the rest is for the next time.
            yield new[MOST_INTERVALS - 1][1], {queue["name"]: new[:MOST_INTERVALS]}
            continue
        if sum(map(len, together.values())) + len(new) > MOST_INTERVALS:
            yield until, together
            together = {}
        together[queue["name"]] = new
    if together:
        yield until, together


def known_until(queue: Mapping[str, Any]) -> int:
    """Up to when (ms) a queue's intervals are all that there are; of documents that do not say so up to the last."""
    until: int = queue.get("open_until_ms") or max((end for _, end in queue.get("open_ms", ())), default=0)
    return until


def _covered_until(now: int, days: int = DAYS) -> int:
    """Whatever the time zone, every interval that begins before is among `intervals` of so many days. Moves once a
    day."""
    return (now // _DAY_MS + days - 2) * _DAY_MS


def without_opening(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document as an operator wrote it."""
    computed = ("open_ms", "open_until_ms")
    queues = [{name: value for name, value in queue.items() if name not in computed} for queue in document["queues"]]
    return {**document, "queues": queues}


def intervals(hours: Mapping[str, Any], now: int) -> Iterator[list[int]]:
    """The intervals of a weekly table. Local times that a change of the clock skips are taken as the moment after it;
    of those that it repeats, an opening begins with the first and a closing ends with the first."""
    zone = ZoneInfo(hours["tz"])
    closed = {date.fromisoformat(day) if isinstance(day, str) else day for day in hours["closed_dates"]}
    first = datetime.fromtimestamp(now / 1000, zone).date() - timedelta(days=1)
    last: list[int] | None = None
    for number in range(DAYS):
        day = first + timedelta(days=number)
        if day in closed:
            continue
        spans = hours["weekly"].get(_WEEKDAYS[day.weekday()], ())
        for span in sorted([spans] if isinstance(spans, str) else spans):
            begin, end = _interval(day, span, zone)
            if end <= begin:
                continue
            if last is not None and begin <= last[1]:
                last[1] = max(last[1], end)
                continue
            if last is not None:
                yield last
            last = [begin, end]
    if last is not None:
        yield last


def _interval(day: date, span: str, zone: ZoneInfo) -> tuple[int, int]:
    begins, ends = span.split("-")
    over_midnight = ends == "24:00" or ends <= begins
    following = day + timedelta(days=1) if over_midnight else day
    return _moment(day, begins, zone), _moment(following, "00:00" if ends == "24:00" else ends, zone)


def _moment(day: date, clock: str, zone: ZoneInfo) -> int:
    local = datetime.combine(day, time.fromisoformat(clock), zone)
    # A time that was skipped is read with the offset before the change, which puts it as far behind the change as it
    # would have been behind the beginning of the hour that is missing; the change itself is when it happened.
    return round(local.timestamp() * 1000)
