"""What ``/proc`` shows: of all processes, of this one, and of the machine."""

import contextlib
import ctypes
import fcntl
import os
from collections.abc import Collection, Iterable, Sequence

from shared.system.libc import has

__all__ = [
    "PROC",
    "children",
    "cpu_times",
    "environment_of",
    "forget_initially",
    "has_open",
    "keeps_orphans",
    "memory_percent",
    "open_files",
    "own_control_group",
    "path_of",
    "running",
    "user_ids",
]

PROC = "/proc"

_ENV_START, _ENV_END = 49, 50
"""The fields of ``/proc/self/stat`` with the address of the initial environment, counted from 0 (proc(5))."""
_MOST_PATH = 1024


def keeps_orphans() -> bool:
    """Whether descendants that lose their parent can stay with this process, and be told apart by their environment."""
    return has("prctl") and os.path.exists(f"{PROC}/self/environ")


def running() -> dict[int, tuple[int, int]]:
    """Return a map of pid to (parent pid, session id) of all processes that are not zombies. Raises ``OSError``."""
    found: dict[int, tuple[int, int]] = {}
    for name in os.listdir(PROC):
        if name.isdecimal():
            with contextlib.suppress(OSError), open(f"{PROC}/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
                if fields[0] not in (b"Z", b"X"):
                    found[int(name)] = (int(fields[1]), int(fields[3]))
    return found


def user_ids(pid: int) -> set[int]:
    """Return the real, effective and saved user of a process; empty if it has ended."""
    with contextlib.suppress(OSError), open(f"{PROC}/{pid}/status", "rb") as file:
        return next(({int(uid) for uid in line.split()[1:4]} for line in file if line.startswith(b"Uid:")), set())
    return set()


def children() -> set[int]:
    """Return the children of this thread, also ended ones; empty where the kernel does not list them."""
    me = os.getpid()
    with contextlib.suppress(OSError), open(f"{PROC}/{me}/task/{me}/children", "rb") as file:
        return {int(pid) for pid in file.read().split()}
    return set()


def has_open(pid: int, files: Iterable[Sequence[int]]) -> bool:
    """Return whether a process has one of ``files`` open, each a device and an inode. No, if that cannot be read."""
    wanted = {tuple(file) for file in files}
    folder = f"{PROC}/{pid}/fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                found = os.stat(f"{folder}/{name}")
                if (found.st_dev, found.st_ino) in wanted:
                    return True
    return False


def environment_of(pid: int) -> list[bytes]:
    """Return the environment with which a process started, as ``NAME=value``; empty if it cannot be read."""
    with contextlib.suppress(OSError), open(f"{PROC}/{pid}/environ", "rb") as file:
        return file.read().split(b"\0")
    return []


def path_of(fd: int) -> str:
    """Return the path of an open file, without symbolic links. Raises ``OSError``."""
    if hasattr(fcntl, "F_GETPATH"):  # macOS
        return os.fsdecode(fcntl.fcntl(fd, fcntl.F_GETPATH, bytes(_MOST_PATH)).rstrip(b"\0"))
    return os.readlink(f"{PROC}/self/fd/{fd}")


def forget_initially(names: Collection[str]) -> None:
    """Fill the values of variables with zeros where ``/proc/self/environ`` shows them. Does nothing without ``/proc``.

    Removing a variable only forgets where it is in memory.
    """
    try:
        with open(f"{PROC}/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except FileNotFoundError:
        return
    # The first two fields, pid and name, are cut off above.
    start, end = (int(fields[number - 2]) for number in (_ENV_START, _ENV_END))
    place = start
    for entry in ctypes.string_at(start, end - start).split(b"\0") if start else ():
        name, mark, value = entry.partition(b"=")
        if mark and os.fsdecode(name) in names:
            ctypes.memset(place + len(name) + 1, 0, len(value))
        place += len(entry) + 1


def open_files() -> int:
    """Return how many files this process has open; 0 if unknown."""
    for folder in (f"{PROC}/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return len(os.listdir(folder))
    return 0


def cpu_times() -> tuple[float, float] | None:
    """Return the CPU time since the start of the machine, and how much of it was idle; ``None`` if unknown."""
    try:
        with open(f"{PROC}/stat", encoding="ascii") as file:
            fields = [float(field) for field in file.readline().split()[1:9]]
        return sum(fields), fields[3] + fields[4]
    except (OSError, ValueError, IndexError):
        return None


def memory_percent() -> float | None:
    """Return how much of the machine's memory is used; ``None`` if unknown."""
    try:
        with open(f"{PROC}/meminfo", encoding="ascii") as file:
            sizes = {name: float(rest.split()[0]) for name, _, rest in (line.partition(":") for line in file)}
        return 100 * (1 - sizes["MemAvailable"] / sizes["MemTotal"])
    except (OSError, ValueError, KeyError, IndexError):
        return None


def own_control_group() -> str:
    """Return the folder of this process's control group of version 2; empty if the system has none."""
    with contextlib.suppress(OSError):
        with open(f"{PROC}/self/cgroup", encoding="ascii") as file:
            own = next((line[3:].strip() for line in file if line.startswith("0::")), "")
        with open(f"{PROC}/self/mounts", encoding="utf-8") as file:
            mounted = next((line.split()[1] for line in file if line.split()[2] == "cgroup2"), "")
        if own and mounted:
            return f"{mounted}{own}".rstrip("/")
    return ""
