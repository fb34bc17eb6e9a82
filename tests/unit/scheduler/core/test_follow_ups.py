"""Follow-ups: when a run needs one for its mails or its container, and that its outcome affects nothing else."""

from typing import Any

import pytest

from services.scheduler.core.decision import Ignored
from services.scheduler.core.dispatching import OUT_OF_TIME
from services.scheduler.core.messages import Retry
from shared.contracts.follow_ups import FOLLOW_UP, FollowUp
from shared.language.model import ContinueOn, Dag, Handler, MailOn, MailSettings, RetryPolicy
from shared.status import NodeStatus, RunStatus
from tests.unit.scheduler.core.stage import Stage, make_dag, step

ALL = MailOn(failure=True, success=True, wait=True)
MAILS: dict[str, Any] = {
    name: MailSettings(sender="a@x", to=(f"{name}@x",)) for name in ("error_mail", "info_mail", "wait_mail")
}


def dag(*steps: Any, **facts: Any) -> Dag:
    return make_dag(*(steps or (step("a"),)), **{"mail_on": ALL, **MAILS, **facts})


def follow_up(stage: Stage) -> FollowUp:
    return FollowUp.model_validate(stage.task("follow-up").options[FOLLOW_UP])


def told(stage: Stage) -> list[tuple[str, str]]:
    """Return recipient and status of each mail of the last follow-up."""
    return [(mail.settings.to[0], mail.status) for mail in follow_up(stage).mails]


def over(dag: Dag, outcomes: dict[str, Any] | None = None) -> Stage:
    return Stage.begun(dag).play(outcomes)


def test_a_dag_without_mails_or_container_has_no_follow_up() -> None:
    assert [node.name for node in over(make_dag(step("a"))).run.nodes] == ["a"]


def test_no_step_has_the_name_of_the_follow_up_which_would_hide_its_log() -> None:
    dag = make_dag(step("follow-up"), step("follow-up-2"), mail_on=MailOn(success=True))

    assert [node.name for node in over(dag).run.nodes] == ["follow-up", "follow-up-2", "follow-up-3"]


@pytest.mark.parametrize(
    ("outcomes", "status", "mail"),
    [
        ({}, RunStatus.SUCCEEDED, "info_mail@x"),
        ({"a": "failed"}, RunStatus.FAILED, "error_mail@x"),
        ({"b": "failed"}, RunStatus.PARTIALLY_SUCCEEDED, "error_mail@x"),
        ({"c": "failed"}, RunStatus.SUCCEEDED, "info_mail@x"),
        ({"b": "failed", "onExit": "failed"}, RunStatus.PARTIALLY_SUCCEEDED, "error_mail@x"),
        ({"onInit": "failed"}, RunStatus.ABORTED, "error_mail@x"),
    ],
)
def test_the_end_decides_which_mail_is_sent(outcomes: dict[str, Any], status: RunStatus, mail: str) -> None:
    tolerant = ContinueOn(failure=True)
    steps = (
        step("a"),
        step("b", continue_on=tolerant),
        step("c", continue_on=tolerant.model_copy(update={"mark_success": True})),
    )
    stage = over(dag(*steps, handlers=[Handler.INIT, Handler.EXIT]), outcomes)

    assert stage.run.status is status
    assert stage.order()[-1] == "follow-up"
    assert told(stage) == [(mail, str(status))]
    stage.make("follow-up")
    assert (stage.open(), stage.run.status) == ([], status)


def test_a_stopped_run_sends_no_mail() -> None:
    stage = Stage.begun(dag())
    stage.start("a")
    stage.stop()
    stage.finish("a", "aborted")

    assert (stage.run.status, stage.open()) == (RunStatus.ABORTED, [])


def test_only_the_configured_ends_send_a_mail() -> None:
    stage = over(dag(mail_on=MailOn(failure=True)))

    assert (stage.run.status, stage.open()) == (RunStatus.SUCCEEDED, [])


def test_a_steps_final_failure_sends_a_mail_at_once() -> None:
    policy = RetryPolicy(limit=1, interval_sec=0)
    stage = Stage.begun(dag(step("a", mail_on_error=True, retry_policy=policy), step("b"), mail_on=MailOn()))
    stage.make("a", "failed")
    assert "follow-up" not in stage.open()

    stage.make("a", "failed")

    assert (stage.open(), stage.run.status) == (["b", "follow-up"], RunStatus.RUNNING)
    assert told(stage) == [("error_mail@x", "failed")]
    assert [node.name for node in follow_up(stage).mails[0].nodes] == ["a"]
    stage.make("b")
    assert stage.run.status is RunStatus.FAILED, "the follow-up keeps nobody waiting"
    stage.make("follow-up")
    assert stage.order().count("follow-up") == 1


def test_follow_ups_that_come_up_meanwhile_run_next() -> None:
    stage = Stage.begun(dag(step("a", mail_on_error=True), step("b")))
    stage.make("a", "failed")
    stage.make("b")
    first = follow_up(stage)

    stage.make("follow-up")

    assert [len(first.mails), len(follow_up(stage).mails)] == [1, 1]
    assert told(stage) == [("error_mail@x", "failed")]
    assert first.mails[0].id != follow_up(stage).mails[0].id
    stage.make("follow-up")
    assert stage.open() == []


