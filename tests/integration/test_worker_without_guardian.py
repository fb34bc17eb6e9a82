"""What a worker does between the death of its guardian and its own end, and with one that is stopped."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from shared.transport.base import worker_queue
from tests.harness.eventually import PATIENCE_S, eventually
from tests.harness.worker_rig import Rig, command, task


def test_a_worker_without_its_guardian_takes_no_more_steps_while_it_ends(tmp_path: Path) -> None:
    """Each would fail at once: the worker would use up the retries of the runs that it works on."""
    decided: list[bool] = []

    def end() -> None:
        """Stop the worker while it still has the attempt that the guardian's death ends, then send it a retry."""
        stopping.start()
        intake = rig.worker._intake
        assert intake is not None
        eventually(lambda: intake._stopping.is_set() or intake._draining.is_set())
        rig.give(task(command("true"), token="retry"), worker_queue("w1"))
        decided.append(True)

    with Rig(tmp_path, on_failure=end) as rig:
        stopping = threading.Thread(target=rig.worker.stop, args=(PATIENCE_S,))
        rig.give(task(command("touch ready; sleep 1012"), token="t"))
        eventually(rig.work_dir().joinpath("ready").exists)

        os.kill(rig.worker._guardian.pid, signal.SIGKILL)

        assert rig.finished("t").outcome == "broken"
        stopping.join()
        assert decided == [True]
        assert rig.events("retry") == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads the state of a process in /proc")
def test_a_guardian_that_a_step_stops_goes_on_for_the_next_step_and_for_the_end_of_its_worker(tmp_path: Path) -> None:
    """Else the worker looks healthy, takes steps that never begin, and does not end."""

    def stopped() -> bool:
        return Path(f"/proc/{guardian}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    with Rig(tmp_path) as rig:
        guardian = rig.worker._guardian.pid
        rig.give(task(command("kill -STOP $PPID"), token="stops"))
        eventually(stopped)
        rig.give(task(command("true"), token="next"))
        assert rig.finished("next").outcome == "succeeded"
        assert rig.finished("stops").outcome == "succeeded"

        os.kill(guardian, signal.SIGSTOP)
        eventually(stopped)
