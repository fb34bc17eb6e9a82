"""Find and kill the processes of steps, by what the kernel keeps and shows.

Where the kernel does not, ``remembered_tree`` takes the place of ``KeptTree``.
"""

import contextlib
import os
import signal
import time
from collections.abc import Collection
from typing import Protocol

from shared.system.proc import children, environment_of, running

__all__ = ["KILL_TRIES_S", "MARK", "PAUSE_S", "KeptTree", "ProcessTree", "descendants", "kill_each", "kill_marked"]

MARK = "DAGWAY_ATTEMPT"
"""Environment variable that identifies the processes of an attempt, even after they got a new parent."""

PAUSE_S = 0.01
"""The pause between two checks whether killed processes have ended."""
KILL_TRIES_S = 5.0
"""How long a kill is repeated. Processes can survive it if another user owns them or they are stuck in the kernel."""


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
    prefix = MARK.encode() + b"="
    for entry in environment_of(pid):
        if entry.startswith(prefix):
            return entry[len(prefix) :].decode(errors="replace")
    return None


class ProcessTree(Protocol):
    """The processes below this one. ``group``: the process group of a step, whose number is the pid of its leader."""

    @property
    def wait_s(self) -> float | None:
        """How long to wait for the next ``look``; ``None`` if there is nothing to look at."""

    def begin(self, mark: str, group: int) -> None:
        """Note a process that was just started as the leader of a process group."""

    def look(self) -> None:
        """Look at the processes, if it is time to, for what cannot be found later."""

    def of_step(self, group: int, mark: str) -> set[int]:
        """Return the living processes of one step."""

    def all(self) -> set[int]:
        """Return all living processes that were started here or descend from them."""

    def left_by(self, ended: Collection[int], living: Collection[int]) -> set[int]:
        """Return what spawners with the pids ``ended`` left; ``living`` are the others."""

    def orphans(self, started: Collection[int]) -> set[int]:
        """Return what ended processes left, where that is quick to find. ``started``: all that this one started."""


class KeptTree:
    """The processes below a subreaper: the kernel keeps orphans as its children, so there is nothing to remember."""

    wait_s: float | None = None

    def begin(self, mark: str, group: int) -> None:
        """Do nothing."""

    def look(self) -> None:
        """Do nothing."""

    def of_step(self, group: int, mark: str) -> set[int]:
        """Return the living processes of one step.

        A process belongs to the step if it has the step's mark, or is in the step's session without any mark, or
        descends from such a process. A process in the session with another mark does not: the kernel may have reused
        the pid.
        """
        processes = running()
        mine: set[int] = set()
        for candidate in descendants(processes, {os.getpid()}):
            found = _mark_of(candidate)
            if found == mark or (found is None and processes[candidate][1] == group and group > 0):
                mine.add(candidate)
        return mine | descendants(processes, mine)

    def all(self) -> set[int]:
        """Return the living descendants of this process."""
        return descendants(running(), {os.getpid()})

    def left_by(self, ended: Collection[int], living: Collection[int]) -> set[int]:  # noqa: ARG002 - the other tree needs it
        """Return the descendants of this process that are not those of a living spawner."""
        processes = running()
        spawners = set(living)
        return descendants(processes, {os.getpid()}) - descendants(processes, spawners) - spawners

    def orphans(self, started: Collection[int]) -> set[int]:
        """Return the children that this process did not start itself."""
        return children().difference(started)


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
