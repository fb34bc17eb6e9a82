"""Functions that executors share: make results, expand a step's fields, cancel work inside the worker process."""

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
]


class Cancelled(Exception):
    """A ``CancelScope`` was cancelled, so the call that uses it must end."""


class CancelScope:
    """Cancels one call of ``Supervisor.call``: shuts down its sockets, calls its closers and refuses its writes.

    Thread-safe. Guarantee: after ``cancel`` returns, ``write`` writes nothing more and no guarded socket transfers
    data.
    """

    def __init__(self) -> None:
        self.expired = False
        """Whether ``expire`` cancelled the scope."""
        self._lock = threading.RLock()
        self._cancelled = False
        self._closers: list[Callable[[], None]] = []

    def guard(self, sock: socket.socket) -> None:
        """Shut ``sock`` down on ``cancel``. If the scope is cancelled already, close ``sock``; raise ``Cancelled``."""
        try:
            # A duplicate: wrapping a socket in TLS detaches the descriptor of the original.
            self.on_cancel(_Shutdown(sock.dup()))
        except Cancelled:
            sock.close()
            raise

    def on_cancel(self, closer: Callable[[], None]) -> None:
        """Call ``closer`` on ``cancel``. If the scope is already cancelled, call it now and raise ``Cancelled``."""
        with self._lock:
            if not self._cancelled:
                self._closers.append(closer)
                return
        closer()
        raise Cancelled

    def check(self) -> None:
        """Raise ``Cancelled`` if the scope is cancelled."""
        with self._lock:
            if self._cancelled:
                raise Cancelled

    def write(self, fd: int, data: bytes) -> None:
        """Write ``data`` to a descriptor of the step, or raise ``Cancelled``.

        Use it instead of ``os.write``, since the descriptor may be closed right after ``cancel``.
        """
        with self._lock:
            if self._cancelled:
                raise Cancelled
            write_all(fd, data)

    def expire(self) -> None:
        """Cancel because a timeout of the call itself has passed, such as ``timeout`` of an http step."""
        self.expired = True
        self.cancel()

    def cancel(self) -> None:
        """Shut down the sockets, call the closers and refuse further writes. Safe to call twice."""
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
            return  # The other side has closed the connection.
        finally:
            self._sock.close()


def _run_commands(job: Job) -> RunCommand:
    """Return the function that runs the back-quoted commands in a step's fields."""
    cwd = job.working_dir if job.working_dir.is_dir() else os.sep
    return run_command_in(job.supervisor, job.environment.process, str(cwd))


def evaluate(job: Job, value: Any) -> Any:
    """Expand variables and back-quoted commands in ``value``, or in every text of a list or map.

    Raises ``ExpansionError`` if a required variable is not set, ``CommandFailed`` if a command fails (both are
    ``ValueError``), and ``Interrupted`` if a stop or the timeout ends a command or a filter.
    """
    if isinstance(value, str):
        return expand(value, job.environment.full, _run_commands(job)) if "$" in value or "`" in value else value
    if isinstance(value, dict):
        return {key: evaluate(job, one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [evaluate(job, one) for one in value]
    return value


def positive_seconds(config: dict[str, Any], name: str, default: float = 0) -> float:
    """Read the option ``name``, a number of seconds as a number or a text. Negative numbers count as 0.

    Raises:
        InvalidInput: the option is not a number, or more than one can wait for, such as infinity.
    """
    value = config.get(name, default)
    try:
        seconds = float(value)
        if not seconds <= threading.TIMEOUT_MAX:
            raise ValueError("too long, or NaN")
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{name} must be a number of seconds, not {value!r}") from error
    return max(seconds, 0.0)


def make_result(job: Job, error: str = "", exit_code: int = 0) -> Result:
    """Return the result of work inside the worker process: ``failed`` with an ``error`` or ``exit_code``, else success.

    After a stop or the timeout, the result says so instead, whatever ``error`` and ``exit_code`` are.
    """
    supervisor = job.supervisor
    if supervisor.interrupted is not None or supervisor.timed_out_after_s is not None:
        return supervisor.classify(None, name=job.step.name)
    if not error and not exit_code:
        return Result("succeeded")
    text = error or f"exit status {exit_code}"
    return Result("failed", exit_code or 1, f'failed to execute step "{job.step.name}": {text}')


def process_result(job: Job, io: StepIO, ended: ProcessExit | None, command: int = 0) -> Result:
    """Return the result of a process that ``job.supervisor.run`` ran. The error text contains the end of stderr.

    ``command`` is the number of the command, from 1, if the step has several commands, else 0. After a stop or the
    timeout, the result says so instead, whatever the exit code is.
    """
    failed = ended is not None and ended.code != 0
    tail = io.stderr_tail() if failed else ""
    return job.supervisor.classify(ended, name=job.step.name, command=command, stderr_tail=tail)
