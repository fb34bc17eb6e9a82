"""The fork server of the tests: a process is complete when its start returns, and its end is never a surprise."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.eventually import eventually
from tests.harness.fork_server import ForkedProcess, ForkServer, fork
from tests.harness.reaper import kill_group


def waiting(folder: Path, start: Callable[..., ForkedProcess] = fork) -> ForkedProcess:
    """Start a process that waits for a reader of its log, and does nothing else."""
    log = folder / "log"
    if not log.exists():
        os.mkfifo(log)
    return start(["dagway", "waits"], env={}, cwd=folder, log=log)


def test_a_started_process_has_its_session_and_the_umask_of_the_test(tmp_path: Path) -> None:
    started = [waiting(tmp_path)]  # The server is there, with another umask.
    before = os.umask(0o027)
    try:
        started += [waiting(tmp_path) for _ in range(9)]
        sessions = [os.getsid(process.pid) for process in started]
        process = started[-1]
        status = Path(f"/proc/{process.pid}/status")
        eventually(lambda: re.search(r"Umask:\s0027", status.read_text()) is not None)
    finally:
        os.umask(before)

    assert sessions == [process.pid for process in started]
    for process in started:
        assert process.poll() is None
        process.kill()
    assert {process.wait(60) for process in started} == {-signal.SIGKILL}


def test_a_process_is_told_that_its_terminal_was_closed_also_in_tests_that_are_not(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as by nohup
    try:
        server = ForkServer()
    finally:
        signal.signal(signal.SIGHUP, before)
    process = waiting(tmp_path, server.fork)

    def ends() -> bool:
        process.send_signal(signal.SIGHUP)
        return process.poll() is not None

    eventually(ends)
    assert process.wait(60) == -signal.SIGHUP
    os.kill(server.pid, signal.SIGKILL)
    eventually(lambda: not server.alive)


def test_a_signal_to_a_process_that_has_just_ended_is_no_error() -> None:
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", ""]) as gone:
        gone.wait(60)
    process = ForkedProcess(["dagway"])
    process.started(gone.pid)

    process.terminate()
    process.ended(0)
    kill_group(process)

    assert process.wait(0) == 0


def test_whoever_waits_is_told_when_the_server_has_ended(tmp_path: Path) -> None:
    server = ForkServer()
    running = waiting(tmp_path, server.fork)

    os.kill(server.pid, signal.SIGKILL)

    with pytest.raises(RuntimeError, match="the fork server has ended"):
        running.wait(60)
    eventually(lambda: not server.alive)
    with pytest.raises(OSError, match="Bad file descriptor|Broken pipe"):
        waiting(tmp_path, server.fork)
