"""Starts of steps: dependencies, propagation of failures, limits, placement, and the contents of tasks."""

from typing import Any

import pytest

from services.scheduler.core.decision import THE_RUN
from services.scheduler.core.messages import Begin, PatchNode, TimerFired
from services.scheduler.core.tasks import MOST_FOLLOWING
from shared.contracts.tasks import StepRef
from shared.language.load import load
from shared.language.model import Condition, ContinueOn, Handler, Output, RepeatMode, RepeatPolicy, RetryPolicy, Step
from shared.status import NodeStatus, RunStatus, TimerKind
from tests.unit.scheduler.core.stage import Stage, fresh, make_dag, step

FAILED_IS_FINE = ContinueOn(failure=True)
SKIPPED_IS_FINE = ContinueOn(skipped=True)


def test_a_chain_runs_one_step_after_the_other() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a"), step("c", "b")))

    assert stage.open() == ["a"]
    stage.make("a")
    assert stage.open() == ["b"]
    stage.play()
    assert stage.order() == ["a", "b", "c"]
    assert stage.run.status is RunStatus.SUCCEEDED


def test_a_graph_starts_all_that_depends_on_nothing() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b"), step("c", "a", "b"), placement="spread"))

    assert stage.open() == ["a", "b"]
    stage.make("a")
    assert stage.open() == ["b"]
    stage.make("b")
    assert stage.open() == ["c"]


def test_a_chain_with_a_group_runs_the_group_side_by_side() -> None:
    text = """
steps:
  - {name: a, command: x}
  - - {name: b, command: x}
    - {name: c, command: x}
  - {name: d, command: x}
  - {name: e, command: x, depends: []}
"""
    stage = Stage.begun(load(text).documents[0].model_copy(update={"placement": "spread"}))

    assert stage.open() == ["a", "e"]
    stage.make("a")
    assert stage.open() == ["b", "c", "e"]
    stage.make("b")
    assert stage.open() == ["c", "e"]
    stage.make("c")
    assert stage.open() == ["d", "e"]


def test_a_run_without_steps_succeeds_at_once() -> None:
    assert Stage.begun(make_dag()).run.status is RunStatus.SUCCEEDED


def test_a_run_without_steps_still_runs_its_handlers() -> None:
    stage = Stage.begun(make_dag(handlers=[Handler.INIT, Handler.SUCCESS, Handler.EXIT])).play()

    assert stage.order() == ["onInit", "onSuccess", "onExit"]
    assert stage.run.status is RunStatus.SUCCEEDED


def test_a_run_begins_only_once() -> None:
    stage = Stage.begun(make_dag(step("a")))

    assert "already begun" in repr(stage.tell(Begin("ann")))
    assert stage.order() == ["a"]


# -- what a dependency's end does to a step ------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "rule", "after"),
    [
        ("succeeded", ContinueOn(), ("succeeded", "")),
        ("failed", ContinueOn(), ("aborted", "upstream failed")),
        ("failed", FAILED_IS_FINE, ("succeeded", "")),
        ("failed", SKIPPED_IS_FINE, ("aborted", "upstream failed")),
        (3, ContinueOn(exit_code=(3, 4)), ("succeeded", "")),
        (5, ContinueOn(exit_code=(3, 4)), ("aborted", "upstream failed")),
        ("timed_out", FAILED_IS_FINE, ("succeeded", "")),
        ("timed_out", ContinueOn(exit_code=(124,)), ("succeeded", "")),
        ("broken", FAILED_IS_FINE, ("succeeded", "")),
        ("skipped", ContinueOn(), ("skipped", "upstream skipped")),
        ("skipped", SKIPPED_IS_FINE, ("succeeded", "")),
        ("skipped", FAILED_IS_FINE, ("skipped", "upstream skipped")),
        ("aborted", ContinueOn(failure=True, skipped=True), ("aborted", "")),
    ],
)
def test_a_step_does_as_the_end_of_its_dependency_demands(
    outcome: str | int, rule: ContinueOn, after: tuple[str, str]
) -> None:
    stage = Stage.begun(make_dag(step("a", continue_on=rule), step("b", "a"))).play({"a": outcome})

    assert (str(stage.node("b").status), stage.node("b").error) == after


