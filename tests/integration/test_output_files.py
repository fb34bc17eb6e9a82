"""The files in ``stdout:`` and ``stderr:`` of a step: complete when the step has ended, or the step fails."""

import errno
import itertools
import os
import signal
import threading
from pathlib import Path

import pytest

from shared.language.model import Condition, LogOutput, Output, RepeatMode, RepeatPolicy, Secret
from tests.harness.eventually import eventually
from tests.harness.worker_rig import Rig, command, task


@pytest.mark.parametrize("log_output", LogOutput)
def test_a_file_on_a_full_disk_fails_the_step_and_its_log_is_complete(
    rig: Rig, tmp_path: Path, log_output: LogOutput
) -> None:
    """The step goes on after the write that failed, so the failure must be kept until its end."""
    text = f"echo first; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; echo last"
    token = f"full-{log_output}"
    rig.give(task(command(text, stdout="/dev/full"), token=token, log_output=log_output))
    eventually(lambda: b"first" in b"".join(chunk.data for chunk in rig.logs(token)))
    (tmp_path / "go").touch()

    finished = rig.finished(token)
    assert (finished.outcome, finished.exit_code) == ("broken", 1)
    assert finished.error == ("the file that the step names for its output cannot be written: No space left on device")
    assert rig.log(finished, "stdout") == b"first\nlast\n"


@pytest.mark.parametrize("log_output", LogOutput)
def test_if_two_files_are_on_a_full_disk_later_steps_find_the_log_without_secrets(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, log_output: LogOutput
) -> None:
    monkeypatch.setenv("SECRET_OF_TEST", "hunter2-hunter2")
    secrets = (Secret(name="S", provider="env", key="SECRET_OF_TEST"),)
    step = command("echo of $S; echo of $S >&2", stdout="/dev/full", stderr="/dev/full")
    finished = rig.run(task(step, secrets=secrets, log_output=log_output))

    assert finished.error == ("the file that the step names for its output cannot be written: No space left on device")
    log = Path(finished.stdout)
    assert b"of *******\n" in log.read_bytes()
    assert not [path for path in log.parent.iterdir() if b"hunter2" in path.read_bytes()]


def test_a_condition_of_repetition_reads_all_that_the_step_printed_to_its_file(rig: Rig) -> None:
    repeat = RepeatPolicy(repeat=RepeatMode.UNTIL, condition=Condition(condition="grep -q done out.txt"))
    finished = rig.run(task(command("echo done", stdout="out.txt", repeat_policy=repeat)))

    assert (finished.outcome, finished.repeat_condition_met) == ("succeeded", True), finished.error


def test_a_file_that_cannot_be_opened_is_named_with_the_reason(rig: Rig) -> None:
    rig.work_dir().joinpath("folder").mkdir()
    finished = rig.run(task(command("touch ran", stdout="folder")))

    folder = rig.work_dir() / "folder"
    assert finished.error == f"the output of the step cannot be written to {folder}: Is a directory"
    assert not rig.work_dir().joinpath("ran").exists()


@pytest.mark.parametrize("more", [{}, {"log_output": "merged"}], ids=["separate logs", "one log"])
def test_a_log_of_the_step_as_the_file_for_its_output_has_no_effect(rig: Rig, more: dict[str, str]) -> None:
    """As in Dagu. It would be copied to its own end, again and again."""
    for variable in ("DAG_RUN_STEP_STDOUT_FILE", "DAG_RUN_STEP_STDERR_FILE"):
        step = command("echo once", stdout=f"${{{variable}}}", stderr=f"${{{variable}}}")

        finished = rig.run(task(step, **more))

        assert finished.outcome == "succeeded"
        assert rig.log(finished, "stdout") == b"once\n"


@pytest.mark.parametrize("lack", ["files", "threads"])
def test_a_step_that_gets_no_pipe_leaves_nothing_open(rig: Rig, monkeypatch: pytest.MonkeyPatch, lack: str) -> None:
    """Else each one would take what the next one lacks."""
    step = command("echo text > /dev/stdout")
    rig.run(task(step))
    pipe, start, pipes = os.pipe, threading.Thread.start, itertools.count()

    def no_second_pipe() -> tuple[int, int]:
        if next(pipes) % 2:
            raise OSError(errno.EMFILE, "Too many open files")
        return pipe()

    def no_copier(thread: threading.Thread) -> None:
        if thread.name == "pipe-copier":
            raise RuntimeError("can't start new thread")
        start(thread)

    before = len([*Path("/dev/fd").iterdir()])
    with monkeypatch.context() as patch:
        if lack == "files":
            patch.setattr(os, "pipe", no_second_pipe)
        else:
            patch.setattr(threading.Thread, "start", no_copier)
        for _ in range(3):
            assert rig.run(task(step)).outcome == "broken"
    eventually(lambda: len([*Path("/dev/fd").iterdir()]) <= before)
    assert rig.run(task(step)).outcome == "succeeded"