@pytest.mark.parametrize("how", ["lost", "broken"])
def test_a_lost_follow_up_is_tried_again_a_limited_number_of_times(how: str) -> None:
    stage = over(dag())
    ids = set()
    for _ in range(3):
        ids.add(follow_up(stage).mails[0].id)
        stage.start("follow-up")
        if how == "lost":
            stage.lose("follow-up")
        else:
            stage.finish("follow-up", "broken")

    assert (stage.open(), stage.run.status, len(ids)) == ([], RunStatus.SUCCEEDED, 1)
    assert stage.node("follow-up").status is NodeStatus.FAILED


def test_an_undelivered_follow_up_is_sent_to_any_worker() -> None:
    stage = over(dag())
    stage.undelivered("follow-up")

    assert (stage.open(), stage.sent[-1].worker_id, stage.run.worker_id) == (["follow-up"], None, "w1")


def test_a_mail_that_could_not_be_sent_changes_nothing() -> None:
    stage = over(dag())
    stage.make("follow-up", "failed")

    assert (stage.run.status, stage.open(), stage.node("follow-up").status) == (
        RunStatus.SUCCEEDED,
        [],
        NodeStatus.FAILED,
    )
    assert isinstance(stage.finish("follow-up", token="run-1:1:1"), Ignored)


def test_a_retry_begins_after_the_follow_up_of_the_last_end() -> None:
    stage = over(dag(), {"a": "failed"})
    stage.start("follow-up")

    stage.retry()
    assert stage.open() == ["follow-up"]
    stage.finish("follow-up")
    stage.play()

    assert stage.run.status is RunStatus.SUCCEEDED
    assert told(stage) == [("info_mail@x", "succeeded")]
    assert follow_up(stage).mails[0].id == "run-1.2.end"


@pytest.mark.parametrize("go_on", [Retry("ann"), Retry("ann", queued=True)])
@pytest.mark.parametrize("facts", [{}, {"mail_on": MailOn()}])
def test_a_retry_changes_no_mail_that_is_not_sent_yet(facts: dict[str, Any], go_on: Retry) -> None:
    stage = over(dag(step("a", mail_on_error=True), **facts), {"a": "failed"})
    stage.start("follow-up")
    stage.lose("follow-up")
    before = follow_up(stage)
    stage.tell(go_on)

    for _ in range(2):
        assert follow_up(stage) == before
        stage.start("follow-up")
        stage.lose("follow-up")

    assert stage.node("follow-up").outputs == {}


def test_the_time_limit_of_a_retry_counts_from_when_the_mails_are_sent() -> None:
    stage = over(dag(timeout_sec=60), {"a": "failed"})
    stage.start("follow-up")
    stage.retry()
    stage.wait(100)
    stage.finish("follow-up")

    stage.wait(59)
    assert (stage.run.status, stage.open()) == (RunStatus.RUNNING, ["a"])
    stage.wait(2)
    assert (stage.run.status, stage.run.error) == (RunStatus.FAILED, OUT_OF_TIME)


def test_an_approval_changes_no_mail_that_is_not_sent_yet() -> None:
    stage = over(dag(step("a", type="hitl")))
    before = follow_up(stage)
    stage.approve("a")

    stage.start("follow-up")
    stage.lose("follow-up")

    assert told(stage) == [("wait_mail@x", "waiting")]
    assert follow_up(stage) == before


def test_a_step_that_fails_again_has_a_mail_of_its_own() -> None:
    stage = over(dag(step("a", mail_on_error=True), mail_on=MailOn()), {"a": "failed"})
    first = follow_up(stage)
    stage.retry()
    stage.make("a", "failed")
    stage.make("follow-up")

    assert [first.mails[0].id, follow_up(stage).mails[0].id] == ["run-1.1.0", "run-1.2.0"]
    stage.make("follow-up")
    assert (stage.open(), stage.node("follow-up").outputs) == ([], {})


@pytest.mark.parametrize("started", [True, False])
def test_a_stop_does_not_end_a_follow_up(started: bool) -> None:
    stage = Stage.begun(dag(step("a", mail_on_error=True, continue_on=ContinueOn(failure=True)), step("b")))
    stage.make("a", "failed")
    stage.start("b")
    if started:
        stage.start("follow-up")
    stage.stop()

    assert [halt.token for halt in stage.halts] == [stage.token("b")]
    assert "follow-up" in stage.open()


@pytest.mark.parametrize(
    ("container", "removed"),
    [({"image": "i"}, True), ({"image": "i", "keepContainer": True}, False), ({"exec": "theirs"}, False), ("n", False)],
)
def test_the_runs_container_is_removed_at_its_end(container: Any, removed: bool) -> None:
    stage = over(make_dag(step("a"), container=container), {"a": "failed"})

    assert ("follow-up" in stage.open()) == removed
    assert not removed or follow_up(stage).container == container


def test_a_container_that_no_step_used_is_not_removed() -> None:
    stage = Stage.begun(make_dag(step("a"), container={"image": "i"}))
    stage.stop()

    assert (stage.run.status, stage.open()) == (RunStatus.ABORTED, [])
