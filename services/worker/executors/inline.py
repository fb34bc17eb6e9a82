"""What executors that work inside the worker's process share: cutting off, evaluating, concluding."""

import os
import socket
import threading
from collections.abc import Callable
from typing import Any

from services.worker.executors.base import Job
from services.worker.output.pipe_copy import write_all
from services.worker.process.outcome import Result, classify
from services.worker.process.small_commands import run_command_in
from shared.errors import InvalidInput
from shared.language.expansion.expand import RunCommand, expand

__all__ = ["CutOff", "Line", "conclude", "evaluate", "positive_seconds", "run_commands"]


class CutOff(Exception):
    """The call was cut off; nobody waits for its result any more."""


class Line:
    """What one call holds open: sockets, closers and outputs. ``cut`` ends them all, from any thread.

    Guarantee: after ``cut`` returns nothing more is written, and no guarded socket can carry a byte.
    """

    def __init__(self) -> None:
        self.expired = False
        """Whether ``expire`` was what cut it."""
        self._lock = threading.RLock()
        self._cut = False
        self._cuts: list[Callable[[], None]] = []

    def guard(self, sock: socket.socket) -> None:
        """Shut the connection down on ``cut``; when that was before, close it and raise ``CutOff``."""
        try:
            # A duplicate: the wrapper that speaks TLS takes the descriptor out of the original.
            self.on_cut(_Shutdown(sock.dup()))
        except CutOff:
            sock.close()
            raise

    def on_cut(self, closer: Callable[[], None]) -> None:
        """Call ``closer`` on ``cut``; raises ``CutOff``, having called it, when that was before."""
        with self._lock:
            if not self._cut:
                self._cuts.append(closer)
                return
        closer()
        raise CutOff

    def write(self, fd: int, data: bytes) -> None:
        """Write to a descriptor of the step, which may be closed right after ``cut``."""
        with self._lock:
            if self._cut:
                raise CutOff
            write_all(fd, data)

    def expire(self) -> None:
        """Cut because the call's own time is up."""
        self.expired = True
        self.cut()

    def cut(self) -> None:
        """End everything; safe to call twice."""
        with self._lock:
            self._cut = True
            cuts, self._cuts = self._cuts, []
        for cut in cuts:
            cut()


class _Shutdown:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def __call__(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # It was closed by the other side.
        finally:
            self._sock.close()


def run_commands(job: Job) -> RunCommand:
    """Return what runs the back-quoted commands in a step's fields."""
    cwd = job.working_dir if job.working_dir.is_dir() else os.sep
    return run_command_in(job.supervisor, job.environment.process, str(cwd))


def evaluate(job: Job, value: Any) -> Any:
    """Expand every text inside ``value``, lists and maps included, fully."""
    if isinstance(value, str):
        return expand(value, job.environment.full, run_commands(job)) if "$" in value or "`" in value else value
    if isinstance(value, dict):
        return {key: evaluate(job, one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [evaluate(job, one) for one in value]
    return value


def positive_seconds(config: dict[str, Any], name: str, default: float = 0) -> float:
    """Return a number of seconds, written as a number or a text; less than nothing is nothing.

    Raises:
        InvalidInput: it is not a number.
    """
    value = config.get(name, default)
    try:
        return max(float(value), 0.0)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{name} must be a number of seconds, not {value!r}") from error


def conclude(job: Job, error: str = "", exit_code: int = 0) -> Result:
    """Return the result of work in this process; a stop or the timeout wins over everything."""
    supervisor = job.supervisor
    if supervisor.interrupted is not None or supervisor.timed_out_after_s is not None:
        return classify(
            None,
            name=job.step.name,
            interrupted=supervisor.interrupted,
            timed_out_after_s=supervisor.timed_out_after_s,
            timeout_s=supervisor.timeout_s,
        )
    if not error and not exit_code:
        return Result("succeeded")
    text = error or f"exit status {exit_code}"
    return Result("failed", exit_code or 1, f'failed to execute step "{job.step.name}": {text}')
