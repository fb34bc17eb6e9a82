"""Run a back-quoted command for its output, or a condition for its exit code."""

import os
import tempfile
from collections.abc import Callable, Mapping

from services.worker.process.outcome import ended_text
from services.worker.process.shells import default_shell, shell_argv
from services.worker.process.supervisor import Supervisor
from shared.language.expansion.expand import RunCommand

__all__ = ["CommandFailed", "Interrupted", "exit_code_in", "run_command_in"]

_MAX_BYTES = 1_048_576
_STDERR_BYTES = 500


class CommandFailed(ValueError):
    """A back-quoted command ended with an exit code other than 0, or printed more than 1 MiB."""


class Interrupted(Exception):
    """A stop or the timeout ended a back-quoted command, a filter or a condition; the supervisor says which it was."""


def run_command_in(supervisor: Supervisor, env: Mapping[str, str], cwd: str) -> RunCommand:
    """Return a function that runs a text in the worker's default shell and returns its stdout.

    As in shells, NUL bytes are left out: no variable and no argument can have one. The returned function raises
    ``CommandFailed`` and ``Interrupted``.
    """

    def run(text: str) -> str:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            argv = shell_argv(default_shell(), text, errexit=False)
            ended = supervisor.run(argv, env=env, cwd=cwd, stdout=out.fileno(), stderr=err.fileno())
            if ended is None or supervisor.ended_early:
                raise Interrupted(text)
            if ended.code != 0:
                stderr = os.pread(err.fileno(), _STDERR_BYTES, 0).decode(errors="replace").strip()
                raise CommandFailed(
                    f"back-quoted command `{text}` failed: {ended_text(ended)}{': ' + stderr if stderr else ''}"
                )
            if os.fstat(out.fileno()).st_size > _MAX_BYTES:
                raise CommandFailed(f"back-quoted command `{text}` printed more than {_MAX_BYTES} bytes, the limit")
            return os.pread(out.fileno(), _MAX_BYTES, 0).replace(b"\0", b"").decode(errors="replace")

    return run


def exit_code_in(
    supervisor: Supervisor, env: Mapping[str, str], cwd: str, shell: tuple[str, ...]
) -> Callable[[str], int]:
    """Return a function that runs a text in ``shell``, discards its output and returns its exit code.

    The returned function raises ``Interrupted``.
    """

    def run(text: str) -> int:
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            ended = supervisor.run(shell_argv(shell, text, errexit=False), env=env, cwd=cwd, stdout=null, stderr=null)
        finally:
            os.close(null)
        if ended is None or supervisor.ended_early:
            raise Interrupted(text)
        return ended.exit_code

    return run
