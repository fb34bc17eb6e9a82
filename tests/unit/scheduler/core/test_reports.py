"""Reports of workers, in any order and repeated, and attempts whose reports never come."""

from typing import Any

import pytest

from services.scheduler.core.decision import Decision, Ignored
from services.scheduler.core.messages import AttemptLost, TaskBarred, TaskUndelivered
from shared.language.model import Handler, RetryPolicy
from shared.status import AttemptState, Begun, NodeStatus, RunStatus
from tests.unit.scheduler.core.stage import Stage, make_dag, step

A = make_dag(step("a"))


def ignored(decision: Decision) -> str:
    assert isinstance(decision, Ignored)
    return decision.why


def test_the_same_start_twice_is_ignored() -> None:
    stage = Stage.begun(A)
    stage.start("a")

    assert ignored(stage.start("a")) == "already started"
    assert stage.halts == []


def test_the_same_end_twice_is_ignored() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a")))
    stage.start("a")
    end = stage.ending("a", "failed")
    stage.tell(end)

    assert ignored(stage.tell(end)) == "stale token"


def test_an_end_may_come_before_its_start() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a")))
    token = stage.token("a")
    stage.finish("a", worker_id="w4", incarnation="i4")

    assert stage.states() == "succeeded not_started"
    assert stage.node("a").started_at is not None
    assert stage.sent[-1].worker_id == "w4"
    assert ignored(stage.start("a", worker="w4", incarnation="i4", token=token)) == "stale token"


def test_a_failure_may_come_before_its_start_and_be_tried_again() -> None:
    stage = Stage.begun(make_dag(step("a", retry_policy={"limit": 1, "interval_sec": 5})))
    stage.finish("a", "failed")

    assert stage.node("a").status is NodeStatus.RUNNING
    stage.wait(5)
    assert stage.open() == ["a"]


def test_the_end_of_a_prepare_may_come_before_its_start() -> None:
    stage = Stage.begun(A, prepare=True)
    stage.finish("prepare")

    assert stage.open() == ["a"]
    assert stage.run.params == (("1", "x"),)


def test_a_second_holder_is_halted_and_its_report_does_not_count() -> None:
    stage = Stage.begun(A)
    stage.start("a", worker="w1")

    assert ignored(stage.start("a", worker="w2")) == "held by another"
    assert [(halt.worker_id, halt.revoked) for halt in stage.halts] == [("w2", True)]
    assert ignored(stage.finish("a", "aborted", worker_id="w2")) == "held by another"
    assert ignored(stage.finish("a", "aborted", worker_id="w1", incarnation="i2")) == "held by another"
    stage.finish("a")
    assert stage.run.status is RunStatus.SUCCEEDED


def test_a_holder_of_a_stale_token_is_halted() -> None:
    stage = Stage.begun(A)
    old = stage.token("a")
    stage.lose("a")

    assert stage.token("a") != old
    assert ignored(stage.start("a", worker="w3", token=old)) == "stale token"
    assert [(halt.worker_id, halt.token, halt.revoked) for halt in stage.halts] == [
        (None, old, True),
        ("w3", old, True),
    ]
    assert ignored(stage.finish("a", token=old)) == "stale token"
    assert ignored(stage.tell(AttemptLost(0, old, ""))) == "stale token"
    assert ignored(stage.tell(TaskUndelivered(0, old, ""))) == "stale token"


def test_a_step_whose_task_may_not_be_sent_fails_and_is_not_tried_again() -> None:
    steps = step("a", retry_policy=RetryPolicy(limit=3, interval_sec=1)), step("b", "a")
    stage = Stage.begun(make_dag(*steps, handlers=[Handler.EXIT]))
    barred = TaskBarred(0, stage.token("a"), "not served")

    stage.tell(barred)

    assert (stage.node("a").status, stage.node("a").error) == (NodeStatus.FAILED, "not served")
    assert [(each.state, each.begun) for each in stage.closed] == [(AttemptState.WITHDRAWN, Begun.NEVER_SENT)]
    # The exit handler is its next task. A barred one ends the run too.
    assert stage.open() == ["onExit"]
    assert ignored(stage.tell(barred)) == "stale token"
    stage.tell(TaskBarred(2, stage.token("onExit"), "not served"))
    assert stage.run.status is RunStatus.FAILED