@pytest.mark.parametrize(("outcome", "state"), [("failed", "aborted"), ("skipped", "skipped")])
def test_what_a_step_may_not_do_its_descendants_may_not_either(outcome: str, state: str) -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a"), step("c", "b"), step("d", "c"))).play({"a": outcome})

    assert {str(stage.node(name).status) for name in "bcd"} == {state}
    assert stage.order() == ["a"]


@pytest.mark.parametrize("depends", [("a", "b"), ("b", "a")])
def test_an_aborted_dependency_takes_no_error_away(depends: tuple[str, str]) -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a"), step("c", *depends), step("d", "b"))).play({"a": "failed"})

    assert stage.states() == "failed aborted aborted aborted"
    assert [stage.node(name).error for name in "bcd"] == ["upstream failed", "upstream failed", ""]


@pytest.mark.parametrize(("depends", "state"), [(("f", "s"), "skipped"), (("s", "f"), "aborted")])
def test_of_several_blocking_dependencies_the_last_in_the_list_decides(depends: tuple[str, str], state: str) -> None:
    # Both ends are known when the step is first looked at.
    dag = make_dag(step("f"), step("s"), step("b", *depends))
    stage = Stage(fresh(dag))
    stage.tell(PatchNode("f", NodeStatus.FAILED, "ann"))
    stage.tell(PatchNode("s", NodeStatus.SKIPPED, "ann"))
    stage.tell(Begin("ann"))

    assert str(stage.node("b").status) == state
    assert stage.run.status is RunStatus.FAILED


def test_the_order_of_definition_does_not_matter_to_what_is_forbidden() -> None:
    stage = Stage.begun(make_dag(step("d", "c"), step("c", "b"), step("b", "a"), step("a"))).play({"a": "failed"})

    assert stage.states() == "aborted aborted aborted failed"


def test_an_early_failure_marks_a_step_while_other_dependencies_run() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b"), step("c", "a", "b"), placement="spread"))

    stage.make("a", "failed")

    assert stage.states() == "failed not_started aborted"
    assert stage.open() == ["b"]


def test_a_failure_leaves_independent_branches_alone() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a"), step("c"), step("d", "c"))).play({"a": "failed"})

    assert stage.states() == "failed aborted succeeded succeeded"
    assert stage.run.status is RunStatus.FAILED


# -- limits and placement -------------------------------------------------------------------------


def test_no_more_steps_run_than_max_active_steps() -> None:
    stage = Stage.begun(make_dag(*map(step, "abcd"), max_active_steps=2, placement="spread"))

    assert stage.open() == ["a", "b"]
    stage.make("b")
    assert stage.open() == ["a", "c"]


def test_a_step_that_waits_for_its_next_try_keeps_its_place() -> None:
    policy = {"limit": 1, "interval_sec": 10}
    dag = make_dag(step("a", retry_policy=policy), step("b"), max_active_steps=1, placement="spread")
    stage = Stage.begun(dag)

    stage.make("a", "failed")
    assert stage.open() == []
    stage.wait(10)
    assert stage.open() == ["a"]
    stage.make("a")
    assert stage.open() == ["b"]


def test_steps_start_as_far_apart_as_the_dag_says_and_a_next_try_at_once() -> None:
    again = {"limit": 1, "interval_sec": 0}
    stage = Stage.begun(make_dag(step("a", retry_policy=again), step("b"), step("c"), delay_sec=10, placement="spread"))

    stage.wait(5)
    assert stage.open() == ["a"]
    # A task that no worker has begun counts from its dispatch.
    stage.tell(TimerFired(THE_RUN, TimerKind.DELAY))
    assert stage.open() == ["a"]
    stage.wait(5)
    assert stage.open() == ["a", "b"]
    stage.make("a", "failed")
    assert (stage.open(), stage.order()) == (["a", "b"], ["a", "b", "a"])
    stage.wait(10)
    assert stage.open() == ["a", "b", "c"]


