"""Run small commands whose output or exit code is wanted: back-quoted ones and conditions."""

import os
import tempfile
from collections.abc import Callable, Mapping

from services.worker.inputs.environment import CommandFailed
from services.worker.process.outcome import ended_text
from services.worker.process.shells import default_shell, shell_argv
from services.worker.process.supervise import Supervisor
from shared.language.expansion.expand import RunCommand

__all__ = ["Interrupted", "exit_code_in", "run_command_in"]

_MAX_BYTES = 1_048_576
_TAIL = 500


class Interrupted(Exception):
    """A stop or the timeout came while a small command ran; the supervisor knows which."""


def run_command_in(supervisor: Supervisor, env: Mapping[str, str], cwd: str) -> RunCommand:
    """Return a function that runs a text in the default shell and returns its output.

    It raises ``CommandFailed`` for another exit code than 0 and ``Interrupted``.
    """

    def run(text: str) -> str:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            argv = shell_argv(default_shell(), text, errexit=False)
            ended = supervisor.run(argv, env=env, cwd=cwd, stdout=out.fileno(), stderr=err.fileno())
            if ended is None or supervisor.interrupted or supervisor.timed_out_after_s is not None:
                raise Interrupted(text)
            if ended.code != 0:
                said = os.pread(err.fileno(), _TAIL, 0).decode(errors="replace").strip()
                raise CommandFailed(f"command `{text}` failed: {ended_text(ended)}{': ' + said if said else ''}")
            if os.fstat(out.fileno()).st_size > _MAX_BYTES:
                raise CommandFailed(f"command `{text}` printed more than {_MAX_BYTES} bytes")
            return os.pread(out.fileno(), _MAX_BYTES, 0).decode(errors="replace")

    return run


def exit_code_in(
    supervisor: Supervisor, env: Mapping[str, str], cwd: str, shell: tuple[str, ...]
) -> Callable[[str], int]:
    """Return a function that runs a text in ``shell`` without keeping its output and returns its exit code."""

    def run(text: str) -> int:
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            ended = supervisor.run(shell_argv(shell, text, errexit=False), env=env, cwd=cwd, stdout=null, stderr=null)
        finally:
            os.close(null)
        if ended is None or supervisor.interrupted or supervisor.timed_out_after_s is not None:
            raise Interrupted(text)
        return ended.exit_code

    return run
