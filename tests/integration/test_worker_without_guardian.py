"""What a worker does between the death of its guardian and its own end, and with one that is stopped."""

import os
import signal
import threading
from pathlib import Path

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


def test_a_guardian_that_a_step_stops_goes_on_with_the_next_heartbeat_and_at_the_end(tmp_path: Path) -> None:
    """Else the worker looks healthy, takes steps that never begin or end, and does not end itself."""
    with Rig(tmp_path) as rig:
        rig.give(task(command("kill -STOP $PPID"), token="stops"))
        assert rig.finished("stops").outcome == "succeeded"

        os.kill(rig.worker._guardian.pid, signal.SIGSTOP)
