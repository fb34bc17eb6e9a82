"""The end of attempts: timeouts, stops, shutdowns, killed workers, an unreachable broker."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from services.worker.output.log_shipper import LogShipper
from services.worker.process.guardian_connection import GuardianConnection
from services.worker.process.guardian_process import GuardianProcess
from services.worker.reporting.heartbeat import HeartbeatSender
from services.worker.reporting.reports import Reporter
from shared.contracts.control import DrainOrder, StopAttempt
from shared.contracts.events import AttemptFinished, AttemptRequested, AttemptStarted
from shared.errors import BrokerUnavailable
from shared.language.model import LogOutput
from shared.transport.base import EVENTS, LOGS, BrokerQueue, Consumer, Delivery, Outgoing, task_queue, worker_queue
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.eventually import PATIENCE_S, eventually
from tests.harness.worker_rig import Rig, command, task

_ESCAPING = (
    "setsid sh -c 'touch r1; exec sleep 1001' & (setsid sh -c 'touch r2; exec sleep 1002' &) ; "
    "sh -c 'touch r3; exec sleep 1003' & "
    "while [ ! -e r1 -o ! -e r2 -o ! -e r3 ]; do sleep 0.02; done; touch ready; sleep 1004; true"
)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as made:
        yield made


@pytest.fixture(params=[False, True], ids=["kernel", "portable"])
def either_rig(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A rig whose guardian uses what only Linux has, and one whose guardian does as on macOS."""
    with Rig(tmp_path, guardian=GuardianProcess(portable=request.param)) as made:
        yield made


