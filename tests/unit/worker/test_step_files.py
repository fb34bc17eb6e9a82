"""Files that steps with a user of their own name for their output."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from services.worker.inputs.named_files import EVERYTHING
from services.worker.output.step_files import open_for_step
from services.worker.process.step_users import StepUser
from tests.harness.eventually import PATIENCE_S


def test_steps_that_begin_at_once_make_one_file_together(tmp_path: Path) -> None:
    user, together = StepUser(os.getuid(), os.getgid()), Barrier(4)

    def open_all(_step: int) -> None:
        for number in range(100):
            together.wait(PATIENCE_S)
            os.close(open_for_step(tmp_path / str(number), EVERYTHING, user, lambda _folder: None))

    with ThreadPoolExecutor(4) as steps:
        assert list(steps.map(open_all, range(4))) == [None] * 4
