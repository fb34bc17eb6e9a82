"""Deliver the reports of attempts to the broker, through a spool on disk while the broker is unreachable.

A report that the broker does not accept is written to ``<data>/spool/<token>.json`` and synced to disk. It is sent
again when the broker is reachable, by this process or by the next worker process with the same data directory.
Guarantee: when the future of ``finish`` is done, the report is confirmed or on disk. While neither takes it, it is not
done and the attempt keeps its lease. In a spool file, log chunks come before the report of their attempt.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path

from services.worker.reporting.spool_file import SpoolFile, stored_messages
from shared.clock import utc_now
from shared.contracts.codec import encode
from shared.contracts.events import AttemptFinished, AttemptGivenUp, AttemptProgress, Event
from shared.disk import cure_of
from shared.errors import InvalidInput, Unavailable
from shared.private_files import private_file
from shared.service import WatchedThread
from shared.tracing import here
from shared.transport.base import BrokerQueue, Outgoing, WorkerTransport

__all__ = ["Reporter"]

_log = logging.getLogger(__name__)
_DISK_WAIT_S = 0.5
_ROOM_BYTES = 1 << 20
_FIRST_WAIT_S = 0.2
_MAX_WAIT_S = 5.0
_DIR_MODE = 0o700


class Reporter:
    """Sends events with confirms.

    Calls ``on_delivered`` with the token of each spooled report after its delivery, or if its file is unreadable.
    """

    def __init__(
        self,
        transport: WorkerTransport,
        spool_dir: Path,
        on_delivered: Callable[[str], None],
        on_death: Callable[[], None] = lambda: None,
    ) -> None:
        self._transport = transport
        self._dir = spool_dir
        self._room = spool_dir.with_name("spool-room")
        """Takes room for the reports of a worker that stops while its disk is full."""
        self._on_delivered = on_delivered
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = WatchedThread("spool", self._run, on_death)

    def start(self) -> None:
        """Start the thread that sends spooled reports, including those of an earlier process."""
        self._dir.mkdir(_DIR_MODE, parents=True, exist_ok=True)
        for part in self._dir.glob("*.part"):  # an earlier process died before it had written the report
            with suppress(OSError):  # nobody reads it
                part.unlink()
        with suppress(OSError):  # the disk is full already
            private_file(self._room)
            self._room.write_bytes(os.urandom(_ROOM_BYTES))  # no disk can store it in less
        self._wake.set()
        self._thread.start()

    @property
    def spooled(self) -> int:
        """How many reports are in the spool."""
        return len(self._files())

    def spooled_tokens(self) -> list[str]:
        """Return the tokens of the attempts whose reports are in the spool."""
        return [path.stem for path in self._files()]

    def send(self, event: Event, to: BrokerQueue) -> "Future[None]":
        """Publish one event; the future completes with the confirm. The same event always gets the same message id."""
        return self._transport.send(_outgoing(event, to))

    def finish(self, event: AttemptFinished | AttemptGivenUp, to: BrokerQueue) -> "Future[bool]":
        """Deliver the last report of an attempt. The future is ``True`` if it was confirmed, ``False`` if spooled.

        Its callbacks run on the transport's thread, so they must not block. It fails if the report was not spooled
        either, see ``spool``.
        """
        done: Future[bool] = Future()
        facts = copy_context()  # the trace, for a report that is spooled, and what log lines about it name

        def spool(error: Unavailable) -> None:
            try:
                done.set_result(self.spool(event.token, (_outgoing(event, to),), str(error)))
            except BaseException as failure:  # noqa: BLE001 - raised again in whoever asks for the result
                done.set_exception(failure)

        def sent(confirm: "Future[None]") -> None:
            error = confirm.exception()
            if isinstance(error, Unavailable):
                # Not on this thread, which may be the transport's: a disk that takes nothing makes it wait.
                spooling = threading.Thread(target=facts.run, args=(spool, error), name="spool-one", daemon=True)
                try:
                    spooling.start()
                except RuntimeError as failure:  # the system has no thread left
                    done.set_exception(failure)
            elif error is not None:
                done.set_exception(error)
            else:
                done.set_result(True)

        self.send(event, to).add_done_callback(sent)
        return done

    def spool_with_logs(
        self, token: str, logs: Iterable[Outgoing], event: Callable[[], AttemptFinished], why: str, to: BrokerQueue
    ) -> bool:
        """Spool the last log chunks of an attempt, then its end report; see ``spool``.

        ``event`` makes the report; it is called after the last chunk was taken from ``logs``. ``why`` is logged.
        """

        def messages() -> Iterable[Outgoing]:
            yield from logs
            yield _outgoing(event(), to)

        return self.spool(token, messages(), why)

    def spool_events(self, token: str, events: Iterable[Event], why: str, to: BrokerQueue) -> bool:
        """Spool reports that belong together, in this order; see ``spool``."""
        return self.spool(token, [_outgoing(event, to) for event in events], why)

    def spool(self, token: str, messages: Iterable[Outgoing], why: str) -> bool:
        """Store messages on disk until the broker accepts them. When this returns, they survive a crash.

        Returns ``False`` then. While the disk does not take them, as it is full or somebody has taken it away, they
        wait. If the broker takes them meanwhile, returns ``True``. Raises ``OSError`` if they wait when the worker
        stops.
        """
        logged = False
        with SpoolFile(self._dir / f"{token}.json", messages) as file:
            while (error := file.store()) is not None:
                if self._stopping.is_set():
                    raise error
                if not logged:
                    _log.error("report.waits", extra={"token": token, "error": str(error), "next": cure_of(error)})
                logged = True
                self._stopping.wait(_DISK_WAIT_S)
                if self._transport.healthy and file.send(self._transport):
                    _log.info("report.delivered_late", extra={"token": token})
                    return True
        _sync_dir(self._dir)
        _log.warning("report.spooled", extra={"token": token, "error": why})
        self._wake.set()
        return False

    def free_room(self) -> None:
        """Let reports that wait for the disk have the room that was taken for them. Call it when the worker stops."""
        with suppress(OSError):
            self._room.unlink()

    def stop(self) -> None:
        """End the thread. The rest of the spool is sent after the next start."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _files(self) -> list[Path]:
        try:
            return sorted(self._dir.glob("*.json"))
        except OSError as error:
            # Not a bug either, see ``_resend``.
            _log.warning("spool.failed", extra={"path": str(self._dir), "error": str(error)})
            return []

    def _run(self) -> None:
        wait_s = _FIRST_WAIT_S
        while True:
            self._wake.wait()
            self._wake.clear()
            while not self._stopping.is_set() and (paths := self._files()):
                # All are tried: a report that the broker does not take must not hold up the others.
                delivered = [self._resend(path) for path in paths]
                if all(delivered):
                    wait_s = _FIRST_WAIT_S
                    continue
                self._stopping.wait(wait_s)
                wait_s = min(wait_s * 2, _MAX_WAIT_S)
            if self._stopping.is_set():
                return

    def _resend(self, path: Path) -> bool:
        if self._stopping.is_set() or not self._transport.healthy:
            return False
        try:
            return self._deliver(path)
        except OSError as error:
            # The disk fails, or somebody has moved the file. Neither is a bug, for which the worker would end.
            _log.warning("spool.failed", extra={"path": str(path), "error": str(error)})
            return False

    def _deliver(self, path: Path) -> bool:
        try:
            with path.open(encoding="utf-8") as file:
                for message in stored_messages(file):
                    self._transport.send(message).result()
        except Unavailable:
            return False
        except (OSError, ValueError, LookupError, TypeError, AttributeError, InvalidInput) as error:
            bad = path.with_suffix(".bad")
            advice = "report this with the file: the reports in it are not delivered"
            _log.error("spool.unreadable", extra={"path": str(bad), "error": str(error), "next": advice})
            path.rename(bad)
            # The worker must not claim the attempt for ever: a scheduler then finds that nobody holds it.
            self._on_delivered(path.stem)
            return True
        path.unlink()
        self._on_delivered(path.stem)
        _log.info("report.delivered_late", extra={"token": path.stem})
        return True


def _outgoing(event: Event, to: BrokerQueue) -> Outgoing:
    name = f"{event.token}.{event.type}"
    if isinstance(event, AttemptProgress):
        name = f"{name}.{event.seq}"
    trace = None if (attempt := here()) is None else str(attempt)
    return Outgoing(to, encode(event, id=name, at=utc_now(), trace=trace), name)


def _sync_dir(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
