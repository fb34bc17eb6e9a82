"""CPU time of processes, and their children, from ``/proc``.

Unlike wall time, CPU time depends little on other work on the machine.
"""

import os
from pathlib import Path

__all__ = ["cpu_s", "descendants"]

_TICKS = os.sysconf("SC_CLK_TCK")
_GONE = (FileNotFoundError, ProcessLookupError)
"""What ``/proc`` raises for a process that has ended: before its file is opened, and while it is read."""


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and its children, whether they run or were waited for."""
    process = Path(f"/proc/{pid}")
    try:
        times = (process / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:15]
    except _GONE:
        return 0.0  # The process has just ended: its time now counts as its parent's.
    return sum(map(int, times)) / _TICKS + sum(map(cpu_s, _children(pid)))


def descendants(pid: int) -> list[int]:
    """Return the children of a process, and theirs."""
    return [each for child in _children(pid) for each in (child, *descendants(child))]


def _children(pid: int) -> list[int]:
    try:
        found = [each.read_text(encoding="ascii") for each in Path(f"/proc/{pid}").glob("task/*/children")]
    except _GONE:
        return []
    return [int(child) for child in " ".join(found).split()]
