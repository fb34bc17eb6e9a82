"""The final status of a run, for each combination of how its steps ended."""

from typing import Any

import pytest

from services.scheduler.core.messages import PatchNode
from shared.language.model import ContinueOn, Dag, Handler
from shared.status import NodeStatus, RunStatus
from tests.unit.scheduler.core.stage import Stage, make_dag, step

FAILED_IS_FINE = ContinueOn(failure=True)
SKIPPED_IS_FINE = ContinueOn(skipped=True)
MARKED = ContinueOn(failure=True, mark_success=True)
AB = make_dag(step("a"), step("b", "a"))
TOLERANT = make_dag(step("a", continue_on=FAILED_IS_FINE), step("b", "a"))


@pytest.mark.parametrize(
    ("dag", "outcomes", "states", "status"),
    [
        pytest.param(AB, {}, "succeeded succeeded", "succeeded", id="both fine"),
        pytest.param(AB, {"a": "failed"}, "failed aborted", "failed", id="a fails"),
        pytest.param(TOLERANT, {"a": "failed"}, "failed succeeded", "partially_succeeded", id="a may fail"),
        pytest.param(
            make_dag(step("a", continue_on=MARKED), step("b", "a")),
            {"a": "failed"},
            "succeeded succeeded",
            "succeeded",
            id="a fails and is marked",
        ),
        pytest.param(
            make_dag(step("a", continue_on=FAILED_IS_FINE)),
            {"a": "failed"},
            "failed",
            "failed",
            id="only step may fail",
        ),
        pytest.param(TOLERANT, {"a": "failed", "b": "failed"}, "failed failed", "failed", id="one may fail, one not"),
        pytest.param(
            make_dag(step("a"), step("c")), {"a": "failed"}, "failed succeeded", "failed", id="independent one fine"
        ),
        pytest.param(AB, {"a": "skipped"}, "skipped skipped", "succeeded", id="a skipped"),
        pytest.param(
            make_dag(step("a", continue_on=SKIPPED_IS_FINE), step("b", "a")),
            {"a": "skipped"},
            "skipped succeeded",
            "succeeded",
            id="a may be skipped",
        ),
        pytest.param(AB, {"a": "timed_out"}, "failed aborted", "failed", id="a takes too long"),
        pytest.param(
            make_dag(step("a"), step("s"), step("b", "a", "s")),
            {"a": "failed", "s": "skipped"},
            "failed skipped aborted",
            "failed",
            id="one failed, one skipped",
        ),
        pytest.param(
            make_dag(step("a", continue_on=MARKED), step("b", "a")),
            {"a": "timed_out"},
            "failed succeeded",
            "failed",
            id="a timeout is never marked a success",
        ),
    ],
)
def test_the_final_status_follows_from_the_steps(dag: Dag, outcomes: dict[str, Any], states: str, status: str) -> None:
    stage = Stage.begun(dag).play(outcomes)

    assert (stage.states(), str(stage.run.status)) == (states, status)
    assert stage.run.finished_at is not None


def test_a_step_that_ends_aborted_without_a_stop_fails_the_run() -> None:
    assert Stage.begun(AB).play({"b": "aborted"}).run.status is RunStatus.FAILED


CLOSING = (Handler.SUCCESS, Handler.FAILURE, Handler.ABORT, Handler.EXIT)


def test_an_unmet_precondition_of_the_dag_aborts_the_run() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a"), handlers=CLOSING), prepare=True)
    stage.play({"prepare": "skipped"})

    assert (stage.states(), str(stage.run.status)) == ("not_started not_started", "aborted")
    assert stage.order() == ["prepare", "onCancel", "onExit"]


def test_an_unmet_precondition_does_not_matter_to_a_dag_without_steps() -> None:
    assert Stage.begun(make_dag(), prepare=True).play({"prepare": "skipped"}).run.status is RunStatus.SUCCEEDED


def test_a_run_that_cannot_be_prepared_failed() -> None:
    stage = Stage.begun(make_dag(step("a"), handlers=CLOSING), prepare=True).play({"prepare": "broken"})

    assert (stage.states(), str(stage.run.status)) == ("not_started", "failed")
    assert stage.order() == ["prepare", "onFailure", "onExit"]
    assert stage.run.error == "broken"


def test_a_failing_init_handler_aborts_the_run() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a"), handlers=[Handler.INIT, *CLOSING]))
    stage.play({"onInit": "failed"})

    assert (stage.states(), str(stage.run.status)) == ("not_started not_started", "aborted")
    assert stage.order() == ["onInit", "onCancel", "onExit"]