def test_two_files_get_their_streams_while_the_step_runs(rig: Rig, tmp_path: Path) -> None:
    text = f"echo out; echo err >&2; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; printf end"
    rig.give(task(command(text, stdout="a/out.txt", stderr="err.txt"), token="two"))
    files = (rig.work_dir() / "a/out.txt", rig.work_dir() / "err.txt")
    eventually(lambda: all(file.exists() and file.read_bytes() for file in files))
    (tmp_path / "go").touch()

    assert rig.finished("two").outcome == "succeeded"
    assert [file.read_bytes() for file in files] == [b"out\nend", b"err\n"]


@pytest.mark.parametrize("named", ["./tool.sh", "sh tool.sh", "sh ${FOLDER}/tool.sh", "tool.sh"])
def test_a_script_that_opens_its_output_by_name_truncates_nothing(rig: Rig, named: str) -> None:
    tool = rig.work_dir() / "tool.sh"
    tool.write_text("#!/bin/sh\necho 1; echo a >&2\necho 2 > /dev/stdout; echo b > /dev/stderr\necho 3; echo c >&2\n")
    tool.chmod(0o755)
    env = (("FOLDER", str(rig.work_dir())), ("PATH", f"{rig.work_dir()}:{os.environ['PATH']}"))
    finished = rig.run(task(command(named, output=Output(name="O")), env=env))

    assert rig.log(finished, "stdout") == b"1\n2\n3\n"
    assert rig.log(finished, "stderr") == b"a\nb\nc\n"
    assert finished.outputs == {"O": "1\n2\n3"}


def test_a_process_in_the_background_outlives_the_pipe_of_its_step(rig: Rig, tmp_path: Path) -> None:
    """It prints after the step has ended. Nobody reads that, but it must not be killed for it."""
    later = f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; echo late; touch {tmp_path}/alive"
    finished = rig.run(task(command(f"echo 1 > /dev/stdout; ({later}) &")))
    (tmp_path / "go").touch()

    assert rig.log(finished, "stdout") == b"1\n"
    eventually((tmp_path / "alive").exists)


def test_a_process_that_prints_without_end_holds_up_no_step(rig: Rig, tmp_path: Path) -> None:
    finished = rig.run(task(command(f"echo 1 > /dev/stdout; yes & echo $! > {tmp_path}/pid")))
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    assert finished.outcome == "succeeded", finished.error
    assert rig.log(finished, "stdout").startswith(b"1\n")


@pytest.mark.parametrize("log_output", LogOutput)
@pytest.mark.parametrize("with_copy", [False, True])
def test_holes_in_a_log_are_not_sent(rig: Rig, tmp_path: Path, log_output: LogOutput, *, with_copy: bool) -> None:
    """They take no room on the disk, so nothing would end the step before the database is full of zero bytes."""
    log = '"$DAG_RUN_STEP_STDOUT_FILE"'
    text = f"printf a; truncate -s 100M {log}; echo b; truncate -s 200M {log}"
    copy = tmp_path / "out.txt"
    step = command(text, stdout=str(copy) if with_copy else "")
    name = f"holes-{log_output}-{with_copy}"
    rig.give(task(step, token=name, dag_run_id=name, root_dag_run_id=name, number=1, log_output=log_output))
    finished = rig.finished(name)

    assert finished.outcome == "succeeded", finished.error
    found = [rig.log(finished, "stdout"), Path(finished.stdout).read_bytes()]
    if with_copy:
        found.append(copy.read_bytes())
    for each in found:
        assert each.replace(b"\0", b"") == b"ab\n"
        assert len(each) < 200_000, "more than the rest of the blocks with a and b"


def test_zero_bytes_that_a_step_prints_are_sent(rig: Rig) -> None:
    finished = rig.run(task(command("head -c 300000 /dev/zero; echo")))

    assert rig.log(finished, "stdout") == bytes(300_000) + b"\n"
