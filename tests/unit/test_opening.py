"""Opening hours as intervals in UTC: weekly tables, closed days, and clocks that change."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from shared.contracts.opening import intervals, with_opening, without_opening

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
