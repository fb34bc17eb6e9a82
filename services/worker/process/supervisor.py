"""Run the processes of one attempt under its timeout and its stop request.

A stop and a timeout end a process in the same way: signal its process group, repeat the signal every 5 s, and kill the
process and all its descendants at the end of the grace period.
Source: docs/executors.md#how-a-step-is-stopped.
"""

import logging
import os
import queue
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from services.worker.process.guardian_client import GuardianClient
from services.worker.process.guardian_connection import Process
from services.worker.process.outcome import ProcessExit, Result, classify
from services.worker.process.step_users import StepUser, any_folder, make_folder, share_folder
from services.worker.process.stop_request import StopKind, StopRequest
from shared.errors import InvalidInput

__all__ = ["Supervisor"]

_log = logging.getLogger(__name__)
T = TypeVar("T")
_RESIGNAL_S = 5.0
_POLL_S = 0.05
_OUTPUT_S = 5.0
"""How long a step waits for output of processes that its command has left behind."""
_STREAM_MODE = 0o660


class Supervisor:
    """Runs the processes and functions of an attempt, and ends them at a stop or at the timeout.

    ``interrupted`` is the kind of the stop that ended the attempt early. ``timed_out_after_s`` is the time after which
    the timeout ended it. Both are ``None`` otherwise.
    """

    def __init__(
        self,
        guardian: GuardianClient,
        attempt: str,
        stop: StopRequest,
        *,
        timeout_s: float = 0,
        grace_s: float = 5,
        signal_on_stop: str = "",
        user: StepUser | None = None,
        check_folder: Callable[[str], None] = any_folder,
    ) -> None:
        self.stop = stop
        self._user = user
        self._check_folder = check_folder
        self.timeout_s = timeout_s
        self.interrupted: StopKind | None = None
        self.timed_out_after_s: float | None = None
        self._guardian = guardian
        self._attempt = attempt
        self._grace_s = grace_s
        try:
            self._signal = signal.Signals[signal_on_stop or "SIGTERM"]
        except KeyError as error:
            # The scheduler that read the workflow may run on another kind of system.
            raise InvalidInput(f"signalOnStop: the worker's system has no signal {signal_on_stop}") from error
        self._began = time.monotonic()

    def start_clock(self) -> None:
        """Start the timeout now, since the preparation of a step does not count."""
        self._began = time.monotonic()

    @property
    def ended_early(self) -> bool:
        """Whether a stop or the timeout has ended the attempt."""
        return self.interrupted is not None or self.timed_out_after_s is not None

    @property
    def grace_s(self) -> float:
        """The grace period, in seconds between the first signal and the kill; 0 for a revoked attempt."""
        return 0 if self.stop.kind is StopKind.REVOKED else self._grace_s

    @property
    def stop_signal(self) -> str:
        """The name of the first signal, without ``SIG``: the step's ``signalOnStop`` for a stop, TERM for a timeout."""
        number = self._signal if self.interrupted is not None else signal.SIGTERM
        return number.name.removeprefix("SIG")

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the timeout, or ``None`` without a timeout."""
        return self._began + self.timeout_s - time.monotonic() if self.timeout_s > 0 else None

    def cleanup(self, files: Sequence[str] = (), argv: Sequence[str] = ()) -> AbstractContextManager[None]:
        """Register a cleanup that the guardian runs if the worker dies inside the ``with`` block.

        The guardian then kills every process, removes ``files`` and runs the program ``argv`` with an empty
        environment; its first word must be an absolute path.
        """
        return self._guardian.cleanup(files, argv)

    @property
    def worker_mark(self) -> str:
        """A text that identifies this worker process: no other process has the same mark."""
        return self._guardian.mark

    def keep_cleanup(self, key: str, argv: Sequence[str]) -> None:
        """Register a cleanup that stays registered after the attempt; see ``GuardianClient.keep_cleanup``."""
        self._guardian.keep_cleanup(key, argv)

    def drop_cleanup(self, key: str) -> None:
        """Withdraw the cleanup that ``keep_cleanup`` registered with this ``key``, if any."""
        self._guardian.drop_cleanup(key)

    def classify(self, ended: ProcessExit | None, *, name: str, command: int = 0, stderr_tail: str = "") -> Result:
        """Return the result of step ``name`` from the exit of its last process; see ``outcome.classify``."""
        if ended is None:
            # What was interrupted may have been no process, such as the wait for a secret.
            self._must_end()
        return classify(
            ended,
            name=name,
            command=command,
            interrupted=self.interrupted,
            timed_out_after_s=self.timed_out_after_s,
            timeout_s=self.timeout_s,
            stderr_tail=stderr_tail,
            limits=self._guardian.limits,
        )

    def call(self, work: Callable[[], T], cancel: Callable[[], None]) -> T | None:
        """Call ``work`` on a new thread and return its result, or ``None`` if a stop or the timeout ended it.

        At a stop or the timeout, ``cancel`` is called. It must make ``work`` return or raise soon, and ``work`` must
        have no effects after ``cancel``: if ``work`` runs longer than the grace period, its thread is abandoned. Raises
        what ``work`` raises.
        """
        if self._must_end():
            return None
        inbox: queue.SimpleQueue[Future[T] | None] = queue.SimpleQueue()
        done: Future[T] = Future()

        def body() -> None:
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
                done.set_exception(error)

        done.add_done_callback(inbox.put)
        threading.Thread(target=body, name=f"attempt-{self._attempt}", daemon=True).start()
        with self._stop_in(inbox):
            ended = self._first(inbox)
        if ended is not None:
            return done.result()
        self._must_end()
        cancel()
        try:
            done.exception(self._grace_s)
        except TimeoutError:
            _log.warning("attempt.left_behind", extra={"attempt": self._attempt})
        return None

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        stdout: int,
        stderr: int,
        stdin: int | None = None,
    ) -> ProcessExit | None:
        """Run a process until it ends. Return ``None`` if a stop or the timeout came before its start.

        Processes that it leaves behind with the output open, such as that of ``exec > >(tee log)``, have up to 5 s to
        write what they still have. Raises ``GuardianLost``.
        """
        if self._must_end():
            return None
        inbox: queue.SimpleQueue[Process | None] = queue.SimpleQueue()
        for fd in {stdout, stderr} if stdin is None else {stdout, stderr, stdin}:
            # The step may open them by name, such as /dev/stdout.
            self.share(fd, _STREAM_MODE)
        process = self._guardian.spawn(
            argv,
            env=env,
            cwd=cwd,
            stdout=stdout,
            stderr=stderr,
            attempt=self._attempt,
            on_end=inbox.put,
            stdin=stdin,
            user=self._user,
        )
        with self._stop_in(inbox):
            ended = self._first(inbox)
            if ended is not None:
                if ended.result().orphans:
                    self._wait_for_output(process, {stdout, stderr}, inbox)
                return ended.result()
            self._must_end()
            return self._end(process, inbox)

    def make_folder(self, path: Path) -> None:
        """Create a folder, and its parents, in which the step's processes may write. Raises ``InvalidInput``."""
        try:
            make_folder(path, self._user, self._check_folder)
        except OSError as error:
            raise InvalidInput(f"cannot create the folder {path}: {error.strerror or error}") from error

    def share_folder(self, folder: Path) -> None:
        """Let the step's processes use a folder of the worker, if they have a user of their own."""
        if self._user is not None:
            share_folder(folder, self._user)

    def share(self, fd: int, mode: int) -> None:
        """Let the step's processes use an open file of the worker, if they have a user of their own.

        ``mode`` are its permissions; the step has those of the group.
        """
        if self._user is not None:
            # A file that the step names for its output may belong to another user.
            with suppress(PermissionError):
                self._user.share(fd, mode)

    @contextmanager
    def _stop_in(self, inbox: "queue.SimpleQueue[T | None]") -> Iterator[None]:
        """Within the block, put ``None`` into ``inbox`` each time the end of the step is requested."""

        def on_stop() -> None:
            inbox.put(None)

        self.stop.listen(on_stop)
        try:
            yield
        finally:
            self.stop.unlisten(on_stop)

    def _first(self, inbox: "queue.SimpleQueue[T | None]") -> T | None:
        """Return what comes first in ``inbox``, or ``None`` when the timeout has expired."""
        left_s = self.remaining_s
        try:
            return inbox.get(timeout=None if left_s is None else max(left_s, 0))
        except queue.Empty:
            return None

    def _must_end(self) -> bool:
        """Record a requested stop or an expired timeout; return whether the attempt must end."""
        if self.stop.kind is not None:
            self.interrupted = self.stop.kind
        elif self.timed_out_after_s is None and (left := self.remaining_s) is not None and left <= 0:
            self.timed_out_after_s = time.monotonic() - self._began
        return self.ended_early

    def _wait_for_output(self, process: Process, fds: set[int], inbox: "queue.SimpleQueue[Process | None]") -> None:
        """Wait until no process that was left behind has an output open, at most until a stop or the timeout."""
        opened = [os.fstat(fd) for fd in fds]
        files = [(each.st_dev, each.st_ino) for each in opened if not stat.S_ISCHR(each.st_mode)]
        limit = time.monotonic() + min(_OUTPUT_S, _OUTPUT_S if self.remaining_s is None else self.remaining_s)
        while self.stop.kind is None and time.monotonic() < limit and process.holders(files):
            with suppress(queue.Empty):
                inbox.get(timeout=_POLL_S)

    def _end(self, process: Process, inbox: "queue.SimpleQueue[Process | None]") -> ProcessExit:
        number = self._signal if self.interrupted is not None else signal.SIGTERM
        limit = time.monotonic() + self._grace_s
        next_signal = 0.0
        while not process.ended and self.stop.kind is not StopKind.REVOKED:
            now = time.monotonic()
            if now >= limit:
                break
            if now >= next_signal:
                process.signal(number)
                next_signal = now + _RESIGNAL_S
            try:
                inbox.get(timeout=max(min(next_signal, limit) - now, 0))
            except queue.Empty:
                continue
        # The main process may have ended while other processes of its group still clean up after the signal.
        while process.ended and self.stop.kind is not StopKind.REVOKED and time.monotonic() < limit:
            if process.tree_size() == 0:
                break
            try:
                inbox.get(timeout=_POLL_S)
            except queue.Empty:
                continue
        process.kill_tree()
        if self.stop.kind is not None:
            self.interrupted = self.stop.kind
        while not process.ended:
            inbox.get()
        return process.result()
