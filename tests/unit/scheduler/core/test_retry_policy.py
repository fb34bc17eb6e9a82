"""``retryPolicy``: how often a step is retried, after which wait, and after which outcomes; waits of repetitions."""

from datetime import timedelta
from typing import Any

import pytest

from services.scheduler.core.messages import TimerFired
from shared.language.model import ContinueOn, RepeatMode, RepeatPolicy, RetryPolicy
from shared.status import AttemptState, NodeStatus, RunStatus, TimerKind
from tests.unit.scheduler.core.stage import Stage, make_dag, step


def begun(policy: dict[str, Any], **facts: Any) -> Stage:
    return Stage.begun(make_dag(step("a", retry_policy=policy, **facts)))


def waits(stage: Stage) -> list[float]:
    """Fail until no try is left; return the waits between the tries."""
    found = []
    while stage.run.status is RunStatus.RUNNING:
        stage.make("a", "failed")
        retry_at = stage.node("a").retry_at
        if retry_at is not None:
            found.append((retry_at - stage.now).total_seconds())
            stage.wait(found[-1])
    return found


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"limit": 3, "interval_sec": 2}, [2, 2, 2]),
        ({"limit": 3, "interval_sec": 2, "backoff": 2.0}, [2, 4, 8]),
        ({"limit": 4, "interval_sec": 2, "backoff": 3.0, "max_interval_sec": 10}, [2, 6, 10, 10]),
        ({"limit": 1, "interval_sec": 0.5}, [0.5]),
        ({"limit": 2, "interval_sec": 9, "max_interval_sec": 5}, [5, 5]),
        ({"limit": "2", "interval_sec": "3"}, [3, 3]),
        ({"limit": 0, "interval_sec": 2}, []),
        ({"limit": "${LIMIT}", "interval_sec": 1}, []),
    ],
)
def test_the_waits_grow_as_the_policy_says(policy: dict[str, Any], expected: list[float]) -> None:
    assert waits(begun(policy)) == expected


def test_a_wait_never_grows_beyond_what_a_date_can_say() -> None:
    assert waits(begun({"limit": 3, "interval_sec": 1e9, "backoff": 1e6})) == [1e9, 1e9, 1e9]


def test_a_wait_too_large_for_a_number_becomes_the_longest_wait() -> None:
    found = waits(begun({"limit": 60, "interval_sec": 1, "backoff": 1e6, "max_interval_sec": 2}))

    assert found == [1] + [2] * 59


def test_growing_no_wait_for_a_thousand_tries_is_no_wait() -> None:
    stage = begun({"limit": 400, "interval_sec": 0, "backoff": 1e6}).play({"a": "failed"})

    assert stage.node("a").number == 401
    assert stage.now == stage.run.finished_at


def test_the_tries_are_counted_and_the_last_result_counts() -> None:
    stage = begun({"limit": 5, "interval_sec": 1}).play({"a": [1, 1, 0]})

    node = stage.node("a")
    assert (node.status, node.retry_count, node.number, node.exit_code, node.error) == ("succeeded", 2, 3, 0, "")
    assert stage.run.status is RunStatus.SUCCEEDED


def test_only_the_listed_exit_codes_are_tried_again() -> None:
    policy = {"limit": 5, "interval_sec": 0, "exit_code": (75, 76)}

    assert begun(policy).play({"a": [75, 76, 1]}).node("a").number == 3


def test_the_waits_between_repetitions_grow_from_the_first_one_on() -> None:
    policy = RepeatPolicy(repeat=RepeatMode.WHILE, limit=4, interval_sec=2, backoff=2)
    stage = Stage.begun(make_dag(step("a", repeat_policy=policy)))
    found = []
    while stage.run.status is RunStatus.RUNNING:
        stage.make("a")
        if (again_at := stage.node("a").retry_at) is not None:
            found.append((again_at - stage.now).total_seconds())
            stage.wait(found[-1])

    assert found == [2, 4, 8]


def test_a_step_stays_running_while_it_waits_and_starts_when_its_time_comes() -> None:
    stage = begun({"limit": 1, "interval_sec": 10})
    stage.make("a", "failed")

    assert (stage.node("a").status, stage.open()) == (NodeStatus.RUNNING, [])
    stage.wait(9)
    assert stage.open() == []
    stage.wait(1)
    assert stage.open() == ["a"]


