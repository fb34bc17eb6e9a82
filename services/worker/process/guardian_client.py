"""The worker's end of the guardian: start it, ask it for processes, notice its death."""

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
from services.worker.process.outcome import Ended
from shared.errors import DagwayError

__all__ = ["Guardian", "GuardianLost", "Process"]

_log = logging.getLogger(__name__)
_HEADER = struct.Struct(">I")
_ANSWER_S = 15.0


class GuardianLost(DagwayError):
    """The guardian is gone: no step can be started or watched, the worker must end."""


class Process:
    """One process the guardian started, or tried to."""

    def __init__(self, owner: "Guardian", name: int, mark: str, on_end: "Callable[[Process], None]") -> None:
        self._owner = owner
        self._name = name
        self._mark = mark
        self._on_end = on_end
        self._how: Ended | GuardianLost | None = None

    @property
    def over(self) -> bool:
        """Whether it ended, or nobody can tell any more."""
        return self._how is not None

    def result(self) -> Ended:
        """Return how it ended, once it is over; raises ``GuardianLost``."""
        assert self._how is not None  # noqa: S101 - callers wait for the end
        if isinstance(self._how, GuardianLost):
            raise self._how
        return self._how

    def end(self, how: Ended | GuardianLost) -> None:
        """Note how it ended and tell whoever started it."""
        self._how = how
        self._on_end(self)

    def signal(self, number: int) -> None:
        """Send to its process group; nothing happens when it ended already."""
        self._owner.send({"op": "signal", "id": self._name, "sig": int(number)})

    def kill_tree(self) -> int:
        """End it and everything that came from it, wherever that is now; return how many resisted."""
        return self._owner.ask("kill", self._name, self._pid(), self._mark)

    def tree_size(self) -> int:
        """Return how many processes of it live, itself included."""
        return self._owner.ask("count", self._name, self._pid(), self._mark)

    def _pid(self) -> int:
        return self.result().pid if self.over else 0


class Guardian:
    """Start the guardian process and speak with it from any thread.

    ``mark`` begins the mark of every process of this worker and must be unique to it. ``on_lost`` is
    called once, on the reader's thread, when the guardian dies without being closed; by then what it
    guarded has been killed.
    """

    def __init__(self, mark: str, on_lost: Callable[[], None]) -> None:
        self.mark = mark
        self._on_lost = on_lost
        self._keeping = threading.Lock()
        self._kept: dict[str, int] = {}
        self._lock = threading.Lock()
        self._count = 0
        self._waiting: dict[int, Process] = {}
        self._answers: dict[int, Future[int]] = {}
        self._closed = False
        self._lost = False
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            # Its own session: a signal to the worker's whole group must leave it alive to clean up.
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
        """Start a process in a session of its own; a failure to start is one way to end.

        The descriptors stay the caller's; without ``stdin`` reading gives the end of file.
        ``attempt`` distinguishes attempts of this worker. ``on_end`` is called once, on the
        reader's thread, and must not block.
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
    def will(self, files: Sequence[str] = (), argv: Sequence[str] = ()) -> Iterator[None]:
        """Leave a will while the block runs, for the case that the worker dies in it.

        Every process is killed then, ``files`` are removed, and ``argv`` (an absolute path first) is
        run with no environment.
        """
        name = self._leave_will(files, argv)
        try:
            yield
        finally:
            self._take_back(name)

    def keep_will(self, key: str, argv: Sequence[str]) -> None:
        """Leave a will until ``drop_will`` or the worker's end, an orderly one too; the same key twice is one."""
        with self._keeping:
            if key not in self._kept:
                self._kept[key] = self._leave_will((), argv)

    def drop_will(self, key: str) -> None:
        """Take a kept will back; one that was never left is fine."""
        with self._keeping:
            name = self._kept.pop(key, None)
        if name is not None:
            self._take_back(name)

    def _leave_will(self, files: Sequence[str], argv: Sequence[str]) -> int:
        with self._lock:
            self._count += 1
            name = self._count
        self.send({"op": "will", "id": name, "files": list(files), "argv": list(argv)})
        return name

    def _take_back(self, name: int) -> None:
        with suppress(GuardianLost):
            self.send({"op": "unwill", "id": name})

    def close(self) -> None:
        """End every process it guards and the guardian itself; wait until it is gone."""
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
        """Ask about a process tree and wait for the number that answers."""
        answer: Future[int] = Future()
        with self._lock:
            self._count += 1
            number = self._count
            self._answers[number] = answer
        self.send({"op": op, "req": number, "id": name, "pid": pid, "mark": mark})
        return answer.result(_ANSWER_S)

    def send(self, request: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        """Send one request with descriptors; raises ``GuardianLost``."""
        body = marshal.dumps(request)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        data = _HEADER.pack(len(body)) + body
        try:
            with self._lock:
                if self._lost:
                    raise GuardianLost("the guardian is gone")
                sent = self._sock.sendmsg([data], rights)
                if sent < len(data):
                    self._sock.sendall(data[sent:])
        except OSError as error:
            raise GuardianLost("the guardian is gone") from error

    def _read(self) -> None:
        with self._sock.makefile("rb") as stream:
            try:
                while head := stream.read(_HEADER.size):
                    body = stream.read(_HEADER.unpack(head)[0])
                    self._take(marshal.loads(body))  # noqa: S302 - from our own child
            except (OSError, ValueError, struct.error) as error:
                _log.debug("guardian.stream_broken", extra={"error": str(error)})
        self._end()

    def _take(self, message: dict[str, Any]) -> None:
        if "req" in message:
            answer = self._answers.pop(message["req"], None)
            if answer is not None:
                answer.set_result(message["left"])
            return
        process = self._waiting.pop(message["id"], None)
        if process is not None:
            facts = {fact: message.get(fact) for fact in ("code", "signal", "errno")}
            process.end(Ended(message["pid"], **facts, missed=message.get("what") or ""))

    def _end(self) -> None:
        if not self._closed:
            _log.error("guardian.lost", extra={"pid": self.pid, "next": "the worker ends; start it again"})
            script.kill_marked(self.mark + ".")
        with self._lock:
            self._lost = True
            waiting, answers = list(self._waiting.values()), list(self._answers.values())
            self._waiting.clear()
            self._answers.clear()
        gone = GuardianLost("the guardian is gone")
        for process in waiting:
            process.end(gone)
        for answer in answers:
            answer.set_exception(gone)
        if not self._closed:
            self._on_lost()
