"""Named pipes where a step names a file: they hold up neither its worker nor other steps."""

import os
from pathlib import Path

import pytest

from tests.harness.worker_rig import Rig, command, task

pytestmark = pytest.mark.timeout(60)


def test_a_pipe_in_place_of_a_dotenv_file_is_left_out(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        os.mkfifo(rig.work_dir() / ".env")

        assert rig.run(task(command("true"), dotenv=(".env",))).outcome == "succeeded"


def test_a_pipe_does_not_take_the_output_of_a_step(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        os.mkfifo(rig.work_dir() / "pipe")
        refused = rig.run(task(command("head -c 1000000 /dev/zero", stdout="pipe")))
        following = rig.run(task(command("seq 100000")))

        assert (refused.outcome, refused.exit_code) == ("broken", 1)
        assert "the output of a step cannot go to a named pipe" in refused.error
        assert rig.log(following, "stdout").endswith(b"\n100000\n")
