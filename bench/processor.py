"""Processor time of processes, from ``/proc``. Other work on the machine changes it little."""

import os
from pathlib import Path

__all__ = ["cpu_s"]

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Return the processor seconds of a process and its children, running or waited for."""
    process = Path(f"/proc/{pid}")
    try:
        times = (process / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:15]
        children = " ".join(each.read_text(encoding="ascii") for each in process.glob("task/*/children")).split()
    except FileNotFoundError:
        return 0.0  # It ended meanwhile: its time is its parent's now.
    return sum(map(int, times)) / _TICKS + sum(cpu_s(int(child)) for child in children)
