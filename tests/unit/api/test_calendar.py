"""The days of a calendar: in the zone of the server, also where clocks change."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from services.api.representations.calendar_json import calendar_days, month_bounds, planned_times
from shared.store.reads.reader import FireTime

BERLIN = ZoneInfo("Europe/Berlin")
MARCH = date(2026, 3, 1)
NOW = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)


def fire(at: str, outcome: str, until: str | None = None, expression: str = "30 23 * * *") -> FireTime:
    return FireTime(
        datetime.fromisoformat(at), None if until is None else datetime.fromisoformat(until), expression, outcome
    )


def counted(found: dict[str, Any], kind: str) -> dict[str, int]:
    return {day["date"]: day[kind] for day in found["days"] if day[kind]}


def month_of(month: date, expressions: list[str]) -> dict[str, Any]:
    return calendar_days(month, [], planned_times([expressions], month, now=NOW, zone=UTC), zone=UTC)


def test_fires_fall_on_days_of_the_servers_zone() -> None:
    fires = [
        fire("2026-03-01T22:30:00+00:00", "fired"),  # 23:30 in Berlin
        fire("2026-03-02T23:30:00+00:00", "skipped"),  # half past midnight of the next day
        fire("2026-03-10T22:30:00+00:00", "missed", until="2026-03-12T22:30:00+00:00"),
        fire("2026-03-20T10:00:00+00:00", "missed", until="2026-03-21T10:00:00+00:00", expression="0 0 30 2 *"),
    ]

    found = calendar_days(MARCH, fires, planned_times((), MARCH, now=NOW, zone=BERLIN), zone=BERLIN)

    assert found["month"] == "2026-03"
    assert len(found["days"]) == 31
    assert counted(found, "fired") == {"2026-03-01": 1}
    assert counted(found, "skipped") == {"2026-03-03": 1}
    assert counted(found, "missed") == {"2026-03-10": 1, "2026-03-11": 1, "2026-03-12": 1, "2026-03-20": 1}
    # The clock goes forward on the 29th: that day ends an hour earlier in UTC.
    assert [day["end"] for day in found["days"]][-3:-1] == ["2026-03-30T00:00:00+02:00", "2026-03-31T00:00:00+02:00"]
    begin, end = month_bounds(MARCH, BERLIN)
    assert end - begin == timedelta(days=31, hours=-1)


def test_what_is_planned_is_counted_from_now_on_to_a_limit() -> None:
    daily = month_of(MARCH, ["0 4 * * *", "0 5 * * *"])
    assert counted(daily, "planned") == {"2026-03-29": 2, "2026-03-30": 2, "2026-03-31": 2}
    assert "plannedUntil" not in daily

    busy = month_of(MARCH, ["* * * * *"])
    assert sum(counted(busy, "planned").values()) == 2000
    assert busy["plannedUntil"] == "2026-03-29T21:20:00Z"

    assert counted(month_of(date(2026, 2, 1), ["0 4 * * *"]), "planned") == {}
    april = month_of(date(2026, 4, 1), ["0 4 * * *"])
    assert len(counted(april, "planned")) == 30


def test_the_planned_times_of_several_dags_are_counted_in_order() -> None:
    schedules = [["0 4 * * *", "0 4 29 * *"], ["0 5 * * *"], []]
    at = [f"2026-03-{day}T0{hour}:00:00+00:00" for day in (29, 30, 31) for hour in (4, 5)]

    whole = planned_times(schedules, MARCH, now=NOW, zone=UTC)
    assert ([each.isoformat() for each in whole.times], whole.until) == (at, None)
    few = planned_times(schedules, MARCH, now=NOW, zone=UTC, most=3)
    assert ([each.isoformat() for each in few.times], few.until) == (at[:3], few.times[-1])
    # Others are due from the 30th on, and are not given.
    limit = datetime(2026, 3, 30, tzinfo=UTC)
    partly = planned_times(schedules, MARCH, now=NOW, zone=UTC, known_until=limit)
    assert ([each.isoformat() for each in partly.times], partly.until) == (at[:2], limit)
