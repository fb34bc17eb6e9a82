"""The worker's client of the guardian: sends it requests, and notices its death.

Steps with a user of their own are started by a spawner of that user, a child of the guardian, over a socket of its own.
"""

import array
import logging
import marshal
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

from services.worker.process.guardian.process_tree import MARK, kill_marked
from services.worker.process.guardian.remembered_tree import kill_remembered
from services.worker.process.guardian_process import GuardianProcess
from services.worker.process.outcome import ProcessExit
from services.worker.process.step_users import StepUser
from shared.errors import DagwayError

__all__ = ["GuardianClient", "GuardianLost", "Process"]

_log = logging.getLogger(__name__)
_HEADER = struct.Struct(">I")
_REPLY_S = 15.0
_SEND_TIMEOUT = struct.pack("ll", int(_REPLY_S), 0)
_LOST = "the worker's guardian process has ended, so no step can run: restart the worker"
_SPAWNER_LOST = "the process that starts the steps of this step's user was killed, and with it the steps"
_MOST_SPAWNERS = 32
"""How many spawners stay, so that a further step of their user starts at once. Each takes some MiB."""


class GuardianLost(DagwayError):
    """The guardian, or the spawner of the step's user, died. Its steps can no longer be started or watched."""


class Process:
    """A process that the guardian started, or tried to start."""

    def __init__(self, guardian: "_Link", name: int, mark: str, on_end: "Callable[[Process], None]") -> None:
        self._guardian = guardian
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
        self._guardian.send({"op": "signal", "id": self._name, "sig": int(number)})

    def kill_tree(self) -> int:
        """Kill the process and all its descendants; return how many are still alive."""
        return self._tree("kill")

    def tree_size(self) -> int:
        """Return how many of the process and its descendants are alive."""
        return self._tree("count")

    def holders(self, files: Sequence[tuple[int, int]]) -> int:
        """Return how many processes that ended ones left have one of ``files`` open, each a device and an inode."""
        return self._guardian.ask("holders", {"files": files})

    def _tree(self, op: str) -> int:
        pid = self.result().pid if self.ended else 0
        return self._guardian.ask(op, {"id": self._name, "pid": pid, "mark": self._mark})


