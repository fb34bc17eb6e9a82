"""What only Linux has is named in one place, ``shared/system``, and what is there does without it."""

import ast
import ctypes
import os
import re
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.system import libc, proc, renaming, rights, sockets

ROOT = Path(__file__).parents[2]
ONE_PLACE = ROOT / "shared/system"

RUN_ELSEWHERE = {
    "services/worker/executors/ssh.py": "a script for the other host",
    "services/worker/executors/container/engine_cleanup.py": "a script for a container",
    "services/worker/output/opened_by_name.py": "a pattern of paths that steps may name",
}
"""Files that may name ``/proc``, and why."""

LINUX_ONLY = {
    "os": {
        "O_DIRECT", "O_PATH", "O_TMPFILE", "O_NOATIME", "O_LARGEFILE", "copy_file_range", "eventfd", "fdatasync",
        "getrandom", "getresgid", "getresuid", "getxattr", "listxattr", "memfd_create", "pidfd_open", "pipe2",
        "posix_fadvise", "posix_fallocate", "preadv2", "pwritev2", "removexattr", "sched_getaffinity",
        "sched_setaffinity", "sched_getscheduler", "sched_setscheduler", "setns", "setresgid", "setresuid",
        "setxattr", "splice", "timerfd_create", "unshare",
    },
    "resource": {"prlimit", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING"},
    "select": {"epoll"},
    "signal": {"SIGRTMIN", "SIGRTMAX", "SIGPOLL", "SIGPWR", "SIGSTKFLT", "pidfd_send_signal", "sigtimedwait",
               "sigwaitinfo"},
    "socket": {"AF_NETLINK", "AF_VSOCK", "MSG_CMSG_CLOEXEC", "MSG_NOSIGNAL", "SO_PEERCRED", "SOCK_CLOEXEC",
               "SOCK_NONBLOCK", "TCP_CORK", "TCP_KEEPIDLE", "TCP_QUICKACK", "TCP_USER_TIMEOUT"},
    "time": {"CLOCK_BOOTTIME", "CLOCK_TAI", "pthread_getcpuclockid"},
    "fcntl": {"F_ADD_SEALS", "F_GETPIPE_SZ", "F_SETPIPE_SZ", "F_OFD_SETLK", "F_NOTIFY"},
}  # fmt: skip
"""Names of the standard library that macOS lacks, by its documentation (Python 3.11 to 3.13)."""

_A_NAME = re.compile("|".join(["ctypes", "/proc", *sorted(set().union(*LINUX_ONLY.values()))]))


def _files() -> Iterator[tuple[str, str]]:
    """Yield path and text of each file that has one of the names somewhere: a parse of all takes seconds."""
    for folder in ("dagway", "services", "shared"):
        for path in (path for path in (ROOT / folder).rglob("*.py") if ONE_PLACE not in path.parents):
            if _A_NAME.search(text := path.read_text(encoding="utf-8")):
                yield str(path.relative_to(ROOT)), text


def _named(tree: ast.AST, *, paths: bool) -> Iterator[tuple[int, str]]:
    """Yield the lines that name something of Linux. Docstrings may."""
    nodes = list(ast.walk(tree))
    texts = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if name in LINUX_ONLY.get(module, ()):
                yield node.lineno, f"{module}.{name}"
            case ast.ImportFrom(module=str(module), names=names) if module in LINUX_ONLY:
                yield from ((node.lineno, each.name) for each in names if each.name in LINUX_ONLY[module])
            case ast.ImportFrom(module="ctypes") | ast.Import(names=[ast.alias(name="ctypes")]):
                yield node.lineno, "ctypes"
            case ast.Constant(value=str(text)) if paths and id(node) not in texts and "/proc" in text:
                yield node.lineno, text


def test_only_one_place_names_what_only_linux_has() -> None:
    found = [
        f"{path}:{line}: {name}"
        for path, text in _files()
        for line, name in _named(ast.parse(text), paths=path not in RUN_ELSEWHERE)
    ]

    assert found == []


@pytest.mark.parametrize(
    "text",
    ["import os\nos.pidfd_open(1)", "from os import setns", "import ctypes", "open(f'/proc/{pid}')", "P = '/proc'"],
)
def test_the_rule_finds_each_way_to_name_it(text: str) -> None:
    assert _A_NAME.search(text)
    assert list(_named(ast.parse(text), paths=True)) != []


@pytest.fixture
def without_linux(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Take away what macOS lacks: prctl, capset, renameat2, ``/proc``, and names of three modules."""
    monkeypatch.setattr(libc, "libc", object)
    monkeypatch.setattr(proc, "PROC", str(tmp_path / "no-proc"))
    monkeypatch.delattr(os, "setresuid")
    monkeypatch.delattr(os, "setresgid")
    monkeypatch.delattr(resource, "prlimit")
    monkeypatch.delattr(socket, "TCP_USER_TIMEOUT")
    renaming._ready.cache_clear()
    yield
    renaming._ready.cache_clear()  # or the tests that run after this one in the same process have no renameat2 either


@pytest.mark.usefixtures("without_linux")
def test_a_system_without_these_calls_gets_the_weaker_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limits: list[int] = []
    monkeypatch.setattr(resource, "setrlimit", lambda number, _: limits.append(number))
    changes: list[tuple[str, object]] = []
    for name in ("setgroups", "setgid", "setuid"):
        monkeypatch.setattr(os, name, lambda value, name=name: changes.append((name, value)))
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    rights.make_unreadable()
    rights.make_subreaper()
    rights.forbid_new_privileges()
    rights.limit_cpu(os.getpid(), 1, 1)
    proc.forget_initially({"SECRET"})
    rights.become(7, 8, [9])
    may_change = rights.can_change_users()
    monkeypatch.undo()

    assert may_change
    assert changes == [("setgroups", [9]), ("setgid", 8), ("setuid", 7)]
    assert set(limits) == {resource.RLIMIT_CORE}


@pytest.mark.usefixtures("without_linux")
def test_a_system_without_proc_has_no_figures_but_counts_open_files(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.touch()

    assert not proc.keeps_orphans()
    assert (proc.cpu_times(), proc.memory_percent(), proc.environment_of(os.getpid())) == (None, None, [])
    assert proc.open_files() > 0
    with socket.socket() as sock:
        assert not sockets.give_up_stalled(sock, 1)
    assert not renaming.renamed(source, tmp_path / "target", renaming.NO_REPLACE)
    assert source.exists()


def test_linux_has_all_of_it(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.touch()
    with source.open() as file:
        assert proc.path_of(file.fileno()) == str(source.resolve())

    assert proc.keeps_orphans()
    assert os.getpid() in proc.running()
    assert proc.cpu_times() is not None
    assert 0 < (proc.memory_percent() or 0) < 100
    assert renaming.renamed(source, target, renaming.NO_REPLACE)
    assert isinstance(libc.libc(), ctypes.CDLL)
