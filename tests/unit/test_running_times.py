"""Admissions over the limit of a queue are found, without a look at all runs for each of them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.store.checks.running_times import RunningTime, admissions_over

T0 = datetime(2027, 1, 1, tzinfo=UTC)


def at(second: float) -> datetime:
    return T0 + timedelta(seconds=second)


@st.composite
def run_times(draw: st.DrawFn) -> RunningTime:
    begin, took = draw(st.integers(0, 60)), draw(st.none() | st.integers(0, 80))
    until = None if took is None else at(begin + took)
    return RunningTime(f"{draw(st.integers(0, 99))}", at(begin), until, draw(st.booleans()), draw(st.integers(1, 3)))


@given(
    spans=st.lists(run_times(), max_size=8, unique_by=lambda span: span.run_key),
    limit=st.none() | st.integers(1, 3),
    margin_s=st.sampled_from([0, 5, 30]),
    since_s=st.sampled_from([0, 20]),
)
def test_an_admission_is_over_the_limit_if_more_runs_than_that_ran(
    spans: list[RunningTime], limit: int | None, margin_s: int, since_s: int
) -> None:
    margin = timedelta(seconds=margin_s)
    expected = set()
    for admission in spans:
        running = [span for span in spans if span.covers(admission.since, margin)]
        allowed = limit or max((span.limit for span in running), default=1)
        if admission.admitted and admission.since >= at(since_s) and len(running) > allowed:
            expected.add((admission.run_key, len(running), allowed))

    found = [
        (admission.run_key, *counts)
        for admission, *counts in admissions_over(limit, spans, {}, margin, since=at(since_s))
    ]

    assert set(found) == expected
    assert len(found) == len(expected)


def test_a_sub_run_in_the_place_of_its_caller_is_not_over_the_limit() -> None:
    spans = [RunningTime(key, at(second), None, True, 1) for second, key in enumerate(("above", "below", "besides"))]

    def found(ran: list[RunningTime]) -> list[str]:
        return [each[0].run_key for each in admissions_over(1, ran, {"below": "above"}, timedelta(0), since=T0)]

    assert found(spans[:2]) == []
    assert found(spans) == ["besides"]


@pytest.mark.parametrize(("limit", "since"), [(2, T0), (1, at(100_000))], ids=["", "that was lowered at last"])
def test_in_a_queue_that_keeps_its_limit_no_admission_is_judged_among_all_runs(
    monkeypatch: pytest.MonkeyPatch, limit: int, since: datetime
) -> None:
    spans = [RunningTime(str(n), at(100 * n), at(100 * n + 99), True, 2) for n in range(1000)]
    direct = [RunningTime(f"direct {n}", at(100 * n), at(100 * n + 99), False, 2) for n in range(1000)]
    looks: list[datetime] = []
    monkeypatch.setattr(RunningTime, "may_cover", lambda _self, then, _margin: looks.append(then))

    assert list(admissions_over(limit, spans + direct, {}, timedelta(seconds=5), since=since)) == []
    assert looks == []
