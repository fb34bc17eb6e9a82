"""The guardian: one small process per worker that starts steps and lets none of them outlive it.

Run as ``python -I -S guardian.py FD``; standard library only. It is a child subreaper, so whatever
a step leaves behind, double forks and new sessions included, stays its descendant. Requests come
over the stream socket ``FD`` as a 4-byte big-endian length and a marshalled dict (both ends are the
same interpreter); a spawn carries the two output descriptors, and perhaps one for its input, beside
the length. When the worker's end closes, for whatever reason, it kills every descendant until none
is left, executes the wills and leaves.

    spawn {id, argv, env, cwd}   answered once, when it ended: {id, pid, code | signal | errno, what}
    signal {id, sig}             to the process group; not answered
    kill {req, id, pid, mark}    session, descendants and marked processes; answered {req, left}
    count {req, id, pid, mark}   how many of those live; answered {req, left}
    will {id, files, argv}       should the worker die: files (empty folders) to remove, a program to run
    unwill {id}                  the worker cleaned up itself; not answered

It does not read the output of steps, keep time or know what a step is.
"""

import array
import contextlib
import ctypes
import errno
import marshal
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Collection, Iterable
from typing import Any

__all__ = ["MARK", "Guardian", "kill_marked", "main"]

MARK = "DAGWAY_ATTEMPT"
"""Environment variable that tells whose process this is, wherever it was reparented to."""

_PR_SET_CHILD_SUBREAPER = 36
_HEADER = struct.Struct(">I")
_FDS = 3
_PAUSE_S = 0.01
"""Between two looks at processes that were killed but are not gone yet."""
_KILL_TRIES_S = 5.0
"""How long to insist on killing before saying how many are left (another user's, or stuck in the kernel)."""
_WILLS_S = 20.0
"""How long all the wills' programs together may take."""


class Guardian:
    """The loop. One thread, so that changing directory before a spawn is safe."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._pids: dict[int, int] = {}
        self._ids: dict[int, int] = {}
        self._wills: dict[int, dict[str, Any]] = {}
        self._wake_r, wake_w = os.pipe()
        for fd in (self._wake_r, wake_w):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(ignored, signal.SIG_IGN)
        self._null = os.open(os.devnull, os.O_RDONLY)
        # What is handled becomes the default at exec by itself; what is ignored would stay so.
        self._ignored = [number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN]

    def run(self) -> None:
        """Serve until the worker's end closes, then end every descendant."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(self._wake_r, select.POLLIN)
        with contextlib.suppress(ConnectionError):
            while True:
                for fd, _ in poll.poll():
                    if fd == self._wake_r:
                        with contextlib.suppress(BlockingIOError):
                            os.read(self._wake_r, 4096)
                        self._reap()
                    elif not self._serve():
                        raise ConnectionResetError
        self._end_all()

    def _serve(self) -> bool:
        head, fds = self._receive_head()
        if not head:
            return False
        body = self._receive(_HEADER.unpack(head)[0])
        if body is None:
            return False
        request = marshal.loads(body)  # noqa: S302 - from the worker alone
        op = request["op"]
        if op == "spawn":
            self._spawn(request, fds)
        elif op == "signal":
            pid = self._pids.get(request["id"])
            if pid is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, request["sig"])
        elif op == "will":
            self._wills[request["id"]] = request
        elif op == "unwill":
            self._wills.pop(request["id"], None)
        else:
            pid = self._pids.get(request["id"], request["pid"])
            left = self._kill(pid, request["mark"]) if op == "kill" else len(_tree(pid, request["mark"]))
            self._send({"req": request["req"], "left": left})
        return True

    def _receive_head(self) -> tuple[bytes, list[int]]:
        fds = array.array("i")
        head = b""
        while len(head) < _HEADER.size:
            part, ancillary, _, _ = self._sock.recvmsg(
                _HEADER.size - len(head), socket.CMSG_SPACE(_FDS * fds.itemsize), socket.MSG_CMSG_CLOEXEC
            )
            for level, kind, data in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
            if not part:
                return b"", []
            head += part
        return head, list(fds)

    def _receive(self, size: int) -> bytes | None:
        parts = []
        while size:
            part = self._sock.recv(min(size, 1 << 20))
            if not part:
                return None
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _spawn(self, request: dict[str, Any], fds: list[int]) -> None:
        argv, env = request["argv"], request["env"]
        try:
            os.chdir(request["cwd"])
            path = _resolve(argv[0], env.get("PATH", os.defpath))
            pid = os.posix_spawn(
                path,
                argv,
                env,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, fds[2] if len(fds) > 2 else self._null, 0),
                    (os.POSIX_SPAWN_DUP2, fds[0], 1),
                    (os.POSIX_SPAWN_DUP2, fds[1], 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=self._ignored,
            )
        except (OSError, ValueError) as error:
            number, what = (error.errno, error.filename) if isinstance(error, OSError) else (errno.EINVAL, None)
            self._send({"id": request["id"], "pid": 0, "errno": number, "what": what})
        else:
            self._pids[request["id"]] = pid
            self._ids[pid] = request["id"]
        finally:
            for fd in fds:
                os.close(fd)
            os.chdir("/")

    def _reap(self) -> bool:
        """Collect what ended, orphans included; return whether any child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            name = self._ids.pop(pid, None)
            if name is None:
                continue
            del self._pids[name]
            code = os.waitstatus_to_exitcode(status)
            self._send({"id": name, "pid": pid, **({"code": code} if code >= 0 else {"signal": -code})})

    def _send(self, message: dict[str, Any]) -> None:
        body = marshal.dumps(message)
        self._sock.sendall(_HEADER.pack(len(body)) + body)

    def _kill(self, pid: int, mark: str) -> int:
        give_up = time.monotonic() + _KILL_TRIES_S
        while (victims := _tree(pid, mark)) and time.monotonic() < give_up:
            _kill_each(victims)
            self._reap()
            time.sleep(_PAUSE_S)
        self._reap()
        return len(victims)

    def _end_all(self) -> None:
        """As subreaper all descendants end up as children: no child left means nobody is left."""
        self._sock.close()
        self._ids.clear()
        while True:
            _kill_each(_below(_processes(), {os.getpid()}))
            if not self._reap():
                break
            select.select([self._wake_r], [], [], _PAUSE_S)
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_r, 4096)
        _execute(self._wills.values())


def _execute(wills: Iterable[dict[str, Any]]) -> None:
    """Do what the worker can no longer do: nobody is left who could still write, or start anything."""
    running = []
    for will in wills:
        for path in will["files"]:
            with contextlib.suppress(OSError):
                os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
        if will["argv"]:
            with contextlib.suppress(OSError):
                running.append(os.posix_spawn(will["argv"][0], will["argv"], {}, setsid=True))
    give_up = time.monotonic() + _WILLS_S
    for pid in running:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > give_up:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(_PAUSE_S)


def _resolve(program: str, search: str) -> str:
    """Find a program as a shell would, in the step's own PATH and relative to its directory."""
    if "/" in program:
        return program
    candidates = [f"{folder or '.'}/{program}" for folder in search.split(":")]
    for path in candidates:
        # In this order: most folders do not have it, and that is told soonest so.
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    denied = any(map(os.path.isfile, candidates))
    raise OSError(errno.EACCES if denied else errno.ENOENT, "executable file not found", program)


