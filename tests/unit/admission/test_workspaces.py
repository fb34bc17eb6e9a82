"""Quotas of workspaces and their turns at admission."""

from datetime import UTC, datetime, timedelta

from shared.admission.runs import BehindRuns, Moment, QueuedRun, QueueState, WorkspaceFull, admit, explain
from shared.admission.turns import by_turns

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MOMENT = Moment(NOW)
RUNS = [
    QueuedRun("root-1", NOW, not_before=NOW + timedelta(hours=1)),
    QueuedRun("root-2", NOW),
    QueuedRun("sub-1", NOW, is_root=False),
    QueuedRun("root-3", NOW),
    QueuedRun("sub-2", NOW, is_root=False),
]


def test_a_quota_limits_root_runs_and_a_run_that_waits_takes_none_of_it() -> None:
    assert admit(RUNS, MOMENT, free=10, room=1).keys == ("root-2", "sub-1", "sub-2")
    assert admit(RUNS, MOMENT, free=10, room=2).keys == ("root-2", "sub-1", "root-3", "sub-2")
    assert admit(RUNS, MOMENT, free=10, room=0).keys == ("sub-1", "sub-2")
    assert admit(RUNS, MOMENT, free=10).keys == ("root-2", "sub-1", "root-3", "sub-2")


def test_a_run_says_that_its_workspace_is_full() -> None:
    queue = QueueState("acme␟q", 5, 0)

    assert explain(RUNS[1], MOMENT, queue, quota=(2, 2)) == WorkspaceFull(2, 2)
    # The quota was lowered while three runs were running.
    full = explain(RUNS[1], MOMENT, queue, quota=(3, 2))
    assert str(full) == "the workspace runs 3 of at most 2 runs at once"
    assert explain(RUNS[1], MOMENT, queue, quota=(1, 2)) == BehindRuns(queue.name)
    assert explain(RUNS[2], MOMENT, queue, quota=(2, 2)) == BehindRuns(queue.name)


def test_workspaces_take_turns() -> None:
    queues = [*(f"big␟{number:02}" for number in range(50)), "a", "b", "small␟q"]

    turns = by_turns(queues)

    assert turns[:5] == ["a", "big␟00", "small␟q", "b", "big␟01"]
    assert sorted(turns) == sorted(queues)
