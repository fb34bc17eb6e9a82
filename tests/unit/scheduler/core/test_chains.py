"""Chains: a worker begins the next step itself, and tells so in its report of the end of the step before."""

from datetime import timedelta
from typing import Any

import pytest

from services.scheduler.core.messages import BegunBeside, Stop
from services.scheduler.core.tasks import MOST_FOLLOWING
from shared.contracts.attempt_tokens import chain_of, token_in_chain
from shared.contracts.events import NextStart
from shared.contracts.tasks import StepRef
from shared.language.model import Handler, RepeatMode, RepeatPolicy, Secret
from shared.language.steps.approval import APPROVAL
from shared.status import AttemptState, NodeStatus, RunStatus
from tests.unit.scheduler.core.stage import Stage, make_dag, step


def in_line(count: int, **facts: Any) -> Any:
    """Return steps ``s0``, ``s1`` and so on, each of which depends on the one before."""
    return [step(f"s{number}", *([f"s{number - 1}"] if number else []), **facts) for number in range(count)]


def begun(*steps: Any, **facts: Any) -> Stage:
    return Stage.begun(make_dag(*steps, **facts))


def followers(stage: Stage) -> list[str]:
    """Return the names of the steps that the last task brings along."""
    return [each.step.name for each in stage.sent[-1].task.chain]


def go_on(stage: Stage, name: str, next_name: str, **facts: Any) -> None:
    """Let the worker report the end of a step, and that it begins the next one."""
    start = NextStart(token=token_in_chain(stage.token(name), stage.node(next_name).idx), at=stage.now, stdout="/o")
    stage.now += timedelta(milliseconds=30)  # until the report is recorded
    stage.finish(name, next_start=start, **facts)


def test_a_task_brings_the_next_steps_of_its_chain() -> None:
    stage = begun(*in_line(3))

    assert followers(stage) == ["s1", "s2"]
    tokens = [stage.sent[-1].task.token, *(each.token for each in stage.sent[-1].task.chain)]
    assert len(set(tokens)) == 3
    assert len({chain_of(token) for token in tokens}) == 1


def test_steps_that_begin_together_are_not_one_chain() -> None:
    """Else a worker could keep an attempt that was taken from it, for as long as one beside it is open."""
    tokens = [sent.task.token for sent in begun(step("a"), step("b"), placement="spread").sent]

    assert len({chain_of(token) for token in tokens}) == 2


def test_a_task_brings_a_limited_number_of_steps() -> None:
    assert len(followers(begun(*in_line(MOST_FOLLOWING + 5)))) == MOST_FOLLOWING


@pytest.mark.parametrize(
    "steps",
    [
        [step("a", call="other"), step("b", "a")],
        [step("a", type=APPROVAL), step("b", "a")],
        [step("a", repeat_policy=RepeatPolicy(repeat=RepeatMode.WHILE)), step("b", "a")],
        [step("a"), step("b", "a", type="chat")],
        [step("a"), step("b", "a", lock=("only",))],
        [step("a"), step("b", "a"), step("c", "a")],
        [step("x", id="x1"), step("a"), step("b", "a", script="exit ${x1.exit_code}")],
    ],
)
def test_where_more_than_success_matters_a_scheduler_decides(steps: list[Any]) -> None:
    assert all(not sent.task.chain for sent in begun(*steps, placement="spread").sent)


@pytest.mark.parametrize(
    "facts", [{"delay_sec": 1}, {"secrets": (Secret(name="S", provider="stored", key="s"),)}, {"max_active_steps": 1}]
)
def test_where_the_dag_has_a_say_a_scheduler_decides(facts: dict[str, Any]) -> None:
    beside = [step("x"), *in_line(2)]

    assert all(not sent.task.chain for sent in begun(*beside, **facts).sent)


def test_a_limit_on_active_steps_does_not_matter_if_all_steps_are_one_chain() -> None:
    assert followers(begun(*in_line(3), max_active_steps=1)) == ["s1", "s2"]


def test_the_first_step_waits_for_its_turn_after_a_retry_that_kept_what_another_step_depends_on() -> None:
    stage = begun(
        step("c", "b"), step("b", "a"), step("a"), handlers=[Handler.INIT], max_active_steps=1, placement="spread"
    )
    stage.make("onInit", "failed")
    stage.retry("b")
    stage.make("onInit")
    stage.make("b")
    stage.retry()

    assert followers(stage) == []
    stage.make("onInit")
    assert stage.sent[-1].task.step.name == "c"


def test_a_chain_may_end_with_what_needs_a_scheduler_afterwards() -> None:
    assert followers(begun(step("a"), step("b", "a", call="other"))) == ["b"]
    assert followers(begun(step("a"), step("b", "a", type=APPROVAL), step("c", "b"))) == ["b"]


def test_a_task_names_the_steps_of_its_chain_that_later_ones_refer_to() -> None:
    steps = [step("a", id="a1"), step("b", "a", id="b1"), step("c", "b"), step("d", "c", script="exit ${b1.exit_code}")]
    stage = begun(*steps)

    assert followers(stage) == ["b", "c", "d"]
    assert stage.sent[-1].task.refs == {"b1": StepRef()}


def test_after_a_step_that_took_long_no_steps_are_brought_along() -> None:
    stage = begun(*in_line(3))
    stage.start("s0")
    stage.now += timedelta(seconds=5)
    stage.finish("s0")

    assert followers(stage) == []


