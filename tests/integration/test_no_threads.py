"""Steps have used up all processes and threads that the worker's container may have."""

import threading
from pathlib import Path

import pytest

from services.worker import intake
from shared.contracts.control import TaskQueueOpened
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