def test_a_run_that_cannot_be_prepared_where_it_may_not_run_fails() -> None:
    stage = Stage.begun(A, prepare=True)
    stage.tell(TaskBarred(stage.node("prepare").idx, stage.token("prepare"), "not served"))
    assert (stage.run.status, stage.run.error) == (RunStatus.FAILED, "not served")


def test_an_attempt_that_a_worker_has_begun_is_not_barred() -> None:
    stage = Stage.begun(A)
    stage.start("a")
    assert ignored(stage.tell(TaskBarred(0, stage.token("a"), "not served"))) == "stale token"


def test_a_report_on_a_node_that_does_not_exist_is_ignored() -> None:
    assert ignored(Stage.begun(A).tell(AttemptLost(7, "x", ""))) == "no such node"


@pytest.mark.parametrize("heard", [True, False])
def test_an_attempt_whose_start_could_not_be_reported_does_not_count(heard: bool) -> None:
    stage = Stage.begun(A)
    old = stage.token("a")
    if heard:
        stage.start("a")
    stage.give_up("a")

    node = stage.node("a")
    assert (node.status, node.started_at, node.stdout) == (NodeStatus.NOT_STARTED, None, "")
    assert (stage.order(), stage.task("a").number) == (["a", "a"], 1)
    assert [one.state for one in stage.closed] == [AttemptState.WITHDRAWN]
    assert ignored(stage.start("a", token=old)) == "stale token"
    assert ignored(stage.give_up("a", token=old)) == "stale token"
    stage.make("a")
    assert stage.run.status is RunStatus.SUCCEEDED


def test_a_second_try_that_is_given_up_is_made_again_as_the_second() -> None:
    stage = Stage.begun(make_dag(step("a", retry_policy={"limit": 1, "interval_sec": 0})))
    stage.make("a", "failed")
    stage.start("a")
    stage.give_up("a")

    assert (stage.node("a").status, stage.task("a").number) == (NodeStatus.RUNNING, 2)
    stage.make("a", "failed")
    assert stage.run.status is RunStatus.FAILED


def test_an_attempt_is_not_given_up_by_somebody_else() -> None:
    stage = Stage.begun(A)
    stage.start("a", worker="w1")

    assert ignored(stage.give_up("a", worker_id="w2")) == "held by another"
    assert ignored(stage.give_up("a", incarnation="i2")) == "held by another"


def test_what_is_given_up_while_its_run_is_stopped_is_aborted() -> None:
    stage = Stage.begun(A)
    stage.start("a")
    stage.stop()
    stage.give_up("a")

    assert stage.node("a").status is NodeStatus.ABORTED
    assert stage.run.status is RunStatus.ABORTED


SHUTDOWN: dict[str, Any] = {"outcome": "broken", "exit_code": -1, "shutdown": True, "error": "the worker shut down"}


def test_a_step_that_a_shutdown_ended_fails_unless_its_dag_says_otherwise() -> None:
    stage = Stage.begun(make_dag(step("a")))
    stage.start("a")
    stage.finish("a", **SHUTDOWN)

    node = stage.node("a")
    assert (node.status, node.error, stage.open()) == (NodeStatus.FAILED, "the worker shut down", [])


@pytest.mark.parametrize("node", ["a", "onExit"])
def test_a_step_that_a_shutdown_ended_runs_again_elsewhere_and_uses_up_no_retry(node: str) -> None:
    policy = {"limit": 1, "interval_sec": 0}
    stage = Stage.begun(make_dag(step("a", retry_policy=policy), handlers=[Handler.EXIT], on_worker_shutdown="rerun"))
    while stage.open() != [node]:
        stage.make(stage.open()[0])
    for _ in range(3):
        stage.start(node)
        stage.finish(node, **SHUTDOWN)
        assert (stage.open(), stage.sent[-1].worker_id) == ([node], None)

    assert [(each.state, each.outcome) for each in stage.closed[-3:]] == [(AttemptState.FINISHED, "broken")] * 3
    stage.play()
    assert (stage.run.status, stage.node(node).retry_count) == (RunStatus.SUCCEEDED, 0)


