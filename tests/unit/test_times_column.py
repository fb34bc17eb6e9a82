"""Times in the statements that SQLite gets. That they come back as they were is shown in ``test_store_bulk``."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import DateTime, create_engine

from shared.store.tables.base import UTCDateTime

DIALECT = create_engine("sqlite://").dialect


@pytest.mark.parametrize(
    "time",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        datetime(2026, 11, 29, 23, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime(9999, 12, 31, 23, 59, 59, 1, tzinfo=UTC),
    ],
)
def test_a_time_is_stored_as_sqlalchemy_stores_it_in_utc(time: datetime) -> None:
    bind = UTCDateTime().dialect_impl(DIALECT).bind_processor(DIALECT)
    usual = DateTime().dialect_impl(DIALECT).bind_processor(DIALECT)
    assert bind is not None
    assert usual is not None

    assert bind(time) == usual(time.astimezone(UTC))
    assert bind(None) is None


def test_the_two_hours_that_a_clock_shows_twice_are_stored_as_two() -> None:
    bind = UTCDateTime().dialect_impl(DIALECT).bind_processor(DIALECT)
    first = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    second = first.replace(fold=1)
    assert bind is not None
    assert first == second, "Python compares what the clock shows, so a cache of texts must not have these as keys"

    assert [bind(first), bind(second)] == ["2026-10-25 00:30:00.000000", "2026-10-25 01:30:00.000000"]


def test_a_time_without_a_zone_is_refused() -> None:
    bind = UTCDateTime().dialect_impl(DIALECT).bind_processor(DIALECT)
    assert bind is not None

    with pytest.raises(ValueError, match="a time needs a time zone"):
        bind(datetime(2026, 1, 2))  # noqa: DTZ001 - that is what is refused
