"""Control groups of steps: a group, with limits, for the processes of each command of a step.

Only cgroup v2, and only in a group that the worker may manage, such as one that systemd delegates. Source: the
kernel's ``cgroup-v2.rst``.

The group that the worker was given holds one group for itself, because a group with processes cannot have limits for
groups in it, and one for each command that runs.
"""

import contextlib
import errno
import os
import socket
import time
from collections.abc import Mapping

__all__ = ["AskedGroups", "GroupUnusable", "StepGroups", "files_of", "limit_reached", "take_over"]

_SELF = "dagway"
_STEP = "step-"
_PROCESSES = "pids.max"
_PERIOD_US = 100_000
_CONTROLLER = {"memory": "memory", "processes": "pids", "millicpus": "cpu"}
_LINE = 4096
_PAUSE_S = 0.01
_EMPTY_S = 2.0


class GroupUnusable(Exception):
    """The control group cannot be managed, or lacks a controller."""


def take_over(base: str, limits: Mapping[str, int]) -> None:
    """Prepare the control group ``base`` for groups of steps, and move this process, and all others in it, aside.

    Raises ``GroupUnusable`` with the reason.
    """
    needed = sorted({_CONTROLLER[name] for name in limits})
    try:
        have = _read(f"{base}/cgroup.controllers").split()
        if lacking := [name for name in needed if name not in have]:
            raise GroupUnusable(
                f"the control group {base} lacks the controllers {', '.join(lacking)}: the group above it must enable "
                "them in cgroup.subtree_control"
            )
        own = f"{base}/{_SELF}"
        with contextlib.suppress(FileExistsError):
            os.mkdir(own)
        _write(f"{own}/cgroup.procs", "0")
        give_up = time.monotonic() + _EMPTY_S
        # More than once: one that is not moved yet may start another.
        while (pids := _read(f"{base}/cgroup.procs").split()) and time.monotonic() < give_up:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    _write(f"{own}/cgroup.procs", pid)
        for name in needed:
            _write(f"{base}/cgroup.subtree_control", f"+{name}")
        for name in os.listdir(base):
            if name.startswith(_STEP):
                with contextlib.suppress(OSError):  # it has processes: another worker's
                    os.rmdir(f"{base}/{name}")
    except OSError as error:
        raise GroupUnusable(f"the control group {base} cannot be managed: {error}") from error


