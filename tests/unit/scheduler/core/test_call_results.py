"""A worker prints the result of sub-runs if the calling step needs it there."""

import json
from typing import Any

import pytest

from services.scheduler.core.children import child_run_id
from services.scheduler.core.decision import AddLog, Advanced, Decision
from services.scheduler.core.messages import ChildrenSeen
from shared.contracts.events import ChildCall
from shared.language.model import Condition, ContinueOn, Output, RepeatMode, RepeatPolicy, RetryPolicy
from tests.unit.scheduler.core.stage import Stage, make_dag, step

CHILD = child_run_id("r1", "c", "")


def called(**facts: Any) -> Stage:
    """Return a run whose step ``c`` called ``sub``."""
    stage = Stage.begun(make_dag(step("c", type="dag", call="sub", **facts), step("after", "c")))
    stage.make("c", children=(ChildCall(dag="sub", params=""),))
    return stage


def look(stage: Stage, state: str = "succeeded") -> Decision:
    return stage.tell(ChildrenSeen(stage.node("c").idx, {CHILD: state}, {CHILD: {"X": "1"}}))


def result(stage: Stage) -> dict[str, Any]:
    found: dict[str, Any] = stage.task("c").options["result"]
    return found


@pytest.mark.parametrize(
    "facts",
    [
        {"id": "c1"},
        {"stdout": "out.txt"},
        {"stderr": "err.txt"},
        {"continue_on": ContinueOn(output=("x",))},
        {"repeat_policy": RepeatPolicy(repeat=RepeatMode.UNTIL, condition=Condition(condition="true"), limit=1)},
        {"retry_policy": RetryPolicy(limit="${N}", interval_sec=0)},
    ],
)
def test_a_second_attempt_prints_the_result_where_a_worker_needs_it(facts: dict[str, Any]) -> None:
    stage = called(**facts)
    look(stage)

    assert (stage.open(), stage.states()) == (["c"], "running not_started")
    assert (json.loads(result(stage)["text"])["outputs"], result(stage)["failed"]) == ({"X": "1"}, False)
    assert stage.play().states() == "succeeded succeeded"
    assert stage.order() == ["c", "c", "after"]


def test_no_second_attempt_runs_if_no_worker_needs_the_result() -> None:
    stage = called(output=Output(name="O"))
    decision = look(stage)

    assert isinstance(decision, Advanced)
    assert [json.loads(effect.text)["status"] for effect in decision.effects if isinstance(effect, AddLog)] == [
        "succeeded"
    ]
    assert (stage.open(), stage.order()) == (["after"], ["c", "after"])


def test_the_step_ends_as_its_children_did_with_what_the_worker_captured() -> None:
    stage = called(id="c1", output=Output(name="O"))
    look(stage, "partially_succeeded")
    stage.make("c", outputs={"O": "text"})

    assert (stage.states(), dict(stage.node("c").outputs)) == ("partially_succeeded not_started", {"O": "text"})


def test_a_result_that_could_not_be_printed_fails_the_step() -> None:
    stage = called(id="c1")
    look(stage)
    stage.make("c", "failed", 1, error="failed to capture output")

    assert (stage.states(), stage.node("c").error) == ("failed aborted", "failed to capture output")


def test_what_a_failed_child_printed_may_let_dependents_run() -> None:
    stage = called(continue_on=ContinueOn(output=("failed",)))
    look(stage, "failed")
    assert result(stage)["failed"]
    stage.make("c", "failed", 1, continue_output_matched=True)

    assert stage.states() == "failed not_started"
    assert stage.open() == ["after"]
    assert f"sub DAG run {CHILD} failed" in stage.node("c").error


def test_a_lost_worker_only_means_that_another_prints_it() -> None:
    stage = called(id="c1", retry_policy=RetryPolicy(limit=1, interval_sec=0))
    look(stage)
    stage.start("c")
    stage.lose("c")
    assert (stage.open(), stage.states()) == ([], "running not_started")
    stage.tell(ChildrenSeen(stage.node("c").idx, {}, {CHILD: {"X": "1"}}))
    assert json.loads(result(stage)["text"])["outputs"] == {"X": "1"}
    stage.play()

    assert (stage.states(), stage.node("c").retry_count) == ("succeeded succeeded", 0)


def test_a_retry_calls_again_before_it_prints_again() -> None:
    stage = called(id="c1", retry_policy=RetryPolicy(limit=1, interval_sec=0))
    look(stage, "failed")
    stage.make("c", "failed", 1)
    assert (stage.open(), stage.task("c").options) == (["c"], {})
    stage.make("c", children=(ChildCall(dag="sub", params=""),))
    look(stage)

    assert stage.play().states() == "succeeded succeeded"
    assert stage.order() == ["c"] * 4 + ["after"]


def test_a_stop_does_not_wait_for_a_printer() -> None:
    stage = called(id="c1")
    look(stage)
    stage.stop()
    stage.tell(ChildrenSeen(stage.node("c").idx, {}, {CHILD: {}}))

    assert (stage.open(), str(stage.run.status)) == ([], "aborted")
