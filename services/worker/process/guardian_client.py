"""The worker's client of the guardian: starts the guardian, sends it requests, and notices its death."""

import array
import logging
import marshal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from services.worker.process import guardian as script
from services.worker.process.outcome import ProcessExit
from shared.errors import DagwayError

__all__ = ["GuardianClient", "GuardianLost", "Process"]

_log = logging.getLogger(__name__)
_HEADER = struct.Struct(">I")
_REPLY_S = 15.0
_LOST = "the worker's guardian process has ended, so no step can run: restart the worker"


class GuardianLost(DagwayError):
    """The guardian died. No step can be started or watched any more, so the worker must end."""


class Process:
    """A process that the guardian started, or tried to start."""

    def __init__(self, guardian: "GuardianClient", name: int, mark: str, on_end: "Callable[[Process], None]") -> None:
        self._guardian = guardian
        self._name = name
        self._mark = mark
        self._on_end = on_end
        self._exit: ProcessExit | GuardianLost | None = None

    @property
    def ended(self) -> bool:
        """Whether the process ended, or the guardian died."""
        return self._exit is not None

    def result(self) -> ProcessExit:
        """Return how the process ended. Call it only if ``ended``. Raises ``GuardianLost``."""
        assert self._exit is not None  # noqa: S101 - callers wait for the end
        if isinstance(self._exit, GuardianLost):
            raise self._exit
        return self._exit

    def end(self, how: ProcessExit | GuardianLost) -> None:
        """Record how the process ended, and call ``on_end``."""
        self._exit = how
        self._on_end(self)

    def signal(self, number: int) -> None:
        """Send a signal to the process group. Does nothing after the end of the process."""
        self._guardian.send({"op": "signal", "id": self._name, "sig": int(number)})

    def kill_tree(self) -> int:
        """Kill the process and all its descendants; return how many are still alive."""
        return self._guardian.ask("kill", self._name, self._pid(), self._mark)

    def tree_size(self) -> int:
        """Return how many of the process and its descendants are alive."""
        return self._guardian.ask("count", self._name, self._pid(), self._mark)

    def _pid(self) -> int:
        return self.result().pid if self.ended else 0


