"""Ship the output of steps: tail their files, mask secrets, send chunks with confirms.

Guarantees for each (token, stream): ``seq`` numbers the chunks and ``offset`` counts masked bytes, both from 0 without
gaps; a chunk without a confirm is sent again unchanged. A slow or unreachable broker only delays reading: at most
``SendWindow.chunks`` chunks of a stream are in memory. The thread sleeps without a timeout while no attempt runs.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from operator import itemgetter

from services.worker.output.annotations import Annotations
from services.worker.output.disk_reserve import DiskReserve
from services.worker.output.log_stream import LogStream
from services.worker.output.send_window import SendWindow
from shared.contracts.codec import encode
from shared.contracts.events import LogChunk
from shared.errors import Unavailable
from shared.service import WatchedThread
from shared.transport.base import LOGS, Outgoing, WorkerTransport

__all__ = ["AttemptLogs", "LogShipper", "log_message", "read_tail"]

_log = logging.getLogger(__name__)

_IN_REPORT_BYTES = 16_384
"""If at most this much output is unsent when the attempt ends, it is sent inside ``AttemptFinished``.

A log that is not larger than this travels there as a whole, even if parts were sent before: then its end need not wait
until a scheduler has stored those parts.
"""
_INTERVAL_S = 0.15
_PROGRESS_EVERY_S = 2.0
"""The minimum time between two progress reports of an attempt, since each costs the scheduler a transaction."""


def log_message(chunk: LogChunk, *, raw: bool = False) -> Outgoing:
    """Return the message for a chunk. The same chunk always gets the same message id. ``raw``: see ``codec.encode``."""
    name = f"{chunk.token}.{chunk.stream}.{chunk.seq}"
    return Outgoing(LOGS, encode(chunk, id=name, at=chunk.at, raw=raw), name)


class AttemptLogs:
    """The log streams of one attempt. Thread-safe."""

    def __init__(
        self,
        streams: tuple[LogStream, ...],
        transport: WorkerTransport,
        window: SendWindow,
        wake: threading.Event,
        report: Callable[[Annotations], None],
        *,
        reserve: DiskReserve | None,
        end: Callable[[], None],
    ) -> None:
        window.enter()
        self.cut_why = ""
        """Why the end of the output is missing; empty if it is complete."""
        self._reserve = reserve
        self._end = end
        self._window = window
        self._streams = streams
        self._transport = transport
        self._wake = wake
        self._report = report
        self._reported = 0
        self._reported_at = -_PROGRESS_EVERY_S
        self._lock = threading.Lock()
        self._finished = False
        self._sent: list[LogChunk] | None = []
        """All chunks sent so far; ``None`` as soon as they have more than ``_IN_REPORT_BYTES``."""

    @property
    def annotations(self) -> Annotations | None:
        """The annotations (lines such as ``::notice text``) in the output read so far.

        ``None`` if this is a follow-up: work that the worker does for a run without a step.
        """
        return next((stream.annotations for stream in self._streams if stream.annotations is not None), None)

    @property
    def sizes(self) -> dict[str, int]:
        """By stream: how many bytes are in chunks so far. After all output was read, the size of the whole log."""
        return dict(stream.size for stream in self._streams)

    def usage(self) -> tuple[int, int]:
        """Return the size of the reserve if it is not free any more, else 0, and how much room the logs take."""
        with self._lock:
            return (0, 0) if self._finished else self._usage()

    def _usage(self) -> tuple[int, int]:
        if self._reserve is None:
            return 0, 0
        missing = max(stream.missing(self._reserve) for stream in self._streams)
        return missing, sum(stream.bytes_on_disk() for stream in self._streams)

    def cut(self, reserve: int) -> None:
        """End the step, and keep no more of its output than what was read."""
        with self._lock:
            if not self._finished:
                self._cut(reserve)
                self._end()

    def _cut(self, reserve: int) -> None:
        if not self.cut_why:
            self.cut_why = f"less than {max(reserve >> 20, 1)} MiB was free on the worker's disk"
        for stream in self._streams:
            stream.cut(f"\n[log cut: {self.cut_why}]\n".encode())

    def _cut_if_short(self) -> None:
        reserve, taken = self._usage()
        if self.cut_why or 0 < reserve <= taken:
            self._cut(reserve)

    def send_new(self) -> None:
        """Send new output until the window is full. Never blocks."""
        with self._lock:
            if self._finished:
                return
            for stream in self._streams:
                self._send_stream(stream)
                if stream.annotations is not None and stream.annotations.version != self._reported:
                    self._report_progress(stream.annotations)

    def _report_progress(self, annotations: Annotations) -> None:
        now = time.monotonic()
        if now - self._reported_at >= _PROGRESS_EVERY_S:
            self._reported, self._reported_at = annotations.version, now
            self._report(annotations)

    def _send_stream(self, stream: LogStream) -> None:
        if not stream.settle():
            if not self._transport.healthy:
                return
            stream.window = deque((chunk, future or self._send(chunk)) for chunk, future in stream.window)
        while len(stream.window) < self._window.chunks:
            chunk = stream.next_chunk()
            if chunk is None:
                return
            stream.window.append((chunk, self._send_first(chunk)))
        # The window is full: go on as soon as a chunk is confirmed.
        for _, future in stream.window:
            if future is not None:
                future.add_done_callback(lambda _: self._wake.set())
                return

    def _send(self, chunk: LogChunk) -> "Future[None]":
        return self._transport.send(log_message(chunk, raw=self._transport.one_program))

    def _send_first(self, chunk: LogChunk) -> "Future[None]":
        if self._sent is not None:
            self._sent.append(chunk)
            if sum(len(each.data) for each in self._sent) > _IN_REPORT_BYTES:
                self._sent = None
        return self._send(chunk)

    def finish(self) -> tuple[LogChunk, ...]:
        """Send the remaining output and wait for all confirms. Call it after the end of the step.

        If at most ``_IN_REPORT_BYTES`` remain, they are returned instead, as chunks for the end report. If the whole
        log has no more than that, all of it is returned, also what was sent before. Raises ``Unavailable`` if the
        broker does not accept a chunk; ``rest`` then yields every chunk that it has not confirmed.
        """
        try:
            return self._finish()
        finally:
            self._window.leave()

    def _finish(self) -> tuple[LogChunk, ...]:
        with self._lock:
            self._finished = True
            self._cut_if_short()
            for stream in self._streams:
                stream.end()
            if self._sent is not None:
                unsent = sum(stream.unsent_bytes() for stream in self._streams)
                if unsent + sum(len(chunk.data) for chunk in self._sent) <= _IN_REPORT_BYTES:
                    return (*self._sent, *(self._drain() if unsent else ()))
            for stream in self._streams:
                while stream.window:
                    self._confirm(stream)
            unsent = sum(stream.unsent_bytes() for stream in self._streams)
            if unsent <= _IN_REPORT_BYTES:
                return tuple(self._drain()) if unsent else ()
            for stream in self._streams:
                while (chunk := stream.next_chunk(final=True)) is not None:
                    stream.window.append((chunk, self._send(chunk)))
                    if len(stream.window) >= self._window.chunks:
                        self._confirm(stream)
                    self._cut_if_short()
                while stream.window:
                    self._confirm(stream)
            return ()

    def _confirm(self, stream: LogStream) -> None:
        chunk, future = stream.window[0]
        try:
            (future or self._send(chunk)).result()
        except Unavailable:
            stream.window[0] = (chunk, None)
            # The connection may have been lost and restored: try once more, then give up.
            self._send(chunk).result()
        stream.window.popleft()

    def rest(self) -> Iterator[LogChunk]:
        """Yield every chunk without a confirm, for the spool. Call it after ``finish`` failed."""
        with self._lock:
            self._cut_if_short()
            for stream in self._streams:
                stream.settle()
                yield from (chunk for chunk, _ in stream.window)
            yield from self._drain()

    def _drain(self) -> Iterator[LogChunk]:
        for stream in self._streams:
            while (chunk := stream.next_chunk(final=True)) is not None:
                yield chunk

    def abandon(self) -> None:
        """Send no more output. Unsent output is not reported, only the worker's log files contain it.

        Call it instead of ``finish`` if the attempt was revoked, i.e. a scheduler has already closed it.
        """
        self._window.leave()
        with self._lock:
            self._finished = True


class LogShipper:
    """Tails the files of all running attempts on one thread, and ends the longest if the disk is nearly full."""

    def __init__(
        self,
        transport: WorkerTransport,
        reserve: DiskReserve | None = None,
        on_death: Callable[[], None] = lambda: None,
    ) -> None:
        self._transport = transport
        self._reserve = reserve
        self._window = SendWindow()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._running: dict[AttemptLogs, None] = {}
        """The logs to tail, in the order in which their attempts began."""
        self._asleep = False
        self._stopping = False
        self._thread = WatchedThread("log-shipper", self._run, on_death)

    def start(self) -> None:
        self._thread.start()

    def follow(
        self,
        streams: tuple[LogStream, ...],
        report: Callable[[Annotations], None],
        end: Callable[[], None] = lambda: None,
    ) -> AttemptLogs:
        """Tail these files until ``leave``. Calls ``report`` with new progress and remarks, at most every 2 s.

        Calls ``end`` to end the step, because its output must not use up the disk.
        """
        logs = AttemptLogs(streams, self._transport, self._window, self._wake, report, reserve=self._reserve, end=end)
        with self._lock:
            self._running[logs] = None
            asleep, self._asleep = self._asleep, False
        if asleep:
            self._wake.set()
        return logs

    def leave(self, logs: AttemptLogs) -> None:
        """Stop tailing these files."""
        with self._lock:
            self._running.pop(logs, None)

    def stop(self) -> None:
        """End the thread, which stops tailing all files."""
        self._stopping = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        awake = False
        while not self._stopping:
            with self._lock:
                running = tuple(self._running)
                # One more round after the last attempt, so that the next step need not wake the thread.
                self._asleep = not (running or awake)
                awake = bool(running)
            self._wake.wait(None if self._asleep else _INTERVAL_S)
            self._wake.clear()
            try:
                self._keep_reserve(running)
            except OSError as error:
                _log.warning("logs.read_failed", extra={"error": str(error)})
            for logs in running:
                try:
                    logs.send_new()
                except OSError as error:
                    # If the disk still fails at the end, finish reads the same files and the attempt fails.
                    _log.warning("logs.read_failed", extra={"error": str(error)})

    def _keep_reserve(self, running: tuple[AttemptLogs, ...]) -> None:
        """Cut the longest log if the reserve is in use and the logs take as much; else something else is."""
        short = [(taken, reserve, logs) for logs in running for reserve, taken in [logs.usage()] if reserve]
        if not short:
            return
        _, reserve, longest = max(short, key=itemgetter(0))
        cut = [logs for *_, logs in short if logs.cut_why]  # their steps may write on until they have ended
        if not cut and sum(taken for taken, *_ in short) >= reserve:
            cut = [longest]
        for logs in cut:
            logs.cut(reserve)


def read_tail(fd: int, size: int) -> str:
    """Return the last ``size`` bytes of an open file as text."""
    return os.pread(fd, size, max(os.fstat(fd).st_size - size, 0)).decode(errors="replace").strip()
