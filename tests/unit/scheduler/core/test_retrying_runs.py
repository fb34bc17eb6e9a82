"""Retries of ended runs: which steps run again, which are kept, and which statuses a user may set."""

from dataclasses import replace

import pytest

from services.scheduler.core.children import child_run_id
from services.scheduler.core.decision import Ignored, Refused
from services.scheduler.core.messages import Begin, ChildrenSeen, PatchNode
from services.scheduler.core.model import NO_CHILDREN
from services.scheduler.core.run_attempts import carry_over, refusal
from shared.contracts.events import ChildCall, Outcome
from shared.language.model import ContinueOn, Handler
from shared.status import NodeStatus, RunStatus
from tests.unit.scheduler.core.stage import PREPARED, Stage, fresh, make_dag, step

ABC = (step("a"), step("b", "a"), step("c", "b"))


def anew(source: Stage, name: str = "") -> Stage:
    """Return a new run that has begun, with the results of the run ``source``."""
    run = replace(fresh(source.run.plan.dag, prepare=source.run.prepare is not None), run_key="run-2")
    stage = Stage(carry_over(run, source.run, name))
    stage.tell(Begin("ann"))
    return stage


def order_of_retry(stage: Stage, name: str = "") -> list[str]:
    sent = len(stage.sent)
    stage.retry(name)
    stage.play()
    return stage.order()[sent:]


def test_a_retry_runs_what_failed_and_all_after_it() -> None:
    stage = Stage.begun(make_dag(*ABC)).play({"b": "failed"})

    assert order_of_retry(stage) == ["b", "c"]
    assert (stage.run.status, stage.run.run_attempt) == (RunStatus.SUCCEEDED, 2)
    assert {effect.task.run_attempt for effect in stage.sent[2:]} == {2}


def test_a_retry_runs_again_what_succeeded_after_a_failure() -> None:
    dag = make_dag(step("a", continue_on=ContinueOn(failure=True)), step("b", "a"), step("c"))
    stage = Stage.begun(dag).play({"a": "failed"})
    assert str(stage.run.status) == "partially_succeeded"

    assert order_of_retry(stage) == ["a", "b"]
    assert stage.run.status is RunStatus.SUCCEEDED


def test_a_retry_after_a_stop_goes_on_where_it_was() -> None:
    stage = Stage.begun(make_dag(*ABC))
    stage.make("a")
    stage.start("b")
    stage.stop()
    stage.finish("b", "aborted")

    assert order_of_retry(stage) == ["b", "c"]
    assert (stage.run.status, stage.run.stop_reason) == (RunStatus.SUCCEEDED, None)


def test_a_retry_keeps_skipped_steps() -> None:
    stage = Stage.begun(make_dag(*ABC, step("d"))).play({"a": "skipped", "d": "failed"})

    assert order_of_retry(stage) == ["d"]
    assert stage.states() == "skipped skipped skipped succeeded"


def test_a_retry_of_a_success_runs_the_handlers_alone() -> None:
    stage = Stage.begun(make_dag(*ABC, handlers=[Handler.INIT, Handler.SUCCESS, Handler.EXIT])).play()

    assert order_of_retry(stage) == ["onInit", "onSuccess", "onExit"]


def test_a_failed_init_handler_fails_the_retry_of_a_success() -> None:
    stage = Stage.begun(make_dag(*ABC, handlers=[Handler.INIT, Handler.FAILURE])).play()
    sent = len(stage.sent)
    stage.retry()
    stage.play({"onInit": "failed"})

    assert (stage.order()[sent:], stage.run.status) == (["onInit", "onFailure"], RunStatus.FAILED)


def test_a_retry_starts_the_counts_anew_and_keeps_outputs_of_kept_steps() -> None:
    dag = make_dag(step("a"), step("b", "a", retry_policy={"limit": 1, "interval_sec": 0}))
    stage = Stage.begun(dag)
    stage.start("a")
    stage.finish("a", outputs={"X": "1"})
    stage.play({"b": "failed"})
    assert stage.node("b").retry_count == 1
    stage.retry()

    node = stage.node("b")
    assert (node.retry_count, node.done_count, node.exit_code, node.error, node.started_at) == (0, 0, None, "", None)
    assert (stage.task("b").number, stage.task("b").outputs) == (1, (("X", "1"),))
    stage.play({"b": ["failed", "succeeded"]})
    assert stage.run.status is RunStatus.SUCCEEDED


