"""What ps(1) shows of all processes, for systems without ``/proc``."""

import os
import sys
from typing import NamedTuple

__all__ = ["PsRow", "listed_by_ps", "marked_by_ps"]

_PS = "/bin/ps"
_ENV = {"LC_ALL": "C"}
_ENVIRONMENTS = ("-axEww",) if sys.platform == "darwin" else ("axeww",)
"""Show environments after the command lines: an option of each system's own."""


class PsRow(NamedTuple):
    """A process. ``began``: the time of its start as a text, which tells it from a later one with the same pid."""

    parent: int
    group: int
    began: str


def listed_by_ps() -> dict[int, PsRow]:
    """Return all processes by pid, without zombies. Raises ``OSError`` if ps cannot run."""
    found: dict[int, PsRow] = {}
    pid_of_ps, lines = _run("-A", "-o", "pid=,ppid=,pgid=,stat=,lstart=")
    for line in lines:
        fields = line.split(None, 4)
        if len(fields) == 5 and not fields[3].startswith(b"Z"):
            pid, parent, group = map(int, fields[:3])
            found[pid] = PsRow(parent, group, fields[4].decode(errors="replace").strip())
    found.pop(pid_of_ps, None)
    return found


def marked_by_ps(name: str, prefix: str) -> dict[int, str]:
    """Return the value of the environment variable ``name`` of each process where it begins with ``prefix``.

    macOS hides the environment of the programs that are part of it. Raises ``OSError`` if ps cannot run.
    """
    start = f" {name}={prefix}".encode()
    found: dict[int, str] = {}
    for line in _run(*_ENVIRONMENTS, "-o", "pid=,command=")[1]:
        _, marked, rest = line.partition(start)
        if marked:
            value = prefix.encode() + rest.split(b" ", 1)[0]
            found[int(line.split(None, 1)[0])] = value.decode(errors="replace")
    return found


def _run(*options: str) -> tuple[int, list[bytes]]:
    """Return the pid of ps and its lines."""
    out, theirs = os.pipe()
    actions = [
        (os.POSIX_SPAWN_DUP2, theirs, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    try:
        pid = os.posix_spawn(_PS, [_PS, *options], _ENV, file_actions=actions)
    except OSError:
        os.close(out)
        raise
    finally:
        os.close(theirs)
    with open(out, "rb") as stream:
        text = stream.read()
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise OSError(f"{_PS} ended with {os.waitstatus_to_exitcode(status)}")
    return pid, text.splitlines()
