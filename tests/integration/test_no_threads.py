"""Steps have used up all processes and threads that the worker's container may have."""

import threading
from pathlib import Path

import pytest

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
