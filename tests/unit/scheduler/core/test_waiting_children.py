"""Steps whose sub-runs wait for approval, and the state of their run until then."""

from collections.abc import Mapping
from dataclasses import replace

from services.scheduler.core.child_states import UNDER_WAY, WAITING
from services.scheduler.core.children import child_run_id
from services.scheduler.core.decision import Advanced, Ignored, Refused, StartChild, StopChild
from services.scheduler.core.messages import Begin, ChildrenSeen
from shared.admission.runs import RESUMED
from shared.contracts.events import ChildCall
from shared.language.model import Dag, Handler, Parallel, RetryPolicy
from shared.status import RunStatus
from tests.unit.scheduler.core.stage import T0, Stage, fresh, make_dag, step

CALL = step("c", type="dag", call="sub")
AFTER = step("after", "c")


def child(params: str = "") -> str:
    return child_run_id("r1", "c", params)


def called(dag: Dag, *params: str) -> Stage:
    """Return a run whose step ``c`` called ``sub``, once or for each of ``params``."""
    stage = Stage.begun(dag)
    stage.start("c")
    stage.finish("c", children=tuple(ChildCall(dag="sub", params=one) for one in params or ("",)))
    return stage


def see(stage: Stage, states: Mapping[str, str], *, over: bool = True) -> tuple[object, ...]:
    """Report the status of the sub-runs and return the effects. ``over`` means that none is still running."""
    found = {run_id: {"X": run_id} for run_id in states} if over else None
    decision = stage.tell(ChildrenSeen(stage.node("c").idx, states, found))
    return decision.effects if isinstance(decision, Advanced) else ()


def three(*, at_once: int = 10, retry: RetryPolicy | None = None) -> tuple[Stage, list[str]]:
    items = ("a", "b", "d")
    parallel = Parallel(items=items, max_concurrent=at_once)
    dag = make_dag(step("c", type="parallel", call="sub", parallel=parallel, retry_policy=retry), AFTER)
    return called(dag, *items), [child(one) for one in items]


def test_a_run_waits_with_the_run_it_called_and_goes_on_with_it() -> None:
    stage = called(make_dag(CALL, AFTER, handlers=[Handler.WAIT, Handler.EXIT]))
    see(stage, {child(): WAITING})
    stage.play()
    assert (stage.states(), stage.run.status) == ("waiting not_started", RunStatus.WAITING)
    assert dict(stage.task("onWait").engine_env)["DAG_WAITING_STEPS"] == "c"

    see(stage, {child(): UNDER_WAY}, over=False)
    assert (stage.states(), stage.run.status) == ("waiting not_started", RunStatus.QUEUED)
    stage.tell(Begin("scheduler"))
    assert (stage.states(), stage.run.status) == ("running not_started", RunStatus.RUNNING)
    see(stage, {child(): "succeeded"})
    stage.play()

    assert (stage.states(), str(stage.run.status)) == ("succeeded succeeded", "succeeded")
    assert stage.order() == ["c", "onWait", "after", "onExit"]
    assert stage.run.run_attempt == 2


def test_a_child_that_is_over_before_its_caller_went_on_is_noticed_then() -> None:
    stage = called(make_dag(CALL, AFTER))
    see(stage, {child(): WAITING})
    see(stage, {child(): "succeeded"})
    assert (stage.states(), stage.run.status) == ("waiting not_started", RunStatus.QUEUED)
    stage.tell(Begin("scheduler"))
    see(stage, {})

    assert stage.play().states() == "succeeded succeeded"


def test_a_child_that_waits_again_makes_its_caller_wait_again() -> None:
    stage = called(make_dag(CALL, AFTER, handlers=[Handler.WAIT]))
    for _ in range(2):
        see(stage, {child(): WAITING})
        stage.play()
        assert stage.run.status is RunStatus.WAITING
        see(stage, {child(): UNDER_WAY}, over=False)
        stage.tell(Begin("scheduler"))
    see(stage, {child(): "succeeded"})
    stage.play()

    assert stage.order() == ["c", "onWait", "onWait", "after"]


def test_a_child_that_waits_again_before_its_caller_went_on() -> None:
    stage = called(make_dag(CALL, AFTER))
    see(stage, {child(): WAITING})
    see(stage, {child(): UNDER_WAY}, over=False)
    see(stage, {child(): WAITING})
    assert stage.run.status is RunStatus.QUEUED
    stage.tell(Begin("scheduler"))

    assert (stage.states(), stage.run.status) == ("waiting not_started", RunStatus.WAITING)


