"""Derive the result of an attempt from the exit of its process. The exit codes are those of Dagu."""

import errno
import os
import re
import signal
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from services.worker.process.stop_request import StopKind
from shared.contracts.events import TIMED_OUT_CODE, Outcome

__all__ = ["ProcessExit", "Result", "classify", "ended_text", "error_text"]

SIGNAL_CODE = -1
NOT_STARTED_CODE = 1
_SHELLS_XCPU = 128 + signal.SIGXCPU
"""The exit code of a shell whose last command was ended by SIGXCPU."""
_TOO_LONG = " (a process used up its CPU time, see DAGWAY_STEP_MAX_CPU_S)"
_LIMITS = {
    "memory": " (out of memory, see DAGWAY_STEP_TOTAL_MEMORY)",
    "processes": " (too many processes, see DAGWAY_STEP_TOTAL_PROCESSES)",
}
_REACHED = {
    "data": (
        " (probably out of memory, see DAGWAY_STEP_MAX_MEMORY)",
        (
            r"MemoryError|(cannot|could not|unable to|failed to) (allocate|reserve)"
            r"|out of memory|bad_alloc|memory exhausted"
        ),
    ),
    "nofile": (" (too many open files, see DAGWAY_STEP_MAX_OPEN_FILES)", r"too many open files|EMFILE"),
    "nproc": (
        " (probably too many processes, see DAGWAY_STEP_MAX_PROCESSES)",
        (
            r"cannot fork|fork: retry|fork[\s\S]{0,800}Resource temporarily unavailable"
            r"|can't start new thread|(unable|failed|not) (to )?create (a )?(new |native |OS )*(thread|process)"
        ),
    ),
}
"""By limit: the hint, and what Python, C++, Go, Node, Java and shells say if they reach it."""
_NO_THREAD = "can't start new thread"
"""What Python says. The steps and their worker share the limit of its container or user."""
_HINTS = {
    errno.EAGAIN: " (too many processes, see DAGWAY_STEP_MAX_PROCESSES)",
    errno.E2BIG: " (with its values, a command may have 128 KiB: put it into `script`, or pass the values in a file)",
}


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """How a process ended: exactly one of ``code``, ``signal`` and ``errno`` (it could not start) is set."""

    pid: int = 0
    code: int | None = None
    signal: int | None = None
    errno: int | None = None
    missing: str = ""
    """With ``errno``: the program or the directory that the error is about."""
    limit: str = ""
    """The limit of its control group that it, or a process that it started, ran into: ``memory`` or ``processes``."""
    orphans: bool = False
    """Whether processes live on that it, or another one that has ended, started."""

    @property
    def exit_code(self) -> int:
        if self.code is not None:
            return self.code
        return SIGNAL_CODE if self.signal is not None else NOT_STARTED_CODE


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended; ``error`` is empty after a success."""

    outcome: Outcome
    exit_code: int = 0
    error: str = ""

    def hinted(self, hint: str) -> "Result":
        """Return the result with a hint at the end of the error's first line, if there is an error."""
        first, newline, more = self.error.partition("\n")
        return replace(self, error=f"{first} ({hint}){newline}{more}") if first else self


def ended_text(ended: ProcessExit) -> str:
    """Describe how a process ended, in the same words as Dagu."""
    if ended.errno is not None:
        about = f"{ended.missing}: " if ended.missing else ""
        return f"cannot start: {about}{os.strerror(ended.errno)}{_HINTS.get(ended.errno, '')}"
    if ended.signal is not None:
        hint = _LIMITS.get(ended.limit) or (_TOO_LONG if ended.signal == signal.SIGXCPU else "")
        return f"signal: {(signal.strsignal(ended.signal) or str(ended.signal)).lower()}{hint}"
    hint = _LIMITS.get(ended.limit) or (_TOO_LONG if ended.code == _SHELLS_XCPU else "")
    return f"exit status {ended.code}{hint}"


def error_text(error: Exception) -> str:
    """Return the text of an error of the worker itself that ended an attempt."""
    text = str(error) or type(error).__name__
    return text + _HINTS[errno.EAGAIN] if text == _NO_THREAD else text


def classify(
    ended: ProcessExit | None,
    *,
    name: str,
    command: int = 0,
    interrupted: StopKind | None = None,
    timed_out_after_s: float | None = None,
    timeout_s: float = 0,
    stderr_tail: str = "",
    limits: AbstractSet[str] = frozenset(),
) -> Result:
    """Return the result of a step from the exit of its last process.

    ``ended`` is ``None`` if no process has started. ``command`` is the number, from 1, of the command that failed, or 0
    if the step has only one command. A stop (``interrupted``) wins over everything: a step whose process traps the
    signal and exits 0 is still aborted. ``limits`` are the names of the limits of each process.
    """
    exit_code = ended.exit_code if ended is not None else SIGNAL_CODE
    if interrupted is StopKind.SHUTDOWN:
        return Result("broken", exit_code, "the worker shut down before the step ended")
    which = f"command {command} failed: " if command else ""
    if interrupted is StopKind.DISK:
        return Result("failed", exit_code, f'failed to execute step "{name}": {which}ended by its worker')
    if interrupted is not None:
        return Result("aborted", exit_code, "" if ended is None or ended.code == 0 else which + ended_text(ended))
    if timed_out_after_s is not None:
        text = f"step timed out after {timed_out_after_s:.3g}s (timeout: {timeout_s:g}s): context deadline exceeded"
        return Result("timed_out", TIMED_OUT_CODE, text)
    if ended is None or ended.code == 0:
        return Result("succeeded")
    error = f'failed to execute step "{name}": {which}{ended_text(ended)}'
    for limit, (hint, says) in _REACHED.items():
        if limit in limits and re.search(says, stderr_tail, re.IGNORECASE):
            error += hint
    if stderr_tail:
        error += f"\nrecent stderr (tail):\n{stderr_tail}"
    return Result("broken" if ended.errno is not None else "failed", exit_code, error)
