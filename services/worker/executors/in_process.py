"""What executors share: results, expansion of a step's fields, and cancellation of work inside the worker."""

import os
import socket
import threading
from collections.abc import Callable
from typing import Any

from services.worker.executors.base import Job, StepIO
from services.worker.output.pipe_copier import write_all
from services.worker.process.capture import run_command_in
from services.worker.process.outcome import ProcessExit, Result
from shared.errors import InvalidInput
from shared.language.expansion.expand import RunCommand, expand

__all__ = [
    "CancelScope",
    "Cancelled",
    "evaluate",
    "make_result",
    "positive_seconds",
    "process_result",
    "run_commands",
]


class Cancelled(Exception):
    """The call was cancelled; its result is not used."""


class CancelScope:
    """Cancels one call: its sockets, closers and outputs. Any thread may call ``cancel``.

    Guarantee: after ``cancel`` returns nothing more is written, and no guarded socket can carry a byte.
    """

    def __init__(self) -> None:
        self.expired = False
        """Whether ``expire`` cancelled it."""
        self._lock = threading.RLock()
        self._cancelled = False
        self._closers: list[Callable[[], None]] = []

    def guard(self, sock: socket.socket) -> None:
        """Shut ``sock`` down on ``cancel``. If it is cancelled already, close ``sock`` and raise ``Cancelled``."""
        try:
            # A duplicate: the wrapper that speaks TLS takes the descriptor out of the original.
            self.on_cancel(_Shutdown(sock.dup()))
        except Cancelled:
            sock.close()
            raise

    def on_cancel(self, closer: Callable[[], None]) -> None:
        """Call ``closer`` on ``cancel``. If it is cancelled already, call it now and raise ``Cancelled``."""
        with self._lock:
            if not self._cancelled:
                self._closers.append(closer)
                return
        closer()
        raise Cancelled

    def check(self) -> None:
        """Raise ``Cancelled`` if it is cancelled."""
        with self._lock:
            if self._cancelled:
                raise Cancelled

    def write(self, fd: int, data: bytes) -> None:
        """Write to a descriptor of the step, which may be closed right after ``cancel``; raises ``Cancelled``."""
        with self._lock:
            if self._cancelled:
                raise Cancelled
            write_all(fd, data)

    def expire(self) -> None:
        """Cancel because the call's own timeout has passed."""
        self.expired = True
        self.cancel()

    def cancel(self) -> None:
        """End everything; safe to call twice."""
        with self._lock:
            self._cancelled = True
            closers, self._closers = self._closers, []
        for closer in closers:
            closer()


class _Shutdown:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def __call__(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # The other side has closed it.
        finally:
            self._sock.close()


def run_commands(job: Job) -> RunCommand:
    """Return the function that runs the back-quoted commands in a step's fields."""
    cwd = job.working_dir if job.working_dir.is_dir() else os.sep
    return run_command_in(job.supervisor, job.environment.process, str(cwd))


def evaluate(job: Job, value: Any) -> Any:
    """Expand variables and back-quoted commands in every text inside ``value``, lists and maps included.

    Raises ``ValueError`` if a required variable is not set or a command fails.
    """
    if isinstance(value, str):
        return expand(value, job.environment.full, run_commands(job)) if "$" in value or "`" in value else value
    if isinstance(value, dict):
        return {key: evaluate(job, one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [evaluate(job, one) for one in value]
    return value


def positive_seconds(config: dict[str, Any], name: str, default: float = 0) -> float:
    """Return the option ``name``, a number of seconds given as a number or a text; 0 if it is negative.

    Raises:
        InvalidInput: it is not a number.
    """
    value = config.get(name, default)
    try:
        return max(float(value), 0.0)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{name} must be a number of seconds, not {value!r}") from error


def make_result(job: Job, error: str = "", exit_code: int = 0) -> Result:
    """Return the result of work inside the worker: failed with an ``error`` or an ``exit_code``, else succeeded.

    A stop or the timeout wins over both.
    """
    supervisor = job.supervisor
    if supervisor.interrupted is not None or supervisor.timed_out_after_s is not None:
        return supervisor.classify(None, name=job.step.name)
    if not error and not exit_code:
        return Result("succeeded")
    text = error or f"exit status {exit_code}"
    return Result("failed", exit_code or 1, f'failed to execute step "{job.step.name}": {text}')


def process_result(job: Job, io: StepIO, ended: ProcessExit | None, command: int = 0) -> Result:
    """Return the result of a process that ``job.supervisor.run`` ran; an error shows the end of stderr.

    ``command`` is the number of the process's command, from 1, if the step has several. A stop or the timeout wins.
    """
    failed = ended is not None and ended.code != 0
    tail = io.stderr_tail() if failed else ""
    return job.supervisor.classify(ended, name=job.step.name, command=command, stderr_tail=tail)
