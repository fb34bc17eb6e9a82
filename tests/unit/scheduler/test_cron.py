"""Cron expressions, compared with a simple model that tests every minute."""

import itertools
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from shared.language import cron
from shared.language.cron import fires_between, next_fire, next_fires
from tests.unit.scheduler.oracle import Oracle

NEW_YORK, BERLIN = ZoneInfo("America/New_York"), ZoneInfo("Europe/Berlin")
ZONES = ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kolkata", "UTC")
CHANGES = {
    "America/New_York": [datetime(2027, 3, 14, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)],
    "Europe/Berlin": [datetime(2027, 3, 28, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)],
    "Australia/Lord_Howe": [datetime(2026, 10, 3, tzinfo=UTC), datetime(2027, 4, 3, tzinfo=UTC)],
    "America/Sao_Paulo": [datetime(2018, 11, 4, tzinfo=UTC), datetime(2019, 2, 16, tzinfo=UTC)],
    "Pacific/Apia": [datetime(2011, 12, 29, tzinfo=UTC)],
    "Africa/Casablanca": [datetime(2026, 2, 14, tzinfo=UTC), datetime(2026, 3, 21, tzinfo=UTC)],
}
AROUND_CHANGES = (
    "30 2 * * *", "0 2,3 * * *", "*/30 2-3 * * *", "30 1 * * *", "0 * * * *", "*/30 * * * *", "0 */2 * * *",
    "*/20 1 * * *", "5,35 0-4 * * *", "15 2 * * sun", "0 0 * * *", "59 23 * * *", "1-59/7 1-3 * * *", "* * * * *",
    "0 1-23/3 28-31 * 0",
)  # fmt: skip


def both(expression: str, zone: str, start: datetime, days: float) -> tuple[list[datetime], list[datetime]]:
    tz, until = ZoneInfo(zone), start + timedelta(days=days)
    return list(fires_between(expression, start, until, tz)), list(Oracle(expression, tz).between(start, until))


@pytest.mark.parametrize("expression", AROUND_CHANGES)
@pytest.mark.parametrize("zone", CHANGES)
def test_around_every_kind_of_clock_change(expression: str, zone: str) -> None:
    for change in CHANGES[zone]:
        found, expected = both(expression, zone, change - timedelta(hours=8), 1.6)

        assert found == expected


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe"])
def test_from_any_minute_of_a_change(zone: str) -> None:
    for change, expression in itertools.product(CHANGES[zone], ("30 1 * * *", "*/20 1-2 * * *", "15 2 * * *")):
        start = change - timedelta(hours=12)
        due = list(Oracle(expression, ZoneInfo(zone)).between(start, start + timedelta(days=4)))
        for minutes in range(0, 48 * 60, 7):
            after = start + timedelta(minutes=minutes, seconds=13)
            assert next_fire(expression, after, ZoneInfo(zone)) == next(at for at in due if at > after)


def test_a_time_after_two_clock_changes_is_found_in_both_passes_of_the_repeated_hour() -> None:
    year = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)

    def due(expression: str, tz: tzinfo) -> list[str]:
        return [f"{at:%m-%d %H:%M}" for at in fires_between(expression, *year, tz)]

    # Standard time at the beginning of the year, summer time in the first pass, and summer time again a year later.
    assert due("*/20 1 1 11 *", NEW_YORK) == [f"11-01 0{h}:{m:02}" for h in (5, 6) for m in (0, 20, 40)]
    assert due("*/30 2 * 10 7", BERLIN)[-4:] == ["10-25 00:00", "10-25 00:30", "10-25 01:00", "10-25 01:30"]
    # The clock changes four times before the time: for the month of Ramadan, and for that of the year after.
    casablanca = next_fire("*/30 2 30 12 *", datetime(2025, 12, 31, tzinfo=UTC), ZoneInfo("Africa/Casablanca"))
    assert casablanca == datetime(2026, 12, 30, 1, tzinfo=UTC)


def number(low: int, high: int) -> st.SearchStrategy[str]:
    return st.integers(low, high).map(str)


def field(low: int, high: int, *names: str) -> st.SearchStrategy[str]:
    span = (
        st.tuples(st.integers(low, high), st.integers(low, high)).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
    )
    stepped = st.tuples(st.one_of(st.just("*"), span), st.integers(1, 9)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    item = st.one_of(number(low, high), span, *([st.sampled_from(names)] if names else []))
    return st.one_of(st.just("*"), stepped, st.lists(item, min_size=1, max_size=3).map(",".join))


EXPRESSIONS = st.tuples(
    field(0, 59), field(0, 23), field(1, 31), field(1, 12, "JAN", "feb"), field(0, 7, "SUN", "fri")
).map(" ".join)


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate])
@example("0 0 29 2 *", "UTC", 0)
@example("30 4 * 2-2 fri-FRI", "UTC", 33)
@example("30 4 1-31 * 1", "UTC", 33)
@example("30 4 */2 * */3", "UTC", 33)
@example("30 4 */1 * 2", "UTC", 33)
@example("0 12 1-7 * 1", "Europe/Berlin", 40)
@example("30 4 31 * *", "Asia/Kolkata", 90)
@given(EXPRESSIONS, st.sampled_from(ZONES), st.integers(0, 800))
def test_any_expression_over_some_days(expression: str, zone: str, day: int) -> None:
    start = datetime(2026, 1, 1, 5, 17, 31, tzinfo=UTC) + timedelta(days=day)

    found, expected = both(expression, zone, start, 4)

    assert found == expected


