"""The worker of `dagway up`, as a process of its own.

Steps then start and report while the scheduler and the gateway have their interpreter to themselves. The process is a
fork, made before the first thread: the modules that both need are loaded once. Two sockets join it to its parent. One
carries the messages (``LinkServer``), the other these lines:

    begin     from the parent: start the worker
    facts     from the parent: answer with one line of JSON, the fields of ``WorkerFacts``
    stop      from the parent: stop the worker, then end
    failed    from the worker: it cannot go on

If the parent dies, both sockets close. The worker's process then ends at once, and its guardian ends all steps.
"""

import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from queue import Empty, SimpleQueue
from typing import NoReturn

from services.processes.signing import message_signing
from services.worker.process.guardian_process import GuardianProcess
from services.worker.reporting.metrics import WorkerFacts
from shared.clock import utc_now
from shared.errors import Unavailable
from shared.settings.command_defaults import drain_s
from shared.settings.config import Config
from shared.transport.base import WorkerTransport

__all__ = ["WorkerProcess", "start_worker_process"]

_log = logging.getLogger(__name__)
_WORKER = "local"
"""The id of the only worker. The API returns it as ``workerId``."""
_STOP_S = 40.0
"""How long a worker may take to stop after that time: it waits for the reports of the steps that it ended."""
_ANSWER_S = 2.0
_UNKNOWN = WorkerFacts({}, slots=0, busy=0, draining=False, spooled=0, trouble="the worker has not started yet")


def start_worker_process(config: Config, version: str, guardian: GuardianProcess) -> "WorkerProcess":
    """Fork the process of the worker, which takes ``guardian`` with it. Call it before the first thread.

    The worker waits for ``WorkerProcess.begin``.
    """
    lines, their_lines = socket.socketpair()
    link, their_link = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        lines.close()
        link.close()
        _run(config, version, guardian, their_lines, their_link)
    their_lines.close()
    their_link.close()
    guardian.sock.close()
    return WorkerProcess(pid, guardian, lines, link, stop_s=drain_s(config, "up") + _STOP_S)


class WorkerProcess:
    """The parent's side of the worker's process. Thread-safe.

    ``link`` is the parent's end of the socket for messages. ``stop_s`` is how long the worker may take to stop.
    """

    def __init__(
        self, pid: int, guardian: GuardianProcess, lines: socket.socket, link: socket.socket, *, stop_s: float
    ) -> None:
        self.link = link
        self._pid = pid
        self._guardian = guardian
        self._lines = lines
        self._stop_s = stop_s
        self._lock = threading.Lock()
        self._answers: SimpleQueue[WorkerFacts] = SimpleQueue()
        self._last = _UNKNOWN
        self._stopping = False
        self._ended = threading.Event()
        self._on_death: Callable[[], None] = lambda: None
        self._reader = threading.Thread(target=self._read, name="worker-process", daemon=True)

    def begin(self, on_death: Callable[[], None]) -> None:
        """Start the worker. ``on_death`` is called if it fails or its process ends before ``stop``."""
        self._on_death = on_death
        self._reader.start()
        self._say("begin")

    def facts(self) -> WorkerFacts:
        """Return what the worker says about itself, or what it said last if it does not answer within 2 s."""
        with self._lock:
            while not self._answers.empty():
                self._answers.get()
            self._say("facts")
            try:
                self._last = self._answers.get(timeout=_ANSWER_S)
            except Empty:
                return replace(self._last, trouble="the process of the worker does not answer")
            return self._last

    def stop(self) -> None:
        """Stop the worker: it gives its steps time to end, and ends the rest. Return when its process has ended."""
        self._stopping = True
        self._say("stop")
        if self._reader.ident is not None and not self._ended.wait(self._stop_s):
            about = {"pid": self._pid, "after_s": self._stop_s}
            _log.error("worker_process.killed", extra={**about, "next": "report this"})
            os.kill(self._pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)
        # It ends the steps that a killed worker left.
        self._guardian.wait()
        self._lines.close()

    def _say(self, line: str) -> None:
        # If the process has ended, the reader finds out.
        with suppress(OSError):
            self._lines.sendall(f"{line}\n".encode())

    def _read(self) -> None:
        with suppress(OSError), self._lines.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                if line == "failed\n":
                    self._on_death()
                else:
                    self._answers.put(WorkerFacts(**json.loads(line)))
        self._ended.set()
        if not self._stopping:
            _log.critical("worker_process.died", extra={"pid": self._pid, "next": "restart dagway"})
            self._on_death()


def _run(
    config: Config, version: str, guardian: GuardianProcess, lines: socket.socket, link: socket.socket
) -> NoReturn:
    """Run the worker in the forked process. Never returns."""
    code = 1
    try:
        # Ctrl-C and a stop of the whole group reach this process too: the parent says when to stop. Handlers, not
        # SIG_IGN, because programs that this process starts would inherit that.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        code = _serve(config, version, guardian, lines, link)
    except Unavailable as error:
        # At the start already: the parent has ended, and has said why, or the broker is unavailable.
        _log.error("worker_process.not_started", extra={"error": str(error)})
    except BaseException:  # noqa: BLE001 - the process ends
        _log.exception("worker_process.crashed", extra={"next": "report this"})
    finally:
        # Not sys.exit: what the parent registered to run at its exit is not this process's.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _serve(config: Config, version: str, guardian: GuardianProcess, lines: socket.socket, link: socket.socket) -> int:
    """Do what the parent says until it has said ``stop``, or has died; return the exit code."""
    # Imported after the fork: the parent does not need them, and imports its own modules at the same time.
    from services.processes.worker import make_worker  # noqa: PLC0415
    from shared.garbage import freeze_loaded  # noqa: PLC0415
    from shared.spans import start_sending, stop_sending  # noqa: PLC0415
    from shared.transport.embedded.linked import LinkedTransport  # noqa: PLC0415
    from shared.transport.open import is_embedded, open_transport  # noqa: PLC0415

    def say(line: str) -> None:
        with suppress(OSError):
            lines.sendall(f"{line}\n".encode())

    orders = _orders(lines)
    if next(orders, None) is None:
        return 0
    start_sending("dagway")
    transport: WorkerTransport
    if is_embedded(config.amqp_url):
        transport = LinkedTransport(link, on_end=lambda: say("failed"))
    else:
        signed = message_signing(config, "api", "scheduler", "worker")
        transport = signed(open_transport(config.amqp_url, name="dagway-worker"), utc_now)
    worker = make_worker(config, transport, version, lambda: say("failed"), worker_id=_WORKER, guardian=guardian)
    freeze_loaded()
    worker.start()

    def stop() -> None:
        worker.stop(drain_s=drain_s(config, "up"))
        transport.close()
        stop_sending()
        lines.shutdown(socket.SHUT_RDWR)

    stopping = False
    for order in orders:
        if order == "facts\n":
            say(json.dumps(asdict(worker.facts())))
        elif not stopping:
            stopping = True
            # On a thread, so that this one still notices the death of the parent.
            threading.Thread(target=stop, name="stop").start()
    return 0 if stopping else 1


def _orders(lines: socket.socket) -> Iterator[str]:
    """Yield the lines of the parent until it has died, or this process has shut the socket."""
    # If the parent died before it read all that this process said, the socket is reset.
    with suppress(ConnectionResetError), lines.makefile("r", encoding="utf-8") as orders:
        yield from orders