def test_a_retry_prepares_the_run_only_if_that_failed() -> None:
    stage = Stage.begun(make_dag(step("a")), prepare=True).play({"prepare": "failed"})
    assert order_of_retry(stage) == ["prepare", "a"]

    stage = Stage.begun(make_dag(step("a")), prepare=True).play({"a": "failed"})
    assert order_of_retry(stage) == ["a"]


@pytest.mark.parametrize("outcome", ["skipped", "broken", "aborted"])
def test_what_was_evaluated_before_the_run_ended_is_kept_by_every_retry(outcome: Outcome) -> None:
    stage = Stage.begun(make_dag(step("a")), prepare=True)
    stage.make("prepare", outcome, outputs=PREPARED)
    assert stage.states() == "not_started"
    stage.retry()

    task = stage.task("prepare")
    assert (task.env, task.params, task.params_json) == ((("REGION", "eu"),), (("1", "x"),), '{"1": "x"}')
    # A worker of an earlier version evaluates anew, and nobody believes it.
    stage.make("prepare", outputs={"env": '[["REGION", "us"]]', "params": '[["1", "y"]]', "params_json": '{"1": "y"}'})
    task = stage.task("a")
    assert (task.env, task.params, task.params_json) == ((("REGION", "eu"),), (("1", "x"),), '{"1": "x"}')


def test_a_retry_evaluates_what_was_never_evaluated() -> None:
    stage = Stage.begun(make_dag(step("a")), prepare=True)
    stage.make("prepare", "broken")
    stage.retry()
    assert (stage.task("prepare").env, stage.task("prepare").params) == ((), ())
    stage.play()

    assert stage.task("a").env == (("REGION", "eu"),)


def test_a_retry_of_one_step_runs_it_alone_and_its_status_counts_all_steps() -> None:
    stage = Stage.begun(make_dag(*ABC, step("d"), handlers=[Handler.EXIT])).play({"a": "failed", "d": "failed"})

    assert order_of_retry(stage, "a") == ["a", "onExit"]
    assert stage.states() == "succeeded aborted aborted failed"
    assert stage.run.status is RunStatus.FAILED


def test_a_step_may_be_run_again_alone_after_a_success() -> None:
    stage = Stage.begun(make_dag(*ABC)).play()

    assert order_of_retry(stage, "b") == ["b"]
    assert stage.run.status is RunStatus.SUCCEEDED


def test_a_retry_of_a_run_that_is_under_way_is_refused() -> None:
    for stage in (Stage.begun(make_dag(*ABC)), Stage(fresh(make_dag(*ABC), status=RunStatus.QUEUED))):
        refused = stage.retry()
        assert isinstance(refused, Refused)
        assert refused.code == "already_running"


@pytest.mark.parametrize("name", ["x", "onExit", "prepare"])
def test_a_retry_of_a_step_that_does_not_exist_is_refused(name: str) -> None:
    refused = Stage.begun(make_dag(*ABC, handlers=[Handler.EXIT]), prepare=True).play().retry(name)

    assert isinstance(refused, Refused)
    assert (refused.code, refused.message) == ("not_found", f"Run 'r1' has no step '{name}'")


def test_reports_of_the_attempt_before_are_ignored() -> None:
    stage = Stage.begun(make_dag(*ABC))
    token = stage.token("a")
    stage.play({"a": "failed"})
    stage.retry()

    assert isinstance(stage.finish("a", token=token), Ignored)


def test_a_run_sticks_to_its_worker_over_retries() -> None:
    stage = Stage.begun(make_dag(*ABC)).play({"b": "failed"})
    stage.retry()

    assert stage.sent[-1].worker_id == "w1"


# -- by hand ---------------------------------------------------------------------------------------


def test_a_step_set_to_succeeded_by_hand_is_kept_by_the_retry() -> None:
    stage = Stage.begun(make_dag(*ABC)).play({"a": "failed"})
    stage.tell(PatchNode("a", NodeStatus.SUCCEEDED, "ann"))

    assert (stage.states(), stage.run.status) == ("succeeded aborted aborted", RunStatus.FAILED)
    assert (stage.transitions[-1].why, stage.transitions[-1].by) == ("set by hand, was failed", "ann")
    assert order_of_retry(stage) == ["b", "c"]