def test_leap_years_month_ends_and_unions_of_days() -> None:
    def days(expression: str, year: int, count: int) -> list[str]:
        at = datetime(year, 1, 1, tzinfo=UTC)
        found = itertools.islice(fires_between(expression, at, at + timedelta(days=5000), ZoneInfo("UTC")), count)
        return [f"{moment:%Y-%m-%d}" for moment in found]

    assert days("0 0 29 2 *", 2026, 2) == ["2028-02-29", "2032-02-29"]
    assert days("0 0 29 2 *", 2097, 1) == ["2104-02-29"]
    assert days("0 0 31 * *", 2027, 4) == ["2027-01-31", "2027-03-31", "2027-05-31", "2027-07-31"]
    assert days("0 0 13 * 5", 2027, 3) == ["2027-01-08", "2027-01-13", "2027-01-15"]
    assert days("0 0 31 2 1", 2027, 3) == ["2027-02-01", "2027-02-08", "2027-02-15"], "there is no February 31"


def test_seven_is_sunday_and_names_aliases_and_question_marks_are_understood() -> None:
    start = datetime(2026, 11, 24, tzinfo=UTC)

    def first(expression: str) -> datetime | None:
        return next_fire(expression, start, ZoneInfo("UTC"))

    assert first("0 3 * * 7") == first("0 3 ? * SUN") == first("0 3 * * 0") == datetime(2026, 11, 29, 3, tzinfo=UTC)
    assert first("0 12 * ? *") == first("0 12 ? ? ?") == datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert first("? ? * * *") == first("* * * * *") == datetime(2026, 11, 24, 0, 1, tzinfo=UTC)
    assert first("?/20 3 * * *") == first("*/20 3 * * *") == datetime(2026, 11, 24, 3, tzinfo=UTC)
    assert first("0 3 * * 5-7") == datetime(2026, 11, 27, 3, tzinfo=UTC)
    assert first("@daily") == first("@MIDNIGHT") == datetime(2026, 11, 25, tzinfo=UTC)
    assert first("@weekly") == datetime(2026, 11, 29, tzinfo=UTC)
    assert first("@hourly") == datetime(2026, 11, 24, 1, tzinfo=UTC)
    assert first("@monthly") == datetime(2026, 12, 1, tzinfo=UTC)
    assert first("@yearly") == first("@annually") == datetime(2027, 1, 1, tzinfo=UTC)


def test_an_expressions_own_zone_counts_before_the_servers() -> None:
    after = datetime(2026, 11, 24, tzinfo=UTC)

    assert next_fire("CRON_TZ=Asia/Tokyo 0 12 * * *", after, NEW_YORK) == datetime(2026, 11, 24, 3, tzinfo=UTC)
    assert next_fire("TZ=Europe/Berlin 0 12 * * *", after, NEW_YORK) == datetime(2026, 11, 24, 11, tzinfo=UTC)
    assert next_fire("0 12 * * *", after, NEW_YORK) == datetime(2026, 11, 24, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    "expression", ["", "* * * *", "0 * * * * *", "@reboot", "61 * * * *", "0 0 31 2 *", "CRON_TZ=No/Where * * * * *"]
)
def test_what_is_not_valid_is_never_due(expression: str) -> None:
    assert next_fire(expression, datetime(2026, 11, 24, tzinfo=UTC), BERLIN) is None


@pytest.mark.parametrize("expression", ["0\u00a06 * * *", "CRON_TZ=UTC\u30000  6 *\u00a0* *", " 0 6 * * *\u2009"])
def test_any_space_separates_fields(expression: str) -> None:
    noon = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    assert next_fire(expression, noon, ZoneInfo("UTC")) == datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize(("expression", "minutes"), [("5/15 * * * *", "05 20 35 50"), ("59/15 * * * *", "59")])
def test_a_step_after_a_single_number_goes_to_the_end(expression: str, minutes: str) -> None:
    """Their meaning changed in croniter 7.0 without notice; the expected one is cron's."""
    start = datetime(2026, 11, 24, 0, 0, tzinfo=UTC)
    found = fires_between(expression, start, start + timedelta(minutes=59, seconds=59), ZoneInfo("UTC"))

    assert [f"{at:%M}" for at in found] == minutes.split()


def test_the_next_fires_of_several_expressions_come_in_order_and_once_each() -> None:
    noon = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    assert next_fires(["0 */6 * * *", "0 18 * * *", "30 18 * * *"], noon, UTC, most=3) == [
        noon.replace(hour=18), noon.replace(hour=18, minute=30), noon.replace(day=2, hour=0),
    ]  # fmt: skip
    assert next_fires([], noon, UTC) == []
    assert next_fires(["0 0 30 2 *"], noon, UTC) == []


def test_many_expressions_cost_one_search_for_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []

    def counting(expression: str, after: datetime, tz: tzinfo) -> datetime | None:
        searched.append(expression)
        return next_fire(expression, after, tz)

    monkeypatch.setattr(cron, "next_fire", counting)
    hourly = [f"{minute} * * * *" for minute in range(50)]

    assert len(next_fires(hourly, datetime(2026, 3, 1, tzinfo=UTC), UTC, most=100)) == 100
    assert len(searched) == 50 + 100


def test_a_comma_with_nothing_beside_it_does_not_count() -> None:
    start, berlin = datetime(2026, 11, 24, tzinfo=UTC), ZoneInfo("Europe/Berlin")

    for expression in ("5,,35 3, * * *", ",5,35 3 * * *", "CRON_TZ=Europe/Berlin 5,35, ,3 * * *"):
        assert next_fire(expression, start, berlin) == datetime(2026, 11, 24, 2, 5, tzinfo=UTC), expression
    assert next_fire(", 3 * * *", start, berlin) is None
    assert next_fire("CRON_TZ= 5 3 * * *", start, berlin) == datetime(2026, 11, 24, 3, 5, tzinfo=UTC), "UTC"
