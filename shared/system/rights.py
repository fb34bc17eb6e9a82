"""Change and give up the rights of this process.

Source: prctl(2), capabilities(7), credentials(7).
"""

import contextlib
import ctypes
import os
import resource
from collections.abc import Mapping, Sequence

from shared.system.libc import has, libc, prctl

__all__ = [
    "allow_open_files",
    "become",
    "can_change_users",
    "forbid_new_privileges",
    "limit_cpu",
    "make_subreaper",
    "make_unreadable",
    "set_limits",
]

_OPEN_FILES = 10_240
"""As many as macOS allows a process at most."""

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAP_KILL, _CAP_SETGID, _CAP_SETUID = 5, 6, 7
_CAPABILITY_VERSION = 0x20080522


def make_unreadable() -> None:
    """Keep memory, environment and descriptors from processes of the same user; leave no core dump.

    A program that this process starts is readable again, but leaves no core dump either. Without prctl, only core dumps
    are prevented.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl(_PR_SET_DUMPABLE, 0)


def make_subreaper() -> None:
    """Become the parent of all descendants that lose theirs. Does nothing without prctl."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def forbid_new_privileges() -> None:
    """Make set-user-id programs, such as sudo, run without their rights, for this process and all descendants.

    Does nothing without prctl.
    """
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def can_change_users() -> bool:
    """Whether this process, and a program that it starts, may become another user and signal its processes.

    Without capabilities, only root may.
    """
    if not has("capset"):
        return os.geteuid() == 0
    name = "CapEff" if os.geteuid() == 0 else "CapAmb"
    with open("/proc/self/status", encoding="ascii") as file:
        held = next(int(line.split()[1], 16) for line in file if line.startswith(name))
    return all(held >> number & 1 for number in (_CAP_KILL, _CAP_SETGID, _CAP_SETUID))


def become(uid: int, gid: int, groups: Sequence[int] = ()) -> None:
    """Become this user for good, without any capability, and stay unreadable. Raises ``OSError``."""
    if os.geteuid() != uid or can_change_users():
        os.setgroups(groups)
        if hasattr(os, "setresuid"):
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        else:
            # Of root, these set the real, effective and saved ids: setuid(2).
            os.setgid(gid)
            os.setuid(uid)
    if has("capset"):
        _drop_capabilities()
    make_unreadable()


def _drop_capabilities() -> None:
    """Give up what a change between two users other than root leaves: ambient and permitted capabilities."""
    libc().prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header, none = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    if libc().capset(header, none) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def set_limits(limits: Mapping[str, int]) -> None:
    """Set the limits that children inherit. A limit above what this process may have is cut to that."""
    for name, value in limits.items():
        number = getattr(resource, f"RLIMIT_{name.upper()}")
        _, hard = resource.getrlimit(number)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # macOS refuses a limit of memory below what a process has mapped.
        with contextlib.suppress(ValueError):
            resource.setrlimit(number, (allowed, allowed))


def limit_cpu(pid: int, soft_s: int, hard_s: int) -> None:
    """Limit the CPU time of another process. Does nothing where only a process itself can do that."""
    if hasattr(resource, "prlimit"):
        with contextlib.suppress(OSError):
            resource.prlimit(pid, resource.RLIMIT_CPU, (soft_s, hard_s))


def allow_open_files() -> None:
    """Raise this process's own limit of open files, as far as it may: a worker has some open for each step."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
