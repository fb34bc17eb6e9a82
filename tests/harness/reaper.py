"""No process that a test started outlives the test run, not even when pytest itself is killed -9.

One small helper process per test process holds the reading end of a pipe. Everything started by
``spawn`` is a session of its own and is entered there; when the pipe ends, because its writer
ended in whatever way, the helper kills what is still entered. (PR_SET_PDEATHSIG would not do: it
fires when the *thread* that started the child ends.)
"""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["forget", "kill_group", "spawn"]

_HELPER = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
groups = set()
for line in sys.stdin:
    verb, group = line.split()
    (groups.add if verb == "+" else groups.discard)(int(group))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        continue
"""

_lock = threading.Lock()
_helper: subprocess.Popen[str] | None = None


def _tell(verb: str, group: int) -> None:
    global _helper  # noqa: PLW0603 - one helper per test process is the point
    with _lock:
        if _helper is None or _helper.poll() is not None:
            _helper = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _HELPER],
                stdin=subprocess.PIPE,
                start_new_session=True,
                text=True,
            )
        stdin = _helper.stdin
        assert stdin is not None
        stdin.write(f"{verb} {group}\n")
        stdin.flush()


def spawn(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path, user: str | None = None
) -> subprocess.Popen[bytes]:
    """Start ``argv`` as a session of its own, its output appended to ``log``, its input empty.

    ``user``: run as this user and its group, without further groups (root only).
    """
    with log.open("ab") as out:
        process = subprocess.Popen(
            argv,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
            group=_group_of(user),
            extra_groups=None if user is None else [],
        )
    _tell("+", process.pid)
    return process


def _group_of(user: str | None) -> int | None:
    if user is None:
        return None
    import pwd  # noqa: PLC0415 - POSIX only, and only root comes here

    return pwd.getpwnam(user).pw_gid


def forget(process: subprocess.Popen[bytes]) -> None:
    """Strike off a process that has ended, before its number can be somebody else's."""
    _tell("-", process.pid)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL the process with what it started in its own session; wait until it is gone."""
    if process.poll() is None:
        os.killpg(process.pid, 9)
    process.wait()
    forget(process)
