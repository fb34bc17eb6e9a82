"""Named pipes where a step names a file: they hold up neither its worker nor other steps."""

import os
from pathlib import Path

import pytest

from shared.language.model import ContinueOn
from tests.harness.worker_rig import Rig, command, task

_REPLACE_FIRST_LOG = 'rm "${DAG_RUN_STEP_STDOUT_FILE%.*.out}.1.out"; mkfifo "${DAG_RUN_STEP_STDOUT_FILE%.*.out}.1.out"'


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


@pytest.mark.parametrize("stream", ["STDOUT", "STDERR"])
def test_a_step_that_replaces_its_log_by_a_pipe_ends(tmp_path: Path, stream: str) -> None:
    replace = f'rm "$DAG_RUN_STEP_{stream}_FILE"; mkfifo "$DAG_RUN_STEP_{stream}_FILE"'
    with Rig(tmp_path) as rig:
        text = f"echo output; echo why >&2; {replace}; exit 3"
        step = command(text, continue_on=ContinueOn(output=("no such line",)))
        failed = rig.run(task(step))

        assert (failed.outcome, failed.exit_code) == ("failed", 3)
        assert "why" in failed.error
        assert (rig.log(failed, "stdout"), rig.log(failed, "stderr")) == (b"output\n", b"why\n")


def test_a_pipe_in_place_of_the_log_of_all_attempts_is_left_alone(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        for number in (1, 2):
            rig.give(task(command(_REPLACE_FIRST_LOG), token=f"t{number}", number=number))
            assert rig.finished(f"t{number}").outcome == "succeeded"
