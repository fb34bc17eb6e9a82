"""Steps have used up all processes and threads that the worker's container may have."""

import threading
from pathlib import Path

import pytest

from services.worker import intake
from shared.contracts.control import TaskQueueOpened
from shared.language.model import Secret, Step, StepCommand
from shared.transport.base import task_queue
from tests.harness.eventually import eventually
from tests.harness.worker_rig import Rig, command, task


def test_a_task_waits_for_a_thread_and_the_worker_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failed = threading.Event()
    with Rig(tmp_path, on_failure=failed.set) as rig:
        start = threading.Thread.start

        def refused(thread: threading.Thread) -> None:
            if thread.name.startswith("attempt_"):
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", refused)
        for token in ("a", "b"):
            rig.give(task(command("true"), token=token, dag_run_id=token))
        said = "attempt.waits_for_thread"
        eventually(lambda: [one.token for one in caplog.records if one.msg == said] == ["a", "b"])  # type: ignore[attr-defined]
        monkeypatch.setattr(threading.Thread, "start", start)

        assert [rig.finished(token).outcome for token in ("a", "b")] == ["succeeded", "succeeded"]
    assert not failed.is_set()


def test_a_worker_learns_of_a_broker_queue_without_a_further_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    selector = {"gpu": "true"}
    monkeypatch.setattr(intake, "_IDLE_S", 600.0)  # what it learns ends the wait for a task
    with Rig(tmp_path, labels=selector) as rig:
        rig.run(task(command("true")))  # its thread takes the next attempt too

        def refused(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        rig.transport.declare([task_queue(selector)])
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refused)
            rig.broadcast("workers", TaskQueueOpened(selector=selector))
            rig.give(task(command("true"), token="labelled"), task_queue(selector))
            assert rig.finished("labelled").outcome == "succeeded"


def test_a_step_that_gets_no_thread_names_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name.startswith(("attempt-", "until-stopped")):
            raise RuntimeError("can't start new thread")
        start(thread)

    steps = [
        task(Step(name="s", type="http", commands=(StepCommand(text="", argv=("GET", "http://127.0.0.1:1/")),))),
        task(command("true"), secrets=(Secret(name="T", provider="env", key="PATH"),)),
    ]
    with Rig(tmp_path) as rig:
        rig.run(task(command("true")))
        monkeypatch.setattr(threading.Thread, "start", refused)
        errors = [rig.run(step).error for step in steps]
        monkeypatch.setattr(threading.Thread, "start", start)

    assert errors == ["can't start new thread (too many processes, see DAGWAY_STEP_MAX_PROCESSES)"] * 2
