"""A stop and the run's time limit, in every state of a run."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.scheduler.core.child_states import UNDER_WAY
from services.scheduler.core.decision import THE_RUN, Advanced, Ignored, Refused, StopChild
from services.scheduler.core.messages import ChildrenSeen, Dequeue, PatchNode, Stop, TimerFired
from shared.contracts.events import ChildCall
from shared.language.model import Handler, RepeatMode, RepeatPolicy
from shared.status import AttemptState, NodeStatus, RunStatus, TimerKind
from tests.unit.scheduler.core.stage import T0, Stage, fresh, make_dag, step

AB = (step("a"), step("b", "a"))
CLOSING = (Handler.SUCCESS, Handler.FAILURE, Handler.ABORT, Handler.EXIT)
PATIENT = {"limit": 3, "interval_sec": 60}


def halted(stage: Stage) -> list[tuple[str | None, bool]]:
    return [(halt.worker_id, halt.revoked) for halt in stage.halts]


def test_a_task_that_no_worker_took_is_withdrawn_and_the_run_ends_at_once() -> None:
    stage = Stage.begun(make_dag(*AB))
    token = stage.token("a")
    stage.stop()

    assert (stage.states(), stage.run.status) == ("not_started not_started", RunStatus.ABORTED)
    assert [one.state for one in stage.closed] == [AttemptState.WITHDRAWN]
    assert [(halt.worker_id, halt.token, halt.revoked) for halt in stage.halts] == [(None, token, True)]
    assert stage.start("a", worker="w3", token=token) is not None
    assert halted(stage)[1:] == [("w3", True)]


def test_a_task_on_a_workers_own_route_is_taken_back_there() -> None:
    stage = Stage.begun(make_dag(*AB))
    stage.make("a")
    stage.stop()

    assert halted(stage) == [("w1", True)]
    assert stage.states() == "succeeded not_started"
    assert stage.node("b").number == 0


def test_a_running_step_is_halted_and_waited_for() -> None:
    stage = Stage.begun(make_dag(*AB))
    stage.start("a")
    stage.stop()

    assert halted(stage) == [("w1", False)]
    assert stage.run.status is RunStatus.RUNNING
    stage.finish("a", "aborted")
    assert (stage.states(), stage.run.status) == ("aborted not_started", RunStatus.ABORTED)


@pytest.mark.parametrize("outcome", ["failed", "succeeded", "skipped", "broken"])
def test_what_a_step_says_after_the_stop_still_counts_but_starts_nothing(outcome: str) -> None:
    stage = Stage.begun(make_dag(step("a", retry_policy=PATIENT), step("b", "a")))
    stage.start("a")
    stage.stop()
    stage.finish("a", outcome)  # type: ignore[arg-type]

    assert stage.states() == f"{'failed' if outcome == 'broken' else outcome} not_started"
    assert stage.run.status is RunStatus.ABORTED


def test_a_step_that_waits_for_its_next_try_is_aborted_at_once() -> None:
    stage = Stage.begun(make_dag(step("a", retry_policy=PATIENT), step("b", "a")))
    stage.make("a", "failed")
    stage.stop()

    assert (stage.states(), stage.run.status) == ("aborted not_started", RunStatus.ABORTED)
    assert isinstance(stage.tell(TimerFired(0, TimerKind.RETRY)), Ignored)


def test_a_step_whose_next_try_no_worker_took_is_aborted_at_once() -> None:
    stage = Stage.begun(make_dag(step("a", retry_policy=PATIENT)))
    stage.make("a", "failed")
    stage.wait(60)
    stage.stop()

    assert (stage.states(), stage.run.status) == ("aborted", RunStatus.ABORTED)


def test_a_stop_while_the_run_is_prepared_runs_no_step() -> None:
    stage = Stage.begun(make_dag(*AB, handlers=CLOSING), prepare=True)
    stage.start("prepare")
    stage.stop()
    stage.finish("prepare", "aborted")
    stage.play()

    assert stage.order() == ["prepare", "onCancel", "onExit"]
    assert stage.run.status is RunStatus.ABORTED


def test_a_worker_lost_while_it_prepares_a_run_that_is_being_stopped_ends_the_run() -> None:
    stage = Stage.begun(make_dag(*AB), prepare=True)
    stage.start("prepare")
    stage.stop()
    stage.lose("prepare")

    assert stage.run.status is RunStatus.ABORTED
    assert stage.node("prepare").status is NodeStatus.ABORTED


def test_a_stop_during_the_init_handler_aborts_the_run() -> None:
    stage = Stage.begun(make_dag(*AB, handlers=[Handler.INIT, *CLOSING]))
    stage.start("onInit")
    stage.stop()
    assert halted(stage) == [("w1", False)]
    stage.finish("onInit", "aborted")
    stage.play()

    assert stage.order() == ["onInit", "onCancel", "onExit"]
    assert stage.run.status is RunStatus.ABORTED


def test_a_stop_during_the_failure_handler_reaches_it_and_aborts_the_run() -> None:
    stage = Stage.begun(make_dag(*AB, handlers=CLOSING))
    stage.make("a", "failed")
    stage.start("onFailure")
    stage.stop()
    assert halted(stage) == [("w1", False)]
    stage.finish("onFailure", "aborted")
    stage.play()

    assert stage.order() == ["a", "onFailure", "onCancel", "onExit"]
    assert stage.run.status is RunStatus.ABORTED


def test_a_stop_during_the_exit_handler_of_a_run_that_succeeded_changes_nothing() -> None:
    stage = Stage.begun(make_dag(*AB, handlers=CLOSING))
    for name in ("a", "b", "onSuccess"):
        stage.make(name)
    stage.start("onExit")
    stage.stop()
    stage.finish("onExit", "aborted")

    assert stage.run.status is RunStatus.SUCCEEDED


def test_a_handler_that_no_worker_took_before_the_stop_is_sent_again() -> None:
    stage = Stage.begun(make_dag(*AB, handlers=[Handler.EXIT]))
    stage.make("a")
    stage.make("b")
    old = stage.token("onExit")
    stage.stop()

    assert stage.token("onExit") != old
    assert isinstance(stage.start("onExit", token=old), Ignored)


def test_a_second_stop_is_sent_to_the_workers_again_and_changes_no_state() -> None:
    stage = Stage.begun(make_dag(*AB))
    stage.start("a")
    stage.stop()
    before = stage.run

    assert isinstance(stage.stop(), Ignored)
    assert stage.run is before
    assert halted(stage) == [("w1", False), ("w1", False)]


def test_a_second_stop_leaves_the_handlers_alone_that_clean_up_after_the_first() -> None:
    stage = Stage.begun(make_dag(*AB, handlers=CLOSING))
    stage.start("a")
    stage.stop()
    stage.finish("a", "aborted")
    stage.start("onCancel")
    stage.stop()

    assert halted(stage) == [("w1", False)]
    stage.finish("onCancel")
    stage.play()
    assert stage.order() == ["a", "onCancel", "onExit"]


def test_a_second_stop_leaves_the_sub_runs_of_such_a_handler_alone() -> None:
    stage = Stage.begun(make_dag(*AB, handlers=CLOSING))
    stage.start("a")
    stage.stop()
    stage.finish("a", "aborted")
    stage.start("onCancel")
    stage.finish("onCancel", children=(ChildCall(dag="sub", params="", given=""),))

    assert stage.stop() == Ignored("stopping already")


def test_the_first_stop_of_a_run_that_could_not_be_prepared_reaches_its_handler() -> None:
    stage = Stage.begun(make_dag(*AB, handlers=CLOSING), prepare=True)
    stage.make("prepare", "failed")
    stage.start("onFailure")
    stage.stop()

    assert halted(stage) == [("w1", False)]


def test_a_repeated_step_may_finish_its_execution_after_a_stop_and_is_ended_by_a_second_one() -> None:
    endless = RepeatPolicy(repeat=RepeatMode.WHILE)
    stage = Stage.begun(make_dag(step("a", repeat_policy=endless), step("b", "a")))
    stage.start("a")
    stage.stop()
    assert halted(stage) == []

    stage.stop()
    assert halted(stage) == [("w1", False)]
    stage.finish("a", "aborted")
    assert (stage.states(), stage.run.status) == ("aborted not_started", RunStatus.ABORTED)


def test_a_worker_lost_after_the_stop_leaves_the_step_aborted() -> None:
    stage = Stage.begun(make_dag(step("a", retry_policy=PATIENT)))
    stage.start("a")
    stage.stop()
    stage.lose("a")

    assert (stage.states(), stage.run.status) == ("aborted", RunStatus.ABORTED)


@pytest.mark.parametrize("status", [RunStatus.NOT_STARTED, RunStatus.QUEUED])
def test_a_run_that_does_not_run_cannot_be_stopped(status: RunStatus) -> None:
    decision = Stage(fresh(make_dag(*AB), status=status)).tell(Stop("ann"))

    assert isinstance(decision, Refused)
    assert (decision.code, decision.message) == ("not_running", f"Run 'r1' is {status}, not running")


def test_a_run_that_ended_cannot_be_stopped() -> None:
    decision = Stage.begun(make_dag(*AB)).play().stop()

    assert isinstance(decision, Refused)


def test_a_run_that_waits_for_approval_can_be_stopped() -> None:
    stage = Stage.begun(make_dag(*AB)).play({"a": "failed"})
    stage.tell(PatchNode("a", NodeStatus.WAITING, "ann"))
    stage.retry()
    assert str(stage.run.status) == "waiting"
    stage.stop()

    assert stage.run.status is RunStatus.ABORTED
    assert stage.open() == []


def test_a_queued_run_that_another_one_called_is_not_forgotten() -> None:
    run = replace(fresh(make_dag(*AB), status=RunStatus.QUEUED), root_dag_name="parent")
    decision = Stage(run).tell(Dequeue("scheduler"))
    assert isinstance(decision, Advanced)
    assert (decision.run.status, decision.effects) == (RunStatus.ABORTED, ())


def test_only_a_queued_run_can_be_dequeued() -> None:
    stage = Stage(fresh(make_dag(*AB), status=RunStatus.QUEUED))
    decision = stage.tell(Dequeue("ann"))
    assert "Forget()" in repr(decision)
    assert stage.run.status is RunStatus.ABORTED

    for other in (Stage.begun(make_dag(*AB)), Stage.begun(make_dag(*AB)).play(), stage):
        refused = other.tell(Dequeue("ann"))
        assert isinstance(refused, Refused)
        assert refused.code == "bad_request"


# -- the run's time limit ----------------------------------------------------------------------------


def limited(**facts: object) -> Stage:
    return Stage.begun(make_dag(*AB, timeout_sec=60, handlers=CLOSING, **facts))


def test_the_time_limit_counts_from_the_start_of_the_attempt() -> None:
    stage = limited()

    assert stage.wakes == {(THE_RUN, TimerKind.TIMEOUT): T0 + timedelta(seconds=60)}
    stage.wait(59)
    assert stage.open() == ["a"]


def test_the_time_limit_does_not_fire_early() -> None:
    stage = limited()
    stage.wakes.clear()

    assert isinstance(stage.tell(TimerFired(THE_RUN, TimerKind.TIMEOUT)), Ignored)
    assert stage.wakes == {(THE_RUN, TimerKind.TIMEOUT): T0 + timedelta(seconds=60)}


def test_past_its_time_limit_a_run_aborts_all_steps_and_still_runs_its_handlers() -> None:
    stage = limited()
    stage.start("a")
    stage.wait(60)
    assert stage.states() == "running aborted"
    assert halted(stage) == [("w1", False)]
    stage.finish("a", "aborted")
    stage.play()

    assert stage.order() == ["a", "onFailure", "onExit"]
    assert stage.run.status is RunStatus.FAILED


@pytest.mark.parametrize(("reason", "state"), [("stop", "succeeded"), ("timeout", "aborted")])
def test_a_call_whose_sub_run_succeeds_all_the_same_counts_after_a_stop_only(reason: str, state: str) -> None:
    stage = Stage.begun(make_dag(step("c", type="dag", call="sub"), timeout_sec=5))
    stage.start("c")
    stage.finish("c", children=(ChildCall(dag="sub", params=""),))
    if reason == "stop":
        stage.stop()
    else:
        stage.wait(5)
    (child,) = stage.node("c").children.having(UNDER_WAY)
    stage.tell(ChildrenSeen(stage.node("c").idx, {child.run_id: "succeeded"}, {child.run_id: {}}))

    assert stage.states() == state


def test_a_time_limit_fires_once() -> None:
    stage = limited()
    stage.start("a")
    stage.wait(60)

    assert isinstance(stage.tell(TimerFired(THE_RUN, TimerKind.TIMEOUT)), Ignored)


def test_a_time_limit_after_the_end_changes_nothing() -> None:
    stage = limited().play()
    stage.wait(60)

    assert stage.run.status is RunStatus.SUCCEEDED


def test_a_stop_after_the_time_limit_leaves_the_run_failed() -> None:
    stage = limited()
    stage.start("a")
    stage.wait(60)
    stage.stop()
    stage.finish("a", "aborted")
    stage.play()

    assert stage.run.status is RunStatus.FAILED


def test_the_time_limit_ends_an_execution_that_a_stop_has_left_to_a_repeated_step() -> None:
    stage = Stage.begun(make_dag(step("a", repeat_policy=RepeatPolicy(repeat=RepeatMode.WHILE)), timeout_sec=60))
    stage.start("a")
    stage.stop()
    assert halted(stage) == []
    stage.wait(60)
    assert halted(stage) == [("w1", False)]
    stage.wait(10)
    assert halted(stage) == [("w1", False), ("w1", False)], "the worker may have missed the first"
    stage.finish("a", "aborted")
    stage.wait(10)

    assert (stage.states(), stage.run.status) == ("aborted", RunStatus.ABORTED)
    assert len(stage.halts) == 2
    assert not stage.wakes


@pytest.mark.parametrize("stopped_before", [False, True])
def test_the_time_limit_stops_sub_runs_until_they_have_ended(*, stopped_before: bool) -> None:
    stage = Stage.begun(make_dag(step("a", call="sub"), timeout_sec=60))
    stage.start("a")
    stage.finish("a", children=(ChildCall(dag="sub", params="", given=""),))
    (child,) = stage.node("a").children
    if stopped_before:
        stage.stop()

    for passed_s in (60, 10, 10):
        stage.now += timedelta(seconds=passed_s)
        assert stage.wakes.pop((THE_RUN, TimerKind.TIMEOUT)) == stage.now
        decision = stage.tell(TimerFired(THE_RUN, TimerKind.TIMEOUT))
        assert isinstance(decision, Advanced | Ignored)
        assert StopChild(child.run_id) in decision.effects
    stage.tell(ChildrenSeen(0, {child.run_id: "aborted"}, {}))
    assert stage.states() == "aborted"


def test_a_retry_has_its_own_time_limit() -> None:
    stage = limited()
    stage.start("a")
    stage.wait(60)
    stage.finish("a", "aborted")
    stage.play()
    stage.retry()

    assert stage.wakes[THE_RUN, TimerKind.TIMEOUT] == stage.now + timedelta(seconds=60)


def test_a_time_limit_in_the_retry_of_one_step_leaves_the_others_alone() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a"), step("c", "b"), timeout_sec=60))
    stage.start("a")
    stage.stop()
    stage.finish("a", "aborted")
    stage.retry("b")
    stage.start("b")
    stage.wait(60)
    stage.finish("b", "aborted")

    assert (stage.states(), stage.run.status) == ("aborted aborted not_started", RunStatus.FAILED)