def _processes() -> dict[int, tuple[int, int]]:
    """Return pid -> (parent, session) of every process that is not a zombie."""
    found: dict[int, tuple[int, int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
                if fields[0] not in (b"Z", b"X"):
                    found[int(name)] = (int(fields[1]), int(fields[3]))
    return found


def _below(processes: dict[int, tuple[int, int]], roots: set[int]) -> set[int]:
    """Return the descendants of ``roots``, which are not included."""
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in processes.items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    todo = list(roots)
    while todo:
        for child in children.get(todo.pop(), ()):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found


def _mark_of(pid: int) -> str | None:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        prefix = MARK.encode() + b"="
        for entry in file.read().split(b"\0"):
            if entry.startswith(prefix):
                return entry[len(prefix) :].decode(errors="replace")
    return None


def _tree(pid: int, mark: str) -> set[int]:
    """Return the living processes of one step.

    By mark, by session unless another step's mark says otherwise (the number may have been used
    again), and whatever descends from those.
    """
    processes = _processes()
    mine: set[int] = set()
    for candidate in _below(processes, {os.getpid()}):
        found = _mark_of(candidate)
        if found == mark or (found is None and processes[candidate][1] == pid and pid > 0):
            mine.add(candidate)
    return mine | _below(processes, mine)


def _kill_each(pids: Collection[int]) -> None:
    """Stop them all before killing any: a parent must not see its child die and act on it."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


def kill_marked(prefix: str) -> None:
    """Kill every process of this machine whose mark begins with ``prefix``, and its descendants.

    The worker's last resort when the guardian itself was killed.
    """
    give_up = time.monotonic() + _KILL_TRIES_S
    while time.monotonic() < give_up:
        processes = _processes()
        mine = {pid for pid in processes if (_mark_of(pid) or "").startswith(prefix)}
        if not mine:
            return
        _kill_each(mine | _below(processes, mine))
        time.sleep(_PAUSE_S)


def main(fd: int) -> None:
    """Become a subreaper and serve ``fd``."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    # It came by inheritance, and must go no further: a step that held it could speak to the worker,
    # and would hide the guardian's death from it.
    os.set_inheritable(fd, False)
    os.chdir("/")
    Guardian(socket.socket(fileno=fd)).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
