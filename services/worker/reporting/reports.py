"""Deliver the reports of attempts to the broker, through a spool on disk while the broker is unreachable.

A report that the broker does not accept is written to ``<data>/spool/<token>.json`` and synced to disk. It is sent
again when the broker is reachable, by this process or by the next worker process with the same data directory.
Guarantee: when the future of ``finish`` is done, the report is confirmed or on disk. While the disk is full, it is not
done and the attempt keeps its lease. Each line of a spool file is one message; log chunks come before the report of
their attempt.
"""

import errno
import json
import logging
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import TypeVar

from services.worker.output.pipe_copier import write_all
from services.worker.reporting.report_size import that_fits
from shared.clock import utc_now
from shared.contracts.codec import decode, encode
from shared.contracts.events import AttemptFinished, AttemptGivenUp, AttemptProgress, Event
from shared.errors import InvalidInput, Unavailable
from shared.private_files import private_file
from shared.service import WatchedThread
from shared.tracing import here
from shared.transport.base import (
    EVENT_SHARDS,
    EVENTS,
    LOGS,
    MAX_MESSAGE_BYTES,
    BrokerQueue,
    Outgoing,
    WorkerTransport,
)

__all__ = ["Reporter"]

_log = logging.getLogger(__name__)
T = TypeVar("T")
_BROKER_QUEUES: dict[str, BrokerQueue] = {each.name: each for each in (EVENTS, *EVENT_SHARDS, LOGS)}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_WAIT_S = 0.5
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
        return sum(1 for _ in self._dir.glob("*.json"))

    def spooled_tokens(self) -> list[str]:
        """Return the tokens of the attempts whose reports are in the spool."""
        return [path.stem for path in self._dir.glob("*.json")]

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
                self.spool(event.token, (_outgoing(event, to),), str(error))
            except BaseException as failure:  # noqa: BLE001 - raised again in whoever asks for the result
                done.set_exception(failure)
            else:
                done.set_result(False)

        def sent(confirm: "Future[None]") -> None:
            error = confirm.exception()
            if isinstance(error, Unavailable):
                # Not on this thread, which may be the transport's: a full disk makes it wait.
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
    ) -> None:
        """Spool the last log chunks of an attempt, then its end report.

        ``event`` makes the report; it is called after the last chunk was taken from ``logs``. ``why`` is logged.
        """

        def messages() -> Iterable[Outgoing]:
            yield from logs
            yield _outgoing(event(), to)

        self.spool(token, messages(), why)

    def spool_events(self, token: str, events: Iterable[Event], why: str, to: BrokerQueue) -> None:
        """Spool reports that belong together, in this order; see ``spool``."""
        self.spool(token, [_outgoing(event, to) for event in events], why)

    def spool(self, token: str, messages: Iterable[Outgoing], why: str) -> None:
        """Store messages on disk until the broker accepts them. When this returns, they survive a crash.

        Waits while the disk is full. Raises ``OSError`` if the disk fails, or is still full when the worker stops.
        """
        path = self._dir / f"{token}.json"
        part = path.with_suffix(".part")
        self._when_disk_has_room(token, partial(private_file, part))
        with self._when_disk_has_room(token, partial(part.open, "wb", buffering=0)) as file:
            for message in messages:
                line = {"route": message.queue.name, "id": message.message_id, "body": message.body.decode()}
                self._when_disk_has_room(token, partial(_append, file.fileno(), f"{json.dumps(line)}\n".encode()))
            os.fsync(file.fileno())
        self._when_disk_has_room(token, partial(part.rename, path))
        _sync_dir(self._dir)
        _log.warning("report.spooled", extra={"token": token, "error": why})
        self._wake.set()

    def _when_disk_has_room(self, token: str, write: Callable[[], T]) -> T:
        logged = False
        while True:
            try:
                return write()
            except OSError as error:
                if error.errno not in _FULL or self._stopping.is_set():
                    raise
                if not logged:
                    _log.error("report.waits", extra={"token": token, "error": str(error), "next": "free disk space"})
                logged = True
            self._stopping.wait(_FULL_WAIT_S)

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

    def _run(self) -> None:
        wait_s = _FIRST_WAIT_S
        while True:
            self._wake.wait()
            self._wake.clear()
            while not self._stopping.is_set() and (paths := sorted(self._dir.glob("*.json"))):
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
                for text in file:
                    line = json.loads(text)
                    body = _that_fits(line["body"].encode())
                    self._transport.send(Outgoing(_BROKER_QUEUES[line["route"]], body, line["id"])).result()
        except Unavailable:
            return False
        except (OSError, ValueError, LookupError, TypeError, AttributeError, InvalidInput) as error:
            bad = path.with_suffix(".bad")
            _log.error("spool.unreadable", extra={"path": str(bad), "error": str(error), "next": "inspect the file"})
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


def _that_fits(body: bytes) -> bytes:
    """Return a report, made to fit if it is too large: an earlier release spooled such reports."""
    if len(body) <= MAX_MESSAGE_BYTES:
        return body
    envelope = decode(body)
    if not isinstance(envelope.body, AttemptFinished):
        return body
    return encode(that_fits(envelope.body), id=envelope.id, at=envelope.at, trace=envelope.trace)


def _append(fd: int, data: bytes) -> None:
    """Append ``data``. If that fails, remove what was written of it and raise ``OSError``."""
    end = os.lseek(fd, 0, os.SEEK_END)
    try:
        write_all(fd, data)
    except OSError:
        os.ftruncate(fd, end)
        os.lseek(fd, end, os.SEEK_SET)
        raise


def _sync_dir(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