def _marked(incarnation: str) -> list[int]:
    """Return the living processes that a worker started, including those in other sessions."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environ, stat = (folder / "environ").read_bytes(), (folder / "stat").read_bytes()
        except OSError:
            continue
        if f"DAGWAY_ATTEMPT={incarnation}".encode() in environ and b") Z " not in stat:
            found.append(int(folder.name))
    return found


def test_a_step_over_its_timeout_ends_with_124(either_rig: Rig) -> None:
    finished = either_rig.run(task(command("sleep 1005"), timeout_s=0.2))

    assert (finished.outcome, finished.exit_code) == ("timed_out", 124)
    told = re.match(r"step timed out after ([\d.]+)s \(timeout: 0\.2s\)", finished.error)
    assert told, finished.error
    assert float(told[1]) >= 0.2, "a busy machine may take longer"
    eventually(lambda: _marked(either_rig.worker.incarnation) == [])  # a killed process needs a moment to end


def test_a_timeout_kills_a_step_that_ignores_the_signal_after_the_grace(either_rig: Rig) -> None:
    finished = either_rig.run(task(command("trap '' TERM; sleep 1006; sleep 1006"), timeout_s=0.2, stop_grace_s=0.3))

    assert (finished.outcome, finished.exit_code) == ("timed_out", 124)
    eventually(lambda: _marked(either_rig.worker.incarnation) == [])  # a killed process needs a moment to end


def test_a_stop_sends_the_signal_of_signal_on_stop(either_rig: Rig) -> None:
    text = "trap 'echo cleaned; exit 0' INT; touch ready; while :; do sleep 0.02; done"
    either_rig.give(task(command(text, signal_on_stop="SIGINT"), token="t"))
    eventually(either_rig.work_dir().joinpath("ready").exists)

    either_rig.broadcast("worker.w1", StopAttempt(token="t"))
    finished = either_rig.finished("t")

    assert (finished.outcome, finished.exit_code) == ("aborted", 0)
    assert either_rig.log(finished, "stdout") == b"cleaned\n"


def test_a_stop_ends_all_descendants_of_the_step(either_rig: Rig) -> None:
    either_rig.give(task(command("trap '' TERM; " + _ESCAPING), token="t", stop_grace_s=0.3))
    eventually(either_rig.work_dir().joinpath("ready").exists)
    assert len(_marked(either_rig.worker.incarnation)) >= 4

    either_rig.broadcast("worker.w1", StopAttempt(token="t"))
    finished = either_rig.finished("t")

    assert (finished.outcome, finished.exit_code) == ("aborted", -1)
    eventually(lambda: _marked(either_rig.worker.incarnation) == [])  # a killed process needs a moment to end


def test_commands_after_the_stopped_one_do_not_start(rig: Rig) -> None:
    rig.give(task(command("touch ready; sleep 1007", "touch second"), token="t"))
    eventually(rig.work_dir().joinpath("ready").exists)

    rig.broadcast("worker.w1", StopAttempt(token="t"))

    assert rig.finished("t").outcome == "aborted"
    assert not rig.work_dir().joinpath("second").exists()


def test_a_stop_while_the_env_of_a_step_is_evaluated_aborts_it(rig: Rig) -> None:
    step = command("touch begun", env=(("SLOW", "`touch ready; exec sleep 1007`"),))
    rig.give(task(step, token="t"))
    eventually(rig.work_dir().joinpath("ready").exists)

    rig.broadcast("worker.w1", StopAttempt(token="t"))

    assert rig.finished("t").outcome == "aborted"
    assert not rig.work_dir().joinpath("begun").exists()


def test_a_revoked_attempt_is_killed_at_once_and_not_reported(either_rig: Rig) -> None:
    either_rig.give(task(command("trap '' TERM; touch ready; sleep 1008; sleep 1008"), token="t", stop_grace_s=60))
    eventually(either_rig.work_dir().joinpath("ready").exists)
    either_rig.started("t")

    either_rig.broadcast("worker.w1", StopAttempt(token="t", revoked=True))
    eventually(lambda: either_rig.worker.attempts.tokens() == ())

    eventually(lambda: _marked(either_rig.worker.incarnation) == [])  # a killed process needs a moment to end
    assert [type(event) for event in either_rig.events("t")] == [AttemptStarted]


@pytest.mark.parametrize(("revoked", "reports"), [(True, []), (False, [AttemptFinished])])
def test_a_task_whose_stop_came_first_is_not_started(rig: Rig, revoked: bool, reports: list[type]) -> None:
    rig.broadcast("worker.w1", StopAttempt(token="late", revoked=revoked))
    rig.broadcast("worker.w1", StopAttempt(token="fence", revoked=True))
    eventually(lambda: "fence" in rig.worker.attempts._stopped_early)
    rig.give(task(command("touch ran"), token="late"))
    rig.run(task(command("true")))

    # The other attempt may be reported first.
    eventually(lambda: [type(event) for event in rig.events("late")] == reports)
    assert not rig.work_dir().joinpath("ran").exists()


def test_a_copy_of_a_task_is_not_run_again(rig: Rig) -> None:
    made = task(command("echo x >> runs"), token="twice")
    rig.give(made)
    rig.finished("twice")
    rig.give(made)
    rig.run(task(command("true")))

    assert rig.work_dir().joinpath("runs").read_text() == "x\n"
    assert len(rig.events("twice")) == 2


def test_a_draining_worker_reports_the_steps_that_it_stopped(either_rig: Rig) -> None:
    either_rig.give(task(command("sleep 1009"), token="long"))
    either_rig.started("long")

    either_rig.worker.stop(0.1)

    long = either_rig.finished("long")
    assert (long.outcome, long.error) == ("broken", "the worker shut down before the step ended")
    assert long.shutdown
    eventually(lambda: _marked(either_rig.worker.incarnation) == [])  # a killed process needs a moment to end


def test_a_draining_worker_goes_on_with_its_runs_and_begins_none(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.worker.main._BETWEEN_STEPS_S", 0.5)
    rig.give(task(command("touch begun; while [ ! -e go ]; do sleep 0.02; done"), token="one"))
    # Its start is reported before its task is settled, and a task that is not goes back to the broker.
    eventually(rig.work_dir().joinpath("begun").exists)
    stop = threading.Thread(target=rig.worker.stop, args=(60.0,))
    stop.start()
    eventually(lambda: rig.worker.facts().draining)
    rig.give(task(command("true"), token="new"))
    rig.give(task(command("true"), token="two"), worker_queue("w1"))
    assert rig.finished("two").outcome == "succeeded"
    rig.work_dir().joinpath("go").touch()
    stop.join()

    one, two = rig.finished("one"), rig.finished("two")
    assert (one.outcome, one.shutdown, two.shutdown) == ("succeeded", False, False)
    assert rig.transport.waiting(task_queue({})) == 1
    assert rig.events("new") == []


def test_a_drained_worker_takes_no_new_runs_until_it_is_resumed(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.broadcast("worker.w1", DrainOrder(drained=True))
        eventually(lambda: rig.worker.facts().draining)
        rig.give(task(command("true"), token="new"))
        rig.give(task(command("true"), token="next"), worker_queue("w1"))
        assert rig.finished("next").outcome == "succeeded"
        assert rig.transport.waiting(task_queue({})) == 1

        rig.broadcast("worker.w1", DrainOrder(drained=False))
        assert rig.finished("new").outcome == "succeeded"
        eventually(lambda: not rig.worker.facts().draining)
        rig.broadcast("worker.w1", DrainOrder(drained=True))
        eventually(lambda: rig.worker.facts().draining)
    with Rig(tmp_path) as rig:
        # The order holds before anybody repeats it.
        rig.transport.declare([task_queue({})])
        rig.give(task(command("true"), token="late"))
        rig.give(task(command("true"), token="own"), worker_queue("w1"))
        assert rig.finished("own").outcome == "succeeded"
        assert (rig.worker.facts().draining, rig.events("late")) == (True, [])
        rig.broadcast("worker.w1", DrainOrder(drained=False))
        assert rig.finished("late").outcome == "succeeded"


def test_stopping_twice_or_before_the_start_is_harmless(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.worker.stop()
        rig.worker.stop()
    Rig(tmp_path / "other").worker.stop()


@pytest.mark.parametrize("portable", [False, True])
def test_no_process_of_a_step_survives_the_death_of_its_worker(tmp_path: Path, portable: bool) -> None:
    code = (
        "import sys, threading; from pathlib import Path\n"
        "from services.worker.process.guardian_process import GuardianProcess\n"
        "from tests.harness.worker_rig import Rig, command, task\n"
        "guardian = GuardianProcess(portable=sys.argv[3] == 'True')\n"
        "rig = Rig(Path(sys.argv[1]), guardian=guardian); rig.__enter__()\n"
        "print(rig.worker.incarnation, flush=True)\n"
        "rig.give(task(command(sys.argv[2]), token='t')); threading.Event().wait()\n"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), _ESCAPING, str(portable)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert worker.stdout is not None
    try:
        incarnation = worker.stdout.readline().strip()
        eventually((tmp_path / "runs/d/r1/ready").exists)
        assert len(_marked(incarnation)) >= 4
    finally:
        # The whole group, as a supervisor or a terminal would.
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        worker.stdout.close()

    eventually(lambda: _marked(incarnation) == [])


def test_a_step_inherits_its_three_streams_and_nothing_else(either_rig: Rig) -> None:
    finished = either_rig.run(
        task(command('python3 -c \'import os; print(sorted(os.listdir("/proc/self/fd")), end="")\''))
    )

    # The fourth is the listing itself.
    assert either_rig.log(finished, "stdout") == b"['0', '1', '2', '3']"


@pytest.mark.parametrize("portable", [False, True])
def test_a_worker_that_loses_its_guardian_fails_and_leaves_no_process(tmp_path: Path, portable: bool) -> None:
    failed: list[bool] = []
    guardian = GuardianProcess(portable=portable)
    with Rig(tmp_path, guardian=guardian, on_failure=lambda: failed.append(True)) as rig:
        rig.give(task(command("touch ready; sleep 1010 & sleep 1011"), token="t"))
        eventually(rig.work_dir().joinpath("ready").exists)

        os.kill(rig.worker._guardian.pid, signal.SIGKILL)

        eventually(lambda: failed == [True])
        assert rig.finished("t").outcome == "broken"
        assert _marked(rig.worker.incarnation) == []
        assert rig.worker.failed.is_set()


class _Broken(EmbeddedTransport):
    """The embedded transport, with a consumer of tasks that raises what no consumer should."""

    def consume(self, queues: Sequence[BrokerQueue], **options: Any) -> Consumer:
        consumer = super().consume(queues, **options)
        if task_queue({}) in queues:

            def take(limit: int, timeout_s: float) -> list[Delivery]:
                if timeout_s:
                    raise RuntimeError("a bug")
                return []

            consumer.take = take  # type: ignore[method-assign]
        return consumer


def test_a_worker_whose_intake_dies_fails_instead_of_looking_alive(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failed: list[bool] = []
    with Rig(tmp_path, transport=_Broken(None), on_failure=lambda: failed.append(True)) as rig:
        eventually(lambda: failed == [True])
        assert rig.worker.failed.is_set()

    (died,) = [record for record in caplog.records if record.message == "thread.died"]
    assert "a bug" in str(died.exc_info)


@pytest.mark.parametrize("kind", [HeartbeatSender, LogShipper, Reporter])
def test_a_worker_fails_if_one_of_its_threads_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[object]
) -> None:
    failed = threading.Event()
    monkeypatch.setattr(kind, "_run", lambda _self: 1 // 0)
    with Rig(tmp_path, on_failure=failed.set):
        assert failed.wait(PATIENCE_S)


def test_a_worker_fails_if_it_cannot_follow_its_guardian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()
    monkeypatch.setattr(GuardianConnection, "_receive", lambda _self, _message: 1 // 0)
    with Rig(tmp_path, on_failure=failed.set) as rig:
        assert rig.run(task(command("true"))).outcome == "broken"
        assert failed.wait(PATIENCE_S)


class _Flaky(EmbeddedTransport):
    """The embedded transport, with a switch that makes it refuse the reports of workers."""

    cut = False

    def send(self, message: Outgoing) -> "Future[None]":
        if self.cut and message.queue in (EVENTS, LOGS):
            refused: Future[None] = Future()
            refused.set_exception(BrokerUnavailable("the link is cut"))
            return refused
        return super().send(message)

    @property
    def healthy(self) -> bool:
        return not self.cut and super().healthy


@pytest.mark.parametrize("size", [10, 300_000])
def test_a_report_is_spooled_while_the_broker_is_away_and_delivered_after(tmp_path: Path, size: int) -> None:
    transport = _Flaky(None)
    with Rig(tmp_path, transport=transport) as rig:
        text = f"touch ready; while [ ! -e go ]; do sleep 0.02; done; head -c {size} /dev/zero"
        rig.give(task(command(text), token="t"))
        eventually(rig.work_dir().joinpath("ready").exists)
        transport.cut = True
        rig.work_dir().joinpath("go").touch()
        eventually(lambda: [path.name for path in (tmp_path / "spool").glob("*.json")] == ["t.json"])
        assert rig.worker.attempts.tokens() == ("t",)

        transport.cut = False
        finished = rig.finished("t")

        assert rig.log(finished, "stdout") == b"\0" * size
        eventually(lambda: rig.worker.attempts.tokens() == ())
        assert list((tmp_path / "spool").iterdir()) == []


def test_a_spooled_report_is_delivered_by_the_next_process(tmp_path: Path) -> None:
    transport = _Flaky(None)
    with Rig(tmp_path, transport=transport) as rig:
        rig.give(task(command("touch ready; while [ ! -e go ]; do sleep 0.02; done; echo hi"), token="t"))
        eventually(rig.work_dir().joinpath("ready").exists)
        transport.cut = True
        rig.work_dir().joinpath("go").touch()
        eventually(lambda: list((tmp_path / "spool").glob("*.json")) != [])

    with Rig(tmp_path) as rig:
        finished = rig.finished("t")

        assert rig.log(finished, "stdout") == b"hi\n"
        assert finished.incarnation != rig.worker.incarnation


def test_a_step_whose_start_cannot_be_reported_does_not_run_before_it_is_granted(tmp_path: Path) -> None:
    transport = _Flaky(None)
    with Rig(tmp_path, transport=transport) as rig:
        transport.cut = True
        rig.give(task(command("touch ran"), token="t"))
        eventually(lambda: rig.worker.counters.values.get("redelivered", 0) > 0)
        assert not rig.work_dir().joinpath("ran").exists()
        transport.cut = False

        assert rig.finished("t").outcome == "succeeded"
        # It asks again while the answer is on its way.
        *asked, end = [type(event) for event in rig.events("t")]
        assert (set(asked), end) == ({AttemptRequested}, AttemptFinished)


def test_a_copy_that_cannot_be_written_fails_the_step_but_does_not_block_it(rig: Rig) -> None:
    step = command("head -c 1000000 /dev/zero; echo done >&2", stdout="/dev/full")
    finished = rig.run(task(step, log_output=LogOutput.MERGED))

    assert (finished.outcome, finished.exit_code) == ("broken", 1)
    assert "No space left on device" in finished.error
