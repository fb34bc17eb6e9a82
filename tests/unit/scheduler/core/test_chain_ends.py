"""Chains begin with the preparation of a run, and end with its handlers (ADR 63)."""

from services.scheduler.core.messages import Stop
from shared.language.model import ContinueOn, Handler
from shared.status import RunStatus
from tests.unit.scheduler.core.stage import PREPARED, Stage, make_dag, step
from tests.unit.scheduler.core.test_chains import begun, followers, go_on, in_line

FORGIVEN = ContinueOn(failure=True)


def test_the_handlers_of_a_success_follow_the_last_step() -> None:
    stage = begun(*in_line(2), handlers=[Handler.SUCCESS, Handler.EXIT, Handler.FAILURE])

    assert followers(stage) == ["s1", "onSuccess", "onExit"]
    *steps, success, exit_ = stage.sent[-1].task.chain
    assert [(each.kind, dict(each.engine_env)) for each in steps] == [("step", {})]
    status = {"DAG_RUN_STATUS": "succeeded"}
    assert [(each.kind, dict(each.engine_env)) for each in (success, exit_)] == [("handler", status)] * 2

    stage.start("s0")
    for name, after in (("s0", "s1"), ("s1", "onSuccess"), ("onSuccess", "onExit")):
        go_on(stage, name, after)
    stage.finish("onExit")

    assert stage.run.status is RunStatus.SUCCEEDED
    assert len(stage.sent) == 1


def test_a_handler_that_fails_ends_the_chain() -> None:
    stage = begun(*in_line(1), handlers=[Handler.SUCCESS, Handler.EXIT])
    stage.start("s0")
    go_on(stage, "s0", "onSuccess")
    stage.finish("onSuccess", outcome="failed")

    assert dict(stage.sent[-1].task.engine_env) == {"DAG_RUN_STATUS": "failed"}
    stage.make("onExit")
    assert stage.run.status is RunStatus.FAILED


def test_the_exit_handler_follows_the_one_for_failures() -> None:
    stage = begun(*in_line(1), handlers=[Handler.FAILURE, Handler.EXIT])
    assert followers(stage) == ["onExit"]
    stage.make("s0", outcome="failed")

    assert stage.sent[-1].task.step.name == "onFailure"
    assert followers(stage) == ["onExit"]
    assert dict(stage.sent[-1].task.chain[0].engine_env) == {"DAG_RUN_STATUS": "failed"}
    stage.start("onFailure")
    go_on(stage, "onFailure", "onExit")
    stage.finish("onExit")
    assert stage.run.status is RunStatus.FAILED


def test_handlers_know_that_the_run_is_going_to_succeed_in_part() -> None:
    stage = begun(step("a", continue_on=FORGIVEN), step("b", "a"), handlers=[Handler.EXIT])
    stage.make("a", outcome="failed")

    assert followers(stage) == ["onExit"]
    assert dict(stage.sent[-1].task.chain[0].engine_env) == {"DAG_RUN_STATUS": "partially_succeeded"}


def test_no_handler_follows_where_other_steps_may_still_run() -> None:
    stage = begun(step("a"), step("b"), handlers=[Handler.EXIT], placement="spread")

    assert [sent.task.chain for sent in stage.sent] == [(), ()]


def test_nothing_follows_the_handler_of_a_run_that_is_stopped() -> None:
    stage = begun(*in_line(1), handlers=[Handler.ABORT, Handler.EXIT])
    stage.start("s0")
    stage.tell(Stop("ann"))
    stage.finish("s0", outcome="aborted")

    assert stage.sent[-1].task.step.name == "onCancel"
    assert followers(stage) == []


def test_the_init_handler_and_the_first_step_follow_the_preparation() -> None:
    stage = Stage.begun(make_dag(*in_line(2), handlers=[Handler.INIT]), prepare=True)

    assert followers(stage) == ["onInit", "s0", "s1"]
    assert dict(stage.sent[-1].task.chain[0].engine_env) == {"DAG_RUN_STATUS": "running"}
    stage.start("prepare")
    go_on(stage, "prepare", "onInit", outputs=PREPARED)
    go_on(stage, "onInit", "s0")
    go_on(stage, "s0", "s1")
    stage.finish("s1")

    assert stage.run.env == (("REGION", "eu"),)
    assert stage.run.status is RunStatus.SUCCEEDED
    assert len(stage.sent) == 1


def test_after_the_preparation_other_first_steps_get_tasks_of_their_own() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b"), step("c"), placement="spread"), prepare=True)
    assert followers(stage) == ["a"]
    stage.start("prepare")
    go_on(stage, "prepare", "a", outputs=PREPARED)

    assert [sent.task.step.name for sent in stage.sent[1:]] == ["b", "c"]


def test_a_run_whose_preconditions_are_not_met_begins_nothing() -> None:
    stage = Stage.begun(make_dag(*in_line(1)), prepare=True)
    stage.start("prepare")
    go_on(stage, "prepare", "s0", outcome="skipped", outputs=PREPARED)

    assert stage.node("s0").attempt is None
    assert stage.run.status is not RunStatus.RUNNING


def test_a_first_step_that_waits_for_a_place_gets_a_task_of_its_own() -> None:
    assert followers(Stage.begun(make_dag(step("a", lock=("only",))), prepare=True)) == []
