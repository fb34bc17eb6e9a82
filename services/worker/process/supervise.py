"""Run processes of one attempt under its timeout and its stop request.

Escalation, for a stop and a timeout alike: the signal to the process group, again every 5 s; at the
end of the grace everything that came from the process is killed, wherever it hides.
Source: the workflow language reference, sections on timeouts and stop.
"""

import logging
import queue
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import TypeVar

from services.worker.process.guardian_client import Guardian, Process
from services.worker.process.outcome import Ended, StopKind

__all__ = ["Stop", "Supervisor"]

_log = logging.getLogger(__name__)
T = TypeVar("T")
_AGAIN_S = 5.0
_LOOK_S = 0.05
_RANK = list(StopKind)


class Stop:
    """A request to end one attempt, made at most once per kind, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kind: StopKind | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def kind(self) -> StopKind | None:
        return self._kind

    def request(self, kind: StopKind) -> None:
        """Ask; a stronger kind replaces a weaker one, the same or a weaker one changes nothing."""
        with self._lock:
            if self._kind is not None and _RANK.index(kind) <= _RANK.index(self._kind):
                return
            self._kind = kind
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` for every request to come, and at once if there was one."""
        with self._lock:
            self._listeners.append(listener)
            asked = self._kind is not None
        if asked:
            listener()

    def unlisten(self, listener: Callable[[], None]) -> None:
        with self._lock:
            self._listeners.remove(listener)


class Supervisor:
    """What ended early is remembered: ``interrupted`` and ``timed_out_after_s``."""

    def __init__(
        self,
        guardian: Guardian,
        attempt: str,
        stop: Stop,
        *,
        timeout_s: float = 0,
        grace_s: float = 5,
        signal_on_stop: str = "",
    ) -> None:
        self.stop = stop
        self.timeout_s = timeout_s
        self.interrupted: StopKind | None = None
        self.timed_out_after_s: float | None = None
        self._guardian = guardian
        self._attempt = attempt
        self._grace_s = grace_s
        self._signal = signal.Signals[signal_on_stop] if signal_on_stop else signal.SIGTERM
        self._began = time.monotonic()

    def start_clock(self) -> None:
        """Count the timeout from now: preparation does not belong to the execution."""
        self._began = time.monotonic()

    @property
    def grace_s(self) -> float:
        """Seconds between the signal and the kill; none for an attempt that is fenced."""
        return 0 if self.stop.kind is StopKind.REVOKED else self._grace_s

    @property
    def stop_signal(self) -> str:
        """Name of the signal that asks for the end, without SIG: the step's own for a stop."""
        number = self._signal if self.interrupted is not None else signal.SIGTERM
        return number.name.removeprefix("SIG")

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the timeout, ``None`` without one."""
        return self._began + self.timeout_s - time.monotonic() if self.timeout_s > 0 else None

    def will(self, files: Sequence[str] = (), argv: Sequence[str] = ()) -> AbstractContextManager[None]:
        """Say what to clean up should the worker die inside the block; see ``Guardian.will``."""
        return self._guardian.will(files, argv)

    @property
    def worker_mark(self) -> str:
        """What tells this worker process from any other."""
        return self._guardian.mark

    def keep_will(self, key: str, argv: Sequence[str]) -> None:
        """As ``will``, beyond the attempt; see ``Guardian.keep_will``."""
        self._guardian.keep_will(key, argv)

    def drop_will(self, key: str) -> None:
        """See ``Guardian.drop_will``."""
        self._guardian.drop_will(key)

    def call(self, work: Callable[[], T], cut: Callable[[], None]) -> T | None:
        """Do ``work`` in this process, on a thread of its own; ``None`` when a stop or the timeout ended it.

        ``cut`` must make ``work`` return or raise soon. A ``work`` that does not within the grace is
        left behind: it must not touch anything after ``cut``. What ``work`` raises is raised here.
        """
        if self._over():
            return None
        inbox: queue.SimpleQueue[Future[T] | None] = queue.SimpleQueue()
        done: Future[T] = Future()

        def asked() -> None:
            inbox.put(None)

        def body() -> None:
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for it
                done.set_exception(error)

        done.add_done_callback(inbox.put)
        threading.Thread(target=body, name=f"attempt-{self._attempt}", daemon=True).start()
        self.stop.listen(asked)
        try:
            try:
                first = inbox.get(timeout=self.remaining_s and max(self.remaining_s, 0))
            except queue.Empty:
                first = None
        finally:
            self.stop.unlisten(asked)
        if first is not None:
            return done.result()
        self._over()
        cut()
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
    ) -> Ended | None:
        """Run a process to its end; ``None`` when a stop or the timeout came before it began."""
        if self._over():
            return None
        inbox: queue.SimpleQueue[Process | None] = queue.SimpleQueue()

        def asked() -> None:
            inbox.put(None)

        process = self._guardian.spawn(
            argv,
            env=env,
            cwd=cwd,
            stdout=stdout,
            stderr=stderr,
            attempt=self._attempt,
            on_end=inbox.put,
            stdin=stdin,
        )
        self.stop.listen(asked)
        try:
            try:
                ended = inbox.get(timeout=self.remaining_s and max(self.remaining_s, 0))
            except queue.Empty:
                ended = None
            if ended is not None:
                return ended.result()
            self._over()
            return self._end(process, inbox)
        finally:
            self.stop.unlisten(asked)

    def _over(self) -> bool:
        """Note a stop or a timeout that has come; return whether there is one."""
        if self.stop.kind is not None:
            self.interrupted = self.stop.kind
        elif self.timed_out_after_s is None and (left := self.remaining_s) is not None and left <= 0:
            self.timed_out_after_s = time.monotonic() - self._began
        return self.interrupted is not None or self.timed_out_after_s is not None

    def _end(self, process: Process, inbox: "queue.SimpleQueue[Process | None]") -> Ended:
        number = self._signal if self.interrupted is not None else signal.SIGTERM
        limit = time.monotonic() + self._grace_s
        again = 0.0
        while not process.over and self.stop.kind is not StopKind.REVOKED:
            now = time.monotonic()
            if now >= limit:
                break
            if now >= again:
                process.signal(number)
                again = now + _AGAIN_S
            try:
                inbox.get(timeout=max(min(again, limit) - now, 0))
            except queue.Empty:
                continue
        # The main process may be gone while others of its group still clean up after the signal.
        while process.over and self.stop.kind is not StopKind.REVOKED and time.monotonic() < limit:
            if process.tree_size() == 0:
                break
            try:
                inbox.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
        process.kill_tree()
        if self.stop.kind is not None:
            self.interrupted = self.stop.kind
        while not process.over:
            inbox.get()
        return process.result()
