"""End every process that a test started at the end of the test run, even if pytest is killed by SIGKILL.

The folders of servers are removed then too.

One small helper process per test process reads from a pipe. ``spawn`` starts each process in its own
session and registers it at the helper. When the pipe ends, because the test process has ended in any way,
the helper kills all registered processes and removes all registered folders. (PR_SET_PDEATHSIG would fire
too early: when the *thread* that started the child ends.)
"""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.harness import fork_server
from tests.harness.fork_server import ForkedProcess

__all__ = ["Child", "forget", "fork", "kill_group", "remove_at_end", "spawn"]

Child = subprocess.Popen[bytes] | ForkedProcess

_HELPER = """
import os, shutil, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
groups, folders = set(), []
for line in sys.stdin:
    verb, what = line.rstrip("\\n").split(" ", 1)
    if verb == "folder":
        folders.append(what)
    else:
        (groups.add if verb == "+" else groups.discard)(int(what))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        continue
for _ in range(50):  # a killed process may still write for a moment
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    if not any(map(os.path.exists, folders)):
        break
    time.sleep(0.1)
"""

_lock = threading.Lock()
_helper: subprocess.Popen[str] | None = None


def _tell(verb: str, what: int | Path) -> None:
    global _helper  # noqa: PLW0603 - one helper per test process
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
        stdin.write(f"{verb} {what}\n")
        stdin.flush()


def spawn(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path, user: str | int | None = None
) -> subprocess.Popen[bytes]:
    """Start ``argv`` in a new session, with output appended to ``log`` and empty input.

    ``user`` runs it as this user (needs root): a name, with the user's primary group only, or the number of both.
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


def fork(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> ForkedProcess:
    """Do what ``spawn`` does for a ``dagway`` of the test's own environment, by the fork server."""
    process = fork_server.fork(argv, env=env, cwd=cwd, log=log)
    _tell("+", process.pid)
    return process


def _group_of(user: str | int | None) -> int | None:
    if user is None or isinstance(user, int):
        return user
    import pwd  # noqa: PLC0415 - POSIX only, and only root comes here

    return pwd.getpwnam(user).pw_gid


def forget(process: Child) -> None:
    """Unregister a process that has ended, before another process can get its id."""
    _tell("-", process.pid)


def remove_at_end(folder: Path) -> None:
    """Remove a folder at the end of the test run, if it is still there."""
    _tell("folder", folder)


def kill_group(process: Child) -> None:
    """Kill the process and its process group by SIGKILL; wait for its end."""
    if process.poll() is None:
        # A forked process may have ended without us being told yet.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
    process.wait()
    forget(process)
