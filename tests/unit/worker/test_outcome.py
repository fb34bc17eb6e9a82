"""The result of an attempt, from the exit of its process."""

import pytest

from services.worker.process.outcome import ProcessExit, classify
from services.worker.process.stop_request import StopKind

_OK = ProcessExit(7, code=0)


@pytest.mark.parametrize(
    ("ended", "outcome", "exit_code", "says"),
    [
        (_OK, "succeeded", 0, ""),
        (ProcessExit(7, code=3), "failed", 3, "exit status 3"),
        (ProcessExit(7, signal=9), "failed", -1, "signal: killed"),
        (ProcessExit(errno=2), "broken", 1, "cannot start: No such file or directory"),
        (ProcessExit(errno=2, missing="zsh"), "broken", 1, "cannot start: zsh: No such file or directory"),
    ],
)
def test_an_end_without_interruption_is_reported_as_it_was(
    ended: ProcessExit, outcome: str, exit_code: int, says: str
) -> None:
    result = classify(ended, name="s")

    assert (result.outcome, result.exit_code) == (outcome, exit_code)
    assert result.error == (f'failed to execute step "s": {says}' if says else "")


@pytest.mark.parametrize("ended", [_OK, ProcessExit(7, code=3), ProcessExit(7, signal=15), None])
def test_a_stop_wins_over_every_end(ended: ProcessExit | None) -> None:
    assert classify(ended, name="s", interrupted=StopKind.STOP, timed_out_after_s=1).outcome == "aborted"
    assert (
        classify(ended, name="s", interrupted=StopKind.SHUTDOWN).error == "the worker shut down before the step ended"
    )


def test_a_timeout_is_124_even_if_the_step_then_exits_0() -> None:
    result = classify(_OK, name="s", timed_out_after_s=2.04, timeout_s=2)

    assert (result.outcome, result.exit_code) == ("timed_out", 124)
    assert result.error == "step timed out after 2.04s (timeout: 2s): context deadline exceeded"


_MEMORY = "probably out of memory, see DAGWAY_STEP_MAX_MEMORY"
_FILES = "too many open files, see DAGWAY_STEP_MAX_OPEN_FILES"
_PROCESSES = "probably too many processes, see DAGWAY_STEP_MAX_PROCESSES"


@pytest.mark.parametrize(
    ("limit", "hint", "said"),
    [
        ("data", _MEMORY, "Traceback (most recent call last):\nMemoryError"),
        ("data", _MEMORY, "terminate called after throwing an instance of 'std::bad_alloc'"),
        ("data", _MEMORY, "fatal error: runtime: cannot allocate memory"),
        ("data", _MEMORY, "FATAL ERROR: JavaScript heap out of memory"),
        ("data", _MEMORY, "Could not reserve enough space for object heap"),
        ("data", _MEMORY, "Could not allocate compressed class space: 1073741824 bytes"),
        ("data", _MEMORY, "tail: memory exhausted"),
        ("nofile", _FILES, "OSError: [Errno 24] Too many open files"),
        ("nofile", _FILES, "Error: EMFILE: too many open files, open 'x'"),
        ("nproc", _PROCESSES, "sh: 1: Cannot fork"),
        ("nproc", _PROCESSES, "bash: fork: retry: Resource temporarily unavailable"),
        ("nproc", _PROCESSES, "_fork_exec(\n  args)\nBlockingIOError: [Errno 11] Resource temporarily unavailable"),
        ("nproc", _PROCESSES, "RuntimeError: can't start new thread"),
        ("nproc", _PROCESSES, "OutOfMemoryError: unable to create native thread"),
    ],
)
def test_a_process_that_reached_a_limit_names_the_setting(limit: str, hint: str, said: str) -> None:
    ended = ProcessExit(pid=1, code=1)

    assert f"exit status 1 ({hint})\n" in classify(ended, name="s", stderr_tail=said, limits={limit}).error
    assert "DAGWAY_STEP" not in classify(ended, name="s", stderr_tail=said).error
    assert "DAGWAY_STEP" not in classify(ended, name="s", stderr_tail="no such file", limits={limit}).error
