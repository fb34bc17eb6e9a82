"""Keep the secrets of a service from other processes of its user, such as steps.

Linux lets a process read the memory, environment and descriptors of any other process of the same user. A process that
is *not dumpable* is exempt: its files in ``/proc`` belong to root, only a process with ``CAP_SYS_PTRACE`` may read or
trace it, and it leaves no core dump. Other processes of the user can still signal it. Outside Linux ``os.environ`` is
cleared and core dumps are prevented, and that is all.
"""

import os
from collections.abc import Collection

from shared.system.proc import forget_initially
from shared.system.rights import make_unreadable

__all__ = ["forget", "harden"]


def harden(secrets: Collection[str]) -> None:
    """Remove these environment variables and make this process unreadable. Call it once they have been read."""
    forget(secrets)
    make_unreadable()


def forget(secrets: Collection[str]) -> None:
    """Remove variables from ``os.environ`` and, on Linux, from what ``/proc/self/environ`` shows."""
    forget_initially(secrets)
    for name in secrets:
        os.environ.pop(name, None)
