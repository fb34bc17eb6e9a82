"""Find and kill the processes of steps, by what ``/proc`` shows. Standard library only: the guardian uses it."""

import contextlib
import os
import signal
import time
from collections.abc import Collection

__all__ = ["KILL_TRIES_S", "MARK", "PAUSE_S", "descendants", "kill_each", "kill_marked", "running", "step_tree"]

MARK = "DAGWAY_ATTEMPT"
"""Environment variable that identifies the processes of an attempt, even after they got a new parent."""

PAUSE_S = 0.01
"""The pause between two checks whether killed processes have ended."""
KILL_TRIES_S = 5.0
"""How long a kill is repeated. Processes can survive it if another user owns them or they are stuck in the kernel."""


def running() -> dict[int, tuple[int, int]]:
    """Return a map of pid to (parent pid, session id) of all processes that are not zombies."""
    found: dict[int, tuple[int, int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
                if fields[0] not in (b"Z", b"X"):
                    found[int(name)] = (int(fields[1]), int(fields[3]))
    return found


def descendants(processes: dict[int, tuple[int, int]], roots: set[int]) -> set[int]:
    """Return the descendants of ``roots``, without ``roots``."""
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in processes.items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    todo = list(roots)
    while todo:
        for child in children.get(todo.pop(), ()):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found


def _mark_of(pid: int) -> str | None:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        prefix = MARK.encode() + b"="
        for entry in file.read().split(b"\0"):
            if entry.startswith(prefix):
                return entry[len(prefix) :].decode(errors="replace")
    return None


def step_tree(pid: int, mark: str) -> set[int]:
    """Return the living processes of one step.

    A process belongs to the step if it has the step's mark, or is in the step's session without any mark, or descends
    from such a process. A process in the session with another mark does not: the kernel may have reused the pid.
    """
    processes = running()
    mine: set[int] = set()
    for candidate in descendants(processes, {os.getpid()}):
        found = _mark_of(candidate)
        if found == mark or (found is None and processes[candidate][1] == pid and pid > 0):
            mine.add(candidate)
    return mine | descendants(processes, mine)


def kill_each(pids: Collection[int]) -> None:
    """Send SIGSTOP to all before SIGKILL to any, so that no parent can react to the death of its child."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


def kill_marked(prefix: str) -> None:
    """Kill every process of this machine whose mark begins with ``prefix``, and its descendants.

    The worker calls it if the guardian itself was killed.
    """
    give_up = time.monotonic() + KILL_TRIES_S
    while time.monotonic() < give_up:
        processes = running()
        mine = {pid for pid in processes if (_mark_of(pid) or "").startswith(prefix)}
        if not mine:
            return
        kill_each(mine | descendants(processes, mine))
        time.sleep(PAUSE_S)
