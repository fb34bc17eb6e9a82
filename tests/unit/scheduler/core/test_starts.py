"""Who may begin an attempt: grants, refusals and what is recorded of both."""

import pytest

from services.scheduler.core.advance import advance
from services.scheduler.core.decision import Advanced, Decision, Dispatch, Ignored
from services.scheduler.core.messages import Begin, BegunBeside
from shared.contracts.events import Doubt
from shared.status import AttemptState, Begun, NodeStatus, RunStatus
from tests.unit.scheduler.core.stage import T0, Stage, fresh, make_dag, step

A = make_dag(step("a"))


def ignored(decision: Decision) -> str:
    assert isinstance(decision, Ignored)
    return decision.why


def recorded(stage: Stage) -> list[tuple[str, bool, bool, str]]:
    return [(one.worker_id, one.accepted, one.begun, one.why) for one in stage.executions]


@pytest.mark.parametrize("doubt", list(Doubt))
def test_an_attempt_that_nobody_holds_is_granted_and_begins(doubt: Doubt) -> None:
    stage = Stage.begun(A)
    token = stage.token("a")

    assert isinstance(stage.ask("a", doubt), Advanced)

    node = stage.node("a")
    assert node.attempt is not None
    assert (node.status, node.attempt.state, node.started_at) == (NodeStatus.RUNNING, AttemptState.RUNNING, T0)
    assert (node.attempt.worker_id, node.attempt.incarnation) == ("w9", "i9")
    assert [(one.worker_id, one.incarnation, one.token) for one in stage.grants] == [("w9", "i9", token)]
    assert recorded(stage) == [("w9", True, True, doubt)]
    stage.finish("a")
    assert stage.run.status is RunStatus.SUCCEEDED


def test_the_holder_gets_the_same_answer_and_nobody_else_is_granted() -> None:
    stage = Stage.begun(A)
    stage.ask("a")

    assert ignored(stage.ask("a")) == "granted already"
    assert ignored(stage.ask("a", incarnation="i10")) == "request refused"
    assert ignored(stage.ask("a", worker="w2")) == "request refused"
    assert len(stage.grants) == 2
    assert recorded(stage) == [
        ("w9", True, True, "old"),
        ("w9", False, False, "held by another"),
        ("w2", False, False, "held by another"),
    ]
    assert [(halt.worker_id, halt.incarnation, halt.revoked) for halt in stage.halts] == [
        ("w9", "i10", True),
        ("w2", "i9", True),
    ]


def test_a_worker_whose_report_of_the_start_is_recorded_is_granted_what_it_holds() -> None:
    stage = Stage.begun(A)
    stage.start("a", "w9", "i9")

    assert ignored(stage.ask("a", Doubt.OLD)) == "granted already"
    assert len(stage.grants) == 1


def test_a_closed_attempt_is_refused() -> None:
    stage = Stage.begun(A)
    old = stage.token("a")
    stage.lose("a")

    assert ignored(stage.ask("a", token=old)) == "request refused"
    assert recorded(stage) == [("w9", False, False, "stale token")]
    assert stage.grants == []


def test_a_task_that_another_worker_may_have_begun_is_not_granted_before_all_reports_are_recorded() -> None:
    stage = Stage.begun(A)

    assert ignored(stage.ask("a", Doubt.REDELIVERED, all_heard=False)) == "reports outstanding"
    assert (stage.grants, stage.halts, stage.executions) == ([], [], [])
    stage.start("a", "w1", "i1")
    assert ignored(stage.ask("a", Doubt.REDELIVERED)) == "request refused"


def test_a_task_that_another_worker_may_have_begun_is_not_replaced_because_one_worker_gets_no_answer() -> None:
    stage = Stage.begun(A)
    token = stage.token("a")

    assert ignored(stage.give_up("a", "w9", "i9", doubt=Doubt.REDELIVERED)) == "not begun"
    assert stage.token("a") == token
    stage.give_up("a", "w9", "i9", doubt=Doubt.OLD)
    assert stage.token("a") != token
    assert [(one.state, one.begun) for one in stage.closed] == [(AttemptState.WITHDRAWN, Begun.NO)]


def test_a_grant_that_its_worker_did_not_hear_is_taken_back() -> None:
    stage = Stage.begun(A)
    stage.ask("a", Doubt.REDELIVERED)

    stage.give_up("a", "w9", "i9", doubt=Doubt.REDELIVERED)

    assert stage.order() == ["a", "a"]
    assert stage.node("a").status is NodeStatus.NOT_STARTED


def test_a_granted_attempt_of_a_lost_worker_fails_and_is_not_repeated() -> None:
    stage = Stage.begun(A)
    stage.ask("a")
    stage.lose("a", "worker w9 was lost while it ran this step")

    assert stage.run.status is RunStatus.FAILED
    assert stage.node("a").error == "worker w9 was lost while it ran this step"
    assert [one.begun for one in stage.closed] == [Begun.PERHAPS]
    assert stage.order() == ["a"]


def test_the_tasks_of_a_restarted_worker_are_addressed_to_its_present_incarnation() -> None:
    stage = Stage.begun(make_dag(step("a"), step("b", "a"), step("c", "b")))
    assert stage.task("a").incarnation == ""
    stage.make("a")
    assert (stage.task("b").incarnation, stage.task("b").dispatched_at) == ("i1", stage.now)

    stage.ask("b", Doubt.OTHER_INCARNATION, worker="w1", incarnation="i2")
    stage.finish("b")

    assert stage.task("c").incarnation == "i2"


def test_a_task_without_a_broker_queue_was_never_sent() -> None:
    stage = Stage.begun(A)
    stage.undelivered("a", never_sent=True)
    stage.undelivered("a")

    assert [one.begun for one in stage.closed] == [Begun.NEVER_SENT, Begun.PERHAPS]


@pytest.mark.parametrize("ended", [True, False])
def test_a_run_tells_of_a_worker_that_began_what_it_did_not_hold(ended: bool) -> None:
    stage = Stage.begun(A)
    stage.start("a")
    if ended:
        stage.finish("a")
    status = stage.run.status

    stage.tell(BegunBeside(0, "w2", "held by another"))

    why = "worker w2 began this step without the right to (held by another): it may have run twice"
    assert (stage.transitions[-1].why, stage.transitions[-1].by, stage.run.status) == (why, "w2", status)


def test_a_step_that_began_while_its_run_was_stopped_has_run_once() -> None:
    stage = Stage.begun(A)
    stage.stop()

    stage.tell(BegunBeside(0, "w1", "stale token"))

    assert stage.transitions[-1].why.endswith("(stale token): it has run, at least in part")


def test_a_token_that_a_failover_repeats_has_other_random_digits() -> None:
    tokens = set()
    for salt in ("aaaa", "bbbb"):
        decision = advance(fresh(A), Begin("ann"), T0, salt)
        assert isinstance(decision, Advanced)
        tokens |= {effect.task.token for effect in decision.effects if isinstance(effect, Dispatch)}

    assert len(tokens) == 2
    assert {token.rpartition(":")[0] for token in tokens} == {"run-1:1:0"}
