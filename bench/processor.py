"""Processor time of processes, from ``/proc``. Unlike wall time, it depends little on other work on the machine."""

import os
from pathlib import Path

__all__ = ["cpu_s"]

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Return the processor seconds of a process and its children, whether they run or were waited for."""
    process = Path(f"/proc/{pid}")
    try:
        times = (process / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:15]
        children = " ".join(each.read_text(encoding="ascii") for each in process.glob("task/*/children")).split()
    except FileNotFoundError:
        return 0.0  # The process has just ended: its time now counts as its parent's.
    return sum(map(int, times)) / _TICKS + sum(cpu_s(int(child)) for child in children)
