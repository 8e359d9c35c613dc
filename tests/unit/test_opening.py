"""Opening hours as intervals in UTC: weekly tables, closed days, and clocks that change."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared.contracts.opening import (
    DAYS,
    LEAST_DAYS,
    MOST_INTERVALS,
    NEAR_DAYS,
    continuations,
    intervals,
    known_until,
    with_opening,
    without_opening,
)

BERLIN = "Europe/Berlin"


def moment(text: str, zone: str = BERLIN, *, fold: int = 0) -> int:
    """Local time to ms since the epoch; `fold` 1 is the second of two equal times."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


def hours(weekly: dict[str, Any], *closed: str, zone: str = BERLIN) -> dict[str, Any]:
    return {"tz": zone, "weekly": weekly, "closed_dates": list(closed)}


def on(found: list[list[int]], day: str, zone: str = BERLIN) -> list[tuple[str, str]]:
    """The intervals that begin on a local day, as local times."""
    local = [tuple(datetime.fromtimestamp(at / 1000, ZoneInfo(zone)) for at in pair) for pair in found]
    return [(f"{begin:%H:%M}", f"{end:%H:%M}") for begin, end in local if f"{begin:%Y-%m-%d}" == day]


def test_days_have_their_hours_and_the_others_none() -> None:
    found = list(
        intervals(hours({"mon": "09:00-17:00", "tue": ["08:00-12:00", "13:00-18:30"]}), moment("2026-01-05T00:00"))
    )
    assert on(found, "2026-01-05") == [("09:00", "17:00")]
    assert on(found, "2026-01-06") == [("08:00", "12:00"), ("13:00", "18:30")]
    assert on(found, "2026-01-07") == []
    assert on(found, "2026-12-28") == [("09:00", "17:00")], "a year later too"


def test_a_closed_date_is_closed() -> None:
    found = list(intervals(hours({"fri": "09:00-17:00"}, "2026-01-09"), moment("2026-01-05T00:00")))
    assert on(found, "2026-01-09") == []
    assert on(found, "2026-01-16") == [("09:00", "17:00")]


def test_a_night_shift_ends_the_next_morning() -> None:
    found = list(intervals(hours({"mon": "22:00-06:00", "tue": "22:00-24:00"}), moment("2026-01-05T00:00")))
    assert [moment("2026-01-05T22:00"), moment("2026-01-06T06:00")] in found
    assert [moment("2026-01-06T22:00"), moment("2026-01-07T00:00")] in found


def test_days_without_a_break_are_one_interval() -> None:
    week = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    found = list(intervals(hours(dict.fromkeys(week, "00:00-24:00")), moment("2026-03-20T00:00")))
    assert len(found) == 1, "no moment closed, whatever the clocks do"


def test_overlapping_spans_are_one() -> None:
    found = list(intervals(hours({"mon": ["09:00-12:00", "11:00-15:00"]}), moment("2026-01-05T00:00")))
    assert on(found, "2026-01-05") == [("09:00", "15:00")]


def test_a_night_in_spring_is_an_hour_shorter_and_one_in_autumn_longer() -> None:
    spring = next(intervals(hours({"sat": "22:00-06:00"}), moment("2026-03-27T00:00")))
    autumn = next(intervals(hours({"sat": "22:00-06:00"}), moment("2026-10-23T00:00")))
    assert (spring[1] - spring[0], autumn[1] - autumn[0]) == (7 * 3_600_000, 9 * 3_600_000)


def test_what_begins_in_the_hour_that_is_missing_begins_after_it() -> None:
    found = list(intervals(hours({"sun": "02:30-05:00"}), moment("2026-03-27T00:00")))
    assert found[0] == [moment("2026-03-29T03:30"), moment("2026-03-29T05:00")]


def test_what_begins_or_ends_in_the_hour_that_comes_twice_does_so_the_first_time() -> None:
    found = list(intervals(hours({"sun": ["02:30-05:00"]}), moment("2026-10-23T00:00")))
    assert found[0][0] == moment("2026-10-25T02:30", fold=0)
    found = list(intervals(hours({"sun": ["00:30-02:30"]}), moment("2026-10-23T00:00")))
    assert found[0][1] == moment("2026-10-25T02:30", fold=0)


def test_a_document_gets_its_intervals_and_gives_them_back() -> None:
    document = {"queues": [{"name": "a", "business_hours": hours({"mon": "09:00-17:00"})}, {"name": "b"}]}
    opened = with_opening(document, moment("2026-01-05T00:00"))
    assert opened["queues"][0]["open_ms"][0] == [moment("2026-01-05T09:00"), moment("2026-01-05T17:00")]
    assert opened["queues"][1] == {"name": "b"}
    assert without_opening(opened) == document


DAY = 86_400_000
EVERY_DAY = dict.fromkeys(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), "09:00-17:00")