class GuardianClient:
    """Starts the guardian process and sends it requests. Thread-safe.

    The guardian sets an environment variable, the *mark*, in every process that it starts. ``mark`` is the prefix of
    the marks of this worker and must be unique to this worker. If the guardian dies before ``close``, all guarded
    processes are killed and then ``on_lost`` is called once, on the reader thread.
    """

    def __init__(self, mark: str, on_lost: Callable[[], None]) -> None:
        self.mark = mark
        self._on_lost = on_lost
        self._keep_lock = threading.Lock()
        self._kept_cleanups: dict[str, int] = {}
        self._lock = threading.Lock()
        self._count = 0
        self._waiting: dict[int, Process] = {}
        self._replies: dict[int, Future[int]] = {}
        self._closed = False
        self._lost = False
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            # In a session of its own: the guardian must survive a signal to the worker's process group, to clean up.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(script.__file__)), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env={},
            )
        self._reader = threading.Thread(target=self._read, name="guardian", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        stdout: int,
        stderr: int,
        attempt: str,
        on_end: Callable[[Process], None],
        stdin: int | None = None,
    ) -> Process:
        """Start a process in a session of its own. A process that cannot start ends with ``ProcessExit.errno``.

        The caller still owns the descriptors and must close them. Without ``stdin`` the process reads an empty input.
        ``attempt`` must be unique within this worker. ``on_end`` is called once, on the reader thread, and must not
        block.
        """
        mark = f"{self.mark}.{attempt}"
        with self._lock:
            self._count += 1
            name = self._count
            process = self._waiting[name] = Process(self, name, mark, on_end)
        request = {"op": "spawn", "id": name, "argv": list(argv), "env": {**env, script.MARK: mark}, "cwd": cwd}
        try:
            self.send(request, (stdout, stderr) if stdin is None else (stdout, stderr, stdin))
        except GuardianLost:
            self._waiting.pop(name, None)
            raise
        return process

    @contextmanager
    def cleanup(self, files: Sequence[str] = (), argv: Sequence[str] = ()) -> Iterator[None]:
        """Register a cleanup that the guardian runs if the worker dies inside the ``with`` block.

        The guardian then kills every process, removes ``files`` and runs the program ``argv`` with an empty
        environment; its first word must be an absolute path.
        """
        name = self._register(files, argv)
        try:
            yield
        finally:
            self._withdraw(name)

    def keep_cleanup(self, key: str, argv: Sequence[str]) -> None:
        """Register a cleanup that runs when the worker ends or dies, unless ``drop_cleanup`` withdraws it first.

        Does nothing if a cleanup with this ``key`` is registered.
        """
        with self._keep_lock:
            if key not in self._kept_cleanups:
                self._kept_cleanups[key] = self._register((), argv)

    def drop_cleanup(self, key: str) -> None:
        """Withdraw the cleanup that ``keep_cleanup`` registered with this ``key``, if any."""
        with self._keep_lock:
            name = self._kept_cleanups.pop(key, None)
        if name is not None:
            self._withdraw(name)

    def _register(self, files: Sequence[str], argv: Sequence[str]) -> int:
        with self._lock:
            self._count += 1
            name = self._count
        self.send({"op": "will", "id": name, "files": list(files), "argv": list(argv)})
        return name

    def _withdraw(self, name: int) -> None:
        with suppress(GuardianLost):
            self.send({"op": "unwill", "id": name})

    def close(self) -> None:
        """End every guarded process and the guardian itself, and wait for the guardian's end."""
        self._closed = True
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            _log.debug("guardian.gone_already")
        self._process.wait()
        if threading.current_thread() is not self._reader:
            self._reader.join()
        self._sock.close()

    def ask(self, op: str, name: int, pid: int, mark: str) -> int:
        """Send a request about a process tree and return the number in the reply."""
        reply: Future[int] = Future()
        with self._lock:
            self._count += 1
            number = self._count
            self._replies[number] = reply
        self.send({"op": op, "req": number, "id": name, "pid": pid, "mark": mark})
        return reply.result(_REPLY_S)

    def send(self, request: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        """Send one request, with the descriptors ``fds`` if any. Raises ``GuardianLost``."""
        body = marshal.dumps(request)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        data = _HEADER.pack(len(body)) + body
        try:
            with self._lock:
                if self._lost:
                    raise GuardianLost(_LOST)
                sent = self._sock.sendmsg([data], rights)
                if sent < len(data):
                    self._sock.sendall(data[sent:])
        except OSError as error:
            raise GuardianLost(_LOST) from error

    def _read(self) -> None:
        with self._sock.makefile("rb") as stream:
            try:
                while head := stream.read(_HEADER.size):
                    body = stream.read(_HEADER.unpack(head)[0])
                    self._receive(marshal.loads(body))  # noqa: S302 - from our own child
            except (OSError, ValueError, struct.error) as error:
                _log.debug("guardian.stream_broken", extra={"error": str(error)})
        self._end()

    def _receive(self, message: dict[str, Any]) -> None:
        if "req" in message:
            reply = self._replies.pop(message["req"], None)
            if reply is not None:
                reply.set_result(message["left"])
            return
        process = self._waiting.pop(message["id"], None)
        if process is not None:
            facts = {fact: message.get(fact) for fact in ("code", "signal", "errno")}
            process.end(ProcessExit(message["pid"], **facts, missing=message.get("what") or ""))

    def _end(self) -> None:
        if not self._closed:
            _log.error("guardian.lost", extra={"pid": self.pid, "next": "the worker ends; start it again"})
            script.kill_marked(self.mark + ".")
        with self._lock:
            self._lost = True
            waiting, replies = list(self._waiting.values()), list(self._replies.values())
            self._waiting.clear()
            self._replies.clear()
        lost = GuardianLost(_LOST)
        for process in waiting:
            process.end(lost)
        for reply in replies:
            reply.set_exception(lost)
        if not self._closed:
            self._on_lost()
