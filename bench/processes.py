"""Memory of processes and how many run a command, from ``/proc``."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Peak", "memory_mb", "running_command"]

_EVERY_S = 0.1


def memory_mb(pids: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Return the memory (PSS, so shared pages count once) of processes with all their children, by kind."""
    return {kind: sum(map(_kb, each)) / 1000 for kind, each in pids.items()}


def _kb(pid: int) -> float:
    process = Path(f"/proc/{pid}")
    try:
        lines = (process / "smaps_rollup").read_text(encoding="ascii").splitlines()
        children = " ".join(each.read_text(encoding="ascii") for each in process.glob("task/*/children")).split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0  # The process has just ended.
    own = next((float(line.split()[1]) * 1.024 for line in lines if line.startswith("Pss:")), 0.0)
    return own + sum(_kb(int(child)) for child in children)


def running_command(argv: Sequence[str]) -> int:
    """Return how many processes of the machine run exactly this command now."""
    wanted, found = b"".join(word.encode() + b"\0" for word in argv), 0
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                found += (process / "cmdline").read_bytes() == wanted
            except (FileNotFoundError, ProcessLookupError):
                continue  # It has just ended.
    return found


class Peak:
    """Measures the memory of processes again and again while it is entered. ``mb``: the largest, of each kind."""

    def __init__(self, pids: Mapping[str, Sequence[int]]) -> None:
        self._pids = pids
        self.mb = memory_mb(pids)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._over.wait(_EVERY_S):
            now = memory_mb(self._pids)
            self.mb = {kind: max(value, now[kind]) for kind, value in self.mb.items()}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
