"""A step that looks for canaries in all that Linux lets it read, and prints which it found.

``python spy.py FOLDER:FOLDER... PID...`` looks through the files below the folders, the environment and command line
of every process, and the memory and open files of the processes ``PID`` and their descendants. It prints a JSON map:
the names of the canaries that it ``found``, and the pids that it may ``signal``. Standard library only.
"""

import contextlib
import json
import os
import re
import stat
import sys
from collections.abc import Iterator

# In two parts, so that this text is no canary.
CANARY = re.compile(b"CANA" + b"RY-([a-z]+)-")
_MOST = 64 << 20


def _read(path: str) -> bytes:
    with contextlib.suppress(OSError), open(path, "rb") as file:  # noqa: PTH123 - one call for thousands of files
        return file.read(_MOST)
    return b""


def _tree(roots: set[int]) -> set[int]:
    parents = {}
    for name in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208
        if line := _read(f"/proc/{name}/stat"):
            parents[int(name)] = int(line.rpartition(b")")[2].split()[1])
    found = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
        found |= more
    return found - {os.getpid()}


def _memory(pid: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/mem", "rb", 0) as memory:  # noqa: PTH123
        for line in _read(f"/proc/{pid}/maps").splitlines():
            area, rights = line.split()[:2]
            start, end = (int(each, 16) for each in area.split(b"-"))
            if rights.startswith(b"rw") and end - start <= _MOST:
                with contextlib.suppress(OSError):
                    memory.seek(start)
                    yield memory.read(end - start)


def _open_files(pid: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
            path = f"/proc/{pid}/fd/{name}"
            with contextlib.suppress(OSError):
                if stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
                    yield _read(path)


def _everything(folders: list[str], pids: set[int]) -> Iterator[bytes]:
    for name in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208
        if int(name) != os.getpid():
            yield _read(f"/proc/{name}/environ")
            yield _read(f"/proc/{name}/cmdline")
    for pid in pids:
        yield from _memory(pid)
        yield from _open_files(pid)
    for folder in folders:
        for place, _, names in os.walk(folder):
            for name in names:
                yield _read(f"{place}/{name}")


def _may_signal(pid: int) -> bool:
    with contextlib.suppress(OSError):
        os.kill(pid, 0)
        return True
    return False


def main(folders: list[str], roots: set[int]) -> None:
    """Print what was found."""
    pids = _tree(roots)
    found = {name.decode() for data in _everything(folders, pids) for name in CANARY.findall(data)}
    may_signal = sorted(pid for pid in pids if _may_signal(pid))
    sys.stdout.write(json.dumps({"found": sorted(found), "signal": may_signal}))


if __name__ == "__main__":
    main(sys.argv[1].split(":"), set(map(int, sys.argv[2:])))
