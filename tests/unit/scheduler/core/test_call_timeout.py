"""A calling step's own time limit."""

from typing import Any

from services.scheduler.core.children import child_run_id
from services.scheduler.core.decision import Advanced, Decision, Ignored, StopChild
from services.scheduler.core.messages import ChildrenSeen, TimerFired
from shared.contracts.events import ChildCall
from shared.language.model import ContinueOn, Parallel, RepeatMode, RepeatPolicy, RetryPolicy
from shared.status import TimerKind
from tests.unit.scheduler.core.stage import Stage, make_dag, step

FIRST, SECOND = (child_run_id("r1", "c", params) for params in "ab")


def called(*, at_once: int = 2, **facts: Any) -> Stage:
    """Return a run whose step ``c``, limited to 5 s, called two runs."""
    fan = Parallel(items=("a", "b"), max_concurrent=at_once)
    one = step("c", type="parallel", call="sub", parallel=fan, timeout_sec=5, **facts)
    stage = Stage.begun(make_dag(one, step("after", "c")))
    stage.make("c", children=tuple(ChildCall(dag="sub", params=params) for params in "ab"))
    return stage


def out_of_time(stage: Stage) -> Decision:
    stage.now = stage.wakes.pop((0, TimerKind.TIMEOUT))
    return stage.tell(TimerFired(0, TimerKind.TIMEOUT))


def see(stage: Stage, **states: str) -> None:
    stage.tell(ChildrenSeen(0, {FIRST: states["first"], SECOND: states["second"]}, {}))


def test_the_runs_are_stopped_and_the_step_fails_when_they_have_ended() -> None:
    stage = called()
    decision = out_of_time(stage)

    assert isinstance(decision, Advanced)
    assert [effect.run_id for effect in decision.effects if isinstance(effect, StopChild)] == [FIRST, SECOND]
    assert stage.states() == "running not_started"

    see(stage, first="aborted", second="succeeded")

    assert (stage.states(), stage.run.status) == ("failed aborted", "failed")
    assert stage.node("c").exit_code == 124
    assert stage.node("c").error == "step timed out (timeout: 5s): context deadline exceeded"


def test_the_runs_are_stopped_again_until_they_have_ended() -> None:
    """The first stop leaves a repeated step of a run its execution."""
    stage = called()
    out_of_time(stage)
    see(stage, first="aborted", second="asked")
    decision = out_of_time(stage)

    assert isinstance(decision, Ignored)
    assert [effect.run_id for effect in decision.effects if isinstance(effect, StopChild)] == [SECOND]
    see(stage, first="aborted", second="aborted")
    assert isinstance(out_of_time(stage), Ignored)
    assert (0, TimerKind.TIMEOUT) not in stage.wakes


def test_sub_runs_not_requested_before_the_timeout_are_never_requested() -> None:
    stage = called(at_once=1)
    out_of_time(stage)
    see(stage, first="aborted", second="pending")

    assert stage.states() == "failed aborted"
    assert [child.state for child in stage.node("c").children] == ["aborted", "pending"]


def test_a_timed_out_call_is_not_retried_but_continue_on_may_allow_it() -> None:
    stage = called(retry_policy=RetryPolicy(limit=3, interval_sec=0), continue_on=ContinueOn(exit_code=(124,)))
    out_of_time(stage)
    see(stage, first="aborted", second="aborted")

    assert stage.play().states() == "failed succeeded"
    assert stage.run.status == "partially_succeeded"


def test_runs_that_end_in_time_are_not_touched() -> None:
    stage = called()
    see(stage, first="succeeded", second="succeeded")

    assert isinstance(out_of_time(stage), Ignored)
    assert stage.play().states() == "succeeded succeeded"


def test_a_timer_that_fires_early_is_set_again() -> None:
    stage = called()
    due_at = stage.wakes.pop((0, TimerKind.TIMEOUT))

    assert isinstance(stage.tell(TimerFired(0, TimerKind.TIMEOUT)), Ignored)
    assert stage.wakes[0, TimerKind.TIMEOUT] == due_at


def test_each_repetition_has_its_own_limit() -> None:
    stage = called(repeat_policy=RepeatPolicy(repeat=RepeatMode.WHILE, limit=2))
    stage.now = stage.wakes[0, TimerKind.TIMEOUT]
    see(stage, first="succeeded", second="succeeded")
    stage.make("c", children=tuple(ChildCall(dag="sub", params=params) for params in "ab"))

    assert (stage.wakes[0, TimerKind.TIMEOUT] - stage.now).total_seconds() == 5
