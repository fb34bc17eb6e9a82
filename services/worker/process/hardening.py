"""Keep the secrets of a service from other processes of its user, such as steps.

Linux lets a process read the memory, environment and descriptors of any other process of the same user. A process that
is *not dumpable* is exempt: its files in ``/proc`` belong to root, only a process with ``CAP_SYS_PTRACE`` may read or
trace it, and it leaves no core dump. Other processes of the user can still signal it. Outside Linux nothing of this
exists, and only ``os.environ`` is cleared.
"""

import ctypes
import os
import sys
from collections.abc import Collection
from pathlib import Path

from services.worker.process.rights import make_unreadable

__all__ = ["forget", "harden"]

_ENV_START, _ENV_END = 49, 50
"""The fields of ``/proc/self/stat`` with the address of the initial environment, counted from 0 (proc(5))."""


def harden(secrets: Collection[str]) -> None:
    """Remove these environment variables and make this process unreadable. Call it once they have been read."""
    forget(secrets)
    if sys.platform == "linux":
        make_unreadable()


def forget(secrets: Collection[str]) -> None:
    """Remove variables from ``os.environ`` and, on Linux, from what ``/proc/self/environ`` shows."""
    if sys.platform == "linux":
        _overwrite(secrets)
    for name in secrets:
        os.environ.pop(name, None)


def _overwrite(secrets: Collection[str]) -> None:
    """Fill the values in the memory of the initial environment with zeros: removing a variable only forgets where."""
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    # The first two fields, pid and name, are cut off above.
    start, end = (int(fields[number - 2]) for number in (_ENV_START, _ENV_END))
    place = start
    for entry in ctypes.string_at(start, end - start).split(b"\0") if start else ():
        name, mark, value = entry.partition(b"=")
        if mark and os.fsdecode(name) in secrets:
            ctypes.memset(place + len(name) + 1, 0, len(value))
        place += len(entry) + 1