def test_the_only_step_of_a_retry_waits_for_its_next_try_too() -> None:
    stage = begun({"limit": 1, "interval_sec": 10}).play({"a": "failed"})
    stage.retry("a")
    stage.make("a", "failed")

    stage.wait(9)
    assert stage.open() == []
    stage.wait(1)
    assert stage.open() == ["a"]


def test_an_output_that_an_earlier_try_printed_lets_dependents_run() -> None:
    policy = RetryPolicy(limit=1, interval_sec=0)
    stage = Stage.begun(
        make_dag(step("a", retry_policy=policy, continue_on=ContinueOn(output=("odd",))), step("b", "a"))
    )
    stage.make("a", "failed", continue_output_matched=True)
    stage.make("a", "failed", continue_output_matched=False)

    assert (stage.states(), stage.open()) == ("failed not_started", ["b"])


def test_a_timer_that_fires_early_is_set_again() -> None:
    stage = begun({"limit": 1, "interval_sec": 10})
    stage.make("a", "failed")
    stage.wakes.clear()

    assert "not due" in repr(stage.tell(TimerFired(0, TimerKind.RETRY)))
    stage.wait(10)
    assert stage.open() == ["a"]


def test_a_timer_that_fires_twice_starts_one_attempt() -> None:
    stage = begun({"limit": 1, "interval_sec": 10})
    stage.make("a", "failed")
    stage.wait(10)

    assert "not waiting" in repr(stage.tell(TimerFired(0, TimerKind.RETRY)))
    assert stage.order() == ["a", "a"]


@pytest.mark.parametrize("interval_s", [0, 5])
def test_a_retry_that_is_due_stays_due_at_an_earlier_time(interval_s: float) -> None:
    """It waits until the run has a worker again. The scheduler that decides then may have an earlier time."""
    a = step("a", retry_policy=RetryPolicy(limit=1, interval_sec=interval_s))
    stage = Stage.begun(make_dag(a, step("b")))
    stage.start("a")
    stage.lose("a")
    stage.wait(interval_s)
    assert stage.open() == ["b"]

    stage.now -= timedelta(seconds=1)
    stage.finish("b")
    assert stage.open() == ["a"]


def test_a_step_that_took_too_long_is_never_tried_again() -> None:
    stage = begun({"limit": 5, "interval_sec": 0}).play({"a": "timed_out"})

    assert (stage.node("a").number, stage.node("a").exit_code) == (1, 124)


def test_what_could_not_be_made_at_all_is_tried_again() -> None:
    assert begun({"limit": 1, "interval_sec": 0}).play({"a": ["broken", 0]}).run.status is RunStatus.SUCCEEDED


def test_a_skipped_step_is_not_tried_again() -> None:
    assert begun({"limit": 1, "interval_sec": 0}).play({"a": "skipped"}).node("a").number == 1


def test_a_worker_lost_while_the_step_runs_is_a_failure_that_the_policy_may_repeat() -> None:
    stage = begun({"limit": 1, "interval_sec": 0, "exit_code": (75,)})
    stage.start("a")
    stage.lose("a")

    assert stage.open() == ["a"]
    stage.start("a")
    stage.lose("a")
    assert (stage.node("a").status, stage.node("a").exit_code) == (NodeStatus.FAILED, -1)
    assert stage.run.status is RunStatus.FAILED


def test_a_failure_that_is_no_longer_tried_may_still_be_marked_a_success() -> None:
    policy = {"limit": 5, "interval_sec": 0, "exit_code": (75,)}
    stage = begun(policy, continue_on=ContinueOn(exit_code=(3,), mark_success=True)).play({"a": [75, 3]})

    assert (stage.node("a").status, stage.node("a").error) == (NodeStatus.SUCCEEDED, "failed")
    assert stage.run.status is RunStatus.SUCCEEDED


def test_a_mark_without_a_matching_rule_marks_nothing() -> None:
    rule = ContinueOn(exit_code=(3,), mark_success=True)

    assert Stage.begun(make_dag(step("a", continue_on=rule))).play({"a": 4}).run.status is RunStatus.FAILED


def test_every_attempt_leaves_its_own_record() -> None:
    stage = begun({"limit": 1, "interval_sec": 30})
    stage.start("a")
    stage.finish("a", "failed")
    stage.wait(30)
    stage.make("a")

    first, second = stage.closed
    assert [(one.number, one.state, one.outcome) for one in stage.closed] == [
        (1, AttemptState.FINISHED, "failed"),
        (2, AttemptState.FINISHED, "succeeded"),
    ]
    assert first.started_at is not None
    assert second.started_at is not None
    assert (second.started_at - first.started_at).total_seconds() == 30