class _Link:
    """One connection to the guardian or a spawner. Thread-safe.

    ``on_end`` is called once, on the reader thread, when the other end has closed, before anybody who waits hears of
    it. ``lost`` is the text of the ``GuardianLost`` that callers then get. ``end`` ends the other process if it
    answers or takes nothing: it may have been stopped.
    """

    def __init__(
        self, sock: socket.socket, lost: str, on_end: "Callable[[_Link], None]", end: Callable[[], object] | None = None
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
        """Return a number that no other request of this link has."""
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
        body = marshal.dumps(request)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        data = _HEADER.pack(len(body)) + body
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
                while head := stream.read(_HEADER.size):
                    body = stream.read(_HEADER.unpack(head)[0])
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


class GuardianClient:
    """Sends requests to the guardian and its spawners. Thread-safe.

    The guardian sets an environment variable, the *mark*, in every process that it starts. ``mark`` is the prefix of
    the marks of this worker and must be unique to this worker. If the guardian dies before ``close``, all guarded
    processes are killed and then ``on_lost`` is called once, on the reader thread.
    """

    def __init__(self, mark: str, on_lost: Callable[[], None], process: GuardianProcess | None = None) -> None:
        self.mark = mark
        self._on_lost = on_lost
        self._keep_lock = threading.Lock()
        self._kept_cleanups: dict[str, int] = {}
        self._closed = False
        self.lost = False
        """Whether the guardian has died, so that no step can run any more."""
        self._users_lock = threading.Lock()
        self._spawners: dict[StepUser, _Link] = {}
        """The spawner of each user; the one used last comes last."""
        self._process = process or GuardianProcess()
        self._main = _Link(self._process.sock, _LOST, self._guardian_ended)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def limits(self) -> AbstractSet[str]:
        """The names of the limits of each process, as ``resource`` gives them."""
        return self._process.limits

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
        user: StepUser | None = None,
    ) -> Process:
        """Start a process in a session of its own. A process that cannot start ends with ``ProcessExit.errno``.

        The caller still owns the descriptors and must close them. Without ``stdin`` the process reads an empty input.
        ``attempt`` must be unique within this worker. ``on_end`` is called once, on the reader thread, and must not
        block. Without ``user`` the process has the guardian's user.
        """
        mark = f"{self.mark}.{attempt}"
        request = {"argv": list(argv), "env": {**env, MARK: mark}, "cwd": cwd}
        fds = (stdout, stderr) if stdin is None else (stdout, stderr, stdin)
        link = self._main if user is None else self._spawner(user)
        return link.spawn(request, fds, mark, on_end)

    @contextmanager
    def cleanup(self, files: Sequence[str] = (), argv: Sequence[str] = ()) -> Iterator[None]:
        """Register a cleanup that the guardian runs if the worker dies inside the ``with`` block.

        The guardian then kills every process, removes ``files`` and runs the program ``argv`` with an empty
        environment, both as the worker's user; its first word must be an absolute path.
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
        name = self._main.number()
        self._main.send({"op": "will", "id": name, "files": list(files), "argv": list(argv)})
        return name

    def _withdraw(self, name: int) -> None:
        with suppress(GuardianLost):
            self._main.send({"op": "unwill", "id": name})

    def release(self, user: StepUser) -> bool:
        """End what is left of a user's processes, unless one is awaited. Return whether the user is free."""
        with self._users_lock:
            link = self._spawners.get(user)
            if link is not None and not link.idle:
                return False
            self._spawners.pop(user, None)
        # Also without a link: a spawner that was told to end may have been stopped before.
        left = self._main.ask("end", {"uid": user.uid})
        if link is not None:
            link.shut()
            link.close()
        return left == 0

    def close(self) -> None:
        """End every guarded process and the guardian itself, and wait for the guardian's end."""
        self._closed = True
        self._shut_spawners()
        self._main.shut()
        self._process.wait()
        self._main.close()

    def _spawner(self, user: StepUser) -> _Link:
        with self._users_lock:
            link = self._spawners.pop(user, None)
            if link is None:
                self._end_idle_spawner()
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SEND_TIMEOUT)
                with theirs:
                    self._main.send({"op": "user", "uid": user.uid, "gid": user.gid}, (theirs.fileno(),))
                link = _Link(ours, _SPAWNER_LOST, self._spawner_ended, lambda: self._main.ask("end", {"uid": user.uid}))
            self._spawners[user] = link
            return link

    def _end_idle_spawner(self) -> None:
        """End the spawner that was not used for longest, and what its steps left, if there are too many."""
        if len(self._spawners) >= _MOST_SPAWNERS:
            oldest = next((user for user, link in self._spawners.items() if link.idle), None)
            if oldest is not None:
                self._spawners.pop(oldest).shut()

    def _spawner_ended(self, link: _Link) -> None:
        with self._users_lock:
            mine = [user for user, known in self._spawners.items() if known is link]
            for user in mine:
                del self._spawners[user]
        if mine and not self._closed:
            _log.warning("guardian.spawner_lost", extra={"uid": mine[0].uid})
        link.close()

    def _shut_spawners(self) -> None:
        with self._users_lock:
            links = list(self._spawners.values())
        for link in links:
            link.shut()

    def _guardian_ended(self, link: _Link) -> None:
        if self._closed:
            return
        self.lost = True
        _log.error("guardian.lost", extra={"pid": self.pid, "next": "the worker ends; start it again"})
        self._shut_spawners()
        if self._process.portable:
            kill_remembered(self.mark + ".", link.pids())
        else:
            kill_marked(self.mark + ".")
        self._on_lost()