def adopted_on(day: str, *queues: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """A document as it was adopted that day, and when that was."""
    now = moment(f"{day}T12:00")
    return with_opening({"queues": list(queues)}, now), now


def open_daily(name: str = "a", zone: str = BERLIN) -> dict[str, Any]:
    return {"name": name, "business_hours": hours(EVERY_DAY, zone=zone)}


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "Asia/Jakarta", BERLIN])
@pytest.mark.parametrize("clock", ["00:00", "11:59", "23:59"])
def test_a_document_says_up_to_when_its_intervals_are_all(zone: str, clock: str) -> None:
    now = moment(f"2026-01-05T{clock}", "UTC")
    (queue,) = with_opening({"queues": [open_daily(zone=zone)]}, now)["queues"]
    later = [each for each in intervals(queue["business_hours"], now + 90 * DAY) if each[0] < queue["open_until_ms"]]
    assert set(map(tuple, later)) <= set(map(tuple, queue["open_ms"]))
    assert queue["open_until_ms"] - now > (DAYS - 3) * DAY


def test_nothing_is_continued_before_it_is_time() -> None:
    document, now = adopted_on("2026-01-05", open_daily(), {"name": "b"})
    assert list(continuations(document, now)) == []
    assert list(continuations(document, now + (DAYS - NEAR_DAYS - 4) * DAY)) == []


def test_a_continuation_begins_where_the_intervals_end_and_is_the_same_all_day() -> None:
    document, now = adopted_on("2026-01-05", open_daily(), open_daily("jakarta", "Asia/Jakarta"), {"name": "b"})
    later = now + (DAYS - NEAR_DAYS) * DAY
    ((until, found),) = continuations(document, later)
    assert list(found) == ["a", "jakarta"]
    assert until - later > (DAYS - 3) * DAY
    for queue in document["queues"][:2]:
        joined = sorted({tuple(each) for each in [*queue["open_ms"], *found[queue["name"]]]})
        anew = [tuple(each) for each in intervals(queue["business_hours"], later)]
        assert [each for each in joined if each >= anew[0]] == anew
        assert len(found[queue["name"]]) < 110, "what is known already is not said again"
    assert list(continuations(document, later + 3_600_000)) == [(until, found)]


def test_continuations_are_bounded_in_size_and_come_in_parts() -> None:
    queues = [open_daily(f"q{n}") for n in range(60)]
    document, now = adopted_on("2026-01-05", *queues)
    parts = list(continuations(document, now + (DAYS - NEAR_DAYS) * DAY))
    assert len(parts) > 1
    assert max(sum(map(len, part.values())) for _, part in parts) <= MOST_INTERVALS
    assert [name for _, part in parts for name in part] == [queue["name"] for queue in queues]


def test_one_queue_with_very_many_intervals_goes_on_in_parts_of_bounded_size() -> None:
    spans = [f"{hour:02}:{minute:02}-{hour:02}:{minute + 5:02}" for hour in range(24) for minute in range(0, 50, 10)]
    busy: dict[str, Any] = {"name": "busy", "business_hours": hours(dict.fromkeys(EVERY_DAY, spans))}
    document, now = adopted_on("2026-01-05", busy)
    later = now + (DAYS - NEAR_DAYS + 60) * DAY
    rounds = 0
    while parts := list(continuations(document, later)):
        ((until, found),) = parts
        (queue,) = document["queues"]
        assert len(found["busy"]) <= MOST_INTERVALS
        assert until > known_until(queue)
        together = sorted({tuple(each) for each in [*queue["open_ms"], *found["busy"]]})
        document = {"queues": [{**queue, "open_ms": together, "open_until_ms": until}]}
        rounds += 1
    assert rounds > 1
    anew = [tuple(each) for each in intervals(busy["business_hours"], later)]
    assert [each for each in anew if each[1] <= known_until(document["queues"][0])] == [
        each for each in document["queues"][0]["open_ms"] if each >= anew[0]
    ]


def test_a_document_of_before_goes_on_from_its_last_interval() -> None:
    document, now = adopted_on("2026-01-05", open_daily())
    old = {"queues": [{name: value for name, value in document["queues"][0].items() if name != "open_until_ms"}]}
    ((_, found),) = continuations(old, now + (DAYS - NEAR_DAYS) * DAY)
    assert found["a"][0][0] > old["queues"][0]["open_ms"][-1][0]


def test_very_many_queues_are_adopted_for_fewer_days_and_continued_at_once() -> None:
    queues = [open_daily(f"q{n}") for n in range(60)]
    document, now = adopted_on("2026-01-05", *queues)
    assert sum(len(queue["open_ms"]) for queue in document["queues"]) <= MOST_INTERVALS + len(queues)
    until = known_until(document["queues"][0])
    assert until > now + LEAST_DAYS * DAY
    whole = list(intervals(queues[0]["business_hours"], now))
    assert document["queues"][0]["open_ms"] == [each for each in whole if each[0] < until]
    parts = list(continuations(document, now))
    joined = [*document["queues"][0]["open_ms"], *parts[0][1]["q0"]]
    assert sorted({tuple(each) for each in joined}) == [tuple(each) for each in whole]
