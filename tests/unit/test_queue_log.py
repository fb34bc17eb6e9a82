"""``tests.harness.queue_log`` detects exceeded limits and wrong orders."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.harness.queue_log import Passage, most_at_once, overtakings

T0 = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LOW, HIGH = 0, 1


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def passage(
    run_id: str, queued: float, entered: float | None = None, left: float | None = None, priority: int = LOW
) -> Passage:
    """Return the passage of a run whose admission began half a second before its commit."""
    looked_at = None if entered is None else at(entered - 0.5)
    moments = [None if moment is None else at(moment) for moment in (entered, left)]
    return Passage(run_id, "q", priority, at(queued), at(queued), looked_at, *moments)


def told(*runs: Passage) -> dict[str, datetime]:
    """Return ``known_at``: each run was reported as recorded a second after it was queued."""
    return {run.run_id: run.queued_at + timedelta(seconds=1) for run in runs}


def test_runs_under_way_at_one_moment_are_counted_by_commits() -> None:
    one_after_the_other = [passage("a", 0, 10, 20), passage("b", 1, 20, 30)]
    assert most_at_once(one_after_the_other) == {"q": 1}
    assert most_at_once([*one_after_the_other, passage("c", 2, 29)]) == {"q": 2}
    assert most_at_once([*one_after_the_other, passage("c", 2)]) == {"q": 1}


@pytest.mark.parametrize(
    ("first", "second", "wrong"),
    [
        (passage("a", 0, 10), passage("b", 5, 12), False),
        (passage("a", 0, 12), passage("b", 5, 10), True),
        (passage("a", 0), passage("b", 5, 10), True),
        (passage("a", 0, 12), passage("b", 5), False),
        # Both by one admission.
        (passage("a", 0, 10), passage("b", 5, 10), False),
        # A high one goes first, if it was there.
        (passage("low", 0, 10), passage("high", 5, 9, priority=HIGH), False),
        (passage("low", 0, 9), passage("high", 5, 10, priority=HIGH), True),
        (passage("low", 0, 9), passage("high", 8, 10, priority=HIGH), False),
    ],
)
def test_runs_that_overtake_others_are_reported(first: Passage, second: Passage, wrong: bool) -> None:
    assert bool(list(overtakings([first, second], told(first, second)))) is wrong


def test_what_nobody_was_told_of_counts_if_it_was_queued_together_with_the_other() -> None:
    apart = [passage("a", 0, 12), passage("b", 5, 10)]
    together = [passage("a", 0, 12), passage("b", 0, 10)]

    assert list(overtakings(apart, {})) == []
    (found,) = overtakings(together, {})
    assert found.startswith("q: b entered before a, told None")
