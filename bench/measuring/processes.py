"""CPU time and memory of processes and their children, and how many run a command, from ``/proc``.

Unlike wall time, CPU time depends little on other work on the machine.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "Pids",
    "cpu_of_each_s",
    "cpu_s",
    "memory_mb",
    "peak_memory_mb",
    "running_command",
    "thread_s",
]

Pids = Mapping[str, Sequence[int]]
"""Process ids by kind of process."""

_TICKS = os.sysconf("SC_CLK_TCK")
_EVERY_S = 0.1
_GONE = (FileNotFoundError, ProcessLookupError)
"""What ``/proc`` raises for a process that has ended: before its file is opened, and while it is read."""


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and its children, whether they run or were waited for."""
    try:
        times = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:15]
    except _GONE:
        return 0.0  # The process has just ended: its time now counts as its parent's.
    return sum(map(int, times)) / _TICKS + sum(map(cpu_s, _children(pid)))


def cpu_of_each_s(pids: Pids) -> dict[str, float]:
    """Return the CPU seconds of each kind of process, children included."""
    return {kind: sum(map(cpu_s, each)) for kind, each in pids.items()}


def thread_s(thread: Path) -> float:
    """Return the CPU seconds of a thread, to the nanosecond, from its folder in ``/proc``."""
    return int((thread / "schedstat").read_text(encoding="ascii").split()[0]) / 1e9


def _children(pid: int) -> list[int]:
    try:
        found = [each.read_text(encoding="ascii") for each in Path(f"/proc/{pid}").glob("task/*/children")]
    except _GONE:
        return []
    return [int(child) for child in " ".join(found).split()]


def memory_mb(pids: Pids, without: str | None = None) -> dict[str, float]:
    """Return the memory (PSS, so shared pages count once) of processes with all their children, by kind.

    ``without``: leave out the processes whose command line contains this text, and their children.
    """
    return {kind: sum(_kb(pid, without) for pid in each) / 1000 for kind, each in pids.items()}


def _kb(pid: int, without: str | None) -> float:
    process = Path(f"/proc/{pid}")
    try:
        if without is not None and without in (process / "cmdline").read_bytes().replace(b"\0", b" ").decode():
            return 0.0
        lines = (process / "smaps_rollup").read_text(encoding="ascii").splitlines()
    except _GONE:
        return 0.0  # The process has just ended.
    own = next((float(line.split()[1]) * 1.024 for line in lines if line.startswith("Pss:")), 0.0)
    return own + sum(_kb(child, without) for child in _children(pid))


def running_command(argv: Sequence[str]) -> int:
    """Return how many processes of the machine run exactly this command now."""
    wanted, found = b"".join(word.encode() + b"\0" for word in argv), 0
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                found += (process / "cmdline").read_bytes() == wanted
            except _GONE:
                continue  # It has just ended.
    return found


@contextmanager
def peak_memory_mb(pids: Pids) -> Iterator[dict[str, float]]:
    """Measure the memory of processes ten times a second; the yielded MB are the most of each kind so far."""
    most = memory_mb(pids)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_EVERY_S):
            for kind, now in memory_mb(pids).items():
                most[kind] = max(most[kind], now)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()
