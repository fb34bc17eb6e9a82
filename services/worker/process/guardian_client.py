"""The worker's client of the guardian: sends it requests, and notices its death.

Steps with a user of their own are started by a spawner of that user, a child of the guardian, over a socket of its own.
"""

import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress

from services.worker.process.guardian.process_tree import MARK, kill_marked
from services.worker.process.guardian.remembered_tree import kill_remembered
from services.worker.process.guardian_connection import SEND_TIMEOUT, GuardianConnection, GuardianLost, Process
from services.worker.process.guardian_process import GuardianProcess
from services.worker.process.step_users import StepUser

__all__ = ["GuardianClient"]

_log = logging.getLogger(__name__)
_LOST = "the worker's guardian process has ended, so no step can run: restart the worker"
_SPAWNER_LOST = "the process that starts the steps of this step's user was killed, and with it the steps"
_MOST_SPAWNERS = 32
"""How many spawners stay, so that a further step of their user starts at once. Each takes some MiB."""


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
        self._spawners: dict[StepUser, GuardianConnection] = {}
        """The spawner of each user; the one used last comes last."""
        self._process = process or GuardianProcess()
        self._main = GuardianConnection(self._process.sock, _LOST, self._guardian_ended)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def limits(self) -> AbstractSet[str]:
        """The names of the limits of each process, as ``resource`` gives them."""
        return self._process.limits

    def wake(self) -> None:
        """Let the guardian go on if it is stopped: a step that has its user may have sent it a SIGSTOP."""
        self._process.wake()

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
        connection = self._main if user is None else self._spawner(user)
        return connection.spawn(request, fds, mark, on_end)

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
        self._main.send({"op": "cleanup", "id": name, "files": list(files), "argv": list(argv)})
        return name

    def _withdraw(self, name: int) -> None:
        with suppress(GuardianLost):
            self._main.send({"op": "withdraw", "id": name})

    def release(self, user: StepUser) -> bool:
        """End what is left of a user's processes, unless one is awaited. Return whether the user is free."""
        with self._users_lock:
            connection = self._spawners.get(user)
            if connection is not None and not connection.idle:
                return False
            self._spawners.pop(user, None)
        # Also without a connection: a spawner that was told to end may have been stopped before.
        left = self._main.ask("end", {"uid": user.uid})
        if connection is not None:
            connection.shut()
            connection.close()
        return left == 0

    def close(self) -> None:
        """End every guarded process and the guardian itself, and wait for the guardian's end."""
        self._closed = True
        self._shut_spawners()
        self._main.shut()
        self._process.wait()
        self._main.close()

    def _spawner(self, user: StepUser) -> GuardianConnection:
        with self._users_lock:
            connection = self._spawners.pop(user, None)
            if connection is None:
                self._end_idle_spawner()
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, SEND_TIMEOUT)
                with theirs:
                    self._main.send({"op": "user", "uid": user.uid, "gid": user.gid}, (theirs.fileno(),))
                connection = GuardianConnection(
                    ours, _SPAWNER_LOST, self._spawner_ended, lambda: self._main.ask("end", {"uid": user.uid})
                )
            self._spawners[user] = connection
            return connection

    def _end_idle_spawner(self) -> None:
        """End the spawner that was not used for longest, and what its steps left, if there are too many."""
        if len(self._spawners) >= _MOST_SPAWNERS:
            oldest = next((user for user, connection in self._spawners.items() if connection.idle), None)
            if oldest is not None:
                self._spawners.pop(oldest).shut()

    def _spawner_ended(self, connection: GuardianConnection) -> None:
        with self._users_lock:
            mine = [user for user, known in self._spawners.items() if known is connection]
            for user in mine:
                del self._spawners[user]
        if mine and not self._closed:
            _log.warning("guardian.spawner_lost", extra={"uid": mine[0].uid})
        connection.close()

    def _shut_spawners(self) -> None:
        with self._users_lock:
            connections = list(self._spawners.values())
        for connection in connections:
            connection.shut()

    def _guardian_ended(self, connection: GuardianConnection) -> None:
        if self._closed:
            return
        self.lost = True
        _log.error("guardian.lost", extra={"pid": self.pid, "next": "the worker ends; start it again"})
        self._shut_spawners()
        if self._process.portable:
            kill_remembered(self.mark + ".", connection.pids())
        else:
            kill_marked(self.mark + ".")
        self._on_lost()
