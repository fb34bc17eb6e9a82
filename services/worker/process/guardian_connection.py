"""One connection of the worker to its guardian or to a spawner, and the processes that were started over it."""

import array
import logging
import marshal
import socket
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from services.worker.process.guardian.messages import LENGTH, packed
from services.worker.process.outcome import ProcessExit
from shared.errors import DagwayError

__all__ = ["SEND_TIMEOUT", "GuardianConnection", "GuardianLost", "Process"]

_log = logging.getLogger(__name__)
_REPLY_S = 15.0
SEND_TIMEOUT = struct.pack("ll", int(_REPLY_S), 0)
"""The value of ``SO_SNDTIMEO`` of a socket whose other end may be stopped."""


class GuardianLost(DagwayError):
    """The guardian, or the spawner of the step's user, died. Its steps can no longer be started or watched."""


class Process:
    """A process that the guardian started, or tried to start."""

    def __init__(
        self, connection: "GuardianConnection", name: int, mark: str, on_end: "Callable[[Process], None]"
    ) -> None:
        self._connection = connection
        self._name = name
        self._mark = mark
        self._on_end = on_end
        self._exit: ProcessExit | GuardianLost | None = None
        self.pid = 0
        """Its pid, if the guardian is portable; 0 before it has started."""

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
        self._connection.send({"op": "signal", "id": self._name, "sig": int(number)})

    def kill_tree(self) -> int:
        """Kill the process and all its descendants; return how many are still alive."""
        return self._tree("kill")

    def tree_size(self) -> int:
        """Return how many of the process and its descendants are alive."""
        return self._tree("count")

    def holders(self, files: Sequence[tuple[int, int]]) -> int:
        """Return how many processes that ended ones left have one of ``files`` open, each a device and an inode."""
        return self._connection.ask("holders", {"files": files})

    def _tree(self, op: str) -> int:
        pid = self.result().pid if self.ended else 0
        return self._connection.ask(op, {"id": self._name, "pid": pid, "mark": self._mark})


class GuardianConnection:
    """A connection to the guardian or a spawner. Thread-safe.

    ``on_end`` is called once, on the reader thread, when the other end has closed, before anybody who waits hears of
    it. ``lost`` is the text of the ``GuardianLost`` that callers then get. ``end`` ends the other process if it
    answers or takes nothing: it may have been stopped.
    """

    def __init__(
        self,
        sock: socket.socket,
        lost: str,
        on_end: "Callable[[GuardianConnection], None]",
        end: Callable[[], object] | None = None,
    ) -> None:
        self._sock = sock
        self._lost_text = lost
        self._on_end = on_end
        self._end_other = end
        self._lock = threading.Lock()
        self._count = 0
        self._waiting: dict[int, Process] = {}
        self._replies: dict[int, Future[int]] = {}
        self._lost = False
        self._reader = threading.Thread(target=self._read, name="guardian", daemon=True)
        self._reader.start()

    @property
    def idle(self) -> bool:
        """Whether no process is awaited."""
        return not self._waiting

    def number(self) -> int:
        """Return a number that no other request of this connection has."""
        with self._lock:
            self._count += 1
            return self._count

    def pids(self) -> list[int]:
        """Return the pids of the processes that are awaited, if the guardian is portable."""
        return [pid for process in [*self._waiting.values()] if (pid := process.pid)]

    def spawn(
        self,
        request: dict[str, Any],
        fds: tuple[int, ...],
        mark: str,
        on_end: Callable[[Process], None],
    ) -> Process:
        """Start a process; see ``GuardianClient.spawn``."""
        name = self.number()
        process = self._waiting[name] = Process(self, name, mark, on_end)
        try:
            self.send({"op": "spawn", "id": name, **request}, fds)
        except GuardianLost:
            self._waiting.pop(name, None)
            raise
        return process

    def ask(self, op: str, about: Mapping[str, Any]) -> int:
        """Send a request about processes and return the number in the reply."""
        reply: Future[int] = Future()
        number = self.number()
        self._replies[number] = reply
        self.send({"op": op, "req": number, **about})
        try:
            return reply.result(_REPLY_S)
        except TimeoutError:
            if self._end_other is None:
                raise
            self._end_other()
            raise GuardianLost(self._lost_text) from None

    def send(self, request: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        """Send one request, with the descriptors ``fds`` if any. Raises ``GuardianLost``."""
        data = packed(request)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            with self._lock:
                if self._lost:
                    raise GuardianLost(self._lost_text)
                sent = self._sock.sendmsg([data], rights)
                if sent < len(data):
                    self._sock.sendall(data[sent:])
        except OSError as error:
            if self._end_other is not None:
                self._end_other()
            raise GuardianLost(self._lost_text) from error

    def shut(self) -> None:
        """Close this end: the other end then kills its descendants and exits."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Release the socket. Call it after ``shut``, when the other process has ended."""
        if threading.current_thread() is not self._reader:
            self._reader.join()
        with self._lock:
            self._sock.close()

    def _read(self) -> None:
        with self._sock.makefile("rb") as stream:
            try:
                while head := stream.read(LENGTH.size):
                    body = stream.read(LENGTH.unpack(head)[0])
                    self._receive(marshal.loads(body))  # noqa: S302 - from our own child
            except (OSError, ValueError, struct.error) as error:
                _log.debug("guardian.stream_broken", extra={"error": str(error)})
            except Exception:  # noqa: BLE001 - a bug in Dagway: nobody would hear how the processes end
                _log.exception("thread.died", extra={"loop": "guardian"})
        self._end()

    def _receive(self, message: dict[str, Any]) -> None:
        if "req" in message:
            reply = self._replies.pop(message["req"], None)
            if reply is not None:
                reply.set_result(message["left"])
            return
        if "started" in message:
            self._waiting[message["id"]].pid = message["started"]
            return
        process = self._waiting.pop(message["id"], None)
        if process is not None:
            facts = {fact: message.get(fact) for fact in ("code", "signal", "errno")}
            process.end(
                ProcessExit(
                    message["pid"],
                    **facts,
                    missing=message.get("what") or "",
                    limit=message.get("limit") or "",
                    orphans=message.get("orphans", False),
                )
            )

    def _end(self) -> None:
        self._on_end(self)
        with self._lock:
            self._lost = True
            waiting, replies = list(self._waiting.values()), list(self._replies.values())
            self._waiting.clear()
            self._replies.clear()
        lost = GuardianLost(self._lost_text)
        for process in waiting:
            process.end(lost)
        for reply in replies:
            reply.set_exception(lost)
