from datetime import UTC, datetime, timedelta, timezone

import pytest

from services.api.representations import json_values
from shared.status import NodeStatus, RunStatus

AT = datetime(2025, 11, 24, 4, 5, 7, 999_999, tzinfo=UTC)


def test_every_status_has_a_number_and_back() -> None:
    runs = [json_values.run_label(number) for number in range(9)]
    nodes = [json_values.node_label(number) for number in range(9)]

    assert set(runs) == set(RunStatus)
    assert set(nodes) == set(NodeStatus)
    assert [json_values.run_status(token) for token in runs if token] == list(range(9))
    assert [json_values.node_status(token) for token in nodes if token] == list(range(9))


def test_five_is_queued_for_a_run_and_skipped_for_a_node() -> None:
    assert json_values.run_label(5) is RunStatus.QUEUED
    assert json_values.node_label(5) is NodeStatus.SKIPPED


@pytest.mark.parametrize("number", [-1, 9, 42])
def test_unknown_numbers_have_no_status(number: int) -> None:
    assert json_values.run_label(number) is None
    assert json_values.node_label(number) is None


def test_times_have_second_precision_in_the_zone_shown() -> None:
    assert json_values.timestamp(AT, UTC) == "2025-11-24T04:05:07Z"
    assert json_values.timestamp(AT, timezone(timedelta(hours=9))) == "2025-11-24T13:05:07+09:00"
    assert json_values.timestamp(None, UTC) == ""
    assert json_values.timestamp(None, UTC, "-") == "-"


def test_a_precise_time_keeps_its_fraction_and_year_one_is_none() -> None:
    assert json_values.precise(AT) == "2025-11-24T04:05:07.999999Z"
    assert json_values.precise(None) == "0001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("total", "page", "pages", "after", "before"),
    [(0, 1, 1, None, None), (50, 1, 1, None, None), (51, 1, 2, 2, None), (51, 2, 2, None, 1), (10, 7, 1, None, 6)],
)
def test_paging_is_null_at_both_ends(total: int, page: int, pages: int, after: int | None, before: int | None) -> None:
    block = json_values.pagination(total=total, page=page, per_page=50)

    assert block == {
        "totalRecords": total,
        "currentPage": page,
        "totalPages": pages,
        "nextPage": after,
        "prevPage": before,
    }
