"""Memory of processes and how many run a command, from ``/proc``."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["memory_mb", "peak_memory_mb", "running_command"]

_EVERY_S = 0.1


def memory_mb(pids: Mapping[str, Sequence[int]], without: str | None = None) -> dict[str, float]:
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
        children = " ".join(each.read_text(encoding="ascii") for each in process.glob("task/*/children")).split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0  # The process has just ended.
    own = next((float(line.split()[1]) * 1.024 for line in lines if line.startswith("Pss:")), 0.0)
    return own + sum(_kb(int(child), without) for child in children)


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


@contextmanager
def peak_memory_mb(pids: Mapping[str, Sequence[int]]) -> Iterator[dict[str, float]]:
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