class StepGroups:
    """The groups of the steps that the guardian and its spawners start. Not thread-safe."""

    def __init__(self, base: str, limits: Mapping[str, int]) -> None:
        self._base = base
        self._limits = limits
        self._count = 0
        self._entered: dict[int, str] = {}
        self._ended: set[str] = set()

    def enter(self, pid: int = 0) -> str:
        """Make a group, move a process into it (0: this one) and return its path. Raises ``OSError``."""
        self._count += 1
        group = f"{self._base}/{_STEP}{os.getpid()}-{pid}-{self._count}"
        os.mkdir(group)
        try:
            for file, value in files_of(self._limits).items():
                _write(f"{group}/{file}", value)
            if "processes" in self._limits:  # the process that enters counts too, until it leaves
                _write(f"{group}/{_PROCESSES}", str(self._limits["processes"] + 1))
            with contextlib.suppress(FileNotFoundError):  # without swap there is no such file
                if "memory" in self._limits:
                    _write(f"{group}/memory.swap.max", "0")
            _write(f"{group}/cgroup.procs", str(pid))
        except OSError:
            os.rmdir(group)
            raise
        self._entered[pid] = group
        return group

    def leave(self, pid: int = 0) -> None:
        """Move a process (0: this one) from the cgroup that it entered back to the worker's. Raises ``OSError``."""
        _write(f"{self._base}/{_SELF}/cgroup.procs", str(pid))
        group = self._entered.pop(pid, "")
        if group and "processes" in self._limits:
            _write(f"{group}/{_PROCESSES}", str(self._limits["processes"]))

    def end(self, group: str) -> None:
        """Remove a group, now or at a later call if it still has processes."""
        self._end({group})

    def end_of(self, pid: int) -> None:
        """Remove the groups that the spawner ``pid`` entered and did not end, as ``end`` does."""
        self._entered.pop(pid, None)
        self._end(self._made(f"{pid}-"))

    def _made(self, by: str = "") -> set[str]:
        """Return the groups that this process made, or those for the pid with which ``by`` begins."""
        with contextlib.suppress(OSError):
            prefix = f"{_STEP}{os.getpid()}-{by}"
            return {f"{self._base}/{name}" for name in os.listdir(self._base) if name.startswith(prefix)}
        return set()

    def _end(self, groups: set[str]) -> None:
        self._ended |= groups
        for each in list(self._ended):
            try:
                os.rmdir(each)
            except FileNotFoundError:
                self._ended.discard(each)
            except OSError:
                continue  # what the command left behind runs still
            self._ended.discard(each)

    def end_all(self) -> None:
        """Remove the groups of this process. Call it when it has no descendants left; the last may still be ending."""
        give_up = time.monotonic() + _EMPTY_S
        while (groups := self._made()) and time.monotonic() < give_up:
            self._end(groups)
            time.sleep(_PAUSE_S)

    def serve(self, asking: socket.socket, pid: int) -> bool:
        """Answer one request of the spawner ``pid``, see ``AskedGroups``. Return whether there may be more."""
        try:
            word, _, group = asking.recv(_LINE).decode().partition(" ")
            if word == "end":
                # A spawner has fewer rights than this process, and could be told to name a folder of somebody else.
                if group in self._made(f"{pid}-"):
                    self.end(group)
            elif word:
                asking.send(self._answer(word, pid).encode())
        except OSError:  # the spawner was killed while it asked
            return False
        return bool(word)

    def _answer(self, word: str, pid: int) -> str:
        try:
            if word == "enter":
                return self.enter(pid)
            self.leave(pid)
        except OSError as error:
            return f"{error.errno} {error.filename}"
        return " "


class AskedGroups:
    """The groups for a spawner, which has no right to make them: it asks the guardian, by a seqpacket socket."""

    def __init__(self, asked: socket.socket) -> None:
        self._asked = asked

    def enter(self) -> str:
        """Make a group, move this process into it and return its path. Raises ``OSError``."""
        return self._ask("enter")

    def leave(self) -> None:
        """Move this process to the worker's own group. Raises ``OSError``."""
        self._ask("leave")

    def end(self, group: str) -> None:
        """See ``StepGroups.end``."""
        with contextlib.suppress(OSError):
            self._asked.send(f"end {group}".encode())

    def _ask(self, word: str) -> str:
        self._asked.send(word.encode())
        answer = self._asked.recv(_LINE).decode()
        if not answer:
            raise ConnectionResetError(errno.ECONNRESET, "the guardian has ended")
        if not answer.startswith(("/", " ")):
            number, _, path = answer.partition(" ")
            raise OSError(int(number), os.strerror(int(number)), path)
        return answer.strip()


def limit_reached(group: str) -> str:
    """Return the limit that the processes of a group ran into: ``memory``, ``processes`` or nothing."""
    for file, fact, name in (("memory.events", "oom_kill", "memory"), ("pids.events", "max", "processes")):
        with contextlib.suppress(OSError):
            facts = dict(line.split() for line in _read(f"{group}/{file}").splitlines())
            if facts.get(fact, "0") != "0":
                return name
    return ""


def files_of(limits: Mapping[str, int]) -> dict[str, str]:
    """Return what to write to which file of a group, for limits on ``memory``, ``processes`` and ``millicpus``.

    If the memory is used up, all processes of the group end at once, and not one that the kernel chooses.
    """
    found: dict[str, str] = {}
    if "memory" in limits:
        found |= {"memory.max": str(limits["memory"]), "memory.oom.group": "1"}
    if "processes" in limits:
        found[_PROCESSES] = str(limits["processes"])
    if "millicpus" in limits:
        found["cpu.max"] = f"{limits['millicpus'] * _PERIOD_US // 1000} {_PERIOD_US}"
    return found


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


def _write(path: str, text: str) -> None:
    """Write to a file of the kernel. It does not make a file that is not there."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(fd)