def test_a_failing_init_handler_fails_a_run_that_had_no_step_to_abort() -> None:
    assert Stage.begun(make_dag(handlers=[Handler.INIT])).play({"onInit": "failed"}).run.status is RunStatus.FAILED


def test_a_run_past_its_time_limit_failed_and_what_had_not_begun_is_aborted() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a"), timeout_sec=60, handlers=CLOSING))
    stage.start("a")
    stage.wait(60)
    stage.finish("a", "aborted")
    stage.play()

    assert (stage.states(), str(stage.run.status)) == ("aborted aborted", "failed")
    assert stage.run.error == "the run's time limit passed"
    assert stage.order() == ["a", "onFailure", "onExit"]


def test_a_time_limit_wins_over_an_earlier_failure_that_was_allowed() -> None:
    stage = Stage.begun(make_dag(step("a", continue_on=FAILED_IS_FINE), step("b", "a"), step("c", "b"), timeout_sec=60))
    stage.make("a", "failed")
    stage.make("b")
    stage.wait(60)

    assert (stage.states(), str(stage.run.status)) == ("failed succeeded aborted", "failed")


def test_a_stopped_run_is_aborted_and_leaves_pending_steps_as_they_are() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a"), handlers=CLOSING))
    stage.start("a")
    stage.stop()
    stage.finish("a", "aborted")
    stage.play()

    assert (stage.states(), str(stage.run.status)) == ("aborted not_started", "aborted")
    assert stage.order() == ["a", "onCancel", "onExit"]


def test_a_stop_after_all_steps_succeeded_changes_nothing() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a"), handlers=[Handler.EXIT])).play({"onExit": "succeeded"})
    other = Stage.begun(make_dag(step("a"), step("b", "a"), handlers=[Handler.EXIT]))
    other.make("a")
    other.make("b")
    other.stop()
    other.play()

    assert stage.run.status is other.run.status is RunStatus.SUCCEEDED


@pytest.mark.parametrize("handler", [Handler.EXIT, Handler.SUCCESS])
def test_a_failing_closing_handler_fails_a_run_that_succeeded(handler: Handler) -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a"), handlers=[handler])).play({handler.value: "failed"})

    assert (stage.states(), str(stage.run.status)) == ("succeeded succeeded", "failed")


@pytest.mark.parametrize("handler", [Handler.EXIT, Handler.SUCCESS])
def test_a_failing_closing_handler_leaves_a_partial_success_as_it_is(handler: Handler) -> None:
    dag = make_dag(*TOLERANT.steps, handlers=[handler])
    stage = Stage.begun(dag).play({"a": "failed", handler.value: "failed"})

    assert str(stage.run.status) == "partially_succeeded"


def _by_hand(status: NodeStatus, **dag: Any) -> Stage:
    """Return a run whose first step has a status that only a user can set."""
    stage = Stage.begun(make_dag(step("a"), step("b", "a"), **dag)).play({"a": "failed"})
    stage.tell(PatchNode("a", status, "ann"))
    stage.tell(PatchNode("b", NodeStatus.NOT_STARTED, "ann"))
    return stage


def test_a_run_with_only_approvals_left_waits_and_runs_the_wait_handler_alone() -> None:
    stage = _by_hand(NodeStatus.WAITING, handlers=[*CLOSING, Handler.WAIT])
    sent = len(stage.sent)
    stage.retry()
    stage.play()

    assert (stage.states(), str(stage.run.status)) == ("waiting not_started", "waiting")
    assert stage.order()[sent:] == ["onWait"]


def test_a_partly_successful_step_makes_a_partly_successful_run() -> None:
    stage = _by_hand(NodeStatus.PARTIALLY_SUCCEEDED)
    stage.retry()
    stage.play()

    assert (stage.states(), str(stage.run.status)) == ("partially_succeeded succeeded", "partially_succeeded")


def test_a_step_rejected_inside_an_attempt_makes_a_rejected_run_and_tells_the_failure_handler() -> None:
    stage = _by_hand(NodeStatus.REJECTED, handlers=CLOSING)
    sent = len(stage.sent)
    stage.retry("b")
    stage.play()

    assert (stage.states(), str(stage.run.status)) == ("rejected succeeded", "rejected")
    assert stage.order()[sent:] == ["b", "onFailure", "onExit"]