def test_the_first_attempt_goes_alone_and_the_others_follow_it_to_its_worker() -> None:
    stage = Stage.begun(make_dag(*map(step, "abc")))

    assert [(effect.task.step.name, effect.worker_id) for effect in stage.sent] == [("a", None)]
    stage.start("a", worker="w7")
    assert [(effect.task.step.name, effect.worker_id) for effect in stage.sent[1:]] == [("b", "w7"), ("c", "w7")]


def test_a_spread_run_asks_any_worker_for_every_step() -> None:
    stage = Stage.begun(make_dag(*map(step, "abc"), placement="spread"))
    stage.start("b", worker="w7")

    assert [effect.worker_id for effect in stage.sent] == [None, None, None]
    assert stage.run.worker_id is None


def test_a_run_leaves_the_worker_that_is_lost() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a")))
    stage.make("a")
    stage.lose("b")

    assert [effect.worker_id for effect in stage.sent] == [None, "w1", None]
    stage.start("b", worker="w2")
    assert stage.run.worker_id == "w2"
    assert any("leaves worker w1" in transition.why for transition in stage.transitions)


def test_after_leaving_a_worker_one_attempt_goes_ahead_again() -> None:
    policy = {"limit": 5, "interval_sec": 0}
    stage = Stage.begun(make_dag(*(step(name, retry_policy=policy) for name in "abc")))
    stage.start("a")
    stage.start("b")
    stage.start("c")

    stage.lose("a")
    assert stage.open() == ["b", "c"]
    stage.lose("b")
    stage.lose("c")
    assert stage.open() == ["a"]
    stage.start("a", worker="w2", incarnation="i2")
    assert stage.open() == ["a", "b", "c"]
    assert [effect.worker_id for effect in stage.sent[-2:]] == ["w2", "w2"]


# -- what a task carries ---------------------------------------------------------------------------


def out(name: str, *depends: str, script: str = "") -> Step:
    return step(name, *depends, id=name, output=Output(name="X"), script=script)


def test_outputs_reach_descendants_only_and_the_nearest_wins() -> None:
    stage = Stage.begun(make_dag(out("a"), out("b", "a"), step("c", "b"), step("d")))
    stage.start("a")
    stage.finish("a", outputs={"X": "from a", "A": "1"})
    stage.make("d")
    stage.start("b")
    stage.finish("b", outputs={"X": "from b"})

    assert dict(stage.task("c").outputs) == {"X": "from b", "A": "1"}
    assert stage.task("d").outputs == ()


@pytest.mark.parametrize(("rule", "seen"), [({"condition": Condition(condition="x")}, {"X": "1"}), ({}, {})])
def test_a_step_that_a_condition_repeats_sees_its_last_output(rule: dict[str, Any], seen: dict[str, str]) -> None:
    policy = RepeatPolicy(repeat=RepeatMode.UNTIL, exit_code=() if rule else (9,), **rule)
    stage = Stage.begun(make_dag(out("a", "b").model_copy(update={"repeat_policy": policy}), step("b")))
    stage.make("b", outputs={"B": "0"})
    assert dict(stage.task("a").outputs) == {"B": "0"}
    stage.make("a", outputs={"X": "1", "B": "1"}, repeat_condition_met=False)

    assert stage.open() == ["a"]
    assert dict(stage.task("a").outputs) == {"B": "0"} | seen


@pytest.mark.parametrize("printed", [{}, {"X": "bad"}])
def test_a_retry_in_a_repetition_sees_the_output_of_the_execution_before(printed: dict[str, str]) -> None:
    policies = {
        "repeat_policy": RepeatPolicy(repeat=RepeatMode.UNTIL, condition=Condition(condition="x")),
        "retry_policy": RetryPolicy(limit=1, interval_sec=0),
    }
    stage = Stage.begun(make_dag(out("a").model_copy(update=policies)))
    stage.make("a", outputs={"X": "1"}, repeat_condition_met=False)
    stage.make("a", "failed", outputs=printed)

    assert dict(stage.task("a").outputs) == {"X": "1"}


