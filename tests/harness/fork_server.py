"""Fork Dagway processes from one that has already imported the services: an import costs each start 0.5 s of processor.

A ``ForkedProcess`` has what tests use of ``subprocess.Popen``. What differs from a process of its own: its
``/proc/PID/environ`` and ``cmdline`` are those of the fork server. Tests that look at these give ``DagwayProcess`` a
``program``, which is executed.

Run as a module, this is the server. It has one thread, and answers each request in order.
"""

import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["ForkedProcess", "fork"]

_IMPORTED = (
    "services.cli.services",
    "services.processes.scheduler",
    "services.processes.up",
    "services.processes.worker",
)
_LONGEST = 1 << 17
_ROOT = Path(__file__).parents[2]


class ForkedProcess:
    """A process that the fork server has started, as ``subprocess.Popen`` would present it."""

    def __init__(self, args: Sequence[str]) -> None:
        self.args = args
        self.pid = 0
        self.returncode: int | None = None
        self._ended = threading.Event()

    def poll(self) -> int | None:
        """Return the exit code, or the negative signal that ended the process; ``None`` while it runs."""
        return self.returncode if self._ended.is_set() else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises ``subprocess.TimeoutExpired``."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(list(self.args), timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _end(self, code: int) -> None:
        self.returncode = code
        self._ended.set()


class _Client:
    """The test process's side: one connection, and a thread that reads from it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started: ForkedProcess | None = None
        self._answered = threading.Event()
        self._processes: dict[int, ForkedProcess] = {}
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

    def fork(self, request: Mapping[str, Any]) -> ForkedProcess:
        with self._lock:
            self._started = process = ForkedProcess(request["argv"])
            self._answered.clear()
            self._channel.send(json.dumps(request).encode())
            if not self._answered.wait(60):
                msg = "the fork server does not answer"
                raise RuntimeError(msg)
            return process

    def _read(self) -> None:
        while packet := self._channel.recv(_LONGEST):
            message = json.loads(packet)
            if message["code"] is not None:
                self._processes.pop(message["pid"])._end(message["code"])
                continue
            assert self._started is not None
            self._started.pid = message["pid"]
            self._processes[message["pid"]] = self._started
            self._answered.set()


_client: _Client | None = None
_client_lock = threading.Lock()


def fork(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> ForkedProcess:
    """Start ``dagway`` with the arguments ``argv[1:]`` in a new session, with output appended to ``log``."""
    global _client  # noqa: PLW0603 - one server per test process
    with _client_lock:
        if _client is None or not _client.alive:
            _client = _Client()
        client = _client
    return client.fork({"argv": list(argv), "env": dict(env), "cwd": str(cwd), "log": str(log)})


def _serve(channel: socket.socket) -> Mapping[str, Any] | None:
    """Answer requests; returns in a forked process with its request, and in the server at the end with ``None``."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing)
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        selector.register(reading, selectors.EVENT_READ)
        packet = b""
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if channel in ready:
                packet = channel.recv(_LONGEST)
                if not packet:
                    return None
                pid = os.fork()
                if pid == 0:
                    break
                channel.send(json.dumps({"pid": pid, "code": None}).encode())
            if reading in ready:
                os.read(reading, 4096)
                _report_ended(channel)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for file in (reading, writing):
        os.close(file)
    channel.close()
    request: dict[str, Any] = json.loads(packet)
    return request


def _report_ended(channel: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        channel.send(json.dumps({"pid": pid, "code": os.waitstatus_to_exitcode(status)}).encode())


def _become(request: Mapping[str, Any]) -> None:
    """Give a forked process the session, folder, output, environment and arguments that were asked for."""
    os.setsid()
    os.chdir(request["cwd"])
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for output in (1, 2):
        os.dup2(log, output)
    os.close(log)
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    sys.argv = list(request["argv"])
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
