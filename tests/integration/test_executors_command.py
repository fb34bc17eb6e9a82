"""The command executor: shells, large output, children left in the background."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.worker.process import supervisor
from shared.contracts.control import StopAttempt
from shared.language.model import Output
from tests.harness.cluster import gone, pid_in
from tests.harness.eventually import PATIENCE_S, eventually
from tests.harness.needs import need
from tests.harness.worker_rig import Rig, command, script, task

PYTHON = ("python3",)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path / "worker") as made:
        yield made


SHELLS = [
    (("sh",), "for i in 1 2; do printf '%s ' $i; done; echo $P"),
    (("bash",), "for i in {1..2}; do printf '%s ' $i; done; echo $P"),
    (("zsh",), "for i in {1..2}; do printf '%s ' $i; done; echo $P"),
    (("fish",), "for i in (seq 2); printf '%s ' $i; end; echo $P"),
    (PYTHON, "import os; print(*range(1, 3), os.environ['P'])"),
]


@pytest.mark.parametrize(("shell", "text"), SHELLS, ids=[shell[0] for shell, _ in SHELLS])
def test_every_shell_runs_commands_and_scripts(rig: Rig, shell: tuple[str, ...], text: str) -> None:
    need(shell[0])
    as_command = rig.run(task(command(text, shell=shell), env=(("P", "v"),)))
    as_script = rig.run(task(script(text, shell=shell), env=(("P", "v"),)))

    assert rig.log(as_command, "stdout") == rig.log(as_script, "stdout") == b"1 2 v\n"


def test_a_missing_shell_is_named_in_the_error(rig: Rig) -> None:
    ended = rig.run(task(command("echo hi", shell=("no-such-shell",))))

    assert "cannot start: no-such-shell: No such file or directory" in ended.error


def test_a_directory_that_cannot_be_used_is_named_with_the_reason(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    (file := rig.work_dir() / "file").touch()
    missing, long = rig.work_dir() / "missing", rig.work_dir() / ("x" * 300)

    assert [rig.run(task(script("pwd", working_dir=str(folder)))).error for folder in (file, missing, long)] == [
        f"cannot write the script into the folder {file}: Not a directory",
        f"cannot write the script into the folder {missing}: No such file or directory",
        f"cannot write the script into the folder {long}: File name too long",
    ]
    assert [rig.run(task(command("pwd", working_dir=str(folder)))).error for folder in (file, missing, long)] == [
        f"cannot create the folder {file}: File exists",
        "",
        f"cannot create the folder {long}: File name too long",
    ]
    assert not [record for record in caplog.records if record.exc_info]


def test_a_value_too_large_for_a_command_says_so_and_a_script_has_it(rig: Rig) -> None:
    outputs = (("OUT", "y" * 200_000),)
    as_command = rig.run(task(command("printf %s $OUT | wc -c"), outputs=outputs))
    as_script = rig.run(task(script("printf %s $OUT | wc -c"), outputs=outputs))

    assert "a command may have 128 KiB: put it into `script`, or pass the values in a file" in as_command.error
    assert rig.log(as_script, "stdout").strip() == b"200000"


@pytest.mark.parametrize(("shell", "said"), [("pwsh -NoProfile", ["-NoProfile"]), ("powershell -Command", [])])
def test_powershell_gets_its_own_options(rig: Rig, tmp_path: Path, shell: str, said: list[str]) -> None:
    """Uses a stand-in that prints its arguments and the script, since Debian has no package of PowerShell."""
    program, *options = shell.split()
    (tmp_path / program).write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@"\nfor last; do :; done\n[ ! -f "$last" ] || cat "$last"\n'
    )
    (tmp_path / program).chmod(0o755)
    words = (str(tmp_path / program), *options)

    as_command = rig.run(task(command("Write-Output $env:P", shell=words)))
    as_script = rig.run(task(script("Write-Output $env:P\n", shell=words)))

    assert rig.log(as_command, "stdout").decode().splitlines() == [*said, "-Command", "Write-Output $env:P"]
    *asked, path, stops, text = rig.log(as_script, "stdout").decode().splitlines()
    assert asked == [*said, "-ExecutionPolicy", "Bypass", "-File"]
    assert (Path(path).suffix, text) == (".ps1", "Write-Output $env:P")
    assert stops.startswith("$ErrorActionPreference = 'Stop'")


def test_standard_input_is_empty(rig: Rig) -> None:
    finished = rig.run(task(command("cat; read x || echo end")))

    assert rig.log(finished, "stdout") == b"end\n"


def test_a_million_lines_arrive_complete_and_in_order(rig: Rig) -> None:
    finished = rig.run(task(command("seq 1000000")))

    expected = b"".join(b"%d\n" % number for number in range(1, 1_000_001))
    assert rig.log(finished, "stdout") == expected


def test_a_line_of_50_megabytes_is_a_line_like_any_other(rig: Rig) -> None:
    text = "import sys; sys.stdout.write('x' * 50_000_000 + '\\n')"
    finished = rig.run(task(script(text, shell=PYTHON)))

    log = rig.log(finished, "stdout")
    assert len(log) == 50_000_001
    assert hashlib.sha256(log).digest() == hashlib.sha256(b"x" * 50_000_000 + b"\n").digest()


def test_output_in_another_encoding_is_kept_in_the_log_and_made_text_in_the_variable(rig: Rig) -> None:
    finished = rig.run(task(command(r"printf 'caf\351 \377\0ok'", output=Output(name="O"))))

    assert rig.log(finished, "stdout") == b"caf\xe9 \xff\0ok"
    assert finished.outputs == {"O": "caf� �ok"}


@pytest.mark.parametrize("log_output", ["separate", "merged"])
@pytest.mark.parametrize("redirect", ["> >({})", "> >({}) 2>&1"])
def test_what_a_process_substitution_writes_after_its_shell_has_ended_is_kept(
    rig: Rig, redirect: str, log_output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_OUTPUT_S", PATIENCE_S)
    text = f"exec {redirect.format('sleep 0.5; cat')}\necho first\necho last"
    step = task(command(script=text, shell=("bash",), output=Output(name="O")), log_output=log_output)

    finished = rig.run(step)

    assert (finished.outcome, rig.log(finished, "stdout")) == ("succeeded", b"first\nlast\n")
    assert finished.outputs == {"O": "first\nlast"}


def test_a_background_child_with_the_output_open_does_not_keep_the_step_running(rig: Rig, tmp_path: Path) -> None:
    finished = rig.run(task(command(f"sleep 1007 & echo $! > {tmp_path}/child; echo done"), log_output="merged"))

    assert (finished.outcome, rig.log(finished, "stdout")) == ("succeeded", b"done\n")
    # It goes with the worker, as whatever steps leave behind does.
    pid = pid_in(tmp_path / "child")
    assert not gone(pid)
    rig.worker.stop()
    eventually(lambda: gone(pid))


@pytest.mark.parametrize("revoked", [False, True], ids=["stop", "fence"])
@pytest.mark.parametrize("hidden", ["", "setsid ", "nohup setsid "])
def test_a_stop_and_a_revocation_kill_children_in_other_sessions(
    rig: Rig, tmp_path: Path, hidden: str, revoked: bool
) -> None:
    child = f"{hidden}sh -c 'trap \"\" TERM; echo $$ > {tmp_path}/child; sleep 600'"
    text = f"trap '' TERM; {child} & echo $$ > {tmp_path}/pid; wait"
    rig.give(task(command(text), token="t", stop_grace_s=0.5))
    pids = [pid_in(tmp_path / "pid"), pid_in(tmp_path / "child")]

    rig.broadcast("worker.w1", StopAttempt(token="t", revoked=revoked))

    if not revoked:
        assert (rig.finished("t").outcome, rig.finished("t").exit_code) == ("aborted", -1)
        assert all(gone(pid) for pid in pids)
    eventually(lambda: all(gone(pid) for pid in pids))


@pytest.mark.parametrize("first", ["#!", "#! \t"])
def test_a_shebang_without_an_interpreter_is_a_comment(rig: Rig, first: str) -> None:
    finished = rig.run(task(script(f"{first}\necho $((1 + 1))")))

    assert (finished.outcome, rig.log(finished, "stdout")) == ("succeeded", b"2\n")