def test_of_two_equally_near_outputs_the_first_dependency_wins() -> None:
    stage = Stage.begun(make_dag(out("a"), out("b"), step("c", "b", "a")))
    stage.start("a")
    stage.finish("a", outputs={"X": "from a"})
    stage.start("b")
    stage.finish("b", outputs={"X": "from b"})

    assert dict(stage.task("c").outputs) == {"X": "from b"}


def test_handlers_see_all_outputs_and_how_the_run_stands() -> None:
    stage = Stage.begun(make_dag(out("a"), out("b"), handlers=[Handler.FAILURE, Handler.EXIT]))
    stage.start("a")
    stage.finish("a", outputs={"X": "from a", "A": "1"})
    stage.start("b")
    stage.finish("b", "failed", outputs={"X": "from b"})
    stage.play()

    assert dict(stage.task("onFailure").outputs) == {"X": "from b", "A": "1"}
    assert stage.task("onFailure").engine_env == (("DAG_RUN_STATUS", "failed"),)
    assert stage.task("onExit").kind == "handler"


def test_references_name_what_is_known_of_steps_with_an_id() -> None:
    text = "cat ${a.stdout}; exit ${c.exit_code}"
    stage = Stage.begun(make_dag(out("a"), step("b", "a", script=text), out("c", "b"), out("d")))
    stage.start("a")
    stage.finish("a", outputs={"X": "7"})

    refs = stage.task("b").refs
    assert (refs["a"].exit_code, refs["a"].stdout, refs["a"].output) == (0, "/logs/a.out", "7")
    assert refs == {"a": refs["a"], "c": StepRef()}


def test_tasks_do_not_grow_with_the_number_of_steps_with_an_id() -> None:
    steps = [out("s0"), *(out(f"s{n}", f"s{n - 1}", script=f"cat ${{s{n - 1}.stdout}}") for n in range(1, 50))]
    stage = Stage.begun(make_dag(*steps, handlers=[Handler.EXIT])).play()

    assert [*stage.task("s49").refs] == ["s48"]
    assert max(len(stage.task(f"s{n}").refs) for n in range(50)) == MOST_FOLLOWING + 1
    assert len(stage.task("onExit").refs) == 50


def test_a_step_reads_the_steps_that_its_dag_or_the_rest_of_its_chain_names() -> None:
    dag = make_dag(out("a"), step("b", "a"), step("c", "b", script="${a.exit_code}"), out("d"), out("e"))
    stage = Stage.begun(dag.model_copy(update={"smtp": {"host": "${d.output}"}})).play()

    assert [*stage.task("b").refs] == ["a", "d"]


def test_the_prepare_node_goes_first_and_its_values_reach_every_task() -> None:
    stage = Stage.begun(make_dag(step("a"), handlers=[Handler.INIT]), prepare=True, given="x").play()

    assert stage.order() == ["prepare", "onInit", "a"]
    assert stage.task("prepare").options["prepare"]["given"] == "x"
    assert stage.task("a").env == (("REGION", "eu"),)
    assert stage.task("a").params == (("1", "x"),)
    assert stage.task("a").params_json == '{"1": "x"}'


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ('condition was not met: expected "x", got "y"', ""),
        ("back-quoted command `exit 1` failed: exit status 1", "back-quoted command `exit 1` failed: exit status 1"),
    ],
)
def test_a_condition_that_cannot_be_evaluated_is_an_error(said: str, kept: str) -> None:
    stage = Stage.begun(make_dag(step("a")))
    stage.make("a", "skipped", error=said)

    assert (stage.states(), stage.node("a").error) == ("skipped", kept)