def test_a_step_set_to_not_started_by_hand_runs_again_without_those_after_it() -> None:
    stage = Stage.begun(make_dag(*ABC)).play()
    stage.tell(PatchNode("b", NodeStatus.NOT_STARTED, "ann"))

    assert order_of_retry(stage) == ["b"]


def test_a_step_of_a_running_run_cannot_be_set_by_hand() -> None:
    refused = Stage.begun(make_dag(*ABC)).tell(PatchNode("a", NodeStatus.SUCCEEDED, "ann"))

    assert isinstance(refused, Refused)
    assert refused.code == "bad_request"


def test_a_step_that_does_not_exist_cannot_be_set_by_hand() -> None:
    refused = Stage.begun(make_dag(*ABC)).tell(PatchNode("x", NodeStatus.SUCCEEDED, "ann"))

    assert isinstance(refused, Refused)
    assert refused.code == "not_found"


@pytest.mark.parametrize("status", list(NodeStatus))
@pytest.mark.parametrize("first", ["succeeded", "failed"])
def test_a_queued_run_ends_whatever_was_set_by_hand(status: NodeStatus, first: str) -> None:
    stage = Stage(fresh(make_dag(*ABC), status=RunStatus.QUEUED))
    stage.tell(PatchNode("b", status, "ann"))
    stage.tell(Begin("ann"))
    stage.play({"a": first})

    assert stage.run.status is not RunStatus.RUNNING


@pytest.mark.parametrize("status", list(NodeStatus))
@pytest.mark.parametrize("only", ["", "a"])
def test_a_retry_ends_whatever_was_set_by_hand(status: NodeStatus, only: str) -> None:
    stage = Stage.begun(make_dag(*ABC)).play({"a": "failed"})
    stage.tell(PatchNode("b", status, "ann"))
    order_of_retry(stage, only)

    assert stage.run.status is not RunStatus.RUNNING


# -- a new run from an old one's results -----------------------------------------------------------


def test_a_new_run_takes_over_what_succeeded_and_nothing_after_a_failure() -> None:
    dag = make_dag(step("a", continue_on=ContinueOn(failure=True)), step("b", "a"), step("c"), handlers=[Handler.EXIT])
    source = Stage.begun(dag, prepare=True)
    source.play({"a": "failed"})
    assert source.states() == "failed succeeded succeeded"

    stage = anew(source).play()

    assert stage.order() == ["prepare", "a", "b", "onExit"]
    assert stage.run.status is RunStatus.SUCCEEDED


def test_what_is_taken_over_was_neither_tried_nor_called_here() -> None:
    source = Stage.begun(make_dag(step("c", type="dag", call="sub"), step("b", "c")))
    source.make("c", children=(ChildCall(dag="sub", params=""),))
    source.tell(ChildrenSeen(0, {child_run_id("r1", "c", ""): "succeeded"}, {}))
    source.play({"b": "failed"})
    old, new = source.node("c"), anew(source).node("c")

    assert (old.number, len(old.children)) == (1, 1)
    # The files of it are still there for steps to read.
    assert new == replace(old, number=0, children=NO_CHILDREN)
    assert new.stdout


def test_a_new_run_of_one_that_waits_asks_again() -> None:
    dag = make_dag(step("a"), step("ok", "a", type="hitl"), step("b", "ok"))
    source = Stage.begun(dag).play()
    assert (source.run.status, refusal(source.run, "")) == (RunStatus.WAITING, None)

    stage = anew(source).play()

    assert (stage.states(), stage.order()) == ("succeeded waiting not_started", ["ok"])
    stage.approve("ok")
    stage.tell(Begin("scheduler"))
    assert stage.play().states() == "succeeded succeeded succeeded"


def test_a_new_run_may_run_one_step_alone() -> None:
    source = Stage.begun(make_dag(*ABC, step("d"), handlers=[Handler.EXIT])).play({"c": "failed"})

    stage = anew(source, "b").play()

    assert stage.order() == ["b", "onExit"]
    assert stage.states() == "succeeded succeeded not_started succeeded"
    assert stage.run.status is RunStatus.SUCCEEDED
