"""Percentiles of durations, and failures grouped by message."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis.strategies import integers, lists

from services.api.run_details.statistics import Durations, durations, failure_groups, step_durations
from shared.status import NodeStatus, RunStatus
from shared.store.reads.reader import EndedRunRow, EndedStepRow

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def run(key: str, status: RunStatus = RunStatus.FAILED, error: str = "") -> EndedRunRow:
    return EndedRunRow(key, key, status, NOW, NOW + timedelta(seconds=1), error)


def step(key: str, name: str, status: NodeStatus, error: str = "", ms: int = 5) -> EndedStepRow:
    return EndedStepRow(key, name, status, NOW, NOW + timedelta(milliseconds=ms), error)


def test_percentiles_are_by_nearest_rank() -> None:
    assert durations([]) is None
    assert durations([7]) == Durations(1, 7, 7)
    assert durations(range(1, 101)) == Durations(100, 50, 95)
    assert durations([3, 1, 2]) == Durations(3, 2, 3)


@given(lists(integers(0, 10**6), min_size=1))
def test_at_least_so_many_do_not_exceed_a_percentile(values: list[int]) -> None:
    found = durations(values)
    assert found is not None
    for percent, value in ((50, found.p50_ms), (95, found.p95_ms)):
        assert value in values
        assert sum(each <= value for each in values) * 100 >= percent * len(values)
        assert sum(each < value for each in values) * 100 < percent * len(values)


def test_steps_keep_their_order_and_only_successes_count() -> None:
    steps = [step("a", "z", NodeStatus.SUCCEEDED, ms=10), step("b", "z", NodeStatus.FAILED, ms=999)]
    steps += [step("a", "b", NodeStatus.SUCCEEDED, ms=20), step("a", "c", NodeStatus.ABORTED)]
    assert list(step_durations(steps).items()) == [("z", Durations(1, 10, 10)), ("b", Durations(1, 20, 20))]


def test_failures_with_the_same_cause_are_one_group() -> None:
    runs = [run("new"), run("mid"), run("old"), run("own", error="prepare failed"), run("fine", RunStatus.SUCCEEDED)]
    steps = [
        step("new", "load", NodeStatus.FAILED, "order 1234567 of 9f1c2d3e-aaaa-bbbb-cccc-0123456789ab: exit status 3"),
        step("old", "load", NodeStatus.FAILED, "order 7654321 of 11111111-2222-3333-4444-555555555555: exit status 3"),
        step("mid", "load", NodeStatus.FAILED, "order 7654321 of 11111111-2222-3333-4444-555555555555: exit status 4"),
        step("mid", "last", NodeStatus.FAILED, "a failure that follows from the first"),
    ]
    found = [(each.step, each.count, each.dag_run_id, each.message[-13:]) for each in failure_groups(runs, steps)]
    assert found == [
        ("load", 2, "new", "exit status 3"),
        ("load", 1, "mid", "exit status 4"),
        ("", 1, "own", "repare failed"),
    ]
