"""Steps that wait for approval: what they hold up, and what an approval, a rejection and a stop do."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.scheduler.core.decision import THE_RUN, Advanced, Ignored, Refused
from services.scheduler.core.messages import Begin, Dequeue, PatchNode, TimerFired
from services.scheduler.core.model import Approval
from shared.admission.runs import RESUMED
from shared.contracts.events import Outcome
from shared.language.model import Handler, Output, Step
from shared.status import NodeStatus, RunStatus, StopReason, TimerKind
from tests.unit.scheduler.core.stage import T0, Stage, fresh, make_dag, step

CLOSING = (Handler.SUCCESS, Handler.FAILURE, Handler.ABORT, Handler.EXIT, Handler.WAIT)
GATED = ("a", "ok", "b")


def asks(name: str, *depends: str, inputs: tuple[str, ...] = (), required: tuple[str, ...] = (), **facts: Any) -> Step:
    config = {"input": list(inputs), "required": list(required)}
    return step(name, *depends, type="hitl", config=config, **facts)


def gated(**facts: Any) -> Stage:
    """Return a waiting run: step a has succeeded, ok waits for approval, b depends on ok."""
    gate = asks("ok", "a", inputs=("WHO", "WHY"), required=("WHO",))
    return Stage.begun(make_dag(step("a"), gate, step("b", "ok"), **facts)).play()


def refusal(decision: object) -> tuple[str, str]:
    assert isinstance(decision, Refused)
    return decision.code, decision.message


def statuses(stage: Stage) -> tuple[str, str]:
    return stage.states(), str(stage.run.status)


def test_a_run_with_only_approvals_left_waits_and_runs_the_wait_handler_alone() -> None:
    stage = gated(handlers=CLOSING)

    assert statuses(stage) == ("succeeded waiting not_started", "waiting")
    assert stage.order() == ["a", "ok", "onWait"]
    assert dict(stage.task("onWait").engine_env) == {"DAG_RUN_STATUS": "waiting", "DAG_WAITING_STEPS": "ok"}
    assert stage.run.finished_at == T0
    assert (stage.node("ok").finished_at, stage.node("ok").done_count) == (None, 0)


def test_a_failing_wait_handler_is_ignored() -> None:
    dag = make_dag(asks("ok"), step("b", "ok"), handlers=CLOSING)
    stage = Stage.begun(dag).play({"onWait": "failed"})

    assert statuses(stage) == ("waiting not_started", "waiting")


def test_branches_that_need_no_approval_end_first() -> None:
    stage = Stage.begun(make_dag(asks("ok"), step("b", "ok"), step("c"), step("d", "c")))
    stage.make("ok")

    assert statuses(stage) == ("waiting not_started not_started not_started", "running")
    stage.play()
    assert statuses(stage) == ("waiting not_started succeeded succeeded", "waiting")


def test_a_step_that_waits_takes_no_place_among_those_that_may_be_active() -> None:
    stage = Stage.begun(make_dag(asks("ok"), asks("sure"), step("c"), max_active_steps=1)).play()

    assert statuses(stage) == ("waiting waiting succeeded", "waiting")


def test_an_approval_queues_the_next_attempt_before_all_others() -> None:
    stage = gated(handlers=CLOSING)
    stage.now += timedelta(days=3)
    stage.approve("ok", WHO="bob")

    assert (stage.run.status, stage.run.priority, stage.run.run_attempt) == (RunStatus.QUEUED, RESUMED, 1)
    assert (stage.run.queued_at, stage.run.finished_at) == (stage.now, None)
    assert stage.node("ok").approval == Approval(granted=True, at=stage.now, by="bob", inputs={"WHO": "bob"})
    assert [(one.became, one.by) for one in stage.transitions if one.why == "approved"] == [("succeeded", "bob")]

    stage.tell(Begin("scheduler"))
    assert (stage.run.run_attempt, stage.run.started_at) == (2, stage.now)
    assert stage.open() == ["b"]
    stage.play()

    assert statuses(stage) == ("succeeded succeeded succeeded", "succeeded")
    assert stage.order() == ["a", "ok", "onWait", "b", "onSuccess", "onExit"]
    assert stage.task("b").outputs == (("WHO", "bob"),)


def test_what_a_person_gave_goes_beside_the_steps_own_output() -> None:
    gate = asks("ok", inputs=("WHO",), output=Output(name="QUESTION"))
    stage = Stage.begun(make_dag(gate, step("b", "ok")))
    stage.start("ok")
    stage.finish("ok", outputs={"QUESTION": "ship it?"})
    stage.approve("ok", WHO="bob")
    stage.tell(Begin("scheduler"))

    assert dict(stage.task("b").outputs) == {"QUESTION": "ship it?", "WHO": "bob"}


@pytest.mark.parametrize(
    ("name", "inputs", "code", "words"),
    [
        ("nobody", {}, "not_found", "Run 'r1' has no step 'nobody'"),
        ("a", {}, "bad_request", "Step 'a' is succeeded, not waiting for approval"),
        ("b", {}, "bad_request", "Step 'b' is not_started, not waiting for approval"),
        ("ok", {}, "bad_request", "missing required inputs: [WHO]"),
        ("ok", {"who": "bob"}, "bad_request", "missing required inputs: [WHO]"),
        ("ok", {"WHO": "bob", "X": "1", "F": ""}, "bad_request", "Step 'ok' does not ask for these inputs: [F, X]"),
    ],
)
def test_an_approval_that_does_not_fit_is_refused(name: str, inputs: dict[str, str], code: str, words: str) -> None:
    stage = gated()

    assert refusal(stage.approve(name, **inputs)) == (code, words)
    assert stage.run.status is RunStatus.WAITING


def test_an_input_may_be_empty() -> None:
    stage = gated()

    assert isinstance(stage.approve("ok", WHO=""), Advanced)


def test_several_missing_inputs_are_named_in_their_order() -> None:
    stage = Stage.begun(make_dag(asks("ok", inputs=("Z", "A"), required=("Z", "A")))).play()

    assert refusal(stage.approve("ok")) == ("bad_request", "missing required inputs: [Z, A]")


def test_one_approval_of_two_leaves_the_run_waiting() -> None:
    stage = Stage.begun(make_dag(asks("x"), asks("y"), step("after", "x"))).play()
    stage.approve("x")

    assert statuses(stage) == ("succeeded waiting not_started", "waiting")
    assert refusal(stage.approve("x"))[0] == "bad_request"
    stage.approve("y")
    stage.tell(Begin("scheduler"))
    stage.play()
    assert statuses(stage) == ("succeeded succeeded succeeded", "succeeded")


def test_an_approval_while_other_steps_run_goes_on_at_once() -> None:
    stage = Stage.begun(make_dag(asks("ok"), step("b", "ok"), step("c"), placement="spread"))
    stage.make("ok")
    stage.start("c")
    stage.approve("ok")

    assert (stage.open(), stage.run.run_attempt) == (["b", "c"], 1)
    assert stage.play().run.status is RunStatus.SUCCEEDED


def test_an_approval_during_the_wait_handler_counts_once_that_is_over() -> None:
    stage = Stage.begun(make_dag(asks("ok"), step("b", "ok"), handlers=CLOSING))
    stage.make("ok")
    stage.start("onWait")
    stage.approve("ok")
    assert stage.open() == ["onWait"]
    stage.finish("onWait")

    assert stage.run.status is RunStatus.QUEUED
    stage.tell(Begin("scheduler"))
    assert stage.play().order() == ["ok", "onWait", "b", "onSuccess", "onExit"]


def test_every_wait_runs_the_wait_handler_and_every_attempt_the_init_handler() -> None:
    dag = make_dag(asks("x"), asks("y", "x"), handlers=[Handler.INIT, *CLOSING])
    stage = Stage.begun(dag).play()
    stage.approve("x")
    stage.tell(Begin("scheduler"))
    stage.play()
    assert stage.run.status is RunStatus.WAITING
    stage.approve("y")
    stage.tell(Begin("scheduler"))
    stage.play()

    assert stage.order() == ["onInit", "x", "onWait", "onInit", "y", "onWait", "onInit", "onSuccess", "onExit"]
    assert stage.run.run_attempt == 3


def test_the_branch_that_failed_meanwhile_is_not_tried_again() -> None:
    stage = Stage.begun(make_dag(asks("ok"), step("b", "ok"), step("c"))).play({"c": "failed"})
    assert stage.run.status is RunStatus.WAITING
    stage.approve("ok")
    stage.tell(Begin("scheduler"))
    sent = len(stage.sent)
    stage.play()

    assert stage.order()[sent - 1 :] == ["b"]
    assert statuses(stage) == ("succeeded succeeded failed", "failed")


def test_the_runs_time_limit_does_not_count_the_wait() -> None:
    stage = gated(timeout_sec=60)
    stage.wait(3600)
    assert isinstance(stage.tell(TimerFired(THE_RUN, TimerKind.TIMEOUT)), Ignored)
    assert stage.run.status is RunStatus.WAITING
    stage.approve("ok", WHO="bob")
    stage.wait(3600)
    stage.tell(Begin("scheduler"))
    stage.wait(59)
    assert stage.run.stop_reason is None
    stage.wait(1)
    assert stage.run.stop_reason is StopReason.TIMEOUT


def test_a_rejection_ends_a_run_that_only_waited_without_handlers() -> None:
    stage = gated(handlers=CLOSING)
    sent = len(stage.sent)
    stage.now += timedelta(hours=1)
    stage.reject("ok", "not today")

    assert statuses(stage) == ("succeeded rejected not_started", "rejected")
    assert (stage.run.finished_at, stage.node("ok").finished_at) == (stage.now, stage.now)
    assert stage.node("ok").done_count == 1
    assert stage.node("ok").approval == Approval(granted=False, at=stage.now, by="bob", reason="not today")
    assert stage.transitions[-1].why == "step ok was rejected: not today"
    assert len(stage.sent) == sent
    assert refusal(stage.approve("ok", WHO="bob"))[0] == "bad_request"
    assert refusal(stage.reject("ok"))[0] == "bad_request"


def test_a_rejection_leaves_nothing_else_waiting() -> None:
    stage = Stage.begun(make_dag(asks("x"), asks("y"))).play()
    stage.reject("x")

    assert statuses(stage) == ("rejected aborted", "rejected")
    assert refusal(stage.approve("y")) == ("bad_request", "Step 'y' is aborted, not waiting for approval")


def test_a_rejection_while_other_steps_run_lets_them_end_and_tells_the_handlers() -> None:
    stage = Stage.begun(make_dag(asks("x"), step("b", "x"), step("c"), step("d", "c"), asks("y"), handlers=CLOSING))
    stage.make("x")
    stage.start("c")
    stage.reject("x")
    assert stage.run.status is RunStatus.RUNNING
    stage.play()

    assert statuses(stage) == ("rejected aborted succeeded succeeded aborted", "rejected")
    assert stage.node("b").error == "upstream rejected"
    assert stage.order()[-2:] == ["onFailure", "onExit"]
    assert dict(stage.task("onExit").engine_env)["DAG_RUN_STATUS"] == "rejected"


def test_a_rejection_during_the_wait_handler() -> None:
    stage = Stage.begun(make_dag(asks("x"), step("b", "x"), handlers=CLOSING))
    stage.make("x")
    stage.reject("x")
    stage.play()

    assert statuses(stage) == ("rejected aborted", "rejected")
    assert stage.order() == ["x", "onWait", "onFailure", "onExit"]


def test_a_retry_after_a_rejection_asks_again() -> None:
    stage = gated()
    stage.reject("ok", "no")
    stage.retry()
    assert stage.node("ok").approval is None
    stage.play()

    assert statuses(stage) == ("succeeded waiting not_started", "waiting")
    assert stage.order() == ["a", "ok", "ok"]


def test_a_retry_of_a_waiting_run_keeps_what_waits() -> None:
    stage = Stage.begun(make_dag(asks("ok"), step("b", "ok"), step("c"))).play({"c": "failed"})
    stage.retry()
    stage.play()

    assert statuses(stage) == ("waiting not_started succeeded", "waiting")
    assert stage.order() == ["ok", "c", "c"]


def test_a_stop_of_a_waiting_run_aborts_it_and_what_waits() -> None:
    stage = gated(handlers=CLOSING)
    sent = len(stage.sent)
    stage.stop()

    assert statuses(stage) == ("succeeded aborted not_started", "aborted")
    assert len(stage.sent) == sent


def test_a_stop_while_other_steps_run_aborts_what_waits() -> None:
    stage = Stage.begun(make_dag(asks("ok"), step("c"), handlers=CLOSING))
    stage.make("ok")
    stage.start("c")
    stage.stop()
    assert statuses(stage) == ("aborted running", "running"), "nobody can approve it any more"
    stage.finish("c", "aborted")
    stage.play()

    assert statuses(stage) == ("aborted aborted", "aborted")
    assert stage.order()[-2:] == ["onCancel", "onExit"]
    assert refusal(stage.approve("ok"))[0] == "bad_request"


def test_a_question_asked_when_the_run_was_being_stopped_is_no_approval() -> None:
    stage = Stage.begun(make_dag(asks("ok"), step("b", "ok")))
    stage.start("ok")
    stage.stop()
    stage.finish("ok")

    assert statuses(stage) == ("aborted not_started", "aborted")


@pytest.mark.parametrize(("outcome", "state"), [("skipped", "skipped"), ("broken", "failed")])
def test_a_question_that_cannot_or_need_not_be_asked(outcome: Outcome, state: str) -> None:
    stage = Stage.begun(make_dag(asks("ok"))).play({"ok": outcome})

    assert stage.states() == state


def test_a_question_lost_with_its_worker_is_asked_anew() -> None:
    stage = Stage.begun(make_dag(asks("ok")))
    stage.start("ok")
    stage.lose("ok")
    assert stage.open() == ["ok"]
    stage.play()

    assert statuses(stage) == ("waiting", "waiting")


def test_a_resumed_run_taken_from_its_queue_is_aborted_and_kept() -> None:
    stage = gated()
    stage.approve("ok", WHO="bob")
    decision = stage.tell(Dequeue("ann"))

    assert isinstance(decision, Advanced)
    assert decision.effects == ()
    assert statuses(stage) == ("succeeded succeeded not_started", "aborted")
    stage.retry()
    assert stage.play().run.status is RunStatus.SUCCEEDED


@pytest.mark.parametrize("retried", [False, True])
def test_a_step_set_to_waiting_by_hand_can_be_approved_in_a_run_that_ended_or_waits_again(retried: bool) -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a"))).play({"b": "failed"})
    stage.tell(PatchNode("a", NodeStatus.WAITING, "ann"))
    if retried:
        stage.retry()
    stage.approve("a")
    assert (statuses(stage)[1], stage.run.priority, stage.node("a").status) == ("queued", RESUMED, NodeStatus.SUCCEEDED)
    stage.tell(Begin("scheduler"))

    assert stage.open() == ["b"]
    assert stage.play().run.status is RunStatus.SUCCEEDED


def test_a_run_that_was_stopped_goes_on_when_its_last_step_that_waits_is_approved() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a"), handlers=CLOSING))
    stage.make("a")
    stage.stop()
    stage.play()
    for name in ("a", "b"):
        stage.tell(PatchNode(name, NodeStatus.WAITING, "ann"))
    stage.approve("a")
    assert statuses(stage) == ("succeeded waiting", "aborted")
    stage.approve("b")
    stage.tell(Begin("scheduler"))

    assert statuses(stage.play()) == ("succeeded succeeded", "succeeded")


def test_a_rejection_in_a_run_that_ended_changes_the_step_alone() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a"))).play({"b": "failed"})
    stage.tell(PatchNode("a", NodeStatus.WAITING, "ann"))
    stage.reject("a", "no")

    assert statuses(stage) == ("rejected failed", "failed")
    assert stage.node("a").approval == Approval(granted=False, at=stage.now, by="bob", reason="no")


def test_a_run_that_another_one_called_is_not_gone_on_with_once_it_ended() -> None:
    stage = Stage(replace(fresh(make_dag(step("a"))), root_dag_name="above"))
    stage.tell(Begin("scheduler"))
    stage.play({"a": "failed"})
    stage.tell(PatchNode("a", NodeStatus.WAITING, "ann"))
    stage.approve("a")

    assert statuses(stage) == ("succeeded", "failed")
