"""A worker whose clock is wrong changes no duration and no time limit of its steps."""

from datetime import UTC, datetime, timedelta

import pytest

from services.scheduler.core.children import child_run_id
from services.scheduler.core.decision import THE_RUN, Advanced, StopChild
from services.scheduler.core.messages import TimerFired
from shared.contracts.attempt_tokens import token_in_chain
from shared.contracts.events import AttemptFinished, AttemptStarted, ChildCall, NextStart
from shared.status import NodeStatus, TimerKind
from tests.unit.scheduler.core.stage import Stage, make_dag, step

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
wrong_clocks = pytest.mark.parametrize("ahead", [DAY, -DAY], ids=["ahead", "behind"])


def start(stage: Stage, name: str, ahead: timedelta) -> None:
    token, idx = stage.token(name), stage.node(name).idx
    by = {"worker_id": "w1", "incarnation": "i1"}
    stage.tell(AttemptStarted(token=token, run_key=stage.run.run_key, node=idx, at=stage.now + ahead, **by))


def ending(stage: Stage, name: str, ahead: timedelta, took: timedelta = SECOND, **facts: object) -> AttemptFinished:
    times = {"at": stage.now + ahead, "started_at": stage.now + ahead - took}
    return stage.ending(name).model_copy(update={**times, **facts})


@wrong_clocks
def test_a_step_lasts_as_long_as_it_lasted(ahead: timedelta) -> None:
    stage = Stage.begun(make_dag(step("a")))
    dispatched = stage.now
    stage.now += SECOND
    start(stage, "a", ahead)
    stage.now += 10 * SECOND
    stage.tell(ending(stage, "a", ahead, 10 * SECOND))

    node, closed = stage.node("a"), stage.closed[-1]
    assert node.started_at is not None
    assert node.finished_at == stage.now
    assert dispatched <= node.started_at <= dispatched + SECOND
    assert closed.started_at is not None
    assert closed.ended_at is not None
    assert dispatched <= closed.started_at <= closed.ended_at <= stage.now
    assert closed.ended_at - closed.started_at == 10 * SECOND


def test_a_clock_that_is_set_to_the_end_of_all_time_is_no_error() -> None:
    stage = Stage.begun(make_dag(step("a")))
    start(stage, "a", timedelta())
    stage.tell(ending(stage, "a", timedelta(), at=datetime.max.replace(tzinfo=UTC)))

    assert stage.node("a").finished_at == stage.now


@wrong_clocks
def test_in_a_chain_too(ahead: timedelta) -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a")))
    began = stage.now
    start(stage, "a", ahead)
    stage.now += 10 * SECOND
    following = NextStart(token=token_in_chain(stage.token("a"), stage.node("b").idx), at=stage.now + ahead)
    stage.tell(ending(stage, "a", ahead, 10 * SECOND, next_start=following))

    assert (stage.node("a").started_at, stage.node("a").finished_at) == (began, stage.now)
    assert stage.node("b").started_at == stage.now


@wrong_clocks
def test_nor_does_a_clock_that_is_set_within_a_chain(ahead: timedelta) -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a")))
    began = stage.now
    start(stage, "a", timedelta())
    stage.now += SECOND
    following = NextStart(token=token_in_chain(stage.token("a"), stage.node("b").idx), at=stage.now + ahead)
    stage.tell(ending(stage, "a", ahead, next_start=following))

    first, second = stage.node("a"), stage.node("b")
    assert second.status is NodeStatus.RUNNING
    assert first.finished_at is not None
    assert first.finished_at == second.started_at
    assert began <= first.finished_at <= stage.now


@wrong_clocks
def test_the_next_step_begins_after_the_delay_of_its_workflow(ahead: timedelta) -> None:
    stage = Stage.begun(make_dag(step("a"), step("b"), step("c"), delay_sec=5))
    start(stage, "a", ahead)
    stage.now += 5 * SECOND
    stage.tell(TimerFired(THE_RUN, TimerKind.DELAY))
    assert stage.node("b").attempt is not None
    stage.tell(ending(stage, "a", ahead))
    assert stage.node("c").attempt is None

    stage.now += 5 * SECOND
    stage.tell(TimerFired(THE_RUN, TimerKind.DELAY))
    assert stage.node("c").attempt is not None


@wrong_clocks
def test_the_time_limit_of_a_call_counts_from_its_start(ahead: timedelta) -> None:
    stage = Stage.begun(make_dag(step("c", call="sub", timeout_sec=5)))
    start(stage, "c", ahead)
    stage.tell(ending(stage, "c", ahead, children=(ChildCall(dag="sub", params=""),)))
    stage.now += SECOND
    assert not isinstance(stage.tell(TimerFired(0, TimerKind.TIMEOUT)), Advanced)

    stage.now += 4 * SECOND
    decision = stage.tell(TimerFired(0, TimerKind.TIMEOUT))
    assert isinstance(decision, Advanced)
    assert [each.run_id for each in decision.effects if isinstance(each, StopChild)] == [child_run_id("r1", "c", "")]
