"""How much processor time processes took, from ``/proc``: what the others on the machine do changes it little."""

import os
from pathlib import Path

__all__ = ["cpu_s"]

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Return the seconds that a process and those it started, as far as they are there, have had."""
    process = Path(f"/proc/{pid}")
    user, system = (process / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
    children = " ".join(each.read_text(encoding="ascii") for each in process.glob("task/*/children"))
    return (int(user) + int(system)) / _TICKS + sum(cpu_s(int(child)) for child in children.split())
