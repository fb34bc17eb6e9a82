"""What a prepare attempt evaluates, checks and reports, with every outcome."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from services.worker.process.supervisor import Supervisor
from shared.contracts.control import StopAttempt
from shared.language.model import Condition, Dag, Param, Secret, Step
from tests.harness.eventually import eventually
from tests.harness.worker_rig import Rig, command, task


def test_prepare_evaluates_env_params_and_conditions_on_this_host(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ON_THE_HOST", "yes")
    monkeypatch.setenv("DAGWAY_AMQP_URL", "hidden")
    dag = Dag(
        name="d",
        env=(("A", "`echo 1`"), ("B", "${A}2 ${ON_THE_HOST} ${DAGWAY_AMQP_URL}")),
        params=(Param(name="P", value="`echo $A`"), Param(name="Q", value="q")),
    )
    given = {"prepare": {"dag": dag.model_dump(mode="json"), "given": "Q=w"}}
    met = rig.run(task(command(), kind="prepare", options=given))
    unmet_dag = dag.model_copy(update={"preconditions": (Condition(condition="${P}", expected="2"),)})
    given = {"prepare": {"dag": unmet_dag.model_dump(mode="json"), "given": ""}}
    unmet = rig.run(task(command(), kind="prepare", options=given))

    assert met.outcome == "succeeded", met.error
    assert met.outputs["env"] == '[["A", "1"], ["B", "12 yes "]]'
    assert met.outputs["params"] == '[["P", "1"], ["Q", "w"]]'
    assert unmet.outcome == "skipped"
    assert unmet.error == 'condition was not met: expected "2", got "1"'


def test_env_and_params_know_the_scheduled_time_of_the_run(rig: Rig) -> None:
    dag = Dag(
        name="d",
        env=(("AT", "${DAG_RUN_SCHEDULE_TIME}"),),
        params=(Param(name="DAY", value="`echo ${DAGU_RUN_SCHEDULE_TIME:-now} $AT`"),),
    )
    given = {"prepare": {"dag": dag.model_dump(mode="json"), "given": ""}}
    scheduled = (("DAG_RUN_SCHEDULE_TIME", "2026-10-04T08:05:00Z"),)
    told = [rig.run(task(command(), kind="prepare", options=given, engine_env=each)) for each in (scheduled, ())]

    assert [each.outputs["params"] for each in told] == [
        '[["DAY", "2026-10-04T08:05:00Z 2026-10-04T08:05:00Z"]]',
        '[["DAY", "now"]]',
    ]


def test_a_prepare_of_a_run_that_has_values_only_checks_preconditions(rig: Rig) -> None:
    dag = Dag(
        name="d",
        env=(("A", "`touch ran`"),),
        params=(Param(name="P", value="`touch ran`"),),
        preconditions=(Condition(condition="${P}", expected="kept"),),
    )
    given = {"prepare": {"dag": dag.model_dump(mode="json"), "given": ""}}
    had: dict[str, Any] = {"env": (("A", "1"),), "params": (("P", "kept"),), "params_json": '{"P":"kept"}'}
    finished = rig.run(task(command(), kind="prepare", options=given, **had))

    assert finished.outcome == "succeeded", finished.error
    # Told all the same: a scheduler of an earlier version takes what it is told.
    assert finished.outputs == {"env": '[["A", "1"]]', "params": '[["P", "kept"]]', "params_json": '{"P":"kept"}'}
    assert list(rig.path.rglob("ran")) == []


def test_a_prepare_whose_check_fails_reports_the_values_it_evaluated(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    dag = Dag(name="d", env=(("A", "`echo 1`"),), secrets=(secret := Secret(name="T", provider="env", key="NOWHERE"),))
    given = {"prepare": {"dag": dag.model_dump(mode="json"), "given": ""}}
    finished = rig.run(task(command(), kind="prepare", options=given, secrets=(secret,)))

    assert finished.outcome == "broken"
    assert "NOWHERE" in finished.error
    assert finished.outputs == {"env": '[["A", "1"]]', "params": "[]"}
    (logged,) = (record for record in caplog.records if record.getMessage() == "attempt.broken")
    assert logged.__dict__["error"] == finished.error
    assert not logged.exc_info, "a missing secret is a mistake of a user, not of the program"


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (command("true", stdout="`exit 3`"), "exit"),
        (command("true", stdout="${NOWHERE:?is not set}"), "is not set"),
        (command("true", working_dir="/dev/null/none"), "Not a directory"),
        (command("true", signal_on_stop="SIGNONE"), "has no signal SIGNONE"),
    ],
)
def test_the_log_has_no_traceback_for_a_mistake_in_the_workflow(
    rig: Rig, caplog: pytest.LogCaptureFixture, step: Step, why: str
) -> None:
    finished = rig.run(task(step))

    assert finished.outcome == "broken"
    assert why in finished.error
    (logged,) = (record for record in caplog.records if record.getMessage() == "attempt.broken")
    assert logged.__dict__["error"] == finished.error
    assert not logged.exc_info


def test_the_log_has_a_traceback_for_a_failure_that_the_workflow_does_not_explain(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(Supervisor, "start_clock", refuse)
    assert rig.run(task(command("true"))).outcome == "broken"

    (logged,) = (record for record in caplog.records if record.getMessage() == "attempt.broken")
    assert logged.exc_info


def test_a_prepare_that_is_stopped_in_its_check_reports_the_values_it_evaluated(rig: Rig, tmp_path: Path) -> None:
    judging = tmp_path / "judging"
    condition = Condition(condition=f"touch {judging}; sleep 600")
    dag = Dag(name="d", env=(("A", "`echo 1`"),), preconditions=(condition,))
    rig.give(
        task(
            command(),
            token="stopped",
            kind="prepare",
            options={"prepare": {"dag": dag.model_dump(mode="json"), "given": ""}},
        )
    )
    eventually(judging.exists)
    rig.broadcast("worker.w1", StopAttempt(token="stopped"))
    finished = rig.finished("stopped")

    assert finished.outcome == "aborted"
    assert finished.outputs["env"] == '[["A", "1"]]'