def test_a_worker_that_goes_on_gets_no_other_task() -> None:
    stage = begun(*in_line(3))
    stage.start("s0", worker="w7", incarnation="i7")
    sent = len(stage.sent)
    go_on(stage, "s0", "s1", worker_id="w7", incarnation="i7")

    assert len(stage.sent) == sent
    attempt = stage.node("s1").attempt
    assert attempt is not None
    assert (attempt.state, attempt.worker_id, attempt.incarnation) == (AttemptState.RUNNING, "w7", "i7")
    assert stage.node("s1").status is NodeStatus.RUNNING
    assert (stage.node("s1").stdout, stage.node("s1").number) == ("/o", 1)
    assert stage.node("s0").finished_at == stage.node("s1").started_at
    assert [(one.token, one.accepted, one.begun) for one in stage.executions][-1] == (attempt.token, True, True)


def test_a_chain_runs_to_the_end_of_its_run() -> None:
    stage = begun(*in_line(3))
    stage.start("s0")
    go_on(stage, "s0", "s1")
    go_on(stage, "s1", "s2")
    stage.finish("s2")

    assert stage.run.status is RunStatus.SUCCEEDED
    assert len(stage.sent) == 1


def test_a_worker_that_does_not_go_on_leaves_the_next_step_to_a_new_task() -> None:
    stage = begun(*in_line(2))
    promised = stage.sent[-1].task.chain[0].token
    stage.make("s0")

    assert stage.token("s1") not in {promised, ""}
    assert len(stage.sent) == 2


def test_nobody_goes_on_after_a_failure() -> None:
    stage = begun(*in_line(2))
    stage.start("s0")
    go_on(stage, "s0", "s1", outcome="failed")

    assert stage.node("s1").status is NodeStatus.ABORTED
    assert stage.node("s1").attempt is None


@pytest.mark.parametrize("token", ["", "a:1:1:b", "x"])
def test_a_token_of_another_chain_opens_nothing(token: str) -> None:
    stage = begun(*in_line(2))
    stage.start("s0")
    stage.finish("s0", next_start=NextStart(token=token, at=stage.now))

    assert stage.token("s1") != token
    attempt = stage.node("s1").attempt
    assert attempt is not None
    assert attempt.state is AttemptState.DISPATCHED


def test_a_next_step_that_began_before_the_stop_arrived_is_stopped() -> None:
    stage = begun(*in_line(3))
    stage.start("s0")
    stage.tell(Stop("ann"))
    go_on(stage, "s0", "s1")

    token = stage.token("s1")
    assert [(halt.worker_id, halt.revoked) for halt in stage.halts if halt.token == token] == [("w1", False)]
    stage.finish("s1", "aborted")
    assert stage.run.status is RunStatus.ABORTED
    assert stage.node("s2").status is NodeStatus.NOT_STARTED


def test_a_next_step_that_is_given_up_gets_a_new_task() -> None:
    stage = begun(*in_line(2))
    stage.start("s0")
    go_on(stage, "s0", "s1")
    first = stage.token("s1")
    stage.give_up("s1")

    assert stage.token("s1") != first
    assert stage.sent[-1].task.step.name == "s1"
    assert stage.node("s1").number == 1


def test_a_report_that_comes_twice_opens_one_attempt() -> None:
    stage = begun(*in_line(2))
    stage.start("s0")
    start = NextStart(token=token_in_chain(stage.token("s0"), 1), at=stage.now)
    report = stage.ending("s0", next_start=start)
    stage.tell(report)
    before = stage.run
    stage.tell(report)

    assert stage.run.nodes == before.nodes


def test_an_only_step_has_no_followers() -> None:
    stage = begun(*in_line(2))
    stage.make("s0", "failed")
    stage.retry("s0")

    assert followers(stage) == []


def test_what_was_begun_after_a_step_that_counts_as_lost_is_halted_and_recorded() -> None:
    stage = begun(*in_line(2))
    stage.start("s0")
    start = NextStart(token=token_in_chain(stage.token("s0"), 1), at=stage.now)
    late = stage.ending("s0", next_start=start)
    stage.lose("s0")
    stage.tell(late)

    assert [(halt.token, halt.revoked) for halt in stage.halts][-1] == (start.token, True)
    last = stage.executions[-1]
    assert (last.token, last.node, last.accepted, last.begun) == (start.token, 1, False, True)


def test_a_report_that_comes_again_halts_nothing() -> None:
    stage = begun(*in_line(2))
    stage.start("s0")
    start = NextStart(token=token_in_chain(stage.token("s0"), 1), at=stage.now)
    report = stage.ending("s0", next_start=start)
    stage.tell(report)
    halts = len(stage.halts)
    stage.tell(report)

    assert len(stage.halts) == halts


@pytest.mark.parametrize("ended", [False, True])
def test_a_worker_with_a_copy_of_the_task_is_halted_and_recorded_for_each_step(ended: bool) -> None:
    stage = begun(*in_line(2))
    stage.start("s0")
    start = NextStart(token=token_in_chain(stage.token("s0"), 1), at=stage.now)
    copy = stage.ending("s0", next_start=start, worker_id="w2", incarnation="i2")
    stage.tell(stage.ending("s0", next_start=start))
    if ended:
        stage.finish("s1")
    stage.tell(copy)

    assert [(halt.worker_id, halt.token, halt.revoked) for halt in stage.halts][-1] == ("w2", start.token, True)
    last = stage.executions[-1]
    assert (last.token, last.worker_id, last.accepted, last.begun) == (start.token, "w2", False, True)


def test_a_step_that_was_begun_without_the_right_to_and_will_run_may_have_run_twice() -> None:
    stage = begun(*in_line(2))
    stage.start("s0")
    stage.tell(BegunBeside(1, "w1", "stale token"))

    assert stage.transitions[-1].why.endswith("it may have run twice")