def test_a_step_that_a_shutdown_ended_after_a_stop_stays_ended() -> None:
    stage = Stage.begun(make_dag(step("a"), on_worker_shutdown="rerun"))
    stage.start("a")
    stage.stop()
    stage.finish("a", **SHUTDOWN)

    assert (stage.node("a").status, stage.open()) == (NodeStatus.FAILED, [])


def test_a_prepare_that_a_shutdown_ended_is_made_anew() -> None:
    stage = Stage.begun(A, prepare=True)
    stage.start("prepare")
    stage.finish("prepare", **SHUTDOWN)

    assert (stage.open(), stage.sent[-1].worker_id) == (["prepare"], None)
    stage.play()
    assert stage.run.status is RunStatus.SUCCEEDED


@pytest.mark.parametrize("node", ["a", "onInit", "onExit", "prepare"])
def test_every_kind_of_node_survives_being_given_up(node: str) -> None:
    stage = Stage.begun(make_dag(step("a"), handlers=[Handler.INIT, Handler.EXIT]), prepare=True)
    while stage.open() != [node]:
        stage.make(stage.open()[0])
    stage.start(node)
    stage.give_up(node)
    stage.play()

    assert stage.run.status is RunStatus.SUCCEEDED


def test_a_task_that_reached_no_worker_is_sent_to_any_worker() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a")))
    stage.make("a")
    stage.undelivered("b")

    assert [effect.worker_id for effect in stage.sent] == [None, "w1", None]
    assert (stage.open(), stage.node("b").number) == (["b"], 1)


def test_a_task_that_runs_cannot_be_undelivered() -> None:
    stage = Stage.begun(A)
    stage.start("a")

    assert ignored(stage.undelivered("a")) == "stale token"


def test_an_attempt_lost_before_it_started_does_not_count() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a")))
    stage.make("a")
    stage.lose("b")

    assert (stage.states(), stage.open()) == ("succeeded not_started", ["b"])
    assert [(halt.worker_id, halt.revoked) for halt in stage.halts] == [("w1", True)]


def test_an_attempt_lost_while_it_ran_counts_as_failed() -> None:
    stage = Stage.begun(A)
    stage.start("a")
    stage.lose("a", "worker w1 was lost")

    node = stage.node("a")
    assert (node.status, node.exit_code, node.error) == (NodeStatus.FAILED, -1, "worker w1 was lost")
    assert (stage.closed[-1].state, stage.closed[-1].started_at) == (AttemptState.LOST, stage.now)
    assert [(halt.worker_id, halt.revoked) for halt in stage.halts] == [("w1", True)]


def test_a_prepare_lost_with_its_worker_is_made_anew() -> None:
    stage = Stage.begun(A, prepare=True)
    stage.start("prepare")
    stage.lose("prepare")

    assert (stage.open(), stage.sent[-1].worker_id) == (["prepare"], None)
    stage.play()
    assert stage.run.status is RunStatus.SUCCEEDED


@pytest.mark.parametrize("node", ["a", "onInit", "onExit", "prepare"])
def test_every_kind_of_node_survives_a_task_that_was_not_delivered(node: str) -> None:
    stage = Stage.begun(make_dag(step("a"), handlers=[Handler.INIT, Handler.EXIT]), prepare=True)
    while stage.open() != [node]:
        stage.make(stage.open()[0])
    stage.undelivered(node)
    stage.play()

    assert stage.run.status is RunStatus.SUCCEEDED


def test_a_report_on_a_run_that_ended_is_ignored() -> None:
    stage = Stage.begun(A)
    token = stage.token("a")
    stage.play()

    assert ignored(stage.start("a", token=token)) == "stale token"
    assert ignored(stage.finish("a", token=token)) == "stale token"


def test_a_skipped_step_tells_why_in_its_history() -> None:
    stage = Stage.begun(A)
    stage.start("a")
    stage.finish("a", "skipped", error="condition was not met: exit status 1")

    assert stage.node("a").error == ""
    assert any(transition.why == "condition was not met: exit status 1" for transition in stage.transitions)
