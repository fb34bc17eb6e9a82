"""Fork Dagway processes from one that has already imported the services: an import costs each start 0.5 s of CPU time.

A ``ForkedProcess`` has what tests use of ``subprocess.Popen``. What differs from a process of its own: its
``/proc/PID/environ`` and ``cmdline`` are those of the fork server. Tests that look at these give ``DagwayProcess`` a
``program``, which is executed.

Run as a module, this is the server. It has one thread, and answers each request in order: with the id of the process
once this leads its own session, and with the exit code at its end.
"""

import gc
import itertools
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["ForkServer", "ForkedProcess", "fork"]

_IMPORTED = (
    "services.cli.services",
    "services.processes.scheduler",
    "services.processes.up",
    "services.processes.worker",
)
_LONGEST = 1 << 17
_PATIENCE_S = 120.0
"""A server imports the services before it answers, beside other tests."""
_ROOT = Path(__file__).parents[2]


class ForkedProcess:
    """A process that the fork server has started, as ``subprocess.Popen`` would present it.

    If the fork server ends, the process is killed, and ``poll`` and ``wait`` raise ``RuntimeError``: nobody knows its
    exit code.
    """

    def __init__(self, args: Sequence[str]) -> None:
        self.args = args
        self.pid = 0
        self.returncode: int | None = None
        self._started = threading.Event()
        self._ended = threading.Event()
        self._lost = False

    def poll(self) -> int | None:
        """Return the exit code, or the negative signal that ended the process; ``None`` while it runs."""
        return self._code() if self._ended.is_set() else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises ``subprocess.TimeoutExpired``."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(list(self.args), timeout or 0)
        return self._code()

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.returncode is None:
            # The process may have ended, with the message that says so still on its way.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait_started(self, timeout_s: float) -> None:
        """Wait until the process has its id and its session."""
        if not self._started.wait(timeout_s):
            msg = f"the fork server has not answered for {timeout_s:g} s"
            raise RuntimeError(msg)
        if not self.pid:
            self._code()

    def started(self, pid: int) -> None:
        """Note the id of the process."""
        self.pid = pid
        self._started.set()

    def ended(self, code: int | None) -> None:
        """Note the exit code; ``None``: the fork server has ended."""
        self.returncode, self._lost = code, code is None
        self._started.set()
        self._ended.set()

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _code(self) -> int:
        if self._lost:
            msg = f"the fork server has ended, which alone knows what became of {list(self.args)} (pid {self.pid})"
            raise RuntimeError(msg)
        assert self.returncode is not None
        return self.returncode


class ForkServer:
    """The test process's side: the server, one connection to it, and a thread that reads from it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._processes: dict[int, ForkedProcess] = {}
        """By the number of the request: those that have not ended."""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-u", "-X", "faulthandler", "-m", __name__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                cwd=_ROOT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        threading.Thread(target=self._read, name="fork-server", daemon=True).start()

    @property
    def alive(self) -> bool:
        return self._server.poll() is None

    @property
    def pid(self) -> int:
        return self._server.pid

    def fork(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> ForkedProcess:
        """Start a process. Raises ``RuntimeError`` if the server does not answer, ``OSError`` if it has ended."""
        process, number = ForkedProcess(argv), next(self._numbers)
        with self._lock:
            self._processes[number] = process
        request = {"number": number, "argv": list(argv), "env": dict(env), "cwd": str(cwd), "log": str(log)}
        self._channel.send(json.dumps({**request, "umask": _umask()}).encode())
        process.wait_started(_PATIENCE_S)
        return process

    def _read(self) -> None:
        with suppress(ConnectionResetError):
            while packet := self._channel.recv(_LONGEST):
                message = json.loads(packet)
                with self._lock:
                    process = self._processes[message["number"]]
                    if message["code"] is not None:
                        del self._processes[message["number"]]
                if message["code"] is None:
                    process.started(message["pid"])
                else:
                    process.ended(message["code"])
        self._channel.close()
        with self._lock:
            lost = list(self._processes.values())
        for process in lost:
            if process.pid:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.ended(None)


def _umask() -> int:
    """Return the umask of this process. ``os.umask`` would change it for a moment, also for other threads."""
    found = re.search(r"^Umask:\s*(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1], 8)


_server: ForkServer | None = None
_server_lock = threading.Lock()


def fork(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> ForkedProcess:
    """Start ``dagway`` with the arguments ``argv[1:]`` in a new session, with output appended to ``log``.

    The umask is that of the caller.
    """
    global _server  # noqa: PLW0603 - one server per test process
    with _server_lock:
        if _server is None or not _server.alive:
            _server = ForkServer()
        server = _server
    return server.fork(argv, env=env, cwd=cwd, log=log)


def _serve(channel: socket.socket) -> Mapping[str, Any] | None:
    """Answer requests; returns in a forked process with its request, and in the server at the end with ``None``."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing)
    numbers: dict[int, int] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        selector.register(reading, selectors.EVENT_READ)
        request: dict[str, Any] = {}
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if channel in ready:
                packet = channel.recv(_LONGEST)
                if not packet:
                    return None
                request = json.loads(packet)
                pid = _fork()
                if pid == 0:
                    break
                numbers[pid] = request["number"]
                _tell(channel, request["number"], pid)
            if reading in ready:
                os.read(reading, 4096)
                _report_ended(channel, numbers)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for file in (reading, writing):
        os.close(file)
    channel.close()
    return request


def _fork() -> int:
    """Fork a process that leads a new session. Returns when it does, so that its group can be killed at once."""
    waits, held = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
    os.close(held)
    if pid:
        os.read(waits, 1)
    os.close(waits)
    return pid


def _report_ended(channel: socket.socket, numbers: dict[int, int]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell(channel, numbers.pop(pid), pid, os.waitstatus_to_exitcode(status))


def _tell(channel: socket.socket, number: int, pid: int, code: int | None = None) -> None:
    channel.send(json.dumps({"number": number, "pid": pid, "code": code}).encode())


def _become(request: Mapping[str, Any]) -> None:
    """Give a forked process the folder, output, environment and arguments that were asked for."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored if the tests were started by nohup
    os.umask(request["umask"])
    os.chdir(request["cwd"])
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for output in (1, 2):
        os.dup2(log, output)
    os.close(log)
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    sys.argv = list(request["argv"])


def _main() -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for module in _IMPORTED:
        __import__(module)
    sys.path.pop(0)  # the folder of the tests, which an installed ``dagway`` does not have
    gc.collect()
    gc.freeze()
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    if request is None:
        sys.exit(0)
    _become(request)
    from services.cli import main  # noqa: PLC0415 - as the script ``dagway`` does

    main()
    sys.exit()


if __name__ == "__main__":
    _main()
