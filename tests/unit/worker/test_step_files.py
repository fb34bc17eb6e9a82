"""Files that steps with a user of their own name for their output."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from services.worker.inputs.named_files import EVERYTHING, Reach
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


def test_what_only_the_worker_reaches_gets_no_output_whoever_may_write_to_it(tmp_path: Path) -> None:
    (closed := tmp_path / "closed").mkdir(0o700)
    (everybodys := closed / "everybodys").mkdir()
    (there := everybodys / "there").touch()
    everybodys.chmod(0o777)
    there.chmod(0o666)
    user = StepUser(os.getuid() + 1, os.getgid() + 1)

    for file in (there, everybodys / "new"):
        with pytest.raises(PermissionError, match="the user of the step may not write there"):
            open_for_step(file, EVERYTHING, user, lambda _folder: None)
    # Steps get to the folder of their run, wherever it is.
    os.close(open_for_step(there, Reach(own=(closed,)), user, lambda _folder: None))

    assert not (everybodys / "new").exists()
