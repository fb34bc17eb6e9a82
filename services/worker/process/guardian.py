"""The guardian: one small process for each worker. It starts the processes of steps and ends them if the worker dies.

It runs as ``python -I -S guardian.py FD`` with the standard library only. It is a child subreaper: every process that a
step leaves behind, also by a double fork or in a new session, stays a descendant of the guardian. Requests arrive on
the stream socket ``FD``, each as a 4-byte big-endian length and a marshalled dict (both ends are the same interpreter).
A spawn request carries the descriptors for stdout and stderr, and optionally stdin, as ancillary data of the length.
When the worker's end of the socket closes, for whatever reason, the guardian kills all descendants, runs the
registered cleanups (*wills*) and exits.

    spawn {id, argv, env, cwd}   start a process; one reply, when it has ended: {id, pid, code | signal | errno, what}
    signal {id, sig}             signal the process group; no reply
    kill {req, id, pid, mark}    kill session, descendants and marked processes; reply {req, left}
    count {req, id, pid, mark}   count the same processes, if alive; reply {req, left}
    will {id, files, argv}       if the worker dies, remove these files or empty folders and run this program; no reply
    unwill {id}                  withdraw a will: the worker cleaned up itself; no reply

The guardian does not read the output of steps, has no timeouts for them and does not know what a step is.
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
"""Environment variable that identifies the processes of an attempt, even after they got a new parent."""

_PR_SET_CHILD_SUBREAPER = 36
_HEADER = struct.Struct(">I")
_FDS = 3
_PAUSE_S = 0.01
"""The pause between two checks whether killed processes have ended."""
_KILL_TRIES_S = 5.0
"""How long a kill is repeated. Processes can survive it if another user owns them or they are stuck in the kernel."""
_WILLS_S = 20.0
"""The time limit of all cleanup programs together."""


class Guardian:
    """The event loop. Single-threaded, so that it can change the working directory before a spawn."""

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
        # exec resets handled signals to their default, but an ignored signal would stay ignored.
        self._ignored = [number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN]

    def run(self) -> None:
        """Serve until the worker's end closes, then kill every descendant."""
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
        request = marshal.loads(body)  # noqa: S302 - only the worker can send it
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
        """Reap ended children, including adopted ones; return whether any child is left."""
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
        """Kill every descendant, then run the wills.

        Orphaned descendants become children of the subreaper, so no descendant is left when no child is left.
        """
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
    """Run the cleanups. By now no process of a step is left that could write a file or start a process."""
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
    """Find a program as a shell does: in the directories of the step's PATH, relative to the step's directory."""
    if "/" in program:
        return program
    candidates = [f"{folder or '.'}/{program}" for folder in search.split(":")]
    for path in candidates:
        # access() first: most folders do not have the program, and access() is the fastest test to fail.
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    denied = any(map(os.path.isfile, candidates))
    raise OSError(errno.EACCES if denied else errno.ENOENT, "executable file not found", program)


def _processes() -> dict[int, tuple[int, int]]:
    """Return a map of pid to (parent pid, session id) of all processes that are not zombies."""
    found: dict[int, tuple[int, int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
                if fields[0] not in (b"Z", b"X"):
                    found[int(name)] = (int(fields[1]), int(fields[3]))
    return found


def _below(processes: dict[int, tuple[int, int]], roots: set[int]) -> set[int]:
    """Return the descendants of ``roots``, without ``roots``."""
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

    A process belongs to the step if it has the step's mark, or is in the step's session without any mark, or descends
    from such a process. A process in the session with another mark does not: the kernel may have reused the pid.
    """
    processes = _processes()
    mine: set[int] = set()
    for candidate in _below(processes, {os.getpid()}):
        found = _mark_of(candidate)
        if found == mark or (found is None and processes[candidate][1] == pid and pid > 0):
            mine.add(candidate)
    return mine | _below(processes, mine)


def _kill_each(pids: Collection[int]) -> None:
    """Send SIGSTOP to all before SIGKILL to any, so that no parent can react to the death of its child."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


def kill_marked(prefix: str) -> None:
    """Kill every process of this machine whose mark begins with ``prefix``, and its descendants.

    The worker calls it if the guardian itself was killed.
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
    # Steps must not inherit this descriptor: they could send messages to the worker, and keep the socket open after
    # the guardian's death, so that the worker would not notice it.
    os.set_inheritable(fd, False)
    os.chdir("/")
    Guardian(socket.socket(fileno=fd)).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