def test_a_rejected_child_fails_its_caller() -> None:
    stage = called(make_dag(CALL, AFTER, handlers=[Handler.FAILURE]))
    see(stage, {child(): WAITING})
    see(stage, {child(): "rejected"})
    stage.tell(Begin("scheduler"))
    see(stage, {})
    stage.play()

    assert (stage.states(), str(stage.run.status)) == ("failed aborted", "failed")
    assert stage.node("c").error == f"sub DAG run {child()} failed with status: rejected"
    assert stage.order() == ["c", "onFailure"]


def test_the_step_that_waits_with_a_child_cannot_be_approved_itself() -> None:
    stage = called(make_dag(CALL))
    see(stage, {child(): WAITING})

    for decision in (stage.approve("c"), stage.reject("c")):
        assert isinstance(decision, Refused)
        assert (decision.code, "approve or reject their steps" in decision.message) == ("bad_request", True)


def test_children_that_wait_leave_their_places_to_others() -> None:
    stage, (a, b, d) = three(at_once=1)
    effects = see(stage, {a: WAITING}, over=False)
    assert [one.run_id for one in effects if isinstance(one, StartChild)] == [b]
    assert stage.states() == "running not_started"
    see(stage, {b: "succeeded"}, over=False)
    see(stage, {d: "succeeded"})

    assert (stage.states(), stage.run.status) == ("waiting not_started", RunStatus.WAITING)


def test_a_child_that_failed_beside_one_that_waits_fails_the_step_and_ends_the_wait() -> None:
    stage, (a, b, d) = three()
    effects = see(stage, {a: WAITING, b: "failed", d: "partially_succeeded"})

    assert [one.run_id for one in effects if isinstance(one, StopChild)] == [a]
    assert stage.states() == "failed aborted"
    assert stage.node("c").error == "parallel execution failed: 1 sub dag(s) failed"


def test_a_child_that_fails_after_its_approval_is_tried_again_where_the_policy_says_so() -> None:
    stage, (a, b, d) = three(retry=RetryPolicy(limit=1, interval_sec=0))
    see(stage, {a: WAITING, b: "succeeded", d: "succeeded"})
    see(stage, {a: "failed"})
    stage.tell(Begin("scheduler"))
    see(stage, {})

    assert stage.open() == ["c"]
    assert stage.node("c").retry_count == 1


def test_a_stop_reaches_the_children_that_wait() -> None:
    stage, (a, b, d) = three()
    see(stage, {a: WAITING, b: "succeeded", d: "succeeded"})
    decision = stage.stop()

    assert isinstance(decision, Advanced)
    assert [one.run_id for one in decision.effects if isinstance(one, StopChild)] == [a]
    assert (stage.states(), str(stage.run.status)) == ("aborted not_started", "aborted")
    assert isinstance(stage.tell(ChildrenSeen(0, {a: "aborted"}, {})), Ignored)


def test_a_stop_while_others_run_waits_for_the_children_that_waited() -> None:
    stage, (a, b, d) = three()
    see(stage, {a: WAITING, b: "succeeded"}, over=False)
    decision = stage.stop()
    assert isinstance(decision, Advanced)
    assert [one.run_id for one in decision.effects if isinstance(one, StopChild)] == [a, d]
    see(stage, {a: "aborted"}, over=False)
    assert stage.run.status is RunStatus.RUNNING
    see(stage, {d: "aborted"})

    assert (stage.states(), str(stage.run.status)) == ("aborted not_started", "aborted")


def test_a_run_that_another_called_goes_on_without_a_queue_unless_it_was_in_one() -> None:
    gate = step("ok", type="hitl")
    called = replace(fresh(make_dag(gate, step("b", "ok"))), root_dag_run_id="r0")
    stage = Stage(replace(called, status=RunStatus.QUEUED, queued_at=T0))
    stage.tell(Begin("scheduler"))
    stage.play()
    stage.approve("ok")
    assert (stage.run.status, stage.run.priority, stage.open()) == (RunStatus.QUEUED, RESUMED, [])

    stage = Stage(called)
    stage.tell(Begin("scheduler"))
    stage.play()
    stage.approve("ok")

    assert (stage.run.status, stage.run.run_attempt, stage.open()) == (RunStatus.RUNNING, 2, ["b"])
