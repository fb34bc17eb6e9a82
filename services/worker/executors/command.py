"""Runs commands and scripts by a shell, or a program without a shell, each in a session of its own.

Source: docs/workflow-reference.md#what-it-does.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from services.worker.executors.base import Job, StepIO
from services.worker.executors.results import process_result
from services.worker.process.capture import run_command_in
from services.worker.process.outcome import ProcessExit, Result
from services.worker.process.shells import (
    DIRECT,
    effective_shell,
    interpreter_words,
    is_powershell,
    is_read_by_posix,
    needs_assignments,
    script_argv,
    shell_argv,
    suffix_of,
)
from shared.errors import InvalidInput
from shared.language.expansion.expand import expand_known, expand_text
from shared.language.expansion.shell_text import expand_for_shell, with_assignments
from shared.language.model import StepCommand

__all__ = ["CommandExecutor"]

_SCRIPT_MODE = 0o750
_STOP_AT_ERRORS = "$ErrorActionPreference = 'Stop'; $PSNativeCommandUseErrorActionPreference = $true\n"
"""Makes a PowerShell script stop at errors, as ``-e`` does for sh."""


class CommandExecutor:
    """Runs the ``command`` or ``script`` of a step."""

    def run(self, job: Job, io: StepIO) -> Result:
        """Run the step's script, or its commands one after another until one fails."""
        step = job.step
        if step.script and len(step.commands) <= 1:
            with _script_file(job) as (path, variables):
                return process_result(job, io, self._start(job, io, _script_argv(job, path), variables))
        if not os.path.isdir(job.working_dir):  # noqa: PTH112 - what cannot be looked at is no error here
            job.supervisor.make_folder(job.working_dir)
        ended: ProcessExit | None = None
        for number, command in enumerate(step.commands, 1):
            ended = self._start(job, io, *_command_argv(job, command))
            if ended is None or ended.code != 0:
                return process_result(job, io, ended, number if len(step.commands) > 1 else 0)
        return process_result(job, io, ended)

    def _start(self, job: Job, io: StepIO, argv: Sequence[str], variables: Mapping[str, str]) -> ProcessExit | None:
        env = {**job.environment.process, **variables}
        return job.supervisor.run(argv, env=env, cwd=str(job.working_dir), stdout=io.stdout, stderr=io.stderr)


def _shell(job: Job) -> tuple[str, ...]:
    return effective_shell(job.step.shell, job.shell, job.environment.full)


def _command_argv(job: Job, command: StepCommand) -> tuple[list[str], dict[str, str]]:
    """Return the argument vector, and additional environment variables that the command's text refers to."""
    shell = _shell(job)
    if shell == DIRECT:
        return _tokens(job, command), {}
    text, variables = _for_shell(job, command.text, shell)
    return shell_argv(shell, text, errexit=job.step.shell is None, packages=job.step.shell_packages), variables


def _for_shell(job: Job, text: str, reader: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Expand a text for a shell; also return additional environment variables that the expanded text refers to."""
    scope = job.environment.textual
    if not is_read_by_posix(reader):
        return expand_text(text, scope), {}
    written, variables = expand_for_shell(text, scope)
    return with_assignments(written, variables) if needs_assignments(reader) else written, variables


def _tokens(job: Job, command: StepCommand) -> list[str]:
    """Expand the words of a program that runs without a shell."""
    run = run_command_in(job.supervisor, job.environment.process, str(job.working_dir))
    return [expand_known(word, job.environment.full, run) for word in command.argv or (command.text,)]


def _script_argv(job: Job, path: str) -> list[str]:
    if job.step.commands:
        return [*_tokens(job, job.step.commands[0]), path]
    if line := _interpreter(job):
        # As the kernel does: the first word is the interpreter, the rest of the line is one argument.
        return [*line.split(maxsplit=1), path]
    shell = _shell(job)
    if shell == DIRECT:
        return [path]
    return script_argv(shell, path, errexit=job.step.shell is None)


def _reader(job: Job) -> Sequence[str]:
    """Return the argument vector of the program that interprets the script."""
    if job.step.commands:
        return job.step.commands[0].argv or ("",)
    return interpreter_words(_interpreter(job), job.step.script) or _shell(job)


def _interpreter(job: Job) -> str:
    """Return what the script's first line names after ``#!``; empty if it names nothing, or if the step has a shell."""
    first, _, _ = job.step.script.partition("\n")
    return first[2:].strip() if job.step.shell is None and first.startswith("#!") else ""


@contextmanager
def _script_file(job: Job) -> Iterator[tuple[str, dict[str, str]]]:
    """Write the script to a file in the working directory, or in the temporary folder if that is read-only.

    The file is removed at the end. Yields its path and additional environment variables that the script refers to.
    Raises ``InvalidInput``.
    """
    reader = _reader(job)
    text, variables = _for_shell(job, job.step.script, reader)
    if is_powershell(reader) and not job.step.commands:
        text = _STOP_AT_ERRORS + text
    # The folder of the DAG files may be mounted read-only.
    read_only = os.path.exists(job.working_dir) and not os.access(job.working_dir, os.W_OK)  # noqa: PTH110
    folder = tempfile.gettempdir() if read_only else str(job.working_dir)
    try:
        handle, path = tempfile.mkstemp(prefix="dagu_script-", suffix=suffix_of(_shell(job)), dir=folder)
    except OSError as error:
        raise InvalidInput(f"cannot write the script into the folder {folder}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
            os.fchmod(file.fileno(), _SCRIPT_MODE)
            job.supervisor.share(file.fileno(), _SCRIPT_MODE)
            file.write(text)
        with job.supervisor.cleanup(files=[path]):
            yield path, variables
    finally:
        Path(path).unlink(missing_ok=True)
