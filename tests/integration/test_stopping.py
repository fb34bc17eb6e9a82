"""A service that is asked to stop ends its waits, however long they would be."""

import threading
from pathlib import Path

import pytest

from services.scheduler.liveness import listening
from services.scheduler.loops import firing, intake, relay, timers
from services.worker import intake as worker_intake
from tests.harness.eventually import eventually
from tests.harness.worker_rig import Rig
from tests.integration.scheduler_stack import Stack

FOREVER_S = 3_600.0
"""Longer than a test may take."""


def test_a_scheduler_that_stops_waits_for_none_of_its_polls(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_TAKE_TIMEOUT_S", FOREVER_S)
    monkeypatch.setattr(listening, "_TAKE_S", FOREVER_S)
    monkeypatch.setattr(relay, "_IDLE_S", FOREVER_S)
    monkeypatch.setattr(timers, "_CLOCK_S", FOREVER_S)
    monkeypatch.setattr(firing, "_CLOCK_S", FOREVER_S)
    before = set(threading.enumerate())
    stack.scheduler()
    started = [thread for thread in threading.enumerate() if thread not in before]
    assert len([thread for thread in started if thread.name.startswith("scheduler-")]) > 10

    stack.stop_schedulers()

    def alive() -> list[str]:
        return [thread.name for thread in started if thread.is_alive() and thread.name.startswith("scheduler-")]

    eventually(lambda: alive() == [])  # the stop itself waits for a thread for 10 s at most


def test_a_worker_that_stops_waits_for_no_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_intake, "_IDLE_S", FOREVER_S)
    with Rig(tmp_path) as rig:
        stopping = threading.Thread(target=rig.worker.stop, daemon=True)
        stopping.start()
        stopping.join(60)
        assert not stopping.is_alive()
