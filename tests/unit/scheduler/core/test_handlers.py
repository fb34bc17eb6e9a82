"""Handlers: which ones run, in which order, and how their outcomes affect the run."""

import pytest

from services.scheduler.core.children import child_run_id
from services.scheduler.core.messages import Begin, ChildrenSeen
from services.scheduler.core.plan import Plan
from services.scheduler.deciding.creation import new_run
from shared.contracts.events import ChildCall
from shared.language.model import Condition, Handler
from shared.status import NodeStatus, RunStatus
from tests.unit.scheduler.core.stage import PREPARED, T0, Stage, make_dag, step

ALL = tuple(Handler)


@pytest.mark.parametrize(
    ("outcome", "order"),
    [
        ("succeeded", ["onInit", "a", "onSuccess", "onExit"]),
        ("skipped", ["onInit", "a", "onSuccess", "onExit"]),
        ("failed", ["onInit", "a", "onFailure", "onExit"]),
        ("timed_out", ["onInit", "a", "onFailure", "onExit"]),
    ],
)
def test_handlers_run_one_by_one_in_their_order(outcome: str, order: list[str]) -> None:
    stage = Stage.begun(make_dag(step("a"), handlers=ALL)).play({"a": outcome})

    assert stage.order() == order


def test_the_run_is_running_for_everybody_until_the_last_handler_ended() -> None:
    stage = Stage.begun(make_dag(step("a"), handlers=[Handler.SUCCESS, Handler.EXIT]))
    stage.make("a")
    assert (stage.open(), stage.run.status) == (["onSuccess"], RunStatus.RUNNING)
    stage.make("onSuccess")
    assert (stage.open(), stage.run.status) == (["onExit"], RunStatus.RUNNING)
    stage.make("onExit")
    assert stage.run.status is RunStatus.SUCCEEDED


def test_the_exit_handler_sees_the_success_handlers_failure() -> None:
    stage = Stage.begun(make_dag(step("a"), handlers=[Handler.SUCCESS, Handler.FAILURE, Handler.EXIT]))
    stage.play({"onSuccess": "failed"})

    assert stage.order() == ["a", "onSuccess", "onExit"]
    assert stage.task("onExit").engine_env == (("DAG_RUN_STATUS", "failed"),)
    assert stage.run.status is RunStatus.FAILED


@pytest.mark.parametrize("handler", [Handler.FAILURE, Handler.EXIT])
def test_a_failed_run_stays_failed_whatever_its_handlers_do(handler: Handler) -> None:
    stage = Stage.begun(make_dag(step("a"), handlers=ALL)).play({"a": "failed", handler.value: "failed"})

    assert stage.run.status is RunStatus.FAILED
    assert stage.order() == ["onInit", "a", "onFailure", "onExit"]


@pytest.mark.parametrize("handler", ALL)
def test_a_handler_whose_precondition_is_unmet_is_skipped_without_effect(handler: Handler) -> None:
    stage = Stage.begun(make_dag(step("a"), handlers=[handler])).play({handler.value: "skipped"})

    assert stage.run.status is RunStatus.SUCCEEDED


def test_a_handler_is_not_tried_again() -> None:
    dag = make_dag(step("a")).model_copy(
        update={"handlers": {Handler.EXIT: step("onExit", retry_policy={"limit": 3, "interval_sec": 0})}}
    )
    stage = Stage.begun(dag).play({"onExit": "failed"})

    assert stage.order() == ["a", "onExit"]


def test_a_handler_lost_with_its_worker_counts_as_failed() -> None:
    stage = Stage.begun(make_dag(step("a"), handlers=[Handler.EXIT]))
    stage.make("a")
    stage.start("onExit")
    stage.lose("onExit")

    assert stage.node("onExit").status is NodeStatus.FAILED
    assert stage.run.status is RunStatus.FAILED


def test_an_init_handler_lost_with_its_worker_aborts_the_run() -> None:
    stage = Stage.begun(make_dag(step("a"), handlers=[Handler.INIT, Handler.ABORT]))
    stage.start("onInit")
    stage.lose("onInit")
    stage.play()

    assert stage.run.status is RunStatus.ABORTED
    assert stage.order() == ["onInit", "onCancel"]


def test_after_a_stop_a_handler_waits_for_the_runs_that_it_calls() -> None:
    on_exit = step("onExit", type="dag", call="sub")
    stage = Stage.begun(make_dag(step("a")).model_copy(update={"handlers": {Handler.EXIT: on_exit}}))
    stage.start("a")
    stage.stop()
    stage.make("a", "aborted", -1)
    stage.make("onExit", children=(ChildCall(dag="sub", params=""),))
    assert stage.node("onExit").status is NodeStatus.RUNNING
    child = child_run_id("r1", "onExit", "")
    stage.tell(ChildrenSeen(stage.node("onExit").idx, {child: "succeeded"}, {child: {}}))

    assert (stage.node("onExit").status, stage.run.status) == (NodeStatus.SUCCEEDED, RunStatus.ABORTED)


@pytest.mark.parametrize("begun", [False, True])
def test_no_handler_runs_without_the_values_of_a_run_that_was_stopped_before_they_were_evaluated(begun: bool) -> None:
    dag = make_dag(step("a"), handlers=ALL, env=(("WORK", "`mktemp -d`"),))
    stage = Stage.begun(dag, prepare=True)
    if begun:
        stage.start("prepare")
    stage.stop()
    if begun:
        stage.finish("prepare", "aborted")

    assert stage.order() == ["prepare"]
    assert stage.run.status is RunStatus.ABORTED
    assert stage.transitions[-1].why == "stopped on request before env and params were evaluated: no handler runs"


def test_the_handlers_run_with_the_values_if_the_run_is_stopped_after_these_were_evaluated() -> None:
    stage = Stage.begun(make_dag(step("a"), handlers=ALL, env=(("WORK", "`mktemp -d`"),)), prepare=True)
    stage.start("prepare")
    stage.stop()
    stage.finish("prepare", "aborted", outputs=PREPARED)
    stage.play()

    assert stage.order() == ["prepare", "onCancel", "onExit"]
    assert stage.task("onExit").env == (("REGION", "eu"),)


def test_handlers_run_if_the_run_has_no_values() -> None:
    stage = Stage.begun(make_dag(step("a"), handlers=ALL), prepare=True, given=" ")
    stage.start("prepare")
    stage.finish("prepare", outputs={"env": "[]", "params": "[]"})
    stage.start("onInit")
    stage.stop()
    stage.finish("onInit", "aborted")
    stage.play()

    assert stage.order()[-2:] == ["onCancel", "onExit"]


def test_the_handlers_of_a_run_that_is_stopped_before_its_preconditions_are_checked_have_its_plain_values() -> None:
    unchecked = (Condition(condition="test -e /data"),)
    dag = make_dag(step("a"), handlers=ALL, env=(("WORK", "/data"),), preconditions=unchecked)
    run = new_run(Plan(dag), run_key="k", dag_name="d", dag_run_id="r", given="A=x", queue=None, queued=False, now=T0)
    stage = Stage(run)
    stage.tell(Begin("ann"))
    stage.stop()
    stage.play()

    assert stage.order() == ["prepare", "onCancel", "onExit"]
    assert stage.task("onExit").env == (("WORK", "/data"),)
    assert stage.task("onExit").params == (("A", "x"),)
