"""What the core keeps between decisions: it follows the newest version of a run, and limits the tasks sent ahead."""

import pytest

from services.scheduler.core import dispatching
from services.scheduler.core.advance import advance, apply
from services.scheduler.core.decision import Advanced, Refused
from services.scheduler.core.draft import Draft
from services.scheduler.core.messages import Approve, Begin
from services.scheduler.core.model import evolve
from services.scheduler.core.new_nodes import fresh_tally
from services.scheduler.core.tally import tally_of
from shared.language.model import RetryPolicy
from tests.unit.scheduler.core.naive import NaiveTally
from tests.unit.scheduler.core.stage import Stage, fresh, make_dag, step


def test_a_run_is_advanced_again_when_its_transaction_failed() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a"), step("c", "a")))
    stage.start("a")
    before, ending = stage.run, stage.ending("a", outputs={"X": "1"})

    first = advance(before, ending, stage.now, "salt")
    second = advance(before, ending, stage.now, "salt")

    assert isinstance(first, Advanced)
    assert first == second
    assert tally_of(before).statuses == NaiveTally(before.plan, before.nodes).statuses
    after = tally_of(first.run)
    assert (after.open, after.output_chars, after.with_outputs) == (2, 1, {0})


def test_two_decisions_at_the_same_time_do_not_see_each_other() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b"), placement="spread"))
    stage.start("a")
    stage.start("b")

    # Two threads may have taken the same version of a run from the cache.
    one, other = Draft(stage.run, stage.now, "one"), Draft(stage.run, stage.now, "two")
    for draft, name in ((one, "a"), (other, "b")):
        apply(draft, stage.ending(name))

    statuses = [[str(node.status) for node in draft.done().run.nodes] for draft in (one, other)]
    assert statuses == [["succeeded", "running"], ["running", "succeeded"]]


def test_runs_of_one_plan_do_not_share_what_is_counted() -> None:
    one = fresh(make_dag(step("a"), step("b"), step("c", "a"), placement="spread"))
    other = evolve(one, run_key="run-2", tally=fresh_tally(one.plan, prepare=False))

    first, second = Stage(one), Stage(other)
    first.tell(Begin("ann"))
    first.start("a")
    first.finish("a")
    second.tell(Begin("ann"))

    assert first.order() == ["a", "b", "c"]
    assert second.order() == ["a", "b"]


def test_a_refusal_leaves_the_run_its_tally() -> None:
    stage = Stage.begun(make_dag(step("a")))
    kept = tally_of(stage.run)

    assert isinstance(advance(stage.run, Approve("a", {}, "bob", "bob"), stage.now, "salt"), Refused)
    assert tally_of(stage.run) is kept


def test_tasks_are_sent_as_workers_begin_those_sent_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatching, "MOST_AHEAD", 2)
    stage = Stage.begun(make_dag(*map(step, "abcde"), placement="spread"))
    assert stage.order() == ["a", "b"]

    stage.undelivered("a")
    assert stage.order() == ["a", "b", "a"], "its place is its own again"
    stage.start("b")
    assert stage.order() == ["a", "b", "a", "c"]
    stage.finish("b")
    assert stage.order() == ["a", "b", "a", "c"], "only a start makes room"
    stage.lose("a")
    stage.play()
    assert stage.states() == "succeeded " * 4 + "succeeded"


def test_a_step_that_is_under_way_goes_before_steps_that_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatching, "MOST_AHEAD", 1)
    again = step("b", retry_policy=RetryPolicy(limit=1, interval_sec=0))
    stage = Stage.begun(make_dag(step("a"), again, step("c"), step("d"), placement="spread"))
    stage.start("a")
    stage.start("b")
    stage.finish("b", "failed")
    assert stage.order() == ["a", "b", "c"], "c is on its way"

    stage.start("c")
    assert stage.order() == ["a", "b", "c", "b"]


def test_only_the_first_tasks_that_a_run_has_on_their_way_are_urgent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatching, "MOST_URGENT", 2)
    monkeypatch.setattr(dispatching, "MOST_AHEAD", 4)
    stage = Stage.begun(make_dag(*map(step, "abcdefg"), placement="spread"))
    assert [each.urgent for each in stage.sent] == [True, True, False, False]

    stage.start("a")
    assert stage.order()[4:] == ["e"]
    assert not stage.sent[-1].urgent, "four are on their way"
    for name in "bcdef":
        stage.start(name)
    assert stage.order()[5:] == ["f", "g"]
    for name in "abcdef":
        stage.finish(name)
    stage.undelivered("g")
    assert stage.order()[7:] == ["g"]
    assert stage.sent[-1].urgent, "none else is on its way"


def test_each_task_of_a_chain_is_urgent() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a"), step("c", "b"))).play()
    assert all(each.urgent for each in stage.sent)
